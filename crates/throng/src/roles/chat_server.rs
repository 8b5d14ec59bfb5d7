//! `throng chat-server`.

use std::time::Duration;

use chat_server::{ChatServer, Config, Secret as ServerSecret};
use serde_json::json;

use super::announce;
use crate::args::{ChatServerArgs, LimitArgs};
use crate::exit::{Exit, Failure, OrExit as _};
use crate::lifeline;
use crate::local::sizes::OTHER_FILES;
use crate::secrets::Secret;

/// Serves until told to end.
///
/// # Errors
/// When it has no key or secret, the address is taken, or the data directory can't be used.
pub(crate) async fn chat_server(args: &ChatServerArgs, open_files: u64) -> Result<Exit, Failure> {
    let end = lifeline::token(args.role.until_stdin_closes).or_exit(Exit::Unexpected)?;
    let missing = |what: &str| Failure::new(Exit::Usage, format!("a chat server needs {what}"));
    let key = args.credentials.api_key.clone();
    let key = key.ok_or_else(|| missing("a key: give --api-key KEY, or set THRONG_API_KEY"))?;
    let secret = Secret::from_file_or_environment(args.credentials.api_secret_file.as_deref()).or_exit(Exit::Usage)?;
    let secret = secret.ok_or_else(|| missing("a secret: give --api-secret-file FILE, or set THRONG_API_SECRET"))?;
    let mut config = Config::new(args.listen, key, ServerSecret::new(secret.expose()));
    config.data_dir.clone_from(&args.data_dir);
    config.link_listen = args.link_listen;
    config.origin.clone_from(&args.origin);
    config.links = args.links.links()?;
    if let Some(at) = config.link_listen {
        config.links.may_listen(at).or_exit(Exit::Usage)?;
    }
    if let Some(origin) = &config.origin {
        config.links.endpoint(origin).or_exit(Exit::Usage)?;
    }
    limit(&mut config, &args.limits);
    config.shards = args.role.threads.map_or(config.shards, |threads| threads.get() as usize);
    // Refused with a word, instead of by the kernel.
    let connections = usize::try_from(open_files.saturating_sub(OTHER_FILES / 2)).unwrap_or(usize::MAX);
    config.connections_max = config.connections_max.min(connections.max(1));
    config.guests_max = config.guests_max.min(config.connections_max.div_ceil(2));
    let bound = ChatServer::bind(config).await.or_exit(Exit::Unavailable)?;
    let mut ready = json!({"role": "chat-server", "listen": bound.local_addr().to_string()});
    if let Some(link) = bound.link_addr().or_exit(Exit::Unexpected)? {
        ready["link"] = link.to_string().into();
    }
    if let Some(origin) = &args.origin {
        ready["origin"] = origin.as_str().into();
    }
    announce(&ready)?;
    bound.serve(end.cancelled_owned()).await.or_exit(Exit::Unexpected)?;
    Ok(Exit::Passed)
}

fn limit(config: &mut Config, limits: &LimitArgs) {
    config.rates.window = Duration::from_secs(limits.rate_window);
    config.rates.per_app = limits.rate_per_app.unwrap_or(config.rates.per_app);
    config.rates.per_user = limits.rate_per_user;
    config.slow_mode = limits.slow_mode.map(Duration::from_secs);
    let users_max = limits.users_max.and_then(|users| usize::try_from(users).ok());
    config.users_max = users_max.unwrap_or(config.users_max);
    config.throttle_watchers = (limits.throttle_watchers > 0).then_some(limits.throttle_watchers);
    config.outbox_bytes_max = usize::try_from(limits.outbox_bytes).unwrap_or(usize::MAX);
}

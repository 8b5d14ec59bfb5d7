//! When a role ends: on SIGTERM or SIGINT, or when whoever started it is gone. It drains with a deadline that holds
//! even if everything else hangs.

use std::io::Read as _;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::say;

/// How long a role may drain.
const DRAIN: Duration = Duration::from_millis(4_000);

/// A token that is cancelled when this role should end.
///
/// # Errors
/// When signals can't be listened to.
pub(crate) fn token(until_stdin_closes: bool) -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let end = token.clone();
    tokio::spawn(async move {
        for asked in 1_u32.. {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
            if asked > 1 {
                std::process::exit(130);
            }
            drain(&end, "told to end by a signal");
        }
    });
    if until_stdin_closes {
        let end = token.clone();
        std::thread::Builder::new().name("lifeline".to_owned()).spawn(move || {
            wait_for_end_of_stdin();
            drain(&end, "whoever started this process is gone");
        })?;
    }
    Ok(token)
}

/// Lets everything drain, and ends the process hard when it takes too long.
fn drain(token: &CancellationToken, why: &str) {
    tracing::info!(why, "draining");
    token.cancel();
    let watchdog = std::thread::Builder::new().name("watchdog".to_owned()).spawn(|| {
        std::thread::sleep(DRAIN);
        say::tell(format_args!("draining took longer than {DRAIN:?}; ending hard\n"));
        std::process::exit(1);
    });
    if let Err(error) = watchdog {
        tracing::error!(%error, "no watchdog could be started; ending at once");
        std::process::exit(1);
    }
}

fn wait_for_end_of_stdin() {
    let mut stdin = std::io::stdin().lock();
    let mut buffer = [0_u8; 256];
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => return,
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return,
            Ok(_) | Err(_) => {}
        }
    }
}

//! A small scenario for unit tests: a crowd that chats, and one that comes and goes.

use scenarios::{Scenario, Source};

/// So many users in three rooms, and half as many that come and go.
pub(super) fn scenario(users: u64, more: &str) -> Scenario {
    let yaml = format!(
        "name: t\nchannels: [{{id: room, count: 3, per_user: 2}}]\ncohorts:\n\
         - {{name: stay, users: {users}, ramp: {{rate: {users}/s}}, actions: [{{send: {{channel: room, rate: 20/s, \
         size: 10..90B}}}}, {{react: {{channel: room, rate: 5/s}}}}, {{typing: {{channel: room, rate: 3/s}}}}]}}\n\
         - {{name: come-and-go, users: {}, ramp: {{rate: {users}/s}}, lifetime: 1s..3s, rejoin: 1s..2s}}\n\
         hold: 10s\n{more}",
        users.div_ceil(2)
    );
    let source = Source { file_name: "t.yaml".into(), bytes: yaml.into_bytes(), ..Source::default() };
    scenarios::parse(&source).unwrap_or_else(|e| panic!("{e}"))
}

//! Close codes (RFC 6455, section 7.4), and ours in the range 4000 to 4999 that the RFC leaves to applications.
//!
//! The protocol's one rule for clients: [`NORMAL`] means *don't retry*; after every other code, and after none at all,
//! reconnect with [`crate::backoff`].

/// Done, or refused for good: a client doesn't come back by itself.
pub const NORMAL: u16 = 1000;
/// The server drains or the peer leaves.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke the rules of RFC 6455.
pub const PROTOCOL: u16 = 1002;
/// A kind of data that we don't take: binary.
pub const UNSUPPORTED: u16 = 1003;
/// "No code was given"; never sent.
pub const NO_STATUS: u16 = 1005;
/// Text that is not UTF-8.
pub const INVALID_DATA: u16 = 1007;
/// A message over the limit.
pub const TOO_BIG: u16 = 1009;
/// The server failed.
pub const INTERNAL: u16 = 1011;
/// A text frame that is not a JSON array of events.
pub const MALFORMED: u16 = 4000;
/// The client sent nothing for longer than the protocol's keep-alive allows.
pub const SILENT: u16 = 4001;
/// The client reads more slowly than events come: its outbox was full. It reconnects and catches up with `POST /sync`.
pub const SLOW_READER: u16 = 4008;

/// This node has missed events of a channel and can't get them any more. The client reconnects and catches up with
/// `POST /sync`.
pub const RESYNC: u16 = 4009;

/// Whether a client may reconnect by itself after this code.
pub const fn may_retry(code: u16) -> bool {
    code != NORMAL
}

/// Whether a close frame may carry this code: the RFC's registered ones, libraries' (3000 to 3999), applications'
/// (4000 to 4999). 1004, 1005, 1006 and 1015 are never sent.
pub const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_codes_may_be_sent_and_only_normal_is_final() {
        for code in [
            NORMAL,
            GOING_AWAY,
            PROTOCOL,
            UNSUPPORTED,
            INVALID_DATA,
            TOO_BIG,
            INTERNAL,
            MALFORMED,
            SILENT,
            SLOW_READER,
            RESYNC,
        ] {
            assert!(may_be_sent(code), "{code}");
            assert_eq!(may_retry(code), code != NORMAL);
        }
        for code in [0, 999, 1004, NO_STATUS, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
            assert!(!may_be_sent(code), "{code}");
        }
    }
}

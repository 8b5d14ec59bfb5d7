//! Every maximum of the protocol, with its arithmetic. Both ends know them, so that a client can refuse what the
//! server would.

/// Bytes of a message's text.
pub const MESSAGE_TEXT: usize = 5 * 1024;
/// Bytes of the custom fields of a message, channel, user or event, as JSON.
pub const CUSTOM_DATA: usize = 5 * 1024;
/// Levels of lists and objects in custom fields. JSON readers stop at some depth (serde_json at 128), and what is sent
/// in one wrapping comes back in deeper ones.
pub const CUSTOM_DEPTH: usize = 32;
/// Bytes of a request's body: text and custom data of a message are 10 KiB, JSON may escape a byte as six (`\u0000`),
/// which makes 60 KiB, and the rest is for names.
pub const BODY: usize = 64 * 1024;
/// Bytes of one message from a client over the socket; keep-alives have about 60.
pub const CLIENT_FRAME: usize = 64 * 1024;
/// Bytes of one event from a server: the largest message (60 KiB when escaped) with its ten newest reactions and its
/// user's custom data, rounded up.
pub const SERVER_FRAME: usize = 256 * 1024;
/// Channels in one `POST /sync`.
pub const SYNC_CIDS: usize = 255;
/// Channels in one answer to `POST /channels`.
pub const QUERY_CHANNELS: usize = 30;
/// Messages in one page, and what a page has unless told otherwise.
pub const PAGE: usize = 300;
/// Messages in a page that states no limit.
pub const PAGE_DEFAULT: usize = 25;
/// Members in a channel's state, and in one answer to `GET /members`.
pub const MEMBERS: usize = 100;
/// Users in one call.
pub const USERS: usize = 100;
/// Messages in one answer to `GET /search`.
pub const SEARCH: usize = 100;
/// Bytes of a `connection_id`.
pub const CONNECTION_ID: usize = 36;
/// Bytes of a channel's id and of a channel's type.
pub const CHANNEL_ID: usize = 64;
/// Bytes of a user's id and name, a message's id, a reaction's type, an event's type.
pub const NAME: usize = 255;
/// The newest reactions that a message shows.
pub const LATEST_REACTIONS: usize = 10;

/// Whether this may be a channel's id or type: 1 to 64 of `A-Z a-z 0-9 _ -`.
pub fn is_channel_name(name: &str) -> bool {
    (1..=CHANNEL_ID).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Whether this may be a user's or message's id: 1 to 255 bytes, none of them a control character.
pub fn is_name(name: &str) -> bool {
    (1..=NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(is_channel_name("stadium-5m_A") && is_channel_name(&"x".repeat(64)));
        for bad in ["", "a b", "a:b", "a/b", "é", &"x".repeat(65)] {
            assert!(!is_channel_name(bad), "{bad}");
        }
        assert!(is_name("Zoë @ home") && !is_name("") && !is_name("a\nb") && !is_name(&"x".repeat(256)));
    }
}

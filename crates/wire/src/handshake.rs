//! The WebSocket handshake (RFC 6455, section 4): its one computation, a client's request, and the reading of its answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// The RFC's constant that proves that a server speaks WebSocket.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The `Sec-WebSocket-Accept` that answers this `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    STANDARD.encode(hash.finalize())
}

/// Whether this may be a `Sec-WebSocket-Key`: 16 bytes in base64.
pub fn is_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// A `Sec-WebSocket-Key` of 16 bytes that the caller drew at random.
pub fn key(random: [u8; 16]) -> String {
    STANDARD.encode(random)
}

/// The most bytes of an answer's head.
pub const HEAD_MAX: usize = 16 << 10;

/// A client's request for `path` (with query) of the host `authority`. `extensions` is the header of that name.
pub fn request(path: &str, authority: &str, key: &str, extensions: Option<&str>) -> String {
    let extensions = extensions.map(|offer| format!("Sec-WebSocket-Extensions: {offer}\r\n")).unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{extensions}\r\n"
    )
}

/// Why an answer opens no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// HTTP, but not 101.
    #[error("HTTP {0}")]
    Status(u16),
    /// It is no HTTP, or breaks a rule of RFC 6455, section 4.1.
    #[error("{0}")]
    Protocol(&'static str),
}

/// An answer that opens a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Bytes of its head: frames follow.
    pub length: usize,
    /// Its `Sec-WebSocket-Extensions` headers.
    pub extensions: Vec<&'a str>,
}

/// Reads the answer to a [`request`] with this key; `None` as long as its head is not complete.
///
/// # Errors
/// When the answer is no, or none.
pub fn answer<'a>(bytes: &'a [u8], key: &str) -> Result<Option<Answer<'a>>, AnswerError> {
    let Some(length) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
        let cut = bytes.len() > HEAD_MAX || !b"HTTP/1.1 ".starts_with(&bytes[..bytes.len().min(9)]);
        return if cut { Err(AnswerError::Protocol("the answer is no HTTP/1.1")) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&bytes[..length - 4]);
    let mut lines = head.map_err(|_| AnswerError::Protocol("the answer's head is not text"))?.split("\r\n");
    let status =
        lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|rest| rest.get(..3)?.parse().ok());
    match status {
        None => return Err(AnswerError::Protocol("the answer is no HTTP/1.1")),
        Some(101) => {}
        Some(other) => return Err(AnswerError::Status(other)),
    }
    let (mut upgrade, mut connection, mut accept, mut extensions) = (false, false, None, Vec::new());
    for line in lines {
        let header = line.split_once(':').filter(|(name, _)| !name.is_empty() && !name.contains([' ', '\t']));
        let (name, value) = header.ok_or(AnswerError::Protocol("a header of the answer can't be read"))?;
        let value = value.trim_matches([' ', '\t']);
        let named = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if named("upgrade") {
            upgrade = value.eq_ignore_ascii_case("websocket");
        } else if named("connection") {
            connection |= value.split(',').any(|part| part.trim().eq_ignore_ascii_case("upgrade"));
        } else if named("sec-websocket-accept") {
            if accept.replace(value).is_some() {
                return Err(AnswerError::Protocol("Sec-WebSocket-Accept is there twice"));
            }
        } else if named("sec-websocket-extensions") {
            extensions.push(value);
        } else if named("sec-websocket-protocol") {
            return Err(AnswerError::Protocol("Sec-WebSocket-Protocol was not asked for"));
        }
    }
    if !upgrade || !connection {
        return Err(AnswerError::Protocol("the answer has no Upgrade: websocket and Connection: Upgrade"));
    }
    if accept != Some(accept_key(key).as_str()) {
        return Err(AnswerError::Protocol("Sec-WebSocket-Accept doesn't answer our key"));
    }
    Ok(Some(Answer { length, extensions }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    fn read(text: &str) -> Result<Option<Answer<'_>>, AnswerError> {
        answer(text.as_bytes(), "dGhlIHNhbXBsZSBub25jZQ==")
    }

    #[test]
    fn an_answer_is_read_at_any_length() {
        let with_frame = format!("{GOOD}\u{1}\u{2}");
        for length in 0..GOOD.len() {
            assert_eq!(read(&with_frame[..length]), Ok(None), "{length} bytes");
        }
        assert_eq!(read(&with_frame), Ok(Some(Answer { length: GOOD.len(), extensions: vec![] })));
        let two = GOOD.replace("upgrade:", "sec-websocket-extensions: a\r\nSec-WebSocket-Extensions:b; c\r\nupgrade:");
        assert_eq!(read(&two).unwrap().unwrap().extensions, ["a", "b; c"]);
        let asked = request("/connect?x=1", "h:80", "k", Some("permessage-deflate"));
        assert!(asked.starts_with("GET /connect?x=1 HTTP/1.1\r\nHost: h:80\r\n"), "{asked}");
        assert!(
            asked.ends_with("Sec-WebSocket-Key: k\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            "{asked}"
        );
    }

    #[test]
    fn answers_that_open_nothing_are_told_apart() {
        assert_eq!(read(&GOOD.replace("101", "503")), Err(AnswerError::Status(503)));
        for bad in [
            "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
            GOOD.replace("HTTP/1.1", "HTTP/1.0"),
            GOOD.replace(" 101 ", " 1x1 "),
            GOOD.replace("WebSocket", "h2c"),
            GOOD.replace("keep-alive, Upgrade", "close"),
            GOOD.replace("s3pP", "s3pQ"),
            GOOD.replace("Connection", " Connection"),
            GOOD.replace("upgrade: ", "Sec-WebSocket-Protocol: chat\r\nupgrade: "),
            GOOD.replace("upgrade: ", "Sec-WebSocket-Accept: x\r\nupgrade: "),
            "HTTP/1.1 ".to_owned() + &"x".repeat(HEAD_MAX),
        ] {
            assert!(matches!(read(&bad), Err(AnswerError::Protocol(_))), "{bad}");
        }
    }

    #[test]
    fn the_rfcs_own_example() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ==") && is_key(&key([7; 16])));
        assert!(!is_key("") && !is_key("short") && !is_key("dGhlIHNhbXBsZSBub25jZSE="));
    }
}

//! The word that people show: who has it may see everything and submit runs.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use tonic::Status;

/// A token of people. It is compared in constant time, and never shown.
#[derive(Clone)]
pub struct Token(Arc<Known>);

struct Known {
    key: hmac::Key,
    /// The token under that key: comparing tags says nothing of how much of a guess was right.
    tag: hmac::Tag,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// The token that people must show.
    pub fn new(token: &str) -> Self {
        // Of this process alone, and no secret: the tag never leaves it.
        let key = hmac::Key::new(hmac::HMAC_SHA256, uuid::Uuid::new_v4().as_bytes());
        let tag = hmac::sign(&key, token.as_bytes());
        Self(Arc::new(Known { key, tag }))
    }

    /// Whether an `authorization` header shows it: `Bearer TOKEN` of programs, or `Basic` with it as the password (of any
    /// user), which is what browsers ask people for.
    pub(crate) fn is_shown(&self, authorization: &str) -> bool {
        let Some((scheme, shown)) = authorization.trim().split_once(' ') else { return false };
        let shown = shown.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.is(shown.as_bytes());
        }
        let pair = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(shown).ok()).flatten();
        let pair = pair.unwrap_or_default();
        let password = pair.iter().position(|byte| *byte == b':').map(|colon| &pair[colon + 1..]);
        password.is_some_and(|password| self.is(password))
    }

    fn is(&self, shown: &[u8]) -> bool {
        hmac::verify(&self.0.key, shown, self.0.tag.as_ref()).is_ok()
    }
}

/// Lets a call of people through that shows the token, if one is wanted.
pub(crate) fn admit(token: Option<&Token>, request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
    let Some(token) = token else { return Ok(request) };
    let shown = request.metadata().get("authorization").and_then(|shown| shown.to_str().ok());
    match shown {
        Some(shown) if token.is_shown(shown) => Ok(request),
        Some(_) => Err(Status::unauthenticated("this is not the control plane's token: see --token-file")),
        None => {
            Err(Status::unauthenticated("the control plane wants a token: give --token-file FILE, or set THRONG_TOKEN"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_browsers_show_it_each_in_their_way() {
        let token = Token::new("s3cret:word");
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for shown in ["Bearer s3cret:word", "bearer  s3cret:word ", &basic("ann:s3cret:word"), &basic(":s3cret:word")] {
            assert!(token.is_shown(shown), "{shown}");
        }
        for shown in
            ["", "Bearer", "Bearer ", "Bearer s3cret:wor", "s3cret:word", "Basic s3cret:word", &basic("s3cret")]
        {
            assert!(!token.is_shown(shown), "{shown}");
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}

//! Tokens: JWT (RFC 7519) with HS256 and nothing else.
//!
//! The algorithm is fixed, so a token's header can't choose a weaker one; signatures are compared in constant time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::error::{ApiError, code};

/// Seconds that two hosts' wall clocks may differ before a token counts as not valid yet.
const LEEWAY: i64 = 60;
/// Bytes of the longest token that is looked at.
const LONGEST: usize = 8 * 1024;

/// Who a token speaks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claims {
    /// A user's token names him.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// A server's token may act for everybody.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub server: bool,
    /// Issued at, in Unix seconds; not valid earlier (but for a minute of clock difference).
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub iat: Option<i64>,
    /// Not valid before, in Unix seconds (but for the same minute).
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub nbf: Option<i64>,
    /// Not valid from then on, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub exp: Option<i64>,
}

/// Seconds may have a fraction (RFC 7519, section 2), which is cut off; too large ones become the largest.
fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(deserializer)?;
    Ok(number.map(|number| number.as_i64().unwrap_or_else(|| number.as_f64().unwrap_or_default() as i64)))
}

impl Claims {
    /// Claims of a user's token that never expires.
    pub fn user(user_id: impl Into<String>) -> Self {
        Self { user_id: Some(user_id.into()), ..Self::default() }
    }

    /// Claims of a server's token that never expires.
    pub fn server() -> Self {
        Self { server: true, ..Self::default() }
    }
}

/// Why a token isn't good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts of base64 with JSON inside.
    #[error("the token is no JWT: it must be header.payload.signature in URL-safe base64")]
    Malformed,
    /// Its header names another algorithm than HS256.
    #[error("the token must be signed with HS256")]
    Algorithm,
    /// Its header demands extensions.
    #[error("the token's header demands extensions (crit), of which this service knows none")]
    Critical,
    /// It was not signed with our secret.
    #[error("the token's signature is not valid: was it signed with this app's secret?")]
    Signature,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `iat` or `nbf` lies in the future.
    #[error("the token is not valid yet: its iat or nbf lies in the future")]
    NotYet,
    /// Neither `user_id` nor `server`.
    #[error("the token names neither a user_id nor a server")]
    Nobody,
}

impl TokenError {
    /// Its number in answers.
    pub const fn code(self) -> i32 {
        match self {
            Self::Malformed | Self::Critical | Self::Nobody => code::AUTH,
            Self::Algorithm | Self::Signature => code::TOKEN_SIGNATURE,
            Self::Expired => code::TOKEN_EXPIRED,
            Self::NotYet => code::TOKEN_NOT_YET,
        }
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        Self { code: error.code(), message: error.to_string(), status: 401, ..Self::default() }
    }
}

/// The header that we write, and of which we read the algorithm.
#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions without which the token must not be taken (RFC 7515, section 4.1.11); we know none.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

/// A secret, ready to sign and verify. `Debug` doesn't show it.
#[derive(Clone)]
pub struct TokenKey(hmac::Key);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(redacted)")
    }
}

impl TokenKey {
    /// The key of an API secret.
    pub fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// Signs claims.
    pub fn sign(&self, claims: &Claims) -> String {
        let payload = serde_json::to_vec(claims).expect("claims are plain fields, which JSON can hold");
        let mut token = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = hmac::sign(&self.0, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        token
    }

    /// Checks a token at `now` (Unix seconds) and says for whom it speaks.
    ///
    /// # Errors
    /// When the token isn't a JWT, isn't HS256, isn't signed with this secret, has expired, isn't valid yet, or speaks
    /// for nobody. Claims are looked at only after the signature.
    pub fn verify(&self, token: &str, now: i64) -> Result<Claims, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
        if header.alg != "HS256" {
            return Err(TokenError::Algorithm);
        }
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Signature)?;
        hmac::verify(&self.0, signed.as_bytes(), &signature).map_err(|_| TokenError::Signature)?;
        let claims: Claims = serde_json::from_slice(&decode(payload)?).map_err(|_| TokenError::Malformed)?;
        if claims.exp.is_some_and(|exp| now >= exp) {
            return Err(TokenError::Expired);
        }
        if claims.iat.max(claims.nbf).is_some_and(|from| from > now.saturating_add(LEEWAY)) {
            return Err(TokenError::NotYet);
        }
        if claims.user_id.as_deref().is_none_or(str::is_empty) && !claims.server {
            return Err(TokenError::Nobody);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_from_elsewhere_is_read() {
        // Made with Python's hmac: secret "secret", payload {"user_id":"john"}.
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VyX2lkIjoiam9obiJ9.\
                     yrpLD2gUq_TIyxMKpDBHQO391KGCNrFl-RvMT-p90MU";
        let claims = TokenKey::new("secret").verify(token, 0);
        assert_eq!(claims, Ok(Claims::user("john")));
    }

    #[test]
    fn what_was_signed_is_read_and_nothing_else() {
        let key = TokenKey::new("s3cret");
        let claims = Claims { iat: Some(1_000), exp: Some(2_000), ..Claims::user("ann") };
        let token = key.sign(&claims);
        assert_eq!(key.verify(&token, 1_500), Ok(claims.clone()));
        assert_eq!(key.verify(&token, 2_000), Err(TokenError::Expired));
        assert_eq!(key.verify(&token, 939), Err(TokenError::NotYet));
        assert_eq!(key.verify(&token, 940), Ok(claims));
        assert_eq!(TokenKey::new("other").verify(&token, 1_500), Err(TokenError::Signature));
        assert_eq!(key.verify(&key.sign(&Claims::server()), 0), Ok(Claims::server()));
        assert_eq!(key.verify(&key.sign(&Claims::default()), 0), Err(TokenError::Nobody));
        assert_eq!(format!("{key:?}"), "TokenKey(redacted)");
    }

    /// A token with any header and payload, signed well.
    fn signed(header: &str, payload: &str) -> (TokenKey, String) {
        let key = TokenKey::new("s3cret");
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key.0, signed.as_bytes()));
        (key, format!("{signed}.{signature}"))
    }

    #[test]
    fn claims_of_others_are_understood() {
        let verify = |header, payload, now| {
            let (key, token) = signed(header, payload);
            key.verify(&token, now)
        };
        let hs256 = r#"{"alg":"HS256"}"#;
        let fractions = r#"{"user_id":"ann","iat":1000.7,"nbf":1000.2,"exp":2000.5,"other":{}}"#;
        assert!(verify(hs256, fractions, 1_500).is_ok());
        assert_eq!(verify(hs256, fractions, 2_000), Err(TokenError::Expired));
        assert_eq!(verify(hs256, r#"{"user_id":"ann","nbf":1000}"#, 939), Err(TokenError::NotYet));
        assert!(verify(hs256, r#"{"user_id":"ann","nbf":1000,"exp":null}"#, 940).is_ok());
        assert!(verify(hs256, r#"{"user_id":"ann","exp":1e300}"#, 940).is_ok());
        assert_eq!(verify(hs256, r#"{"user_id":"ann","exp":"2000"}"#, 940), Err(TokenError::Malformed));
        let critical = verify(r#"{"alg":"HS256","crit":["x"],"x":1}"#, r#"{"user_id":"ann"}"#, 0);
        assert_eq!(critical, Err(TokenError::Critical));
    }

    #[test]
    fn a_header_cannot_choose_the_algorithm() {
        let key = TokenKey::new("s3cret");
        let token = key.sign(&Claims::user("ann"));
        let rest = token.split_once('.').unwrap().1;
        for alg in ["none", "HS512", "RS256", "hs256"] {
            let forged = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}"}}"#)));
            assert_eq!(key.verify(&forged, 0), Err(TokenError::Algorithm));
        }
        for bad in ["", ".", "..", "a.b.c", "é.é.é", &"x".repeat(10_000), &token[1..]] {
            assert_eq!(key.verify(bad, 0), Err(TokenError::Malformed), "{bad}");
        }
        assert_eq!(key.verify(&token[..token.len() - 4], 0), Err(TokenError::Signature));
    }
}

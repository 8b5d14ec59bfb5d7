//! Errors as the API answers them.

use serde::{Deserialize, Serialize};

/// Numbers of [`ApiError::code`].
pub mod code {
    /// The API key is unknown.
    pub const ACCESS_KEY: i32 = 2;
    /// The request's body or query is not what the endpoint takes.
    pub const INPUT: i32 = 4;
    /// Authentication failed in a way that none of the others names.
    pub const AUTH: i32 = 5;
    /// Over the rate limit; `X-RateLimit-Reset` says when to come back.
    pub const RATE_LIMIT: i32 = 9;
    /// No such channel, message or user.
    pub const NOT_FOUND: i32 = 16;
    /// The user may not do that.
    pub const NOT_ALLOWED: i32 = 17;
    /// The body, or a field of it, is too large.
    pub const TOO_LARGE: i32 = 22;
    /// The token has expired.
    pub const TOKEN_EXPIRED: i32 = 40;
    /// The token is not valid yet.
    pub const TOKEN_NOT_YET: i32 = 41;
    /// The token's signature is not ours.
    pub const TOKEN_SIGNATURE: i32 = 43;
    /// No connection with this `connection_id`: connect again.
    pub const CONNECTION_UNKNOWN: i32 = 46;
    /// Slow mode: this user sent a message a moment ago.
    pub const SLOW_MODE: i32 = 60;
    /// Our fault.
    pub const INTERNAL: i32 = -1;
}

/// The body of an answer that is not 2xx, and the `error` of a `connection.error` event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(default)]
#[error("{message} (code {code}, HTTP {status})")]
pub struct ApiError {
    /// What went wrong, as a number of [`code`].
    pub code: i32,
    /// What went wrong, in words.
    pub message: String,
    /// The HTTP status.
    #[serde(rename = "StatusCode")]
    pub status: u16,
    /// How long the server took, such as `0.71ms`.
    pub duration: String,
    /// Where to read more; empty here.
    pub more_info: String,
    /// More numbers, unused.
    pub details: Vec<i32>,
}

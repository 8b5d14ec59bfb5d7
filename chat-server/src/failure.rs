//! API errors, by what went wrong.

use wire::ApiError;
use wire::error::code;

fn error(code: i32, status: u16, message: impl Into<String>) -> ApiError {
    ApiError { code, status, message: message.into(), ..ApiError::default() }
}

/// The request is not what the endpoint takes.
pub(crate) fn input(message: impl Into<String>) -> ApiError {
    error(code::INPUT, 400, message)
}

/// No such thing: `what` names it.
pub(crate) fn not_found(what: impl std::fmt::Display) -> ApiError {
    error(code::NOT_FOUND, 404, format!("{what} does not exist"))
}

/// The user may not do that.
pub(crate) fn not_allowed(message: impl Into<String>) -> ApiError {
    error(code::NOT_ALLOWED, 403, message)
}

/// The endpoint exists, but not with this method.
pub(crate) fn method(message: impl Into<String>) -> ApiError {
    error(code::NOT_FOUND, 405, message)
}

/// The WebSocket handshake is of another version than RFC 6455's.
pub(crate) fn websocket_version() -> ApiError {
    error(code::INPUT, 426, "Sec-WebSocket-Version must be 13")
}

/// Too many bytes.
pub(crate) fn too_large(what: &str, bytes_max: usize) -> ApiError {
    error(code::TOO_LARGE, 413, format!("{what} is too large: at most {bytes_max} bytes"))
}

/// Authentication failed.
pub(crate) fn auth(message: impl Into<String>) -> ApiError {
    error(code::AUTH, 401, message)
}

/// The API key is not ours.
pub(crate) fn access_key() -> ApiError {
    error(code::ACCESS_KEY, 401, "api_key is missing or not this app's")
}

/// No such connection, or it is another user's.
pub(crate) fn connection_unknown() -> ApiError {
    error(code::CONNECTION_UNKNOWN, 400, "connection_id is unknown: connect again")
}

/// Over the rate limit.
pub(crate) fn rate_limited(seconds: u64) -> ApiError {
    error(code::RATE_LIMIT, 429, format!("over the rate limit: come back in {seconds} s"))
}

/// Slow mode; `micros` are left.
pub(crate) fn slow_mode(micros: i64) -> ApiError {
    error(code::SLOW_MODE, 403, format!("slow mode: wait another {} ms", micros / 1_000 + 1))
}

/// The request took too long to come in.
pub(crate) fn timeout() -> ApiError {
    error(code::INPUT, 408, "the request's body did not come in time")
}

/// Our fault.
pub(crate) fn internal(message: impl Into<String>) -> ApiError {
    error(code::INTERNAL, 500, message)
}

/// An edge can't reach its origin: what was asked may or may not have been done.
pub(crate) fn origin_away() -> ApiError {
    error(code::INTERNAL, 503, "the origin can't be reached: try again later")
}

/// Draining, or the store is gone: try again elsewhere or later.
pub(crate) fn unavailable(message: impl Into<String>) -> ApiError {
    error(code::INTERNAL, 503, message)
}

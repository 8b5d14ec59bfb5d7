//! Cross-origin calls (the Fetch standard, section 3.2): pages of any origin may call. Nothing is given away by that,
//! since who calls is told by a token, never by a cookie.

use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// The headers of answers that a page may read.
const EXPOSED: HeaderValue = HeaderValue::from_static("x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
/// Seconds for which a browser may remember the answer: the most that any of them takes.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// What a browser asks for.
#[derive(Debug)]
pub(super) struct Cors {
    /// The headers that a page wants to send; set if the browser asks before it does.
    preflight: Option<HeaderValue>,
}

impl Cors {
    /// What a request asks for; `None` if no browser asks on behalf of a page.
    pub(super) fn of(method: &Method, headers: &HeaderMap) -> Option<Self> {
        headers.get(ORIGIN)?;
        let asks = method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let wanted = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let preflight = asks.then(|| wanted.unwrap_or_else(|| HeaderValue::from_static("*")));
        Some(Self { preflight })
    }

    /// The answer to a question that comes before the call itself.
    pub(super) fn preflight(&self) -> Option<Response> {
        let headers = self.preflight.clone()?;
        let allowed = [
            (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (ACCESS_CONTROL_ALLOW_HEADERS, headers),
            (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ];
        Some((StatusCode::NO_CONTENT, allowed).into_response())
    }

    /// Lets the page read the answer.
    pub(super) fn allow(&self, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

//! Answers and failures as bytes.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use wire::ApiError;
use wire::api;

/// An API error on its way out; [`super::gate`] fills in the duration and writes it.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) ApiError);

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}

/// An answer that says how long it took.
pub(crate) trait Timed: Serialize {
    /// Sets the `duration`.
    fn set_duration(&mut self, duration: String);
}

macro_rules! timed {
    ($($answer:ty),+ $(,)?) => {
        $(impl Timed for $answer {
            fn set_duration(&mut self, duration: String) {
                self.duration = duration;
            }
        })+
    };
}

timed!(
    api::ChannelState,
    api::MessageAnswer,
    api::ReactionAnswer,
    api::StopWatchingAnswer,
    super::about::AppAnswer,
    super::events::EventAnswer,
    super::members::MembersAnswer,
    super::messages::RepliesAnswer,
    super::query::ChannelsAnswer,
    super::search::SearchAnswer,
    super::users::UsersAnswer,
    super::users::UsersMapAnswer,
);

/// A JSON answer.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    /// One that says something by being there.
    header: Option<HeaderName>,
}

impl Answer {
    /// The same with a header that says something by being there.
    pub(crate) fn with_header(self, header: HeaderName) -> Self {
        Self { header: Some(header), ..self }
    }

    /// A body that is JSON already.
    pub(crate) fn raw(status: StatusCode, body: Vec<u8>) -> Self {
        Self { status, body, header: None }
    }

    /// A value as JSON.
    pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("answers have text keys only, which JSON can hold");
        Self::raw(status, body)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let mut response = (self.status, json, self.body).into_response();
        if let Some(header) = self.header {
            response.headers_mut().insert(header, HeaderValue::from_static("1"));
        }
        response
    }
}

//! What handlers take: the call, the channel's name, the query's parameters, a JSON body.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, EXPECT};
use http::request::Parts;
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::BodyExt as _;
use measure::{Clock, Timestamp};
use serde::de::DeserializeOwned;
use wire::{ApiError, limits};

use super::answer::{Answer, Timed};
use super::{Failure, gate};
use crate::app::App;
use crate::auth::Caller;
use crate::cell::Except;
use crate::connection::Connection;
use crate::failure;
use crate::users::UserCell;

/// The parameter that holds the token.
pub(super) const TOKEN: &str = "authorization";

/// A query's parameters; of a repeated one the last counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(HashMap<String, String>);

impl Parameters {
    /// Those of a request; a token in its header goes before one in the query, where browsers' WebSockets put it.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        let parsed = axum::extract::Query::<HashMap<String, String>>::try_from_uri(uri);
        let mut parameters = parsed.map(|query| query.0).unwrap_or_default();
        if let Some(token) = headers.get(AUTHORIZATION).and_then(|token| token.to_str().ok()) {
            parameters.insert(TOKEN.to_owned(), token.to_owned());
        }
        Self(parameters)
    }

    /// Who calls, by the API key and the token.
    pub(crate) fn caller(&self, app: &App) -> Result<Caller, ApiError> {
        app.authenticate(self.get("api_key"), self.get(TOKEN))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The parameter as a number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, ApiError> {
        let parse =
            |text: &str| text.parse().map_err(|_| failure::input(format!("{name} must be a number, not {text:?}")));
        self.get(name).map(parse).transpose()
    }

    /// The parameter `payload`, which holds JSON; without it the parameters themselves, as text.
    pub(crate) fn payload(&self) -> Result<serde_json::Map<String, serde_json::Value>, ApiError> {
        match self.get("payload") {
            Some(json) => {
                serde_json::from_str(json).map_err(|error| failure::input(format!("the payload parameter: {error}")))
            }
            None => Ok(self.0.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect()),
        }
    }
}

/// The query's parameters, as an extractor.
#[derive(Debug)]
pub(crate) struct Query(pub(crate) Parameters);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Parameters::of(&parts.uri, &parts.headers)))
    }
}

/// Who calls, and since when.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) started: Timestamp,
    pub(crate) clock: Clock,
    pub(crate) parameters: Parameters,
}

impl Call {
    /// The user in whose name the call acts: the token's, or, for a server, the one that `user_id` names in the query
    /// or `named` in the body.
    pub(crate) fn user(&self, app: &App, named: Option<&str>) -> Result<Arc<UserCell>, ApiError> {
        let id = match &self.caller {
            Caller::User(id) => id.as_str(),
            Caller::Server => self.parameters.get("user_id").or(named).ok_or_else(|| {
                failure::input("a server token acts for a user: name him with the query parameter user_id")
            })?,
        };
        if !limits::is_name(id) {
            return Err(failure::input("a user id has 1 to 255 bytes and no control characters"));
        }
        Ok(app.users.get_or_create(id).0)
    }

    /// The token's user; `None` for a server, who may do everything.
    pub(crate) fn token_user(&self) -> Option<&str> {
        match &self.caller {
            Caller::User(id) => Some(id),
            Caller::Server => None,
        }
    }

    /// The connection that `connection_id` names.
    pub(crate) fn connection(&self, app: &App) -> Result<Arc<Connection>, ApiError> {
        let id = self.parameters.get("connection_id").ok_or_else(|| {
            failure::input("watching needs the query parameter connection_id, which the first health.check event holds")
        })?;
        app.connections.get(id, self.token_user())
    }

    /// The connection over which the caller will hear of what he does, if he says so: of this node, or of an edge.
    pub(crate) fn except(&self, app: &App) -> Option<Except> {
        let number = crate::connection::number_of(self.parameters.get("connection_id")?)?;
        Some(app.connections.place(number).map_or(Except::There(number), Except::Here))
    }

    /// The answer to a `POST`.
    pub(crate) fn created(&self, answer: impl Timed) -> Answer {
        self.answer(StatusCode::CREATED, answer)
    }

    /// The answer to a `GET` or `DELETE`.
    pub(crate) fn ok(&self, answer: impl Timed) -> Answer {
        self.answer(StatusCode::OK, answer)
    }

    fn answer(&self, status: StatusCode, mut answer: impl Timed) -> Answer {
        answer.set_duration(self.took());
        Answer::json(status, &answer)
    }

    /// How long it took up to now.
    pub(crate) fn took(&self) -> String {
        gate::took(&self.clock, self.started)
    }
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let call = parts.extensions.remove::<Self>();
        call.ok_or_else(|| Failure(failure::internal("the endpoint was reached without its gate")))
    }
}

/// `{type}` and `{id}` of a channel.
#[derive(Clone, Debug)]
pub(crate) struct ChannelName {
    pub(crate) kind: String,
    pub(crate) id: String,
}

impl ChannelName {
    pub(crate) fn new(kind: String, id: String) -> Result<Self, ApiError> {
        for (what, name) in [("type", &kind), ("id", &id)] {
            if !limits::is_channel_name(name) {
                return Err(failure::input(format!(
                    "a channel's {what} has 1 to 64 of A-Z a-z 0-9 _ -, unlike {name:?}"
                )));
            }
        }
        Ok(Self { kind, id })
    }

    pub(crate) fn cid(&self) -> String {
        format!("{}:{}", self.kind, self.id)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ChannelName {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Segments((kind, id)) = Segments::from_request_parts(parts, state).await?;
        Ok(Self::new(kind, id)?)
    }
}

/// The variable segments of the path, unescaped.
#[derive(Debug)]
pub(crate) struct Segments<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(segments)| Self(segments)).map_err(|error| Failure(failure::input(error.body_text())))
    }
}

/// A JSON body; an empty one counts as `{}`.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, app.config.request_timeout).await?;
        let json: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let parsed = serde_json::from_slice(json);
        parsed
            .map(Self)
            .map_err(|error| Failure(failure::input(format!("the body is not what this call takes: {error}"))))
    }
}

/// Bytes of a body over the limit that are read and thrown away: most clients look at the answer only after they have
/// sent everything, and would see a broken connection instead.
const WASTE: usize = 8 * 1024 * 1024;

/// A request's whole body, if it isn't too large.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: axum::body::Body,
    patience: Duration,
) -> Result<Bytes, ApiError> {
    let waits = headers.contains_key(EXPECT);
    if waits && body.size_hint().lower() > limits::BODY as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(patience, collect(&mut body)).await {
        Ok(read) => read,
        Err(_) => Err(failure::timeout()),
    }
}

async fn collect(body: &mut axum::body::Body) -> Result<Bytes, ApiError> {
    let mut read = BytesMut::new();
    let mut wasted = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failure::input(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if wasted > 0 || read.len() + data.len() > limits::BODY {
            wasted += data.len();
            if wasted > WASTE {
                break;
            }
        } else {
            read.extend_from_slice(&data);
        }
    }
    if wasted > 0 { Err(too_large()) } else { Ok(read.freeze()) }
}

fn too_large() -> ApiError {
    failure::too_large("the body", limits::BODY)
}

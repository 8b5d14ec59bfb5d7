//! Typed calls of the REST API.

use http::Method;
use measure::Timestamp;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use wire::api::{
    ChannelQuery, ChannelState, ConnectPayload, MarkRead, MessageAnswer, OutgoingMessage, ReactionAnswer, SendEvent,
    SendMessage, SendReaction, StopWatchingAnswer, Sync, SyncAnswer, UpdateChannel,
};
use wire::event::{Event, Reaction, User};
use wire::{ApiError, Event as AnyEvent};

use crate::endpoint::encode;
use crate::error::CallError;
use crate::http::{Answer, Http, Outgoing};

/// How much of an answer that is no JSON is quoted.
const QUOTE_CHARS: usize = 200;

/// On whose behalf a call is made.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The user's JWT.
    pub token: &'a str,
    /// The user's connection, where the call is about one (watching, stopping to watch).
    pub connection_id: Option<&'a str>,
}

impl<'a> Caller<'a> {
    /// A caller whose call is about no connection.
    pub const fn new(token: &'a str) -> Self {
        Self { token, connection_id: None }
    }

    /// The same caller, over this connection.
    pub const fn over(self, connection_id: &'a str) -> Self {
        Self { connection_id: Some(connection_id), ..self }
    }
}

/// A good answer, and when it came.
#[derive(Clone, Debug)]
pub struct Answered<T> {
    /// What was answered.
    pub value: T,
    /// When the request was given to a connection.
    pub sent: Timestamp,
    /// When the answer was there.
    pub answered: Timestamp,
}

/// The API of one app of a chat service.
#[derive(Debug)]
pub struct Api {
    http: Http,
    api_key: String,
}

impl Api {
    /// The API behind a pool of connections.
    pub fn new(http: Http, api_key: &str) -> Self {
        Self { http, api_key: encode(api_key) }
    }

    /// The pool.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// The path and query that open this user's WebSocket. Holds the token: never log it.
    pub fn connect_path(&self, user_id: &str, name: &str, token: &str) -> String {
        self.opening_path("/connect", user_id, name, token)
    }

    /// The same for a connection that is polled.
    pub(crate) fn longpoll_path(&self, user_id: &str, name: &str, token: &str) -> String {
        self.opening_path("/longpoll", user_id, name, token)
    }

    fn opening_path(&self, path: &str, user_id: &str, name: &str, token: &str) -> String {
        let mut payload = ConnectPayload { user_id: user_id.to_owned(), ..ConnectPayload::default() };
        payload.user_details.insert("id".into(), user_id.into());
        if !name.is_empty() {
            payload.user_details.insert("name".into(), name.into());
        }
        let json = serde_json::to_string(&payload).expect("strings are JSON");
        let (json, key, token) = (encode(&json), &self.api_key, encode(token));
        format!("{path}?json={json}&api_key={key}&authorization={token}&stream-auth-type=jwt")
    }

    /// Makes any call; `make` is asked for the body when a connection is free to take it.
    ///
    /// # Errors
    /// As [`CallError`] says; an answer that is not 2xx is [`CallError::Status`].
    pub async fn call<B: Serialize, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        caller: Caller<'_>,
        make: impl FnOnce(Timestamp) -> Option<B>,
    ) -> Result<Answered<A>, CallError> {
        let mut path = format!("{path}{}api_key={}", if path.contains('?') { '&' } else { '?' }, self.api_key);
        if let Some(id) = caller.connection_id {
            path.push_str("&connection_id=");
            path.push_str(&encode(id));
        }
        let make = |sent| Outgoing {
            method,
            path,
            token: caller.token.to_owned(),
            body: make(sent)
                .map(|body| serde_json::to_vec(&body).expect("bodies have string keys and no failing parts"))
                .unwrap_or_default(),
        };
        read(&self.http.call(make).await?)
    }

    /// Gets what a whole path, key included, answers.
    pub(crate) async fn get<A: DeserializeOwned>(&self, path: String, token: &str) -> Result<A, CallError> {
        let make = |_| Outgoing { method: Method::GET, path, token: token.to_owned(), body: Vec::new() };
        Ok(read(&self.http.call(make).await?)?.value)
    }

    async fn post<B: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        caller: Caller<'_>,
        body: &B,
    ) -> Result<A, CallError> {
        Ok(self.call(Method::POST, path, caller, |_| Some(body)).await?.value)
    }

    /// `GET /app`: whether the service is there and knows our API key.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn app(&self, caller: Caller<'_>) -> Result<serde_json::Value, CallError> {
        Ok(self.call(Method::GET, "/app", caller, |_| None::<()>).await?.value)
    }

    /// Gets or creates a channel.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn query(&self, caller: Caller<'_>, cid: &str, query: &ChannelQuery) -> Result<ChannelState, CallError> {
        self.post(&channel(cid, "/query"), caller, query).await
    }

    /// Starts to watch a channel over the caller's connection, creating it if need be.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn watch(&self, caller: Caller<'_>, cid: &str) -> Result<ChannelState, CallError> {
        self.query(caller, cid, &ChannelQuery { watch: true, ..ChannelQuery::default() }).await
    }

    /// Stops to watch; every event up to the answer's `seq` still comes.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn stop_watching(&self, caller: Caller<'_>, cid: &str) -> Result<StopWatchingAnswer, CallError> {
        self.post(&channel(cid, "/stop-watching"), caller, &serde_json::json!({})).await
    }

    /// Sends a message; `make` is told when it is really sent, for the stamp.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn send(
        &self,
        caller: Caller<'_>,
        cid: &str,
        make: impl FnOnce(Timestamp) -> OutgoingMessage,
    ) -> Result<Answered<MessageAnswer>, CallError> {
        let make = |sent| Some(SendMessage { message: make(sent) });
        self.call(Method::POST, &channel(cid, "/message"), caller, make).await
    }

    /// Sends an event of this type: `typing.start`, `typing.stop`, or a custom one.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn event(&self, caller: Caller<'_>, cid: &str, kind: &str) -> Result<(), CallError> {
        let event = AnyEvent { kind: kind.to_owned(), ..Event::default() };
        self.post::<_, IgnoredAny>(&channel(cid, "/event"), caller, &SendEvent { event }).await.map(drop)
    }

    /// Marks a channel as read, all of it or up to a message.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn read(&self, caller: Caller<'_>, cid: &str, message_id: Option<&str>) -> Result<(), CallError> {
        let body = MarkRead { message_id: message_id.map(str::to_owned) };
        self.post::<_, IgnoredAny>(&channel(cid, "/read"), caller, &body).await.map(drop)
    }

    /// Adds and removes members of a channel.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn update_channel(&self, caller: Caller<'_>, cid: &str, update: &UpdateChannel) -> Result<(), CallError> {
        self.post::<_, IgnoredAny>(&channel(cid, ""), caller, update).await.map(drop)
    }

    /// Reacts to a message.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn react(&self, caller: Caller<'_>, message_id: &str, kind: &str) -> Result<ReactionAnswer, CallError> {
        let reaction = Reaction { kind: kind.to_owned(), score: 1, ..Reaction::default() };
        let body = SendReaction { reaction, enforce_unique: false };
        self.post(&format!("/messages/{}/reaction", encode(message_id)), caller, &body).await
    }

    /// Takes a reaction back.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn unreact(&self, caller: Caller<'_>, message_id: &str, kind: &str) -> Result<(), CallError> {
        let path = format!("/messages/{}/reaction/{}", encode(message_id), encode(kind));
        self.call::<(), IgnoredAny>(Method::DELETE, &path, caller, |_| None).await.map(|_| ())
    }

    /// Gets a message.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn message(&self, caller: Caller<'_>, message_id: &str) -> Result<MessageAnswer, CallError> {
        let path = format!("/messages/{}", encode(message_id));
        Ok(self.call(Method::GET, &path, caller, |_| None::<()>).await?.value)
    }

    /// Creates or updates users.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn upsert_users(&self, caller: Caller<'_>, users: &[User]) -> Result<(), CallError> {
        let users: serde_json::Map<String, serde_json::Value> = users
            .iter()
            .map(|user| (user.id.clone(), serde_json::to_value(user).expect("users have string keys")))
            .collect();
        self.post::<_, IgnoredAny>("/users", caller, &serde_json::json!({ "users": users })).await.map(drop)
    }

    /// Asks for all that was missed, at most 255 channels a call.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn sync(&self, caller: Caller<'_>, sync: &Sync) -> Result<SyncAnswer, CallError> {
        self.post("/sync", caller, sync).await
    }
}

/// The path of a channel's endpoint; `cid` is `type:id`.
pub fn channel(cid: &str, endpoint: &str) -> String {
    let (kind, id) = cid.split_once(':').unwrap_or(("messaging", cid));
    format!("/channels/{}/{}{endpoint}", encode(kind), encode(id))
}

fn read<A: DeserializeOwned>(answer: &Answer) -> Result<Answered<A>, CallError> {
    if !(200..300).contains(&answer.status) {
        return Err(CallError::Status(read_error(answer)));
    }
    let value = serde_json::from_slice(&answer.body).map_err(|e| CallError::Answer(e.to_string()))?;
    Ok(Answered { value, sent: answer.sent, answered: answer.answered })
}

fn read_error(answer: &Answer) -> ApiError {
    let error = serde_json::from_slice::<ApiError>(&answer.body).ok().filter(|e| !e.message.is_empty());
    let mut error = error.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&answer.body).trim().chars().take(QUOTE_CHARS).collect();
        ApiError { message: text, ..ApiError::default() }
    });
    // What counts is what the answer really had.
    error.status = answer.status;
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped() {
        assert_eq!(channel("livestream:a b", "/query"), "/channels/livestream/a%20b/query");
    }

    #[test]
    fn an_answer_without_json_is_quoted() {
        let at = Timestamp::default();
        let answer = Answer { status: 502, body: "Bad gateway\n".into(), sent: at, answered: at };
        let error = read::<IgnoredAny>(&answer).unwrap_err();
        assert_eq!((error.api().unwrap().status, error.api().unwrap().message.as_str()), (502, "Bad gateway"));
        assert_eq!(error.kind(), "502 (code 0)");
    }
}

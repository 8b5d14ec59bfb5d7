//! What carries a connection: a WebSocket, or polling where none gets through.

use std::time::Duration;

use bytes::Bytes;
use wire::close;

use crate::api::Api;
use crate::connection::Settings;
use crate::error::{Closed, ConnectError};
use crate::longpoll::Polling;
use crate::websocket::{FirstEvent, Socket, Timings};

/// See the module.
pub(crate) enum Carrier {
    Socket(Box<Socket>),
    Polling(Box<Polling>),
}

impl Carrier {
    /// Connects: by WebSocket, and if the network is in its way, by polling.
    ///
    /// # Errors
    /// Why there is no WebSocket, if polling doesn't work either; or that the service refuses the user.
    pub(crate) async fn connect(settings: &Settings, api: &Api) -> Result<(Self, FirstEvent, Timings), ConnectError> {
        let Settings { user_id, name, token, clock, within, .. } = settings;
        let endpoint = api.http().endpoint();
        let path = api.connect_path(user_id, name, token);
        let refused = match Socket::connect(endpoint, &path, clock, *within).await {
            Ok((socket, first, timings)) => return Ok((Self::Socket(Box::new(socket)), first, timings)),
            Err(error) if is_in_the_way(&error) => error,
            Err(error) => return Err(error),
        };
        let polling = Polling::connect(endpoint, &settings.api_key, (user_id, name, token), None, clock, *within);
        match Box::pin(polling).await {
            Ok((polling, first, timings)) => Ok((Self::Polling(Box::new(polling)), first, timings)),
            Err(rejected @ ConnectError::Rejected(_)) => Err(rejected),
            Err(_) => Err(refused),
        }
    }

    /// The next event's bytes; empty for a sign of life that is no event. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Bytes, Closed> {
        match self {
            Self::Socket(socket) => socket.next().await,
            Self::Polling(polling) => polling.next().await,
        }
    }

    /// Sends a keep-alive; polls are ones by themselves.
    pub(crate) async fn keep_alive(&mut self, text: String) -> Result<(), Closed> {
        match self {
            Self::Socket(socket) => socket.send(text).await,
            Self::Polling(_) => Ok(()),
        }
    }

    /// Says goodbye.
    pub(crate) async fn close(self, within: Duration) {
        match self {
            Self::Socket(socket) => socket.close(close::NORMAL, within).await,
            Self::Polling(polling) => polling.close(within).await,
        }
    }
}

/// Whether something between us and the service doesn't let WebSockets through: a connection came to be, and what should
/// have become one was answered with something else, cut, or left alone.
fn is_in_the_way(error: &ConnectError) -> bool {
    match error {
        ConnectError::Upgrade { .. } | ConnectError::Protocol(_) => true,
        ConnectError::Io { step, .. } | ConnectError::Timeout { step } => matches!(*step, "upgrade" | "first event"),
        ConnectError::Closed(closed) => closed.code.is_none(),
        ConnectError::Url { .. } | ConnectError::Address { .. } | ConnectError::Tls(_) | ConnectError::Rejected(_) => {
            false
        }
    }
}

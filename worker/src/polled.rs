//! A user whose events are fetched by polling, the protocol's fallback: one task, and the same steps and books as a
//! WebSocket's.

use std::rc::Rc;

use client::ConnectError;
use client::longpoll::Polling;
use measure::{Cohort, Timestamp};
use tokio::sync::Notify;

use crate::load::{Load, Local, WITHIN};
use crate::session::{GOODBYE, failed, lost};
use crate::sockets::SocketId;
use crate::user::{Event, User};

/// What carries a user's connection.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    /// A WebSocket.
    Socket(SocketId),
    /// Polls.
    Polled(Rc<Polled>),
}

impl Line {
    /// Whether both are the same connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Socket(one), Self::Socket(other)) => one == other,
            (Self::Polled(one), Self::Polled(other)) => Rc::ptr_eq(one, other),
            (Self::Socket(_), Self::Polled(_)) | (Self::Polled(_), Self::Socket(_)) => false,
        }
    }
}

/// A connection that is polled, as others of the thread see it.
#[derive(Debug)]
pub(crate) struct Polled {
    /// Names it in API calls.
    pub(crate) id: Box<str>,
    hung_up: Notify,
}

impl Polled {
    /// Ends it: the user has none from now on.
    pub(crate) fn hang_up(&self) {
        self.hung_up.notify_one();
    }
}

/// Connects, and polls until either end is done with it.
pub(crate) async fn run(load: &Rc<Load>, local: Local, epoch: u32, due: Timestamp) {
    let Some((user, cohort)) = load.user(local, |u| (u.index, u.cohort)) else { return };
    let mut polling = match connect(load, user, cohort, due).await {
        Ok(polling) => polling,
        Err(error) => return failed(load, local, epoch, &error),
    };
    if load.user(local, User::epoch) != Some(epoch) {
        return polling.close(GOODBYE).await;
    }
    let polled = Rc::new(Polled { id: polling.id().into(), hung_up: Notify::new() });
    let line = Line::Polled(polled.clone());
    load.attach(local, line.clone());
    load.step(local, Event::Connected { epoch });
    let closed = loop {
        let next = tokio::select! {
            biased;
            () = polled.hung_up.notified() => return polling.close(GOODBYE).await,
            next = polling.next() => next,
        };
        match next {
            // A poll that brought nothing.
            Ok(event) if event.is_empty() => {}
            Ok(event) => load.frame(local, epoch, &event, event.len(), load.book.now()),
            Err(closed) => break closed,
        }
    };
    load.detach(local, &line);
    lost(load, local, epoch, &closed);
}

async fn connect(load: &Rc<Load>, user: u64, cohort: Cohort, due: Timestamp) -> Result<Polling, ConnectError> {
    let identity = load.identity(user);
    let who = (identity.user_id.as_str(), "", identity.token.as_str());
    let (endpoint, source) = (load.api_of(user).http().endpoint(), load.plan.source_of(user));
    let polling = Polling::connect(endpoint, &load.plan.api_key, who, source, &load.plan.clock, WITHIN);
    let (polling, first, _) = polling.await?;
    load.book.connected(cohort, due, None, first.frame.len());
    Ok(polling)
}

//! One connection of one user: made after a wait, and looked after while it stays.

use std::rc::Rc;
use std::time::Duration;

use client::lean::{LeanSocket, Message, Opening, Options};
use client::websocket::{Timings, read_first};
use client::{Closed, ConnectError};
use measure::Timestamp;
use scenarios::model::{Compression, Transport};
use tokio::time::{Instant, sleep};
use wire::close;
use wire::deflate::Agreement;

use crate::load::{Load, Local, WITHIN};
use crate::polled;
use crate::sockets::Connection;
use crate::streams::Place;
use crate::user::{Event, User};

/// How long a goodbye may take.
pub(crate) const GOODBYE: Duration = Duration::from_secs(1);
/// Connections that are looked at between two turns of the event loop.
const SWEEP: usize = 1_000;
/// In so many turns all connections have been looked at.
const TURNS: usize = 4;
const EACH_TURN: Duration = Duration::from_secs(1);
/// A connection is kept alive by so much sooner than it must be, since it may not be looked at again before that.
pub(crate) const LEEWAY: Duration = Duration::from_secs(2);

/// A connection past its first event.
struct Connected {
    socket: LeanSocket,
    place: Option<Rc<Place>>,
    id: String,
    /// What came behind the first event.
    early: Vec<u8>,
}

/// Connects after a wait, and gives the connection to the thread's others.
pub(crate) async fn run(load: Rc<Load>, local: Local, epoch: u32, after: Duration, due: Timestamp) {
    let counts = |load: &Rc<Load>| load.user(local, User::epoch) == Some(epoch);
    let mut due = due;
    if !after.is_zero() {
        sleep(after).await;
        due = load.book.now();
        if !counts(&load) {
            return;
        }
    }
    let _counted = load.session();
    let Some((user, cohort)) = load.user(local, |u| (u.index, u.cohort)) else { return };
    if load.plan.scenario.cohorts[usize::from(cohort)].transport == Transport::LongPoll {
        return Box::pin(polled::run(&load, local, epoch, due)).await;
    }
    // Boxed: the future of connecting is large, and most who wait to connect are not there yet.
    let connected = match Box::pin(connect(&load, user, cohort, due)).await {
        Ok(connected) => connected,
        Err(error) => return failed(&load, local, epoch, &error),
    };
    let Connected { mut socket, place, id, mut early } = connected;
    if !counts(&load) {
        return socket.goodbye(close::NORMAL);
    }
    let now = load.book.now();
    let connection = Connection { socket, place, id: id.into(), local, epoch, said: now, heard: now };
    if let Err(error) = load.connected(connection, &mut early) {
        failed(&load, local, epoch, &ConnectError::Io { step: "first event", error: error.into() });
    }
}

/// A connection did not come to be; what it means for its user.
pub(crate) fn failed(load: &Rc<Load>, local: Local, epoch: u32, error: &ConnectError) {
    let Some(cohort) = load.user(local, |u| u.cohort) else { return };
    load.book.connect_failed(cohort, error);
    if error.is_transient() {
        // Who is refused by one address tries the next one.
        load.turn_away(local);
    }
    load.step(local, Event::Lost { epoch, retry: error.is_transient() });
}

/// A connection was lost; what it means for its user.
pub(crate) fn lost(load: &Rc<Load>, local: Local, epoch: u32, closed: &Closed) {
    if let Some((true, cohort)) = load.user(local, |u| (u.epoch() == epoch, u.cohort)) {
        load.book.disconnected(cohort, closed);
        if closed.code.is_none() {
            // Nobody said goodbye: the node behind this address may be gone, and the next one may not.
            load.turn_away(local);
        }
        load.step(local, Event::Lost { epoch, retry: closed.code != Some(close::NORMAL) });
    }
}

async fn connect(
    load: &Rc<Load>,
    user: u64,
    cohort: measure::Cohort,
    due: Timestamp,
) -> Result<Connected, ConnectError> {
    let identity = load.identity(user);
    let api = load.api_of(user);
    let path = api.connect_path(&identity.user_id, "", &identity.token);
    let offer = match load.plan.scenario.cohorts[usize::from(cohort)].compression {
        Compression::None => None,
        Compression::Deflate => Some(Agreement::FULL),
    };
    let options = Options { source: load.plan.source_of(user), offer, ..Options::default() };
    let (endpoint, deadline) = (api.http().endpoint(), Instant::now() + WITHIN);
    let opening = Opening::connect(endpoint, &path, options, &load.plan.clock, deadline).await?;
    let mut place = load.start_of_stream(opening.agreed);
    let first = opening.first(|message| read(load, place.as_mut(), message));
    let (socket, early, timings, (id, bytes)): (_, _, Timings, _) = first.await?;
    load.book.connected(cohort, due, Some(timings), bytes);
    Ok(Connected { socket, place, id, early })
}

/// The connection's name and the bytes of a first event.
fn read(load: &Load, place: Option<&mut Rc<Place>>, message: Message<'_>) -> Result<(String, usize), ConnectError> {
    match (message, place) {
        (Message::Plain(_, bytes), _) => Ok((read_first(bytes)?, bytes.len())),
        (Message::Deflated(_, payload), Some(place)) => {
            let read = load.sockets.streams.borrow_mut().follow(place, payload);
            let read = read.map_err(|error| ConnectError::Protocol(error.to_string()))?;
            Ok((read_first(read.said())?, payload.len()))
        }
        (Message::Deflated(..), None) => Err(ConnectError::Protocol("a compressed event, unasked".into())),
    }
}

/// Keeps all connections of a thread alive, and finds those that are silent: each second looks at some of them.
pub(crate) async fn sweep(load: Rc<Load>) {
    for turn in (0..TURNS).cycle() {
        sleep(EACH_TURN).await;
        let now = load.book.now();
        for (n, id) in load.some_sockets(turn, TURNS).into_iter().enumerate() {
            load.look_after(id, now);
            if n % SWEEP == SWEEP - 1 {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use client::Endpoint;
    use measure::{Clock, Recorder, SharedRecorder};
    use scenarios::{Shard, Source};
    use wire::token::TokenKey;

    use super::*;
    use crate::load::Progress;
    use crate::plan::{Plan, Start};
    use crate::record::Book;
    use crate::tokens::TokenSource;

    #[test]
    fn a_connection_costs_little_memory() {
        let yaml = "{name: t, channels: [{id: den}], cohorts: [{name: fans, users: 1, ramp: {rate: 1/s}}], hold: 1s}";
        let source = Source { file_name: "t.yaml".into(), bytes: yaml.into(), ..Source::default() };
        let plan = Arc::new(Plan {
            run: "r".into(),
            scenario: scenarios::parse(&source).unwrap_or_else(|e| panic!("{e}")),
            shard: Shard::WHOLE,
            endpoints: vec![Endpoint::parse("ws://127.0.0.1:1").unwrap()],
            api_key: String::new(),
            remembers: false,
            tokens: TokenSource::Signed(TokenKey::new("s")),
            calls: 4,
            sources: Vec::new(),
            clock: Clock::System,
            taken_over: None,
        });
        let recorder = SharedRecorder::new(Recorder::new(1, Clock::System.now()));
        let book = Book::new(recorder, Clock::System, tokio::sync::watch::channel(agent::Known::default()).1);
        let load = Load::new(plan, Start::default(), Shard::WHOLE, book, Arc::new(Progress::default()));
        let load = Rc::new(load.expect("an epoll"));
        let connecting = size_of_val(&run(load, 0, 1, Duration::ZERO, Timestamp::default()));
        let (user, connection) = (size_of::<User>(), size_of::<Connection>());
        // Beside them a user has its seat's and its connection's name's places on the heap, and an entry in two tables.
        assert!(connecting <= 500 && user + connection <= 600, "{connecting}, {user}, {connection}");
    }
}

//! One connection of one user: the task that owns the socket.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use client::{Closed, ConnectError, Socket, keep_alive};
use measure::Timestamp;
use tokio::sync::Notify;
use tokio::time::sleep;
use wire::close;

use crate::load::{Load, Local, WITHIN};
use crate::user::{Event, User};

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// Connections that are looked at between two turns of the event loop.
const SWEEP: usize = 1_000;

/// What others may know and want of a connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// Names the connection in API calls.
    pub(crate) connection_id: String,
    order: Cell<Order>,
    wake: Notify,
    said: Cell<Timestamp>,
    heard: Cell<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Stay,
    KeepAlive,
    Close,
    Silent,
}

impl Link {
    fn new(connection_id: String, now: Timestamp) -> Self {
        Self {
            connection_id,
            order: Cell::new(Order::Stay),
            wake: Notify::new(),
            said: Cell::new(now),
            heard: Cell::new(now),
        }
    }

    /// Asks the connection's task to say goodbye.
    pub(crate) fn close(&self) {
        self.order(Order::Close);
    }

    fn order(&self, order: Order) {
        self.order.set(order);
        self.wake.notify_one();
    }

    fn sweep(&self, now: Timestamp) {
        if self.order.get() != Order::Stay {
            return;
        }
        if now.since(self.heard.get()) >= client::SILENCE {
            self.order(Order::Silent);
        } else if now.since(self.said.get()) >= client::KEEP_ALIVE {
            self.said.set(now);
            self.order(Order::KeepAlive);
        }
    }
}

/// Connects after a wait, and stays until the connection ends.
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
    // Boxed: the future of connecting is large, and lives only for an instant of the connection's life.
    let (mut socket, link) = match Box::pin(connect(&load, user, cohort, due)).await {
        Ok(connected) => connected,
        Err(error) => {
            load.book.connect_failed(cohort, &error);
            return load.step(local, Event::Lost { epoch, retry: error.is_transient() });
        }
    };
    if !counts(&load) {
        return socket.close(close::NORMAL, GOODBYE).await;
    }
    load.attach(local, Rc::clone(&link));
    load.step(local, Event::Connected { epoch });
    let lost = stay(&load, local, epoch, &mut socket, &link).await;
    load.detach(local, &link);
    match lost {
        None => Box::pin(socket.close(close::NORMAL, GOODBYE)).await,
        Some(closed) => {
            drop(socket);
            if counts(&load) {
                load.book.disconnected(cohort, &closed);
                load.step(local, Event::Lost { epoch, retry: closed.code != Some(close::NORMAL) });
            }
        }
    }
}

async fn connect(
    load: &Rc<Load>,
    user: u64,
    cohort: measure::Cohort,
    due: Timestamp,
) -> Result<(Socket, Rc<Link>), ConnectError> {
    let identity = load.identity(user);
    let api = load.api_of(user);
    let path = api.connect_path(&identity.user_id, "", &identity.token);
    let (socket, first, timings) = Socket::connect(api.http().endpoint(), &path, &load.plan.clock, WITHIN).await?;
    load.book.connected(cohort, due, timings, first.frame.len());
    Ok((socket, Rc::new(Link::new(first.connection_id, load.book.now()))))
}

/// Receives until the connection is lost, or `None`: until it is to be closed.
async fn stay(load: &Rc<Load>, local: Local, epoch: u32, socket: &mut Socket, link: &Link) -> Option<Closed> {
    loop {
        tokio::select! {
            biased;
            frame = socket.next() => match frame {
                Ok(frame) => {
                    let now = load.book.now();
                    link.heard.set(now);
                    load.frame(local, epoch, &frame, now);
                }
                Err(closed) => return Some(closed),
            },
            () = link.wake.notified() => match link.order.replace(Order::Stay) {
                Order::Stay => {}
                Order::KeepAlive => {
                    if let Err(closed) = socket.send(keep_alive(&link.connection_id)).await {
                        return Some(closed);
                    }
                }
                Order::Close => return None,
                Order::Silent => return Some(Closed::broken("35 s of silence")),
            },
        }
    }
}

/// Keeps all connections of a thread alive, and finds those that are silent, once a second.
pub(crate) async fn sweep(load: Rc<Load>) {
    loop {
        sleep(Duration::from_secs(1)).await;
        let now = load.book.now();
        for (n, local) in load.locals().into_iter().enumerate() {
            if let Some(link) = load.link(local) {
                link.sweep(now);
            }
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
            clock: Clock::System,
        });
        let recorder = SharedRecorder::new(Recorder::new(1, Clock::System.now()));
        let book = Book::new(recorder, Clock::System, tokio::sync::watch::channel(agent::Known::default()).1);
        let load = Rc::new(Load::new(plan, Start::default(), Shard::WHOLE, book, Arc::new(Progress::default())));
        let task = size_of_val(&run(load, 0, 1, Duration::ZERO, Timestamp::default()));
        let user = size_of::<User>() + size_of::<Link>();
        // The rest is the WebSocket's read buffer of 2 KiB and the kernel's.
        assert!(task <= 1_500 && user <= 400, "task {task}, user {user}");
    }
}

//! What waits to be said over one end of a link, bounded in bytes. Nobody waits for room: a link whose other end doesn't
//! keep up is closed, and begins anew.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;

use crate::sharded::lock;

/// Bytes that are sent as one message.
const PIECE: usize = 256 * 1024;
/// How long the other end may take nothing, though it answers pings.
const STUCK: Duration = Duration::from_secs(30);

/// Something that takes room.
pub(crate) trait Weigh {
    /// Its bytes on the wire.
    fn bytes(&self) -> usize;
}

impl Weigh for proto::link::OriginSays {
    fn bytes(&self) -> usize {
        prost::Message::encoded_len(self)
    }
}

impl Weigh for proto::link::EdgeSays {
    fn bytes(&self) -> usize {
        prost::Message::encoded_len(self)
    }
}

#[derive(Debug)]
struct Inner<T> {
    items: Vec<T>,
    /// Bytes of the items, and of those that were taken and are not yet sent.
    bytes: usize,
    closed: Option<&'static str>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct LinkOutbox<T> {
    inner: Mutex<Inner<T>>,
    bytes_max: usize,
    ready: Notify,
    drained: Notify,
}

impl<T: Weigh> LinkOutbox<T> {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let inner = Mutex::new(Inner { items: Vec::new(), bytes: 0, closed: None });
        Self { inner, bytes_max, ready: Notify::new(), drained: Notify::new() }
    }

    /// Queues it, in order. `false`: the outbox is closed, perhaps since this didn't fit any more.
    pub(crate) fn push(&self, item: T) -> bool {
        let mut inner = lock(&self.inner);
        if inner.closed.is_some() {
            return false;
        }
        let bytes = item.bytes();
        if inner.bytes > 0 && inner.bytes + bytes > self.bytes_max {
            inner.items = Vec::new();
            inner.closed = Some("the other end doesn't keep up");
        } else {
            inner.bytes += bytes;
            inner.items.push(item);
        }
        let taken = inner.closed.is_none();
        drop(inner);
        self.ready.notify_one();
        taken
    }

    /// Nothing more is taken; what is queued is dropped. The first reason stands.
    pub(crate) fn close(&self, why: &'static str) {
        let mut inner = lock(&self.inner);
        inner.items = Vec::new();
        inner.closed.get_or_insert(why);
        drop(inner);
        self.ready.notify_one();
        self.drained.notify_one();
    }

    /// All that is queued, and its bytes.
    ///
    /// # Errors
    /// When it is closed: why.
    pub(crate) fn take(&self) -> Result<(Vec<T>, usize), &'static str> {
        let mut inner = lock(&self.inner);
        match inner.closed {
            Some(why) => Err(why),
            None => {
                let items = std::mem::take(&mut inner.items);
                let bytes = items.iter().map(Weigh::bytes).sum();
                Ok((items, bytes))
            }
        }
    }

    /// So many bytes that were taken are sent.
    pub(crate) fn sent(&self, bytes: usize) {
        let mut inner = lock(&self.inner);
        inner.bytes = inner.bytes.saturating_sub(bytes);
        drop(inner);
        self.drained.notify_one();
    }

    /// Whether nothing is taken any more.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.inner).closed.is_some()
    }

    /// Waits until nothing is taken any more.
    pub(crate) async fn closed(&self) {
        while !self.is_closed() {
            self.drained.notified().await;
        }
    }

    /// Waits until there is room for a replay. `false`: it was closed.
    pub(crate) async fn room(&self) -> bool {
        while !self.is_closed() {
            if self.has_room() {
                return true;
            }
            self.drained.notified().await;
        }
        false
    }

    /// Hands what is queued to `send`, in pieces of about [`PIECE`] bytes, until it is closed.
    pub(crate) async fn pump<F: Future<Output = bool>>(&self, mut send: impl FnMut(Vec<T>) -> F) -> &'static str {
        loop {
            let (items, _) = match self.take() {
                Ok(taken) => taken,
                Err(why) => return why,
            };
            let (mut piece, mut bytes) = (Vec::new(), 0);
            for item in items {
                bytes += item.bytes();
                piece.push(item);
                if bytes >= PIECE {
                    if let Err(why) = in_time(send(std::mem::take(&mut piece))).await {
                        return why;
                    }
                    self.sent(std::mem::take(&mut bytes));
                }
            }
            if !piece.is_empty() {
                if let Err(why) = in_time(send(piece)).await {
                    return why;
                }
                self.sent(bytes);
            }
            self.ready().await;
        }
    }

    /// Whether a replay may be put into it: it is not half full.
    pub(crate) fn has_room(&self) -> bool {
        lock(&self.inner).bytes <= self.bytes_max / 2
    }

    /// Bytes that one replay may have.
    pub(crate) fn replay_max(&self) -> usize {
        self.bytes_max / 4
    }

    /// Waits until something was queued, or it was closed, since the last wait.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }
}

/// Waits until the other end has taken something; an error says why it has not.
async fn in_time(sent: impl Future<Output = bool>) -> Result<(), &'static str> {
    match tokio::time::timeout(STUCK, sent).await {
        Ok(true) => Ok(()),
        Ok(false) => Err("the other end is gone"),
        Err(_) => Err("the other end takes nothing"),
    }
}

//! What a shard does with its connections, turn by turn: reads what has come in, takes its queue, and goes on with the
//! passes. A turn is short; between two of them the runtime's tasks (handshakes, requests, timers) get theirs.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _};
use std::rc::Rc;

use bytes::Bytes;
use slab::Slab;

use super::Shard;
use super::line::Line;
use super::poller::News;
use crate::hub::LineKey;
use crate::outlets::Item;
use crate::session::{self, Answer, End};
use crate::stats::{add, set};

/// Bytes that are read at once; also the whole read memory of a shard.
const READ_BUFFER: usize = 64 * 1024;
/// Reads of one connection before others get their turn.
const READS_IN_A_ROW: usize = 8;
/// Watchers that are served in one turn: a millisecond or so.
const SERVED: usize = 256;
/// Items that are taken in one turn.
const TAKEN: usize = 256;
/// While more frames than these wait in the rooms, the queue waits too, and so do those who publish.
const FRAMES_MAX: usize = 2_048;

/// While so many items wait, nothing is read: answers to what clients say wait behind them.
const INBOX_MAX: usize = 16_384;

/// What the reactor alone has.
pub(super) struct Reactor {
    shard: Rc<Shard>,
    /// Taken from the queue, and answers of our own; not yet done.
    inbox: VecDeque<Item>,
    buffer: Box<[u8]>,
    /// Lines of which more can be read than was their turn.
    unread: Vec<LineKey>,
    /// Answers to what was read in this turn.
    answers: Vec<(LineKey, Answer)>,
    /// Connections that end with this turn.
    ending: Vec<(LineKey, End)>,
}

impl Reactor {
    pub(super) fn new(shard: Rc<Shard>) -> Self {
        Self {
            shard,
            inbox: VecDeque::new(),
            buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            unread: Vec::new(),
            answers: Vec::new(),
            ending: Vec::new(),
        }
    }

    /// Takes turns until its task is dropped.
    pub(super) async fn run(mut self) {
        loop {
            if self.turn() {
                tokio::task::yield_now().await;
            } else {
                tokio::select! {
                    () = self.shard.handle.queue.ready() => {}
                    () = self.shard.poller.ready() => {}
                }
            }
        }
    }

    /// One turn. `true` if there is more to do at once.
    fn turn(&mut self) -> bool {
        let more_news = self.read();
        let more_items = self.take_items();
        let more_to_serve = self.pass();
        for (line, end) in self.ending.drain(..) {
            self.shard.end(line, end);
        }
        more_news || more_items || more_to_serve
    }

    /// Reads what has come in, and writes what could not be written before.
    fn read(&mut self) -> bool {
        if self.inbox.len() >= INBOX_MAX {
            return true;
        }
        let shard = self.shard.clone();
        for line in std::mem::take(&mut self.unread) {
            self.hear(News { line, readable: true, writable: false, ended: true });
        }
        shard.poller.take(|news| self.hear(news)) || !self.unread.is_empty()
    }

    /// Takes a socket's news.
    fn hear(&mut self, news: News) {
        let Self { shard, buffer, unread, answers, ending, .. } = self;
        let mut lines = shard.lines.borrow_mut();
        let Some(line) = lines.get_mut(news.line as usize) else { return };
        if news.writable
            && let Err(end) = line.flush(shard)
        {
            return ending.push((news.line, end));
        }
        if !news.readable {
            return;
        }
        for _ in 0..READS_IN_A_ROW {
            if line.is_deaf {
                return;
            }
            let Some(mut stream) = line.stream() else { return };
            match stream.read(buffer) {
                Ok(0) => return ending.push((news.line, End::Gone)),
                Ok(length) => {
                    let input = &mut buffer[..length];
                    session::receive(&shard.app, line, input, |answer| answers.push((news.line, answer)));
                    if length < READ_BUFFER && !news.ended {
                        // All that there was: what comes later is news again.
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return ending.push((news.line, End::Gone)),
            }
        }
        unread.push(news.line);
    }

    /// Takes what has come into the queue, while there is room for it.
    fn take_items(&mut self) -> bool {
        let Self { shard, inbox, answers, ending, .. } = self;
        // Answers go behind all that was told before they were asked for. So whoever has stopped watching, and gets an
        // answer to a later keep-alive, knows that nothing more will come.
        shard.handle.queue.take(inbox);
        inbox.extend(answers.drain(..).map(|(line, answer)| Item::Answer { line, answer }));
        let (mut taken, mut answered) = (0, 0);
        while taken < TAKEN && shard.floor.borrow().waiting() < FRAMES_MAX {
            let Some(item) = inbox.pop_front() else { break };
            answered += usize::from(matches!(item, Item::Answer { .. }));
            taken += 1;
            shard.do_item(item, ending);
        }
        shard.handle.queue.done(taken - answered);
        !inbox.is_empty()
    }

    /// Goes on with the passes.
    fn pass(&mut self) -> bool {
        let Self { shard, ending, .. } = self;
        let mut floor = shard.floor.borrow_mut();
        let more = floor.pass(SERVED, &mut |line, frames: &mut dyn Iterator<Item = &Bytes>| {
            shard.give(line, frames, ending);
        });
        set(&shard.handle.stats.passes, floor.passes());
        set(&shard.handle.stats.waiting, floor.waiting() as u64);
        more
    }
}

impl Shard {
    fn do_item(self: &Rc<Self>, item: Item, ending: &mut Vec<(LineKey, End)>) {
        let mut floor = self.floor.borrow_mut();
        let mut give = |line, frames: &mut dyn Iterator<Item = &Bytes>| self.give(line, frames, ending);
        match item {
            Item::Publish { room, events, except } => {
                let (frames, bytes) = floor.publish(room, events, except);
                add(&self.handle.stats.fanned_out, frames);
                add(&self.handle.stats.fanned_out_bytes, bytes);
            }
            Item::Watch { room, line, follows } => floor.watch(room, line, follows),
            Item::Unwatch { room, line } => floor.unwatch(room, line, &mut give),
            Item::Forget { line } => {
                floor.forget(line);
                self.lines.borrow_mut().try_remove(line as usize);
            }
            Item::Tell { line, connection, frame } => {
                let ours = |lines: &Slab<Line>| {
                    lines.get(line as usize).is_some_and(|line| line.connection.number == connection)
                };
                if ours(&self.lines.borrow()) {
                    floor.catch_up(line, &mut give);
                    let end = self.send(line, &mut std::iter::once(&frame)).err();
                    ending.extend(end.map(|end| (line, end)));
                }
            }
            Item::Close { room, closing } => {
                let watchers = floor.watchers(room);
                drop(floor);
                for line in watchers {
                    self.close(line, closing);
                }
            }
            Item::Answer { line, answer } => {
                floor.catch_up(line, &mut give);
                let end = match answer {
                    Answer::Frame(frame) => self.send(line, &mut std::iter::once(&frame)),
                    Answer::End(end) => Err(end),
                };
                ending.extend(end.err().map(|end| (line, end)));
            }
        }
    }

    /// Gives a connection its frames of a room.
    fn give(&self, line: LineKey, frames: &mut dyn Iterator<Item = &Bytes>, ending: &mut Vec<(LineKey, End)>) {
        ending.extend(self.send(line, frames).err().map(|end| (line, end)));
    }

    fn send(&self, line: LineKey, frames: &mut dyn Iterator<Item = &Bytes>) -> Result<(), End> {
        match self.lines.borrow_mut().get_mut(line as usize) {
            Some(line) => line.send(frames, self),
            None => Ok(()),
        }
    }
}

//! Compressed messages, inflated once for all users that follow the same stream.
//!
//! A service that compresses an event once sends the same bytes to everybody who has received the same compressed
//! messages before; whoever has read one of them stands at the same *place*. A place knows which messages followed it,
//! and what they said. The first user of a thread who goes on from there has its message inflated, the others compare
//! bytes. Where the ways of two users part, the second gets an inflater of its own, made from what was said before.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use client::lean::EVENT_BYTES_MAX;
use wire::deflate::{Agreement, Direction, Inflater};
use wire::frame::FrameError;

/// Bytes of messages that are kept in each thread, so that users who are behind find them.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// Messages that are known to follow one place.
const FOLLOWING_MAX: usize = 64;
/// No message refers further back.
const WINDOW: usize = 1 << Direction::WINDOW_BITS_MAX;

/// A state of the inflater, by the message that led to it.
#[derive(Debug)]
pub(crate) struct Place {
    direction: Direction,
    /// The compressed message.
    payload: Box<[u8]>,
    /// What it says.
    said: Box<[u8]>,
    /// The place before, while it is kept; none at the start.
    before: Option<Weak<Place>>,
    following: RefCell<Vec<Weak<Place>>>,
    /// The inflater that stands here, if one does.
    inflater: RefCell<Option<Box<Inflater>>>,
}

impl Place {
    fn new(direction: Direction, payload: &[u8], said: Vec<u8>, before: Option<Weak<Self>>) -> Rc<Self> {
        Rc::new(Self {
            direction,
            payload: payload.into(),
            said: said.into(),
            before,
            following: RefCell::default(),
            inflater: RefCell::default(),
        })
    }

    /// What the message says that led here.
    pub(crate) fn said(&self) -> &[u8] {
        &self.said
    }

    fn following(&self, payload: &[u8]) -> Option<Rc<Self>> {
        let following = self.following.borrow();
        following.iter().rev().filter_map(Weak::upgrade).find(|place| *place.payload == *payload)
    }

    /// An inflater that stands here: the one that does, or a new one.
    fn take_inflater(&self) -> Result<Box<Inflater>, FrameError> {
        if let Some(inflater) = self.inflater.take() {
            return Ok(inflater);
        }
        let (mut history, mut length) = (vec![], 0);
        let mut before = self.before.clone();
        if before.is_some() {
            history.push(self.said.clone());
            length = self.said.len();
        }
        while let Some(place) = before.take_if(|_| length < WINDOW) {
            // What is not kept any more can't be referred to: the user connects again, and catches up.
            let place = place.upgrade().ok_or(FrameError::NotDeflate)?;
            length += place.said.len();
            history.push(place.said.clone());
            before = place.before.clone();
        }
        history.reverse();
        Ok(Box::new(Inflater::after(self.direction, &history.concat())))
    }
}

/// The compressed streams that the users of a thread follow.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    starts: Vec<Rc<Place>>,
    /// The newest places.
    kept: VecDeque<Rc<Place>>,
    kept_bytes: usize,
    /// Messages that had to be inflated.
    pub(crate) inflated: u64,
}

impl Streams {
    /// Where a connection begins on which this was agreed.
    pub(crate) fn start(&mut self, agreed: &Agreement) -> Rc<Place> {
        let direction = agreed.from_server;
        if let Some(start) = self.starts.iter().find(|start| start.direction == direction) {
            return Rc::clone(start);
        }
        let start = Place::new(direction, &[], Vec::new(), None);
        self.starts.push(Rc::clone(&start));
        start
    }

    /// The place that a message leads to. The user stands there then, unless messages don't refer to those before.
    ///
    /// # Errors
    /// When the message can't be read: the connection is over.
    pub(crate) fn follow(&mut self, at: &mut Rc<Place>, payload: &[u8]) -> Result<Rc<Place>, FrameError> {
        let known = at.following(payload);
        let next = known.map_or_else(|| self.inflate(at, payload), Ok)?;
        if at.direction.context_takeover {
            *at = Rc::clone(&next);
        }
        Ok(next)
    }

    fn inflate(&mut self, at: &Rc<Place>, payload: &[u8]) -> Result<Rc<Place>, FrameError> {
        self.inflated += 1;
        let mut inflater = at.take_inflater()?;
        let mut said = Vec::new();
        inflater.message(payload, EVENT_BYTES_MAX, &mut said)?;
        let next = Place::new(at.direction, payload, said, Some(Rc::downgrade(at)));
        let stands = if at.direction.context_takeover { &next } else { at };
        stands.inflater.replace(Some(inflater));
        let mut following = at.following.borrow_mut();
        following.retain(|place| place.strong_count() > 0);
        if following.len() == FOLLOWING_MAX {
            following.remove(0);
        }
        following.push(Rc::downgrade(&next));
        self.keep(&next);
        Ok(next)
    }

    fn keep(&mut self, place: &Rc<Place>) {
        let bytes = |place: &Place| size_of::<Place>() + place.payload.len() + place.said.len();
        self.kept_bytes += bytes(place);
        self.kept.push_back(Rc::clone(place));
        while self.kept_bytes > KEPT_BYTES_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            self.kept_bytes -= bytes(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::deflate::Deflater;

    use super::*;

    fn text(n: usize) -> Vec<u8> {
        format!(r#"{{"type":"message.new","cid":"messaging:den","seq":{n},"text":"{:x}"}}"#, n * 7_919).into_bytes()
    }

    fn deflated(deflater: &mut Deflater, text: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        deflater.message(text, &mut payload);
        payload
    }

    #[test]
    fn a_shared_stream_is_inflated_once() {
        let mut streams = Streams::default();
        let mut deflater = Deflater::new(Direction::FULL, 1).unwrap();
        let mut users: Vec<_> = (0..100).map(|_| streams.start(&Agreement::FULL)).collect();
        for n in 0..50 {
            let (text, payload) = (text(n), deflated(&mut deflater, &text(n)));
            // The first is two messages ahead of the last, as its socket was read first.
            for user in &mut users {
                assert_eq!(streams.follow(user, &payload).unwrap().said(), text);
            }
        }
        assert_eq!(streams.inflated, 50);
    }

    #[test]
    fn without_context_the_same_bytes_are_inflated_once() {
        let mut streams = Streams::default();
        let alone = Agreement { from_server: Direction::ALONE, from_client: Direction::ALONE };
        let mut deflater = Deflater::new(Direction::ALONE, 1).unwrap();
        let mut users: Vec<_> = (0..10).map(|_| streams.start(&alone)).collect();
        for n in 0..5 {
            let payload = deflated(&mut deflater, &text(n));
            for user in &mut users {
                assert_eq!(streams.follow(user, &payload).unwrap().said(), text(n));
            }
        }
        assert_eq!(streams.inflated, 5);
    }

    #[test]
    fn who_is_too_far_behind_to_part_is_told_so_and_nobody_else() {
        let mut streams = Streams::default();
        let mut deflater = Deflater::new(Direction::FULL, 1).unwrap();
        let (mut ahead, mut behind) = (streams.start(&Agreement::FULL), streams.start(&Agreement::FULL));
        let noise = |n: usize| (0..20_000).map(|i| ((i + n) * 7_919 % 251) as u8).collect::<Vec<_>>();
        for n in 0..600 {
            let payload = deflated(&mut deflater, &noise(n));
            streams.follow(&mut ahead, &payload).unwrap();
            if n < 2 {
                streams.follow(&mut behind, &payload).unwrap();
            }
        }
        assert!(streams.kept_bytes <= KEPT_BYTES_MAX);
        let other = deflated(&mut Deflater::new(Direction::FULL, 1).unwrap(), b"another way");
        assert_eq!(streams.follow(&mut behind, &other).map(|_| ()), Err(FrameError::NotDeflate));
        assert_eq!(streams.follow(&mut ahead, &other).unwrap().said(), b"another way");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Users join, lag and get messages of their own in between, each connection with a deflater of its own or with
        /// the shared one: everybody reads what was said.
        #[test]
        fn everybody_reads_what_was_sent_to_them(
            steps in prop::collection::vec((0_usize..6, 0_u8..10), 1..120),
        ) {
            let mut streams = Streams::default();
            let mut shared = Deflater::new(Direction::FULL, 1).unwrap();
            let mut own: Vec<_> = (0..6).map(|_| Deflater::new(Direction::FULL, 1).unwrap()).collect();
            let mut users: Vec<_> = (0..6).map(|_| streams.start(&Agreement::FULL)).collect();
            let mut waiting: Vec<VecDeque<(Vec<u8>, Vec<u8>)>> = vec![VecDeque::new(); 6];
            for (n, (user, what)) in steps.into_iter().enumerate() {
                let text = text(n % 9);
                match what {
                    // A broadcast to the first four, who follow the shared stream.
                    0..6 => {
                        let payload = deflated(&mut shared, &text);
                        waiting[..4].iter_mut().for_each(|w| w.push_back((payload.clone(), text.clone())));
                    }
                    // The last two have contexts of their own.
                    6..8 => {
                        let user = 4 + user % 2;
                        waiting[user].push_back((deflated(&mut own[user], &text), text));
                    }
                    _ => {
                        for _ in 0..=what {
                            let Some((payload, text)) = waiting[user].pop_front() else { break };
                            let read = streams.follow(&mut users[user], &payload).unwrap();
                            prop_assert_eq!(read.said(), text);
                        }
                    }
                }
            }
            for (user, waiting) in waiting.iter_mut().enumerate() {
                for (payload, text) in waiting.drain(..) {
                    let read = streams.follow(&mut users[user], &payload).unwrap();
                    prop_assert_eq!(read.said(), text);
                }
            }
        }
    }
}

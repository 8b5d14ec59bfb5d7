//! A channel's events as one compressed stream, which all its watchers share.
//!
//! An event is compressed once, against those before it since the stream's last reset. Whoever has read all of them can
//! read it; whoever came later reads plain events until the next reset, and events that are sent plain touch nobody's
//! window. So a connection costs nothing here, and a channel one compressor, which it has only while enough connections
//! follow.

use wire::deflate::{Deflater, Direction};
use wire::frame::{Opcode, server_payload};

use crate::hub::{Outgoing, Packed};

/// zlib's level: what a higher one saves in bytes of short messages, it costs twice in time under the channel's lock.
const LEVEL: u32 = 3;

/// When a stream is worth it, and when it begins anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Connections that must be able to follow.
    pub(crate) followers: u32,
    /// After so many events it begins anew, whoever came.
    pub(crate) longest: u32,
    /// After so many it begins anew if a quarter of the followers came since.
    pub(crate) shortest: u32,
}

impl Pace {
    /// A compressor has 300 KiB, as much as a few connections altogether.
    pub(crate) const USUAL: Self = Self { followers: 4, longest: 128, shortest: 8 };
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Stream {
    pace: Pace,
    deflater: Option<Box<Deflater>>,
    /// Events since it began.
    events: u32,
    /// Connections that watch and can follow, and how many of them came since it began.
    followers: u32,
    newcomers: u32,
}

impl Stream {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, deflater: None, events: 0, followers: 0, newcomers: 0 }
    }

    /// A connection that can follow starts to watch.
    pub(crate) fn came(&mut self) {
        self.followers += 1;
        self.newcomers += 1;
    }

    /// A connection that can follow stops watching.
    pub(crate) fn went(&mut self) {
        self.followers = self.followers.saturating_sub(1);
        self.newcomers = self.newcomers.min(self.followers);
        if self.followers < self.pace.followers {
            self.deflater = None;
        }
    }

    /// Adds its compressed form to an event that all watchers get.
    pub(crate) fn pack(&mut self, event: &mut Outgoing) {
        if self.followers < self.pace.followers {
            return;
        }
        if self.deflater.is_none() {
            self.deflater = Deflater::new(Direction::FULL, LEVEL).map(Box::new);
            self.begin();
        }
        let Some(deflater) = &mut self.deflater else { return };
        let many = self.newcomers.saturating_mul(4) >= self.followers;
        if self.events >= self.pace.longest || (many && self.events >= self.pace.shortest) {
            deflater.reset();
        }
        let begins = deflater.is_fresh();
        let frame = deflater.server_frame(Opcode::Text, &server_payload(&event.frame));
        event.packed = Some(Packed { frame, begins });
        if begins {
            self.begin();
        }
        self.events += 1;
    }

    fn begin(&mut self) {
        self.events = 0;
        self.newcomers = 0;
    }
}

#[cfg(test)]
mod tests {
    use wire::deflate::Inflater;
    use wire::event::{Event, Message, User};

    use super::*;
    use crate::channel::encode;

    /// A busy room's `message.new` events, with all the ids and dates that real ones have.
    fn event(n: u64) -> Outgoing {
        const WORDS: [&str; 12] =
            ["what", "about", "the", "second", "half", "nobody", "knows", "it", "was", "offside", "again", "really"];
        let word = |i: u64| WORDS[(n.wrapping_mul(2_654_435_761) >> (i * 5)) as usize % WORDS.len()];
        let user = User { id: format!("user-{:05}", n * 7_919 % 10_000), ..User::default() };
        let message = Message {
            id: format!(
                "{:08x}-{:04x}-7{:03x}-{:012x}",
                n * 77_777,
                n % 999,
                n % 777,
                n.wrapping_mul(0x9e37_79b9_7f4a)
            ),
            text: (0..8).map(word).collect::<Vec<_>>().join(" "),
            user: user.clone(),
            created_at: format!("2026-11-24T03:15:{:02}.{:06}Z", n % 60, n * 7_351 % 1_000_000),
            ..Message::default()
        };
        let event = Event {
            kind: "message.new".to_owned(),
            created_at: message.created_at.clone(),
            cid: "livestream:final".to_owned(),
            channel_type: "livestream".to_owned(),
            channel_id: "final".to_owned(),
            user: Some(user),
            message: Some(message),
            seq: Some(n),
            ..Event::default()
        };
        Outgoing::new(Some(n), encode(&event))
    }

    fn stream(followers: u32) -> Stream {
        let mut stream = Stream::new(Pace::USUAL);
        (0..followers).for_each(|_| stream.came());
        stream
    }

    #[test]
    fn a_busy_room_costs_a_third_of_its_bytes_or_less() {
        let (mut stream, mut inflater) = (stream(100), Inflater::new(Direction::FULL));
        let (mut plain, mut packed) = (0, 0);
        for n in 1..=1_000 {
            let mut event = event(n);
            stream.pack(&mut event);
            let frame = event.packed.unwrap().frame;
            (plain, packed) = (plain + event.frame.len(), packed + frame.len());
            let mut text = Vec::new();
            inflater.message(&server_payload(&frame), 10_000, &mut text).unwrap();
            assert_eq!(text, server_payload(&event.frame));
        }
        assert!(plain > 3 * packed, "{plain} bytes became {packed}");
    }

    #[test]
    fn newcomers_wait_for_a_few_events_if_they_are_many() {
        let mut stream = stream(100);
        let begins = |stream: &mut Stream, events: u64| {
            let mut pack = |n| {
                let mut event = event(n);
                stream.pack(&mut event);
                event.packed.is_some_and(|packed| packed.begins)
            };
            (1..=events).filter(|n| pack(*n)).collect::<Vec<_>>()
        };
        assert_eq!(begins(&mut stream, 10), [1]);
        stream.came();
        assert_eq!(begins(&mut stream, 150), [119], "one more is worth no new beginning before its time");
        (0..40).for_each(|_| stream.came());
        assert_eq!(begins(&mut stream, 20), [1], "many are, and the stream was long enough");
        (0..60).for_each(|_| stream.came());
        assert_eq!(begins(&mut stream, 20), [1], "once more, after the shortest stream there is");
    }

    #[test]
    fn without_followers_there_is_no_compressor() {
        let mut stream = stream(4);
        let packs = |stream: &mut Stream| {
            let mut event = event(1);
            stream.pack(&mut event);
            event.packed.map(|packed| packed.begins)
        };
        assert_eq!((packs(&mut stream), packs(&mut stream)), (Some(true), Some(false)));
        stream.went();
        assert!(packs(&mut stream).is_none() && stream.deflater.is_none());
        stream.came();
        assert_eq!(packs(&mut stream), Some(true));
    }
}

//! Heads of events, read once for all receivers: every receiver of a broadcast gets the same bytes.

use std::collections::HashMap;

use wire::Stamp;
use wire::event::{EventHead, kind};

use crate::user::ChannelId;

/// Frames that are remembered. A broadcast's frames come close together, so a few for each channel of a burst do.
const SLOTS: usize = 64;
/// Longer frames are read every time.
const REMEMBERED_MAX: usize = 4 << 10;

/// What a worker must know of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The channel, if it is one of ours.
    pub(crate) channel: Option<ChannelId>,
    /// The channel's event number.
    pub(crate) seq: Option<u64>,
    /// It is a `message.new`.
    pub(crate) message: bool,
    /// Whose message it is, if it is one of throng's.
    pub(crate) stamp: Option<Stamp>,
}

/// The channels that the users of a thread watch.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    ids: HashMap<String, ChannelId>,
    list: Vec<Channel>,
}

/// A channel, as the users of a thread see it.
#[derive(Debug)]
pub(crate) struct Channel {
    /// `type:id`.
    pub(crate) cid: String,
    /// The newest message that any of them has seen; empty if none.
    pub(crate) newest: String,
}

impl Channels {
    /// The number of a channel, which it gets when it is first asked for.
    pub(crate) fn intern(&mut self, cid: String) -> ChannelId {
        let next = self.list.len() as ChannelId;
        match self.ids.get(&cid) {
            Some(id) => *id,
            None => {
                self.list.push(Channel { cid: cid.clone(), newest: String::new() });
                self.ids.insert(cid, next);
                next
            }
        }
    }

    /// The number of a channel that is known.
    pub(crate) fn find(&self, cid: &str) -> Option<ChannelId> {
        self.ids.get(cid).copied()
    }

    /// The channel with this number.
    pub(crate) fn get(&self, id: ChannelId) -> &Channel {
        &self.list[id as usize]
    }
}

/// Recognises frames by their bytes.
#[derive(Debug)]
pub(crate) struct Frames {
    slots: Vec<(Vec<u8>, Head)>,
    /// Frames that had to be read.
    pub(crate) read: u64,
}

impl Default for Frames {
    fn default() -> Self {
        Self { slots: vec![Default::default(); SLOTS], read: 0 }
    }
}

impl Frames {
    /// The head of a frame; `None` if the frame is no event.
    pub(crate) fn head(&mut self, frame: &[u8], channels: &mut Channels) -> Option<Head> {
        let slot = slot_of(frame);
        if self.slots[slot].0 == frame && !frame.is_empty() {
            return Some(self.slots[slot].1);
        }
        self.read += 1;
        let head = read(frame, channels)?;
        if frame.len() <= REMEMBERED_MAX {
            let (bytes, known) = &mut self.slots[slot];
            bytes.clear();
            bytes.extend_from_slice(frame);
            *known = head;
        }
        Some(head)
    }
}

fn read(frame: &[u8], channels: &mut Channels) -> Option<Head> {
    let event = EventHead::parse(frame).ok()?;
    let channel = channels.find(&event.cid);
    let message = event.kind == kind::MESSAGE_NEW;
    if let (true, Some(channel), Some(said)) = (message, channel, &event.message) {
        let newest = &mut channels.list[channel as usize].newest;
        newest.clear();
        newest.push_str(&said.id);
    }
    Some(Head { channel, seq: event.seq, message, stamp: event.message.and_then(|m| m.throng) })
}

/// Mixes all bytes, eight at a time; whether it is the same frame is decided by comparing them.
fn slot_of(frame: &[u8]) -> usize {
    let (words, rest) = frame.as_chunks::<8>();
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = words.iter().fold(0, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)));
    (hash >> 32) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_are_read_once() {
        let (mut frames, mut channels) = (Frames::default(), Channels::default());
        let den = channels.intern("messaging:den".into());
        assert_eq!((den, channels.intern("messaging:den".into()), channels.list.len()), (0, 0, 1));
        let frame = |seq: u64| {
            format!(
                r#"{{"type":"message.new","cid":"messaging:den","seq":{seq},"message":{{"id":"m{seq}","text":"x",
                "throng":{{"action":1,"number":{seq},"due":3,"sent":4}}}}}}"#
            )
        };
        for seq in [1, 2, 1, 2, 3] {
            let head = frames.head(frame(seq).as_bytes(), &mut channels).unwrap();
            assert_eq!((head.channel, head.seq, head.message), (Some(den), Some(seq), true));
            assert_eq!(head.stamp, Some(Stamp { action: 1, number: seq, due: 3, sent: 4 }));
        }
        assert_eq!(frames.read, 3);
        assert_eq!(channels.get(den).newest, "m3");
        assert_eq!(frames.head(b"[]", &mut channels), None);
        assert_eq!(frames.head(b"", &mut channels), None);
    }

    #[test]
    fn a_health_check_belongs_to_no_channel() {
        let head = Frames::default().head(br#"{"type":"health.check","connection_id":"c"}"#, &mut Channels::default());
        assert_eq!(head, Some(Head::default()));
    }
}

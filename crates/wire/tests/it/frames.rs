//! The frame codec: whatever was sent is received, however it is cut, and garbage never panics.

use bytes::BytesMut;
use proptest::prelude::*;
use wire::frame::{Decoder, FrameError, Opcode, Received, Role, put_client_frame, server_frame};

const LIMIT: usize = 4_096;

/// A message as a test keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    Text(String),
    Binary(Vec<u8>),
    Deflated(Opcode, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl From<Received<'_>> for Kept {
    fn from(received: Received<'_>) -> Self {
        match received {
            Received::Text(text) => Self::Text(text.to_owned()),
            Received::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Received::Deflated(kind, bytes) => Self::Deflated(kind, bytes.to_vec()),
            Received::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Received::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Received::Close(code, reason) => Self::Close(code, reason.to_owned()),
        }
    }
}

/// Feeds `bytes` in chunks that end at the given places.
fn decode(decoder: &mut Decoder, bytes: &[u8], cuts: &[usize]) -> (Vec<Kept>, Option<FrameError>) {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let (mut kept, mut from) = (Vec::new(), 0);
    for to in cuts {
        let mut chunk = bytes[from..to].to_vec();
        from = to;
        let mut input = chunk.as_mut_slice();
        loop {
            let before = input.len();
            match decoder.next(&mut input) {
                Ok(Some(received)) => kept.push(received.into()),
                Ok(None) => break,
                Err(error) => return (kept, Some(error)),
            }
            assert!(input.len() < before || before == 0, "no progress");
        }
        assert!(input.is_empty(), "input was left over");
    }
    (kept, None)
}

/// Writes one frame by hand, with any flags.
fn raw(out: &mut BytesMut, first: u8, payload: &[u8], mask: Option<[u8; 4]>) {
    let mut whole = BytesMut::new();
    match mask {
        Some(mask) => put_client_frame(&mut whole, Opcode::Text, payload, mask),
        None => whole.extend_from_slice(&server_frame(Opcode::Text, payload)),
    }
    whole[0] = first;
    out.extend_from_slice(&whole);
}

fn arbitrary_message() -> impl Strategy<Value = Kept> {
    prop_oneof![
        4 => ".{0,200}".prop_map(Kept::Text),
        1 => "[a-z]{1000,1300}".prop_map(Kept::Text),
        1 => prop::collection::vec(any::<u8>(), 0..400).prop_map(Kept::Binary),
        1 => (any::<bool>(), prop::collection::vec(any::<u8>(), 0..400))
            .prop_map(|(text, bytes)| Kept::Deflated(if text { Opcode::Text } else { Opcode::Binary }, bytes)),
        1 => prop::collection::vec(any::<u8>(), 0..=125).prop_map(Kept::Ping),
        1 => prop::collection::vec(any::<u8>(), 0..=125).prop_map(Kept::Pong),
    ]
}

/// Sends a message in `parts` fragments, with a ping between each two.
fn put_message(out: &mut BytesMut, message: &Kept, parts: usize, mask: Option<[u8; 4]>) -> Vec<Kept> {
    let (opcode, payload) = match message {
        Kept::Text(text) => (1, text.as_bytes()),
        Kept::Deflated(kind, bytes) => (0x40 | *kind as u8, bytes.as_slice()),
        Kept::Binary(bytes) => (2, bytes.as_slice()),
        Kept::Ping(bytes) => (9, bytes.as_slice()),
        Kept::Pong(bytes) => (10, bytes.as_slice()),
        Kept::Close(..) => unreachable!("not generated"),
    };
    let parts = if opcode & 8 != 0 { 1 } else { parts };
    let size = payload.len().div_ceil(parts).max(1);
    let mut pieces: Vec<&[u8]> = payload.chunks(size).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let (mut expected, last) = (Vec::new(), pieces.len() - 1);
    for (i, piece) in pieces.iter().enumerate() {
        let fin = if i == last { 0x80 } else { 0 };
        raw(out, fin | if i == 0 { opcode } else { 0 }, piece, mask);
        if i != last {
            raw(out, 0x89, b"between", mask);
            expected.push(Kept::Ping(b"between".to_vec()));
        }
    }
    expected.push(message.clone());
    expected
}

proptest! {
    #[test]
    fn what_was_sent_is_received_however_it_is_cut(
        messages in prop::collection::vec((arbitrary_message(), 1_usize..5), 1..12),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
        mask in prop::option::of(any::<[u8; 4]>()),
    ) {
        let mut bytes = BytesMut::new();
        let mut expected = Vec::new();
        for (message, parts) in &messages {
            expected.extend(put_message(&mut bytes, message, *parts, mask));
        }
        let role = if mask.is_some() { Role::Server } else { Role::Client };
        let mut decoder = Decoder::new(role, LIMIT).deflated(true);
        let (kept, error) = decode(&mut decoder, &bytes, &cuts);
        prop_assert_eq!(error, None);
        prop_assert_eq!(kept, expected);
        prop_assert!(!decoder.is_mid_message());
    }

    #[test]
    fn garbage_gives_the_same_answer_however_it_is_cut(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
        (server, deflate) in any::<(bool, bool)>(),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let whole = decode(&mut Decoder::new(role, LIMIT).deflated(deflate), &bytes, &[]);
        let mut decoder = Decoder::new(role, LIMIT).deflated(deflate);
        let cut = decode(&mut decoder, &bytes, &cuts);
        prop_assert_eq!(&whole, &cut);
        if let Some(error) = cut.1 {
            let mut more = [0_u8; 2];
            prop_assert_eq!(decoder.next(&mut &mut more[..]), Err(error), "an error is final");
        }
    }

    #[test]
    fn flipped_bits_never_panic(
        messages in prop::collection::vec((arbitrary_message(), 1_usize..5), 1..6),
        flips in prop::collection::vec((any::<usize>(), 0_u8..8), 1..6),
        cuts in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        let mut bytes = BytesMut::new();
        for (message, parts) in &messages {
            put_message(&mut bytes, message, *parts, Some([1, 2, 3, 4]));
        }
        for (at, bit) in flips {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        decode(&mut Decoder::new(Role::Server, LIMIT).deflated(true), &bytes, &cuts);
    }
}

/// What a server's decoder says to one hand-made frame.
fn verdict(first: u8, payload: &[u8]) -> Result<Vec<Kept>, u16> {
    verdict_of(&mut Decoder::new(Role::Server, LIMIT), first, payload)
}

fn verdict_of(decoder: &mut Decoder, first: u8, payload: &[u8]) -> Result<Vec<Kept>, u16> {
    let mut bytes = BytesMut::new();
    raw(&mut bytes, first, payload, Some([9, 8, 7, 6]));
    match decode(decoder, &bytes, &[]) {
        (kept, None) => Ok(kept),
        (_, Some(error)) => Err(error.close_code()),
    }
}

#[test]
fn rules_of_the_rfc() {
    assert_eq!(verdict(0x88, b""), Ok(vec![Kept::Close(None, String::new())]));
    assert_eq!(verdict(0x88, b"\x03\xe8bye"), Ok(vec![Kept::Close(Some(1000), "bye".into())]));
    assert_eq!(verdict(0x88, b"\x03"), Err(1002), "half a code");
    assert_eq!(verdict(0x88, b"\x03\xed"), Err(1002), "1005 is never sent");
    assert_eq!(verdict(0x88, b"\x03\xe8\xff"), Err(1007), "the reason must be UTF-8");
    assert_eq!(verdict(0x81, b"\xc0\x80"), Err(1007));
    assert_eq!(verdict(0xc1, b"x"), Err(1002), "a reserved bit");
    assert_eq!(verdict(0x83, b"x"), Err(1002), "a reserved opcode");
    assert_eq!(verdict(0x80, b"x"), Err(1002), "a continuation of nothing");
    assert_eq!(verdict(0x09, b"x"), Err(1002), "a fragmented ping");
    assert_eq!(verdict(0x89, &[0; 126]), Err(1002), "a long ping");
    assert_eq!(verdict(0x81, &[b'x'; LIMIT]).map(|kept| kept.len()), Ok(1));
    assert_eq!(verdict(0x81, &[b'x'; LIMIT + 1]), Err(1009));
}

#[test]
fn only_the_first_frame_of_a_message_says_that_it_is_compressed() {
    let agreed = || Decoder::new(Role::Server, LIMIT).deflated(true);
    let verdict = |first, payload| verdict_of(&mut agreed(), first, payload);
    assert_eq!(verdict(0xc1, b"x"), Ok(vec![Kept::Deflated(Opcode::Text, b"x".to_vec())]));
    assert_eq!(verdict(0xc2, b""), Ok(vec![Kept::Deflated(Opcode::Binary, Vec::new())]));
    assert_eq!(verdict(0x81, b"x"), Ok(vec![Kept::Text("x".into())]), "not every message is compressed");
    assert_eq!(verdict(0xa1, b"x"), Err(1002), "a bit that nobody agreed on");
    assert_eq!(verdict(0xc9, b"x"), Err(1002), "a compressed ping");
    assert_eq!(verdict(0xc8, b""), Err(1002), "a compressed close");
    assert_eq!(verdict(0xc1, &[0; LIMIT + 1]), Err(1009));
    let mut decoder = agreed();
    assert_eq!(verdict_of(&mut decoder, 0x41, b"a"), Ok(vec![]));
    assert_eq!(verdict_of(&mut decoder, 0x89, b"p"), Ok(vec![Kept::Ping(b"p".to_vec())]));
    assert_eq!(verdict_of(&mut decoder, 0x80, b"b"), Ok(vec![Kept::Deflated(Opcode::Text, b"ab".to_vec())]));
    assert_eq!(verdict_of(&mut decoder, 0x01, b"a"), Ok(vec![]));
    assert_eq!(verdict_of(&mut decoder, 0xc0, b"b"), Err(1002), "compressed from the middle on");
}

#[test]
fn limits_hold_before_the_payload_comes_and_over_fragments() {
    let mut huge = [0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
    let mut decoder = Decoder::new(Role::Server, LIMIT);
    assert_eq!(decoder.next(&mut &mut huge[..]), Err(FrameError::TooBig { limit: LIMIT }));
    let mut bytes = BytesMut::new();
    raw(&mut bytes, 0x01, &[b'x'; LIMIT], Some([0; 4]));
    raw(&mut bytes, 0x80, b"x", Some([0; 4]));
    let (_, error) = decode(&mut Decoder::new(Role::Server, LIMIT), &bytes, &[]);
    assert_eq!(error, Some(FrameError::TooBig { limit: LIMIT }));
    let mut long_form = [0x81, 0xfe, 0, 5, 1, 2, 3, 4];
    assert!(Decoder::new(Role::Server, LIMIT).next(&mut &mut long_form[..]).is_err(), "not the shortest form");
    let mut unmasked = [0x81, 0x01, b'x'];
    assert!(Decoder::new(Role::Server, LIMIT).next(&mut &mut unmasked[..]).is_err());
}

#[test]
fn after_a_close_nothing_counts() {
    let mut bytes = BytesMut::new();
    raw(&mut bytes, 0x88, b"\x03\xe8", Some([1; 4]));
    raw(&mut bytes, 0xff, b"garbage", Some([1; 4]));
    let (kept, error) = decode(&mut Decoder::new(Role::Server, LIMIT), &bytes, &[3]);
    assert_eq!((kept.len(), error), (1, None));
}

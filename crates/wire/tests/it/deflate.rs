//! Compressed messages: any of them, against any history, and garbage; and another implementation's bytes.

use proptest::prelude::*;
use wire::deflate::{Deflater, Direction, Inflater};
use wire::frame::{Decoder, FrameError, Opcode, Received, Role};

const LIMIT: usize = 8_192;

fn inflate(inflater: &mut Inflater, payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::new();
    inflater.message(payload, LIMIT, &mut out).map(|()| out)
}

/// Words that repeat, so that there is something to refer to, and noise.
fn arbitrary_message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "(message|typing|channel|[a-z]{1,4}){0,300}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..3_000),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_compressed_is_read(
        messages in prop::collection::vec((arbitrary_message(), prop::bool::weighted(0.2)), 1..20),
        (context_takeover, window_bits, level) in (any::<bool>(), 9_u8..=15, 1_u32..=9),
    ) {
        let direction = Direction { context_takeover, window_bits };
        let mut deflater = Deflater::new(direction, level).unwrap();
        let (mut old, mut newcomer) = (Inflater::new(direction), None::<Inflater>);
        for (message, reset) in &messages {
            if *reset {
                deflater.reset();
            }
            let joins = deflater.is_fresh();
            let frame = deflater.server_frame(Opcode::Binary, message);
            let mut bytes = frame.to_vec();
            let mut decoder = Decoder::new(Role::Client, LIMIT).deflated(true);
            let mut input = bytes.as_mut_slice();
            let Ok(Some(Received::Deflated(Opcode::Binary, payload))) = decoder.next(&mut input) else {
                panic!("a server's compressed frame")
            };
            prop_assert_eq!(&inflate(&mut old, payload), &Ok(message.clone()));
            if joins {
                newcomer = Some(Inflater::new(direction));
            }
            let newcomer = newcomer.as_mut().expect("the first message is after a reset");
            prop_assert_eq!(&inflate(newcomer, payload), &Ok(message.clone()));
        }
    }

    #[test]
    fn garbage_neither_panics_nor_grows(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4)) {
        let mut inflater = Inflater::new(Direction::FULL);
        for payload in payloads {
            let mut out = Vec::new();
            let read = inflater.message(&payload, LIMIT, &mut out);
            prop_assert!(out.capacity() <= 2 * LIMIT);
            if let Err(error) = read {
                let known = [FrameError::NotDeflate, FrameError::TooBig { limit: LIMIT }].contains(&error);
                prop_assert!(known, "{error}");
                break;
            }
            prop_assert!(out.len() <= LIMIT);
        }
    }

    #[test]
    fn flipped_bits_never_panic(message in arbitrary_message(), at in any::<usize>(), bit in 0_u8..8) {
        let mut payload = Vec::new();
        Deflater::new(Direction::FULL, 6).unwrap().message(&message, &mut payload);
        let at = at % payload.len();
        payload[at] ^= 1 << bit;
        // Whatever it says, it says it within the limit.
        let _ = inflate(&mut Inflater::new(Direction::FULL), &payload);
    }
}

/// What Python's `zlib` makes of three events: `compressobj(6, DEFLATED, -15)`, a sync flush each, its end cut off.
#[test]
fn another_implementation_is_understood() {
    const PYTHON: [(&[u8], &str); 3] = [
        (
            &[
                0xaa, 0x56, 0x2a, 0xa9, 0x2c, 0x48, 0x55, 0xb2, 0x52, 0xca, 0x4d, 0x2d, 0x2e, 0x4e, 0x4c, 0x4f, 0xd5,
                0xcb, 0x4b, 0x2d, 0x57, 0xd2, 0x51, 0x4a, 0xce, 0x4c, 0x81, 0x8b, 0x65, 0xe6, 0xa5, 0x5b, 0xa5, 0xa4,
                0xe6, 0x01, 0x45, 0x8b, 0x53, 0x0b, 0x95, 0xac, 0x0c, 0x6b, 0x01, 0x00,
            ],
            r#"{"type":"message.new","cid":"messaging:den","seq":1}"#,
        ),
        (&[0xaa, 0x26, 0x59, 0x8f, 0x51, 0x2d, 0x00], r#"{"type":"message.new","cid":"messaging:den","seq":2}"#),
        (
            &[0x82, 0xeb, 0x01, 0x52, 0x40, 0x49, 0xbd, 0xe2, 0x92, 0xc4, 0xa2, 0x12, 0x1c, 0x9a, 0x6a, 0x01, 0x00],
            r#"{"type":"typing.start","cid":"messaging:den"}"#,
        ),
    ];
    let mut inflater = Inflater::new(Direction::FULL);
    for (payload, text) in PYTHON {
        assert_eq!(inflate(&mut inflater, payload).as_deref(), Ok(text.as_bytes()));
    }
    // Without the first the second refers to nothing.
    assert_eq!(inflate(&mut Inflater::new(Direction::FULL), PYTHON[1].0), Err(FrameError::NotDeflate));
    // A full flush, and a last block that marks itself as such, with the byte that makes it whole.
    let flushed: &[u8] = &[
        0xaa, 0x56, 0x2a, 0xa9, 0x2c, 0x48, 0x55, 0xb2, 0x52, 0xca, 0x4d, 0x2d, 0x2e, 0x4e, 0x4c, 0x4f, 0xd5, 0xcb,
        0x4b, 0x2d, 0x57, 0xd2, 0x51, 0x4a, 0xce, 0x4c, 0x81, 0x8b, 0x65, 0xe6, 0xa5, 0x5b, 0xa5, 0xa4, 0xe6, 0x01,
        0x45, 0x8b, 0x53, 0x0b, 0x95, 0xac, 0x0c, 0x6b, 0x01, 0x00,
    ];
    let finished: &[u8] = &[
        0xab, 0x56, 0x2a, 0xa9, 0x2c, 0x48, 0x55, 0xb2, 0x52, 0xca, 0x4d, 0x2d, 0x2e, 0x4e, 0x4c, 0x4f, 0xd5, 0xcb,
        0x4b, 0x2d, 0x57, 0xd2, 0x51, 0x4a, 0xce, 0x4c, 0x81, 0x8b, 0x65, 0xe6, 0xa5, 0x5b, 0xa5, 0xa4, 0xe6, 0x01,
        0x45, 0x8b, 0x53, 0x0b, 0x95, 0xac, 0x8c, 0x6a, 0x01, 0x00,
    ];
    let mut inflater = Inflater::new(Direction::FULL);
    assert_eq!(inflate(&mut inflater, flushed).as_deref(), Ok(PYTHON[0].1.as_bytes()));
    assert_eq!(inflate(&mut inflater, finished).as_deref(), Ok(PYTHON[1].1.as_bytes()));
    assert_eq!(inflate(&mut inflater, PYTHON[0].0).as_deref(), Ok(PYTHON[0].1.as_bytes()));
}

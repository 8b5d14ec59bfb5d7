//! The RFC's own bytes, both kinds of context, and bombs.

use super::*;

fn inflater() -> Inflater {
    Inflater::new(Direction::FULL)
}

fn inflated(inflater: &mut Inflater, payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::new();
    inflater.message(payload, 1_000, &mut out).map(|()| out)
}

fn deflated(deflater: &mut Deflater, payload: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    deflater.message(payload, &mut out);
    out.split_off(6)
}

/// RFC 7692, section 7.2.3.
#[test]
fn the_rfcs_examples() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    let mut one = inflater();
    assert_eq!(inflated(&mut one, &hello).unwrap(), b"Hello");
    assert_eq!(inflated(&mut one, &again).unwrap(), b"Hello", "refers to the one before");
    assert_eq!(inflated(&mut one, &hello).unwrap(), b"Hello");
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_eq!(inflated(&mut one, &stored).unwrap(), b"Hello");
    let last_block = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(inflated(&mut one, &last_block).unwrap(), b"Hello", "a block that is marked as the last");
    assert_eq!(inflated(&mut one, &hello).unwrap(), b"Hello");
    let two_blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(inflated(&mut one, &two_blocks).unwrap(), b"Hello");
    assert_eq!(inflated(&mut one, &[EMPTY]).unwrap(), b"");
    let mut deflater = Deflater::new(Direction::FULL, 6).unwrap();
    assert_eq!(deflated(&mut deflater, b"Hello"), hello);
    assert_eq!(deflated(&mut deflater, b"Hello"), again);
    deflater.reset();
    assert_eq!(deflated(&mut deflater, b"Hello"), hello, "nothing is left after a reset");
}

#[test]
fn empty_messages_are_one_byte_each_time() {
    let (mut deflater, mut inflater) = (Deflater::new(Direction::FULL, 1).unwrap(), inflater());
    for text in ["", "", "x", "", "", "x"] {
        let payload = deflated(&mut deflater, text.as_bytes());
        assert_eq!(inflated(&mut inflater, &payload).unwrap(), text.as_bytes());
        assert!(!text.is_empty() || payload == [EMPTY]);
    }
}

#[test]
fn without_context_every_message_stands_alone() {
    let mut deflater = Deflater::new(Direction::ALONE, 1).unwrap();
    let mut shared = Inflater::new(Direction::ALONE);
    let first = deflated(&mut deflater, b"the same words");
    for _ in 0..3 {
        assert!(deflater.is_fresh());
        assert_eq!(deflated(&mut deflater, b"the same words"), first);
        assert_eq!(inflated(&mut shared, &first).unwrap(), b"the same words");
        assert_eq!(inflated(&mut Inflater::new(Direction::ALONE), &first).unwrap(), b"the same words");
    }
}

#[test]
fn a_newcomer_reads_from_a_reset_on_and_the_others_go_on_reading() {
    let mut deflater = Deflater::new(Direction::FULL, 1).unwrap();
    let mut old = inflater();
    for n in 0..40 {
        if n % 10 == 0 {
            deflater.reset();
            assert!(deflater.is_fresh());
        }
        let text = format!(r#"{{"type":"message.new","cid":"messaging:den","seq":{n}}}"#);
        let payload = deflated(&mut deflater, text.as_bytes());
        assert!(!deflater.is_fresh());
        assert_eq!(inflated(&mut old, &payload).unwrap(), text.as_bytes());
        if n % 10 == 0 {
            assert_eq!(inflated(&mut inflater(), &payload).unwrap(), text.as_bytes());
        } else {
            assert!(payload.len() < text.len() / 2, "{} of {}", payload.len(), text.len());
        }
    }
}

#[test]
fn small_windows_are_kept_to_and_smaller_ones_refused() {
    let direction = |window_bits| Direction { context_takeover: true, window_bits };
    assert!(Deflater::new(direction(8), 6).is_none());
    let noise: Vec<u8> = (0..3_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for bits in 9..=15 {
        let mut deflater = Deflater::new(direction(bits), 6).unwrap();
        let mut inflater = Inflater::new(direction(bits));
        for part in [&noise[..], &noise[..900], b"x", &noise[..]] {
            let mut out = Vec::new();
            let payload = deflated(&mut deflater, part);
            inflater.message(&payload, 3_000, &mut out).unwrap();
            assert_eq!(out, part, "{bits} bits");
        }
    }
}

#[test]
fn bombs_are_stopped_at_the_limit() {
    let payload = deflated(&mut Deflater::new(Direction::FULL, 9).unwrap(), &vec![b'x'; 10 << 20]);
    assert!(payload.len() < 20_000);
    let mut out = vec![1, 2, 3];
    let bomb = inflater().message(&payload, 100_000, &mut out);
    assert_eq!(bomb, Err(FrameError::TooBig { limit: 100_000 }));
    assert!(out.capacity() <= 300_000, "{} bytes for a limit of 100,000", out.capacity());
    let exact = deflated(&mut Deflater::new(Direction::FULL, 1).unwrap(), &[b'x'; 1_000]);
    assert_eq!(inflated(&mut inflater(), &exact).map(|out| out.len()), Ok(1_000), "the limit itself is allowed");
    let more = deflated(&mut Deflater::new(Direction::FULL, 1).unwrap(), &[b'x'; 1_001]);
    assert_eq!(inflated(&mut inflater(), &more), Err(FrameError::TooBig { limit: 1_000 }));
}

#[test]
fn what_is_no_deflate_data_is_told_apart() {
    assert_eq!(inflated(&mut inflater(), &[0xff; 20]), Err(FrameError::NotDeflate));
    assert_eq!(FrameError::NotDeflate.close_code(), crate::close::INVALID_DATA);
    // Refers to what was never sent.
    assert_eq!(inflated(&mut inflater(), &[0xf2, 0x00, 0x11, 0x00, 0x00]), Err(FrameError::NotDeflate));
}

#[test]
fn an_inflater_can_be_made_from_what_was_said() {
    let mut deflater = Deflater::new(Direction::FULL, 6).unwrap();
    let mut old = inflater();
    let mut said = Vec::new();
    for n in 0..300_u32 {
        let text = format!("message {n} of {:x}: {}", n.wrapping_mul(2_654_435_761), "words ".repeat(40));
        let payload = deflated(&mut deflater, text.as_bytes());
        if n == 1 || n == 140 || n == 299 {
            let mut new = Inflater::after(Direction::FULL, &said);
            assert_eq!(inflated(&mut new, &payload).unwrap(), text.as_bytes(), "after {} bytes", said.len());
        }
        assert_eq!(inflated(&mut old, &payload).unwrap(), text.as_bytes());
        said.extend_from_slice(text.as_bytes());
    }
    assert!(said.len() > 70_000);
}

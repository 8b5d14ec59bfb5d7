//! What users say: plausible words, of an exact length, the same for the same seed.

use measure::SplitMix64;

/// Words of a stadium.
const WORDS: [&str; 64] = [
    "the", "goal", "what", "a", "save", "come", "on", "now", "we", "are", "so", "close", "that", "was", "never",
    "offside", "again", "look", "at", "him", "run", "they", "can", "win", "this", "yes", "no", "wait", "did", "you",
    "see", "it", "my", "heart", "still", "beating", "ten", "minutes", "left", "hold", "line", "great", "pass", "from",
    "midfield", "keeper", "hands", "crowd", "going", "wild", "here", "listen", "to", "them", "sing", "believe", "half",
    "time", "already", "score", "please", "one", "more", "unreal",
];

/// A text of exactly `bytes` bytes (ASCII).
pub(crate) fn text(seed: u64, action: u16, number: u64, bytes: u32) -> String {
    let bytes = bytes as usize;
    let mut draws = SplitMix64::of(&[seed, u64::from(action), number]);
    let mut text = String::with_capacity(bytes + 12);
    while text.len() < bytes {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(WORDS[draws.below(WORDS.len() as u64) as usize]);
    }
    text.truncate(bytes);
    if text.ends_with(' ') {
        text.pop();
        text.push('!');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_exactly_long_and_repeatable() {
        for bytes in [0, 1, 2, 17, 120, 400] {
            let said = text(7, 1, 2, bytes);
            assert_eq!((said.len(), said.trim().len()), (bytes as usize, bytes as usize), "{said:?}");
            assert_eq!(said, text(7, 1, 2, bytes));
        }
        assert_ne!(text(7, 1, 2, 60), text(7, 1, 3, 60));
    }
}

//! The few SVG words that charts write themselves: text and lines of the frame.

use std::fmt::Write;

/// Where a text's given point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Text for XML, attributes included.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no way to say them, and a report has no use for them.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A text whose baseline is at `y`.
pub(super) fn text(out: &mut String, (x, y): (f64, f64), anchor: Anchor, class: &str, words: &str) {
    let anchor = match anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    let _ =
        write!(out, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{}</text>"#, escape(words));
}

/// A straight line.
pub(super) fn line(out: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
    let _ = write!(out, r#"<path class="{class}" d="M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}"/>"#);
}

/// How wide a text will be, in pixels: on the generous side, for fonts differ.
pub(super) fn text_width(words: &str, size: f64) -> f64 {
    let ems: f64 = words
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | '.' | ',' | ':' | '\'' | '|' | ' ' | '\u{a0}' => 0.33,
            'r' | 't' | 'f' | '-' | '/' => 0.42,
            'w' => 0.82,
            'm' | 'M' | 'W' | '%' | '@' => 0.97,
            c if c.is_ascii_uppercase() => 0.74,
            c if c.is_ascii() => 0.635,
            _ => 1.0,
        })
        .sum();
    ems * size
}

/// Cuts letters out of a text's middle so that it fits, for names differ at their ends; empty when it can't.
pub(super) fn fit(words: &str, size: f64, room: f64) -> String {
    if text_width(words, size) <= room {
        return words.to_owned();
    }
    let letters: Vec<char> = words.chars().collect();
    (3..letters.len())
        .rev()
        .map(|held| {
            let (head, tail) = (held.div_ceil(2), held / 2);
            letters[..head].iter().chain(&['…']).chain(&letters[letters.len() - tail..]).collect::<String>()
        })
        .find(|cut| text_width(cut, size) <= room)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes_from_a_text() {
        assert_eq!(escape("</svg><script>\"'&\u{0}"), "&lt;/svg&gt;&lt;script&gt;&quot;&#39;&amp; ");
    }

    #[test]
    fn a_long_text_is_cut_and_a_tiny_room_stays_empty() {
        assert_eq!(fit("spike", 12.0, 100.0), "spike");
        assert_eq!(fit("fans/send #3582", 12.0, 84.0), "fans/…#3582");
        assert_eq!(fit("spike", 12.0, 10.0), "");
    }
}

//! A plotters backend that writes SVG with classes instead of colours, in tenths of a pixel.
//!
//! plotters' own SVG backend writes colours and whole pixels: neither follows `prefers-color-scheme`, and steps of a
//! pixel show on a line that is two pixels thick.

use std::convert::Infallible;
use std::fmt::Write;

use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind};

use super::ink::Ink;

/// Backend units in a pixel.
pub(super) const FINE: i32 = 10;

/// Writes to the string.
pub(super) struct Sheet<'a> {
    out: &'a mut String,
    size: (u32, u32),
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl<'a> Sheet<'a> {
    /// A sheet of so many pixels.
    pub(super) fn new(out: &'a mut String, (width, height): (f64, f64)) -> Self {
        let fine = f64::from(FINE);
        Self { out, size: ((width * fine) as u32, (height * fine) as u32) }
    }

    fn path(&mut self, points: impl IntoIterator<Item = BackendCoord>, role: &str, color: BackendColor, close: bool) {
        let _ = write!(self.out, r#"<path class="{role} {}" d=""#, Ink::of(color.rgb).class());
        for (i, (x, y)) in points.into_iter().enumerate() {
            self.out.push(if i == 0 { 'M' } else { 'L' });
            self.tenths(x);
            self.out.push(' ');
            self.tenths(y);
        }
        self.out.push_str(if close { "Z\"/>" } else { "\"/>" });
    }

    fn tenths(&mut self, at: i32) {
        let (whole, rest) = (at / FINE, (at % FINE).abs());
        let _ = if rest == 0 { write!(self.out, "{whole}") } else { write!(self.out, "{whole}.{rest}") };
    }
}

impl DrawingBackend for Sheet<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.path([(x, y), (x + FINE, y)], "s", color, false);
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.path([from, to], "s", style.color(), false);
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(&mut self, a: BackendCoord, b: BackendCoord, style: &S, fill: bool) -> Drawn {
        self.path([a, (b.0, a.1), b, (a.0, b.1)], if fill { "f" } else { "s" }, style.color(), true);
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        self.path(path, "s", style.color(), false);
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        self.path(path, "f", style.color(), true);
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(&mut self, center: BackendCoord, radius: u32, style: &S, fill: bool) -> Drawn {
        let role = if fill { "f" } else { "s" };
        let _ = write!(self.out, r#"<circle class="{role} {}" cx=""#, Ink::of(style.color().rgb).class());
        for (at, next) in [(center.0, r#"" cy=""#), (center.1, r#"" r=""#), (radius as i32, r#""/>"#)] {
            self.tenths(at);
            self.out.push_str(next);
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, _text: &str, _style: &S, _at: BackendCoord) -> Drawn {
        // The frame writes all words itself: it knows their room.
        Ok(())
    }
}

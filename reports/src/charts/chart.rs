//! A chart as a value, and its drawing.

use std::fmt::Write;

use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::element::{Circle, PathElement, Polygon, Rectangle};
use plotters::prelude::{Color, DrawingArea, IntoDrawingArea};

use super::axis::{Axis, Kind};
use super::ink::Ink;
use super::scale::Scale;
use super::sheet::{FINE, Sheet};
use super::svg::{Anchor, fit, line, text, text_width};

/// Letters of charts, in pixels at the width that the chart is drawn for.
const LETTERS: f64 = 12.0;

/// For which screen a chart is drawn; one pixel of the drawing is about one of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// A page's column, and paper.
    Wide,
    /// A phone.
    Narrow,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Left to right.
    pub x: Axis,
    /// Bottom to top.
    pub y: Axis,
    /// What is drawn, first below.
    pub marks: Vec<Mark>,
    /// Shaded windows along x.
    pub shades: Vec<Shade>,
    /// Vertical hairlines: where phases change.
    pub rules: Vec<f64>,
    /// Names at the right end of lines.
    pub labels: Vec<EndLabel>,
    /// Height of the plot itself, in pixels.
    pub height: f64,
}

/// Something drawn in the plot, in the axes' values.
#[derive(Clone, Debug)]
pub enum Mark {
    /// A line, broken where there is no value.
    Line(Ink, Vec<(f64, Option<f64>)>),
    /// The area between two lines.
    Band(Ink, Vec<(f64, Option<(f64, f64)>)>),
    /// A filled rectangle: left, bottom, right, top.
    Cell(Ink, [f64; 4]),
    /// A point and its radius in pixels.
    Dot(Ink, (f64, f64), f64),
}

/// A window of time that something made unlike the others; hatched, with its word.
#[derive(Clone, Debug, PartialEq)]
pub struct Shade {
    /// From, along x.
    pub start: f64,
    /// To, along x.
    pub end: f64,
    /// What happened.
    pub word: String,
}

/// A line's name at its right end.
#[derive(Clone, Debug, PartialEq)]
pub struct EndLabel {
    /// Where the line ends, along y.
    pub at: f64,
    /// Its name.
    pub word: String,
    /// Its line's ink, shown as a dash before the name.
    pub ink: Ink,
}

/// Places in pixels.
#[derive(Clone, Copy)]
struct Layout {
    width: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    height: f64,
}

/// Width of the drawing, and what is left of and right of the plot: the same for all that share an axis.
pub(super) fn columns(width: Width) -> (f64, f64, f64) {
    match width {
        Width::Wide => (736.0, 54.0, 84.0),
        Width::Narrow => (354.0, 54.0, 76.0),
    }
}

type Plane<'a> = DrawingArea<Sheet<'a>, Cartesian2d<Scale, Scale>>;
type Drawn = Result<(), plotters::drawing::DrawingAreaErrorKind<std::convert::Infallible>>;

impl Chart {
    /// Draws it. `names` are the ids of the elements that hold its title and its text alternative.
    ///
    /// # Panics
    /// Never: writing to a string can't fail.
    pub fn svg(&self, width: Width, (title, alternative): (&str, &str)) -> String {
        let at = self.layout(width);
        let (class, full) = match width {
            Width::Wide => ("chart wide", at.top + at.height + at.bottom),
            Width::Narrow => ("chart narrow", at.top + at.height + at.bottom),
        };
        let mut out = format!(
            r#"<svg class="{class}" viewBox="0 0 {:.0} {full:.0}" role="img" aria-labelledby="{title}" aria-describedby="{alternative}" data-plot="{:.1} {:.1} {:.1} {:.1}">"#,
            at.width,
            at.left,
            at.top,
            at.plot_width(),
            at.height
        );
        self.grid(&mut out, &at);
        let _ = write!(
            out,
            r#"<svg class="plot" x="{0:.1}" y="{1:.1}" width="{2:.1}" height="{3:.1}" viewBox="{0:.1} {1:.1} {2:.1} {3:.1}" preserveAspectRatio="none">"#,
            at.left,
            at.top,
            at.plot_width(),
            at.height
        );
        self.shade(&mut out, &at);
        self.marks(&mut out, &at).expect("writing to a string can't fail");
        out.push_str("</svg>");
        self.words(&mut out, &at);
        out.push_str("</svg>");
        out
    }

    fn layout(&self, width: Width) -> Layout {
        let (full, left, least_right) = columns(width);
        let is_words = matches!(self.y.kind, Kind::Words(_));
        let tick = if is_words { if width == Width::Wide { 150.0 } else { 96.0 } } else { left };
        let right = if self.x.kind == Kind::Time { least_right } else { self.room_for_labels().min(full / 3.0) };
        let named = !self.x.title.is_empty();
        Layout {
            width: full,
            left: tick,
            right,
            top: 24.0,
            bottom: if named { 40.0 } else { 24.0 },
            height: self.height,
        }
    }

    fn room_for_labels(&self) -> f64 {
        self.labels.iter().map(|label| text_width(&label.word, LETTERS) + 20.0).fold(24.0, f64::max)
    }

    fn marks(&self, out: &mut String, at: &Layout) -> Drawn {
        let sheet = Sheet::new(out, (at.width, at.top + at.height + at.bottom));
        let root: DrawingArea<Sheet<'_>, Shift> = sheet.into_drawing_area();
        let fine = |px: f64| (px * f64::from(FINE)).round() as i32;
        let across = fine(at.left)..fine(at.left + at.plot_width());
        // Down the page is up the axis.
        let down = fine(at.top + at.height)..fine(at.top);
        let plane = root.apply_coord_spec(Cartesian2d::new(self.x.scale, self.y.scale, (across, down)));
        for mark in &self.marks {
            draw(&plane, mark)?;
        }
        plane.present()
    }

    fn grid(&self, out: &mut String, at: &Layout) {
        out.push_str(r#"<g class="grid">"#);
        for (value, _) in self.y.ticks(at.most_rows()) {
            let y = at.y(self.y.scale.fraction(value));
            line(out, (at.left, y), (at.left + at.plot_width(), y), "g");
        }
        out.push_str(r#"</g><g class="rules" clip-path="none">"#);
        for rule in &self.rules {
            let x = at.x(self.x.scale.fraction(*rule));
            let _ = write!(
                out,
                r#"<path class="g r" data-x="{rule:.3}" d="M{x:.1} {:.1}V{:.1}"/>"#,
                at.top,
                at.top + at.height
            );
        }
        out.push_str("</g>");
    }

    fn shade(&self, out: &mut String, at: &Layout) {
        for shade in &self.shades {
            let (x, end) = (at.x(self.x.scale.fraction(shade.start)), at.x(self.x.scale.fraction(shade.end)));
            let _ = write!(
                out,
                r#"<rect class="hatch" x="{x:.1}" y="{:.1}" width="{:.1}" height="{:.1}"/>"#,
                at.top,
                (end - x).max(1.5),
                at.height
            );
        }
    }

    fn words(&self, out: &mut String, at: &Layout) {
        out.push_str(r#"<g class="words">"#);
        for (value, word) in self.y.ticks(at.most_rows()) {
            let y = at.y(self.y.scale.fraction(value)) + 4.0;
            // A number is never cut: its room is enough for all that ticks can say.
            let word = if matches!(self.y.kind, Kind::Words(_)) { fit(&word, LETTERS, at.left - 7.0) } else { word };
            text(out, (at.left - 7.0, y), Anchor::End, "t", &word);
        }
        text(out, (0.0, 11.0), Anchor::Start, "t", &self.y.title);
        self.shade_words(out, at);
        self.end_labels(out, at);
        let base = at.top + at.height;
        line(out, (at.left, base), (at.left + at.plot_width(), base), "g base");
        if !self.x.title.is_empty() {
            let x = at.left + at.plot_width() / 2.0;
            text(out, (x, base + 35.0), Anchor::Middle, "t", &self.x.title);
        }
        out.push_str(r#"</g><g class="words ticks-x">"#);
        self.bottom_ticks(out, at, base);
        out.push_str("</g>");
    }

    fn bottom_ticks(&self, out: &mut String, at: &Layout, base: f64) {
        let ticks = self.x.ticks((at.plot_width() / 72.0) as usize);
        let mut free = f64::NEG_INFINITY;
        for (value, word) in ticks {
            let x = at.x(self.x.scale.fraction(value));
            line(out, (x, base), (x, base + 4.0), "g base");
            let half = text_width(&word, LETTERS) / 2.0;
            if x - half >= free {
                text(out, (x, base + 18.0), Anchor::Middle, "t", &word);
                free = x + half + 6.0;
            }
        }
    }

    fn shade_words(&self, out: &mut String, at: &Layout) {
        let end = at.left + at.plot_width();
        // Right of the axis' name and of its topmost tick.
        let mut free = (text_width(&self.y.title, LETTERS) + 8.0).max(at.left);
        let mut before = "";
        for shade in &self.shades {
            let x = at.x(self.x.scale.fraction(shade.start));
            // Close behind a window of the same name, that name says it for both.
            if x < free && std::mem::replace(&mut before, &shade.word) == shade.word {
                continue;
            }
            before = &shade.word;
            let wide = text_width(&shade.word, LETTERS);
            // Right of the window's start where it fits, else pulled left.
            let x = x.min(at.width - wide).max(free);
            let word = fit(&shade.word, LETTERS, (at.width - x).max(0.0));
            if x < end && !word.is_empty() {
                let _ = write!(out, r#"<g data-start="{:.3}" data-end="{:.3}">"#, shade.start, shade.end);
                text(out, (x, 17.0), Anchor::Start, "t strong", &word);
                out.push_str("</g>");
                free = x + wide + 10.0;
            }
        }
    }

    /// Names right of the plot, moved apart where lines end close together.
    fn end_labels(&self, out: &mut String, at: &Layout) {
        const APART: f64 = 14.0;
        let mut labels: Vec<(f64, &EndLabel)> =
            self.labels.iter().map(|label| (at.y(self.y.scale.fraction(label.at)), label)).collect();
        labels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut free = at.top - APART / 2.0;
        for (y, _) in &mut labels {
            *y = y.max(free);
            free = *y + APART;
        }
        let mut free = at.top + at.height - 3.0;
        for (y, _) in labels.iter_mut().rev() {
            *y = y.min(free);
            free = *y - APART;
        }
        let x = at.left + at.plot_width();
        for (y, label) in labels {
            line(out, (x + 4.0, y), (x + 12.0, y), &format!("s {}", label.ink.class()));
            text(out, (x + 16.0, y + 4.0), Anchor::Start, "t", &fit(&label.word, LETTERS, at.right - 15.0));
        }
    }
}

impl Layout {
    fn plot_width(&self) -> f64 {
        self.width - self.left - self.right
    }

    fn x(&self, fraction: f64) -> f64 {
        self.left + fraction * self.plot_width()
    }

    fn y(&self, fraction: f64) -> f64 {
        self.top + (1.0 - fraction) * self.height
    }

    fn most_rows(&self) -> usize {
        (self.height / 18.0) as usize
    }
}

fn draw(plane: &Plane<'_>, mark: &Mark) -> Drawn {
    match mark {
        Mark::Line(ink, points) => {
            for run in runs(points) {
                match run[..] {
                    [(x, y)] => plane.draw(&Circle::new((x, y), FINE, ink.color().filled()))?,
                    _ => plane.draw(&PathElement::new(run, ink.color()))?,
                }
            }
            Ok(())
        }
        Mark::Band(ink, points) => {
            for run in runs(points) {
                let above = run.iter().map(|(x, (_, high))| (*x, *high));
                let below = run.iter().rev().map(|(x, (low, _))| (*x, *low));
                plane.draw(&Polygon::new(above.chain(below).collect::<Vec<_>>(), ink.color()))?;
            }
            Ok(())
        }
        Mark::Cell(ink, [left, bottom, right, top]) => {
            plane.draw(&Rectangle::new([(*left, *top), (*right, *bottom)], ink.color().filled()))
        }
        Mark::Dot(ink, at, radius) => {
            plane.draw(&Circle::new(*at, (radius * f64::from(FINE)) as i32, ink.color().filled()))
        }
    }
}

/// Stretches without a gap.
fn runs<T: Copy>(points: &[(f64, Option<T>)]) -> Vec<Vec<(f64, T)>> {
    points
        .split(|(_, value)| value.is_none())
        .filter(|run| !run.is_empty())
        .map(|run| run.iter().filter_map(|(x, value)| value.map(|value| (*x, value))).collect())
        .collect()
}

//! Charts as data, drawn with plotters into SVG whose colours come from the page's style sheet.
//!
//! A [`Chart`] is a value: axes, marks, shaded windows, labels. [`Chart::svg`] draws it for a width. Nothing outside
//! this module knows of plotters. Colours are classes ([`Ink`]), so that one drawing serves light, dark and paper.

mod axis;
mod bins;
mod chart;
mod ink;
mod scale;
mod sheet;
mod strip;
mod svg;

pub use axis::{Axis, Kind};
pub use bins::{Bins, Values};
pub use chart::{Chart, EndLabel, Mark, Shade, Width};
pub use ink::Ink;
pub use scale::Scale;
pub use strip::Strip;
pub use svg::escape;

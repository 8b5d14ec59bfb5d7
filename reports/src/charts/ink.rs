//! What colour means here: a class of the style sheet, carried through plotters as a colour that no screen shows.

use plotters::style::RGBColor;

macro_rules! inks {
    ($($(#[doc = $doc:literal])* $variant:ident = $class:literal,)*) => {
        /// The role of a mark; the style sheet decides what it looks like in light, dark, and print.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Ink { $($(#[doc = $doc])* $variant,)* }

        impl Ink {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its class in the style sheet.
            pub const fn class(self) -> &'static str {
                match self { $(Self::$variant => $class),* }
            }
        }
    };
}

inks! {
    /// The median.
    P50 = "p50",
    /// The 90th percentile.
    P90 = "p90",
    /// The 99th percentile.
    P99 = "p99",
    /// The 99.9th percentile.
    P999 = "p999",
    /// The largest.
    Max = "pmax",
    /// What was planned or asked.
    Asked = "asked",
    /// Errors and losses.
    Bad = "bad",
    /// One observation among many.
    Dot = "dot",
    /// One observation among many, of the upper series.
    DotHigh = "dothigh",
    /// First of the series that differ in kind.
    A = "cat1",
    /// Second of them.
    B = "cat2",
    /// Third of them.
    C = "cat3",
    /// Fourth of them.
    D = "cat4",
    /// Fifth of them.
    E = "cat5",
    /// Sixth of them.
    F = "cat6",
    /// A bar that joins two marks.
    Joint = "joint",
    /// Least of the heat map.
    Heat1 = "h1",
    /// Heat map.
    Heat2 = "h2",
    /// Heat map.
    Heat3 = "h3",
    /// Heat map.
    Heat4 = "h4",
    /// Heat map.
    Heat5 = "h5",
    /// Most of the heat map.
    Heat6 = "h6",
}

impl Ink {
    /// The heat map's steps, least first.
    pub const HEAT: [Self; 6] = [Self::Heat1, Self::Heat2, Self::Heat3, Self::Heat4, Self::Heat5, Self::Heat6];

    /// For series that differ in kind, in turn.
    pub fn series(index: usize) -> Self {
        [Self::A, Self::B, Self::C, Self::D, Self::E, Self::F][index % 6]
    }

    /// What plotters carries.
    pub(super) fn color(self) -> RGBColor {
        RGBColor(0, 0, self as u8)
    }

    /// What plotters carried.
    pub(super) fn of(rgb: (u8, u8, u8)) -> Self {
        Self::ALL.get(usize::from(rgb.2)).copied().unwrap_or(Self::P50)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ink_survives_plotters() {
        for ink in Ink::ALL {
            let RGBColor(r, g, b) = ink.color();
            assert_eq!(Ink::of((r, g, b)), *ink);
        }
    }
}

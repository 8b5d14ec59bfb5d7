//! Latencies from one host to another with the bound of the clocks beside them, and the word for what that bound swallows.

use crate::format;
use crate::result::Latency;

/// The word for a latency that is smaller than its bound.
pub(super) const UNUSABLE: &str = "unusable";

/// One number of a latency with its bound: `12.4 ms ± 310 µs`; without one where it is exact.
pub(super) fn us(latency: &Latency, us: u64) -> String {
    format::bounded_us(us as f64, latency.bound_us)
}

/// What a metric's name is followed by: nothing, or that it is unusable.
pub(super) fn mark(latency: &Latency) -> &'static str {
    if latency.unusable { " (unusable)" } else { "" }
}

/// What a caption says of it, after a space; nothing where it is exact.
pub(super) fn sentence(latency: &Latency) -> String {
    if latency.count == 0 || latency.bound_us == 0.0 {
        return String::new();
    }
    let bound = format::duration_us(format::bound_us(latency.bound_us));
    if latency.unusable {
        return format!(
            " Unusable: clocks of different hosts are known to within {bound}, more than the median itself. What is shown says \
             how well they are known, and nothing of the service."
        );
    }
    format!(" Between different hosts each value is known to within ±\u{a0}{bound}.")
}

/// What a caption says of both runs of a comparison, after a space; nothing where both are exact.
pub(super) fn of_both(a: &Latency, b: &Latency) -> String {
    let said = |run: &str, latency: &Latency| {
        let bound = format::duration_us(format::bound_us(latency.bound_us));
        let word = if latency.unusable { ", more than the median itself: unusable" } else { "" };
        (latency.count > 0 && latency.bound_us > 0.0).then(|| format!("{run} to within ±\u{a0}{bound}{word}"))
    };
    let said: Vec<_> = [said("A", a), said("B", b)].into_iter().flatten().collect();
    if said.is_empty() {
        return String::new();
    }
    format!(" Between different hosts each value is known in {}.", said.join(" and in "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_with_its_bound() {
        let exact = Latency { count: 9, p50_us: 12_400, ..Latency::default() };
        let bound = Latency { bound_us: 301.4, ..exact.clone() };
        let unusable = Latency { unusable: true, bound_us: 20_000.0, ..exact.clone() };
        let plain = |text: String| text.replace('\u{a0}', " ");
        assert_eq!(plain(us(&exact, 12_400)), "12.4 ms");
        assert_eq!(plain(us(&bound, 12_400)), "12.4 ms ± 310 µs");
        assert_eq!((sentence(&exact).as_str(), mark(&exact)), ("", ""));
        assert!(sentence(&bound).contains("different hosts") && sentence(&unusable).starts_with(" Unusable"));
    }
}

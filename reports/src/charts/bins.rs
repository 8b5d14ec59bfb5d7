//! Fewer points than seconds, honestly: a long run is cut into equal bins, and each says by what rule it was filled.

/// Values by second or by bin; `None` where there is none.
pub type Values = Vec<Option<f64>>;

/// Equal stretches of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Bins {
    /// Length of one, in seconds.
    pub width: u32,
    /// How many.
    pub len: usize,
    /// How many seconds a value of the timeline stands for.
    pub step: u32,
    /// For each second of the timeline, its bin.
    of_second: Vec<usize>,
}

impl Bins {
    /// Bins of a length that people count in, at most `most` of them.
    pub fn new(seconds: &[u32], most: usize) -> Self {
        const WIDTHS: [u32; 12] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600];
        // A run of many hours comes in steps of more than a second, with rates still by the second.
        let step = seconds.first().zip(seconds.get(1)).map_or(1, |(a, b)| b.saturating_sub(*a).max(1));
        let length = seconds.iter().max().map_or(0, |last| last.saturating_add(step));
        let most = most.max(1) as u32;
        let fits = |width: &u32| length.div_ceil(*width) <= most && width.is_multiple_of(step);
        let width =
            WIDTHS.into_iter().find(fits).unwrap_or_else(|| length.div_ceil(most).next_multiple_of(step).max(1));
        Self {
            width,
            step,
            len: length.div_ceil(width) as usize,
            of_second: seconds.iter().map(|second| (second / width) as usize).collect(),
        }
    }

    /// The middle of each bin, in seconds.
    pub fn middles(&self) -> Vec<f64> {
        (0..self.len).map(|i| (i as f64 + 0.5) * f64::from(self.width)).collect()
    }

    /// Where a bin begins, in seconds.
    pub fn start(&self, bin: usize) -> f64 {
        bin as f64 * f64::from(self.width)
    }

    /// The largest of each bin.
    pub fn max(&self, values: impl IntoIterator<Item = Option<f64>>) -> Values {
        self.fold(values, f64::max)
    }

    /// The sum of each bin, over its length: a rate a second.
    pub fn rate(&self, values: impl IntoIterator<Item = Option<f64>>) -> Values {
        let mut seconds = vec![0u32; self.len];
        for bin in &self.of_second {
            seconds[*bin] += 1;
        }
        let sums = self.fold(values, |held, value| held + value);
        sums.into_iter().zip(seconds).map(|(sum, n)| sum.map(|sum| sum / f64::from(n.max(1)))).collect()
    }

    /// How many in each bin, of counts by the second.
    pub fn sum(&self, values: impl IntoIterator<Item = Option<f64>>) -> Values {
        let step = f64::from(self.step);
        self.fold(values.into_iter().map(|n| n.map(|n| n * step)), |held, value| held + value)
    }

    /// How many in the whole run, of counts by the second.
    pub fn total(&self, per_second: &[u64]) -> u64 {
        per_second.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)).saturating_mul(u64::from(self.step))
    }

    fn fold(&self, values: impl IntoIterator<Item = Option<f64>>, join: impl Fn(f64, f64) -> f64) -> Values {
        let mut out: Values = vec![None; self.len];
        for (bin, value) in self.of_second.iter().zip(values) {
            let Some(value) = value else { continue };
            out[*bin] = Some(out[*bin].map_or(value, |held| join(held, value)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_keeps_its_seconds() {
        let bins = Bins::new(&[0, 1, 2], 360);
        assert_eq!((bins.width, bins.len), (1, 3));
        assert_eq!(bins.middles(), [0.5, 1.5, 2.5]);
    }

    #[test]
    fn an_hour_keeps_its_worst_second() {
        let seconds: Vec<u32> = (0..3_600).collect();
        let bins = Bins::new(&seconds, 360);
        assert_eq!((bins.width, bins.len), (10, 360));
        let values = seconds.iter().map(|s| Some(if *s == 1_234 { 9.0 } else { 1.0 }));
        let max = bins.max(values.clone());
        assert_eq!((max[123], max[124]), (Some(9.0), Some(1.0)));
        assert_eq!(bins.rate(values)[123], Some(1.8));
    }

    #[test]
    fn steps_of_many_seconds_make_bins_of_whole_steps() {
        let seconds: Vec<u32> = (0..9_000).map(|i| i * 4).collect();
        let bins = Bins::new(&seconds, 360);
        assert_eq!((bins.step, bins.width, bins.len), (4, 120, 300));
        assert_eq!(bins.sum(seconds.iter().map(|_| Some(2.0)))[7], Some(240.0));
        assert_eq!(bins.rate(seconds.iter().map(|_| Some(2.0)))[7], Some(2.0));
    }

    #[test]
    fn nothing_is_no_bin_and_gaps_stay_gaps() {
        assert_eq!(Bins::new(&[], 10).len, 0);
        assert_eq!(Bins::new(&[0, 1, 2], 9).max([Some(1.0), None]), [Some(1.0), None, None]);
    }
}

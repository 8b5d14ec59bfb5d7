//! The sum of the newest seconds, second by second, by additions alone: a histogram can't be taken out of another without
//! losing what its largest and smallest sample was.

use super::numbers::{Numbers, Packed};

/// A window that moves on by a second at a time.
///
/// The seconds stand on two stacks. The newer ones are kept as they came, with their sum; of the older ones each entry is
/// the sum of all from there to the newest of them. So the window's sum is one addition, and each second is moved once.
#[derive(Clone, Debug)]
pub(crate) struct Sliding {
    length: usize,
    newer: Vec<Packed>,
    newer_sum: Numbers,
    older: Vec<Packed>,
}

impl Sliding {
    /// A window of so many seconds, at least one.
    pub(crate) fn new(seconds: u32) -> Self {
        let length = seconds.max(1) as usize;
        Self { length, newer: Vec::new(), newer_sum: Numbers::default(), older: Vec::new() }
    }

    /// Takes the next second in; the sum over the window, if that is full.
    pub(crate) fn push(&mut self, second: &Numbers) -> Option<Numbers> {
        if self.newer.len() + self.older.len() == self.length {
            self.drop_oldest();
        }
        self.newer.push(second.packed());
        self.newer_sum.add(second);
        (self.newer.len() + self.older.len() == self.length).then(|| {
            let mut sum = self.newer_sum.clone();
            self.older.last().into_iter().for_each(|older| sum.add_packed(older));
            sum
        })
    }

    fn drop_oldest(&mut self) {
        if self.older.is_empty() {
            let mut sum = Numbers::default();
            for second in std::mem::take(&mut self.newer).iter().rev() {
                sum.add_packed(second);
                self.older.push(sum.packed());
            }
            self.newer_sum = Numbers::default();
        }
        self.older.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::Metric;
    use proptest::prelude::*;
    use scenarios::model::{Aggregate, Comparison, Subject, Threshold};

    fn asks(aggregate: Aggregate) -> Threshold {
        Threshold {
            text: String::new(),
            subject: Subject::Metric(Metric::Delivery),
            cohort: None,
            aggregate,
            comparison: Comparison::Less,
            limit: 1.0,
            phase: None,
            window: None,
            abort_after: None,
        }
    }

    /// All samples of the seconds, recorded into one histogram.
    fn pooled(seconds: &[Vec<u64>]) -> Numbers {
        let mut numbers = Numbers::default();
        seconds.iter().flatten().for_each(|micros| numbers.record(*micros));
        numbers
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Every full window says what all samples of its seconds say together; there is one a second, and none before.
        #[test]
        fn a_window_is_the_sum_of_its_seconds(
            length in 1_u32..9,
            seconds in proptest::collection::vec(proptest::collection::vec(1_u64..70_000_000, 0..5), 0..40),
        ) {
            let mut window = Sliding::new(length);
            for end in 1..=seconds.len() {
                let sum = window.push(&pooled(&seconds[end - 1..end]));
                let Some(start) = end.checked_sub(length as usize) else {
                    prop_assert!(sum.is_none(), "no window is full after {end} s");
                    continue;
                };
                let (sum, reference) = (sum.expect("it is full"), pooled(&seconds[start..end]));
                for aggregate in [
                    Aggregate::Percentile(50.0), Aggregate::Percentile(99.9), Aggregate::Mean, Aggregate::Min, Aggregate::Max,
                    Aggregate::Count, Aggregate::Rate,
                ] {
                    let ask = asks(aggregate);
                    let seconds = f64::from(length);
                    prop_assert_eq!(sum.aggregate(&ask, seconds), reference.aggregate(&ask, seconds), "{:?}", aggregate);
                }
            }
        }
    }
}

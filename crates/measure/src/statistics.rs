//! Whether two series of measurements differ, when what is measured in one second depends on the second before.
//!
//! Seconds of a run are no independent observations: a queue that is long now is long in a second, too. A test that
//! takes them for independent finds differences where there are none. So a series counts only as many observations as
//! it would have to hold independent ones to know its mean as well as it does: its effective size.

use std::f64::consts::PI;

/// Fewer effective observations than this say nothing about their spread.
const SIZE_MIN: f64 = 2.0;

/// With so many degrees of freedom Student's distribution is the normal one to six digits.
const NORMAL: f64 = 1e6;

/// The arithmetic mean; 0 of nothing.
pub fn mean(series: &[f64]) -> f64 {
    series.iter().sum::<f64>() / series.len().max(1) as f64
}

/// The sample variance, with n − 1; 0 of fewer than two.
pub fn variance(series: &[f64]) -> f64 {
    let center = mean(series);
    let squares: f64 = series.iter().map(|x| (x - center).powi(2)).sum();
    if series.len() < 2 { 0.0 } else { squares / (series.len() - 1) as f64 }
}

/// The autocorrelation at a lag, estimated with 1/n at every lag, so that the estimates are of a positive definite
/// sequence; 0 where it isn't defined.
pub fn autocorrelation(series: &[f64], lag: usize) -> f64 {
    let center = mean(series);
    let all: f64 = series.iter().map(|x| (x - center).powi(2)).sum();
    let products: f64 = series.iter().zip(series.iter().skip(lag)).map(|(x, y)| (x - center) * (y - center)).sum();
    if all > 0.0 { products / all } else { 0.0 }
}

/// How many independent observations know their mean as well as this series does: n / (1 + 2 Σ ρ).
///
/// The sum ends by Geyer's initial monotone sequence (C. Geyer, *Practical Markov Chain Monte Carlo*, Statistical
/// Science 7(4), 1992): autocorrelations are added in pairs for as long as a pair is positive, and no pair counts more
/// than the one before, for later ones are noise. At least 1, and never more than the series has.
pub fn effective_size(series: &[f64]) -> f64 {
    let n = series.len() as f64;
    let (mut sum, mut before) = (0.0, f64::INFINITY);
    for lag in (0..series.len()).step_by(2) {
        let pair = autocorrelation(series, lag) + autocorrelation(series, lag + 1);
        if pair <= 0.0 {
            break;
        }
        before = before.min(pair);
        sum += before;
    }
    // The first pair holds the autocorrelation at lag 0, which is 1 and counts once.
    (n / (2.0 * sum - 1.0).max(1.0)).clamp(n.min(1.0), n)
}

/// What a test has to know of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Its mean.
    pub mean: f64,
    /// The variance of single observations.
    pub variance: f64,
    /// How many independent observations it is worth.
    pub size: f64,
}

impl Sample {
    /// A series of dependent observations. Neighbours that resemble each other make the sample variance too small;
    /// that is corrected (G. Bayley and J. Hammersley, *The "Effective" Number of Independent Observations in an
    /// Autocorrelated Time Series*, 1946).
    pub fn of_series(series: &[f64]) -> Self {
        let (n, size) = (series.len() as f64, effective_size(series));
        let together = if size > 0.0 { n / size } else { 1.0 };
        let correction = if n > together { (n - 1.0) / (n - together) } else { 1.0 };
        Self { mean: mean(series), variance: variance(series) * correction, size }
    }

    /// Observations that are known to be independent.
    pub fn independent(observations: &[f64]) -> Self {
        Self { mean: mean(observations), variance: variance(observations), size: observations.len() as f64 }
    }
}

/// What Welch's test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Welch {
    /// The second mean minus the first, in standard errors.
    pub t: f64,
    /// Degrees of freedom.
    pub degrees: f64,
    /// How often two samples of one distribution would differ so much or more.
    pub p: f64,
}

/// Welch's t-test (B. L. Welch, *The Generalization of "Student's" Problem when Several Different Population Variances
/// are Involved*, Biometrika 34, 1947), two-sided. `None` when a sample is too small to know its own spread.
pub fn welch(first: &Sample, second: &Sample) -> Option<Welch> {
    if first.size < SIZE_MIN || second.size < SIZE_MIN {
        return None;
    }
    let (a, b) = (first.variance / first.size, second.variance / second.size);
    let difference = second.mean - first.mean;
    if a + b <= 0.0 {
        // Two constants: they are the same or they are not.
        let (t, p) = if difference == 0.0 { (0.0, 1.0) } else { (difference.signum() * f64::INFINITY, 0.0) };
        return Some(Welch { t, degrees: first.size + second.size - 2.0, p });
    }
    let t = difference / (a + b).sqrt();
    let degrees = (a + b).powi(2) / (a.powi(2) / (first.size - 1.0) + b.powi(2) / (second.size - 1.0));
    Some(Welch { t, degrees, p: student_two_sided(t, degrees) })
}

/// Of two counts of rare events among many, how often one rate would bring them so far apart or farther: the test of
/// two proportions, by the normal distribution. `None` when nothing was observed on a side.
pub fn proportions(first: (u64, u64), second: (u64, u64)) -> Option<f64> {
    let ((a, of_a), (b, of_b)) = ((first.0 as f64, first.1 as f64), (second.0 as f64, second.1 as f64));
    if of_a <= 0.0 || of_b <= 0.0 {
        return None;
    }
    let share = (a + b) / (of_a + of_b);
    let spread = (share * (1.0 - share) * (1.0 / of_a + 1.0 / of_b)).max(0.0).sqrt();
    let z = (b / of_b - a / of_a).abs();
    Some(if z == 0.0 { 1.0 } else { student_two_sided(z / spread, NORMAL) })
}

/// P-values of many tests at once, so that by chance any of them is below a level only as often as the level says:
/// Holm's step-down procedure (S. Holm, *A Simple Sequentially Rejective Multiple Test Procedure*, 1979).
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let (mut adjusted, mut least) = (vec![1.0; p.len()], 0.0_f64);
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max((p[index] * (p.len() - rank) as f64).min(1.0));
        adjusted[index] = least;
    }
    adjusted
}

/// The probability that Student's t with these degrees of freedom is at least so far from 0, on either side:
/// I(ν / (ν + t²); ν/2, 1/2) (NIST DLMF 8.17, Abramowitz and Stegun 26.7.1).
pub fn student_two_sided(t: f64, degrees: f64) -> f64 {
    if t.is_infinite() {
        return 0.0;
    }
    beta_regularized(degrees / (degrees + t * t), t * t / (degrees + t * t), degrees / 2.0, 0.5)
}

/// The regularized incomplete beta function I(x; a, b); `y` is 1 − x, which the caller knows without cancellation.
fn beta_regularized(x: f64, y: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || y <= 0.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let front = (a * x.ln() + b * y.ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp();
    // The fraction converges fast on this side of the mean (DLMF 8.17.22), and its mirror image on the other.
    if x < (a + 1.0) / (a + b + 2.0) {
        front / a / beta_fraction(x, a, b)
    } else {
        1.0 - front / b / beta_fraction(y, b, a)
    }
}

/// The continued fraction 1 + d₁/(1 + d₂/(1 + …)) of DLMF 8.17.22 with the coefficients of 8.17.23, evaluated from the
/// front by Lentz's method as I. Thompson and A. Barnett modified it (1986).
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    const TERMS_MAX: u32 = 2_000;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut fraction, mut c, mut d) = (1.0_f64, 1.0_f64, 0.0_f64);
    for term in 1..=TERMS_MAX {
        let m = f64::from(term / 2);
        let coefficient = if term % 2 == 1 {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        } else {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        };
        d = 1.0 / away_from_zero(1.0 + coefficient * d);
        c = away_from_zero(1.0 + coefficient / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// The logarithm of the gamma function of a positive number: Stirling's series (DLMF 5.11.1), after the argument has
/// been raised to where seven of its terms are exact to a double.
fn ln_gamma(x: f64) -> f64 {
    const RAISED: f64 = 15.0;
    /// B(2k) / (2k (2k − 1)).
    const TERMS: [f64; 7] =
        [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1_260.0, -1.0 / 1_680.0, 1.0 / 1_188.0, -691.0 / 360_360.0, 1.0 / 156.0];
    let (mut z, mut product) = (x, 1.0);
    while z < RAISED {
        product *= z;
        z += 1.0;
    }
    let series = TERMS.iter().rev().fold(0.0, |sum, term| sum / (z * z) + term) / z;
    (z - 0.5) * z.ln() - z + 0.5 * (2.0 * PI).ln() + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::SplitMix64;

    fn close(a: f64, b: f64, within: f64) {
        assert!((a - b).abs() <= within, "{a} is not {b}");
    }

    #[test]
    fn special_functions_have_their_known_values() {
        close(ln_gamma(0.5), PI.sqrt().ln(), 1e-13);
        close(ln_gamma(1.0), 0.0, 1e-13);
        close(ln_gamma(10.0), 362_880_f64.ln(), 1e-12);
        close(ln_gamma(101.0), 363.739_375_555_563_5, 1e-10);
        // I(0.4; 2, 3) = 1 - P(at most 1 of 4 trials at 0.4), a sum of a few terms.
        close(beta_regularized(0.4, 0.6, 2.0, 3.0), 0.5248, 1e-12);
        close(beta_regularized(0.9, 0.1, 2.0, 3.0), 0.9963, 1e-12);
    }

    #[test]
    fn students_distribution_agrees_with_its_tables() {
        // Critical values of any table of t, two-sided.
        for (t, degrees, p) in [
            (12.706_204_736, 1.0, 0.05),
            (2.228_138_852, 10.0, 0.05),
            (3.169_272_673, 10.0, 0.01),
            (2.042_272_456, 30.0, 0.05),
            (1.959_963_985, NORMAL, 0.05),
            (2.575_829_304, NORMAL, 0.01),
        ] {
            close(student_two_sided(t, degrees), p, 1e-6);
            close(student_two_sided(-t, degrees), p, 1e-6);
        }
        close(student_two_sided(0.0, 7.0), 1.0, 1e-12);
        // With one degree of freedom it is Cauchy's, with an arctangent for its distribution.
        close(student_two_sided(3.0, 1.0), 1.0 - 2.0 / PI * 3_f64.atan(), 1e-12);
    }

    #[test]
    fn welchs_test_agrees_with_the_textbooks() {
        // Student's sleep data (1908), as R's `t.test(extra ~ group, data = sleep)` has them.
        let first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
        let second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        let test = welch(&Sample::independent(&first), &Sample::independent(&second)).unwrap();
        close(test.t, 1.8608, 5e-5);
        close(test.degrees, 17.776, 5e-4);
        close(test.p, 0.079_39, 5e-6);
    }

    #[test]
    fn constants_and_too_little_are_no_trouble() {
        let sample = |series: &[f64]| Sample::of_series(series);
        assert_eq!(welch(&sample(&[2.0; 9]), &sample(&[2.0; 9])).unwrap().p, 1.0);
        assert_eq!(welch(&sample(&[2.0; 9]), &sample(&[3.0; 9])).unwrap().p, 0.0);
        assert_eq!(welch(&sample(&[]), &sample(&[1.0, 2.0])), None);
        assert_eq!(welch(&sample(&[1.0]), &sample(&[1.0, 2.0])), None);
        assert_eq!(effective_size(&[]), 0.0);
        assert_eq!((effective_size(&[4.0]), autocorrelation(&[4.0; 5], 1)), (1.0, 0.0));
    }

    #[test]
    fn proportions_are_told_apart_when_there_are_enough() {
        // 100 against 150 in a million: z = 50 / sqrt(250) = 3.162, p = 0.00157.
        close(proportions((100, 1_000_000), (150, 1_000_000)).unwrap(), 0.001_565, 2e-6);
        assert_eq!(proportions((5, 10), (5, 10)), Some(1.0));
        assert_eq!(proportions((0, 0), (5, 10)), None);
        assert_eq!(proportions((0, 10), (10, 10)).map(|p| p < 1e-4), Some(true));
    }

    #[test]
    fn holm_multiplies_the_least_by_all_and_the_largest_by_one() {
        let adjusted = holm(&[0.04, 0.01, 0.03]);
        close(adjusted[1], 0.03, 1e-12);
        close(adjusted[2], 0.06, 1e-12);
        close(adjusted[0], 0.06, 1e-12);
        assert!(holm(&[]).is_empty());
    }

    /// A series in which each value keeps the share `kept` of the one before (an AR(1) process).
    fn series(random: &mut SplitMix64, n: usize, kept: f64) -> Vec<f64> {
        // The sum of twelve uniform numbers, less six, is all but normal with variance 1.
        let mut noise = || (0..12).map(|_| random.next_unit()).sum::<f64>() - 6.0;
        let mut value = noise() / (1.0 - kept * kept).sqrt();
        let step = |value: &mut f64, noise: f64| {
            *value = kept * *value + noise;
            *value
        };
        (0..n).map(|_| step(&mut value, noise())).collect()
    }

    #[test]
    fn the_effective_size_of_a_known_process_is_found() {
        let mut random = SplitMix64::new(11);
        for kept in [0.0_f64, 0.5, 0.8] {
            let found = effective_size(&series(&mut random, 20_000, kept));
            let true_size = 20_000.0 * (1.0 - kept) / (1.0 + kept);
            assert!((found / true_size - 1.0).abs() < 0.15, "kept {kept}: {found}, truly {true_size}");
        }
    }

    #[test]
    fn equal_processes_are_called_different_rarely_and_without_the_correction_often() {
        let mut random = SplitMix64::new(5);
        let (mut corrected, mut naive, runs) = (0, 0, 600);
        for _ in 0..runs {
            let (a, b) = (series(&mut random, 120, 0.7), series(&mut random, 120, 0.7));
            let p = |f: fn(&[f64]) -> Sample| welch(&f(&a), &f(&b)).map_or(1.0, |w| w.p);
            corrected += u32::from(p(Sample::of_series) < 0.05);
            naive += u32::from(p(Sample::independent) < 0.05);
        }
        let share = |n: u32| f64::from(n) / f64::from(runs);
        assert!(share(corrected) < 0.09, "with the correction {}", share(corrected));
        assert!(share(naive) > 0.3, "without it {}: this is what the correction is for", share(naive));
    }

    #[test]
    fn a_real_difference_is_found() {
        let mut random = SplitMix64::new(8);
        let a = series(&mut random, 120, 0.5);
        let b: Vec<f64> = series(&mut random, 120, 0.5).iter().map(|x| x + 2.0).collect();
        let test = welch(&Sample::of_series(&a), &Sample::of_series(&b)).unwrap();
        assert!(test.p < 1e-4 && test.t > 0.0, "{test:?}");
    }
}

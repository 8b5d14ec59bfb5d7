//! Which seconds of a run are compared.

use crate::result::RunResult;

/// From this share of its most users on, a run is at its height.
const HEIGHT: f64 = 0.95;

/// So few seconds say nothing; then all of the run are compared.
const SECONDS_MIN: usize = 8;

/// The values of a series that are to be compared: those of the seconds in which (nearly) all users were there, for
/// how latency grows while they join is no spread; all of them where there are too few such seconds, as of connecting.
pub(super) fn comparable(result: &RunResult, series: &[Option<f64>]) -> Vec<f64> {
    let users = &result.timeline.users_connected;
    let most = users.iter().copied().max().unwrap_or(0) as f64;
    let high = |second: usize| users.get(second).is_some_and(|n| *n as f64 >= most * HEIGHT);
    let at_height: Vec<f64> =
        series.iter().enumerate().filter(|(second, _)| high(*second)).filter_map(|(_, value)| *value).collect();
    if at_height.len() >= SECONDS_MIN { at_height } else { series.iter().flatten().copied().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_is_left_out_where_enough_is_left() {
        let mut result = RunResult::default();
        result.timeline.users_connected = (0..20).map(|s| if s < 10 { s * 10 } else { 100 }).collect();
        let series: Vec<_> = (0..20).map(|s| Some(f64::from(s))).collect();
        assert_eq!(comparable(&result, &series), (10..20).map(f64::from).collect::<Vec<_>>());
        assert_eq!(comparable(&result, &series[..10]).len(), 10, "measured while they joined only");
        assert_eq!(comparable(&result, &[None; 20]).len(), 0);
    }
}

//! The page of two runs.

use reports::compare::Judgement;
use reports::render::comparison::{html, text};
use reports::{RunResult, compare};

use crate::synthetic;

/// The same again, half slower.
fn slower() -> RunResult {
    let mut result = synthetic::quickstart();
    result.run = "20261124-140000-quickstart".into();
    let half_more = |us: u64| us * 3 / 2;
    for latency in result.metrics.values_mut() {
        for us in [&mut latency.p50_us, &mut latency.p90_us, &mut latency.p99_us, &mut latency.p999_us] {
            *us = half_more(*us);
        }
        latency.spectrum.iter_mut().for_each(|(_, us)| *us = half_more(*us));
    }
    for bands in result.timeline.latency.values_mut() {
        for series in [&mut bands.p50_us, &mut bands.p90_us, &mut bands.p99_us, &mut bands.p999_us] {
            series.iter_mut().flatten().for_each(|us| *us = half_more(*us));
        }
    }
    result
}

/// Pages of comparisons by name.
pub(crate) fn pages() -> Vec<(&'static str, String)> {
    let (a, b) = (synthetic::quickstart(), slower());
    let pairs = [
        ("slower", &a, &b),
        ("same", &a, &a),
        ("other scenario", &a, &synthetic::failed()),
        ("nothing", &RunResult::default(), &RunResult::default()),
        ("two hosts", &a, &synthetic::two_hosts()),
        ("hostile", &synthetic::hostile(), &synthetic::hour()),
    ];
    pairs.map(|(name, a, b)| (name, html(&compare(a, b, 0.1), a, b))).to_vec()
}

#[test]
fn a_regression_is_said_with_both_numbers_and_shown_in_overlaid_curves() {
    let (a, b) = (synthetic::quickstart(), slower());
    let comparison = compare(&a, &b, 0.1);
    assert_eq!(comparison.outcome, Judgement::Regression, "{:?}", comparison.reasons);
    let page = html(&comparison, &a, &b);
    assert!(page.contains("regression:</span> delivery p50 rose from"), "{}", comparison.reasons[0]);
    for id in ["users", "deliveries", "delivery-p50", "delivery-p99", "send-p99", "shape-delivery", "shape-connect"] {
        let figure = page.split(&format!("<figure id=\"{id}\"")).nth(1).expect(id).split("</figure>").next().unwrap();
        assert!(figure.contains("s cat1") && figure.contains("s cat2"), "{id} has both lines");
    }
    assert!(page.contains("+50.0\u{a0}%") && page.contains("✗ worse"));
    let summary = text::summary(&comparison);
    assert!(summary.starts_with("✗ quickstart: regression\n"), "{summary}");
    assert!(summary.lines().all(|line| line.chars().count() <= 80), "{summary}");
}

#[test]
fn what_clocks_leave_open_stands_beside_every_number_between_hosts() {
    let (a, mut b) = (synthetic::quickstart(), synthetic::two_hosts());
    b.verdict = a.verdict.clone();
    let comparison = compare(&a, &b, 0.1);
    let of = |subject: &str, quantity: &str| {
        let mut all = comparison.differences.iter();
        all.find(|d| d.subject == subject && d.quantity == quantity).expect(subject)
    };
    let plain = |text: String| text.replace('\u{a0}', " ");
    let (delivery, send) = (of("delivery", "p99"), of("send", "p99"));
    assert!(plain(delivery.b_said()).ends_with(" ± 910 µs") && !delivery.a_said().contains('±'), "{delivery:?}");
    assert!(!send.b_said().contains('±') && !of("fanout_last", "p50").unusable && of("fanout_first", "p50").unusable);
    let page = plain(html(&comparison, &a, &b));
    let row = page.split("<tr").find(|row| row.contains("delivery p99<")).expect("a row");
    assert!(row.contains(&plain(delivery.b_said())), "{row}");
    assert!(page.contains("fanout first p50 (unusable)"));
    for id in ["delivery-p50", "delivery-p99", "shape-delivery", "shape-fanout_last"] {
        let figure = page.split(&format!("<figure id=\"{id}\"")).nth(1).expect(id).split("</figure>").next().unwrap();
        assert!(figure.contains("each value is known in B to within ± 910 µs."), "{id}: {figure}");
    }
    let sends = page.split("<figure id=\"send-p99\"").nth(1).unwrap().split("</figure>").next().unwrap();
    assert!(!sends.contains('±'), "one clock");
}

#[test]
fn every_page_loads_nothing_and_no_text_becomes_markup() {
    for (name, page) in pages() {
        assert_eq!(page.matches("<script").count(), 2, "{name}");
        assert!(!page.contains("<img") && !page.contains("NaN") && !page.contains("inf\u{a0}"), "{name}");
        for tag in ["svg", "g", "figure", "section", "table", "tr", "td", "th", "div", "details", "p", "ul"] {
            let open = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(open, page.matches(&format!("</{tag}>")).count(), "{name}: <{tag}>");
        }
    }
}

#[test]
fn anything_can_be_compared() {
    for seed in 0..40 {
        println!("seed {seed}");
        let (a, b) = (synthetic::anything(seed), synthetic::anything(seed + 1_000));
        let comparison = compare(&a, &b, 0.1);
        let page = html(&comparison, &a, &b);
        assert!(!page.contains("NaN") && !page.contains("inf\u{a0}"), "seed {seed}");
        assert!(text::summary(&comparison).lines().all(|line| line.chars().count() <= 80), "seed {seed}");
        serde_json::to_string(&comparison).unwrap();
    }
}

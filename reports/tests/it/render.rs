//! What the report promises, whatever the run was like.

use std::collections::BTreeSet;

use reports::RunResult;
use reports::format;
use reports::render::{html, text};

use crate::synthetic;

const SECTIONS: [&str; 12] = [
    "verdict",
    "numbers",
    "thresholds",
    "over-time",
    "flat",
    "shape",
    "everybody",
    "completeness",
    "joining",
    "workers",
    "trust",
    "again",
];

#[test]
fn all_twelve_sections_stand_in_their_order_in_every_report() {
    for (name, result) in synthetic::gallery() {
        let page = html(&result);
        let places: Vec<_> = SECTIONS
            .iter()
            .map(|id| {
                let found = ["<header id=", "<section id="].iter().find_map(|tag| page.find(&format!("{tag}\"{id}\"")));
                found.unwrap_or_else(|| panic!("{name} has no section {id}"))
            })
            .collect();
        assert!(places.is_sorted(), "{name}: {places:?}");
    }
}

#[test]
fn what_ran_on_which_machines_is_said() {
    let mut result = synthetic::quickstart();
    let page = html(&result).replace('\u{a0}', " ");
    assert!(page.contains("0.1.0") && page.contains("laptop (2 cores, 16.0 GiB)"), "of an older result");
    result.build = "0.1.0 (commit 0123456789ab)".into();
    result.hosts[0].machine = "Some CPU, Linux 6.1".into();
    let page = html(&result).replace('\u{a0}', " ");
    for said in ["0.1.0 (commit 0123456789ab)", "laptop (2 cores, 16.0 GiB, Some CPU, Linux 6.1)"] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn a_report_loads_nothing_and_is_small() {
    for (name, result) in synthetic::gallery() {
        let page = html(&result);
        assert!(page.len() <= 3 << 20, "{name} has {} bytes", page.len());
        for tag in tags(&page) {
            assert!(!tag.contains("//"), "{name} refers to something outside: <{tag}>");
        }
        let loading = ["img", "image", "use", "iframe", "object", "embed", "video", "audio", "source", "base", "form"];
        let names: BTreeSet<_> = tags(&page).iter().filter_map(|tag| tag.split([' ', '>']).next()).collect();
        assert!(names.iter().all(|name| !loading.contains(name)), "{name}: {names:?}");
        for link in attributes(&page, "href") {
            let beside =
                ["result.json", "intervals.hlog", "junit.xml", "events.jsonl", "scenario.yaml", "logs/", "data:,"];
            assert!(link.starts_with('#') || beside.contains(&link.as_str()), "{name} links {link}");
        }
    }
}

#[test]
fn style_and_script_load_nothing() {
    let (style, script) = (include_str!("../../assets/report.css"), include_str!("../../assets/report.js"));
    assert_eq!(style.matches("url(").count(), style.matches("url(#hatching)").count());
    for wanted in ["http", "@import", "fetch(", "XMLHttpRequest", "import(", "WebSocket", "innerHTML", "eval(", "</"] {
        assert!(!style.contains(wanted) && !script.contains(wanted), "{wanted}");
    }
}

#[test]
fn only_the_page_of_a_run_that_goes_on_renews_itself() {
    for (name, result) in synthetic::gallery() {
        let (page, running) = (html(&result), name == "running");
        for live in ["http-equiv=\"refresh\"", "connect-src 'self'", "location.reload", "id=\"renewal\""] {
            assert_eq!(page.contains(live), running, "{name}: {live}");
        }
    }
    let page = html(&synthetic::running());
    assert!(page.contains("running:</span> nothing is judged before the end"));
    assert!(page.contains("So far, 3 of 3 hold") && !page.contains("said no goodbye"));
    let script = include_str!("../../assets/live.js");
    assert!(
        ["http:", "https:", "innerHTML", "eval(", "</"].iter().all(|bad| !script.contains(bad)),
        "reaches itself only"
    );
}

#[test]
fn no_text_of_a_run_becomes_markup() {
    let page = html(&synthetic::hostile());
    assert!(!page.contains("<script>alert"), "a text opened a script");
    assert!(!page.contains("<img"), "a text became an element");
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let json: serde_json::Value = serde_json::from_str(data).unwrap();
    let names: Vec<_> =
        json["charts"].as_array().unwrap().iter().flat_map(|c| c["series"].as_array().unwrap()).collect();
    assert!(names.iter().any(|s| s["name"].as_str().unwrap().starts_with("</script>")), "texts arrive whole");
}

#[test]
fn markup_is_balanced_and_ids_are_unique() {
    for (name, result) in synthetic::gallery() {
        let page = html(&result);
        for tag in
            ["svg", "g", "figure", "section", "table", "tr", "td", "th", "div", "details", "text", "p", "ul", "dl"]
        {
            let open = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(open, page.matches(&format!("</{tag}>")).count(), "{name}: <{tag}>");
        }
        let ids = attributes(&page, "id");
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "{name} has an id twice");
        for named in attributes(&page, "aria-labelledby").into_iter().chain(attributes(&page, "aria-describedby")) {
            assert!(unique.contains(&named), "{name}: nothing is called {named}");
        }
    }
}

#[test]
fn the_numbers_shown_are_the_results() {
    let result = synthetic::quickstart();
    let page = html(&result);
    let delivery = &result.metrics["delivery"];
    for us in [delivery.p50_us, delivery.p99_us, delivery.p999_us, result.metrics["send"].p99_us] {
        assert!(page.contains(&format::duration_us(us as f64)), "{us} µs");
    }
    for n in [result.users.connected_max, result.completeness.expected, result.completeness.delivered, delivery.count] {
        assert!(page.contains(&format::count(n)), "{n}");
    }
    assert!(page.contains(&result.scenario.digest));
    assert!(page.contains("Nothing was lost"));
    assert!(page.contains("✓\u{a0}held"));
}

#[test]
fn a_result_renders_the_same_again_from_its_json() {
    for (name, result) in synthetic::gallery() {
        let again = RunResult::from_json(&serde_json::to_string(&result).unwrap()).unwrap();
        assert!(html(&again) == html(&result), "{name}");
    }
}

#[test]
fn a_lost_worker_is_shaded_with_hatch_and_word_in_every_chart_over_time() {
    let page = html(&synthetic::worker_lost());
    let charts = page.matches("<figure ").count()
        - page.matches("<figure id=\"flat-").count()
        - page.matches("<figure id=\"shape-").count()
        - page.matches("<figure id=\"slowest").count();
    assert_eq!(page.matches("class=\"hatch\"").count(), charts * 2, "two widths each");
    assert_eq!(page.matches(">worker-2 lost</text>").count(), charts * 2);
}

#[test]
fn each_kind_of_run_says_what_it_is() {
    for (name, result, words) in [
        ("empty", RunResult::default(), "Nothing was measured: not one second"),
        ("nothing delivered", synthetic::nothing_delivered(), "Nothing was delivered"),
        ("interrupted", synthetic::interrupted(), "passed, interrupted"),
        ("hour", synthetic::hour(), "drawn in bins of 10"),
        ("failed", synthetic::failed(), "delivery p(99) 312 ms, asked &#60; 250 ms"),
        ("failed", synthetic::failed(), "Delivery p99 rose from"),
    ] {
        let page = html(&result);
        assert!(page.contains(words), "{name} doesn't say {words:?}");
    }
}

#[test]
fn an_hour_keeps_its_worst_second() {
    let mut result = synthetic::hour();
    result.timeline.latency.get_mut("delivery").unwrap().max_us[2_345] = Some(41_234_567);
    let page = html(&result);
    assert!(page.contains("41234567"), "the script's data keep the largest of each bin");
}

#[test]
fn anything_renders() {
    for seed in 0..150 {
        let result = synthetic::anything(seed);
        println!("seed {seed}");
        let page = html(&result);
        for nonsense in ["NaN", "inf\u{a0}", "=\"inf", " inf ", "-0\u{a0}"] {
            let found =
                page.find(nonsense).map(|at| page[at.saturating_sub(80)..].chars().take(120).collect::<String>());
            assert_eq!(found, None, "seed {seed}");
        }
        assert!(text::summary(&result).lines().all(|line| line.chars().count() <= 80), "seed {seed}");
    }
}

#[test]
fn the_summary_fits_a_terminal_and_says_the_verdict() {
    for (name, result) in synthetic::gallery() {
        let summary = text::summary(&result);
        assert!(summary.lines().all(|line| line.chars().count() <= 80), "{name}:\n{summary}");
        assert!(!summary.contains(['\u{1b}', '\u{a0}']), "{name}");
    }
    let failed = text::summary(&synthetic::failed());
    assert!(failed.starts_with("✗ quickstart: failed\n"), "{failed}");
    assert!(failed.contains("✗ failed  delivery: p(99) < 250ms"), "{failed}");
    assert!(failed.contains("37 of 5,"), "{failed}");
}

/// Values of an attribute, wherever markup has it.
fn attributes(page: &str, name: &str) -> Vec<String> {
    page.split(&format!(" {name}=\"")).skip(1).filter_map(|rest| Some(rest.split('"').next()?.to_owned())).collect()
}

/// The tags of a page, without the words that assistive technology reads from them.
fn tags(page: &str) -> Vec<&str> {
    let markup = page.split("<style>").map(|part| part.split("</style>").last().unwrap_or(part));
    let markup =
        markup.flat_map(|part| part.split("<script").map(|part| part.split("</script>").last().unwrap_or(part)));
    markup
        .flat_map(|part| part.split('<').skip(1))
        .map(|piece| piece.split('>').next().unwrap_or(piece))
        .map(|tag| tag.split(" aria-label=\"").next().unwrap_or(tag))
        .collect()
}

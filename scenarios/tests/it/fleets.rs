//! What `throng plan --host` says, held as text: a change of a constant, a price or a formula shows in a review.

use std::path::Path;

use scenarios::fleet::{Fleet, Wishes, fleet};
use scenarios::{Scenario, Source, parse};

fn scenario(name: &str) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let source = Source { file_name: name.into(), bytes, ..Source::default() };
    parse(&source).unwrap_or_else(|errors| panic!("{errors}"))
}

fn planned(name: &str, host: &str, bundled: bool) -> Fleet {
    fleet(&scenario(name), Wishes { host, bundled, workers: None }).unwrap_or_else(|e| panic!("{e}"))
}

/// Compares a text with what is kept of it; `UPDATE_GOLDEN=1` keeps it anew.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("goldens lie in a directory")).expect("it can be made");
        std::fs::write(&path, text).expect("a golden can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(text, kept, "{} differs: look, then UPDATE_GOLDEN=1", path.display());
}

#[test]
fn five_million_in_a_stadium_with_everything() {
    golden("stadium-5m-c7i.8xlarge.txt", &planned("stadium-5m.yaml", "c7i.8xlarge", true).text(true));
}

#[test]
fn a_quick_start_needs_one_host_of_each() {
    golden("quickstart-c7i.large.txt", &planned("quickstart.yaml", "c7i.large", false).text(false));
}

#[test]
fn the_arithmetic_holds_together() {
    for (name, host, bundled) in [
        ("stadium-5m.yaml", "c7gn.8xlarge", true),
        ("many-rooms.yaml", "c7g.medium", false),
        ("spike.yaml", "c7g.xlarge", false),
    ] {
        let plan = planned(name, host, bundled);
        let hosts: u64 = plan.roles.iter().map(|role| role.hosts).sum();
        assert_eq!(plan.hosts, hosts, "{name}");
        assert!((plan.usd_per_hour - hosts as f64 * plan.host.usd_per_hour).abs() < 1e-6);
        for role in plan.roles.iter().filter(|role| ["workers", "edges"].contains(&role.role)) {
            assert!(role.limits.is_sorted_by_key(|limit| limit.holds), "the tightest first");
            let a_host = plan.users.div_ceil(role.hosts);
            assert!(role.limits.iter().all(|limit| a_host <= limit.holds), "{name}: {role:?}");
            assert!(role.hosts == 1 || plan.users.div_ceil(role.hosts - 1) > role.limits[0].holds, "no host too many");
        }
    }
}

#[test]
fn larger_hosts_mean_fewer_and_another_service_means_no_edges() {
    let small = planned("stadium-5m.yaml", "c7g.4xlarge", true);
    let large = planned("stadium-5m.yaml", "c7g.16xlarge", true);
    assert!(large.roles[0].hosts * 3 < small.roles[0].hosts);
    let theirs = planned("stadium-5m.yaml", "c7g.16xlarge", false);
    assert!(theirs.roles.iter().all(|role| role.role != "edges" && role.role != "origin"));
    let few =
        fleet(&scenario("stadium-5m.yaml"), Wishes { host: "c7i.large", bundled: false, workers: Some(3) }).unwrap();
    assert!(!few.roles[0].fits && few.text(false).contains("DOES NOT FIT"));
}

#[test]
fn an_unknown_host_is_told_the_nearest() {
    let why =
        fleet(&scenario("quickstart.yaml"), Wishes { host: "c7i.8xl", bundled: false, workers: None }).unwrap_err();
    assert!(why.contains("\"c7i.8xl\"") && why.contains("c7i.8xlarge"), "{why}");
}

//! A run in which nothing goes wrong.

use crate::harness::{Run, SMALL, Server, finish, result, throng};

#[test]
fn a_small_run_passes_and_accounts_for_every_delivery() {
    let mut run = Run::start(SMALL);
    let result = run.end_well();
    assert_eq!(result["schema"], "throng.result/1");
    assert_eq!(result["users"]["planned"], 100);
    assert_eq!(result["users"]["connected_max"], 100);
    let completeness = &result["completeness"];
    assert!(completeness["expected"].as_u64().unwrap() > 500, "{completeness}");
    assert_eq!(completeness["expected"], completeness["delivered"]);
    assert_eq!(completeness["lost"], 0);
    let conservation = &result["conservation"];
    assert_eq!(conservation["holds"], true, "{conservation}");
    assert_eq!(conservation["recorded_samples"], conservation["shown_samples"]);
    assert!(conservation["shown_samples"].as_u64().unwrap() > 1_000, "{conservation}");
    for metric in ["delivery", "send", "connect", "lag", "fanout_last"] {
        assert!(result["metrics"][metric]["count"].as_u64().unwrap() > 0, "{metric}");
    }
}

#[test]
fn a_run_leaves_its_files_and_says_where_they_are() {
    let mut run = Run::start_with(SMALL, &["--workers", "2"]);
    let result = run.end_well();
    let (_, version, _) = finish(throng().arg("--version"));
    assert_eq!(version.trim(), format!("throng {}", result["build"].as_str().expect("version and commit")));
    assert!(result["hosts"][0]["machine"].as_str().is_some_and(|m| m.contains("Linux ")), "{}", result["hosts"]);
    for file in ["scenario.yaml", "result.json", "report.html", "intervals.hlog", "events.jsonl", "junit.xml"] {
        let size = std::fs::metadata(run.out().join(file)).map(|m| m.len()).unwrap_or_default();
        assert!(size > 0, "{file}");
    }
    for log in ["control-plane", "data-plane", "chat-server", "worker-1", "worker-2", "probe-1"] {
        let log = std::fs::read_to_string(run.out().join(format!("logs/{log}.log"))).expect(log);
        let lines: Vec<serde_json::Value> =
            log.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|_| panic!("not structured: {l}"))).collect();
        assert!(!lines.is_empty() && lines.iter().all(|l| l["level"].is_string() && l["timestamp"].is_string()));
    }
    let page = std::fs::read_to_string(run.out().join("report.html")).unwrap();
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"), "the report loads nothing");
    assert!(run.stdout().contains("report.html"), "{}", run.stdout());
    assert!(run.stderr().contains("users 100 of 100"), "{}", run.stderr());
    let kinds: Vec<&str> = run.stderr().lines().filter(|l| l.contains('\x1b')).map(|_| "colour").collect();
    assert!(kinds.is_empty(), "no control codes where stderr is no terminal");
}

#[test]
fn scripts_get_one_line_of_json() {
    let mut run = Run::start_with(SMALL, &["--json", "--quiet"]);
    let result = run.end_well();
    let line: serde_json::Value = serde_json::from_str(&run.stdout()).expect("one line of JSON");
    assert_eq!(line["verdict"], result["verdict"]);
    assert!(std::path::Path::new(line["result"].as_str().unwrap()).is_file());
    assert_eq!(run.stderr(), "", "quiet is quiet");
}

#[test]
fn a_failed_threshold_is_exit_99() {
    let impossible = SMALL.replace("lost: count == 0", "delivery: p(50) < 1us");
    let mut run = Run::start(&impossible);
    assert_eq!(run.end(), 99);
    assert_eq!(run.result()["verdict"]["outcome"], "failed");
}

#[test]
fn shipped_scenarios_validate() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");
    let files = std::fs::read_dir(directory).unwrap().flatten().map(|e| e.path());
    let files: Vec<_> = files.filter(|p| p.extension().is_some_and(|e| e == "yaml")).collect();
    assert!(files.len() >= 3, "{files:?}");
    let out = throng().arg("validate").args(&files).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// The same processes, started by hand as a fleet's hosts would, and a target that is already there.
#[test]
fn a_fleet_that_is_already_there_runs_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("secret"), "hush-hush").unwrap();
    // The secret is written out as well, as one should not.
    let scenario = format!("{SMALL}target: {{ url: ws://unused, api_key: k, tokens: {{ secret: hush-hush }} }}\n");
    std::fs::write(path("s.yaml"), scenario).unwrap();
    let any = ["--listen", "127.0.0.1:0"];
    let serve = |role: &str, flags: &[&str]| Server::start(&[&[role], flags].concat());
    let address = |server: &Server| server.ready["listen"].as_str().unwrap().to_owned();
    let (secret, runs) = (path("secret"), path("runs"));
    let chat = serve("chat-server", &[&any[..], &["--api-key", "k", "--api-secret-file", &secret]].concat());
    let data = serve("data-plane", &[&any[..], &["--runs-dir", &runs]].concat());
    let data_url = format!("http://{}", address(&data));
    let web = ["--web-listen", "127.0.0.1:0", "--data-plane", &data_url];
    let control = serve("control-plane", &[&any[..], &web].concat());
    let control_url = format!("http://{}", address(&control));
    let _workers = ["left", "right"].map(|name| serve("worker", &["--control-plane", &control_url, "--name", name]));
    let mut run = throng();
    run.args(["run", &path("s.yaml"), "--control-plane", &control_url, "--workers", "2", "--json"]);
    run.args(["--target", &format!("ws://{}", address(&chat)), "--api-key", "k", "--api-secret-file", &secret]);
    run.args(["--set", "target.tokens.secret=hush-hush"]);
    let (code, stdout, stderr) = finish(&mut run);
    assert!([0, 2].contains(&code), "{stdout}\n{stderr}");
    let line: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let out = std::path::PathBuf::from(line["dir"].as_str().unwrap());
    assert!(out.starts_with(dir.path().canonicalize().unwrap()), "{line}");
    let result = result(&out);
    assert_eq!(result["users"]["connected_max"], 100);
    assert_eq!(result["completeness"]["expected"], result["completeness"]["delivered"]);
    let sources: Vec<&str> = result["sources"].as_array().unwrap().iter().filter_map(|s| s["name"].as_str()).collect();
    assert!(sources.contains(&"left") && sources.contains(&"right"), "{sources:?}");
    for entry in std::fs::read_dir(&out).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        let text = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
        assert!(!text.contains("hush"), "{} keeps a secret", entry.path().display());
    }
}

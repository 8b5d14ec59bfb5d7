//! Whatever a run leaves behind, no secret is in it: neither in its directory, nor in logs that tell everything, nor in
//! what a control plane keeps.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::by_hand::ByHand;
use crate::harness::{SMALL, Server, throng, turn};

/// The API's secret, the one that a scenario takes from the environment, and the one that a flag sets.
const SECRETS: [&str; 3] = ["hush-api-5b1e77", "hush-environment-90c2", "hush-flag-41d6aa"];

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())).flatten();
    entries.flat_map(|e| if e.path().is_dir() { files(&e.path()) } else { vec![e.path()] }).collect()
}

/// How a token begins: `{"alg":"HS256"` in Base64. What is signed is as good as a secret.
const TOKEN: &str = "eyJhbGciOi";

/// Looks for secrets in everything below a directory, but for what `may` have them; answers how many files there are.
fn search(dir: &Path, may: impl Fn(&Path) -> bool) -> usize {
    let searched: Vec<_> = files(dir).into_iter().filter(|file| !may(file)).collect();
    for file in &searched {
        let bytes = std::fs::read(file).expect("a file of ours");
        for secret in SECRETS.iter().chain([&TOKEN]) {
            let at = bytes.windows(secret.len()).position(|window| window == secret.as_bytes());
            let around = at.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(300)..at]).into_owned());
            assert!(at.is_none(), "{secret} is in {} behind: {}", file.display(), around.unwrap_or_default());
        }
    }
    searched.len()
}

fn scenario(target: &str) -> String {
    let few = SMALL.replace("users: 100", "users: 20").replace("hold: 3s", "hold: 2s");
    few + "probes: { canaries: 1, send: 1/s }\n" + target
}

#[test]
fn logs_that_tell_everything_and_all_files_of_a_run_have_no_secret() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| std::fs::File::create(dir.path().join(name)).expect("a file");
    std::fs::create_dir(dir.path().join("private")).unwrap();
    let secret = dir.path().join("private/secret");
    std::fs::write(&secret, SECRETS[1]).unwrap();
    let secret = secret.display().to_string();
    let chat = ["chat-server", "--listen", "127.0.0.1:0", "--api-key", "k", "--api-secret-file", &secret];
    let chat = Server::start(&chat);
    let target = format!(
        "target: {{ url: \"ws://{}\", tokens: {{ secret: \"${{CHAT_SECRET}}\" }} }}\n",
        chat.ready["listen"].as_str().unwrap()
    );
    std::fs::write(dir.path().join("s.yaml"), scenario(&target)).unwrap();
    let mut command = throng();
    command.current_dir(dir.path()).args(["run", "s.yaml", "--out", "out", "--api-key", "k", "--workers", "2"]);
    // A flag that a scenario may be given, and that overrides what it has.
    command.args(["--set", &format!("target.tokens.secret={}", SECRETS[1]), "--set", "description=plain"]);
    command.env("THRONG_API_SECRET", SECRETS[0]).env("CHAT_SECRET", SECRETS[2]).env("THRONG_LOG", "trace");
    let status = command.stdout(Stdio::from(file("stdout"))).stderr(Stdio::from(file("stderr"))).status().unwrap();
    let stderr = std::fs::read_to_string(dir.path().join("stderr")).unwrap();
    // A log of everything makes a small machine late.
    assert!([0, 2].contains(&status.code().unwrap()), "{stderr}");
    let result = crate::harness::result(&dir.path().join("out"));
    assert_eq!(result["users"]["connected_max"], 20, "{stderr}");
    let searched = search(dir.path(), |file| file.ends_with("private/secret"));
    assert!(searched >= 12, "a run has more files than {searched}");
    let trace = std::fs::read_to_string(dir.path().join("out/logs/worker-1.log")).unwrap();
    assert!(trace.contains("\"TRACE\""), "the log tells everything");
}

#[test]
fn a_control_plane_keeps_secrets_while_it_needs_them_and_to_itself() {
    let mut fleet = ByHand::start(1, str::to_owned);
    fleet.run(&SMALL.replace("hold: 3s", "hold: 5s"), &["--workers", "1"]);
    fleet.wait_until_under_way();
    let state = fleet.dir.path().join("state");
    let kept = files(&state);
    let secretive = |file: &&PathBuf| {
        let bytes = std::fs::read(file).expect("a file of ours");
        bytes.windows(21).any(|window| window == b"a secret of this test")
    };
    assert_eq!(kept.iter().filter(secretive).count(), 1, "only the request: {kept:?}");
    for file in &kept {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
    let runs = state.join("runs").metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(runs, 0o700, "nobody else looks into it");
    fleet.end();
    let kept = files(&state);
    assert!(!kept.is_empty() && kept.iter().filter(secretive).count() == 0, "{kept:?}");
    let left = files(&fleet.dir.path().join("runs"));
    assert!(left.len() > 5 && left.iter().filter(secretive).count() == 0, "{left:?}");
}

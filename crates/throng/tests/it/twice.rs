//! Twice the same scenario and seed: the same users, the same schedule, the same messages with the same ids, as an outsider
//! sees them on the bundled chat server with curl.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{RUN_WITHIN, Run, eventually, finish, throng};

const SCENARIO: &str = "\
name: again
seed: 11
channels:
  - { id: room, type: livestream, members: all }
cohorts:
  - name: people
    users: 30
    ramp: { rate: 30/s }
    actions:
      - send: { channel: room, rate: 20/s, size: 20..120B }
hold: 3s
";

/// Who asks the chat server.
const OUTSIDER: &str = "outsider";

const API_KEY: &str = "known";

/// What an outsider saw of a run.
#[derive(Debug, Default)]
struct Seen {
    /// By id: who said it, what, and when it was due.
    said: BTreeMap<String, (String, String, u64)>,
    users: BTreeSet<String>,
    sent: u64,
    dropped: u64,
}

impl Seen {
    /// Messages that another run has, too, with instants from the first of these on.
    fn shared(&self, other: &Self) -> BTreeMap<&str, (&str, &str, u64)> {
        let shared = || self.said.iter().filter(|(id, _)| other.said.contains_key(*id));
        let first = shared().map(|(_, (.., due))| *due).min().unwrap_or_default();
        shared().map(|(id, (who, text, due))| (id.as_str(), (who.as_str(), text.as_str(), due - first))).collect()
    }
}

/// The bundled chat server of a run, as whoever chose its key and secret finds it.
struct Bundled {
    listen: String,
    token: String,
}

impl Bundled {
    fn of(run: &Run, secret: &Path) -> Self {
        let mut found = None;
        eventually("the chat server serves", RUN_WITHIN, || {
            found = listen(&run.out());
            found.is_some()
        });
        let (code, token, stderr) = finish(throng().args(["token", OUTSIDER, "--api-secret-file"]).arg(secret));
        assert_eq!(code, 0, "{stderr}");
        Self { listen: found.expect("it was seen to serve"), token: token.trim().to_owned() }
    }

    /// Who and what is there now; nothing once the server is gone.
    fn look(&self, seen: &mut Seen) {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned();
        let body = r#"{"state": true, "messages": {"limit": 300}}"#;
        let room = self.call("/channels/livestream/room/query", &["-H", "Content-Type: application/json", "-d", body]);
        for message in room["messages"].as_array().into_iter().flatten() {
            let due = message["throng"]["due"].as_u64().unwrap_or_else(|| panic!("no stamp: {message}"));
            seen.said.insert(text(&message["id"]), (text(&message["user"]["id"]), text(&message["text"]), due));
        }
        let users = self.call("/users", &[]);
        let users = users["users"].as_array().into_iter().flatten().map(|user| text(&user["id"]));
        seen.users.extend(users.filter(|id| id != OUTSIDER));
    }

    fn call(&self, path: &str, more: &[&str]) -> Value {
        let url = format!("http://{}{path}?api_key={API_KEY}", self.listen);
        let authorization = format!("Authorization: {}", self.token);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "10", &url, "-H", &authorization, "-H", "stream-auth-type: jwt"]).args(more);
        serde_json::from_slice(&curl.output().expect("curl").stdout).unwrap_or_default()
    }
}

/// Where a run's chat server listens, as its log says.
fn listen(out: &Path) -> Option<String> {
    let log = std::fs::read_to_string(out.join("logs/chat-server.log")).ok()?;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ready = lines.filter_map(|line| serde_json::from_str::<Value>(line["ready"].as_str()?).ok()).next()?;
    Some(ready["listen"].as_str()?.to_owned())
}

fn once(scenario: &str) -> Seen {
    let secret = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(&secret, "known to the outsider").expect("the secret is written");
    let path = secret.path().to_str().expect("a plain path");
    let mut run = Run::start_with(scenario, &["--api-key", API_KEY, "--api-secret-file", path]);
    let bundled = Bundled::of(&run, secret.path());
    let mut seen = Seen::default();
    eventually("the chat server has ended", RUN_WITHIN, || {
        bundled.look(&mut seen);
        run.processes("chat-server").is_empty()
    });
    let code = run.end();
    assert!(code == 0 || code == 2, "a busy machine is all that may be wrong: {code}");
    let result = run.result();
    let counted = |name: &str| result["counters"][name].as_u64().unwrap_or_default();
    (seen.sent, seen.dropped) = (counted("sent"), counted("dropped"));
    assert_eq!(seen.said.len() as u64, seen.sent, "an outsider sees each message that was sent");
    seen
}

#[test]
fn two_runs_of_a_seed_say_the_same_at_the_same_instants_under_the_same_ids() {
    let (first, second) = (once(SCENARIO), once(SCENARIO));
    assert!(first.said.keys().all(|id| id.starts_with("again-11-0-")), "{:?}", first.said.keys().next());
    let (here, there) = (first.shared(&second), second.shared(&first));
    assert_eq!(here, there);
    // Whoever is not connected yet when it should talk says nothing, which a busy machine brings about, and is counted:
    // nothing else is in one of the runs only.
    assert!(here.len() > 40, "{}", here.len());
    let missing = [first.sent, second.sent].map(|sent| sent - here.len() as u64);
    assert!(missing[0] <= second.dropped && missing[1] <= first.dropped, "{missing:?}: {first:?} {second:?}");
    assert_eq!(first.users, second.users);
    assert_eq!(first.users.len(), 30, "{:?}", first.users);
    let other = once(&SCENARIO.replace("seed: 11", "seed: 12"));
    assert_eq!(other.users, first.users, "who is there doesn't depend on the seed");
    let texts = |seen: &Seen| seen.said.values().map(|(_, text, _)| text.clone()).collect::<BTreeSet<_>>();
    assert_eq!(texts(&other).intersection(&texts(&first)).count(), 0, "what they say does");
}

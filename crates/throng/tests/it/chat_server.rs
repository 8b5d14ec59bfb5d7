//! The chat server as others see it: clients that share no line with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::Server;

/// A Python that has `websockets`: the first in the path, or Debian's own.
fn python() -> PathBuf {
    let has = |python: &&str| {
        let mut asked = Command::new(python);
        asked.args(["-c", "import websockets"]).stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|s| s.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(|p| has(p));
    found
        .map(PathBuf::from)
        .expect("a Python with websockets; `cargo xtask test` installs it, or: apt-get install python3-websockets")
}

fn start(dir: &Path, more: &[&str]) -> (Server, String) {
    let secret = dir.join("secret");
    std::fs::write(&secret, "a secret of this test\n").expect("the secret is written");
    let secret = secret.to_str().expect("a plain path");
    let flags = ["chat-server", "--listen", "127.0.0.1:0", "--api-key", "it-key", "--api-secret-file", secret];
    let server = Server::start(&[&flags, more].concat());
    let listen = server.ready["listen"].as_str().expect("an address").to_owned();
    (server, listen)
}

#[test]
fn an_independent_client_is_served_and_corrected() {
    let dir = tempfile::tempdir().unwrap();
    let (server, listen) = start(dir.path(), &[]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/chat_client.py");
    let mut client = Command::new(python());
    let out = client.arg(script).args([&listen, "it-key"]).arg(dir.path().join("secret")).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && stdout.contains("all fine"), "{stdout}\n{stderr}");
    drop(server);
}

/// What curl gets for a POST by this user: the HTTP status, and the body as JSON.
fn post(dir: &Path, user: &str, listen: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
    let mut command = crate::harness::throng();
    command.args(["token", user, "--api-secret-file"]).arg(dir.join("secret"));
    let (code, token, stderr) = crate::harness::finish(&mut command);
    assert_eq!(code, 0, "{stderr}");
    let url = format!("http://{listen}{path}?api_key=it-key");
    let authorization = format!("Authorization: {}", token.trim());
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "10", "-X", "POST", &url, "-H", &authorization, "-H", "stream-auth-type: jwt"]);
    curl.args(["-w", "\n%{http_code}", "-H", "Content-Type: application/json", "-d", body]);
    let out = String::from_utf8(curl.output().expect("curl").stdout).expect("text");
    let (answer, status) = out.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), serde_json::from_str(answer).expect("JSON"))
}

#[test]
fn curl_with_a_token_of_ours_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, listen) = start(dir.path(), &[]);
    let (status, answer) = post(dir.path(), "ann", &listen, "/channels/messaging/curl/query", "{}");
    assert_eq!((status, &answer["channel"]["cid"]), (201, &"messaging:curl".into()), "{answer}");
}

#[test]
fn limits_can_be_set_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, listen) =
        start(dir.path(), &["--rate-per-user", "2", "--rate-window", "86400", "--slow-mode", "120"]);
    let call = |user: &str, path: &str, body: &str| {
        let (status, answer) = post(dir.path(), user, &listen, path, body);
        (status, answer["code"].as_i64())
    };
    let query = "/channels/messaging/curl/query";
    assert_eq!([call("ann", query, "{}"), call("ann", query, "{}")], [(201, None), (201, None)]);
    assert_eq!(call("ann", query, "{}"), (429, Some(9)), "over the rate limit");
    assert_eq!(call("bob", query, "{}"), (201, None), "which is each user's own");
    let (send, message) = ("/channels/messaging/curl/message", r#"{"message": {"text": "hello"}}"#);
    assert_eq!(call("ann", send, message), (201, None));
    assert_eq!(call("ann", send, message), (403, Some(60)), "slow mode");
}

/// One answer, over a connection of its own.
fn ask(listen: &str) -> std::io::Result<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(listen)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
    stream.write_all(b"GET /stats HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn who_is_silent_makes_way_when_the_server_runs_out_of_files() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let dir = tempfile::tempdir().unwrap();
    let (server, listen) = start(dir.path(), &[]);
    let files = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count() as u64;
    // Once it has answered, all its threads have what they need.
    assert!(ask(&listen).unwrap().starts_with("HTTP/1.1 200 "));
    let before = files();
    let silent: Vec<_> = (0..200).map(|_| std::net::TcpStream::connect(&listen).unwrap()).collect();
    crate::harness::eventually("all are accepted", std::time::Duration::from_secs(20), || files() >= before + 199);
    // From now on it can't accept anybody, and is told so at every try.
    let limit = Rlimit { current: Some(files()), maximum: Some(files()) };
    prlimit(Pid::from_raw(server.pid() as i32), Resource::Nofile, limit).unwrap();
    for _ in 0..20 {
        let answer = ask(&listen).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"sent_away\":"), "{answer}");
    }
    drop(silent);
    crate::harness::eventually("all are let go", std::time::Duration::from_secs(20), || files() <= before + 1);
}

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

fn start(dir: &Path) -> (Server, String) {
    let secret = dir.join("secret");
    std::fs::write(&secret, "a secret of this test\n").expect("the secret is written");
    let secret = secret.to_str().expect("a plain path");
    let flags = ["chat-server", "--listen", "127.0.0.1:0", "--api-key", "it-key", "--api-secret-file", secret];
    let server = Server::start(&flags);
    let listen = server.ready["listen"].as_str().expect("an address").to_owned();
    (server, listen)
}

#[test]
fn an_independent_client_is_served_and_corrected() {
    let dir = tempfile::tempdir().unwrap();
    let (server, listen) = start(dir.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/chat_client.py");
    let mut client = Command::new(python());
    let out = client.arg(script).args([&listen, "it-key"]).arg(dir.path().join("secret")).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && stdout.contains("all fine"), "{stdout}\n{stderr}");
    drop(server);
}

#[test]
fn curl_with_a_token_of_ours_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, listen) = start(dir.path());
    let mut command = crate::harness::throng();
    command.args(["token", "ann", "--api-secret-file"]).arg(dir.path().join("secret"));
    let (code, token, stderr) = crate::harness::finish(&mut command);
    assert_eq!(code, 0, "{stderr}");
    let url = format!("http://{listen}/channels/messaging/curl/query?api_key=it-key");
    let authorization = format!("Authorization: {}", token.trim());
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "10", "-X", "POST", &url, "-H", &authorization, "-H", "stream-auth-type: jwt"]);
    let out = curl.args(["-H", "Content-Type: application/json", "-d", "{}"]).output().expect("curl");
    let answer: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(answer["channel"]["cid"], "messaging:curl", "{answer}");
}

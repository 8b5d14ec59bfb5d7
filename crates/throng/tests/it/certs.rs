//! A fleet whose roles trust each other by certificate and nobody else, with the real binary on loopback.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{SMALL, Server, finish, result, throng, turn};

/// Certificates of two fleets, `ours` and `theirs`, each for this machine.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn make() -> Self {
        let made = Self(tempfile::tempdir().expect("a temporary directory"));
        for fleet in ["ours", "theirs"] {
            let (code, stdout, stderr) = finish(throng().arg("certs").arg(made.path(fleet)));
            assert_eq!(code, 0, "{stderr}");
            assert!(stdout.contains("localhost, 127.0.0.1, ::1 until ") && stdout.contains("--tls-key"), "{stdout}");
        }
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The three flags of this machine in a fleet.
    fn flags(&self, fleet: &str) -> Vec<String> {
        let files = [("--tls-ca", "ca.pem"), ("--tls-cert", "localhost.pem"), ("--tls-key", "localhost.key")];
        let flags = files.iter().flat_map(|(flag, file)| [(*flag).to_owned(), self.file(&format!("{fleet}/{file}"))]);
        flags.collect()
    }

    fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

fn start(flags: &[&str], more: &[String]) -> Server {
    let all: Vec<&str> = flags.iter().copied().chain(more.iter().map(String::as_str)).collect();
    Server::start(&all)
}

fn listens(server: &Server) -> String {
    server.ready["listen"].as_str().expect("an address").to_owned()
}

/// A control plane and a data plane with certificates.
fn planes(certificates: &Certificates, runs: &Path) -> (Server, Server) {
    let (ours, runs) = (certificates.flags("ours"), runs.display().to_string());
    let any = ["--listen", "127.0.0.1:0"];
    let data = start(&[&["data-plane", "--runs-dir", &runs], &any[..]].concat(), &ours);
    let url = format!("https://{}", listens(&data));
    let control =
        start(&[&["control-plane", "--web-listen", "127.0.0.1:0", "--data-plane", &url], &any[..]].concat(), &ours);
    (control, data)
}

/// `throng run` against a fleet.
fn run(dir: &Path, control_plane: &str, chat: &str, more: &[String]) -> Command {
    std::fs::write(dir.join("secret"), "a secret of this test\n").expect("the secret is written");
    std::fs::write(dir.join("s.yaml"), SMALL).expect("the scenario is written");
    let mut command = throng();
    command.current_dir(dir).args(["run", "s.yaml", "--control-plane", control_plane, "--target", chat]);
    command.args(["--api-key", "it-key", "--api-secret-file", "secret", "--workers", "1"]).args(more);
    command.arg("--out").arg(dir.join("out"));
    command
}

/// An origin and an edge, each with certificates of a fleet, and where users reach the edge.
fn chat_server(dir: &Path, origin_is: &[String], edge_is: &[String]) -> (Server, Server, String) {
    std::fs::write(dir.join("secret"), "a secret of this test\n").expect("the secret is written");
    let secret = dir.join("secret").display().to_string();
    let flags = ["chat-server", "--listen", "127.0.0.1:0", "--api-key", "it-key", "--api-secret-file", &secret];
    let origin = start(&[&flags[..], &["--link-listen", "127.0.0.1:0"]].concat(), origin_is);
    let link = origin.ready["link"].as_str().expect("an address").to_owned();
    let edge = start(&[&flags[..], &["--edge", "--origin", &link]].concat(), edge_is);
    let url = format!("ws://{}", listens(&edge));
    (origin, edge, url)
}

/// The head and body that a page answers to somebody who shows this.
fn page(address: &str, shown: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the page is served");
    let authorization = if shown.is_empty() { String::new() } else { format!("authorization: {shown}\r\n") };
    let request = format!("GET /api/fleet HTTP/1.1\r\nhost: {address}\r\n{authorization}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the page is asked for");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the page answers");
    answer
}

#[test]
fn a_fleet_with_certificates_runs_a_scenario() {
    let _turn = turn();
    let certificates = Certificates::make();
    let (ours, dir) = (certificates.flags("ours"), certificates.path("work"));
    std::fs::create_dir(&dir).unwrap();
    let (control, _data) = planes(&certificates, &dir.join("runs"));
    let (_origin, _edge, chat) = chat_server(&dir, &ours, &ours);
    let url = format!("https://{}", listens(&control));
    let spool = dir.display().to_string();
    let _worker = start(&["worker", "--control-plane", &url, "--name", "w", "--spool-dir", &spool], &ours);
    let _probe = start(&["probe", "--control-plane", &url, "--name", "p", "--spool-dir", &spool], &ours);
    let (code, _, stderr) = finish(&mut run(&dir, &url, &chat, &ours));
    // On a busy machine the load may be late; what counts here is that everything got through.
    assert!([0, 2].contains(&code), "{code}: {stderr}");
    let result = result(&dir.join("out"));
    assert_eq!(result["users"]["connected_max"], 100, "{stderr}");
    assert_eq!(result["completeness"]["lost"], 0, "{stderr}");
    assert!(result["completeness"]["delivered"].as_u64().unwrap() > 0, "{stderr}");
}

#[test]
fn who_is_of_another_fleet_or_shows_nothing_is_refused_in_words() {
    let certificates = Certificates::make();
    let dir = certificates.path("work");
    std::fs::create_dir(&dir).unwrap();
    let (control, _data) = planes(&certificates, &dir.join("runs"));
    let (url, plain) = (format!("https://{}", listens(&control)), format!("http://{}", listens(&control)));
    let theirs = certificates.flags("theirs");
    // They take our CA for theirs, so that it is the control plane that refuses.
    let mut stranger = theirs.clone();
    stranger[1] = certificates.file("mixed/ca.pem");
    let both: String = ["ours", "theirs"]
        .iter()
        .map(|fleet| std::fs::read_to_string(certificates.path(fleet).join("ca.pem")).expect("a CA"))
        .collect();
    std::fs::create_dir(certificates.path("mixed")).unwrap();
    std::fs::write(certificates.path("mixed/ca.pem"), both).unwrap();
    for (flags, url, code, words) in [
        (theirs.clone(), &url, 69, "its certificate is not of our CA (--tls-ca)"),
        (stranger, &url, 69, "it does not know the CA of our certificate"),
        (Vec::new(), &url, 69, "is reached by TLS: give --tls-ca"),
        (certificates.flags("ours"), &plain, 69, "is plaintext, although certificates are given"),
    ] {
        for role in ["worker", "probe"] {
            let (ended, _, stderr) = finish(throng().args([role, "--control-plane", url]).args(&flags));
            assert_eq!(ended, code, "{role}: {stderr}");
            assert!(stderr.contains(words) && stderr.contains("127.0.0.1:"), "{role}: {stderr}");
        }
    }
    let (code, _, stderr) = finish(&mut run(&dir, &url, "ws://127.0.0.1:1", &[]));
    assert_eq!(code, 64, "{stderr}");
    assert!(stderr.contains("is reached by TLS"), "{stderr}");
    assert!(!dir.join("out").join("result.json").exists(), "{:?}", result(&dir.join("out")));
}

#[test]
fn files_that_are_no_good_are_refused_before_anything_listens() {
    let certificates = Certificates::make();
    let ours = certificates.flags("ours");
    let with = |at: usize, file: &str| {
        let mut flags = ours.clone();
        flags[at] = certificates.file(file);
        flags
    };
    for (flags, words) in [
        (with(5, "theirs/localhost.key"), "does not belong to the certificate"),
        (with(1, "theirs/ca.pem"), "was not signed by the CA"),
        (with(3, "ours/none.pem"), "No such file"),
        (ours[..4].to_vec(), "--tls-key"),
    ] {
        for role in ["control-plane", "data-plane", "worker", "probe"] {
            let (code, stdout, stderr) = finish(throng().current_dir(certificates.path("ours")).arg(role).args(&flags));
            assert_eq!(code, 64, "{role}: {stderr}");
            assert!(stderr.contains(words) && stdout.is_empty(), "{role}: {stderr}");
        }
    }
    let again = finish(throng().arg("certs").arg(certificates.path("ours")));
    assert_eq!(again.0, 64);
    assert!(again.2.contains("localhost.pem is there already"), "{}", again.2);
}

#[test]
fn plaintext_leaves_this_host_only_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let everywhere = "0.0.0.0:0";
    for flags in [
        ["control-plane", "--listen", everywhere, "--web-listen", "127.0.0.1:0"],
        ["control-plane", "--web-listen", everywhere, "--listen", "127.0.0.1:0"],
        ["data-plane", "--listen", everywhere, "--runs-dir", "runs"],
        ["data-plane", "--metrics-listen", everywhere, "--listen", "127.0.0.1:0"],
        ["chat-server", "--api-key", "k", "--link-listen", everywhere],
    ] {
        let mut command = throng();
        let (code, stdout, stderr) =
            finish(command.current_dir(dir.path()).args(flags).env("THRONG_API_SECRET", "of this test"));
        assert_eq!(code, 64, "{stderr}");
        assert!(stderr.contains("0.0.0.0:0") && stderr.contains("--plaintext") && stdout.is_empty(), "{stderr}");
    }
    let (code, _, stderr) = finish(throng().args(["worker", "--control-plane", "http://192.0.2.1:7700"]));
    assert_eq!(code, 69, "{stderr}");
    assert!(stderr.contains("192.0.2.1:7700 is not on this host") && stderr.contains("--tls-ca"), "{stderr}");
    let runs = dir.path().join("runs").display().to_string();
    let told = Server::start(&["data-plane", "--listen", everywhere, "--runs-dir", &runs, "--plaintext"]);
    assert!(listens(&told).starts_with("0.0.0.0:"));
}

#[test]
fn people_show_a_token_or_see_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "word-of-this-test\n").unwrap();
    let (any, file) = ("127.0.0.1:0", token.display().to_string());
    let control = ["control-plane", "--listen", any, "--web-listen", any, "--token-file", &file];
    let control = Server::start(&control);
    let web = control.ready["web"].as_str().expect("an address").to_owned();
    for (shown, status) in [
        ("", "401 "),
        ("Bearer word-of-this-tes", "401 "),
        ("Bearer word-of-this-test", "200 "),
        // `ann:word-of-this-test`
        ("Basic YW5uOndvcmQtb2YtdGhpcy10ZXN0", "200 "),
    ] {
        let answer = page(&web, shown);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {answer}");
    }
    let url = format!("http://{}", listens(&control));
    std::fs::write(dir.path().join("other"), "another-word").unwrap();
    // One that can be reached, as that is looked at first.
    let reachable = TcpListener::bind(any).unwrap();
    let target = format!("ws://{}", reachable.local_addr().unwrap());
    for (more, words) in [
        (vec![], "wants a token: give --token-file FILE"),
        (vec!["--token-file".to_owned(), "other".to_owned()], "this is not the control plane's token"),
    ] {
        let (code, _, stderr) = finish(&mut run(dir.path(), &url, &target, &more));
        assert_eq!(code, 64, "{stderr}");
        assert!(stderr.contains(words) && !stderr.contains("another-word"), "{stderr}");
    }
    // Off loopback, a page without a token is nobody's.
    let everywhere = ["control-plane", "--listen", any, "--web-listen", "0.0.0.0:0", "--plaintext"];
    let closed = Server::start(&everywhere);
    let web = closed.ready["web"].as_str().expect("an address").replace("0.0.0.0", "127.0.0.1");
    assert!(page(&web, "Bearer word-of-this-test").starts_with("HTTP/1.1 401 "));
}

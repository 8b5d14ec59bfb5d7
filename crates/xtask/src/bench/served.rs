//! A chat server of its own process, for benchmarks that do something to it beside a run.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::repo;

/// Signs everybody in; a benchmark's server keeps nothing worth a secret.
pub(super) const SECRET: &str = "a benchmark's secret";
/// Whoever waits longer than this waits for a server that is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that serves until this is dropped.
pub(super) struct Served {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Served {
    /// Starts it and waits until it serves. Outboxes are as small as they may be, so that slow readers are found soon.
    ///
    /// # Errors
    /// When it can't be started, or says no address.
    pub(super) fn start() -> Result<Self> {
        let file = secret_file();
        std::fs::create_dir_all(file.parent().context("a file lies in a directory")?)?;
        std::fs::write(&file, SECRET)?;
        let mut command = Command::new(std::env::current_exe()?.with_file_name("throng"));
        command.args(["chat-server", "--log", "error", "--listen", "127.0.0.1:0", "--api-key", "bench"]);
        command.arg("--api-secret-file").arg(&file).args(["--outbox-bytes", "65536", "--until-stdin-closes"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("no chat server starts")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its stdout is a pipe")?).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line).context("the chat server does not say that it serves")?;
        let address = ready["listen"].as_str().context("it says no address")?.parse()?;
        Ok(Self { child, address })
    }

    /// Where its secret is.
    pub(super) fn secret_file(&self) -> PathBuf {
        secret_file()
    }

    /// What it counts.
    ///
    /// # Errors
    /// When it doesn't answer, or counts no such thing.
    pub(super) fn stat(&self, name: &str) -> Result<f64> {
        let answer = ask(self.address, "GET /stats HTTP/1.1\r\n", "")?;
        answer[name].as_f64().with_context(|| format!("the server counts no {name}"))
    }

    /// The most memory that it has had, in megabytes.
    ///
    /// # Errors
    /// When it is gone.
    pub(super) fn memory_max(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel says no VmHWM")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes / 1e3)
    }
}

fn secret_file() -> PathBuf {
    repo::root().join("target/bench/secret")
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One call over a connection of its own: `head` is its first line and headers, each with its end.
///
/// # Errors
/// When the server doesn't answer, or with no JSON.
pub(super) fn ask(server: SocketAddr, head: &str, body: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "{head}host: {server}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no body")?;
    ensure!(head.starts_with("HTTP/1.1 2"), "{}", head.lines().next().unwrap_or_default());
    Ok(serde_json::from_str(body)?)
}

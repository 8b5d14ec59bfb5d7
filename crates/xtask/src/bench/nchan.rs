//! A peer: nginx with the nchan module, where it is installed, against throng's chat server, both with the same client.
//!
//! One message at a time to one channel of WebSocket subscribers: published by one HTTP call over a connection that is
//! open, counted by the crowd's process ([`super::crowd`]). nchan gets the very bytes that throng made of its message. Each
//! server is as it would be set up: a thread, or a process, for each processor. throng does more meanwhile (it checks who
//! calls, numbers and keeps the message); nothing is taken off for that.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use measure::Clock;
use serde_json::json;
use wire::token::{Claims, TokenKey};

use super::crowd::{Crowd, Peer, Publisher};
use super::rounds::{Paired, median};
use super::served::{SECRET, Served, ask};
use super::{Aim, Figure};
use crate::repo;

/// Subscribers, as many as there are users in the benchmark of throng alone.
const SUBSCRIBERS: usize = 15_000;
/// Rounds of each side, A B A B.
const ROUNDS: usize = 3;
/// Messages of a round, after one that nobody counts.
const MESSAGES: usize = 20;
/// Whoever waits longer than this waits for a server that is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one waits before one looks again.
const PAUSE: Duration = Duration::from_millis(20);

/// Deliveries a second of throng, and of nchan; nothing, where nchan is not installed.
pub(super) fn fanout() -> Result<Vec<Figure>> {
    let Some(installed) = Installed::find() else {
        eprintln!("fanout-nchan is left out: nginx with the nchan module is not installed");
        return Ok(Vec::new());
    };
    let mut pairs = Paired::default();
    for _ in 0..ROUNDS {
        let (throng, message) = of_throng()?;
        pairs.add(throng, of_nchan(&installed, &message)?);
    }
    Ok(vec![pairs.figure("fanout-nchan", "deliveries/s", Aim::RatioAtLeast(1.5))])
}

/// A round of throng; and a message as its receivers had it.
fn of_throng() -> Result<(f64, String)> {
    let served = Served::start()?;
    let mut crowd = Crowd::start(served.address, Peer::Throng, SUBSCRIBERS)?;
    let mut publisher = Publisher::connect(served.address)?;
    let token = TokenKey::new(SECRET).sign(&Claims::user("crowd-0"));
    let head = format!(
        "POST /channels/livestream/room/message?api_key=bench HTTP/1.1\r\nauthorization: {token}\r\n\
         stream-auth-type: jwt\r\n"
    );
    let body = json!({"message": {"text": "x".repeat(100)}}).to_string();
    let (_, message) = crowd.round(&mut publisher, &head, &body)?;
    Ok((rounds(&mut crowd, &mut publisher, &head, &body)?, message))
}

fn of_nchan(installed: &Installed, message: &str) -> Result<f64> {
    let nginx = Nginx::start(installed)?;
    let mut crowd = Crowd::start(nginx.address, Peer::Nchan, SUBSCRIBERS)?;
    nginx.wait_for(SUBSCRIBERS)?;
    let mut publisher = Publisher::connect(nginx.address)?;
    let head = "POST /pub HTTP/1.1\r\n";
    let (_, received) = crowd.round(&mut publisher, head, message)?;
    ensure!(received == message, "nchan delivered something else: {received}");
    rounds(&mut crowd, &mut publisher, head, message)
}

fn rounds(crowd: &mut Crowd, publisher: &mut Publisher, head: &str, body: &str) -> Result<f64> {
    let each = (0..MESSAGES).map(|_| Ok(crowd.round(publisher, head, body)?.0)).collect::<Result<Vec<f64>>>()?;
    Ok(median(&each))
}

/// Where nginx and the module are.
struct Installed {
    nginx: PathBuf,
    module: PathBuf,
}

impl Installed {
    fn find() -> Option<Self> {
        ["nginx", "/usr/sbin/nginx"].into_iter().find_map(|nginx| {
            let said = Command::new(nginx).arg("-V").output().ok()?;
            let text = String::from_utf8_lossy(&said.stderr);
            let directory = text.split_whitespace().find_map(|word| word.strip_prefix("--modules-path="))?;
            let module = PathBuf::from(directory).join("ngx_nchan_module.so");
            module.exists().then(|| Self { nginx: nginx.into(), module })
        })
    }
}

/// nginx in a directory of its own, until this is dropped, or whoever started it is gone.
struct Nginx {
    /// A shell that ends nginx when its stdin ends.
    keeper: Child,
    directory: PathBuf,
    address: SocketAddr,
}

impl Nginx {
    fn start(installed: &Installed) -> Result<Self> {
        // nginx can't take a port that the kernel picks: one that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let directory = repo::root().join("target/bench").join(format!("nginx-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let file = directory.join("nginx.conf");
        std::fs::write(&file, config(installed, address)).with_context(|| file.display().to_string())?;
        let mut command = Command::new("sh");
        command.args(["-c", r#"trap : INT TERM; "$@" & nginx=$!; read -r end; kill "$nginx"; wait "$nginx""#, "sh"]);
        command.arg(&installed.nginx).arg("-p").arg(&directory).arg("-c").arg(&file);
        command.arg("-e").arg(directory.join("error.log"));
        let keeper = command.stdin(Stdio::piped()).spawn().context("nginx can't be started")?;
        let nginx = Self { keeper, directory, address };
        let clock = Clock::System;
        let started = clock.now();
        while TcpStream::connect(address).is_err() {
            ensure!(clock.now().since(started) < PATIENCE, "nginx does not serve: {}", nginx.errors());
            std::thread::sleep(PAUSE);
        }
        Ok(nginx)
    }

    /// Waits until so many are subscribed in its own count: its processes tell each other late.
    fn wait_for(&self, subscribers: usize) -> Result<()> {
        let clock = Clock::System;
        let started = clock.now();
        loop {
            let channel = ask(self.address, "GET /pub HTTP/1.1\r\naccept: application/json\r\n", "")?;
            let there = channel["subscribers"].as_u64().context("nchan counts no subscribers")?;
            if there >= subscribers as u64 {
                return Ok(());
            }
            ensure!(clock.now().since(started) < PATIENCE, "nchan has {there} subscribers of {subscribers}");
            std::thread::sleep(PAUSE);
        }
    }

    fn errors(&self) -> String {
        let mut text = String::new();
        let file = std::fs::File::open(self.directory.join("error.log"));
        let _ = file.map(|mut file| file.read_to_string(&mut text));
        text
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.keeper.stdin.take() {
            let _ = stdin.write_all(b"\n");
        }
        // `kill` in the shell is SIGTERM, at which nginx ends without waiting for its subscribers.
        let _ = self.keeper.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A process for each processor, and as many connections as those may have files; otherwise nginx's and nchan's defaults.
fn config(installed: &Installed, address: SocketAddr) -> String {
    let (module, files) = (installed.module.display(), SUBSCRIBERS + 1_000);
    format!(
        "load_module {module};\ndaemon off;\npid nginx.pid;\nworker_processes auto;\nworker_rlimit_nofile {files};\n\
         events {{ worker_connections {files}; }}\n\
         http {{\n  access_log off;\n  server {{\n    listen {address} reuseport backlog=65535;\n    \
         location /sub {{ nchan_subscriber websocket; nchan_channel_id room; nchan_subscriber_first_message newest; }}\n    \
         location /pub {{ nchan_publisher http; nchan_channel_id room; }}\n  }}\n}}\n"
    )
}

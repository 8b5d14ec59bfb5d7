//! A target behind TLS whose certificate is of a CA that only the user knows.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto::ring};
use tokio_util::sync::CancellationToken;

use crate::harness::{Run, SMALL, Server, finish, throng};

/// A hundred users on WebSockets, ten that poll, and two canaries: all the ways by which a target is spoken to.
fn scenario() -> String {
    let polls = ["  - name: pollers", "    users: 10", "    transport: longpoll", "    ramp: { rate: 10/s }", "hold:"]
        .join("\n");
    SMALL.replace("hold:", &polls) + "probes: { canaries: 2, send: 1/s }\n"
}

/// Speaks TLS for a service that speaks none, until it is dropped.
struct Terminator {
    address: SocketAddr,
    /// Connections whose handshake was good.
    taken: Arc<AtomicU64>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Terminator {
    /// With the certificate and key of a host, as `throng certs` makes them in `dir`.
    fn start(dir: &Path, host: &str, service: SocketAddr) -> Self {
        let chain = CertificateDer::pem_file_iter(dir.join(format!("{host}.pem"))).expect("a certificate");
        let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_file(dir.join(format!("{host}.key"))).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("versions of TLS").with_no_client_auth();
        let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).expect("they belong together")));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (taken, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let serving = serve(listener, acceptor, service, Arc::clone(&taken));
        let stopped = stop.clone();
        let work = async move { stopped.run_until_cancelled(serving).await };
        let thread = std::thread::spawn(move || {
            runtime.block_on(work);
        });
        Self { address, taken, stop, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("wss://{}", self.address)
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking(), "the terminator broke");
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, service: SocketAddr, taken: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, taken) = (acceptor.clone(), Arc::clone(&taken));
        tokio::spawn(async move {
            let Ok(mut outside) = acceptor.accept(stream).await else { return };
            let Ok(mut inside) = TcpStream::connect(service).await else { return };
            taken.fetch_add(1, Ordering::Relaxed);
            // Either end may leave as it likes.
            let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
        });
    }
}

/// A chat server, and certificates of a CA of its own for this machine (`localhost`) and for one that it is not (`elsewhere`).
struct Service {
    dir: tempfile::TempDir,
    _chat: Server,
    address: SocketAddr,
}

impl Service {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("secret"), "a secret of this test\n").expect("the secret is written");
        let hosts = ["--host", "localhost=localhost,127.0.0.1", "--host", "elsewhere=chat.internal,192.0.2.1"];
        let (code, _, stderr) = finish(throng().arg("certs").arg(dir.path().join("ca")).args(hosts));
        assert_eq!(code, 0, "{stderr}");
        let secret = dir.path().join("secret").display().to_string();
        let chat = ["chat-server", "--listen", "127.0.0.1:0", "--api-key", "k", "--api-secret-file", &secret];
        let chat = Server::start(&chat);
        let address = chat.ready["listen"].as_str().and_then(|address| address.parse().ok()).expect("an address");
        Self { dir, _chat: chat, address }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn terminator(&self, host: &str) -> Terminator {
        Terminator::start(&self.file("ca"), host, self.address)
    }

    /// The flags of a run against this URL.
    fn flags(&self, url: &str) -> Vec<String> {
        let secret = self.file("secret").display().to_string();
        ["--target", url, "--api-key", "k", "--api-secret-file", &secret].map(str::to_owned).to_vec()
    }

    /// What `throng run` says of a target that it doesn't take.
    fn refusal(&self, url: &str, more: &[&str]) -> (i32, String) {
        std::fs::write(self.file("s.yaml"), SMALL).expect("the scenario is written");
        let mut command = throng();
        command.current_dir(self.dir.path()).args(["run", "s.yaml"]).args(self.flags(url)).args(more);
        let (code, _, stderr) = finish(&mut command);
        assert!(!self.file("runs").exists(), "nothing was begun: {stderr}");
        (code, stderr)
    }
}

/// A run against a TLS target from which everybody gets everything.
fn passes(terminator: &Terminator, mut run: Run) {
    let result = run.end_well();
    assert_eq!(result["users"]["connected_max"], 110, "{result}");
    let completeness = &result["completeness"];
    assert_eq!((&completeness["lost"], &completeness["duplicated"]), (&0.into(), &0.into()), "{completeness}");
    assert_eq!(completeness["expected"], completeness["delivered"]);
    assert!(completeness["delivered"].as_u64() > Some(1_000), "{completeness}");
    assert_eq!(result["conservation"]["holds"], true, "{}", result["conservation"]);
    let canaries = result["metrics"].as_object().and_then(|metrics| metrics.get("canary_delivery"));
    assert!(canaries.is_some_and(|c| c["count"].as_u64() > Some(0)), "canaries heard something: {}", result["metrics"]);
    assert!(terminator.taken() >= 112, "all of it went over TLS: {}", terminator.taken());
}

#[test]
fn a_target_with_a_certificate_of_an_own_ca_is_measured() {
    let service = Service::start();
    let terminator = service.terminator("localhost");
    let mut flags = service.flags(&terminator.url().replace("wss:", "https:"));
    flags.extend(["--target-ca".to_owned(), service.file("ca/ca.pem").display().to_string()]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    passes(&terminator, Run::start_with(&scenario(), &flags));
}

#[test]
fn a_scenario_names_the_ca_of_its_target() {
    let service = Service::start();
    let terminator = service.terminator("localhost");
    let ca = service.file("ca/ca.pem").display().to_string();
    let url = terminator.url();
    let target = format!("target: {{ url: \"{url}\", ca: \"{ca}\" }}\n");
    let secret = service.file("secret").display().to_string();
    let flags = ["--api-key", "k", "--api-secret-file", &secret];
    passes(&terminator, Run::start_with(&(scenario() + &target), &flags));
}

#[test]
fn a_certificate_that_is_not_trusted_is_told_before_anything_starts() {
    let service = Service::start();
    let (here, elsewhere) = (service.terminator("localhost"), service.terminator("elsewhere"));
    let ca = service.file("ca/ca.pem").display().to_string();
    let (code, stderr) = service.refusal(&here.url(), &[]);
    assert_eq!(code, 69, "{stderr}");
    assert!(stderr.contains(&here.url()) && stderr.contains("of no public CA"), "{stderr}");
    assert!(stderr.contains("--target-ca"), "{stderr}");
    let (code, stderr) = service.refusal(&elsewhere.url(), &["--target-ca", &ca]);
    assert_eq!(code, 69, "{stderr}");
    assert!(stderr.contains("is for chat.internal, 192.0.2.1, and not for 127.0.0.1"), "{stderr}");
    let (code, _, _) = finish(throng().arg("certs").arg(service.file("other")));
    assert_eq!(code, 0);
    let other = service.file("other/ca.pem").display().to_string();
    let (code, stderr) = service.refusal(&here.url(), &["--target-ca", &other]);
    assert_eq!(code, 69, "{stderr}");
    assert!(stderr.contains("not of the CA that was named with --target-ca"), "{stderr}");
    let plain = format!("wss://{}", service.address);
    let (code, stderr) = service.refusal(&plain, &["--target-ca", &ca]);
    assert_eq!(code, 69, "{stderr}");
    assert!(stderr.contains("it answers without TLS: ws:// instead of wss://"), "{stderr}");
    assert_eq!(here.taken() + elsewhere.taken(), 0, "nobody went on");
}

#[test]
fn files_that_are_no_ca_are_told_in_words() {
    let service = Service::start();
    let url = format!("wss://{}", service.address);
    let key = service.file("ca/localhost.key").display().to_string();
    let ca = service.file("ca/ca.pem").display().to_string();
    std::fs::write(service.file("empty"), "").unwrap();
    std::fs::write(service.file("large"), vec![b'x'; (1 << 20) + 1]).unwrap();
    for (file, words) in [
        ("none.pem", "none.pem: No such file"),
        (&key, "holds no certificate"),
        ("empty", "empty: it is empty"),
        ("large", "larger than 1 MiB"),
    ] {
        let (code, stderr) = service.refusal(&url, &["--target-ca", file]);
        assert_eq!(code, 64, "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
    }
    let (code, stderr) = service.refusal(&url.replace("wss:", "ws:"), &["--target-ca", &ca]);
    assert_eq!(code, 64, "{stderr}");
    assert!(stderr.contains("is for a wss:// or https:// target"), "{stderr}");
}

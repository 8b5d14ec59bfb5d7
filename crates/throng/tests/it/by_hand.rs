//! A fleet whose roles are started one by one, as on several hosts, and `throng run` against it.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::harness::{GONE_WITHIN, RUN_WITHIN, Server, Turn, eventually, signal, throng, turn};

/// The roles, with a data plane that can be killed and frozen, and that the others reach at `data_plane`.
pub(crate) struct ByHand {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) data_plane: Option<Server>,
    data_plane_listen: String,
    control_plane: String,
    control: Option<Server>,
    control_flags: Vec<String>,
    chat_server: String,
    others: Vec<Server>,
    run: Option<Child>,
    _turn: Turn,
}

impl ByHand {
    /// Starts all of them. Everybody reaches the data plane at the address that `through` makes of its own.
    pub(crate) fn start(workers: usize, through: impl FnOnce(&str) -> String) -> Self {
        let turn = turn();
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("secret"), "a secret of this test\n").expect("the secret is written");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let address = |server: &Server| server.ready["listen"].as_str().expect("an address").to_owned();
        let any = ["--listen", "127.0.0.1:0"];
        let data_plane = Server::start(&[&["data-plane"], &any[..], &["--runs-dir", &path("runs")]].concat());
        let data_plane_listen = address(&data_plane);
        let known = format!("http://{}", through(&data_plane_listen));
        let state = path("state");
        let control_flags =
            ["control-plane", "--web-listen", "127.0.0.1:0", "--data-plane", &known, "--state-dir", &state];
        let control = Server::start(&[&control_flags, &any[..]].concat());
        let control_plane = format!("http://{}", address(&control));
        let chat = ["chat-server", "--api-key", "it-key", "--api-secret-file", &path("secret")];
        let chat = Server::start(&[&chat, &any[..]].concat());
        let chat_server = format!("ws://{}", address(&chat));
        let spool = path("runs/run/kept");
        let agent = |role: &str, name: &str| {
            let flags = [role, "--control-plane", &control_plane, "--name", name, "--spool-dir", &spool];
            Server::start(&flags)
        };
        let mut others: Vec<_> = (1..=workers).map(|n| agent("worker", &format!("worker-{n}"))).collect();
        others.extend([agent("probe", "probe-1"), chat]);
        Self {
            control_flags: control_flags.map(str::to_owned).to_vec(),
            dir,
            data_plane: Some(data_plane),
            data_plane_listen,
            control_plane,
            control: Some(control),
            chat_server,
            others,
            run: None,
            _turn: turn,
        }
    }

    /// The run's directory.
    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("runs/run")
    }

    /// Begins a run.
    pub(crate) fn run(&mut self, scenario: &str, flags: &[&str]) {
        self.run = Some(self.begin(&self.out(), "", scenario, flags));
    }

    /// Begins another run beside that, in a directory of this name.
    pub(crate) fn another(&self, name: &str, scenario: &str, flags: &[&str]) -> Another {
        let out = self.dir.path().join("runs").join(name);
        let child = self.begin(&out, &format!("{name}-"), scenario, flags);
        Another { child, out, stderr: self.dir.path().join(format!("{name}-stderr")) }
    }

    /// What `throng ctl` answers: exit code, stdout, stderr.
    pub(crate) fn ctl(&self, words: &[&str]) -> (i32, String, String) {
        crate::harness::finish(throng().arg("ctl").args(words).args(["--control-plane", &self.control_plane]))
    }

    /// How the worker or probe of this name ended, if it has.
    pub(crate) fn exit_code(&mut self, name: &str) -> Option<i32> {
        self.others.iter_mut().find(|other| other.ready["name"] == name).and_then(Server::exit_code)
    }

    fn begin(&self, out: &Path, prefix: &str, scenario: &str, flags: &[&str]) -> Child {
        let path = |name: &str| self.dir.path().join(format!("{prefix}{name}"));
        std::fs::write(path("scenario.yaml"), scenario).expect("the scenario is written");
        let file = |name: &str| std::fs::File::create(path(name)).expect("a file for the output");
        let mut command = throng();
        command.arg("run").arg(path("scenario.yaml")).args(["--control-plane", &self.control_plane]).args(flags);
        command.args(["--target", &self.chat_server, "--api-key", "it-key", "--api-secret-file"]);
        command.arg(self.dir.path().join("secret")).arg("--out").arg(out);
        command.stdout(Stdio::from(file("stdout"))).stderr(Stdio::from(file("stderr")));
        command.spawn().expect("throng can be started")
    }

    /// What `throng run` said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }

    /// Waits until messages are delivered.
    pub(crate) fn wait_until_under_way(&self) {
        eventually("users are connected", RUN_WITHIN, || {
            let log = self.stderr();
            log.lines().any(|l| l.contains("deliveries/s") && !l.contains("users 0 of"))
        });
    }

    /// Waits until `throng run` has ended, and answers its exit code.
    pub(crate) fn end(&mut self) -> i32 {
        let code = ended(self.run.as_mut().expect("a run was begun"));
        self.run = None;
        code
    }

    /// Kills the data plane, as nothing can prevent, and starts it again where it was.
    pub(crate) fn kill_and_restart_data_plane(&mut self) {
        self.data_plane = None;
        let runs = self.dir.path().join("runs").display().to_string();
        let flags = ["data-plane", "--listen", &self.data_plane_listen, "--runs-dir", &runs];
        self.data_plane = Some(Server::start(&flags));
    }

    /// Kills the control plane, as nothing can prevent.
    pub(crate) fn kill_control_plane(&mut self) {
        let control = self.control.take().expect("a control plane");
        signal(control.pid(), "KILL");
    }

    /// Ends the control plane as an init system does.
    pub(crate) fn end_control_plane(&mut self) {
        let mut control = self.control.take().expect("a control plane");
        signal(control.pid(), "TERM");
        eventually("the control plane has ended", GONE_WITHIN, || control.exit_code() == Some(0));
    }

    /// Starts the control plane again where it was.
    pub(crate) fn restart_control_plane(&mut self) {
        let listen = self.control_plane.trim_start_matches("http://");
        let flags: Vec<&str> = self.control_flags.iter().map(String::as_str).chain(["--listen", listen]).collect();
        self.control = Some(Server::start(&flags));
    }

    /// Ends all roles, the data plane hard.
    pub(crate) fn stop(&mut self) {
        self.data_plane = None;
        self.control = None;
        self.others.clear();
    }

    /// What `throng report` says of the run.
    pub(crate) fn reported(&self) -> (i32, String, String) {
        report(&self.out(), &[])
    }
}

/// A run beside the fleet's first.
pub(crate) struct Another {
    child: Child,
    pub(crate) out: PathBuf,
    stderr: PathBuf,
}

impl Another {
    /// What `throng run` said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Waits until `throng run` has ended, and answers its exit code.
    pub(crate) fn end(&mut self) -> i32 {
        ended(&mut self.child)
    }
}

impl Drop for Another {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ended(run: &mut Child) -> i32 {
    let mut status = None;
    eventually("throng run has ended", RUN_WITHIN, || {
        status = run.try_wait().expect("our own child");
        status.is_some()
    });
    status.and_then(|s| s.code()).expect("it ends by itself")
}

/// What `throng report` says of a run's directory.
pub(crate) fn report(dir: &Path, flags: &[&str]) -> (i32, String, String) {
    crate::harness::finish(throng().arg("report").arg(dir).args(flags))
}

impl Drop for ByHand {
    fn drop(&mut self) {
        if let Some(run) = &mut self.run {
            let _ = run.kill();
            let _ = run.wait();
        }
        if std::thread::panicking() {
            eprintln!("-- stderr\n{}", self.stderr());
        }
    }
}

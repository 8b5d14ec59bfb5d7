//! The command line. Flags win over the environment (`THRONG_*`), which wins over defaults.

mod alike;
mod ctl;
mod links;
mod plan;
mod rehearse;
mod role;
pub(crate) mod skew;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use reports::Collector;
use truth::{Delay, OneIn, StallSpec};

pub(crate) use alike::AlikeArgs;
pub(crate) use ctl::{CtlArgs, CtlCommand, FleetArgs};
pub(crate) use links::{CertsArgs, Host, LinkArgs, PeopleArgs};
pub(crate) use plan::PlanArgs;
pub(crate) use rehearse::{RehearseArgs, RehearsedWorkersArgs};
pub(crate) use role::RoleArgs;
pub(crate) use skew::SkewArgs;

/// Load and latency testing for chat and other realtime services.
#[derive(Debug, Parser)]
#[command(
    name = "throng",
    version = env!("THRONG_BUILD"),
    about = "Load and latency testing for chat and other realtime services",
    after_help = "Exit codes: 0 passed, 1 unexpected failure, 2 the run is invalid, 64 wrong usage or scenario, \
                  69 something needed could not be reached or started, 99 a threshold failed or a regression was found, 130 interrupted.",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// What is logged to stderr: a level (error, warn, info, debug, trace), or `target=level,…`.
    #[arg(long, global = true, env = "THRONG_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a scenario and write its report: starts all processes on this machine, unless a fleet is named.
    Run(RunArgs),
    /// Rehearse a scenario of any size on this machine: real control plane and data plane, simulated users.
    Rehearse(RehearseArgs),
    /// See and steer a fleet: its runs and agents, cancel a run, drain an agent.
    Ctl(CtlArgs),
    /// Check scenarios: all errors, each with line, column and a hint.
    Validate(ValidateArgs),
    /// Say what a scenario needs: users, messages, deliveries, workers, files; with --host, which fleet and its cost.
    Plan(PlanArgs),
    /// Print the JSON Schema of scenario files, for editors.
    Schema,
    /// Render the report of a run again, from what is stored.
    Report(ReportArgs),
    /// Compare a run with an earlier one: what changed, and whether that is more than chance.
    Compare(CompareArgs),
    /// Write a run's numbers for other tools.
    Export(ExportArgs),
    /// Print a user's token for a chat server, for curl and friends.
    Token(TokenArgs),
    /// Make a CA for a fleet and certificates for its hosts, so that they trust each other and nobody else.
    Certs(CertsArgs),
    /// Serve as the control plane: hands scenarios out to workers.
    ControlPlane(ControlPlaneArgs),
    /// Serve as a worker: makes load.
    Worker(WorkerArgs),
    /// Serve as a probe: measures its host and runs the canaries.
    Probe(AgentArgs),
    /// Serve as the data plane: takes measurements in, merges and reports them.
    DataPlane(DataPlaneArgs),
    /// Serve as the bundled chat server.
    ChatServer(ChatServerArgs),
    /// Serve as the simulated workers of a rehearsal.
    #[command(hide = true)]
    RehearsedWorkers(RehearsedWorkersArgs),
    /// Serve as a target whose truth is known: late, stalled, lossy by plan, to check what throng reports.
    TestTarget(TestTargetArgs),
}

/// `throng run`.
#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) alike: AlikeArgs,
    /// Measure the service at this ws:// or wss:// URL, instead of the scenario's or the bundled one; may be given again.
    #[arg(long, env = "THRONG_TARGET", value_name = "URL", value_delimiter = ',')]
    pub(crate) target: Vec<String>,
    /// A PEM file with the CA of the target's certificate, if that is none of the public ones.
    #[arg(long, env = "THRONG_TARGET_CA", value_name = "FILE")]
    pub(crate) target_ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// Use the fleet of this control plane (http:// or https://), instead of starting one here.
    #[arg(long, env = "THRONG_CONTROL_PLANE", value_name = "URL")]
    pub(crate) control_plane: Option<String>,
    #[command(flatten)]
    pub(crate) links: LinkArgs,
    #[command(flatten)]
    pub(crate) people: PeopleArgs,
    /// The directory of an earlier run to compare this one with; a regression ends with 99.
    #[arg(long, env = "THRONG_BASELINE", value_name = "RUN")]
    pub(crate) baseline: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tolerance: Tolerance,
    /// How many workers. Of a fleet the run takes so many, and the rest is free for other runs [default: by users, files
    /// and cores; of a fleet all that are free].
    #[arg(long, env = "THRONG_WORKERS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) workers: Option<u32>,
    /// Push the numbers to the OpenTelemetry collector with this OTLP/gRPC receiver while the run is on.
    #[arg(long, env = "THRONG_OTLP_ENDPOINT", value_name = "URL", value_parser = collector)]
    pub(crate) otlp_endpoint: Option<Collector>,
}

/// How to speak to a chat server.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Credentials {
    /// The service's API key; the bundled chat server of a run takes it, too, and a random one without.
    #[arg(long, env = "THRONG_API_KEY", value_name = "KEY")]
    pub(crate) api_key: Option<String>,
    /// A file with the service's API secret, or set THRONG_API_SECRET; as with the key, the bundled server takes it, too.
    #[arg(long, env = "THRONG_API_SECRET_FILE", value_name = "FILE")]
    pub(crate) api_secret_file: Option<PathBuf>,
}

/// `throng validate`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ValidateArgs {
    /// Scenario files.
    #[arg(required = true)]
    pub(crate) scenarios: Vec<PathBuf>,
    /// Overrides a value of each scenario; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// One line of JSON a problem on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `throng report`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ReportArgs {
    /// The run's directory.
    pub(crate) run: PathBuf,
    /// Where to write the page [default: report.html in the run's directory].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Open it in a browser.
    #[arg(long)]
    pub(crate) open: bool,
    /// Print result.json instead of the summary.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `throng compare`.
#[derive(Debug, ClapArgs)]
pub(crate) struct CompareArgs {
    /// The directory of the run that was before: the baseline.
    pub(crate) a: PathBuf,
    /// The directory of the run that is compared with it.
    pub(crate) b: PathBuf,
    #[command(flatten)]
    pub(crate) tolerance: Tolerance,
    /// Where to write the page [default: comparison.html in B's directory].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Open it in a browser.
    #[arg(long)]
    pub(crate) open: bool,
    /// Print the comparison as JSON instead of the summary.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How much worse something may get.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct Tolerance {
    /// Changes up to this share are of no interest.
    #[arg(long, env = "THRONG_TOLERANCE", default_value = "10%", value_name = "SHARE", value_parser = share)]
    pub(crate) tolerance: f64,
}

/// A share as people write it: `10%`, or `0.1`.
fn share(text: &str) -> Result<f64, String> {
    let (digits, whole) = text.strip_suffix('%').map_or((text, 1.0), |digits| (digits, 100.0));
    let value = digits.trim().parse::<f64>().map(|value| value / whole);
    value.ok().filter(|v| v.is_finite() && *v >= 0.0).ok_or_else(|| "write a share such as 10% or 0.1".to_owned())
}

fn collector(url: &str) -> Result<Collector, String> {
    Collector::new(url, Collector::EVERY)
}

/// `throng export`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ExportArgs {
    /// The run's directory.
    pub(crate) run: PathBuf,
    /// As what: hlog (histograms of each second), csv (a row a second), or json (all that the report shows).
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: reports::export::Format,
    /// Where to write it [default: stdout].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// `throng token`.
#[derive(Debug, ClapArgs)]
pub(crate) struct TokenArgs {
    /// The user's id.
    #[arg(required_unless_present = "server")]
    pub(crate) user: Option<String>,
    /// A file with the service's API secret, or set THRONG_API_SECRET; as with the key, the bundled server takes it, too.
    #[arg(long, env = "THRONG_API_SECRET_FILE", value_name = "FILE")]
    pub(crate) api_secret_file: Option<PathBuf>,
    /// A server's token, which may do everything, instead of a user's.
    #[arg(long, conflicts_with = "user")]
    pub(crate) server: bool,
}

/// `throng control-plane`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ControlPlaneArgs {
    /// Where its gRPC API listens; port 0 takes a free one.
    #[arg(long, env = "THRONG_LISTEN", default_value = "127.0.0.1:7700", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Where its page listens.
    #[arg(long, env = "THRONG_WEB_LISTEN", default_value = "127.0.0.1:7780", value_name = "ADDR")]
    pub(crate) web_listen: SocketAddr,
    /// The data plane, as everybody in the fleet reaches it.
    #[arg(long, env = "THRONG_DATA_PLANE", default_value = "http://127.0.0.1:7701", value_name = "URL")]
    pub(crate) data_plane: String,
    /// Remembers runs in this directory: they outlive this process, and the next one goes on with them [default: in memory
    /// only; they end with this process].
    #[arg(long, env = "THRONG_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) links: LinkArgs,
    #[command(flatten)]
    pub(crate) people: PeopleArgs,
    #[command(flatten)]
    pub(crate) role: RoleArgs,
}

/// `throng worker`.
#[derive(Debug, ClapArgs)]
pub(crate) struct WorkerArgs {
    /// Addresses of this host that users connect from, such as 10.0.0.5 or 10.0.0.5-10.0.0.20; each has its own local
    /// ports towards a target. May be given several times [default: left to the kernel].
    #[arg(long = "source-address", value_name = "ADDRESS", value_parser = worker::sources::parse)]
    pub(crate) source_addresses: Vec<worker::sources::Sources>,
    #[command(flatten)]
    pub(crate) agent: AgentArgs,
}

/// `throng worker` and `throng probe`.
#[derive(Debug, ClapArgs)]
pub(crate) struct AgentArgs {
    /// The control plane to join.
    #[arg(long, env = "THRONG_CONTROL_PLANE", default_value = "http://127.0.0.1:7700", value_name = "URL")]
    pub(crate) control_plane: String,
    /// Its name in the fleet and in reports [default: host and process id].
    #[arg(long, env = "THRONG_NAME", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Where measurements wait while there is no data plane to take them, and stay if there never is [default: the
    /// system's directory for temporary files].
    #[arg(long, env = "THRONG_SPOOL_DIR", value_name = "DIR")]
    spool_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) skew: SkewArgs,
    #[command(flatten)]
    pub(crate) links: LinkArgs,
    #[command(flatten)]
    pub(crate) role: RoleArgs,
}

impl AgentArgs {
    /// Where measurements wait.
    pub(crate) fn spool_dir(&self) -> PathBuf {
        self.spool_dir.clone().unwrap_or_else(std::env::temp_dir)
    }
}

/// `throng data-plane`.
#[derive(Debug, ClapArgs)]
pub(crate) struct DataPlaneArgs {
    /// Where its gRPC API listens; port 0 takes a free one.
    #[arg(long, env = "THRONG_LISTEN", default_value = "127.0.0.1:7701", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Where the directories of runs are made that name none.
    #[arg(long, env = "THRONG_RUNS_DIR", default_value = "runs", value_name = "DIR")]
    pub(crate) runs_dir: PathBuf,
    /// Where to answer Prometheus at /metrics while a run is on [default: nowhere].
    #[arg(long, env = "THRONG_METRICS_LISTEN", value_name = "ADDR")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Push the numbers of open runs to the OpenTelemetry collector with this OTLP/gRPC receiver, every 5 seconds
    /// [default: nowhere].
    #[arg(long, env = "THRONG_OTLP_ENDPOINT", value_name = "URL", value_parser = collector)]
    pub(crate) otlp_endpoint: Option<Collector>,
    #[command(flatten)]
    pub(crate) links: LinkArgs,
    #[command(flatten)]
    pub(crate) role: RoleArgs,
}

/// `throng chat-server`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ChatServerArgs {
    /// Where it listens; port 0 takes a free one.
    #[arg(long, env = "THRONG_LISTEN", default_value = "127.0.0.1:7800", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// Keeps messages in this directory, so that they survive a restart [default: in memory only].
    #[arg(long, env = "THRONG_DATA_DIR", value_name = "DIR", conflicts_with = "edge")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where edges attach; port 0 takes a free one [default: nowhere].
    #[arg(long, env = "THRONG_LINK_LISTEN", value_name = "ADDR", conflicts_with = "edge")]
    pub(crate) link_listen: Option<SocketAddr>,
    /// Holds connections only; channels and messages are the origin's, whose key and secret it shares.
    #[arg(long, requires = "origin")]
    pub(crate) edge: bool,
    /// HOST:PORT at which the origin takes edges (its --link-listen).
    #[arg(long, env = "THRONG_ORIGIN", value_name = "ADDR", requires = "edge", value_parser = host_and_port)]
    pub(crate) origin: Option<String>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) links: LinkArgs,
    #[command(flatten)]
    pub(crate) role: RoleArgs,
}

/// `host:port`, as one dials it.
fn host_and_port(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port))
            if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0) =>
        {
            Ok(text.to_owned())
        }
        _ => Err("it is HOST:PORT, such as 10.0.0.1:7801".to_owned()),
    }
}

/// What a chat server allows and what it leaves out at scale. The defaults suit a benchmark: everything is allowed.
#[derive(Clone, Copy, Debug, ClapArgs)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Calls of one endpoint that all users together may make in a window.
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate_per_app: Option<u32>,
    /// Calls of one endpoint that one user may make in a window.
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate_per_user: Option<u32>,
    /// The window of these rates, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) rate_window: u64,
    /// Slow mode: a user may send one message to a channel in so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=120))]
    pub(crate) slow_mode: Option<u64>,
    /// Above so many watchers of a channel, typing and read events are not broadcast, and watchers are told as counts;
    /// 0: never.
    #[arg(long, value_name = "WATCHERS", default_value_t = 100)]
    pub(crate) throttle_watchers: usize,
    /// Users that may be connected at once, so that there is room for what they ask; others are told to try elsewhere or
    /// later [default: as many as there are files for].
    #[arg(long, value_name = "USERS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) users_max: Option<u64>,
    /// Bytes that may wait for one connection; over it the reader is too slow, and closed with 4008.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u64).range(65_536..))]
    pub(crate) outbox_bytes: u64,
}

/// `throng test-target`.
#[derive(Debug, ClapArgs)]
pub(crate) struct TestTargetArgs {
    /// Where it listens; port 0 takes a free one. `GET /truth` there answers what it really did.
    #[arg(long, env = "THRONG_LISTEN", default_value = "127.0.0.1:7900", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// How long each delivery is kept back: constant(5ms), bimodal(5ms,200ms,0.1), pareto(5ms,1.5,2s) (least, shape, most)
    /// or lognormal(20ms,0.8,2s) (median, sigma, most). A connection's frames stay in order.
    #[arg(long, default_value = "constant(0ms)", value_name = "DELAY")]
    pub(crate) delay: Delay,
    /// Stands still once: 1.4s@10s is for 1.4 s, 10 s after the first message.
    #[arg(long, value_name = "TIME@WHEN")]
    pub(crate) stall: Option<StallSpec>,
    /// Leaves out one delivery in so many: 1/10000.
    #[arg(long, default_value = "0", value_name = "1/N")]
    pub(crate) drop: OneIn,
    /// Repeats one delivery in so many.
    #[arg(long, default_value = "0", value_name = "1/N")]
    pub(crate) duplicate: OneIn,
    /// Swaps one delivery in so many with the next of its channel.
    #[arg(long, default_value = "0", value_name = "1/N")]
    pub(crate) swap: OneIn,
    /// Decides which, and every delay.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) role: RoleArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_designs_examples_are_understood() {
        for line in [
            "throng run s.yaml --target ws://a --set seed=1 --set hold=5s --out d --open",
            "throng run s.yaml --control-plane https://c",
            "throng run s.yaml --target wss://a --target-ca ca.pem",
            "throng validate a.yaml b.yaml",
            "throng chat-server --listen 127.0.0.1:0 --api-key k --api-secret-file f --data-dir d",
            "throng run s.yaml --baseline runs/before --tolerance 5%",
            "throng compare a b --tolerance 0.2 --out c.html --json",
            "throng export r --format csv --out r.csv",
            "throng test-target --delay bimodal(5ms,200ms,0.1) --stall 1.4s@10s --drop 1/10000 --swap 500 --seed 3",
            "throng token ann --api-secret-file f",
            "throng run s.yaml --otlp-endpoint http://127.0.0.1:4317",
            "throng data-plane --otlp-endpoint http://collector:4317 --listen 127.0.0.1:0",
            "throng token --server",
            "throng plan s.yaml --host c7i.8xlarge --explain --bundled --workers 300",
            "throng certs d",
            "throng ctl runs --control-plane https://c --json",
            "throng ctl cancel r --reason later --token-file t",
            "throng ctl drain worker-1",
            "throng certs d --host cp=cp.internal,10.0.0.5 --host w --days 7",
            "throng worker --control-plane https://c --tls-ca a --tls-cert b --tls-key c",
            "throng data-plane --listen 0.0.0.0:1 --plaintext",
            "throng rehearse s.yaml --fault cut-link:3+2s@30s --fault skew-clock:3-250ms@0s --fault restart-control-plane@40s",
            "throng rehearse s.yaml --workers 100 --speed 10 --fault kill-worker:3@30s --fault restart-data-plane@1m",
            "throng worker --control-plane http://c --until-stdin-closes --log debug",
            "throng worker --control-plane http://c --clock-skew -250ms --clock-drift 30us/s",
        ] {
            let parsed = Args::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
        for line in [
            "throng",
            "throng run",
            "throng run s.yaml --workers 0",
            "throng token",
            "throng fly",
            "throng plan s.yaml --explain",
            "throng certs",
            "throng ctl",
            "throng ctl cancel",
            "throng ctl drain w --tls-ca a",
            "throng certs d --host ../x",
            "throng worker --tls-ca a --tls-cert b",
            "throng rehearse s.yaml --speed 0.5",
            "throng rehearse s.yaml --fault kill-worker",
            "throng compare a",
            "throng export r",
            "throng export r --format xml",
            "throng test-target --delay slow",
            "throng test-target --stall 1.4s",
            "throng compare a b --tolerance much",
            "throng run s.yaml --otlp-endpoint 127.0.0.1:4317",
            "throng worker --clock-skew 250",
            "throng worker --clock-drift 30us",
        ] {
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}

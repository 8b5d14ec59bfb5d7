//! Runs and fleets: who does what, and when.
//!
//! [`core::Core`] decides, without I/O; one task (the director) executes. gRPC ([`proto::control`]) and a small site for
//! people bring questions and commands to it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = control_plane::Config { data_plane: "http://127.0.0.1:4001".to_owned(), ..Default::default() };
//! let control_plane = control_plane::ControlPlane::bind(config).await?;
//! println!("gRPC on {}, pages on {}", control_plane.listen(), control_plane.web_listen());
//! control_plane.serve(async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await?;
//! # Ok(())
//! # }
//! ```

pub mod core;
mod courier;
mod data_plane;
mod director;
pub mod fleet;
pub mod limits;
mod record;
pub mod run;
mod service;
mod store;
mod submission;
mod token;
mod view;
mod web;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use measure::Clock;
use proto::control::agents_server::AgentsServer;
use proto::control::control_server::ControlServer;
use tls::{Incoming, Links};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;

pub use limits::Limits;
pub use submission::Parse;
pub use token::Token;

/// The largest request of people: a scenario of 1 MiB and its variables.
const SUBMIT_BYTES_MAX: usize = 4 << 20;
/// The largest report of an agent: a Hello with a few thousand source addresses.
const REPORT_BYTES_MAX: usize = 64 << 10;
/// Streams of one connection.
const STREAMS_MAX: u32 = 256;
/// How long listeners may take to end once nothing is left to be said.
const CLOSE: Duration = Duration::from_millis(300);

/// What a control plane needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where gRPC listens; port 0: any that is free.
    pub listen: SocketAddr,
    /// Where the pages listen; port 0: any that is free.
    pub web_listen: SocketAddr,
    /// The data plane's gRPC address (`http://host:port`), for the control plane and for the agents.
    pub data_plane: String,
    /// Where runs are kept, so that the next life knows them; `None`: nowhere.
    pub state_dir: Option<PathBuf>,
    /// How the data plane is reached, and who may reach us.
    pub links: Links,
    /// What people must show, on the page and for runs; `None`: nothing, and off loopback the page answers nobody.
    pub token: Option<Token>,
    /// Deadlines.
    pub limits: Limits,
    /// What reads scenarios.
    pub parse: Parse,
}

impl Default for Config {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: any,
            web_listen: any,
            data_plane: String::new(),
            state_dir: None,
            links: Links::default(),
            token: None,
            limits: Limits::default(),
            parse: submission::plan_of,
        }
    }
}

/// Why a control plane does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is taken, or not of this host.
    #[error("can't listen on {address}: name another address or port, or port 0 for any free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The data plane's address is none.
    #[error("the data plane's address: {0}")]
    DataPlane(String),
    /// The directory for runs can't be used.
    #[error("can't keep runs in {}: name another directory", path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An address must not be listened on so.
    #[error(transparent)]
    Refused(#[from] tls::Refused),
    /// A listener failed while it served.
    #[error("a listener failed: {0}")]
    Serve(String),
}

/// A control plane that listens, and does not serve yet.
#[derive(Debug)]
pub struct ControlPlane {
    config: Config,
    grpc: TcpListener,
    web: TcpListener,
    listen: SocketAddr,
    web_listen: SocketAddr,
    store: store::Store,
    data_plane: data_plane::DataPlane,
}

impl ControlPlane {
    /// Binds both listeners and opens the store. The data plane need not be there yet.
    ///
    /// # Errors
    /// When an address is taken, or the configuration is no good.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let data_plane = data_plane::DataPlane::new(&config.data_plane, &config.links).map_err(Error::DataPlane)?;
        let store = store::Store::open(config.state_dir.as_deref()).map_err(|source| {
            let path = config.state_dir.clone().unwrap_or_default();
            Error::State { path, source }
        })?;
        for address in [config.listen, config.web_listen] {
            config.links.may_listen(address)?;
        }
        let (grpc, listen) = bind(config.listen).await?;
        let (web, web_listen) = bind(config.web_listen).await?;
        Ok(Self { config, grpc, web, listen, web_listen, store, data_plane })
    }

    /// Where gRPC listens.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where the pages listen.
    pub fn web_listen(&self) -> SocketAddr {
        self.web_listen
    }

    /// Serves until `shutdown`. With [`Config::state_dir`] it ends at once, and the next life goes on with its runs; otherwise
    /// it stops those that are on, and ends within [`Limits::shutdown`] and a little.
    ///
    /// # Errors
    /// When a listener fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Config { limits, data_plane, parse, links, token, .. } = self.config;
        let clock = Clock::System;
        let (director, handle) =
            director::Director::new(limits, clock.clone(), self.data_plane, data_plane, self.store);
        let clock_id = measure::clock::host_clock_id();
        let service = service::Service { director: handle.clone(), clock, clock_id, parse };
        let over = CancellationToken::new();
        // Without a token it would be everybody's: so it is nobody's, and the rest works.
        let closed = token.is_none() && !self.web_listen.ip().is_loopback();
        if closed {
            tracing::warn!(
                "the page answers nobody: give a token that people must show, with --token-file or THRONG_TOKEN"
            );
        }
        let page_token = token.clone().or_else(|| closed.then(|| Token::new(&uuid::Uuid::new_v4().to_string())));
        let grpc = tokio::spawn(serve_grpc(links.fleet(self.grpc), service, token.clone(), over.clone()));
        let web = tokio::spawn(serve_web(links.people(self.web), web::site(handle, page_token), over.clone()));
        let failed = over.clone();
        // A listener that fails ends the whole.
        director
            .direct(async move {
                tokio::select! {
                    () = shutdown => {}
                    () = failed.cancelled() => {}
                }
            })
            .await;
        over.cancel();
        for listener in [grpc, web] {
            let abort = listener.abort_handle();
            match tokio::time::timeout(CLOSE, listener).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(why))) => return Err(Error::Serve(why)),
                Ok(Err(panic)) => return Err(Error::Serve(panic.to_string())),
                // Somebody keeps a stream open: nothing more will be said on it.
                Err(_) => abort.abort(),
            }
        }
        Ok(())
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

async fn serve_grpc(
    incoming: Incoming,
    service: service::Service,
    token: Option<Token>,
    over: CancellationToken,
) -> Result<(), String> {
    let control = ControlServer::new(service.clone())
        .max_decoding_message_size(SUBMIT_BYTES_MAX)
        .max_encoding_message_size(proto::MESSAGE_BYTES_MAX);
    let control = InterceptedService::new(control, move |request| token::admit(token.as_ref(), request));
    let agents = AgentsServer::new(service)
        .max_decoding_message_size(REPORT_BYTES_MAX)
        .max_encoding_message_size(proto::MESSAGE_BYTES_MAX);
    let _ends_the_whole = over.clone().drop_guard();
    tonic::transport::Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .add_service(control)
        .add_service(agents)
        .serve_with_incoming_shutdown(incoming, over.cancelled_owned())
        .await
        .map_err(|e| format!("gRPC: {e}"))
}

async fn serve_web(incoming: Incoming, site: axum::Router, over: CancellationToken) -> Result<(), String> {
    let _ends_the_whole = over.clone().drop_guard();
    axum::serve(incoming, site).with_graceful_shutdown(over.cancelled_owned()).await.map_err(|e| format!("pages: {e}"))
}

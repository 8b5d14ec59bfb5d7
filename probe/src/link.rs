//! The stream to the control plane.

use std::time::Duration;

use proto::control::agent_order::Order;
use proto::control::agent_report::Report;
use proto::control::agents_client::AgentsClient;
use proto::control::{AgentOrder, AgentReport, Hello};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

/// Joining may take so long.
const JOIN_WITHIN: Duration = Duration::from_secs(5);
/// Reports that may wait for the control plane to take them.
const REPORTS_WAITING: usize = 32;
/// A lease that is shorter than this can't be kept.
const LEASE_MIN: Duration = Duration::from_millis(300);

/// Why there is no stream.
#[derive(Debug)]
pub(crate) enum NoLink {
    /// It may go better later.
    Yet(String),
    /// It never will.
    Ever(String),
}

/// A stream that was welcomed.
pub(crate) struct Link {
    /// What the control plane calls us.
    pub(crate) agent: String,
    /// Who is silent for so long is gone.
    pub(crate) lease: Duration,
    /// Names the control plane's clock.
    pub(crate) clock_id: String,
    /// For calls beside the stream.
    pub(crate) client: AgentsClient<Channel>,
    reports: mpsc::Sender<AgentReport>,
    orders: Streaming<AgentOrder>,
    heard: Instant,
}

impl Link {
    /// Dials, says hello, and waits to be welcomed.
    pub(crate) async fn join(url: &str, hello: Hello) -> Result<Self, NoLink> {
        let deadline = Instant::now() + JOIN_WITHIN;
        match timeout_at(deadline, Box::pin(Self::try_join(url, hello))).await {
            Ok(joined) => joined,
            Err(_) => Err(NoLink::Yet(format!("{url} did not welcome us within {} s", JOIN_WITHIN.as_secs()))),
        }
    }

    async fn try_join(url: &str, hello: Hello) -> Result<Self, NoLink> {
        let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let endpoint = Endpoint::from_shared(full).map_err(|e| {
            NoLink::Ever(format!("{url:?} is no control plane's address ({e}): write http://host:port"))
        })?;
        let endpoint = endpoint.connect_timeout(JOIN_WITHIN).tcp_nodelay(true);
        let yet = |e: &dyn std::fmt::Display| NoLink::Yet(format!("{url}: {e}"));
        let channel = endpoint.connect().await.map_err(|e| yet(&e))?;
        let mut client = AgentsClient::new(channel).max_decoding_message_size(proto::MESSAGE_BYTES_MAX);
        let (reports, outgoing) = mpsc::channel(REPORTS_WAITING);
        reports.try_send(report(Report::Hello(hello))).map_err(|e| yet(&e))?;
        let joined = client.join(ReceiverStream::new(outgoing)).await;
        let mut orders = joined.map_err(|e| yet(&e.message()))?.into_inner();
        match orders.message().await.map_err(|e| yet(&e.message()))?.and_then(|o| o.order) {
            Some(Order::Welcome(welcome)) => Ok(Self {
                agent: welcome.agent,
                lease: Duration::from_millis(welcome.lease_ms.into()).max(LEASE_MIN),
                clock_id: welcome.clock_id,
                client,
                reports,
                orders,
                heard: Instant::now(),
            }),
            Some(Order::Rejected(rejected)) => Err(NoLink::Ever(rejected.reason)),
            _ => Err(yet(&"its first word was no welcome")),
        }
    }

    /// The next order, or why there will be none. Dropping the future loses no order.
    pub(crate) async fn order(&mut self) -> Result<Order, String> {
        loop {
            let silent_at = self.heard + self.lease;
            let next = timeout_at(silent_at, self.orders.message()).await;
            let next = next.map_err(|_| format!("it said nothing for {:.1} s", self.lease.as_secs_f64()))?;
            let order = next.map_err(|e| e.message().to_owned())?.ok_or("it ended the stream")?;
            self.heard = Instant::now();
            if let Some(order) = order.order {
                return Ok(order);
            }
        }
    }

    /// Says something. A control plane that takes nothing for a lease is noticed by its own silence.
    pub(crate) async fn say(&self, what: Report) -> bool {
        self.reports.send_timeout(report(what), self.lease).await.is_ok()
    }
}

fn report(report: Report) -> AgentReport {
    AgentReport { report: Some(report) }
}

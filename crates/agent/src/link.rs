//! The stream to the control plane.

use std::time::Duration;

use proto::control::agent_order::Order;
use proto::control::agent_report::Report;
use proto::control::agents_client::AgentsClient;
use proto::control::{AgentOrder, AgentReport, Hello};
use tls::Links;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// Joining takes at most so long.
const JOIN_WITHIN: Duration = Duration::from_secs(5);
/// Reports that may wait to be sent; a control plane that takes none for a lease is gone.
const REPORTS_WAITING: usize = 64;
/// Where the control plane doesn't say how long, a run goes on without it for so many leases.
const LEASES_ALONE: u32 = 10;
/// A lease that is shorter than this can't be kept.
const LEASE_MIN: Duration = Duration::from_millis(300);

/// Why there is no link.
#[derive(Debug)]
pub(crate) enum NoLink {
    /// It may go better later.
    Yet(String),
    /// One side does not take the other's certificate: it goes on so until somebody mends that.
    Distrust(String),
    /// It never will.
    Ever(String),
}

/// A stream to the control plane that has been welcomed.
pub(crate) struct Link {
    /// What we are called there.
    pub(crate) agent: String,
    /// Who is silent for so long is gone.
    pub(crate) lease: Duration,
    /// A run goes on so long while nothing is heard.
    pub(crate) alone: Duration,
    /// Names the control plane's clock.
    pub(crate) clock_id: String,
    /// For calls beside the stream.
    pub(crate) client: AgentsClient<Channel>,
    reports: mpsc::Sender<AgentReport>,
    orders: Streaming<AgentOrder>,
    /// When it said something last.
    pub(crate) heard: Instant,
}

impl Link {
    /// Dials, says hello, and waits to be welcomed.
    pub(crate) async fn join(url: &str, links: &Links, hello: &Hello) -> Result<Self, NoLink> {
        let joined = async { Self::greet(url, dial(url, links).await?, hello).await };
        timeout(JOIN_WITHIN, Box::pin(joined)).await.unwrap_or_else(|_| Err(not_welcomed(url, JOIN_WITHIN)))
    }

    /// The same over another connection, which stands, while this one is silent.
    pub(crate) async fn join_over(&self, url: &str, channel: Channel, hello: &Hello) -> Result<Self, NoLink> {
        let greeted = timeout(self.lease, Box::pin(Self::greet(url, channel, hello))).await;
        greeted.unwrap_or_else(|_| Err(not_welcomed(url, self.lease)))
    }

    async fn greet(url: &str, channel: Channel, hello: &Hello) -> Result<Self, NoLink> {
        let yet = |why: &str| NoLink::Yet(format!("{url}: {why}"));
        let failed = |error: &(dyn std::error::Error + 'static)| failed(url, error);
        let mut client = AgentsClient::new(channel)
            .max_decoding_message_size(proto::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(proto::MESSAGE_BYTES_MAX);
        let (reports, outgoing) = mpsc::channel(REPORTS_WAITING);
        reports.try_send(report(Report::Hello(hello.clone()))).map_err(|e| yet(&e.to_string()))?;
        let joined = client.join(ReceiverStream::new(outgoing)).await;
        let mut orders = joined.map_err(|e| failed(&e))?.into_inner();
        let first = orders.message().await.map_err(|e| failed(&e))?;
        match first.and_then(|order| order.order) {
            Some(Order::Welcome(welcome)) if welcome.version != proto::VERSION => {
                Err(NoLink::Ever(other_version(hello, &welcome.version)))
            }
            Some(Order::Welcome(welcome)) => Ok(Self {
                agent: if welcome.agent.is_empty() { hello.name.clone() } else { welcome.agent },
                lease: Duration::from_millis(welcome.lease_ms.into()).max(LEASE_MIN),
                alone: match welcome.alone_ms {
                    0 => Duration::from_millis(welcome.lease_ms.into()).max(LEASE_MIN) * LEASES_ALONE,
                    ms => Duration::from_millis(ms.into()),
                },
                clock_id: welcome.clock_id,
                client,
                reports,
                orders,
                heard: Instant::now(),
            }),
            Some(Order::Rejected(rejected)) => Err(NoLink::Ever(rejected.reason)),
            _ => Err(yet("its first word was no welcome")),
        }
    }

    /// The next order. Its error says why there will be none. Dropping the future loses no order.
    pub(crate) async fn order(&mut self) -> Result<Order, String> {
        loop {
            let next = timeout_at(self.heard + self.lease, self.orders.message()).await;
            let next = next.map_err(|_| format!("the control plane has said nothing for {:?}", self.lease))?;
            let next = next.map_err(|status| format!("the stream broke: {}", status.message()))?;
            let order = next.ok_or("the control plane ended the stream")?;
            self.heard = Instant::now();
            if let Some(order) = order.order {
                return Ok(order);
            }
        }
    }

    /// Says something; false if nobody takes it.
    pub(crate) async fn say(&mut self, what: Report) -> bool {
        self.reports.send_timeout(report(what), self.lease).await.is_ok()
    }
}

/// A connection on which nothing has been said yet.
pub(crate) async fn dial(url: &str, links: &Links) -> Result<Channel, NoLink> {
    // What is refused here would fail at every try, and we would try for ever.
    let endpoint = links.endpoint(url).map_err(|refused| NoLink::Ever(refused.to_string()))?;
    let endpoint = endpoint.connect_timeout(JOIN_WITHIN).tcp_nodelay(true);
    endpoint.connect().await.map_err(|error| failed(url, &error))
}

fn failed(url: &str, error: &(dyn std::error::Error + 'static)) -> NoLink {
    let why = format!("{url}: {}", tls::explain(error));
    if tls::is_about_trust(error) { NoLink::Distrust(why) } else { NoLink::Yet(why) }
}

fn not_welcomed(url: &str, within: Duration) -> NoLink {
    NoLink::Yet(format!("{url} did not welcome us within {within:?}"))
}

/// A control plane of another version that lets us in all the same: what it says may mean something else to us.
fn other_version(hello: &Hello, theirs: &str) -> String {
    let (kind, name) = (hello.kind().as_str_name().to_lowercase(), &hello.name);
    let theirs = if theirs.is_empty() { "(none)" } else { theirs };
    format!(
        "{kind} `{name}` is of version {}, the control plane of version {theirs}: start both from the same build",
        proto::VERSION
    )
}

fn report(report: Report) -> AgentReport {
    AgentReport { report: Some(report) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_can_never_answer_is_refused_at_once() {
        for url in ["ftp://127.0.0.1:1", "https://127.0.0.1:1", "http://10.0.0.1:1", "http://", "not an address"] {
            let joined = Link::join(url, &Links::default(), &Hello::default()).await;
            assert!(matches!(&joined, Err(NoLink::Ever(why)) if why.contains(url)), "{url}: {:?}", joined.err());
        }
    }
}

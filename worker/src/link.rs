//! The stream to the control plane, and the exchange of time over it.

use std::time::Duration;

use measure::offset::{Estimator, Exchange, Offset};
use measure::{Clock, Timestamp};
use proto::control as pb;
use proto::control::agent_order::Order;
use proto::control::agent_report::Report;
use proto::control::agents_client::AgentsClient;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

/// Joining takes at most so long.
const WITHIN: Duration = Duration::from_secs(5);
/// Reports that may wait to be sent; a control plane that takes none for a lease is gone.
const REPORTS: usize = 64;
/// Exchanges of time for one estimate.
const EXCHANGES: usize = 8;

/// Why there is no link.
pub(crate) enum Refusal {
    /// It may go better later.
    Later(String),
    /// It won't.
    Final(String),
}

/// A stream to the control plane that has been welcomed.
pub(crate) struct Link {
    /// What we are called there.
    pub(crate) agent: String,
    /// How long silence may last.
    pub(crate) lease: Duration,
    /// The control plane's clock.
    pub(crate) clock_id: String,
    /// For calls beside the stream.
    pub(crate) client: AgentsClient<Channel>,
    reports: mpsc::Sender<pb::AgentReport>,
    orders: Streaming<pb::AgentOrder>,
    heard: Instant,
}

impl Link {
    /// Dials, says hello, and waits for the welcome.
    pub(crate) async fn dial(url: &str, hello: &pb::Hello) -> Result<Self, Refusal> {
        timeout(WITHIN, Box::pin(Self::join(url, hello)))
            .await
            .unwrap_or_else(|_| Err(Refusal::Later(format!("{url} did not welcome us within {WITHIN:?}"))))
    }

    async fn join(url: &str, hello: &pb::Hello) -> Result<Self, Refusal> {
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|e| {
            Refusal::Final(format!("{url:?} is no address of a control plane ({e}); write http://host:port"))
        })?;
        let endpoint = endpoint.connect_timeout(WITHIN).tcp_nodelay(true);
        let channel = endpoint.connect().await.map_err(|e| Refusal::Later(format!("{url}: {}", chain(&e))))?;
        let mut client = AgentsClient::new(channel)
            .max_decoding_message_size(proto::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(proto::MESSAGE_BYTES_MAX);
        let (reports, outgoing) = mpsc::channel(REPORTS);
        let hello = pb::AgentReport { report: Some(Report::Hello(hello.clone())) };
        reports.try_send(hello).map_err(|e| Refusal::Later(e.to_string()))?;
        let joined = client.join(ReceiverStream::new(outgoing)).await;
        let mut orders = joined.map_err(|e| Refusal::Later(format!("{url}: {}", e.message())))?.into_inner();
        let first = orders.message().await.map_err(|e| Refusal::Later(e.message().to_owned()))?;
        match first.and_then(|order| order.order) {
            Some(Order::Welcome(welcome)) => Ok(Self {
                agent: welcome.agent,
                lease: Duration::from_millis(u64::from(welcome.lease_ms.max(300))),
                clock_id: welcome.clock_id,
                client,
                reports,
                orders,
                heard: Instant::now(),
            }),
            Some(Order::Rejected(rejected)) => Err(Refusal::Final(rejected.reason)),
            _ => Err(Refusal::Later(format!("{url} welcomed us with something else than a welcome"))),
        }
    }

    /// The next order. Its error says why there will be none. Dropping the future loses nothing.
    pub(crate) async fn order(&mut self) -> Result<Order, String> {
        loop {
            let next = timeout_at(self.heard + self.lease, self.orders.message()).await;
            match next.map_err(|_| format!("the control plane has said nothing for {:?}", self.lease))? {
                Ok(Some(order)) => {
                    self.heard = Instant::now();
                    if let Some(order) = order.order {
                        return Ok(order);
                    }
                }
                Ok(None) => return Err("the control plane ended the stream".into()),
                Err(status) => return Err(format!("the stream broke: {}", status.message())),
            }
        }
    }

    /// Says something; false if nobody takes it.
    pub(crate) async fn say(&mut self, report: Report) -> bool {
        let report = pb::AgentReport { report: Some(report) };
        self.reports.send_timeout(report, self.lease).await.is_ok()
    }
}

/// Estimates how far the control plane's clock is from ours.
pub(crate) async fn offset(mut client: AgentsClient<Channel>, clock: &Clock) -> Result<Offset, String> {
    let mut estimator = Estimator::default();
    for _ in 0..EXCHANGES {
        let asked = clock.now();
        let answer = timeout(WITHIN, client.time(pb::TimeRequest {})).await;
        let answer = answer.map_err(|_| "the control plane did not tell its time".to_owned())?;
        let answer = answer.map_err(|e| format!("the control plane did not tell its time: {}", e.message()))?;
        let (returned, time) = (clock.now(), answer.into_inner());
        estimator.observe(Exchange {
            asked,
            received: Timestamp::from_nanos(time.received_ns),
            answered: Timestamp::from_nanos(time.answered_ns),
            returned,
        });
    }
    estimator.estimate(clock.now()).ok_or_else(|| "there was no exchange of time".into())
}

/// An error with its causes: tonic's own says only "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

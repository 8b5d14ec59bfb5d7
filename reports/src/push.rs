//! Pushes the numbers of open runs to an OpenTelemetry collector, and those of a run that has ended once more.
//!
//! Nothing waits for a collector: one push is on its way at a time, each has a deadline, and what one leaves out the next
//! one has, because all numbers are totals.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use proto::otlp::metrics_service_client::MetricsServiceClient;
use proto::otlp::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::cell::RunCell;
use crate::otlp;
use crate::store::Store;

/// How long connecting and one push may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// See [`CONNECT_WITHIN`].
const PUSH_WITHIN: Duration = Duration::from_secs(3);

/// The kind of the line in a run's story that says that its numbers don't reach the collector.
const KIND: &str = "otlp_unreachable";

/// An OpenTelemetry collector, and how often it is told.
#[derive(Clone, Debug)]
pub struct Collector {
    endpoint: Endpoint,
    url: String,
    every: Duration,
}

impl Collector {
    /// How often a collector is told by default.
    pub const EVERY: Duration = Duration::from_secs(5);

    /// The collector whose OTLP/gRPC receiver is at this URL, such as `http://127.0.0.1:4317`, told every so often.
    ///
    /// # Errors
    /// When the URL is none that can be pushed to, in words.
    pub fn new(url: &str, every: Duration) -> Result<Self, String> {
        let hint = "write it like http://127.0.0.1:4317, the collector's OTLP/gRPC receiver";
        if url.starts_with("https://") {
            let near = "only http:// is spoken: name a collector near the data plane, which forwards over TLS";
            return Err(format!("{url} can't be pushed to; {near}"));
        }
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|e| format!("{url:?} is no URL ({e}): {hint}"))?;
        if endpoint.uri().scheme_str() != Some("http") || endpoint.uri().host().is_none_or(str::is_empty) {
            return Err(format!("{url:?} names no collector: {hint}"));
        }
        let endpoint = endpoint.connect_timeout(CONNECT_WITHIN).tcp_nodelay(true);
        Ok(Self { endpoint, url: url.to_owned(), every })
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Pushes what a store's runs say.
#[derive(Debug)]
pub(crate) struct Pusher {
    collector: Collector,
    client: MetricsServiceClient<Channel>,
    store: Arc<Store>,
    /// Pushes that failed since the last one that did not.
    failed: u64,
    /// Points that a collector refused were told of once.
    partial_told: bool,
}

impl Pusher {
    /// Pushes to `collector`; connects when there is something to push.
    pub(crate) fn new(collector: Collector, store: Arc<Store>) -> Self {
        let channel = collector.endpoint.connect_lazy();
        let client = MetricsServiceClient::new(channel).max_encoding_message_size(proto::MESSAGE_BYTES_MAX);
        Self { collector, client, store, failed: 0, partial_told: false }
    }

    /// Pushes again and again; never ends.
    pub(crate) async fn keep(&mut self) {
        let mut tick = interval(self.collector.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.push(PUSH_WITHIN).await;
        }
    }

    /// One push, of all there is; says once what goes wrong.
    pub(crate) async fn push(&mut self, within: Duration) {
        let (cells, request) = match self.collect().await {
            Ok(collected) => collected,
            Err(error) => return tracing::error!("there is nothing to push: {error:#}"),
        };
        if request.resource_metrics.is_empty() {
            return;
        }
        let pushed = match timeout(within, self.client.export(request)).await {
            Ok(answer) => answer.map(tonic::Response::into_inner).map_err(|status| words(&status)),
            Err(_) => Err(format!("no answer within {} ms", within.as_millis())),
        };
        match pushed {
            Ok(answer) => self.taken(&answer, &cells),
            Err(why) => self.not_taken(&why, &cells),
        }
    }

    /// What there is to say, and whose it is; made on a thread that may take its time.
    async fn collect(&self) -> anyhow::Result<(Vec<Arc<RunCell>>, ExportMetricsServiceRequest)> {
        let cells = self.store.all_runs();
        let collected = tokio::task::spawn_blocking(move || {
            let said = cells.into_iter().filter_map(|cell| {
                let open = cell.with(|run| Ok(otlp::metrics(&run.state))).ok();
                Some((open.or_else(|| cell.last_numbers())?, cell))
            });
            let (resource_metrics, cells) = said.unzip();
            (cells, ExportMetricsServiceRequest { resource_metrics })
        });
        collected.await.context("the numbers could not be read")
    }

    fn taken(&mut self, answer: &ExportMetricsServiceResponse, cells: &[Arc<RunCell>]) {
        cells.iter().filter(|cell| cell.is_closed()).for_each(|cell| cell.forget_last_numbers());
        let url = &self.collector.url;
        if self.failed > 0 {
            tracing::info!(url, missed = self.failed, "the OTLP collector takes numbers again");
        }
        self.failed = 0;
        if let Some(partial) = answer.partial_success.as_ref().filter(|p| p.rejected_data_points > 0)
            && !std::mem::replace(&mut self.partial_told, true)
        {
            let (points, why) = (partial.rejected_data_points, &partial.error_message);
            tracing::warn!(url, points, "the OTLP collector refuses some of the numbers: {why}");
        }
    }

    fn not_taken(&mut self, why: &str, cells: &[Arc<RunCell>]) {
        let url = &self.collector.url;
        self.failed += 1;
        if self.failed == 1 {
            tracing::warn!(url, "the OTLP collector takes no numbers: {why}; runs go on, and it is tried again");
        }
        for cell in cells {
            cell.miss_last_numbers();
            // Of a run that was closed meanwhile, the report is written.
            let _ = cell.with(|run| Ok(run.state.has_event(KIND))).map(|told| {
                let text = format!("the OTLP collector at {url} took no numbers ({why}); the report has all of them");
                if !told && let Err(refusal) = cell.note_now(KIND, text) {
                    tracing::debug!("no line of it in the report: {refusal}");
                }
            });
        }
    }

    /// The last push of a data plane that ends.
    pub(crate) async fn finish(&mut self, within: Duration) {
        self.push(within).await;
        if self.failed > 0 {
            let (url, missed) = (&self.collector.url, self.failed);
            tracing::warn!(url, missed, "the OTLP collector did not take the last numbers");
        }
    }
}

/// The innermost cause is what a person can mend: "Connection refused".
fn words(status: &Status) -> String {
    let mut cause: &dyn std::error::Error = status;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::addr_eq(cause, status) && !status.message().is_empty() {
        status.message().to_owned()
    } else {
        cause.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_collector_that_can_be_pushed_to_is_taken() {
        let new = |url: &str| Collector::new(url, Collector::EVERY);
        for url in ["http://127.0.0.1:4317", "http://collector:4317/"] {
            assert!(new(url).is_ok(), "{url}");
        }
        for url in ["", "127.0.0.1:4317", "localhost", "ftp://a", "http://", "https://a:4317", "a b"] {
            let why = new(url).unwrap_err();
            assert!(why.contains("http://"), "{url}: {why}");
        }
    }
}

//! What probes call: one stream each way, journal before acknowledgement.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use proto::telemetry::shipment::Shipment as Kind;
use proto::telemetry::telemetry_server::Telemetry;
use proto::telemetry::{Ack, Shipment, SourceHello};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::cell::RunCell;
use crate::store::{Refusal, Store};

/// Acknowledgements that may wait for a probe to read them; then we read no more from it either.
const ACKS_WAITING: usize = 64;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Ingest {
    store: Arc<Store>,
}

impl Ingest {
    /// For the runs in `store`.
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

#[tonic::async_trait]
impl Telemetry for Ingest {
    type ShipStream = Pin<Box<dyn Stream<Item = Result<Ack, Status>> + Send>>;

    async fn ship(&self, request: Request<Streaming<Shipment>>) -> Result<Response<Self::ShipStream>, Status> {
        let mut shipments = request.into_inner();
        let Some(Kind::Hello(hello)) = shipments.message().await?.and_then(|s| s.shipment) else {
            return Err(status(&Refusal::NoHello));
        };
        let cell = self.store.run(&hello.run).map_err(|e| status(&e))?;
        let source = hello.source.clone();
        tracing::debug!(run = hello.run, source, "a source ships");
        cell.hello(hello).map_err(|e| status(&e))?;
        let (acks, answer) = mpsc::channel(ACKS_WAITING);
        tokio::spawn(async move {
            if let Err(status) = ingest(shipments, &cell, &source, &acks).await {
                tracing::debug!(source, "a source's stream ended: {status}");
                // A probe that is gone needs no answer.
                let _ = acks.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answer))))
    }
}

async fn ingest(
    mut shipments: Streaming<Shipment>,
    cell: &RunCell,
    source: &str,
    acks: &mpsc::Sender<Result<Ack, Status>>,
) -> Result<(), Status> {
    while let Some(shipment) = shipments.message().await? {
        let ack = take(shipment, cell, source).map_err(|e| status(&e))?;
        if let Some(ack) = ack
            && acks.send(Ok(ack)).await.is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

fn take(shipment: Shipment, cell: &RunCell, source: &str) -> Result<Option<Ack>, Refusal> {
    let or_ours = |named: String| if named.is_empty() { source.to_owned() } else { named };
    match shipment.shipment {
        None => Ok(None),
        // A probe that ships for others introduces them on its stream.
        Some(Kind::Hello(hello)) => {
            let hello = SourceHello { source: or_ours(hello.source), ..hello };
            cell.hello(hello).map(|()| None)
        }
        Some(Kind::Interval(mut sealed)) => {
            sealed.source = or_ours(sealed.source);
            let ack = Ack { source: sealed.source.clone(), sequence: sealed.sequence, closed: false };
            cell.interval(sealed).map(|()| Some(ack))
        }
        Some(Kind::Goodbye(mut goodbye)) => {
            goodbye.source = or_ours(goodbye.source);
            let ack = Ack { source: goodbye.source.clone(), sequence: goodbye.last_sequence, closed: true };
            cell.goodbye(goodbye).map(|()| Some(ack))
        }
    }
}

/// How a refusal is told over gRPC. `ABORTED` tells a probe that trying again is of no use.
pub(crate) fn status(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::Name(_) | Refusal::Scenario(_) | Refusal::NoHello => Code::InvalidArgument,
        Refusal::NotOpen(_) => Code::FailedPrecondition,
        Refusal::Closed(_) => Code::Aborted,
        Refusal::Disk { .. } => Code::ResourceExhausted,
        Refusal::Report(_) => Code::Internal,
    };
    Status::new(code, refusal.to_string())
}

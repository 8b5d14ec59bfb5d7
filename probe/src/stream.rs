//! The stream to the data plane: dial, say hello, ship, take acknowledgements; after a break, again from the start.

use std::sync::Arc;
use std::time::Duration;

use proto::telemetry::shipment::Shipment as Kind;
use proto::telemetry::telemetry_client::TelemetryClient;
use proto::telemetry::{Shipment, SourceHello};
use tls::Links;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::shipper::{End, Shared};

/// The first pause after a break; it doubles with each attempt that fails.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long a dial, or the answer to a hello, may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a silent data plane is asked whether it is there, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Shipments that are on their way into the stream; the rest waits in the spool.
const ON_THE_WAY: usize = 8;

/// Ships until everything is closed or the data plane wants no more.
pub(crate) async fn ship(data_plane: String, links: Links, hellos: Vec<SourceHello>, shared: Arc<Shared>) {
    let mut pause = PAUSE_MIN;
    let mut away = false;
    loop {
        let mut progress = false;
        let end = ship_once((&data_plane, &links), &hellos, &shared, &mut progress).await;
        shared.ledger().rewind();
        let status = match end {
            Ok(()) if shared.ledger().is_closed() => return finish(&shared, End::Closed),
            Ok(()) => Status::unavailable("the data plane ended the stream"),
            Err(status) if status.code() == Code::Aborted => {
                tracing::warn!("the data plane wants no more: {}", status.message());
                return finish(&shared, End::Refused(status.message().to_owned()));
            }
            Err(status) => status,
        };
        if progress || !away {
            tracing::warn!(waiting = shared.ledger().waiting(), "the data plane is away: {}", tls::explain(&status));
        }
        away = true;
        pause = if progress { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        tokio::time::sleep(pause).await;
    }
}

fn finish(shared: &Shared, end: End) {
    shared.end.send_replace(Some(end));
}

async fn ship_once(
    (data_plane, links): (&str, &Links),
    hellos: &[SourceHello],
    shared: &Shared,
    progress: &mut bool,
) -> Result<(), Status> {
    let channel = dial(data_plane, links).await?;
    let mut client = TelemetryClient::new(channel).max_encoding_message_size(proto::MESSAGE_BYTES_MAX);
    let (ship, shipments) = mpsc::channel(ON_THE_WAY.max(hellos.len()));
    for hello in hellos {
        let hello = Shipment { shipment: Some(Kind::Hello(hello.clone())) };
        ship.try_send(hello).map_err(|_| Status::internal("the channel holds all hellos"))?;
    }
    let answered = tokio::time::timeout(DIAL_TIMEOUT, client.ship(ReceiverStream::new(shipments))).await;
    let mut acks = answered.map_err(|_| Status::deadline_exceeded("no answer to a hello"))??.into_inner();
    loop {
        let has_next = shared.ledger().has_next();
        tokio::select! {
            ack = acks.message() => match ack? {
                Some(ack) => {
                    *progress = true;
                    shared.heard.send_replace(Some(Instant::now()));
                    let mut ledger = shared.ledger();
                    ledger.acknowledge(&ack);
                    if ledger.is_closed() {
                        return Ok(());
                    }
                }
                None => return Ok(()),
            },
            permit = ship.reserve(), if has_next => {
                // The stream's own error comes with the acknowledgements.
                let Ok(permit) = permit else { return acks.message().await.map(|_| ()) };
                if let Some(shipment) = shared.ledger().next() {
                    permit.send(shipment);
                }
            }
            () = shared.more.notified(), if !has_next => {}
        }
    }
}

async fn dial(data_plane: &str, links: &Links) -> Result<Channel, Status> {
    let endpoint = links.endpoint(data_plane).map_err(|refused| Status::unavailable(refused.to_string()))?;
    let endpoint = endpoint
        .connect_timeout(DIAL_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    let unreached = |why: String| Status::unavailable(format!("can't reach {data_plane}: {why}"));
    endpoint.connect().await.map_err(|e| unreached(tls::explain(&e)))
}

//! A data plane in memory that cuts streams: before it stores, or after it has stored and before it says so.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use proto::telemetry::shipment::Shipment as Kind;
use proto::telemetry::telemetry_server::{Telemetry, TelemetryServer};
use proto::telemetry::{Ack, Goodbye, Shipment};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// What it has.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) intervals: BTreeMap<(String, u64), bytes::Bytes>,
    pub(crate) goodbyes: BTreeMap<String, Goodbye>,
    pub(crate) kinds: BTreeMap<String, String>,
    pub(crate) streams: u64,
    pub(crate) repeats: u64,
    shipments: u64,
}

/// The server; clones share what is stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakePlane {
    pub(crate) stored: Arc<Mutex<Stored>>,
    /// Every so many shipments a stream is cut; 0: never.
    pub(crate) cut_every: u64,
    /// Every stream is refused with this.
    pub(crate) refuse: Option<tonic::Code>,
}

impl FakePlane {
    /// Serves until the runtime is dropped.
    pub(crate) fn serve(&self, runtime: &tokio::runtime::Runtime, port: u16) -> SocketAddr {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let plane = self.clone();
        runtime.spawn(async move {
            let incoming = TcpListenerStream::new(TcpListener::from_std(listener).unwrap());
            tonic::transport::Server::builder()
                .add_service(TelemetryServer::new(plane))
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        address
    }

    /// Takes a shipment; `Err` cuts the stream.
    fn take(&self, shipment: Kind, source: &str) -> Result<Option<Ack>, Status> {
        let mut stored = self.stored.lock().unwrap();
        stored.shipments += 1;
        let cut = self.cut_every > 0 && stored.shipments.is_multiple_of(self.cut_every);
        let before_storing = (stored.shipments / self.cut_every.max(1)).is_multiple_of(2);
        if cut && before_storing {
            return Err(Status::unavailable("cut before it was stored"));
        }
        let or_ours = |name: &str| if name.is_empty() { source.to_owned() } else { name.to_owned() };
        let ack = match shipment {
            Kind::Hello(hello) => {
                stored.kinds.insert(hello.source, hello.kind);
                None
            }
            Kind::Interval(sealed) => {
                let key = (or_ours(&sealed.source), sealed.sequence);
                if let Some(before) = stored.intervals.insert(key.clone(), sealed.interval.clone()) {
                    assert_eq!(before, sealed.interval, "the same number is the same interval");
                    stored.repeats += 1;
                }
                Some(Ack { source: key.0, sequence: key.1, closed: false })
            }
            Kind::Goodbye(goodbye) => {
                let source = or_ours(&goodbye.source);
                let ack = Ack { source: source.clone(), sequence: goodbye.last_sequence, closed: true };
                stored.goodbyes.insert(source, goodbye);
                Some(ack)
            }
        };
        if cut { Err(Status::unavailable("cut before it was acknowledged")) } else { Ok(ack) }
    }
}

#[tonic::async_trait]
impl Telemetry for FakePlane {
    type ShipStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<Ack, Status>> + Send>>;

    async fn ship(&self, request: Request<Streaming<Shipment>>) -> Result<Response<Self::ShipStream>, Status> {
        if let Some(code) = self.refuse {
            return Err(Status::new(code, "the run is over"));
        }
        let mut shipments = request.into_inner();
        let Some(Kind::Hello(hello)) = shipments.message().await?.and_then(|s| s.shipment) else {
            return Err(Status::invalid_argument("no hello"));
        };
        self.stored.lock().unwrap().streams += 1;
        let (plane, source) = (self.clone(), hello.source.clone());
        plane.stored.lock().unwrap().kinds.insert(hello.source, hello.kind);
        let (acks, answer) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok(Some(shipment)) = shipments.message().await {
                match plane.take(shipment.shipment.unwrap(), &source) {
                    Ok(None) => {}
                    Ok(Some(ack)) => acks.send(Ok(ack)).await.unwrap_or(()),
                    Err(cut) => return acks.send(Err(cut)).await.unwrap_or(()),
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answer))))
    }
}

//! The gRPC contracts between throng's processes. The `.proto` files are the reference; this crate is what `prost` and
//! `tonic` make of them, and the limits that both ends of a stream must agree on.

pub mod kept;
mod redacted;

/// People, control plane, agents.
pub mod control {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic, reason = "generated")]
    tonic::include_proto!("throng.control.v1");
}

/// Probes, control plane, data plane.
pub mod telemetry {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic, reason = "generated")]
    tonic::include_proto!("throng.telemetry.v1");
}

/// OpenTelemetry's protocol, as far as we speak it: the data plane pushes, a collector takes.
pub mod otlp {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic, reason = "generated")]
    tonic::include_proto!("opentelemetry.proto.collector.metrics.v1");
}

/// Edges and origin of a chat service.
pub mod link {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic, reason = "generated")]
    tonic::include_proto!("throng.link.v1");
}

/// The largest message between an edge and its origin: the answer to `POST /sync` has up to 64 MiB of events.
pub const LINK_MESSAGE_BYTES_MAX: usize = 72 << 20;

/// The largest message on any of the other streams: an interval of a few dozen histograms (4 to 10 KB each) and ten thousand
/// receipts stays below 8 MiB; a scenario is at most 1 MiB.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Who keeps a lease says something so many times in it, both ways: of a lease of 3 s all but the last second may be lost.
pub const BEATS_A_LEASE: u32 = 10;

/// The version that agents and control plane must share.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

//! What planning counts with: each figure with the benchmark that measured it (`benches/RESULTS.md`, all of them on loopback,
//! on two cores of an AMD EPYC). They are for sizing, not for judging.

/// Files that a process keeps for itself: logs, gRPC, the pool of API connections.
pub const FILES_KEPT_BACK: u64 = 200;
/// Memory of a connected user in a worker: bench `footprint-user`.
pub const WORKER_BYTES_A_USER: u64 = 1_024;
/// What a user has beside that over TLS: keys and buffers. Measured by hand, with rustls.
pub const TLS_BYTES_A_USER: u64 = 9_400;
/// Memory of a connection in a chat-server node: the chat server's own part is 757 B (bench `footprint-connection`); what its
/// runtime, outboxes and members take beside that was measured with 15,000 connections.
pub const NODE_BYTES_A_CONNECTION: u64 = 3_600;
/// Memory of the kernel for both ends of an idle connection. Measured by hand, with 15,000 connections on loopback.
pub const KERNEL_BYTES_A_CONNECTION: u64 = 5_300;
/// Processor time of one delivery, sending and receiving end together, one frame a write, on one core: by hand; bench
/// `fanout` has both cores of its machine and the scheduler between them.
pub const NANOS_A_DELIVERY: u64 = 8_000;
/// The same as a fleet is sized by: 2 cores ÷ 128,355 deliveries/s (bench `fanout`), all of the machine's time counted.
pub const FLEET_NANOS_A_DELIVERY: u64 = 15_600;
/// The same where users get at least [`BUSY_FRAMES`] a second, several frames a write: 2 cores ÷ 667,374 deliveries/s (bench
/// `fanout-busy`).
pub const FLEET_NANOS_A_BUSY_DELIVERY: u64 = 3_000;
/// Frames a second that one user gets in a busy room: what bench `fanout-busy` has.
pub const BUSY_FRAMES: f64 = 40.0;
/// Processor time of one connection from due to watching, both ends together: 2 cores ÷ 8,040 connects/s (bench `connect`). An
/// API call does less, and is counted as one.
pub const NANOS_A_CONNECT: u64 = 248_800;
/// Processor time that the data plane has for one second of one worker: bench `rehearse`, 100 workers of 50,000 users.
pub const DATA_PLANE_NANOS_A_WORKER: u64 = 1_300_000;
/// Memory of the data plane for a run of five million users: bench `rehearse-memory`.
pub const DATA_PLANE_BYTES: u64 = 160 << 20;
/// Bytes of an event around its text: ids, times, the user, the channel.
pub const BYTES_AROUND_TEXT: u64 = 650;
/// Bytes around a frame: WebSocket 4, TCP with timestamps 32, IP 20, Ethernet 14.
pub const BYTES_AROUND_FRAME: u64 = 70;
/// Above so many watchers chat services no longer broadcast who types and reads.
pub const MOST_WATCHERS_OF_TYPING: f64 = 100.0;
/// Of a host's processors, memory and network so much is planned with; the rest is for what no plan knows.
pub const HEADROOM_USED: f64 = 0.7;
/// Files that a process may have open on a fleet's hosts (`terraform/`).
pub const FLEET_FILES: u64 = 1_048_576;
/// Local ports of one source address towards one server address, as Linux has them: 32768 to 60999.
pub const PORTS_AN_ADDRESS: u64 = 28_232;
/// Canaries that one probe holds.
pub const CANARIES_A_PROBE: u64 = 1_000;
/// What a fleet's hosts take to boot and to be collected from, and cost all the same.
pub const MINUTES_AROUND_A_RUN: u64 = 10;

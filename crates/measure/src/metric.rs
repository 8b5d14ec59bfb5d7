//! Everything that throng measures, as closed enums: a metric that is not here does not exist.
//!
//! The numbers are the wire's names for them: append, never renumber.

use serde::{Deserialize, Serialize};

/// A cohort's index in its scenario; what belongs to no cohort has none.
pub type Cohort = u16;

macro_rules! closed {
    ($(#[$outer:meta])* $name:ident; $($(#[doc = $doc:literal])* $variant:ident = $id:literal, $text:literal;)*) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum $name { $(
            #[doc = concat!("`", $text, "`:")]
            $(#[doc = $doc])*
            $variant = $id,
        )* }

        impl $name {
            /// All of them, in the order of their wire numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// How people and files name it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// What it means, in words.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*).trim_ascii()),* }
            }

            /// The one with this wire number.
            pub const fn from_id(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)* _ => None }
            }

            /// The one with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|m| m.name() == name)
            }

            /// Its wire number.
            pub const fn id(self) -> u32 {
                self as u32
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

closed! {
    /// A duration that is recorded as a histogram, in microseconds.
    Metric;
    /// from the moment the connection was due to the first `health.check` event
    Connect = 0, "connect";
    /// the TCP handshake of a connection
    ConnectTcp = 1, "connect_tcp";
    /// the TLS handshake of a connection
    ConnectTls = 2, "connect_tls";
    /// the WebSocket upgrade: request sent to `101 Switching Protocols` read
    ConnectUpgrade = 3, "connect_upgrade";
    /// from the upgrade to the first `health.check` event
    ConnectFirstEvent = 4, "connect_first_event";
    /// from the moment a message was due to the API's answer
    Send = 5, "send";
    /// from the moment a message was really sent to the API's answer (the uncorrected twin of `send`)
    SendService = 6, "send_service";
    /// from the moment a message was due to the moment a receiver had it; every receiver of every message
    Delivery = 7, "delivery";
    /// from the moment a message was really sent to the moment a receiver had it (the uncorrected twin of `delivery`)
    DeliveryService = 8, "delivery_service";
    /// the generator against itself: really started minus due, for every action
    Lag = 9, "lag";
    /// from the moment a message was due to its first receiver; one sample a message
    FanoutFirst = 10, "fanout_first";
    /// from the moment a message was due until half of its receivers had it; one sample a message
    FanoutMedian = 11, "fanout_median";
    /// from the moment a message was due until 99 % of its receivers had it; one sample a message
    FanoutP99 = 12, "fanout_p99";
    /// from the moment a message was due to its last receiver; one sample a message
    FanoutLast = 13, "fanout_last";
    /// from the moment a reaction was due to the API's answer
    React = 14, "react";
    /// from the moment a typing event was due to the API's answer
    Typing = 15, "typing";
    /// from the moment a mark-read was due to the API's answer
    Read = 16, "read";
    /// from the query that starts watching a channel to its answer
    Watch = 17, "watch";
    /// the canaries' `connect`
    CanaryConnect = 18, "canary_connect";
    /// the canaries' `send`
    CanarySend = 19, "canary_send";
    /// the canaries' `delivery`
    CanaryDelivery = 20, "canary_delivery";
    /// how late a process's event loop woke up from a timer
    LoopDelay = 21, "loop_delay";
}

closed! {
    /// Something that is counted.
    Counter;
    /// actions that fell due by the schedule
    Due = 0, "due";
    /// actions that fell due and were not started because their user was not connected or too many were in flight
    Dropped = 1, "dropped";
    /// connections that reached their first event
    Connected = 2, "connected";
    /// connections that ended without being asked to
    Disconnected = 3, "disconnected";
    /// connections that failed before their first event
    ConnectFailed = 4, "connect_failed";
    /// messages that the API accepted
    Sent = 5, "sent";
    /// reactions, typing events and mark-reads that the API accepted
    Acted = 6, "acted";
    /// API calls that failed
    CallFailed = 7, "call_failed";
    /// WebSocket frames received
    FramesReceived = 8, "frames_received";
    /// bytes of payload received over WebSocket
    BytesReceived = 9, "bytes_received";
    /// events with a sequence number that users should have got while they watched
    Expected = 10, "expected";
    /// of those, the ones they got, each counted once
    Delivered = 11, "delivered";
    /// of those, the ones they never got
    Lost = 12, "lost";
    /// events that a user got again
    Duplicated = 13, "duplicated";
    /// events that a user got after a later one
    Reordered = 14, "reordered";
    /// events that a user got through `/sync` and not through the socket
    Recovered = 15, "recovered";
    /// latency samples that came out negative, and so count as zero in their histogram
    Negative = 16, "negative";
    /// errors, by kind
    Errors = 17, "errors";
    /// events that a chat server accepted from its API
    Published = 18, "published";
    /// frames that a chat server put into outboxes
    FannedOut = 19, "fanned_out";
    /// connections that a chat server closed because they read too slowly
    ClosedSlow = 20, "closed_slow";
    /// calls that a chat server refused because of a rate limit
    RateLimited = 21, "rate_limited";
    /// messages that receivers got (deliveries of `message.new`)
    MessagesReceived = 22, "messages_received";
    /// samples above the histogram's 60 s, recorded as 60 s
    Saturated = 23, "saturated";
    /// messages that fell due by the schedule: the part of `due` that is sending
    SendsDue = 24, "sends_due";
    /// a user's channels whose last number could not be asked for when watching ended, so that what it lost isn't known
    Unsettled = 25, "unsettled";
}

closed! {
    /// A level at an instant. Levels of one instant add up over sources, and are never added over time.
    Gauge;
    /// users that should be connected by the schedule
    UsersPlanned = 0, "users_planned";
    /// users that are connected and had their first event
    UsersConnected = 1, "users_connected";
    /// user-channel pairs that are being watched
    Watching = 2, "watching";
    /// API calls on their way
    InFlight = 3, "in_flight";
    /// processor time of the process in the last second, in thousandths of a core
    ProcessCpuMilli = 4, "process_cpu_milli";
    /// resident memory of the process, in bytes
    ProcessRssBytes = 5, "process_rss_bytes";
    /// open file descriptors of the process
    ProcessFiles = 6, "process_files";
    /// processor time of the host in the last second, in thousandths of a core
    HostCpuMilli = 7, "host_cpu_milli";
    /// cores of the host
    HostCores = 8, "host_cores";
    /// runnable tasks of the host, in thousandths (the 1-minute load average)
    HostLoadMilli = 9, "host_load_milli";
    /// memory in use on the host, in bytes
    HostMemoryUsedBytes = 10, "host_memory_used_bytes";
    /// memory of the host, in bytes
    HostMemoryBytes = 11, "host_memory_bytes";
    /// TCP sockets in use on the host
    HostSockets = 12, "host_sockets";
    /// TCP segments retransmitted by the host since its start
    HostRetransmits = 13, "host_retransmits";
    /// connections that a chat server holds
    NodeConnections = 14, "node_connections";
    /// channels that a chat server holds
    NodeChannels = 15, "node_channels";
    /// bytes that wait in a chat server's outboxes
    NodeOutboxBytes = 16, "node_outbox_bytes";
    /// what is added to the source's clock to have the control plane's, in nanoseconds
    ClockOffsetNanos = 17, "clock_offset_nanos";
    /// the error bound of that offset in its interval, in nanoseconds: at no instant of it was it larger
    ClockBoundNanos = 18, "clock_bound_nanos";
    /// how fast the control plane's clock gains on the source's, in nanoseconds a second
    ClockDriftPpb = 19, "clock_drift_ppb";
    /// exchanges of time with the control plane so far
    ClockExchanges = 20, "clock_exchanges";
    /// times at which exchanges contradicted each other: one of the clocks was set, or slewed too fast
    ClockJumps = 21, "clock_jumps";
}

/// What a histogram is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The metric.
    pub metric: Metric,
    /// The cohort it was measured on, where it belongs to one.
    pub cohort: Option<Cohort>,
}

impl From<Metric> for Series {
    fn from(metric: Metric) -> Self {
        Self { metric, cohort: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_find_their_metric_again() {
        for (i, m) in Metric::ALL.iter().enumerate() {
            assert_eq!(m.id() as usize, i, "wire numbers are dense, so that they can index an array");
            assert_eq!(Metric::from_id(m.id()), Some(*m));
            assert_eq!(Metric::from_name(m.name()), Some(*m));
            assert!(m.meaning().len() > 10);
        }
        for (i, c) in Counter::ALL.iter().enumerate() {
            assert_eq!((c.id() as usize, Counter::from_name(c.name())), (i, Some(*c)));
            assert_eq!(Metric::from_name(c.name()), None, "a name means one thing");
        }
        for (i, g) in Gauge::ALL.iter().enumerate() {
            assert_eq!((g.id() as usize, Gauge::from_name(g.name())), (i, Some(*g)));
        }
    }
}

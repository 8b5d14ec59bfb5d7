//! The canaries of a rehearsal: what a probe would have measured of them.

use std::sync::Arc;
use std::time::Duration;

use measure::{Metric, SharedRecorder};
use scenarios::model::Scenario;
use wire::Stamp;

use super::latency::{Latency, canaries_in};
use super::levels::Levels;
use super::losses::Losses;
use super::service::Service;

/// Canaries connect one after the other, within this time from the run's start.
const CONNECT_SPREAD: Duration = Duration::from_secs(2);
/// The probe's number where workers have theirs; it is none of them.
const PROBE: u32 = u32::MAX;

/// See the module.
pub(super) struct Canaries<'a> {
    scenario: &'a Scenario,
    latency: &'a Latency,
    service: Service<'a>,
    recorder: SharedRecorder,
    connected: u32,
    levels: Levels,
}

impl<'a> Canaries<'a> {
    /// The scenario's canaries, none of them here yet.
    pub(super) fn new(
        scenario: &'a Scenario,
        latency: &'a Latency,
        losses: &'a Arc<Losses>,
        recorder: SharedRecorder,
    ) -> Self {
        let service = Service::new(scenario, latency, losses);
        Self { scenario, latency, service, recorder, connected: 0, levels: Levels::new(PROBE) }
    }

    /// Everything that happens before `until`.
    pub(super) fn advance(&mut self, until: Duration) {
        let count = self.scenario.probes.canaries;
        while self.connected < count && CONNECT_SPREAD * self.connected / count < until {
            // Numbered behind all users, so that none connects as a user does.
            let canary = self.scenario.users() + u64::from(self.connected);
            let took = self.latency.connecting(canary, 0).connected();
            self.recorder.with(|r| r.record(Metric::CanaryConnect, took as i64));
            self.connected += 1;
        }
        while self.service.next_at().is_some_and(|at| at < until) {
            let Some(event) = self.service.pop() else { continue };
            let Some(key) = event.message else { continue };
            let there = canaries_in(self.scenario, event.channel);
            let received = self.latency.receivers(key, PROBE, 0, there);
            self.recorder.with(|r| {
                if key.action() == Stamp::CANARY {
                    let took = self.latency.call(key.action(), key.number()) + event.late;
                    r.record(Metric::CanarySend, took as i64);
                }
                for (micros, n) in received {
                    r.record_n(Metric::CanaryDelivery, (micros + event.late) as i64, n);
                }
            });
        }
        let (recorder, latency) = (self.recorder.clone(), self.latency);
        recorder.with(|r| self.levels.set(r, latency, until, 0));
    }
}

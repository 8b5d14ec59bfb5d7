//! The levels of an open run that other tools are told: at its newest complete second.

use measure::Gauge;

use crate::run::RunState;
use crate::slot::Slot;
use crate::source::Source;

/// Of the load and of the service, added up over sources.
const OF_THE_RUN: [Gauge; 5] =
    [Gauge::UsersPlanned, Gauge::UsersConnected, Gauge::Watching, Gauge::InFlight, Gauge::NodeConnections];

/// Of each source.
const OF_SOURCES: [Gauge; 5] = [
    Gauge::ProcessCpuMilli,
    Gauge::ProcessRssBytes,
    Gauge::HostCpuMilli,
    Gauge::HostMemoryUsedBytes,
    Gauge::ClockBoundNanos,
];

/// Each level of the run as a whole.
pub(crate) fn of_the_run(run: &RunState) -> impl Iterator<Item = (Gauge, i64)> {
    let newest = newest(run);
    OF_THE_RUN.into_iter().map(move |gauge| {
        let levels = (0..run.sources.len()).filter_map(|source| newest?.level(source, gauge));
        (gauge, levels.sum())
    })
}

/// Each level of each source, where it has one.
pub(crate) fn of_sources(run: &RunState) -> impl Iterator<Item = (&Source, Gauge, i64)> {
    let newest = newest(run);
    run.sources.iter().enumerate().flat_map(move |(index, source)| {
        OF_SOURCES.into_iter().filter_map(move |gauge| Some((source, gauge, newest?.level(index, gauge)?)))
    })
}

fn newest(run: &RunState) -> Option<&Slot> {
    run.slots.at(run.complete().saturating_sub(1))
}

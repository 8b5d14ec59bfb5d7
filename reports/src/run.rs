//! The state of a run: a plain function of the events in its journal. Merging is addition, and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use measure::{Counter, Examples, Interval, MessageKey, Metric, Timestamp};
use proto::telemetry::{Goodbye, NoteRequest, OpenRequest, SealedInterval, SourceHello};
use scenarios::Scenario;
use wire::Stamp;

use crate::coverage::Coverages;
use crate::fanout::{Fanout, Message};
use crate::journal::Event;
use crate::result::{EventInfo, Sides};
use crate::slots::{Slots, Span};
use crate::source::Source;
use crate::thresholds::Watches;

/// An interval so far behind the newest one is of a broken clock, and counts where the newest one counts.
const LEAP_MAX: Duration = Duration::from_secs(86_400);

/// A source that is so many seconds behind the newest is not waited for any more, where something waits for all.
const STRAGGLER_S: u32 = 30;

/// The kind of the note that says that a threshold with `abort` has stopped the run.
pub(crate) const ABORTED: &str = "aborted";

/// The kind of the event that tells of an edge of the service that died in mid-run.
pub const EDGE_LOST: &str = "edge_lost";
/// The kind of the event that tells that it serves again.
pub const EDGE_BACK: &str = "edge_back";

/// The kinds of notes after which there is no load.
const STOPS: [&str; 2] = ["stopped", ABORTED];

/// A run as it was opened.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    /// What the control plane said.
    pub request: OpenRequest,
    /// What it meant.
    pub scenario: Arc<Scenario>,
    /// Where its files are.
    pub dir: PathBuf,
}

/// The state of a run.
#[derive(Clone, Debug)]
pub(crate) struct RunState {
    /// How it was opened.
    pub opened: Opened,
    /// Its sources, in the order in which they were first heard of.
    pub sources: Vec<Source>,
    /// What was measured, by time.
    pub slots: Slots,
    /// What was measured, added up; without levels and receipts.
    pub totals: Interval,
    /// Messages on their way.
    pub fanout: Fanout,
    /// One sample a settled message for each of the fan-out metrics.
    pub fanouts: Interval,
    /// The account by event.
    pub coverage: Coverages,
    /// The first events that went wrong.
    pub examples: Examples,
    /// What happened.
    pub events: Vec<EventInfo>,
    /// Intervals that came again.
    pub repeats: u64,
    /// The scenario's thresholds, judged as the seconds become complete.
    pub watches: Arc<Watches>,
    complete: u32,
}

impl RunState {
    /// A run of which nothing has come yet.
    pub(crate) fn new(opened: Opened) -> Self {
        let watches = Arc::new(Watches::of(&opened.scenario));
        let mut run = Self {
            opened,
            sources: Vec::new(),
            slots: Slots::default(),
            totals: Interval::default(),
            fanout: Fanout::default(),
            fanouts: Interval::default(),
            coverage: Coverages::default(),
            examples: Examples::default(),
            events: Vec::new(),
            repeats: 0,
            watches,
            complete: 0,
        };
        run.expect();
        run
    }

    /// Makes a source of each that the run was opened with.
    fn expect(&mut self) {
        let OpenRequest { expected_sources, expected_users, .. } = self.opened.request.clone();
        let users = expected_users.into_iter().chain(std::iter::repeat(0));
        for (name, users) in expected_sources.iter().zip(users) {
            let index = self.index(name);
            self.sources[index].expected = true;
            self.sources[index].users_planned = users;
        }
    }

    /// The run was opened again, perhaps with a later start; that counts as long as nothing has been measured.
    fn reopen(&mut self, request: &OpenRequest) {
        if self.slots.iter().len() == 0 {
            self.opened.request = request.clone();
            self.expect();
        }
    }

    /// Takes one event of the journal.
    pub(crate) fn step(&mut self, event: &Event) {
        match event {
            Event::Open(request) => self.reopen(request),
            Event::Closed(_) => {}
            Event::Hello(hello) => self.hello(hello),
            Event::Interval(sealed) => self.interval(sealed),
            Event::Goodbye(goodbye) => self.goodbye(goodbye),
            Event::Note(note) => self.note(note),
        }
    }

    /// Takes a note; one that comes again, since its teller heard no answer in time, is the same.
    fn note(&mut self, note: &NoteRequest) {
        let at_s = self.told_at(note.at_ns);
        let same = |e: &EventInfo| e.at_s.to_bits() == at_s.to_bits() && e.kind == note.kind && e.text == note.text;
        if !self.events.iter().any(same) {
            self.event(at_s, &note.kind, note.text.clone());
        }
    }

    /// Whether this interval was taken already.
    pub(crate) fn has(&self, source: &str, sequence: u64) -> bool {
        self.source(source).is_some_and(|s| s.stored.contains(sequence))
    }

    /// A source by name.
    pub(crate) fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|s| s.name() == name)
    }

    /// Expected sources that have not said goodbye and are not among the `lost`.
    pub(crate) fn outstanding<'a>(&'a self, lost: &'a [String]) -> impl Iterator<Item = &'a str> {
        let waiting = |s: &&Source| s.expected && s.goodbye.is_none() && !lost.iter().any(|l| l == s.name());
        self.sources.iter().filter(waiting).map(Source::name)
    }

    /// Seconds of the run that all sources have shipped, but for those that are far behind.
    pub(crate) fn complete(&self) -> u32 {
        self.complete
    }

    /// Seconds since the run's start of an instant on the run's clock; negative before it.
    pub(crate) fn since_start(&self, at_ns: u64) -> f64 {
        (at_ns as f64 - self.opened.request.start_ns as f64) / 1e9
    }

    /// The same of an instant that the control plane tells by its own clock, whose time is slower in a rehearsal.
    pub(crate) fn told_at(&self, at_ns: u64) -> f64 {
        self.since_start(at_ns) * self.speed()
    }

    /// How many times faster the run's time goes than the control plane's: 1, but in a rehearsal.
    pub(crate) fn speed(&self) -> f64 {
        let speed = self.opened.request.rehearsal_speed;
        if speed.is_finite() && speed > 0.0 { speed } else { 1.0 }
    }

    /// Adds to what happened.
    pub(crate) fn event(&mut self, at_s: f64, kind: &str, text: String) {
        self.events.push(EventInfo { at_s, kind: kind.to_owned(), text });
    }

    /// Whether something of this kind has happened.
    pub(crate) fn has_event(&self, kind: &str) -> bool {
        self.events.iter().any(|event| event.kind == kind)
    }

    /// Makes the fan-out of all messages final; nothing more will come.
    pub(crate) fn finish(&mut self) {
        let rest = self.fanout.settle_all();
        self.record(&rest);
        let (complete, stopped_s) = (self.complete, self.stopped_s());
        Arc::make_mut(&mut self.watches).finish(complete, stopped_s);
    }

    /// The second from which on there is no load, because the run was told to stop.
    pub(crate) fn stopped_s(&self) -> Option<u32> {
        let stop = self.events.iter().find(|e| STOPS.contains(&e.kind.as_str()));
        stop.map(|event| event.at_s.max(0.0) as u32)
    }

    /// How much has come: every interval and every event.
    pub(crate) fn news(&self) -> u64 {
        self.sources.iter().map(|s| s.stored.len()).sum::<u64>() + self.events.len() as u64
    }

    /// The run up to its newest complete second; a cheap copy.
    pub(crate) fn snapshot(&self) -> Self {
        let mut slots = self.slots.clone();
        slots.truncate(self.complete);
        Self {
            opened: self.opened.clone(),
            sources: self.sources.clone(),
            slots,
            totals: self.totals.clone(),
            fanout: self.fanout.clone(),
            fanouts: self.fanouts.clone(),
            // Large, and said of a run that is over only.
            coverage: Coverages::default(),
            examples: self.examples.clone(),
            events: self.events.clone(),
            watches: self.watches.clone(),
            repeats: self.repeats,
            complete: self.complete,
        }
    }

    fn index(&mut self, name: &str) -> usize {
        self.sources.iter().position(|s| s.name() == name).unwrap_or_else(|| {
            self.sources.push(Source::named(name));
            self.sources.len() - 1
        })
    }

    fn hello(&mut self, hello: &SourceHello) {
        let index = self.index(&hello.source);
        self.sources[index].hello = hello.clone();
    }

    fn goodbye(&mut self, goodbye: &Goodbye) {
        let index = self.index(&goodbye.source);
        self.sources[index].goodbye = Some(goodbye.clone());
        self.advance();
    }

    fn interval(&mut self, sealed: &SealedInterval) {
        let index = self.index(&sealed.source);
        if self.sources[index].stored.contains(sealed.sequence) {
            self.repeats += 1;
            return;
        }
        let interval = match Interval::decode(&sealed.interval) {
            Ok(interval) => interval,
            Err(e) => {
                self.sources[index].stored.insert(sealed.sequence);
                self.sources[index].damaged += 1;
                let text = format!("interval {} of {} could not be read: {e}", sealed.sequence, sealed.source);
                return self.event(f64::from(self.complete), "damaged", text);
            }
        };
        let span = self.span(&interval);
        self.sources[index].add(sealed.sequence, span, &interval);
        for (key, receipt) in &interval.receipts {
            self.fanout.add(*key, receipt, span.middle);
        }
        self.coverage.add(&interval);
        self.examples.merge(&interval.examples);
        self.slots.add(index, span, &interval);
        Arc::make_mut(&mut self.watches).add(span.middle, &interval);
        let Interval { start, end, histograms, counters, .. } = interval;
        self.totals.merge(&Interval { start, end, histograms, counters, ..Interval::default() });
        self.advance();
    }

    fn span(&self, interval: &Interval) -> Span {
        let start = Timestamp::from_nanos(self.opened.request.start_ns);
        let since = |t: Option<Timestamp>| t.map_or(Duration::ZERO, |t| t.since(start));
        let width = u64::from(self.slots.width_s());
        let newest = Duration::from_secs(self.slots.iter().len() as u64 * width) + LEAP_MAX;
        let end = since(interval.end).min(newest);
        Span::new(since(interval.start).min(end), end)
    }

    /// Settles the messages of the seconds that all have shipped by now.
    fn advance(&mut self) {
        let newest = self.sources.iter().map(|s| s.covered).max().unwrap_or(0);
        let waited = |s: &&Source| s.goodbye.is_none() && s.covered + STRAGGLER_S >= newest;
        let complete = self.sources.iter().filter(waited).map(|s| s.covered).min().unwrap_or(newest);
        if complete > self.complete {
            self.complete = complete;
            let done = self.fanout.settle(complete);
            self.record(&done);
            let stopped_s = self.stopped_s();
            Arc::make_mut(&mut self.watches).advance(complete, stopped_s);
        }
    }

    fn record(&mut self, messages: &[Message]) {
        for message in messages {
            let receipt = &message.receipt;
            let points = [
                (Metric::FanoutFirst, receipt.first()),
                (Metric::FanoutMedian, receipt.quantile(0.5)),
                (Metric::FanoutP99, receipt.quantile(0.99)),
                (Metric::FanoutLast, receipt.last()),
            ];
            for (metric, micros) in points {
                let Some(micros) = micros else { continue };
                self.fanouts.histograms.entry(metric.into()).or_default().record(micros);
                self.slots.at_mut(message.first_s).record(metric, micros);
                Arc::make_mut(&mut self.watches).record(message.first_s, metric, micros);
            }
        }
    }
}

impl RunState {
    /// What recorders counted against what is shown: both sides over the sources that gave their account.
    pub(crate) fn conservation(&self) -> crate::result::Conservation {
        let accounts = || self.sources.iter().filter_map(|s| Some((s, s.goodbye.as_ref()?)));
        let open = || self.sources.iter().filter(|s| s.goodbye.is_none());
        let shown_samples = self.totals.samples() - open().map(|s| s.samples).sum::<u64>();
        let shown_counts = self.totals.counters.values().sum::<u64>() - open().map(|s| s.counts).sum::<u64>();
        let each_agrees = accounts().all(|(s, g)| s.agrees(g));
        let by_name = self.sides();
        let recorded_samples = accounts().map(|(_, g)| g.samples).sum();
        let recorded_counts = accounts().map(|(_, g)| g.counts).sum();
        crate::result::Conservation {
            recorded_samples,
            shown_samples,
            recorded_counts,
            shown_counts,
            holds: each_agrees
                && by_name.values().all(|sides| sides.recorded == sides.shown)
                && recorded_samples == shown_samples
                && recorded_counts == shown_counts,
            by_name,
            unaccounted: open().map(|s| s.name().to_owned()).collect(),
        }
    }

    /// Of each metric and counter, what those sources recorded that say so, and what is merged of them.
    fn sides(&self) -> BTreeMap<String, Sides> {
        let mut sides = BTreeMap::<String, Sides>::new();
        for (series, histogram) in &self.totals.histograms {
            sides.entry(series.metric.to_string()).or_default().shown += histogram.count();
        }
        for (key, n) in &self.totals.counters {
            sides.entry(key.counter.to_string()).or_default().shown += n;
        }
        for source in &self.sources {
            let told =
                source.goodbye.as_ref().filter(|g| !g.samples_by_metric.is_empty() || !g.counts_by_counter.is_empty());
            match told {
                Some(goodbye) => {
                    for (name, n) in goodbye.samples_by_metric.iter().chain(&goodbye.counts_by_counter) {
                        sides.entry(name.clone()).or_default().recorded += n;
                    }
                }
                None => source.by_name.iter().for_each(|(name, n)| sides.entry(name.clone()).or_default().shown -= n),
            }
        }
        sides.retain(|_, sides| sides.recorded > 0 || sides.shown > 0);
        sides
    }

    /// The id that a message of the run has at the service.
    pub(crate) fn message_id(&self, key: MessageKey) -> String {
        let OpenRequest { bundled, run, .. } = &self.opened.request;
        match key.action() {
            Stamp::CANARY => format!("canary-{}", key.number()),
            action => self.opened.scenario.message_id(action, key.number(), (!bundled).then_some(run.as_str())),
        }
    }

    /// One counter over the whole run.
    pub(crate) fn total(&self, counter: Counter) -> u64 {
        self.totals.count(counter)
    }
}

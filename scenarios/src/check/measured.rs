//! Whether a scenario measures what a threshold judges: a threshold on nothing would pass for no reason.

use measure::{Cohort, Counter, Metric};

use crate::model::{ActionKind, Scenario, Subject};

type MessageAndHint = (String, String);

/// Whom a threshold asks about: a cohort of a scenario, or everybody.
struct Asked<'a> {
    scenario: &'a Scenario,
    cohort: Option<Cohort>,
}

/// Reports why nothing would be measured.
pub(super) fn check(subject: Subject, cohort: Option<Cohort>, scenario: &Scenario) -> Result<(), MessageAndHint> {
    let asked = Asked { scenario, cohort };
    match subject {
        Subject::Metric(metric) => asked.metric(metric),
        Subject::Counter(counter) => asked.counter(counter),
    }
}

impl Asked<'_> {
    fn metric(&self, metric: Metric) -> Result<(), MessageAndHint> {
        if self.cohort.is_some() && belongs_to_no_cohort(metric) {
            let name = metric.name();
            return Err((format!("`{name}` belongs to no cohort"), format!("write `{name}` without the cohort")));
        }
        let Scenario { target, channels, probes, .. } = self.scenario;
        match metric {
            Metric::ConnectTls if !target.urls.iter().any(|url| url.starts_with("wss://")) => {
                Err(("no connection uses TLS here".into(), "it needs a `target` with a `wss://` address".into()))
            }
            Metric::Send | Metric::SendService if !self.does(is_send) => self.nobody("sends messages", "a `send`"),
            Metric::Delivery | Metric::DeliveryService if !self.receives() => self.receives_nothing(),
            Metric::FanoutFirst | Metric::FanoutMedian | Metric::FanoutP99 | Metric::FanoutLast
                if !self.does(is_send) =>
            {
                self.nobody("sends messages", "a `send`")
            }
            Metric::React if !self.does(|kind| *kind == ActionKind::React) => self.nobody("reacts", "a `react`"),
            Metric::Typing if !self.does(|kind| *kind == ActionKind::Typing) => self.nobody("types", "a `typing`"),
            Metric::Read if !self.does(|kind| *kind == ActionKind::Read) => {
                self.nobody("marks anything as read", "a `read`")
            }
            Metric::Watch if !channels.iter().any(|group| watches(&group.members, self.cohort)) => {
                Err((format!("{} watches a channel", self.who()), "define one under `channels`".into()))
            }
            Metric::CanaryConnect | Metric::CanarySend | Metric::CanaryDelivery if probes.canaries == 0 => {
                Err(("there are no canaries".into(), "add `probes: { canaries: 10 }`".into()))
            }
            Metric::CanarySend | Metric::CanaryDelivery if probes.send_rate <= 0.0 => {
                Err(("the canaries send nothing".into(), "add `send: 1/s` to `probes`".into()))
            }
            _ => Ok(()),
        }
    }

    fn counter(&self, counter: Counter) -> Result<(), MessageAndHint> {
        match counter {
            Counter::Published | Counter::FannedOut | Counter::ClosedSlow | Counter::RateLimited => {
                let name = counter.name();
                if self.cohort.is_some() {
                    let hint = format!("write `{name}` without the cohort");
                    Err((format!("`{name}` is counted by the chat server, which knows no cohorts"), hint))
                } else if self.scenario.target.urls.is_empty() {
                    Ok(())
                } else {
                    let hint = "leave `target` out, or remove the threshold";
                    Err((format!("`{name}` is counted by the bundled chat server only"), hint.into()))
                }
            }
            Counter::Sent | Counter::SendsDue if !self.does(is_send) => self.nobody("sends messages", "a `send`"),
            Counter::MessagesReceived if !self.receives() => self.receives_nothing(),
            Counter::Acted if !self.does(|kind| !is_send(kind)) => {
                self.nobody("reacts, types or reads", "a `react`, `typing` or `read`")
            }
            Counter::Due if !self.does(|_| true) => self.nobody("does anything", "some"),
            _ => Ok(()),
        }
    }

    fn who(&self) -> String {
        let cohort = self.cohort.and_then(|cohort| self.scenario.cohorts.get(usize::from(cohort)));
        cohort.map_or_else(|| "nobody".to_owned(), |cohort| format!("nobody in `{}`", cohort.name))
    }

    fn nobody(&self, does: &str, action: &str) -> Result<(), MessageAndHint> {
        let hint = format!("add {action} to the cohort's actions, or remove the threshold");
        Err((format!("{} {does}", self.who()), hint))
    }

    fn receives_nothing(&self) -> Result<(), MessageAndHint> {
        let hint = "nobody sends into a channel that they watch: add a `send`, or remove the threshold";
        Err((format!("{} gets messages", self.who()), hint.into()))
    }

    fn does(&self, kind: fn(&ActionKind) -> bool) -> bool {
        let mut actions = self.scenario.actions();
        actions.any(|(_, actor, action)| self.cohort.is_none_or(|cohort| cohort == actor) && kind(&action.kind))
    }

    fn receives(&self) -> bool {
        self.scenario.actions().any(|(_, _, action)| {
            let group = self.scenario.channels.get(action.channel);
            is_send(&action.kind) && group.is_some_and(|group| watches(&group.members, self.cohort))
        })
    }
}

fn is_send(kind: &ActionKind) -> bool {
    matches!(kind, ActionKind::Send { .. })
}

fn belongs_to_no_cohort(metric: Metric) -> bool {
    matches!(
        metric,
        Metric::FanoutFirst
            | Metric::FanoutMedian
            | Metric::FanoutP99
            | Metric::FanoutLast
            | Metric::CanaryConnect
            | Metric::CanarySend
            | Metric::CanaryDelivery
            | Metric::LoopDelay
    )
}

fn watches(members: &[Cohort], cohort: Option<Cohort>) -> bool {
    cohort.map_or(!members.is_empty(), |cohort| members.contains(&cohort))
}

//! Whether a scenario measures what a threshold judges: a threshold on nothing would pass for no reason.

use measure::{Cohort, Counter, Metric};

use crate::model::{ActionKind, Scenario, Subject};

type MessageAndHint = (String, String);

/// Reports why nothing would be measured.
pub(super) fn check(subject: Subject, cohort: Option<Cohort>, scenario: &Scenario) -> Result<(), MessageAndHint> {
    let who =
        cohort.and_then(|cohort| scenario.cohorts.get(usize::from(cohort))).map_or("nobody", |cohort| &cohort.name);
    let who = if cohort.is_some() { format!("nobody in `{who}`") } else { who.to_owned() };
    let nobody = |does: &str, action: &str| {
        Err((format!("{who} {does}"), format!("add {action} to the cohort's actions, or remove the threshold")))
    };
    let does = |kind: fn(&ActionKind) -> bool| acts(scenario, cohort, kind);
    match subject {
        Subject::Metric(metric) => {
            if cohort.is_some() && belongs_to_no_cohort(metric) {
                let name = metric.name();
                return Err((format!("`{name}` belongs to no cohort"), format!("write `{name}` without the cohort")));
            }
            match metric {
                Metric::ConnectTls if !scenario.target.urls.iter().any(|url| url.starts_with("wss://")) => {
                    Err(("no connection uses TLS here".into(), "it needs a `target` with a `wss://` address".into()))
                }
                Metric::Send | Metric::SendService if !does(is_send) => nobody("sends messages", "a `send`"),
                Metric::Delivery | Metric::DeliveryService if !receives(scenario, cohort) => Err((
                    format!("{who} gets messages"),
                    "nobody sends into a channel that they watch: add a `send`, or remove the threshold".into(),
                )),
                Metric::FanoutFirst | Metric::FanoutMedian | Metric::FanoutP99 | Metric::FanoutLast
                    if !does(is_send) =>
                {
                    nobody("sends messages", "a `send`")
                }
                Metric::React if !does(|kind| *kind == ActionKind::React) => nobody("reacts", "a `react`"),
                Metric::Typing if !does(|kind| *kind == ActionKind::Typing) => nobody("types", "a `typing`"),
                Metric::Read if !does(|kind| *kind == ActionKind::Read) => nobody("marks anything as read", "a `read`"),
                Metric::Watch if !scenario.channels.iter().any(|group| watches(&group.members, cohort)) => {
                    Err((format!("{who} watches a channel"), "define one under `channels`".into()))
                }
                Metric::CanaryConnect | Metric::CanarySend | Metric::CanaryDelivery
                    if scenario.probes.canaries == 0 =>
                {
                    Err(("there are no canaries".into(), "add `probes: { canaries: 10 }`".into()))
                }
                Metric::CanarySend | Metric::CanaryDelivery if scenario.probes.send_rate <= 0.0 => {
                    Err(("the canaries send nothing".into(), "add `send: 1/s` to `probes`".into()))
                }
                _ => Ok(()),
            }
        }
        Subject::Counter(counter) => match counter {
            Counter::Published | Counter::FannedOut | Counter::ClosedSlow | Counter::RateLimited => {
                let name = counter.name();
                if cohort.is_some() {
                    Err((
                        format!("`{name}` is counted by the chat server, which knows no cohorts"),
                        format!("write `{name}` without the cohort"),
                    ))
                } else if scenario.target.urls.is_empty() {
                    Ok(())
                } else {
                    Err((
                        format!("`{name}` is counted by the bundled chat server only"),
                        "leave `target` out, or remove the threshold".into(),
                    ))
                }
            }
            Counter::Sent if !does(is_send) => nobody("sends messages", "a `send`"),
            Counter::MessagesReceived if !receives(scenario, cohort) => nobody("gets messages", "a `send`"),
            Counter::Acted if !does(|kind| !is_send(kind)) => {
                nobody("reacts, types or reads", "a `react`, `typing` or `read`")
            }
            Counter::Due if !does(|_| true) => nobody("does anything", "some"),
            _ => Ok(()),
        },
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

fn acts(scenario: &Scenario, cohort: Option<Cohort>, kind: fn(&ActionKind) -> bool) -> bool {
    scenario.actions().any(|(_, actor, action)| cohort.is_none_or(|cohort| cohort == actor) && kind(&action.kind))
}

fn watches(members: &[Cohort], cohort: Option<Cohort>) -> bool {
    cohort.map_or(!members.is_empty(), |cohort| members.contains(&cohort))
}

fn receives(scenario: &Scenario, cohort: Option<Cohort>) -> bool {
    scenario.actions().any(|(_, _, action)| {
        let members = scenario.channels.get(action.channel).map(|group| group.members.as_slice());
        is_send(&action.kind) && members.is_some_and(|members| watches(members, cohort))
    })
}

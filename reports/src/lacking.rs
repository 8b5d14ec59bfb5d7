//! Whose receipts are missing in the fan-out figures, and from when on.

use measure::{Gauge, Metric};

use crate::format::{count, counted, span};
use crate::result::{FanoutInfo, Lacking, SourceInfo};
use crate::run::RunState;
use crate::source::Source;

/// What the figures lack, a sentence a source; empty when they are exact.
pub(crate) fn words(info: &FanoutInfo) -> Vec<String> {
    let mut words: Vec<String> = info
        .lacks
        .iter()
        .map(|l| {
            format!(
                "The fan-out figures lack the receipts of {} ({}): in {} the first receiver may have been earlier, and the \
                 last one later, than they say.",
                whose(l),
                l.why,
                match l.messages {
                    0 => "no message that was received after that".to_owned(),
                    n => format!("up to {}", counted(n, "message", "messages")),
                }
            )
        })
        .collect();
    if info.late > 0 {
        words.push(format!(
            "{} deliveries came so late that the fan-out figures lack them; `delivery` has them.",
            count(info.late)
        ));
    }
    words
}

/// The same in a few words, for where the number stands; `None` when they are exact or nobody says.
pub(crate) fn brief(info: &FanoutInfo) -> Option<String> {
    let whose =
        info.lacks.iter().map(whose).chain((info.late > 0).then(|| format!("{} late deliveries", count(info.late))));
    let whose: Vec<String> = whose.collect();
    (!whose.is_empty()).then(|| format!("not exact: it lacks {}", whose.join(", ")))
}

fn whose(lacking: &Lacking) -> String {
    let users = counted(lacking.users, "user", "users");
    match lacking.from_s {
        from if from > 0.0 => format!("{users} of {} from {} on", lacking.source, span(from)),
        _ => format!("some of the {users} of {}", lacking.source),
    }
}

/// What the fan-out figures of a run lack. `sources` are the report's rows, in the run's order.
pub(crate) fn lacking(run: &RunState, sources: &[SourceInfo]) -> FanoutInfo {
    let workers = run.sources.iter().zip(sources).enumerate().filter(|(_, (_, info))| info.kind == "worker");
    let lacks: Vec<Lacking> = workers
        .filter_map(|(index, (source, info))| why(source, info).map(|why| lack(run, index, source, why)))
        .collect();
    let late = run.fanout.late();
    FanoutInfo { exact: Some(lacks.is_empty() && late == 0), lacks, late }
}

fn why(source: &Source, info: &SourceInfo) -> Option<&'static str> {
    match &source.goodbye {
        None if info.lost_at_s.is_some() => Some("it was lost"),
        Some(_) if source.missing() > 0 => Some("intervals never came"),
        Some(goodbye) if goodbye.receipts_dropped > 0 => Some("it had no room for them"),
        _ => None,
    }
}

fn lack(run: &RunState, index: usize, source: &Source, why: &str) -> Lacking {
    // Of one that shipped to its end nobody knows which second it was that lacks.
    let from = if source.goodbye.is_some() { 0 } else { source.covered };
    let width = run.slots.width_s();
    let before = from.saturating_sub(1);
    let connected = run.slots.at(before).and_then(|slot| slot.level(index, Gauge::UsersConnected));
    let users = connected.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0 && from > 0);
    let slots = run.slots.iter().zip((0..).map(|n: u32| n.saturating_mul(width)));
    // What was first received in the second before may have had receivers on their way.
    let later = slots.filter(|(_, second)| second.saturating_add(width) > before).map(|(slot, _)| slot);
    Lacking {
        source: source.name().to_owned(),
        users: users.unwrap_or(source.users_planned),
        from_s: f64::from(from),
        messages: later.filter_map(|slot| slot.metric(Metric::FanoutLast)).map(|h| h.count()).sum(),
        why: why.to_owned(),
    }
}

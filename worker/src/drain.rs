//! The end of a run, exactly: what every user should have got, and what it did get.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::{sleep, timeout};
use wire::api::ChannelQuery;

use crate::load::{Load, Local};
use crate::perform::Numbered;
use crate::user::{ChannelId, Event};

/// How long calls that are on their way are waited for.
const CALM: Duration = Duration::from_secs(5);
/// What other workers have sent just before the end should be counted in.
const STRAGGLERS: Duration = Duration::from_millis(500);

/// Lets every user settle: senders are quiet, each channel's last number is asked for once, and every user waits until
/// it has everything up to there. Returns when nobody is here any more.
pub(crate) async fn drain(load: &Rc<Load>) {
    // What is on its way longer than this will not be in the last numbers, and so not expected either.
    let _ = timeout(CALM, load.calm()).await;
    let users = load.locals();
    for &local in &users {
        load.step(local, Event::Drain);
    }
    sleep(STRAGGLERS).await;
    let (last, told) = last_numbers(load, &users).await;
    for (n, &local) in users.iter().enumerate() {
        for channel in load.user(local, |u| u.channels().collect::<Vec<_>>()).unwrap_or_default() {
            if !told.contains(&channel) {
                load.step(local, Event::EndUnknown { channel });
            }
            load.step(local, Event::Last { channel, seq: last.get(&channel).copied().unwrap_or_default() });
        }
        if n % 256 == 255 {
            tokio::task::yield_now().await;
        }
    }
    load.empty().await;
}

/// Ends all visits: what is not there now is lost. Where no last number was told, it is the highest that any user of the
/// thread has seen.
pub(crate) fn give_up(load: &Rc<Load>) {
    let users = load.locals();
    let (_, highest) = asks(load, &users);
    for local in users {
        for channel in load.user(local, |u| u.unknown_ends().collect::<Vec<_>>()).unwrap_or_default() {
            let seq = highest.get(&channel).copied().unwrap_or_default();
            load.step(local, Event::Drain);
            load.step(local, Event::EndUnknown { channel });
            load.step(local, Event::Last { channel, seq });
        }
        if let Some(visit) = load.user(local, crate::user::User::visit) {
            load.step(local, Event::GiveUp { visit });
        }
    }
}

/// Each channel's last number, and the channels that the service told it of; of others, it is the highest that any user of
/// the thread has seen.
async fn last_numbers(load: &Rc<Load>, users: &[Local]) -> (HashMap<ChannelId, u64>, HashSet<ChannelId>) {
    let (asks, mut last) = asks(load, users);
    let answers: Vec<Vec<Numbered>> =
        stream::iter(asks).map(|ask| ask_for(load, ask)).buffer_unordered(load.errands_at_once).collect().await;
    let mut told = HashSet::new();
    for (channel, seq) in answers.into_iter().flatten() {
        told.insert(channel);
        let known = last.entry(channel).or_default();
        *known = seq.max(*known);
    }
    (last, told)
}

/// Who asks for which channels: each channel once, through a user who watches it, as few calls as that takes.
type Asks = Vec<(Local, Vec<Numbered>)>;

fn asks(load: &Rc<Load>, users: &[Local]) -> (Asks, HashMap<ChannelId, u64>) {
    let (mut asks, mut highest) = (Asks::new(), HashMap::new());
    let mut asked: HashSet<ChannelId> = HashSet::new();
    for &local in users {
        let here = load.user(local, |u| u.is_here().then(|| known(u))).flatten();
        for &(channel, seq) in here.iter().flatten() {
            let known = highest.entry(channel).or_default();
            *known = seq.max(*known);
        }
        let new: Vec<_> = here.into_iter().flatten().filter(|(channel, _)| asked.insert(*channel)).collect();
        if !new.is_empty() {
            asks.push((local, new));
        }
    }
    for (channel, seq) in asks.iter_mut().flat_map(|(_, channels)| channels) {
        // So the answer brings next to no events.
        *seq = highest.get(channel).copied().unwrap_or(*seq);
    }
    (asks, highest)
}

fn known(user: &crate::user::User) -> Vec<Numbered> {
    user.channels().map(|channel| (channel, user.highest(channel))).collect()
}

async fn ask_for(load: &Rc<Load>, (local, channels): (Local, Vec<Numbered>)) -> Vec<Numbered> {
    let Some((user, cohort)) = load.user(local, |u| (u.index, u.cohort)) else { return Vec::new() };
    let mut answers = match load.missed(user, &channels).await {
        Ok((_, newest)) => newest,
        Err(error) => {
            load.book.failed("sync", cohort, &error);
            Vec::new()
        }
    };
    for (channel, _) in channels {
        // A service without our `/sync`, or one that doesn't show the channel there.
        if !answers.iter().any(|(known, _)| *known == channel) {
            match load.query(user, channel, None, ChannelQuery::default()).await {
                Ok(seq) => answers.push((channel, seq)),
                Err(error) => load.book.failed("query", cohort, &error),
            }
        }
    }
    answers
}

//! A whole run of users, from joining to the last account.

use std::sync::Arc;
use std::time::Duration;

use agent::Known;
use client::Endpoint;
use measure::{Clock, Counter, Gauge, Histogram, Interval, Metric, SharedRecorder};
use scenarios::{Shard, Source};
use tokio::sync::watch;
use tokio::time::timeout;
use wire::token::TokenKey;
use worker::Start;
use worker::plan::{Plan, SharedPlan};
use worker::pool::Pool;
use worker::tokens::TokenSource;

use crate::fake::{Fake, Out};
use crate::{SOON, eventually};

pub(crate) const ROOMS: &str = "
name: rooms
seed: 5
channels:
  - {id: hall, type: livestream}
  - {id: room, count: 4, per_user: 2}
cohorts:
  - name: fans
    users: 40
    ramp: {rate: 100/s}
    actions:
      - send: {channel: hall, rate: 40/s, size: 20..60B}
      - send: {channel: room, rate: 20/s, size: 20B}
      - react: {channel: hall, rate: 5/s}
      - typing: {channel: room, rate: 5/s}
      - read: {channel: room, rate: 5/s}
hold: 2s
";

const CHURN: &str = "
name: churn
seed: 6
channels: [{id: den}]
cohorts:
  - name: guests
    users: 20
    ramp: {rate: 50/s}
    lifetime: 300ms..900ms
    rejoin: 100ms..300ms
    actions: [{send: {channel: den, rate: 60/s, size: 10B}}]
hold: 2s
";

async fn plan(fake: &Fake, yaml: &str, shard: Shard) -> SharedPlan {
    let source = Source { file_name: "t.yaml".into(), bytes: yaml.as_bytes().to_vec(), ..Source::default() };
    Arc::new(Plan {
        run: "run-1".into(),
        scenario: scenarios::parse(&source).unwrap_or_else(|e| panic!("{e}")),
        shard,
        endpoints: vec![Endpoint::parse(&fake.url()).unwrap().resolved().await.unwrap()],
        api_key: "key".into(),
        remembers: false,
        tokens: TokenSource::Signed(TokenKey::new("secret")),
        calls: 32,
        sources: Vec::new(),
        clock: Clock::System,
        taken_over: None,
    })
}

struct Running {
    pool: Pool,
    recorders: Vec<SharedRecorder>,
}

fn start(plan: &SharedPlan, threads: u32) -> Running {
    let at = plan.clock.now() + Duration::from_millis(50);
    let (at, known) = (Start { at, run_at: at }, watch::channel(Known::default()).1);
    let recorders = Pool::recorders(plan, threads, at);
    Running { pool: Pool::start(plan, at, &known, &recorders).unwrap(), recorders }
}

impl Running {
    async fn end(mut self) -> Interval {
        timeout(SOON, self.pool.finished()).await.expect("the end in time").unwrap();
        let mut all = Interval::default();
        for recorder in &self.recorders {
            all.merge(&recorder.take(Clock::System.now()));
        }
        all
    }
}

fn samples(all: &Interval, metric: Metric) -> u64 {
    all.histograms.iter().filter(|(s, _)| s.metric == metric).map(|(_, h)| h.count()).sum()
}

fn pooled(all: &Interval, metric: Metric) -> Histogram {
    let mut pooled = Histogram::new();
    all.histograms.iter().filter(|(s, _)| s.metric == metric).for_each(|(_, h)| pooled.merge(h));
    pooled
}

fn errors(all: &Interval) -> Vec<(String, u64)> {
    all.counters.iter().filter(|(k, _)| k.counter == Counter::Errors).map(|(k, n)| (k.label.clone(), *n)).collect()
}

#[tokio::test]
async fn everybody_gets_everything_and_the_books_say_so() {
    let fake = Fake::start().await;
    let plan = plan(&fake, ROOMS, Shard::WHOLE).await;
    let all = start(&plan, 2).end().await;
    assert_eq!(errors(&all), []);
    let count = |counter| all.count(counter);
    assert_eq!((count(Counter::Connected), count(Counter::ConnectFailed), count(Counter::Disconnected)), (40, 0, 0));
    for metric in [Metric::Connect, Metric::ConnectTcp, Metric::ConnectUpgrade, Metric::ConnectFirstEvent] {
        assert_eq!(samples(&all, metric), 40, "{metric}");
    }
    assert_eq!(samples(&all, Metric::Watch), 120);
    assert!(count(Counter::Sent) > 60, "{}", count(Counter::Sent));
    assert_eq!(samples(&all, Metric::Send), count(Counter::Sent));
    assert_eq!(samples(&all, Metric::SendService), count(Counter::Sent));
    assert!(count(Counter::Acted) > 10);
    assert_eq!(
        samples(&all, Metric::React) + samples(&all, Metric::Typing) + samples(&all, Metric::Read),
        count(Counter::Acted)
    );
    assert_eq!(count(Counter::Due), 40 + count(Counter::Sent) + count(Counter::Acted) + count(Counter::Dropped));
    let unsent = count(Counter::SendsDue) - count(Counter::Sent);
    assert!(unsent <= count(Counter::Dropped), "every message that was due is sent or dropped: {unsent}");
    assert_eq!(samples(&all, Metric::Lag), count(Counter::Due));
    assert!(count(Counter::Expected) > 1_000);
    assert_eq!(count(Counter::Expected), count(Counter::Delivered));
    assert_eq!((count(Counter::Lost), count(Counter::Duplicated), count(Counter::Reordered)), (0, 0, 0));
    assert_eq!(samples(&all, Metric::Delivery), count(Counter::MessagesReceived));
    assert!(count(Counter::MessagesReceived) >= count(Counter::Delivered));
    assert_eq!(all.receipts.len() as u64, count(Counter::Sent));
    assert_eq!(all.receipts.values().map(measure::Receipt::count).sum::<u64>(), samples(&all, Metric::Delivery));
    assert_eq!(count(Counter::Negative), 0);
    for gauge in [Gauge::UsersPlanned, Gauge::UsersConnected, Gauge::Watching, Gauge::InFlight] {
        assert_eq!(all.level(gauge), 0, "{gauge}");
    }
    let lag = pooled(&all, Metric::Lag);
    eprintln!("lag: p50 {} µs, p99 {} µs, max {} µs", lag.quantile(0.5), lag.quantile(0.99), lag.max());
    eventually("all connections closed", || fake.connections() == 0).await;
}

#[tokio::test]
async fn two_workers_do_the_work_of_one() {
    let fake = Fake::start().await;
    let mut parts = Vec::new();
    for index in 0..2 {
        parts.push(start(&plan(&fake, ROOMS, Shard::new(index, 2).unwrap()).await, 1));
    }
    let mut all = Interval::default();
    for part in parts {
        all.merge(&part.end().await);
    }
    assert_eq!(all.count(Counter::Connected), 40);
    assert_eq!(all.count(Counter::Expected), all.count(Counter::Delivered));
    assert_eq!(all.receipts.len() as u64, all.count(Counter::Sent));
}

#[tokio::test]
async fn who_comes_and_goes_gets_all_in_between() {
    let fake = Fake::start().await;
    let all = start(&plan(&fake, CHURN, Shard::WHOLE).await, 2).end().await;
    assert_eq!(errors(&all), []);
    assert!(all.count(Counter::Connected) > 40, "{} connections", all.count(Counter::Connected));
    assert!(all.count(Counter::Expected) > 500, "{}", all.count(Counter::Expected));
    assert_eq!((all.count(Counter::Expected), all.count(Counter::Lost)), (all.count(Counter::Delivered), 0));
    assert_eq!(
        (all.level(Gauge::UsersConnected), all.level(Gauge::Watching), all.level(Gauge::UsersPlanned)),
        (0, 0, 0)
    );
}

#[tokio::test]
async fn what_a_server_loses_and_doubles_is_counted() {
    let fake = Fake::start().await;
    (fake.faults.lock().unwrap().lose_every, fake.faults.lock().unwrap().double_every) = (50, 33);
    let running = start(&plan(&fake, ROOMS, Shard::WHOLE).await, 1);
    // Losses never come: it need not be waited for them for long.
    eventually("much was said", || fake.seq("livestream:hall") > 50).await;
    running.pool.handle().stop(Duration::from_secs(2));
    let all = running.end().await;
    let (lost, doubled) = (all.count(Counter::Lost), all.count(Counter::Duplicated));
    assert!(lost > 5 && doubled > 5, "{lost} lost, {doubled} doubled");
    assert_eq!(all.count(Counter::Expected), all.count(Counter::Delivered) + lost);
    assert_eq!(all.level(Gauge::UsersConnected), 0);
}

#[tokio::test]
async fn a_broken_connection_comes_back_and_misses_nothing() {
    let fake = Fake::start().await;
    let long = ROOMS.replace("hold: 2s", "hold: 6s");
    let running = start(&plan(&fake, &long, Shard::WHOLE).await, 2);
    eventually("everybody is connected", || fake.connections() == 40).await;
    eventually("there is something to miss", || fake.seq("livestream:hall") > 20).await;
    fake.end_all(&Out::Close(4008, "slow reader"));
    let handle = running.pool.handle();
    eventually("everybody is back", || fake.connections() == 40 && handle.progress() == (40, 40)).await;
    fake.end_all(&Out::Cut);
    let all = running.end().await;
    assert_eq!(all.count(Counter::Disconnected), 80, "{:?}", errors(&all));
    assert!(errors(&all).contains(&("closed: 4008 slow reader".into(), 40)), "{:?}", errors(&all));
    assert!(all.count(Counter::Recovered) > 0);
    assert_eq!((all.count(Counter::Expected), all.count(Counter::Lost)), (all.count(Counter::Delivered), 0));
}

#[tokio::test]
async fn refusals_and_limits_have_their_words() {
    let fake = Fake::start().await;
    fake.faults.lock().unwrap().rate_limit = true;
    let short = ROOMS.replace("hold: 2s", "hold: 1s");
    let all = start(&plan(&fake, &short, Shard::WHOLE).await, 1).end().await;
    let limited = errors(&all).iter().find(|(label, _)| label == "send: 429 rate limited").map(|(_, n)| *n);
    assert_eq!(limited, Some(all.count(Counter::CallFailed)));
    assert_eq!((all.count(Counter::Sent), samples(&all, Metric::Send)), (0, 0));
    fake.faults.lock().unwrap().reject = true;
    let all = start(&plan(&fake, &short, Shard::WHOLE).await, 1).end().await;
    assert_eq!(errors(&all), [("connect: refused (code 5)".to_owned(), 40)], "and nobody tries again");
    assert_eq!(all.count(Counter::Dropped) + 40, all.count(Counter::Due));
}

#[tokio::test]
async fn who_is_due_back_before_it_has_settled_comes_back_late_but_comes() {
    let fake = Fake::start().await;
    // Whoever misses something waits for it for longer than it was going to stay away.
    fake.faults.lock().unwrap().lose_every = 10;
    let running = start(&plan(&fake, CHURN, Shard::WHOLE).await, 1);
    eventually("much was said", || fake.seq("messaging:den") > 20).await;
    running.pool.handle().stop(Duration::from_secs(2));
    let all = running.end().await;
    assert!(all.count(Counter::Lost) > 0);
    assert_eq!(all.count(Counter::Expected), all.count(Counter::Delivered) + all.count(Counter::Lost));
    for gauge in [Gauge::UsersPlanned, Gauge::UsersConnected, Gauge::Watching] {
        assert_eq!(all.level(gauge), 0, "{gauge}");
    }
}

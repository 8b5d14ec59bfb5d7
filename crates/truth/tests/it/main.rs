//! The test target over real sockets, by a client that knows no more than bytes.
#![allow(clippy::unwrap_used, reason = "a test that can't go on ends here")]

mod raw;

use std::time::Duration;

use measure::{Clock, MessageKey};
use serde_json::{Value, json};
use truth::{Config, Delay, OneIn, StallSpec, quantile};

use raw::{Socket, Target};

const MS: Duration = Duration::from_millis(1);
const CID: &str = "messaging:den";

fn config() -> Config {
    let mut config = Config::new("127.0.0.1:0".parse().unwrap());
    config.seed = 11;
    config
}

async fn say(target: &Target, number: u64) -> u16 {
    let stamp = json!({"action": 0, "number": number, "due": Clock::System.now().as_nanos(), "sent": 0});
    let message = json!({"id": format!("m-{number}"), "text": "hi", "throng": stamp});
    target.post("/channels/messaging/den/message", &json!({"message": message})).await.0
}

async fn watch(target: &Target, user: &str) -> Socket {
    let socket = target.connect(user).await;
    let path = format!("/channels/messaging/den/query?connection_id={}", socket.id);
    let (status, answer) = target.post(&path, &json!({"watch": true})).await;
    assert_eq!((status, &answer["channel"]["cid"]), (200, &json!(CID)), "{answer}");
    socket
}

#[tokio::test]
async fn deliveries_come_after_their_delay_and_in_order() {
    let mut config = config();
    config.delay = Delay::Bimodal { low: 5 * MS, high: 60 * MS, share: 0.3 };
    let target = Target::start(config).await;
    let mut sockets = [watch(&target, "ann").await, watch(&target, "ben").await];
    for number in 0..30 {
        assert_eq!(say(&target, number).await, 201);
    }
    for socket in &mut sockets {
        let seqs = socket.seqs(30).await;
        assert_eq!(seqs, (1..=30).collect::<Vec<_>>());
    }
    let truth = target.ledger.truth();
    assert_eq!((truth.counts.deliveries, truth.counts.written, truth.pooled().len()), (60, 60, 60));
    assert!(truth.since_came.iter().all(|micros| *micros >= 5_000), "{:?}", truth.since_came);
    assert_eq!(truth.since_due[&MessageKey::new(0, 7)].len(), 2);
    let late = quantile(&truth.pooled(), 0.99).unwrap();
    assert!(late >= 60_000, "some wait long: {late}");
    let told = target.get("/truth").await.1;
    assert_eq!((&told["delivery"]["count"], &told["delivery"]["p99_us"]), (&json!(60), &json!(late)), "{told}");
    assert_eq!((&told["fanout_last"]["count"], &told["counts"]["messages"]), (&json!(30), &json!(30)), "{told}");
}

#[tokio::test]
async fn what_goes_wrong_is_what_receivers_see() {
    let mut config = config();
    (config.drop, config.duplicate, config.swap) = (OneIn::new(10), OneIn::new(15), OneIn::new(12));
    let target = Target::start(config).await;
    let mut sockets = [watch(&target, "ann").await, watch(&target, "ben").await, watch(&target, "cid").await];
    for number in 0..200 {
        say(&target, number).await;
    }
    raw::eventually("all is done", || {
        let counts = target.ledger.truth().counts;
        counts.written + counts.dropped == counts.deliveries
    })
    .await;
    let counts = target.ledger.truth().counts;
    assert_eq!((counts.deliveries, counts.dropped, counts.undeliverable), (600, 60, 0));
    assert!(counts.duplicated > 20 && counts.swapped > 20, "{counts:?}");
    let (mut lost, mut again, mut swapped) = (0, 0, 0);
    for (socket, share) in sockets.iter_mut().zip([0, 1, 2]) {
        let seqs = socket.seqs_until_silent().await;
        let mut seen = std::collections::BTreeSet::new();
        for seq in &seqs {
            let newest = seen.last().copied().unwrap_or(0);
            match seen.insert(*seq) {
                false => again += 1,
                true => swapped += u64::from(*seq < newest),
            }
        }
        assert!(seqs.len() > 150, "{share}: {seqs:?}");
        lost += 200 - seen.len() as u64;
    }
    assert_eq!((lost, again, swapped), (counts.dropped, counts.duplicated, counts.swapped));
}

#[tokio::test]
async fn it_stands_still_once() {
    let mut config = config();
    config.stall = Some(StallSpec { lasts: 300 * MS, after: 100 * MS });
    let target = Target::start(config).await;
    let mut socket = watch(&target, "ann").await;
    let (clock, mut took) = (Clock::System, Vec::new());
    let start = clock.now();
    for number in 0.. {
        let asked = clock.now();
        say(&target, number).await;
        took.push(clock.now().since(asked));
        if clock.now().since(start) > 600 * MS {
            break;
        }
    }
    assert_eq!(took.iter().filter(|t| **t > 200 * MS).count(), 1, "{took:?}");
    assert_eq!(socket.seqs(took.len()).await.len(), took.len());
}

#[tokio::test]
async fn repeats_are_the_same_message_and_who_stops_watching_gets_no_more() {
    let target = Target::start(config()).await;
    let (mut stays, mut goes) = (watch(&target, "ann").await, watch(&target, "ben").await);
    say(&target, 1).await;
    say(&target, 1).await;
    assert_eq!(goes.seqs(1).await, [1]);
    let path = format!("/channels/messaging/den/stop-watching?connection_id={}", goes.id);
    assert_eq!(target.post(&path, &json!({})).await.1["seq"], 1);
    say(&target, 2).await;
    assert_eq!(stays.seqs(2).await, [1, 2]);
    assert_eq!(goes.seqs_until_silent().await, [] as [u64; 0]);
    let (_, synced) = target.post("/sync", &json!({"channel_cids": [CID]})).await;
    assert_eq!(synced["seq"][CID], 2, "{synced}");
    let truth = target.ledger.truth();
    assert_eq!((truth.counts.messages, truth.counts.repeated, truth.counts.written), (2, 1, 3));
    assert_eq!(truth.heard.iter().map(|h| h.id.as_str()).collect::<Vec<_>>(), ["m-1", "m-2"]);
    assert!(truth.heard.iter().all(|h| h.user == "tester"), "{:?}", truth.heard);
    assert_eq!(truth.users.iter().map(String::as_str).collect::<Vec<_>>(), ["ann", "ben"]);
}

#[tokio::test]
async fn who_does_not_belong_here_is_told_so() {
    let target = Target::start(config()).await;
    let nobody = target.post("/channels/messaging/den/query?connection_id=c-77", &json!({"watch": true})).await;
    assert_eq!((nobody.0, &nobody.1["code"]), (400, &json!(46)));
    assert_eq!(target.post("/channels/messaging/den/message", &Value::Null).await.0, 400);
    assert_eq!(target.get("/nothing").await.0, 404);
    assert_eq!(target.get("/connect").await.0, 400);
    assert_eq!(target.get("/app").await.0, 200);
}

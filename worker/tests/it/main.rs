//! The worker's users against a fake chat server, and the worker against a fake control plane.
#![allow(clippy::unwrap_used, reason = "a test that can't go on ends here")]

mod control;
#[path = "../../../crates/client/tests/it/fake.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of the client")]
mod fake;
mod users;

use std::time::Duration;

/// Longer than anything takes here.
const SOON: Duration = Duration::from_secs(20);

/// Waits for a condition.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

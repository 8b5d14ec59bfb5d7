//! The report of a run that goes on: the same renderer, every few seconds.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::store::Store;

/// How often a page is rendered, at most.
const EVERY: Duration = Duration::from_secs(3);

/// Rendering is followed by a pause so many times as long, so that it never takes more than a tenth of a core from
/// what is being measured.
const PAUSE_FACTOR: u32 = 9;

/// Renders the pages of all open runs again and again; never ends.
pub(crate) async fn keep(store: &Store) {
    let mut shown: Vec<(Arc<crate::cell::RunCell>, u64)> = Vec::new();
    let mut pause = EVERY;
    loop {
        sleep(pause).await;
        let begun = Instant::now();
        let open = store.open_runs();
        shown.retain(|(cell, _)| open.iter().any(|o| Arc::ptr_eq(o, cell)));
        for cell in open {
            let (news, known) = (cell.news(), shown.iter_mut().find(|(c, _)| Arc::ptr_eq(c, &cell)));
            match known {
                Some((_, before)) if *before == news => continue,
                Some((_, before)) => *before = news,
                None if news == 0 => continue,
                None => shown.push((cell.clone(), news)),
            }
            if let Err(e) = cell.show().await {
                tracing::warn!("the page of a run that goes on could not be renewed: {e}");
            }
        }
        pause = EVERY.max(begun.elapsed() * PAUSE_FACTOR);
    }
}

//! Reading what has left memory. Reads see what has been committed; they don't wait for the writer.

use std::ops::Range;
use std::sync::Arc;

use redb::{Database, ReadableDatabase as _};
use wire::ApiError;
use wire::event::Message;

use crate::failure;
use crate::record::{KeptMessage, KeptPlace, Table, key};

/// Reads from the data directory, on threads that may block.
#[derive(Clone)]
pub(crate) struct Reader(pub(super) Arc<Database>);

/// Which messages.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) cid: String,
    pub(crate) places: Range<u64>,
    /// Start at the newest.
    pub(crate) newest_first: bool,
    pub(crate) limit: usize,
    /// Answers to this message; `None`: what is no answer.
    pub(crate) parent: Option<String>,
}

impl Reader {
    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let database = self.0.clone();
        let read = tokio::task::spawn_blocking(move || read(&database)).await;
        read.map_err(anyhow::Error::from).flatten().map_err(|error| {
            tracing::error!("can't read the data directory: {error:#}");
            failure::internal("the data directory can't be read")
        })
    }

    /// Where a message is.
    pub(crate) async fn place(&self, id: &str) -> Result<Option<KeptPlace>, ApiError> {
        let id = id.as_bytes().to_vec();
        self.blocking(move |database| {
            let table = database.begin_read()?.open_table(Table::Places.definition())?;
            let value = table.get(id.as_slice())?;
            Ok(value.map(|value| serde_json::from_slice(value.value())).transpose()?)
        })
        .await
    }

    /// The message at a place.
    pub(crate) async fn message(&self, at: &KeptPlace) -> Result<Option<Message>, ApiError> {
        let key = key(&at.cid, &at.place.to_be_bytes());
        self.blocking(move |database| {
            let table = database.begin_read()?.open_table(Table::Messages.definition())?;
            let value = table.get(key.as_slice())?;
            let kept = value.map(|value| serde_json::from_slice::<KeptMessage>(value.value())).transpose()?;
            Ok(kept.map(|kept| kept.message))
        })
        .await
    }

    /// Messages, oldest first.
    pub(crate) async fn messages(&self, wanted: Wanted) -> Result<Vec<Message>, ApiError> {
        self.blocking(move |database| {
            let table = database.begin_read()?.open_table(Table::Messages.definition())?;
            let bound = |place: u64| key(&wanted.cid, &place.to_be_bytes());
            if wanted.places.is_empty() {
                return Ok(Vec::new());
            }
            let (from, to) = (bound(wanted.places.start), bound(wanted.places.end));
            let mut rows = table.range(from.as_slice()..to.as_slice())?;
            let mut messages: Vec<Message> = Vec::new();
            while messages.len() < wanted.limit {
                let row = if wanted.newest_first { rows.next_back() } else { rows.next() };
                let Some(row) = row else { break };
                let kept: KeptMessage = serde_json::from_slice(row?.1.value())?;
                if kept.message.parent_id == wanted.parent {
                    messages.push(kept.message);
                }
            }
            if wanted.newest_first {
                messages.reverse();
            }
            Ok(messages)
        })
        .await
    }
}

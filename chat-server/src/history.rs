//! Messages wherever they are: the newest in memory, older ones in the data directory, if there is one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wire::ApiError;
use wire::api::Page;
use wire::event::Message;
use wire::limits;

use crate::app::App;
use crate::cell::Cell;
use crate::channel::Span;
use crate::failure;
use crate::store::Wanted;

impl App {
    /// A message that is in the data directory, whether it is in memory too or not.
    pub(crate) async fn stored_message(&self, id: &str) -> Result<Option<Message>, ApiError> {
        let Some(store) = &self.store else { return Ok(None) };
        let Some(place) = store.reader().place(id).await? else { return Ok(None) };
        store.reader().message(&place).await
    }

    /// A message has left memory.
    pub(crate) fn forget(&self, id: &str) {
        self.has_forgotten.store(true, Ordering::Relaxed);
        self.messages.remove(id);
    }

    /// A message that has left memory; costs nothing as long as none has.
    pub(crate) async fn forgotten(&self, id: &str) -> Result<Option<Message>, ApiError> {
        if self.has_forgotten.load(Ordering::Relaxed) { self.stored_message(id).await } else { Ok(None) }
    }

    /// A message as it stands.
    pub(crate) async fn message(&self, id: &str) -> Result<Message, ApiError> {
        let in_memory = self.messages.get(id).and_then(|cell| cell.lock().channel.message(id).ok().cloned());
        match in_memory {
            Some(message) => Ok(message),
            None => self.stored_message(id).await?.ok_or_else(|| failure::not_found(format!("message {id:?}"))),
        }
    }

    /// The channel of a message that can be changed: one in memory.
    pub(crate) async fn channel_of(&self, id: &str) -> Result<Arc<Cell>, ApiError> {
        match self.messages.get(id) {
            Some(cell) => Ok(cell),
            None if self.forgotten(id).await?.is_some() => Err(failure::not_allowed(format!(
                "message {id:?} is too old to be changed: the channel has had {} newer ones",
                self.config.window_messages
            ))),
            None => Err(failure::not_found(format!("message {id:?}"))),
        }
    }

    /// A page of a channel's messages, oldest first; answers to messages are not among them, unless `parent` asks for
    /// the answers to one message. A page that names a message which isn't there is empty.
    pub(crate) async fn page(
        &self,
        cell: &Arc<Cell>,
        page: &Page,
        parent: Option<&str>,
    ) -> Result<Vec<Message>, ApiError> {
        let limit = page.limit.unwrap_or(limits::PAGE_DEFAULT).min(limits::PAGE);
        let mut span = Span { from: None, to: u64::MAX, limit };
        for (id, set) in [
            (&page.id_gt, (|span, place| span.from = Some(place + 1)) as fn(&mut Span, u64)),
            (&page.id_gte, |span, place| span.from = Some(place)),
            (&page.id_lt, |span, place| span.to = place),
            (&page.id_lte, |span, place| span.to = place + 1),
        ] {
            let Some(id) = id else { continue };
            match self.place(cell, id).await? {
                Some(place) => set(&mut span, place),
                None => return Ok(Vec::new()),
            }
        }
        let (newer, oldest, cid) = {
            let state = cell.lock();
            (state.channel.page(&span, parent), state.channel.window.oldest(), state.channel.cid.clone())
        };
        let older = span.from.unwrap_or(0)..oldest.min(span.to);
        let Some(store) = self.store.as_ref().filter(|_| !older.is_empty()) else { return Ok(newer) };
        let newest_first = span.from.is_none();
        let limit = if newest_first { limit - newer.len() } else { limit };
        let wanted = Wanted { cid, places: older, newest_first, limit, parent: parent.map(str::to_owned) };
        let mut messages = store.reader().messages(wanted).await?;
        messages.extend(newer);
        messages.truncate(span.limit);
        Ok(messages)
    }

    /// A message's place in its channel.
    pub(crate) async fn place(&self, cell: &Arc<Cell>, id: &str) -> Result<Option<u64>, ApiError> {
        let (place, cid) = {
            let state = cell.lock();
            (state.channel.window.place(id), state.channel.cid.clone())
        };
        match (&self.store, place) {
            (Some(store), None) => {
                Ok(store.reader().place(id).await?.filter(|kept| kept.cid == cid).map(|kept| kept.place))
            }
            _ => Ok(place),
        }
    }
}

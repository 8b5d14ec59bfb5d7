//! Filling the memory from the data directory at the start.

use anyhow::{Context as _, anyhow};
use redb::{ReadTransaction, ReadableDatabase as _, ReadableTable as _};
use serde::de::DeserializeOwned;
use wire::api;
use wire::event::User;
use wire::frame::{Opcode, server_frame};

use super::Store;
use crate::app::App;
use crate::channel::{Channel, Entry, Read};
use crate::record::{KeptMessage, Table, key};
use crate::time::Date;

/// Loads users, and channels with as many of their newest messages and events as memory may hold.
///
/// # Errors
/// When the database can't be read, or holds what this version doesn't understand.
pub(crate) fn load(app: &App, store: &Store) -> anyhow::Result<()> {
    let transaction = store.database.begin_read()?;
    for row in transaction.open_table(Table::Users.definition())?.iter()? {
        let user: User = parse(row?.1.value(), "a user")?;
        let mut details = user.custom;
        details.insert("name".to_owned(), user.name.into());
        app.users.upsert(&user.id, &details)?;
    }
    for row in transaction.open_table(Table::Channels.definition())?.iter()? {
        let stored: api::Channel = parse(row?.1.value(), "a channel")?;
        let cid = stored.cid.clone();
        let channel = load_channel(&transaction, app, stored).with_context(|| format!("channel {cid}"))?;
        if channel.window.oldest() > 0 {
            app.has_forgotten.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        let ids: Vec<String> = channel.window.oldest_first().map(|entry| entry.message.id.clone()).collect();
        let cell = app.cell(channel);
        for id in ids {
            app.messages.insert(id, cell.clone());
        }
        app.channels.insert(cid, cell);
    }
    Ok(())
}

fn load_channel(transaction: &ReadTransaction, app: &App, stored: api::Channel) -> anyhow::Result<Channel> {
    let created = Date { micros: 0, text: stored.created_at };
    let mut channel = Channel::new(&stored.kind, &stored.id, stored.created_by, &created, app.bounds());
    channel.custom = stored.custom;
    channel.recorded = true;
    let cid = channel.cid.clone();
    each(transaction, Table::Members, &cid, usize::MAX, |_, value| {
        let member: api::Member = parse(value, "a member")?;
        channel.members.insert(member.user_id.clone(), member);
        Ok(())
    })?;
    each(transaction, Table::Reads, &cid, usize::MAX, |_, value| {
        let read: Read = parse(value, "a read state")?;
        channel.reads.insert(read.user.id.clone(), read);
        Ok(())
    })?;
    let mut started = false;
    each(transaction, Table::Messages, &cid, app.config.window_messages, |place, value| {
        let KeptMessage { message, reactions } = parse(value, "a message")?;
        if !std::mem::replace(&mut started, true) {
            channel.window.start_at(number(place)?);
        }
        channel.last_message_at = Some(message.created_at.clone());
        channel.window.push(Entry { message, reactions });
        Ok(())
    })?;
    started = false;
    each(transaction, Table::Events, &cid, app.config.log_events, |seq, value| {
        let (at, payload) = value.split_first_chunk::<8>().ok_or_else(|| anyhow!("an event is cut"))?;
        if !std::mem::replace(&mut started, true) {
            channel.log.start_at(number(seq)?);
        }
        channel.newest = i64::from_be_bytes(*at);
        channel.log.push(channel.newest, server_frame(Opcode::Text, payload));
        Ok(())
    })?;
    Ok(channel)
}

/// Calls `row` with the last `most` rows of a channel, in order: the key's rest, and the value.
fn each(
    transaction: &ReadTransaction,
    table: Table,
    cid: &str,
    most: usize,
    mut row: impl FnMut(&[u8], &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (from, to) = (key(cid, &[]), key(cid, &[0xff; 9]));
    let table = transaction.open_table(table.definition())?;
    let skip = match most {
        usize::MAX => 0,
        most => table.range(from.as_slice()..to.as_slice())?.count().saturating_sub(most),
    };
    for entry in table.range(from.as_slice()..to.as_slice())?.skip(skip) {
        let (key, value) = entry?;
        row(&key.value()[from.len()..], value.value())?;
    }
    Ok(())
}

fn number(key: &[u8]) -> anyhow::Result<u64> {
    key.try_into().map(u64::from_be_bytes).map_err(|_| anyhow!("a key's number has {} bytes, not 8", key.len()))
}

fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> anyhow::Result<T> {
    serde_json::from_slice(bytes).with_context(|| format!("{what} in the data directory is not readable"))
}

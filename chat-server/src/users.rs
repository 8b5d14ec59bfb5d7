//! Users of the app, and how many connections each has.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};
use wire::event::User;
use wire::{ApiError, limits};

use crate::failure;
use crate::sharded::{Sharded, lock};

/// One user.
#[derive(Debug)]
pub(crate) struct UserCell {
    pub(crate) id: Arc<str>,
    profile: Mutex<Profile>,
    connections: AtomicU32,
}

#[derive(Debug, Default)]
struct Profile {
    name: String,
    custom: Map<String, Value>,
}

impl UserCell {
    /// The user as events and answers show it.
    pub(crate) fn show(&self) -> User {
        let profile = lock(&self.profile);
        User {
            id: self.id.to_string(),
            name: profile.name.clone(),
            online: self.connections.load(Ordering::Relaxed) > 0,
            custom: profile.custom.clone(),
        }
    }

    /// A connection of the user came.
    pub(crate) fn came(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection of the user went.
    pub(crate) fn went(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All users that were ever seen.
#[derive(Debug)]
pub(crate) struct Users {
    cells: Sharded<Arc<str>, Arc<UserCell>>,
}

impl Users {
    pub(crate) fn new() -> Self {
        Self { cells: Sharded::new() }
    }

    /// A user; who was never seen is created from the id alone.
    pub(crate) fn get_or_create(&self, id: &str) -> Arc<UserCell> {
        if let Some(cell) = self.cells.get(id) {
            return cell;
        }
        let id: Arc<str> = id.into();
        let make = || Arc::new(UserCell { id: id.clone(), profile: Mutex::default(), connections: AtomicU32::new(0) });
        self.cells.get_or_insert_with(id.clone(), make).0
    }

    /// A user that was seen before.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<UserCell>> {
        self.cells.get(id)
    }

    /// Creates or changes a user: fields that `details` has replace the old ones. `true` if that changed anything.
    ///
    /// # Errors
    /// When the user would be too large with them; then nothing changes.
    pub(crate) fn upsert(&self, id: &str, details: &Map<String, Value>) -> Result<(Arc<UserCell>, bool), ApiError> {
        let cell = self.get_or_create(id);
        let mut profile = lock(&cell.profile);
        let mut changed = false;
        let is_new = |(key, value): (&String, &Value)| profile.custom.get(key) != Some(value);
        if details.iter().any(is_new) {
            let mut merged = profile.custom.clone();
            merged.extend(details.clone());
            let bytes = serde_json::to_vec(&merged).map_or(0, |json| json.len());
            if bytes > limits::CUSTOM_DATA {
                return Err(failure::too_large("the user's data", limits::CUSTOM_DATA));
            }
        }
        for (key, value) in details {
            match (key.as_str(), value) {
                // These are the server's to say.
                ("id" | "online" | "role" | "created_at" | "updated_at" | "last_active", _) => {}
                ("name", Value::String(name)) => {
                    changed |= profile.name != *name;
                    profile.name.clone_from(name);
                }
                _ => changed |= profile.custom.insert(key.clone(), value.clone()).as_ref() != Some(value),
            }
        }
        drop(profile);
        Ok((cell, changed))
    }

    /// Users that `pick` wants.
    pub(crate) fn collect(&self, pick: impl FnMut(&Arc<UserCell>) -> bool) -> Vec<Arc<UserCell>> {
        self.cells.collect(pick)
    }

    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }
}

//! Users of the app, and how many connections each has.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};
use smallvec::SmallVec;
use wire::event::User;
use wire::{ApiError, limits};

use crate::sharded::{Sharded, lock};
use crate::{custom, failure};

/// Fields that are the server's to say.
const RESERVED: [&str; 6] = ["id", "online", "role", "created_at", "updated_at", "last_active"];

/// One user.
#[derive(Debug)]
pub(crate) struct UserCell {
    pub(crate) id: Arc<str>,
    /// Unique in this process.
    pub(crate) number: u32,
    profile: Mutex<Profile>,
    connections: AtomicU32,
    /// Whether somebody asks for his presence.
    is_observed: AtomicBool,
    /// On an edge: whether the origin has said that it knows him as he is.
    is_admitted: AtomicBool,
}

#[derive(Debug, Default)]
struct Profile {
    /// Numbers of his connections.
    connections: SmallVec<[u64; 1]>,
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
            online: self.is_online(),
            custom: profile.custom.clone(),
        }
    }

    /// A connection of the user came.
    pub(crate) fn came(&self, connection: u64) {
        let mut profile = lock(&self.profile);
        profile.connections.push(connection);
        self.connections.store(profile.connections.len() as u32, Ordering::SeqCst);
    }

    /// A connection of the user went.
    pub(crate) fn went(&self, connection: u64) {
        let mut profile = lock(&self.profile);
        profile.connections.retain(|other| *other != connection);
        self.connections.store(profile.connections.len() as u32, Ordering::SeqCst);
    }

    /// Whether he has a connection here.
    pub(crate) fn is_online(&self) -> bool {
        self.connections.load(Ordering::SeqCst) > 0
    }

    /// Numbers of his connections here.
    pub(crate) fn connections(&self) -> SmallVec<[u64; 1]> {
        lock(&self.profile).connections.clone()
    }

    /// Whether somebody asks for his presence.
    pub(crate) fn is_observed(&self) -> bool {
        self.is_observed.load(Ordering::SeqCst)
    }

    pub(crate) fn set_observed(&self, observed: bool) {
        self.is_observed.store(observed, Ordering::SeqCst);
    }

    /// Whether the origin knows him as he is here.
    pub(crate) fn is_admitted(&self) -> bool {
        self.is_admitted.load(Ordering::Relaxed)
    }

    pub(crate) fn set_admitted(&self, admitted: bool) {
        self.is_admitted.store(admitted, Ordering::Relaxed);
    }
}

/// All users that were ever seen.
#[derive(Debug)]
pub(crate) struct Users {
    cells: Sharded<Arc<str>, Arc<UserCell>>,
    next: AtomicU32,
}

impl Users {
    pub(crate) fn new() -> Self {
        Self { cells: Sharded::new(), next: AtomicU32::new(0) }
    }

    /// A user, and whether this call has created it, from the id alone.
    pub(crate) fn get_or_create(&self, id: &str) -> (Arc<UserCell>, bool) {
        if let Some(cell) = self.cells.get(id) {
            return (cell, false);
        }
        let id: Arc<str> = id.into();
        let make = || {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            Arc::new(UserCell {
                id: id.clone(),
                number,
                profile: Mutex::default(),
                connections: AtomicU32::new(0),
                is_observed: AtomicBool::new(false),
                is_admitted: AtomicBool::new(false),
            })
        };
        self.cells.get_or_insert_with(id.clone(), make)
    }

    /// A user that was seen before.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<UserCell>> {
        self.cells.get(id)
    }

    /// Creates or changes a user: fields that `details` has replace the old ones. `true` if that changed anything.
    ///
    /// # Errors
    /// When the name is no text, or the user would be too large with them; then nothing changes.
    pub(crate) fn upsert(&self, id: &str, details: &Map<String, Value>) -> Result<(Arc<UserCell>, bool), ApiError> {
        let mut fields = details.clone();
        for reserved in RESERVED {
            fields.remove(reserved);
        }
        let name = match fields.remove("name") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) if name.len() <= limits::NAME => Some(name),
            Some(_) => {
                return Err(failure::input(format!("a user's name is a text of at most {} bytes", limits::NAME)));
            }
        };
        let (cell, created) = self.get_or_create(id);
        let mut profile = lock(&cell.profile);
        let mut changed = created;
        if fields.iter().any(|(key, value)| profile.custom.get(key) != Some(value)) {
            let mut merged = profile.custom.clone();
            merged.extend(fields);
            custom::check("the user", &merged)?;
            profile.custom = merged;
            changed = true;
        }
        if let Some(name) = name.filter(|name| *name != profile.name) {
            profile.name = name;
            changed = true;
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

//! Users on their way to the origin: in numbered batches, kept until it has said that it has them.

use std::collections::VecDeque;
use std::sync::Arc;

use proto::link::Admitted;

use super::admission;
use crate::users::UserCell;

/// Users in one batch.
const BATCH: usize = 500;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Batches {
    unsure: VecDeque<(u64, Vec<Arc<UserCell>>)>,
    number: u64,
}

impl Batches {
    /// Takes users in; answers what must be said.
    pub(super) fn add(&mut self, users: Vec<Arc<UserCell>>) -> Vec<Admitted> {
        let mut said = Vec::new();
        let mut users = users.into_iter().peekable();
        while users.peek().is_some() {
            self.number += 1;
            let batch: Vec<Arc<UserCell>> = users.by_ref().take(BATCH).collect();
            said.push(say(self.number, &batch));
            self.unsure.push_back((self.number, batch));
        }
        said
    }

    /// What must be said again over a new link.
    pub(super) fn again(&self) -> Vec<Admitted> {
        self.unsure.iter().map(|(number, batch)| say(*number, batch)).collect()
    }

    /// Whether the origin has all.
    pub(super) fn is_empty(&self) -> bool {
        self.unsure.is_empty()
    }

    /// The origin has a batch.
    pub(super) fn acknowledged(&mut self, number: u64) {
        if let Some(place) = self.unsure.iter().position(|(unsure, _)| *unsure == number) {
            let (_, users) = self.unsure.remove(place).unwrap_or_default();
            users.iter().for_each(|user| user.set_admitted(true));
        }
    }
}

fn say(number: u64, batch: &[Arc<UserCell>]) -> Admitted {
    Admitted { number, users: batch.iter().map(|user| admission(user)).collect() }
}

//! What people are shown.

use proto::control::Hello;

use super::Director;
use crate::fleet::Agent;
use crate::record;
use crate::view::{AgentView, RunView};

impl Director {
    /// Whoever watches hears something every second.
    pub(super) fn mark_alive_changed(&mut self) {
        let watched = self.records.iter().filter(|(_, r)| !r.watchers.is_empty());
        self.changed.extend(watched.map(|(id, _)| id.clone()));
    }

    pub(super) fn update_watchers(&mut self) {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        for id in changed {
            if self.records.get(&id).is_none_or(|r| r.watchers.is_empty()) {
                continue;
            }
            let Some(view) = self.run_view(&id) else { continue };
            if let Some(record) = self.records.get_mut(&id) {
                record.update(&view);
            }
        }
    }

    pub(super) fn run_view(&self, id: &str) -> Option<RunView> {
        let (run, record) = (self.core.run(id)?, self.records.get(id)?);
        Some(record.view(id, run, self.core.fleet(), self.clock.now()))
    }

    /// Newest first.
    pub(super) fn run_views(&self) -> Vec<RunView> {
        let ours = self.core.runs().rev().filter_map(|(id, _)| self.run_view(id));
        ours.chain(self.earlier.iter().rev().cloned()).collect()
    }

    pub(super) fn fleet_view(&self) -> Vec<AgentView> {
        let now = self.clock.now();
        let view = |(name, agent): (&String, &Agent)| AgentView {
            id: name.clone(),
            kind: record::kind_word(agent.kind).to_owned(),
            state: match (&agent.connection, &agent.run) {
                (None, _) => "cut off",
                (Some(_), _) if agent.draining => "draining",
                (Some(_), Some(_)) => "busy",
                (Some(_), None) => "idle",
            },
            run: agent.run.clone().unwrap_or_default(),
            capacity: agent.hello.capacity,
            host: agent.hello.host.clone(),
            cores: agent.hello.cores,
            memory_bytes: agent.hello.memory_bytes,
            open_files: agent.hello.open_files,
            version: agent.hello.version.clone(),
            silent_s: now.since(agent.heard).as_secs_f64(),
            // Who knew an agent's secret could take its place.
            hello: Hello { instance: None, ..agent.hello.clone() },
        };
        self.core.fleet().agents().iter().map(view).collect()
    }
}

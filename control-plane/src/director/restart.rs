//! What of runs is kept, and how the next life takes them up.

use super::Director;
use crate::core::Input;
use crate::record::Record;
use crate::run::{Event, Happening, RunState, kind};
use crate::store::{Kept, Unfinished};

impl Director {
    /// Keeps what has changed of the runs that aren't over, before anybody is told.
    pub(super) fn keep_runs(&mut self) {
        if !self.store.keeps() {
            return;
        }
        for (id, run) in self.core.runs() {
            let (Some(saved), Some(record)) = (run.saved(), self.records.get_mut(id)) else { continue };
            if record.saved.as_ref() == Some(&saved) {
                continue;
            }
            // Who has finished says so again; where the run stands must not be forgotten.
            let sync = record.saved.as_ref().is_none_or(|before| !before.is_at(&saved));
            let kept = Kept { clock_id: self.clock_id.clone(), dir: record.dir.clone(), run: saved.clone() };
            self.store.kept(id, kept, sync);
            record.saved = Some(saved);
        }
    }

    /// Takes up the runs that an earlier life did not end, in the order of their submission.
    pub(super) fn take_up(&mut self, unfinished: Vec<Unfinished>) {
        let now = self.clock.now();
        for Unfinished { view, kept, request } in unfinished {
            let happening = |event: &crate::view::EventView| Happening {
                at: kept.run.instant(event.at_s),
                kind: kind::known(&event.kind),
                text: event.text.clone(),
            };
            let happenings = view.events.iter().map(happening).collect();
            let saved = Some(kept.run.clone());
            let record = Record { submitted: view.submitted, dir: kept.dir, saved, ..Record::new(request) };
            self.core.restore(now, &view.id, kept.run, happenings);
            self.records.insert(view.id, record);
        }
    }

    /// Sets going what was taken up.
    pub(super) fn resume(&mut self) {
        let ids: Vec<String> = self.records.keys().cloned().collect();
        for id in ids {
            let Some(run) = self.core.run(&id) else { continue };
            tracing::info!(run = id, "taken up from an earlier life of the control plane");
            if run.state() != RunState::Queued {
                let told = run.happenings().len();
                self.send_courier(&id, told);
            }
            self.step(Input::Run(id, Event::Resumed));
        }
    }
}

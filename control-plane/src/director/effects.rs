//! What the director does with what the core wants done.

use std::time::Duration;

use proto::control::{AgentOrder, Heartbeat, Rejected, Welcome, agent_order};
use tokio::sync::mpsc;

use super::Director;
use crate::core::{Input, Output};
use crate::courier::{Errand, News};
use crate::fleet::Connection;
use crate::record;
use crate::run::{AgentEvent, Closing, Happening, Run, RunState};

/// Rendering needs so much of the time that the data plane has for closing a run.
const RENDER: Duration = Duration::from_secs(2);
/// Sources get so long for their goodbyes when somebody waits at a terminal.
const GOODBYE_INTERRUPTED: Duration = Duration::from_secs(1);

impl Director {
    /// Lets the core take a step, and does what it wants done.
    pub(super) fn step(&mut self, input: Input) {
        let quiet = matches!(&input, Input::Report(_, None | Some((_, AgentEvent::Progress(..)))));
        let outputs = self.core.step(self.clock.now(), input);
        if !quiet || !outputs.is_empty() {
            self.keep_runs();
        }
        for output in outputs {
            self.apply(output);
        }
    }

    fn apply(&mut self, output: Output) {
        match output {
            Output::Welcome(connection, agent) => {
                tracing::info!(agent, "an agent has joined");
                let lease_ms = u32::try_from(self.limits.lease.as_millis()).unwrap_or(u32::MAX);
                let (clock_id, version) = (self.clock_id.clone(), proto::VERSION.to_owned());
                let alone_ms = u32::try_from(self.limits.alone.as_millis()).unwrap_or(u32::MAX);
                let welcome = Welcome { agent, lease_ms, clock_id, version, alone_ms };
                self.send(connection, agent_order::Order::Welcome(welcome));
            }
            Output::Reject(connection, reason) => {
                tracing::warn!(reason, "an agent is sent away");
                self.send(connection, agent_order::Order::Rejected(Rejected { reason }));
                self.streams.remove(&connection);
            }
            Output::Cut(connection) => drop(self.streams.remove(&connection)),
            Output::Leave(connection) => {
                let reason = "it was drained".to_owned();
                self.send(connection, agent_order::Order::Leave(proto::control::Leave { reason }));
            }
            Output::Order(connection, run, order) => {
                let Some(record) = self.records.get(&run) else {
                    // A run that nobody knows: whoever is at it should stop.
                    let stop = proto::control::Stop { run, reason: "there is no such run".to_owned() };
                    return self.send(connection, agent_order::Order::Stop(stop));
                };
                if let Some(order) = record.order(run, order, &self.data_plane_address).order {
                    self.send(connection, order);
                }
            }
            Output::Open { run, start, sources } => {
                let Some(record) = self.records.get(&run) else { return };
                let request = record.open_request(&run, start, self.clock.now(), sources);
                let (data_plane, tell) = (self.data_plane.clone(), self.tell_news.clone());
                tokio::spawn(async move {
                    let answer = data_plane.open(request).await;
                    // The director is gone only when the control plane has ended.
                    let _gone = tell.send((run, News::Opened(answer))).await;
                });
            }
            Output::Close(run, closing) => self.close(run, &closing),
            Output::Note(run, happening) => self.note(&run, &happening),
            Output::State(run, state) => self.changed_state(run, state),
        }
    }

    fn close(&mut self, run: String, closing: &Closing) {
        let left = closing.until.since(self.clock.now());
        let goodbye = self.limits.goodbye.min(left.saturating_sub(RENDER).max(left / 2));
        let goodbye = if closing.interrupted { goodbye.min(GOODBYE_INTERRUPTED) } else { goodbye };
        let request = record::close_request(&run, closing, goodbye);
        let until = tokio::time::Instant::now() + left;
        let errands = self.records.get(&run).and_then(|r| r.errands.clone());
        let (data_plane, tell) = (self.data_plane.clone(), self.tell_news.clone());
        tokio::spawn(async move {
            let answer = match errands {
                // The courier brings the notes first, and answers by itself.
                Some(errands) => match errands.send(Errand::Close(request.clone(), until)).await {
                    Ok(()) => return,
                    Err(_) => data_plane.close(&request, until).await,
                },
                None => data_plane.close(&request, until).await,
            };
            let _gone = tell.send((run, News::Closed(answer))).await;
        });
    }

    fn note(&mut self, run: &str, happening: &Happening) {
        tracing::info!(run, kind = happening.kind, "{}", happening.text);
        let start = self.core.run(run).and_then(Run::start);
        self.store.event(run, &record::event(happening, start));
        if let Some(errands) = self.records.get(run).and_then(|r| r.errands.as_ref()) {
            send_note(errands, run, happening);
        }
        self.changed.push(run.to_owned());
    }

    fn changed_state(&mut self, run: String, state: RunState) {
        self.store.state(&run, state);
        if state == RunState::Ended {
            if let Some(record) = self.records.get_mut(&run) {
                record.forget();
            }
            if let Some(view) = self.run_view(&run) {
                self.store.ended(&view);
            }
        }
        self.changed.push(run);
    }

    fn send(&mut self, connection: Connection, order: agent_order::Order) {
        let Some(stream) = self.streams.get(&connection) else { return };
        if stream.try_send(AgentOrder { order: Some(order) }).is_err() {
            // It is gone, or reads nothing: its stream ends here, and its lease runs on.
            self.streams.remove(&connection);
            self.step(Input::BrokeOff(connection));
        }
    }

    pub(super) fn send_heartbeats(&mut self) {
        let connections: Vec<Connection> = self.streams.keys().copied().collect();
        for connection in connections {
            self.send(connection, agent_order::Order::Heartbeat(Heartbeat {}));
        }
    }
}

pub(super) fn send_note(errands: &mpsc::Sender<Errand>, run: &str, happening: &Happening) {
    if errands.try_send(Errand::Note(record::note_request(run, happening))).is_err() {
        tracing::warn!(run, kind = happening.kind, "a note is dropped: the data plane is away");
    }
}

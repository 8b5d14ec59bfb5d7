//! What the director does with each command, and with what comes from the data plane.

use measure::clock::wall_clock;
use proto::control::{StopRequest, SubmitRequest};
use tokio::sync::mpsc;

use super::effects::send_note;
use super::{Command, Director, SubmitError, Submitted, WatchError};
use crate::core::Input;
use crate::courier::{self, News};
use crate::record::Record;
use crate::run::{Event, Judgement, Outcome, Plan, Run, RunState};
use crate::view::RunView;

/// Errands that wait for a courier; notes beyond that are dropped, and the log says so.
const ERRANDS_MAX: usize = 256;
/// Streams that may follow one run.
const WATCHERS_MAX: usize = 256;

impl Director {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Join(hello, orders, reply) => {
                let connection = self.next_connection;
                self.next_connection += 1;
                if reply.send(connection).is_ok() {
                    self.streams.insert(connection, orders);
                    self.step(Input::Join(connection, hello));
                }
            }
            Command::Report(connection, report) => {
                if let Some((run, _)) = &report {
                    self.changed.push(run.clone());
                }
                self.step(Input::Report(connection, report));
            }
            Command::BrokeOff(connection) => {
                self.streams.remove(&connection);
                self.step(Input::BrokeOff(connection));
            }
            Command::Submit(request, plan, reply) => {
                // An asker who has gone away is no reason not to run.
                let _gone = reply.send(self.submit(*request, *plan));
                self.step(Input::Tick);
            }
            Command::Stop(StopRequest { run, reason, interrupted, invalid }, reply) => {
                let earlier = || self.earlier.iter().find(|r| r.id == run).map(|r| r.state);
                let known = self.core.run(&run).map(Run::state).or_else(earlier);
                self.step(Input::Run(run, Event::Stop { reason, interrupted, invalid, hurry: false }));
                let _gone = reply.send(known);
            }
            Command::Drain(agent, reply) => {
                let _gone = reply.send(self.core.drain(&agent));
                self.step(Input::Tick);
            }
            Command::Watch(run, reply) => {
                let _gone = reply.send(self.watch(&run));
            }
            Command::Fleet(reply) => {
                let _gone = reply.send(self.fleet_view());
            }
            Command::Runs(reply) => {
                let _gone = reply.send(self.run_views());
            }
            Command::Run(run, reply) => {
                let earlier = || self.earlier.iter().find(|r| r.id == run).cloned();
                let _gone = reply.send(self.run_view(&run).or_else(earlier));
            }
        }
    }

    fn submit(&mut self, mut request: SubmitRequest, plan: Plan) -> Result<Submitted, SubmitError> {
        if self.ending {
            return Err(SubmitError::Ending);
        }
        let id = if request.run.is_empty() { new_id(&plan.name) } else { std::mem::take(&mut request.run) };
        if self.records.contains_key(&id) || self.earlier.iter().any(|r| r.id == id) {
            return Err(SubmitError::Exists(id));
        }
        self.core.submit(&id, plan).map_err(SubmitError::Full)?;
        self.records.retain(|id, _| self.core.run(id).is_some());
        let dir = if request.out_dir.is_empty() { format!("runs/{id}") } else { request.out_dir.clone() };
        tracing::info!(run = id, file = request.scenario.as_ref().map(|s| s.file_name.as_str()), "a run is submitted");
        self.records.insert(id.clone(), Record::new(request));
        if let (Some(view), Some(record)) = (self.run_view(&id), self.records.get(&id)) {
            self.store.submitted(&view, &record.request);
        }
        Ok(Submitted { run: id, dir })
    }

    fn watch(&mut self, id: &str) -> Result<mpsc::Receiver<RunView>, WatchError> {
        if let Some(earlier) = self.earlier.iter().find(|r| r.id == id) {
            let (updates, receiver) = mpsc::channel(1);
            updates.try_send(earlier.clone()).map_err(|_| WatchError::Full)?;
            return Ok(receiver);
        }
        let record = self.records.get_mut(id).ok_or(WatchError::Unknown)?;
        if record.watchers.len() >= WATCHERS_MAX {
            return Err(WatchError::Full);
        }
        self.changed.push(id.to_owned());
        Ok(record.watch())
    }

    pub(super) fn hear(&mut self, run: String, news: News) {
        let event = match news {
            News::Opened(Ok(reply)) => {
                self.opened(&run, reply.dir);
                Event::Opened
            }
            News::Opened(Err(failure)) => Event::OpenFailed { reason: failure.reason, refused: failure.refused },
            News::Live(Ok(reply)) => {
                let abort = Some(reply.abort.clone()).filter(|a| !a.is_empty());
                if let Some(record) = self.records.get_mut(&run) {
                    record.live = Some(reply.into());
                }
                Event::Live(Ok(abort))
            }
            News::Live(Err(failure)) => Event::Live(Err(failure.reason)),
            News::Closed(Ok(reply)) => {
                let outcome = match reply.outcome.as_str() {
                    "passed" => Outcome::Passed,
                    "failed" => Outcome::Failed,
                    _ => Outcome::Invalid,
                };
                if let Some(record) = self.records.get_mut(&run) {
                    record.dir.clone_from(&reply.dir);
                }
                let (dir, report_path) = (reply.dir, reply.report_path);
                Event::Closed(Judgement { outcome, reasons: reply.reasons, dir, report_path })
            }
            News::Closed(Err(failure)) => Event::CloseFailed(failure.reason),
        };
        self.step(Input::Run(run, event));
    }

    /// The run is open at the data plane: from now on a courier goes to and fro. What was noted before goes first.
    fn opened(&mut self, id: &str, dir: String) {
        let Some(record) = self.records.get_mut(id) else { return };
        record.dir = dir;
        if record.errands.is_some() || self.core.run(id).is_none_or(|r| r.state() == RunState::Ended) {
            return;
        }
        self.send_courier(id, 0);
    }

    /// A courier for a run that is open; the first `told` lines of its story have been brought already.
    pub(super) fn send_courier(&mut self, id: &str, told: usize) {
        let (errands, receiver) = mpsc::channel(ERRANDS_MAX);
        for happening in self.core.run(id).map(Run::happenings).unwrap_or_default().iter().skip(told) {
            send_note(&errands, id, happening);
        }
        if let Some(record) = self.records.get_mut(id) {
            record.errands = Some(errands);
        }
        tokio::spawn(courier::run(self.data_plane.clone(), id.to_owned(), receiver, self.tell_news.clone()));
    }
}

/// A run's id: date, time, the scenario's name as far as a directory may bear it, and four random digits.
fn new_id(name: &str) -> String {
    let stem: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(40).collect();
    let time = jiff::Timestamp::try_from(wall_clock()).map(|t| t.strftime("%Y%m%d-%H%M%S").to_string());
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{}-{stem}-{}", time.unwrap_or_default(), &random[..4])
}

//! What users do because it is due: join, leave, send, react, type, read.

use std::rc::Rc;

use measure::Timestamp;
use scenarios::Arrival;
use scenarios::model::ActionKind;
use wire::Stamp;
use wire::api::OutgoingMessage;
use wire::event::kind;

use crate::driver::{Due, Work};
use crate::load::{Load, caller};
use crate::record::Answer;
use crate::user::User;
use crate::words;

/// Calls of a thread that may be on their way; what falls due beyond is dropped, and counted.
pub(crate) const IN_FLIGHT_MAX: usize = 8_192;

impl Load {
    /// Does what is due. Never waits.
    pub(crate) fn due(self: &Rc<Self>, due: &Due) {
        let at = self.instant(due.at);
        match due.work.clone() {
            Work::Join { user, cohort, .. } | Work::Return { user, cohort } => {
                self.planned(cohort, 1);
                self.book.started(cohort, at);
                self.join(user, cohort, at);
            }
            Work::Leave { user, cohort, .. } => {
                self.planned(cohort, -1);
                self.book.started(cohort, at);
                self.leave(user, cohort);
            }
            Work::Act { action, cohort, kind, arrival } => {
                let newest = match kind {
                    ActionKind::React => self.newest(&self.plan.scenario.cid(arrival.channel)),
                    _ => String::new(),
                };
                if kind == ActionKind::React && newest.is_empty() {
                    // There is nothing to react to yet: that is no action.
                    return;
                }
                if self.is_away(self.local(arrival.user)) {
                    return;
                }
                self.book.started(cohort, at);
                if matches!(kind, ActionKind::Send { .. }) {
                    self.book.send_due(cohort);
                }
                let able = self.user(self.local(arrival.user), User::can_act) == Some(true);
                if !able || self.in_flight() >= IN_FLIGHT_MAX {
                    return self.book.dropped(cohort);
                }
                let (me, flight) = (Rc::clone(self), self.flight());
                tokio::task::spawn_local(async move {
                    let result = match kind {
                        ActionKind::Send { .. } => me.send(action, &arrival, at).await,
                        _ => me.signal(kind, &arrival, &newest).await,
                    };
                    me.book.acted(kind, cohort, at, &result);
                    drop(flight);
                });
            }
        }
    }

    async fn send(&self, action: u16, arrival: &Arrival, due: Timestamp) -> Result<Answer, client::CallError> {
        let (plan, number) = (&self.plan, arrival.number);
        let identity = self.identity(arrival.user);
        let cid = plan.scenario.cid(arrival.channel);
        let message = |sent| {
            let stamp = Stamp {
                action,
                number,
                due: self.book.run_time(due).as_nanos(),
                sent: self.book.run_time(sent).as_nanos(),
            };
            let mut custom = serde_json::Map::new();
            custom.insert("throng".into(), serde_json::to_value(stamp).expect("four numbers are JSON"));
            OutgoingMessage {
                id: Some(plan.message_id(action, number)),
                text: words::text(plan.scenario.seed, action, number, arrival.size),
                parent_id: None,
                custom,
            }
        };
        let path = client::api::channel(&cid, "/message");
        let make = |sent| Some(wire::api::SendMessage { message: message(sent) });
        let api = self.api_for_actions(arrival.user);
        // The answer repeats the message; that it is a good one is all that counts.
        let answer = api.call::<_, serde::de::IgnoredAny>(http::Method::POST, &path, caller(&identity), make).await?;
        Ok(Answer { sent: answer.sent, answered: answer.answered })
    }

    async fn signal(&self, what: ActionKind, arrival: &Arrival, message_id: &str) -> Result<Answer, client::CallError> {
        let identity = self.identity(arrival.user);
        let (api, call) = (self.api_for_actions(arrival.user), caller(&identity));
        let cid = self.plan.scenario.cid(arrival.channel);
        let sent = self.book.now();
        match what {
            ActionKind::React => drop(api.react(call, message_id, "like").await?),
            ActionKind::Typing => api.event(call, &cid, kind::TYPING_START).await?,
            ActionKind::Read | ActionKind::Send { .. } => api.read(call, &cid, None).await?,
        }
        Ok(Answer { sent, answered: self.book.now() })
    }
}

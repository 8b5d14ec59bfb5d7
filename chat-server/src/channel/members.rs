//! Members.

use wire::ApiError;
use wire::api::Member;
use wire::event::{User, kind};

use super::{Channel, Step};
use crate::failure;
use crate::record::Record;
use crate::time::Date;

impl Channel {
    /// Adds members without telling, when the channel is created.
    pub(crate) fn found(&mut self, step: &mut Step<()>, users: Vec<User>, at: &Date) {
        for user in users {
            self.put_member(step, user, at);
        }
    }

    fn put_member<T>(&mut self, step: &mut Step<T>, user: User, at: &Date) {
        let member = Member { user_id: user.id.clone(), user, created_at: at.text.clone() };
        if self.bounds.kept {
            step.records.push(Record::member(&self.cid, &member));
        }
        self.members.insert(member.user_id.clone(), member);
    }

    /// Adds and removes members; who is in or out already is left as he is.
    pub(crate) fn change_members(
        &mut self,
        add: Vec<User>,
        remove: &[String],
        by: &User,
        server: bool,
        at: &Date,
    ) -> Result<Step<()>, ApiError> {
        let insider = server
            || self.members.contains_key(&by.id)
            || self.created_by.as_ref().is_some_and(|creator| creator.id == by.id);
        let himself = add.iter().map(|user| &user.id).chain(remove).all(|id| *id == by.id);
        if !insider && !himself {
            return Err(failure::not_allowed(
                "only members, the creator, or a server token may change others' membership",
            ));
        }
        let mut step = Step::nothing(());
        for user in add {
            if !self.members.contains_key(&user.id) {
                self.put_member(&mut step, user.clone(), at);
                self.emit_member(&mut step, kind::MEMBER_ADDED, user, by, at);
            }
        }
        for id in remove {
            if let Some(member) = self.members.remove(id) {
                if self.bounds.kept {
                    step.records.push(Record::member_gone(&self.cid, id));
                }
                self.emit_member(&mut step, kind::MEMBER_REMOVED, member.user, by, at);
            }
        }
        Ok(step)
    }

    /// A page of members in the order of their ids: after `after`, without the first `offset` of those.
    pub(crate) fn members_page(&self, after: &str, offset: usize, limit: usize) -> Vec<Member> {
        let first = self.members.rank_behind(after).saturating_add(offset);
        self.members.from(first).take(limit).map(|(_, member)| member.clone()).collect()
    }

    fn emit_member(&mut self, step: &mut Step<()>, kind: &str, member: User, by: &User, at: &Date) {
        let mut event = self.event(kind, at);
        event.user = Some(by.clone());
        event.member = Some(member);
        self.emit(step, event, at);
    }
}

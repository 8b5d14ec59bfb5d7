//! Channels, who watches them, and whether who acts in them does.

use std::collections::{BTreeMap, BTreeSet};

use measure::Cohort;

use super::{Check, Kind, MOST_COHORTS, MOST_PER_USER, is_zero};
use crate::diagnostic::{Span, quoted};
use crate::language::{ActionEntry, Channel};
use crate::model::{ChannelGroup, Popularity, Scenario};
use crate::words::Members;

impl Check<'_> {
    pub(super) fn channels(&mut self) -> Vec<ChannelGroup> {
        let field = &self.file.channels;
        let Some(list) = field.get() else { return Vec::new() };
        if list.items.len() > MOST_COHORTS {
            let message = format!("there are {} groups of channels", list.items.len());
            self.error(
                field.key,
                message,
                format!("{MOST_COHORTS} are the most; channels that are alike are one group with a `count`"),
            );
            return Vec::new();
        }
        let groups: Vec<_> = list.items.iter().map(|item| self.channel(&item.value)).collect();
        self.clashes(&groups);
        groups
    }

    fn channel(&mut self, entry: &Channel) -> ChannelGroup {
        if is_zero(&entry.count, |count| count.0 == 0) {
            self.error(entry.count.span, "a group of no channels", "give at least 1, or remove the group");
        }
        if is_zero(&entry.count, |count| count.0 > u64::from(u32::MAX)) {
            self.error(entry.count.span, "these are too many channels", "4,294,967,295 are the most");
        }
        if is_zero(&entry.per_user, |per_user| per_user.0 == 0) {
            self.error(
                entry.per_user.span,
                "users who watch none of the channels are not members",
                "give at least 1, or name other `members`",
            );
        }
        let count = entry.count.get().map_or(1, |count| count.0.max(1));
        let per_user = entry.per_user.get().map_or(1, |per_user| per_user.0.max(1));
        if per_user > count && (entry.count.get().is_some() || !entry.count.given) {
            let there_are = if count == 1 { "there is only 1".to_owned() } else { format!("there are only {count}") };
            let message = format!("nobody can watch {per_user} different channels of this group: {there_are}");
            self.error(entry.per_user.span, message, "lower `per_user`, or raise `count`");
        } else if per_user > MOST_PER_USER {
            let message = format!("{per_user} channels a user are too many");
            self.error(entry.per_user.span, message, format!("{MOST_PER_USER} are the most"));
        }
        if entry.popularity.given && count == 1 && entry.count.get().is_none() && !entry.count.given {
            self.error(
                entry.popularity.key,
                "a single channel has no popularity",
                "add `count`, or remove `popularity`",
            );
        }
        ChannelGroup {
            id: entry.id.get().map(|id| id.0.clone()).unwrap_or_default(),
            channel_type: entry.channel_type.get().map_or_else(|| "messaging".to_owned(), |name| name.0.clone()),
            count: u32::try_from(count).unwrap_or(u32::MAX),
            popularity: entry.popularity.get().map_or(Popularity::Uniform, |spread| spread.0),
            members: self.members(entry),
            per_user: u32::try_from(per_user).unwrap_or(u32::MAX),
        }
    }

    fn members(&mut self, entry: &Channel) -> Vec<Cohort> {
        let everybody = self.file.cohorts.get().map_or(0, |list| list.items.len().min(MOST_COHORTS));
        self.vague |= entry.members.given && entry.members.get().is_none();
        match entry.members.get() {
            None | Some(Members::All) => (0..everybody as Cohort).collect(),
            Some(Members::Some(list)) => {
                if list.items.is_empty() && !list.partial {
                    self.error(
                        entry.members.span,
                        "a channel that nobody watches",
                        "write `members: all`, or name some cohorts",
                    );
                }
                let (mut members, mut seen) = (Vec::new(), BTreeSet::new());
                for item in &list.items {
                    let Some(index) = self.resolve(Kind::Cohort, &item.value.0, item.span) else {
                        self.vague = true;
                        continue;
                    };
                    if !seen.insert(index) {
                        self.error(
                            item.span,
                            format!("{} stands twice in `members`", quoted(&item.value.0)),
                            "keep one",
                        );
                    } else {
                        members.push(index as Cohort);
                    }
                }
                members
            }
        }
    }

    /// Two channels with one id.
    fn clashes(&mut self, groups: &[ChannelGroup]) {
        let mut seen: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        let items = self.file.channels.get().map(|list| &list.items).into_iter().flatten();
        let named: Vec<(Span, &ChannelGroup)> = items
            .zip(groups)
            .filter(|(item, _)| item.value.id.get().is_some())
            .map(|(item, group)| (item.value.id.span, group))
            .collect();
        for (span, group) in &named {
            if seen.insert((&group.channel_type, &group.id), group.count).is_some() {
                let message = format!("a second channel is called {}", quoted(&group.id));
                self.error(*span, message, "channels are told apart by their ids: give another one");
            }
        }
        for (span, group) in named.iter().filter(|(_, group)| group.count == 1) {
            let Some((stem, number)) = group.id.rsplit_once('-') else { continue };
            let written_so = number.parse::<u32>().ok().filter(|parsed| parsed.to_string() == number);
            let count = seen.get(&(group.channel_type.as_str(), stem)).copied().unwrap_or(0);
            if count > 1 && written_so.is_some_and(|number| number < count) {
                let message = format!("{} is also channel {number} of the group {}", quoted(&group.id), quoted(stem));
                self.error(*span, message, "give one of them another id");
            }
        }
    }

    /// Reports actions in channels that the acting cohort doesn't watch.
    pub(super) fn watching(&mut self, scenario: &Scenario) {
        let cohorts = self.file.cohorts.get().map(|list| &list.items).into_iter().flatten();
        for (cohort, item) in cohorts.enumerate() {
            for action in item.value.actions.get().map(|list| &list.items).into_iter().flatten() {
                let Some((channel, span)) = channel_of(&action.value) else { continue };
                let Some(group) = self.channel_ids.known.get(channel).and_then(|index| scenario.channels.get(*index))
                else {
                    continue;
                };
                let entry = self.file.channels.get().and_then(|list| list.items.get(self.channel_ids.known[channel]));
                // Members that were refused may have been these.
                let vague = entry.is_none_or(|item| match item.value.members.get() {
                    Some(Members::Some(list)) => list.partial || group.members.len() < list.items.len(),
                    Some(Members::All) => false,
                    None => item.value.members.given,
                });
                if vague || group.members.contains(&(cohort as Cohort)) {
                    continue;
                }
                let name = item.value.name.get().map_or("this cohort", |name| name.0.as_str());
                let message = format!("{} does not watch the channel {}", quoted(name), quoted(channel));
                let hint = format!("add `{name}` to the channel's `members`, or name a channel that it watches");
                self.error(span, message, hint);
            }
        }
    }
}

fn channel_of(action: &ActionEntry) -> Option<(&str, Span)> {
    let field = match action.send.get() {
        Some(send) => &send.channel,
        None => &[&action.react, &action.typing, &action.read].into_iter().find_map(|field| field.get())?.channel,
    };
    field.get().map(|channel| (channel.0.as_str(), field.span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_fits_its_number() {
        assert!(MOST_COHORTS <= usize::from(Cohort::MAX));
    }
}

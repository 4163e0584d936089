//! Shared subscriptions: who is in a group, and who of them gets the next message.
//!
//! A group is one subscriber of the filter index, whatever its number of members. The shard that
//! routes a message picks the member, so that the decision stands where all other decisions about
//! the message are made, and nothing takes a detour. Members tell through [`Readiness`] whether
//! they are connected and have room; the pick goes round among the best that there are.
//!
//! Read first: MQTT 5.0 section 4.8.2.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use hashbrown::HashMap;
use parking_lot::Mutex;
use slab::Slab;

use super::keys::{Grant, GroupKey, SessionKey};

/// How well a session can take one more message; the later, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Nobody is there.
    Absent,
    /// Somebody whose CONNACK waits for the log: messages are queued, those at QoS 0 dropped.
    Awaited,
    /// Connected, and messages wait already.
    Busy,
    Ready,
}

/// The level of one session; written by its shard, read by all.
#[derive(Debug, Default)]
pub(crate) struct Readiness(AtomicU8);

impl Readiness {
    pub(crate) fn set(&self, level: Level) {
        if self.level() != level {
            self.0.store(level as u8, Ordering::Relaxed);
        }
    }

    fn level(&self) -> Level {
        match self.0.load(Ordering::Relaxed) {
            0 => Level::Absent,
            1 => Level::Awaited,
            2 => Level::Busy,
            _ => Level::Ready,
        }
    }
}

/// One session's place in one group.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) session: SessionKey,
    pub(crate) grant: Grant,
    pub(crate) readiness: Arc<Readiness>,
}

#[derive(Debug)]
struct Group {
    check: u32,
    /// Share name, `/`, filter: how records and checkpoints name it.
    text: Arc<str>,
    members: Vec<Member>,
    next: usize,
}

/// All groups of the broker. Its lock is held for one pick or one change.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    groups: Slab<Group>,
    by_name: HashMap<(Box<str>, Box<str>), u32>,
    made: u32,
}

/// What a change of membership means for the filter index.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    /// The first member came or the last one left: the group's entry must follow.
    GroupChanged(GroupKey),
    /// The group's entry stays as it is.
    Unchanged(GroupKey),
}

impl Groups {
    /// Puts a session into the group, or replaces what it was granted there. Returns whether it
    /// was a member before.
    pub(crate) fn join(&self, name: &str, filter: &str, member: Member) -> (Membership, bool) {
        let state = &mut *self.state.lock();
        let key = (Box::from(name), Box::from(filter));
        let mut created = false;
        let index = *state.by_name.entry(key).or_insert_with(|| {
            created = true;
            state.made = state.made.wrapping_add(1);
            let index = state.groups.insert(Group {
                check: state.made,
                text: Arc::from(format!("{name}/{filter}")),
                members: Vec::new(),
                next: 0,
            });
            u32::try_from(index).expect("fewer groups than filters, which are limited")
        });
        let group = &mut state.groups[index as usize];
        let key = GroupKey {
            index,
            check: group.check,
        };
        let known = group
            .members
            .iter_mut()
            .find(|known| known.session == member.session);
        let replaced = known.is_some();
        match known {
            Some(known) => *known = member,
            None => group.members.push(member),
        }
        if created {
            (Membership::GroupChanged(key), replaced)
        } else {
            (Membership::Unchanged(key), replaced)
        }
    }

    /// Takes a session out of the group; `None` if it was not a member.
    pub(crate) fn leave(
        &self,
        name: &str,
        filter: &str,
        session: SessionKey,
    ) -> Option<Membership> {
        let state = &mut *self.state.lock();
        let by_name = (Box::from(name), Box::from(filter));
        let index = *state.by_name.get(&by_name)?;
        let group = &mut state.groups[index as usize];
        let key = GroupKey {
            index,
            check: group.check,
        };
        let place = group
            .members
            .iter()
            .position(|member| member.session == session)?;
        // Order is kept so that the round goes on where it was.
        group.members.remove(place);
        if group.next > place {
            group.next -= 1;
        }
        if group.members.is_empty() {
            state.groups.remove(index as usize);
            state.by_name.remove(&by_name);
            return Some(Membership::GroupChanged(key));
        }
        Some(Membership::Unchanged(key))
    }

    /// Chooses who gets the next message: ready members before busy ones, connected before
    /// disconnected ones; among equals in turn. A member that is not connected is chosen only if the
    /// message can wait for it. `None` if nobody can take it.
    pub(crate) fn pick(&self, key: GroupKey, can_wait: bool) -> Option<Member> {
        let state = &mut *self.state.lock();
        let group = state.groups.get_mut(key.index as usize)?;
        if group.check != key.check {
            return None;
        }
        let count = group.members.len();
        let mut best: Option<(Level, usize)> = None;
        for step in 0..count {
            let place = (group.next + step) % count;
            let member = &group.members[place];
            let level = member.readiness.level();
            let keeps = level > Level::Absent || member.grant.is_durable();
            let takes = level > Level::Awaited || (can_wait && keeps);
            if takes && best.is_none_or(|(found, _)| level > found) {
                best = Some((level, place));
                if level == Level::Ready {
                    break;
                }
            }
        }
        let (_, place) = best?;
        group.next = (place + 1) % count;
        Some(group.members[place].clone())
    }

    /// What the group as one subscriber is granted: the most that one of its members is.
    pub(crate) fn grant(&self, key: GroupKey) -> Option<Grant> {
        let state = self.state.lock();
        let group = state
            .groups
            .get(key.index as usize)
            .filter(|group| group.check == key.check)?;
        let durable = group
            .members
            .iter()
            .find(|member| member.grant.is_durable());
        durable.or(group.members.first()).map(|member| member.grant)
    }

    /// True if a message that one member gave back can go to another one: to one that is
    /// `connected`, or to one whose session keeps it.
    pub(crate) fn has_taker(&self, key: GroupKey, connected: bool) -> bool {
        let state = self.state.lock();
        state.groups.get(key.index as usize).is_some_and(|group| {
            group.check == key.check
                && group.members.iter().any(|member| {
                    member.readiness.level() > Level::Absent
                        || (!connected && member.grant.is_durable())
                })
        })
    }

    /// Share name, `/` and filter of a group.
    pub(crate) fn text_of(&self, key: GroupKey) -> Option<Arc<str>> {
        let state = self.state.lock();
        let group = state.groups.get(key.index as usize)?;
        (group.check == key.check).then(|| Arc::clone(&group.text))
    }

    /// The group of this text.
    pub(crate) fn find(&self, text: &str) -> Option<GroupKey> {
        let (name, filter) = text.split_once('/')?;
        let state = self.state.lock();
        let index = *state.by_name.get(&(Box::from(name), Box::from(filter)))?;
        let check = state.groups.get(index as usize)?.check;
        Some(GroupKey { index, check })
    }

    /// True if the group has members and this holds for each of them.
    pub(crate) fn all_members(&self, key: GroupKey, holds: impl Fn(SessionKey) -> bool) -> bool {
        let state = self.state.lock();
        state.groups.get(key.index as usize).is_some_and(|group| {
            group.check == key.check && group.members.iter().all(|member| holds(member.session))
        })
    }

    /// Members of all groups together.
    pub(crate) fn memberships(&self) -> usize {
        self.state
            .lock()
            .groups
            .iter()
            .map(|(_, group)| group.members.len())
            .sum()
    }
}

//! Sessions whose queue is full, where `queue_overflow = "refuse"` refuses publishers for their sake.
//!
//! A session is put here by its own shard and looked for by whichever shard routes a message. Between
//! the two a message may still be on its way: that one is dropped and counted, as without refusal.

use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashSet;
use parking_lot::RwLock;
use whinchat_codec::QoS;

use whinchat_topic::TopicName;

use super::{keys::SessionKey, routing::Target};
use crate::{settings::Settings, shard::Shard};

#[derive(Debug, Default)]
pub(crate) struct FullSessions {
    sessions: RwLock<HashSet<SessionKey>>,
    /// How many there are, so that nobody takes the lock while there are none.
    count: AtomicUsize,
}

impl FullSessions {
    fn set(&self, session: SessionKey, is_full: bool) {
        let mut sessions = self.sessions.write();
        if is_full {
            sessions.insert(session);
        } else {
            sessions.remove(&session);
        }
        self.count.store(sessions.len(), Ordering::Release);
    }

    fn are_none(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }
}

impl Shard {
    /// True if a message has to be refused because one of those who are to get it has no room.
    pub(crate) fn is_refused(&mut self, qos: QoS, topic: &TopicName) -> bool {
        let full = &self.commons.full_sessions;
        if !self.settings.refuses_when_full || qos == QoS::AtMostOnce || full.are_none() {
            return false;
        }
        let routes = self
            .routes
            .routes(&self.commons.subscriptions, self.id, topic);
        let full = full.sessions.read();
        let has_no_room =
            |target: &Target| target.qos > QoS::AtMostOnce && full.contains(&target.session);
        let mut remote = routes.remote.iter().flat_map(|(_, targets)| targets.iter());
        routes.local.iter().any(has_no_room)
            || remote.any(has_no_room)
            || routes.groups.iter().any(|(group, _)| {
                self.commons
                    .groups
                    .all_members(*group, |session| full.contains(&session))
            })
    }

    /// Called when the queue of a session has changed: notes whether it is full now. A full one has
    /// room again below nine tenths of its bounds.
    pub(crate) fn note_fullness(&mut self, index: u32) {
        if !self.settings.refuses_when_full {
            return;
        }
        let Some(key) = self.sessions.key(index) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        let is_full = is_full(
            session.is_full,
            session.state.queue_len() as u64,
            session.state.queue_bytes(),
            &self.settings,
        );
        if is_full != session.is_full {
            session.is_full = is_full;
            self.commons.full_sessions.set(key, is_full);
        }
    }

    /// Called before a session goes.
    pub(crate) fn forget_fullness(&mut self, index: u32) {
        if let Some(key) = self.sessions.key(index)
            && self
                .sessions
                .get(index)
                .is_some_and(|session| session.is_full)
        {
            self.commons.full_sessions.set(key, false);
        }
    }
}

/// The bound in bytes counts as reached at nine tenths: the next message has a size too.
fn is_full(was_full: bool, messages: u64, bytes: u64, settings: &Settings) -> bool {
    let limits = &settings.queue;
    let has_many_bytes = u128::from(bytes) * 10 >= u128::from(limits.bytes) * 9;
    if was_full {
        has_many_bytes || messages * 10 >= u64::from(limits.messages) * 9
    } else {
        has_many_bytes || messages >= u64::from(limits.messages)
    }
}

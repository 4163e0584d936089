//! Sessions for whose sake publishers are refused: those whose queue is full, where `queue_overflow = "refuse"`, and those
//! that lag while memory is tight, so that nobody else is refused for them.
//!
//! A session is put here by its own shard and looked for by whichever shard routes a message. Between
//! the two a message may still be on its way: that one is dropped and counted, as without refusal.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use hashbrown::HashSet;
use parking_lot::RwLock;
use whinchat_codec::QoS;

use whinchat_topic::TopicName;

use super::{keys::SessionKey, routing::Target};
use crate::{limits::Limit, settings::Settings, shard::Shard};

/// A queue of so many messages is more than a burst: its reader lags, or is away.
const LAG_MESSAGES: usize = 256;

/// One of the two kinds.
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
    /// The limit by which a message has to be refused because one of those who are to get it has no room.
    pub(crate) fn refused_by(&mut self, qos: QoS, topic: &TopicName) -> Option<Limit> {
        // For nearly every message; the count of `commons`, which all shards share, is left alone.
        if qos == QoS::AtMostOnce || !(self.settings.refuses_when_full || self.memory_is_tight) {
            return None;
        }
        let commons = Arc::clone(&self.commons);
        if self.settings.refuses_when_full && self.goes_to_any(&commons.full_sessions, topic) {
            return Some(Limit::QueueMessages);
        }
        let lags = self.memory_is_tight && self.goes_to_any(&commons.lagging_sessions, topic);
        lags.then_some(Limit::MemorySize)
    }

    /// Whether one of these is to get a message on this topic at QoS 1 or 2.
    fn goes_to_any(&mut self, full: &FullSessions, topic: &TopicName) -> bool {
        if full.are_none() {
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
        self.note_lag(index);
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

    /// The same for its lag.
    fn note_lag(&mut self, index: u32) {
        let (key, is_tight) = (self.sessions.key(index), self.memory_is_tight);
        let (Some(key), Some(session)) = (key, self.sessions.get_mut(index)) else {
            return;
        };
        let lags = lags(session.lags, session.state.queue_len(), is_tight);
        if lags != session.lags {
            session.lags = lags;
            self.commons.lagging_sessions.set(key, lags);
        }
    }

    /// Called before a session goes.
    pub(crate) fn forget_fullness(&mut self, index: u32) {
        let (Some(key), Some(session)) = (self.sessions.key(index), self.sessions.get(index))
        else {
            return;
        };
        if session.is_full {
            self.commons.full_sessions.set(key, false);
        }
        if session.lags {
            self.commons.lagging_sessions.set(key, false);
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

/// It begins while memory is tight, and is over when half of that many messages are left.
fn lags(did: bool, queued: usize, is_tight: bool) -> bool {
    if did {
        queued >= LAG_MESSAGES / 2
    } else {
        is_tight && queued >= LAG_MESSAGES
    }
}

#[cfg(test)]
mod tests {
    use super::lags;

    #[test]
    fn a_long_queue_lags_while_memory_is_tight() {
        assert!(!lags(false, 100_000, false));
        assert!(!lags(false, 255, true));
        assert!(lags(false, 256, true));
    }

    #[test]
    fn what_lags_has_to_come_down_by_half() {
        for is_tight in [false, true] {
            assert!(lags(true, 128, is_tight));
            assert!(!lags(true, 127, is_tight));
        }
    }
}

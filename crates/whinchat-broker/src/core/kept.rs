//! What a data directory keeps, for people: a [`Checkpoint`] without what only a broker needs, and without payloads.

use std::time::{Duration, SystemTime};

use whinchat_codec::{QoS, SubscriptionOptions};
use whinchat_session::{Instant, SessionState};

use super::{
    checkpoint::{Checkpoint, SessionCheckpoint},
    replay::Handle,
    wills::Will,
};
use crate::clock::Clock;

/// What a broker would find again, each part in order of its name.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Kept {
    /// Sessions, by client id.
    pub sessions: Vec<KeptSession>,
    /// Retained messages, by topic.
    pub retained: Vec<KeptMessage>,
    /// Wills of sessions that ended with their connection: published at the next start.
    pub wills: Vec<(String, KeptWill)>,
}

/// A session that outlives its connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeptSession {
    /// Whose it is.
    pub client_id: String,
    /// Seconds for which it goes on without a connection; [`u32::MAX`]: for ever.
    pub expiry_interval: u32,
    /// Its client was connected when the records ended.
    pub was_connected: bool,
    /// When it ends; none as long as its client is connected, or if it never ends.
    pub ends_at: Option<SystemTime>,
    /// Filters and what was granted, by filter.
    pub subscriptions: Vec<(String, SubscriptionOptions)>,
    /// Messages that were not sent yet.
    pub queued: usize,
    /// Messages that were sent and not acknowledged, both steps of QoS 2 included.
    pub in_flight: usize,
    /// QoS 2 packet ids of its client that are not released yet.
    pub held_ids: usize,
    /// Its Will.
    pub will: Option<KeptWill>,
}

/// A retained message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeptMessage {
    /// Its topic.
    pub topic: String,
    /// Bytes of its payload.
    pub payload_bytes: usize,
    /// With which it was published.
    pub qos: QoS,
    /// When it expires.
    pub expires_at: Option<SystemTime>,
}

/// A Will.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeptWill {
    /// Its topic.
    pub topic: String,
    /// Bytes of its payload.
    pub payload_bytes: usize,
    /// With which it will be published.
    pub qos: QoS,
    /// Whether it will be retained.
    pub retain: bool,
    /// Seconds between the end of the connection and its publication.
    pub delay_interval: u32,
}

impl Checkpoint {
    /// What is in it, for people. `clock` is the one under which it was read.
    #[must_use]
    pub fn kept(&self, clock: &Clock) -> Kept {
        let now = clock.now();
        let mut kept = Kept {
            sessions: self
                .sessions
                .iter()
                // One whose time has come ends at the next start.
                .filter(|session| session.ends_at.is_none_or(|at| at > now))
                .map(|session| KeptSession::of(session, clock))
                .collect(),
            retained: self
                .retained
                .iter()
                .map(|(message, _)| KeptMessage {
                    topic: message.topic.to_string(),
                    payload_bytes: message.payload.len(),
                    qos: message.qos,
                    expires_at: message.expires_at.map(|at| on_the_wall(at, clock)),
                })
                .collect(),
            wills: self
                .orphans
                .iter()
                .map(|orphan| (orphan.client_id.to_string(), KeptWill::of(&orphan.will)))
                .collect(),
        };
        kept.sessions.sort_by(|a, b| a.client_id.cmp(&b.client_id));
        kept.retained.sort_by(|a, b| a.topic.cmp(&b.topic));
        kept.wills.sort_by(|a, b| a.0.cmp(&b.0));
        kept
    }
}

impl KeptSession {
    fn of(session: &SessionCheckpoint, clock: &Clock) -> Self {
        // It was written by the replay of the same log.
        let state = SessionState::restore(&session.state, Handle::without_group)
            .unwrap_or_else(|_| SessionState::new());
        let mut subscriptions: Vec<_> = session
            .subscriptions
            .iter()
            .map(|(filter, _, options)| (filter.to_string(), *options))
            .collect();
        subscriptions.sort_by(|a, b| a.0.cmp(&b.0));
        Self {
            client_id: session.client_id.to_string(),
            expiry_interval: session.expiry_interval,
            was_connected: session.was_connected,
            ends_at: session.ends_at.map(|at| on_the_wall(at, clock)),
            subscriptions,
            queued: state.queue_len(),
            in_flight: state.in_flight(),
            held_ids: state.held_ids(),
            will: session.will.as_deref().map(KeptWill::of),
        }
    }
}

impl KeptWill {
    fn of(will: &Will) -> Self {
        Self {
            topic: will.topic.to_string(),
            payload_bytes: will.payload.len(),
            qos: will.qos,
            retain: will.retain,
            delay_interval: will.delay_interval,
        }
    }
}

fn on_the_wall(at: Instant, clock: &Clock) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(clock.wall(at).as_millis())
}

//! The sessions of one shard: who they are and how they are found.

use std::{ops::Range, sync::Arc};

use hashbrown::{HashMap, HashTable};
use slab::Slab;
use whinchat_codec::SubscriptionOptions;
use whinchat_session::{Instant, SessionState};

use super::{
    groups::Readiness,
    keys::{Grant, SessionKey, ShardId, partition_of},
    message::Delivery,
    retained_scan::ScanNumber,
    tables,
    wills::Will,
};
use crate::{hooks::Identity, shard::timers::Scheduled};

/// What the broker knows of one client id, connected or not.
pub(crate) struct Session {
    /// Never used twice, also not after a restart.
    pub(crate) number: u64,
    pub(crate) client_id: Box<str>,
    pub(crate) identity: Identity,
    pub(crate) state: SessionState<Delivery>,
    pub(crate) subscriptions: HashMap<Box<str>, Subscription>,
    /// The slot of its connection.
    pub(crate) slot: Option<u32>,
    /// Session Expiry Interval in seconds: 0 ends it with its connection, `u32::MAX` never.
    pub(crate) expiry_interval: u32,
    /// When it ends, while it is not connected.
    pub(crate) ends_at: Option<Instant>,
    /// The Will of the present connection, or of the last one while its delay runs.
    pub(crate) will: Option<Box<Will>>,
    /// When the delayed Will is published.
    pub(crate) will_at: Option<Instant>,
    pub(crate) scheduled: Scheduled,
    /// Shared with the groups it is a member of; made with the first one.
    pub(crate) readiness: Option<Arc<Readiness>>,
    /// How it was counted among the sessions that outlive their connections.
    pub(crate) counted: Counted,
    pub(crate) takeovers: Takeovers,
    /// Its queue is full, and publishers are refused for it.
    pub(crate) is_full: bool,
    /// It stands among the sessions that lag.
    pub(crate) lags: bool,
    /// Its queue is full, and that was logged.
    pub(crate) overflow_logged: bool,
    /// The log has all of it in this segment and later ones.
    pub(crate) segment: u64,
    /// Its queue is to be shortened: see `spill`.
    pub(crate) is_long: bool,
}

/// How often one connection took a session over from another, in the present period.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Takeovers {
    pub(crate) since: Instant,
    pub(crate) count: u32,
}

/// Which bounds a session counts towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// It ends with its connection.
    Transient,
    Durable,
    /// Durable, of an anonymous client on another machine.
    DurableAnonymous,
}

/// One subscription of a session, under the text that stood in SUBSCRIBE.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub(crate) grant: Grant,
    /// What was asked for, with the QoS that was granted.
    pub(crate) options: SubscriptionOptions,
    /// The latest search for retained messages that it began.
    pub(crate) scan: ScanNumber,
}

impl Subscription {
    /// One that was there before a restart: no search for retained messages goes on.
    pub(crate) fn restored(grant: Grant, options: SubscriptionOptions) -> Self {
        Self {
            grant,
            options,
            scan: ScanNumber::default(),
        }
    }
}

impl Session {
    /// A session in which nothing has happened, not connected.
    pub(crate) fn new(number: u64, client_id: &str, identity: Identity) -> Self {
        Self {
            number,
            client_id: client_id.into(),
            identity,
            state: SessionState::default(),
            subscriptions: HashMap::new(),
            slot: None,
            expiry_interval: 0,
            ends_at: None,
            will: None,
            will_at: None,
            scheduled: Scheduled::default(),
            readiness: None,
            counted: Counted::Transient,
            is_full: false,
            lags: false,
            takeovers: Takeovers::default(),
            overflow_logged: false,
            segment: 0,
            is_long: false,
        }
    }

    /// True if the session outlives its connection.
    pub(crate) fn is_durable(&self) -> bool {
        self.expiry_interval > 0
    }

    /// Its number, if what happens to it has to be recorded.
    pub(crate) fn durable_number(&self) -> Option<u64> {
        self.is_durable().then_some(self.number)
    }

    /// Its number, if the log knows it. A DISCONNECT may have set the interval to 0 since: what the log
    /// was told before still has to be taken back.
    pub(crate) fn recorded_number(&self) -> Option<u64> {
        (self.counted != Counted::Transient).then_some(self.number)
    }

    pub(crate) fn partition(&self) -> u16 {
        partition_of(&self.client_id)
    }
}

/// All sessions of one shard, found by client id or by key.
pub(crate) struct Sessions {
    shard: ShardId,
    sessions: Slab<Session>,
    by_client_id: HashTable<u32>,
}

impl Sessions {
    pub(crate) fn new(shard: ShardId) -> Self {
        Self {
            shard,
            sessions: Slab::new(),
            by_client_id: HashTable::new(),
        }
    }

    /// The index of the session with this client id.
    pub(crate) fn find(&self, client_id: &str) -> Option<u32> {
        self.by_client_id
            .find(hash(client_id), |&index| {
                &*self.sessions[index as usize].client_id == client_id
            })
            .copied()
    }

    /// Adds a session whose client id is not there yet.
    pub(crate) fn insert(&mut self, session: Session) -> u32 {
        let hashed = hash(&session.client_id);
        let index =
            u32::try_from(self.sessions.insert(session)).expect("sessions are limited below 2^32");
        let sessions = &self.sessions;
        self.by_client_id.insert_unique(hashed, index, |&other| {
            hash(&sessions[other as usize].client_id)
        });
        index
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<Session> {
        let session = self.sessions.try_remove(index as usize)?;
        if let Ok(entry) = self
            .by_client_id
            .find_entry(hash(&session.client_id), |&other| other == index)
        {
            entry.remove();
        }
        Some(session)
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Session> {
        self.sessions.get(index as usize)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Session> {
        self.sessions.get_mut(index as usize)
    }

    /// The session of that number, unless it is gone.
    pub(crate) fn numbered_mut(&mut self, index: u32, number: u64) -> Option<&mut Session> {
        self.sessions
            .get_mut(index as usize)
            .filter(|session| session.number == number)
    }

    /// Places in the table, taken or free.
    pub(crate) fn places(&self) -> usize {
        self.sessions.capacity()
    }

    /// Gives back what sessions that ended left free.
    pub(crate) fn shrink(&mut self) {
        tables::shrink(&mut self.sessions);
        if tables::is_sparse(self.by_client_id.len(), self.by_client_id.capacity()) {
            let sessions = &self.sessions;
            self.by_client_id
                .shrink_to_fit(|&index| hash(&sessions[index as usize].client_id));
        }
    }

    /// The sessions at these places.
    pub(crate) fn range(&self, places: Range<usize>) -> impl Iterator<Item = &Session> {
        let end = places.end.min(self.sessions.capacity());
        (places.start..end).filter_map(|place| self.sessions.get(place))
    }

    /// The key under which other shards know the session at `index`.
    pub(crate) fn key(&self, index: u32) -> Option<SessionKey> {
        let session = self.get(index)?;
        Some(SessionKey {
            shard: self.shard,
            index,
            number: session.number,
        })
    }
}

fn hash(client_id: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(client_id.as_bytes())
}

//! Who gets a message: matched once per distinct topic, then kept as long as nothing changed.
//!
//! ```text
//!  topic name ──► RouteCache ── same version of the index? ──► Routes
//!                     │ no: filter index, read-locked for one match
//!                     └──────────────────────────────────────► Routes { local, remote, groups }
//! ```
//!
//! One session gets one copy, with the highest QoS of its matching subscriptions and all their
//! identifiers. Read first: MQTT 5.0 sections 3.3.4, 3.8.3.1 and 4.7.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use whinchat_codec::QoS;
use whinchat_topic::{FilterIndex, Generation, TopicName};

use super::keys::{Grant, GroupKey, SessionKey, ShardId, SubscriberKey};

/// All subscriptions of all shards.
#[derive(Default)]
pub(crate) struct SubscriptionIndex {
    filters: RwLock<FilterIndex<SubscriberKey, Grant>>,
    /// Grows with every change; equal versions mean equal contents, without taking the lock.
    version: AtomicU64,
}

impl SubscriptionIndex {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, FilterIndex<SubscriberKey, Grant>> {
        self.filters.read()
    }

    /// The index, to change it. What is matched after the guard is gone sees the change.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, FilterIndex<SubscriberKey, Grant>> {
        let guard = self.filters.write();
        self.version.fetch_add(1, Ordering::Release);
        guard
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

/// Where messages of one topic name go.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// Sessions of this shard.
    pub(crate) local: Vec<Target>,
    /// Sessions of other shards.
    pub(crate) remote: Vec<(ShardId, Arc<[Target]>)>,
    /// Shared subscriptions.
    pub(crate) groups: Vec<(GroupKey, Grant)>,
    /// True if a message of QoS 1 or 2 has to survive for one of them.
    pub(crate) durable: bool,
    /// True if one of the subscriptions has No Local, so that the publisher matters.
    pub(crate) no_local: bool,
}

impl Routes {
    pub(crate) fn is_empty(&self) -> bool {
        self.local.is_empty() && self.remote.is_empty() && self.groups.is_empty()
    }
}

/// One session that gets a message, with what its matching subscriptions granted together.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) session: SessionKey,
    pub(crate) qos: QoS,
    pub(crate) retain_as_published: bool,
    pub(crate) durable: bool,
    /// Each delivery is checked: only a part of a filter was allowed.
    pub(crate) partly: bool,
    pub(crate) subscription_ids: SubscriptionIds,
}

/// The Subscription Identifiers of one delivery: hardly ever more than one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum SubscriptionIds {
    #[default]
    None,
    One([u32; 1]),
    Many(Vec<u32>),
}

impl SubscriptionIds {
    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(id) => id,
            Self::Many(ids) => ids,
        }
    }

    fn push(&mut self, id: u32) {
        match self {
            Self::None => *self = Self::One([id]),
            Self::One([first]) => *self = Self::Many(vec![*first, id]),
            Self::Many(ids) => ids.push(id),
        }
    }
}

impl Target {
    pub(crate) fn new(session: SessionKey, grant: Grant) -> Self {
        let mut ids = SubscriptionIds::None;
        if let Some(id) = grant.subscription_id() {
            ids.push(id);
        }
        Self {
            session,
            qos: grant.qos(),
            retain_as_published: grant.retain_as_published(),
            durable: grant.is_durable(),
            partly: grant.is_partly(),
            subscription_ids: ids,
        }
    }

    /// Adds an overlapping subscription of the same session (v5 [MQTT-3.3.4-2], [MQTT-3.3.4-3]).
    fn add(&mut self, grant: Grant) {
        self.qos = if planted!(OverlapLowestQoS) {
            self.qos.min(grant.qos())
        } else {
            self.qos.max(grant.qos())
        };
        self.retain_as_published |= grant.retain_as_published();
        self.durable |= grant.is_durable();
        self.partly |= grant.is_partly();
        if let Some(id) = grant.subscription_id()
            && !planted!(SubscriptionIdMissing)
        {
            self.subscription_ids.push(id);
        }
    }
}

/// Looks up who gets messages of `topic` that `publisher` publishes, without the cache.
///
/// Subscriptions with No Local of the publisher itself are left out (v5 [MQTT-3.8.3-3]).
pub(crate) fn find_routes(
    filters: &FilterIndex<SubscriberKey, Grant>,
    shard: ShardId,
    topic: &TopicName,
    publisher: Option<u64>,
) -> Routes {
    let mut routes = Routes::default();
    let mut matches: Vec<(SessionKey, Grant)> = Vec::new();
    filters.for_each_match(topic, |key, grant| match *key {
        SubscriberKey::Group(group) => {
            routes.durable |= grant.is_durable();
            routes.groups.push((group, *grant));
        }
        SubscriberKey::Session(session) => {
            routes.no_local |= grant.no_local();
            let is_own = grant.no_local() && publisher == Some(session.number);
            if !is_own || planted!(NoLocalIgnored) {
                matches.push((session, *grant));
            }
        }
    });
    // By shard, then by session: overlapping subscriptions end up side by side.
    matches.sort_by_key(|(session, _)| *session);
    let mut remote: Vec<(ShardId, Vec<Target>)> = Vec::new();
    for (session, grant) in matches {
        routes.durable |= grant.is_durable();
        let targets = if session.shard == shard {
            &mut routes.local
        } else {
            if remote.last().is_none_or(|(last, _)| *last != session.shard) {
                remote.push((session.shard, Vec::new()));
            }
            &mut remote.last_mut().expect("just pushed").1
        };
        match targets.last_mut() {
            Some(last) if last.session == session => last.add(grant),
            _ => targets.push(Target::new(session, grant)),
        }
    }
    routes.remote = remote
        .into_iter()
        .map(|(shard, targets)| (shard, targets.into()))
        .collect();
    routes
}

const CACHE_PLACES: usize = 1024;

/// The routes of topics seen lately, one place per hash value.
pub(crate) struct RouteCache {
    places: Vec<Place>,
}

#[derive(Default)]
struct Place {
    /// The hash of the topic seen here last: a topic gets the place when it is seen twice in a row.
    seen: u64,
    entry: Option<Entry>,
}

struct Entry {
    topic: Box<str>,
    version: u64,
    generation: Generation,
    routes: Rc<Routes>,
}

impl RouteCache {
    pub(crate) fn new() -> Self {
        Self {
            places: (0..CACHE_PLACES).map(|_| Place::default()).collect(),
        }
    }

    /// Who gets messages of `topic`, whoever publishes.
    pub(crate) fn routes(
        &mut self,
        index: &SubscriptionIndex,
        shard: ShardId,
        topic: &TopicName,
    ) -> Rc<Routes> {
        let hash = xxhash_rust::xxh3::xxh3_64(topic.as_str().as_bytes());
        let place =
            usize::try_from(hash % CACHE_PLACES as u64).expect("below the number of places");
        let place = &mut self.places[place];
        let version = index.version();
        if let Some(entry) = &mut place.entry
            && *entry.topic == *topic.as_str()
        {
            if entry.version == version {
                return Rc::clone(&entry.routes);
            }
            let filters = index.read();
            let generation = filters.generation_of(topic);
            if generation != entry.generation {
                entry.routes = Rc::new(find_routes(&filters, shard, topic, None));
                entry.generation = generation;
            }
            // Read before the lock was taken: a change in between is looked at once more.
            entry.version = version;
            return Rc::clone(&entry.routes);
        }
        let filters = index.read();
        let routes = Rc::new(find_routes(&filters, shard, topic, None));
        if place.seen == hash {
            place.entry = Some(Entry {
                topic: topic.as_str().into(),
                version,
                generation: filters.generation_of(topic),
                routes: Rc::clone(&routes),
            });
        }
        place.seen = hash;
        routes
    }
}

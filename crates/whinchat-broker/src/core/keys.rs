//! Names for what the shards tell each other about: shards, sessions, subscribers.

use whinchat_codec::{QoS, SubscriptionOptions};

/// One shard, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ShardId(u16);

impl ShardId {
    pub(crate) fn new(position: usize) -> Self {
        Self(u16::try_from(position).expect("the builder allows at most 1,024 shards"))
    }

    pub(crate) fn position(self) -> usize {
        usize::from(self.0)
    }
}

/// How many partitions client ids are spread over, whatever the number of shards.
pub(crate) const PARTITIONS: u16 = 64;

/// The partition that a client id lives in: stable across restarts and releases.
pub(crate) fn partition_of(client_id: &str) -> u16 {
    let hash = xxhash_rust::xxh3::xxh3_64(client_id.as_bytes());
    u16::try_from(hash % u64::from(PARTITIONS)).expect("a remainder below 64")
}

/// A session in its shard's table. Its number is never used again, so a key that outlived its session
/// finds nothing, whoever has the place by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionKey {
    pub(crate) shard: ShardId,
    pub(crate) index: u32,
    pub(crate) number: u64,
}

/// A shared subscription's group in the table of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GroupKey {
    pub(crate) index: u32,
    pub(crate) check: u32,
}

/// Who stands in the filter index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum SubscriberKey {
    Session(SessionKey),
    Group(GroupKey),
}

/// What was granted to a subscriber for one filter, packed: an entry of the filter index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The Subscription Identifier, at most 28 bits; 0 for none.
    subscription_id: u32,
    qos: QoS,
    no_local: bool,
    retain_as_published: bool,
    durable: bool,
    /// Only a part of the filter is allowed: each delivery is checked.
    partly: bool,
}

impl Grant {
    pub(crate) fn new(
        options: &SubscriptionOptions,
        id: Option<u32>,
        durable: bool,
        partly: bool,
    ) -> Self {
        Self {
            subscription_id: id.unwrap_or(0),
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            durable,
            partly,
        }
    }

    /// The Subscription Identifier of this subscription.
    pub(crate) fn subscription_id(self) -> Option<u32> {
        (self.subscription_id != 0).then_some(self.subscription_id)
    }

    pub(crate) fn qos(self) -> QoS {
        self.qos
    }

    pub(crate) fn no_local(self) -> bool {
        self.no_local
    }

    pub(crate) fn retain_as_published(self) -> bool {
        self.retain_as_published
    }

    /// True if the subscriber's session outlives its connection and the granted QoS is above 0:
    /// a message for it must survive, so its publisher's ack waits for the log.
    pub(crate) fn is_durable(self) -> bool {
        self.durable && self.qos != QoS::AtMostOnce
    }

    pub(crate) fn is_partly(self) -> bool {
        self.partly
    }

    pub(crate) fn set_partly(&mut self, partly: bool) {
        self.partly = partly;
    }

    pub(crate) fn set_durable(&mut self, durable: bool) {
        self.durable = durable;
    }
}

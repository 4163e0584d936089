//! A store that may not grow, for the disk is full or the log has its share of it (L-20): what must survive is not taken, and everything else goes on.
//!
//! 5.0 publishers are told 0x97. 3.x has no word for it: such a publisher is not read from until there is room, and nothing of it is lost. Acks, the
//! ends of deliveries and subscriptions still find room in the segment that the log writes to, so queues empty themselves; messages of QoS 0 touch no store.

use std::sync::atomic::{AtomicBool, Ordering};

use whinchat_codec::{PacketRef, QoS};
use whinchat_topic::TopicName;

use super::mail::SlotKey;
use crate::{
    limits::Limit,
    shard::{Shard, slot::Hold},
};

/// Whether the log has more than its share of the volume: the first shard looks once a second.
#[derive(Debug, Default)]
pub(crate) struct Share {
    is_exceeded: AtomicBool,
}

/// Whether the store has room, and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Room {
    is_missing: bool,
    waiting: Vec<SlotKey>,
}

impl Room {
    pub(crate) fn is_missing(&self) -> bool {
        self.is_missing
    }
}

impl Shard {
    pub(crate) fn look_at_share(&self) {
        let Some(segments) = self.commons.log.segments() else {
            return;
        };
        let Some(volume) = segments.volume_bytes() else {
            return;
        };
        let percent = self.settings.limits.store_percent;
        let most = volume / 100 * u64::from(percent);
        // What waits for its next use is given back sooner or later, and only by a log that grows.
        let bytes = segments.needed_bytes();
        let share = &self.commons.share.is_exceeded;
        let (was_exceeded, is_exceeded) = (share.load(Ordering::Relaxed), bytes > most);
        if is_exceeded == was_exceeded {
            return;
        }
        share.store(is_exceeded, Ordering::Relaxed);
        let limit = Limit::StorePercent.option();
        if is_exceeded {
            tracing::warn!(
                bytes,
                most,
                limit,
                "the log has its share of the volume: taking nothing that has to be stored"
            );
        } else {
            tracing::info!(bytes, most, limit, "the log has room again");
        }
    }

    /// Called at the start of each turn.
    pub(crate) fn look_for_room(&mut self, is_full: bool) {
        let is_missing = is_full || self.commons.share.is_exceeded.load(Ordering::Relaxed);
        self.room.is_missing = is_missing;
        if is_missing || self.room.waiting.is_empty() {
            return;
        }
        for key in std::mem::take(&mut self.room.waiting) {
            if let Some(slot) = self.checked_slot(key) {
                slot.release(Hold::Room);
            }
        }
    }

    /// True if this message would have to be stored and cannot be.
    pub(crate) fn has_no_room_for(&mut self, qos: QoS, retain: bool, topic: &str) -> bool {
        self.room.is_missing
            && qos > QoS::AtMostOnce
            && (retain || self.is_for_durable_session(topic))
    }

    fn is_for_durable_session(&mut self, topic: &str) -> bool {
        let topic = TopicName::from_validated(topic);
        let index = &self.commons.subscriptions;
        self.routes.routes(index, self.id, topic).durable
    }

    /// True if the connection has to wait with this packet: a publisher that could not be told.
    pub(crate) fn waits_for_room(&mut self, index: u32, packet: &PacketRef<'_>) -> bool {
        let PacketRef::Publish(publish) = packet else {
            return false;
        };
        let Some(slot) = self.slots.get(index as usize) else {
            return false;
        };
        let key = SlotKey {
            index,
            check: slot.check,
        };
        let qos = publish.guarantee.qos();
        let is_told = slot.engine.version().is_v5() || slot.session().is_none();
        // A name that is none is for the engine to find.
        if !self.room.is_missing || is_told || TopicName::new(publish.topic).is_err() {
            return false;
        }
        if !self.has_no_room_for(qos, publish.retain, publish.topic) {
            return false;
        }
        self.slots[index as usize].hold(Hold::Room);
        self.room.waiting.push(key);
        true
    }
}

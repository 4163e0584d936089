//! A session made again from what was recorded of it, one step at a time.
//!
//! ```text
//! queued ──▶ queue ──sent──▶ in flight ──pubrec──▶ in flight ──answered──▶ (gone)
//!               └──dropped───────────────────────────────────────────────▶ (gone)
//! ```
//!
//! The driver reads its log and calls the method of each record, in order. What comes out is what [`SessionState::export`] would have given
//! when the last of them was recorded. Read first: [`Effect`](crate::Effect).

use hashbrown::HashMap;
use whinchat_codec::{PacketId, PubRecReason, QoS};

use super::{Incoming, Outgoing, Queued, SessionState, Slot, Unsent};
use crate::DeliveryOptions;
use crate::message::{Message, SubscriptionIds};

impl<M: Message> SessionState<M> {
    /// A message was to be delivered: it waits in the queue, whatever the limits are today.
    pub fn replay_queued(&mut self, message: M, options: &DeliveryOptions<'_>) {
        let queued = Queued {
            message,
            qos: options.qos,
            retain: options.retain,
            subscription_ids: SubscriptionIds::new(options.subscription_ids),
            may_have_left: false,
        };
        let queue = &mut self.sender_mut().queue;
        if planted!(QueueReadBackwards) {
            queue.push_front(queued);
        } else {
            queue.push(queued);
        }
    }

    /// [`Effect::Sent`](crate::Effect::Sent): the first message of the queue that `is_it` got this packet id. False if there is none; then nothing
    /// is changed.
    pub fn replay_sent(&mut self, id: PacketId, is_it: impl FnMut(&M) -> bool) -> bool {
        let Some(sender) = self.sender.as_mut() else {
            return false;
        };
        let Some(queued) = sender.queue.take_first(is_it) else {
            return false;
        };
        sender.push(in_flight(id, queued));
        sender.set_last_packet_id(id);
        true
    }

    /// [`Effect::Acked`](crate::Effect::Acked) or [`Effect::Completed`](crate::Effect::Completed): the packet id is free.
    pub fn replay_answered(&mut self, id: PacketId) {
        if let Some(sender) = self.sender.as_mut()
            && let Some(position) = sender.position(id)
        {
            sender.finish(position);
        }
    }

    /// [`Effect::PubRecReceived`](crate::Effect::PubRecReceived): the peer has the message.
    pub fn replay_pubrec(&mut self, id: PacketId) {
        if let Some(sender) = self.sender.as_mut()
            && let Some(position) = sender.position(id)
            && let Some(slot) = sender.slot_mut(position)
        {
            slot.state = Outgoing::AwaitPubComp;
            slot.message = None;
        }
    }

    /// [`Effect::Received`](crate::Effect::Received): a QoS 2 packet id of the peer is held.
    pub fn replay_received(&mut self, id: PacketId) {
        self.receiver_mut().set(id, Incoming::Recorded);
    }

    /// [`Effect::Released`](crate::Effect::Released): it is held no longer.
    pub fn replay_released(&mut self, id: PacketId) {
        self.receiver_mut().release(id);
    }

    /// The first message of the queue that `is_it` will not be delivered. False if there is none.
    ///
    /// One that was in flight has its packet id back as well: that is [`replay_answered`](Self::replay_answered).
    pub fn replay_dropped(&mut self, is_it: impl FnMut(&M) -> bool) -> bool {
        self.sender
            .as_mut()
            .is_some_and(|sender| sender.queue.take_first(is_it).is_some())
    }

    /// To be called once, behind the last record, for a session that was connected when the records end: the messages of QoS 1 that wait may have left
    /// and been answered without a record, any number of them, so they go out with DUP and do not expire. At QoS 2 nothing leaves without a record.
    pub fn assume_sent(&mut self) {
        if let Some(sender) = self.sender.as_mut() {
            sender.queue.assume_sent();
        }
    }

    /// The state of the session was recorded anew, whole. What waits here and is not in it was recorded by somebody who had not told the session yet
    /// (one copy for one, by `key`): it comes behind what is in it.
    pub fn replay_state(&mut self, state: Self, key: impl Fn(&M) -> u64) {
        let mut known: HashMap<u64, usize> = HashMap::new();
        if let Some(sender) = &state.sender {
            let in_flight = sender.slots().filter_map(|slot| slot.message.as_ref());
            let waiting = sender.queue.iter().map(|queued| &queued.message);
            for message in in_flight.chain(waiting) {
                *known.entry(key(message)).or_default() += 1;
            }
        }
        let before = core::mem::replace(self, state);
        let Some(mut before) = before.sender.filter(|_| !planted!(StateForgetsRouted)) else {
            return;
        };
        while let Some(queued) = before.queue.pop() {
            match known.get_mut(&key(&queued.message)) {
                Some(copies) if *copies > 0 => *copies -= 1,
                Some(_) | None => self.sender_mut().queue.push(queued),
            }
        }
    }
}

fn in_flight<M>(id: PacketId, queued: Queued<M>) -> Slot<M> {
    Slot {
        id,
        state: if queued.qos == QoS::AtLeastOnce {
            Outgoing::AwaitPubAck
        } else {
            Outgoing::AwaitPubRec
        },
        retain: queued.retain,
        unsent: Unsent::No,
        pubrec: PubRecReason::Success,
        message: Some(queued.message),
        subscription_ids: queued.subscription_ids,
    }
}

//! QoS 1 and 2 messages that we send, and the queue behind them.
//!
//! Owns the exchanges in flight, in the order of their first transmission, and everything that
//! uses one of our packet ids; behind them stands the [`Queue`]. Leaves to the connection how much may be in flight and how a
//! PUBLISH is written. Read first: MQTT 5.0 sections 4.3.2, 4.3.3, 4.4 and 4.6.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use whinchat_codec::{PacketId, PubRecReason, QoS};

use super::UnackedMessage;
use super::packet_ids::PacketIds;
use super::queue::{Queue, Queued};
use crate::Ticket;
use crate::message::{Message, SubscriptionIds};

/// What one of our packet ids waits for.
///
/// ```text
/// QoS 1   send ─────────────────────────────▶ AwaitPubAck ──PUBACK──────────────▶ Done
///
/// QoS 2   send ─▶ AwaitSentCommit ─commit──▶ AwaitPubRec ──PUBREC 0x80..────────▶ Done
///                (PUBLISH held back)             │ PUBREC
///                                                ▼
///                                       AwaitPubRecCommit ─commit─▶ AwaitPubComp ─PUBCOMP▶ Done
///                                        (PUBREL held back)        (PUBREL has left)
///
/// client  SUBSCRIBE ─▶ AwaitSubAck ─SUBACK─▶ Done     UNSUBSCRIBE ─▶ AwaitUnsubAck ─▶ Done
/// ```
/// A commit that has already happened is no step of its own. `Done` stays only until all before
/// it is done, so that a packet id can be found from its distance to the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// QoS 2: the PUBLISH leaves when its record is durable.
    AwaitSentCommit,
    /// QoS 1.
    AwaitPubAck,
    /// QoS 2, first half.
    AwaitPubRec,
    /// QoS 2: the PUBREL leaves when the record of the PUBREC is durable.
    AwaitPubRecCommit,
    /// QoS 2, second half.
    AwaitPubComp,
    /// A SUBSCRIBE of this connection.
    AwaitSubAck,
    /// An UNSUBSCRIBE of this connection.
    AwaitUnsubAck,
    /// The id is free.
    Done,
}

impl Outgoing {
    /// Whether it is an exchange of a message, and so part of the session state.
    pub(crate) const fn is_delivery(self) -> bool {
        match self {
            Self::AwaitSentCommit
            | Self::AwaitPubAck
            | Self::AwaitPubRec
            | Self::AwaitPubRecCommit
            | Self::AwaitPubComp => true,
            Self::AwaitSubAck | Self::AwaitUnsubAck | Self::Done => false,
        }
    }

    /// Whether the peer has not taken the message over: it may have to be sent once more.
    pub(crate) const fn is_undelivered(self) -> bool {
        match self {
            Self::AwaitSentCommit | Self::AwaitPubAck | Self::AwaitPubRec => true,
            Self::AwaitPubRecCommit
            | Self::AwaitPubComp
            | Self::AwaitSubAck
            | Self::AwaitUnsubAck
            | Self::Done => false,
        }
    }
}

/// One packet id in use.
#[derive(Clone, Debug)]
pub(crate) struct Slot<M> {
    pub(crate) id: PacketId,
    pub(crate) state: Outgoing,
    pub(crate) retain: bool,
    pub(crate) unsent: Unsent,
    /// The reason in the PUBREC, once it has arrived.
    pub(crate) pubrec: PubRecReason,
    pub(crate) message: Option<M>,
    pub(crate) subscription_ids: SubscriptionIds,
}

/// Whether the PUBLISH of a slot still has to be sent on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// It has been sent, or waits only for its commit.
    No,
    /// It left on an earlier connection and goes out again, with DUP.
    Again,
    /// It was held back when the earlier connection ended, and has its turn behind those that
    /// did leave.
    First,
}

impl Unsent {
    const fn count(self) -> usize {
        match self {
            Self::No => 0,
            Self::Again | Self::First => 1,
        }
    }
}

/// ```text
///   queue        ┌── slots, oldest first ───────────────┐
///   m m m m  ──▶ │ Done  AwaitPubComp  Done  AwaitPubAck │ ──▶ peer
///                └───────────────────────────────────────┘
///                   gates: (ticket, id) of the two held-back states, in order
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Sender<M> {
    slots: VecDeque<Slot<M>>,
    /// Slots whose state is `Done`.
    done: usize,
    /// Slots whose state is a delivery.
    deliveries: usize,
    /// Deliveries that are `unsent`.
    unsent: usize,
    /// No slot before this position is `unsent`.
    resend_from: usize,
    packet_ids: PacketIds,
    gates: VecDeque<(Ticket, PacketId)>,
    pub(crate) queue: Queue<M>,
}

impl<M> Sender<M> {
    pub(crate) const fn new() -> Self {
        Self::with_packet_ids(PacketIds::new())
    }

    pub(crate) const fn with_packet_ids(packet_ids: PacketIds) -> Self {
        Self {
            slots: VecDeque::new(),
            done: 0,
            deliveries: 0,
            unsent: 0,
            resend_from: 0,
            packet_ids,
            gates: VecDeque::new(),
            queue: Queue::new(),
        }
    }

    // ---- packet ids in use ----

    /// A free packet id; it is in use once a slot with it is pushed.
    #[inline]
    pub(crate) fn allocate(&mut self) -> Option<PacketId> {
        let Self {
            packet_ids, slots, ..
        } = self;
        if planted!(PacketIdReused)
            && let Some(slot) = slots.front()
        {
            return Some(slot.id);
        }
        packet_ids.allocate(|| {
            slots
                .iter()
                .filter(|slot| slot.state != Outgoing::Done)
                .map(|slot| slot.id)
        })
    }

    pub(crate) const fn last_packet_id(&self) -> u16 {
        self.packet_ids.last()
    }

    /// Goes on behind an id that was handed out in an earlier life.
    pub(crate) const fn set_last_packet_id(&mut self, id: PacketId) {
        self.packet_ids = PacketIds::behind(id.get());
    }

    /// Puts a packet id to use, behind all others.
    #[inline]
    pub(crate) fn push(&mut self, slot: Slot<M>) {
        self.deliveries += usize::from(slot.state.is_delivery());
        self.unsent += slot.unsent.count();
        self.slots.push_back(slot);
    }

    /// Where the slot of a packet id is.
    ///
    /// Ids are handed out in rising order. So the distance to the last id gives the position as
    /// long as nothing was taken out in between, and bisection gives it as long as no id at the
    /// front is so old that the others have come round to it.
    #[inline]
    pub(crate) fn position(&self, id: PacketId) -> Option<usize> {
        let is_it = |slot: &Slot<M>| slot.id == id && slot.state != Outgoing::Done;
        let (front, back) = (self.slots.front()?, self.slots.back()?);
        if is_it(front) {
            return Some(0);
        }
        let guess = self
            .slots
            .len()
            .checked_sub(usize::from(steps(id, back.id)) + 1);
        guess
            .filter(|guess| self.slots.get(*guess).is_some_and(is_it))
            .or_else(|| self.search(id, front.id))
    }

    #[cold]
    fn search(&self, id: PacketId, first: PacketId) -> Option<usize> {
        let is_it = |slot: &Slot<M>| slot.id == id && slot.state != Outgoing::Done;
        let sought = steps(first, id);
        self.slots
            .binary_search_by_key(&sought, |slot| steps(first, slot.id))
            .ok()
            .filter(|position| self.slots.get(*position).is_some_and(is_it))
            .or_else(|| self.slots.iter().position(is_it))
    }

    #[inline]
    pub(crate) fn slot(&self, position: usize) -> Option<&Slot<M>> {
        self.slots.get(position)
    }

    #[inline]
    pub(crate) fn slot_mut(&mut self, position: usize) -> Option<&mut Slot<M>> {
        self.slots.get_mut(position)
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot<M>> {
        self.slots
            .iter()
            .filter(|slot| slot.state != Outgoing::Done)
    }

    /// Frees the packet id of the slot at `position`; the message it had.
    #[inline]
    pub(crate) fn finish(&mut self, position: usize) -> Option<M> {
        let slot = self.slots.get_mut(position)?;
        self.deliveries -= usize::from(slot.state.is_delivery());
        self.unsent -= slot.unsent.count();
        self.done += usize::from(slot.state != Outgoing::Done);
        slot.state = Outgoing::Done;
        slot.unsent = Unsent::No;
        slot.subscription_ids = SubscriptionIds::None;
        let message = slot.message.take();
        while self
            .slots
            .front()
            .is_some_and(|slot| slot.state == Outgoing::Done)
        {
            self.slots.pop_front();
            self.done -= 1;
            self.resend_from = self.resend_from.saturating_sub(1);
        }
        give_back(&mut self.slots);
        if self.done > 32 && self.done > self.slots.len() / 2 {
            self.clear_done();
        }
        message
    }

    /// Takes the done slots out from between the others. Costs a pass for as many steps before.
    #[cold]
    fn clear_done(&mut self) {
        self.slots.retain(|slot| slot.state != Outgoing::Done);
        self.done = 0;
        self.resend_from = 0;
    }

    // ---- what is in flight ----

    /// Messages without their last answer, those not yet sent again included.
    #[inline]
    pub(crate) const fn deliveries(&self) -> usize {
        self.deliveries
    }

    /// Messages that take up the peer's Receive Maximum on this connection.
    #[inline]
    pub(crate) const fn in_flight(&self) -> usize {
        self.deliveries - self.unsent
    }

    /// Whether messages of an earlier connection still have to be sent again.
    #[inline]
    pub(crate) const fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    /// A new connection: SUBSCRIBE and UNSUBSCRIBE are forgotten, and each PUBLISH that left and
    /// was not answered has to be sent again. // v5 [MQTT-4.4.0-1]
    pub(crate) fn start_connection(&mut self) {
        self.slots.retain(|slot| slot.state.is_delivery());
        self.done = 0;
        self.resend_from = 0;
        self.unsent = 0;
        for slot in &mut self.slots {
            slot.unsent = match (slot.state, slot.unsent) {
                (Outgoing::AwaitSentCommit, _) | (_, Unsent::First) => Unsent::First,
                (Outgoing::AwaitPubAck | Outgoing::AwaitPubRec, _) => Unsent::Again,
                (
                    Outgoing::AwaitPubRecCommit
                    | Outgoing::AwaitPubComp
                    | Outgoing::AwaitSubAck
                    | Outgoing::AwaitUnsubAck
                    | Outgoing::Done,
                    _,
                ) => Unsent::No,
            };
            self.unsent += slot.unsent.count();
        }
    }

    /// For a planted bug.
    pub(crate) fn reverse(&mut self) {
        self.slots.make_contiguous().reverse();
    }

    /// The position of the oldest PUBLISH of an earlier connection that has not been sent on this
    /// one; `None` also if that one waits for its commit.
    pub(crate) fn next_unsent(&mut self) -> Option<usize> {
        if self.unsent == 0 {
            return None;
        }
        let offset = self
            .slots
            .range(self.resend_from.min(self.slots.len())..)
            .position(|slot| slot.unsent != Unsent::No)?;
        self.resend_from += offset;
        self.slots
            .get(self.resend_from)
            .filter(|slot| slot.state != Outgoing::AwaitSentCommit)
            .map(|_| self.resend_from)
    }

    /// The PUBLISH at `position` is being sent. Returns what it had been.
    pub(crate) fn mark_sent(&mut self, position: usize) -> Unsent {
        let Some(slot) = self.slots.get_mut(position) else {
            return Unsent::No;
        };
        self.unsent -= slot.unsent.count();
        core::mem::replace(&mut slot.unsent, Unsent::No)
    }

    // ---- packets held back until their record is durable ----

    #[inline]
    pub(crate) fn push_gate(&mut self, ticket: Ticket, id: PacketId) {
        debug_assert!(self.gates.back().is_none_or(|(last, _)| *last <= ticket));
        self.gates.push_back((ticket, id));
    }

    /// The ticket that the oldest held-back packet waits for.
    #[inline]
    pub(crate) fn first_gate(&self) -> Option<Ticket> {
        self.gates.front().map(|(ticket, _)| *ticket)
    }

    /// The ticket that the youngest held-back packet waits for.
    #[inline]
    pub(crate) fn last_gate(&self) -> Option<Ticket> {
        self.gates.back().map(|(ticket, _)| *ticket)
    }

    /// The id of the oldest held-back packet, if it need not wait any longer.
    #[inline]
    pub(crate) fn pop_gate(&mut self, committed: Ticket) -> Option<PacketId> {
        self.gates
            .pop_front_if(|(ticket, _)| *ticket <= committed)
            .map(|(_, id)| id)
    }
}

impl<M: Message> Sender<M> {
    /// Whether the message at `position` can be sent.
    pub(crate) fn load(&mut self, position: usize) -> bool {
        let message = self
            .slots
            .get_mut(position)
            .and_then(|slot| slot.message.as_mut());
        message.is_none_or(Message::load)
    }

    /// Turns every delivery that the peer has not taken over into a new message at the front of
    /// the queue, in order, and frees all packet ids. The messages behind a PUBREC go to
    /// `on_taken`: the peer has them.
    pub(crate) fn start_over(&mut self, mut on_taken: impl FnMut(M)) {
        for slot in core::mem::take(&mut self.slots).into_iter().rev() {
            let qos = match slot.state {
                Outgoing::AwaitPubAck => QoS::AtLeastOnce,
                Outgoing::AwaitSentCommit | Outgoing::AwaitPubRec => QoS::ExactlyOnce,
                Outgoing::AwaitPubRecCommit | Outgoing::AwaitPubComp => {
                    slot.message.into_iter().for_each(&mut on_taken);
                    continue;
                }
                Outgoing::AwaitSubAck | Outgoing::AwaitUnsubAck | Outgoing::Done => continue,
            };
            if let Some(message) = slot.message {
                self.queue.push_front(Queued {
                    message,
                    qos,
                    retain: slot.retain,
                    subscription_ids: slot.subscription_ids,
                    may_have_left: false,
                });
            }
        }
        self.queue.start_over();
        self.gates.clear();
        self.done = 0;
        self.deliveries = 0;
        self.unsent = 0;
        self.resend_from = 0;
    }
}

impl<M: Message> Sender<M> {
    /// Takes out what `select` names and the peer cannot have taken over.
    pub(crate) fn take_unacked(
        &mut self,
        select: &mut impl FnMut(&M) -> bool,
    ) -> Vec<UnackedMessage<M>> {
        let mut taken = Vec::new();
        for position in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(position) else {
                break;
            };
            let (qos, was_sent) = match slot.state {
                Outgoing::AwaitPubAck => (QoS::AtLeastOnce, true),
                Outgoing::AwaitSentCommit => (QoS::ExactlyOnce, false),
                // Its record is durable, and its turn never came.
                Outgoing::AwaitPubRec if slot.unsent == Unsent::First => (QoS::ExactlyOnce, false),
                Outgoing::AwaitPubRec
                | Outgoing::AwaitPubRecCommit
                | Outgoing::AwaitPubComp
                | Outgoing::AwaitSubAck
                | Outgoing::AwaitUnsubAck
                | Outgoing::Done => continue,
            };
            let Some(message) = slot.message.take_if(|message| select(message)) else {
                continue;
            };
            taken.push(UnackedMessage {
                message,
                qos,
                retain: slot.retain,
                was_sent,
                packet_id: Some(slot.id),
                subscription_ids: core::mem::take(&mut slot.subscription_ids),
            });
            self.deliveries -= 1;
            self.unsent -= slot.unsent.count();
            slot.state = Outgoing::Done;
            slot.unsent = Unsent::No;
        }
        self.clear_done();
        self.queue.take_selected(select, |queued| {
            taken.push(UnackedMessage {
                message: queued.message,
                qos: queued.qos,
                retain: queued.retain,
                was_sent: queued.may_have_left,
                packet_id: None,
                subscription_ids: queued.subscription_ids,
            });
        });
        taken
    }
}

/// Gives the memory of a burst back once it is over. What a steady exchange needs stays.
#[inline]
pub(super) fn give_back<T>(items: &mut VecDeque<T>) {
    if items.is_empty() && items.capacity() > 64 {
        *items = VecDeque::new();
    }
}

/// How many steps it takes from one packet id to another; 0 is skipped.
#[inline]
const fn steps(from: PacketId, to: PacketId) -> u16 {
    let (from, to) = (from.get(), to.get());
    if to >= from {
        to - from
    } else {
        (u16::MAX - from) + to
    }
}

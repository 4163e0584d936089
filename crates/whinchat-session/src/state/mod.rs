//! The state of a session: what outlives a connection, and what a store has to keep.
//!
//! Owns the exchanges in flight ([`sender`]), the messages behind them ([`queue`]) and the QoS 2
//! ids of the peer ([`receiver`]). Leaves subscriptions, the will and the moment of its own end to the driver.
//! Read first: MQTT 5.0 section 4.1.

mod packet_ids;
mod queue;
mod receiver;
mod replay;
mod sender;
mod snapshot;
mod snapshot_parts;

use alloc::boxed::Box;
use alloc::vec::Vec;

pub(crate) use queue::Queued;
pub(crate) use receiver::{Incoming, Receiver};
pub(crate) use sender::{Outgoing, Sender, Slot, Unsent};
pub use snapshot::{SessionSnapshot, SnapshotError};
pub use snapshot_parts::{AwaitedPart, InFlightPart, QueuedPart, SnapshotParts};
use whinchat_codec::{PacketId, QoS};

use crate::message::SubscriptionIds;
use crate::{Delivery, DeliveryOptions, DropReason, Instant, Message, QueueLimits};

/// The state of one session. It outlives the connection that uses it.
///
/// An empty one is two words; each half exists only once it is used. `M` is what the driver keeps
/// of a message.
#[derive(Clone, Debug)]
pub struct SessionState<M> {
    pub(crate) sender: Option<Box<Sender<M>>>,
    pub(crate) receiver: Option<Box<Receiver>>,
}

impl<M> Default for SessionState<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> SessionState<M> {
    /// A session in which nothing has happened.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            sender: None,
            receiver: None,
        }
    }

    /// Whether nothing is in flight, queued, or held for the peer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.in_flight() == 0 && self.queue_len() == 0 && self.held_ids() == 0
    }

    /// Messages that were given a packet id and still lack their last answer.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.sender.as_ref().map_or(0, |sender| sender.deliveries())
    }

    /// Messages that wait for their turn.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.sender.as_ref().map_or(0, |sender| sender.queue.len())
    }

    /// Bytes that wait for their turn, as [`Message::byte_size`] counts them.
    #[must_use]
    pub fn queue_bytes(&self) -> u64 {
        self.sender
            .as_ref()
            .map_or(0, |sender| sender.queue.bytes())
    }

    /// Whether the queue has met its limit and not yet recovered from it.
    #[must_use]
    pub fn is_overflowed(&self) -> bool {
        self.sender
            .as_ref()
            .is_some_and(|sender| sender.queue.is_overflowed())
    }

    /// QoS 2 packet ids of the peer that are held until its PUBREL.
    #[must_use]
    pub fn held_ids(&self) -> usize {
        self.receiver.as_ref().map_or(0, |receiver| receiver.len())
    }

    #[inline]
    pub(crate) fn sender_mut(&mut self) -> &mut Sender<M> {
        self.sender.get_or_insert_with(|| Box::new(Sender::new()))
    }

    #[inline]
    pub(crate) fn receiver_mut(&mut self) -> &mut Receiver {
        self.receiver.get_or_insert_default()
    }
}

impl<M> SessionState<M> {
    /// The messages that are still to be delivered: those in flight that the peer has not taken over, then those in the queue.
    pub fn messages(&self) -> impl Iterator<Item = &M> {
        let sender = self.sender.as_deref();
        let in_flight = sender.into_iter().flat_map(Sender::slots);
        let queue = sender.into_iter().flat_map(|sender| sender.queue.iter());
        in_flight
            .filter(|slot| slot.state.is_undelivered())
            .filter_map(|slot| slot.message.as_ref())
            .chain(queue.map(|queued| &queued.message))
    }

    /// The queued messages behind the first `ahead`, in order: for a driver that puts long queues elsewhere
    /// and brings each message back in [`Message::load`].
    ///
    /// Whatever a message is replaced by has to be the same message, with the same
    /// [`byte_size`](Message::byte_size) and [`expires_at`](Message::expires_at).
    pub fn queued_behind(&mut self, ahead: usize) -> impl DoubleEndedIterator<Item = &mut M> {
        let sender = self.sender.as_mut();
        sender
            .into_iter()
            .flat_map(move |sender| sender.queue.behind(ahead))
    }
}

impl<M: Message> SessionState<M> {
    /// Queues a message while no connection serves the session. With a connection,
    /// [`Connection::deliver`](crate::Connection::deliver) decides.
    ///
    /// `on_dropped` hears of older messages that had to make room. Returns
    /// [`Delivery::Queued`], or [`Delivery::Dropped`] if the message has expired or the queue
    /// takes nothing new.
    pub fn enqueue(
        &mut self,
        now: Instant,
        message: &M,
        options: &DeliveryOptions<'_>,
        limits: &QueueLimits,
        on_dropped: impl FnMut(M),
    ) -> Delivery {
        if message.expires_at().is_some_and(|expiry| expiry <= now) {
            return Delivery::Dropped(DropReason::Expired); // v5 [MQTT-3.3.2-5]
        }
        match self
            .sender_mut()
            .queue
            .enqueue(message, options, limits, on_dropped)
        {
            Ok(()) => Delivery::Queued,
            Err(_) => Delivery::Dropped(DropReason::QueueFull),
        }
    }

    /// Takes out all messages that the peer has not taken over, oldest first: in flight without
    /// PUBACK or PUBREC, then those that waited. For a shared subscription whose member has gone.
    ///
    /// QoS 2 messages that may have reached the peer are not among them: they stay in flight,
    /// for nobody else may get them. // v5 [MQTT-4.8.2-4] [MQTT-4.8.2-5]
    /// `select` tells which messages are meant; the others stay where they are. To be called while
    /// no connection serves the session: the packet ids of what is taken are free afterwards.
    pub fn take_unacked(&mut self, mut select: impl FnMut(&M) -> bool) -> Vec<UnackedMessage<M>> {
        let Some(sender) = self.sender.as_mut() else {
            return Vec::new();
        };
        sender.take_unacked(&mut select)
    }

    /// Forgets everything, as Clean Start demands. The messages go to `on_dropped`.
    pub fn clear(&mut self, mut on_dropped: impl FnMut(M)) {
        if let Some(mut sender) = self.sender.take() {
            sender.start_over(&mut on_dropped);
            while let Some(queued) = sender.queue.pop() {
                on_dropped(queued.message);
            }
        }
        self.receiver = None;
    }
}

/// A message that [`SessionState::take_unacked`] took out.
#[derive(Clone, Debug)]
pub struct UnackedMessage<M> {
    /// The message.
    pub message: M,
    /// The QoS at which it was to be delivered.
    pub qos: QoS,
    /// RETAIN of the delivery.
    pub retain: bool,
    /// Whether the peer may have got it already.
    pub was_sent: bool,
    /// The packet id that it had, free from here on; `None` if it waited.
    pub packet_id: Option<PacketId>,
    pub(crate) subscription_ids: SubscriptionIds,
}

impl<M> UnackedMessage<M> {
    /// Subscription Identifiers of the delivery.
    #[must_use]
    pub fn subscription_ids(&self) -> &[u32] {
        self.subscription_ids.as_slice()
    }
}

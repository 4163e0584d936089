//! Messages that wait for their turn, within limits.
//!
//! Leaves to the connection when the turn comes.

use alloc::collections::VecDeque;

use whinchat_codec::QoS;

use super::sender::give_back;
use crate::message::{Message, SubscriptionIds};
use crate::{DeliveryOptions, QueueLimits, QueuePolicy};

/// A message that waits for its turn.
#[derive(Clone, Debug)]
pub(crate) struct Queued<M> {
    pub(crate) message: M,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) subscription_ids: SubscriptionIds,
    /// It may have been sent on an earlier connection, which nobody recorded: it goes out with DUP.
    pub(crate) may_have_left: bool,
}

/// First in, first out.
#[derive(Clone, Debug)]
pub(crate) struct Queue<M> {
    messages: VecDeque<Queued<M>>,
    bytes: u64,
    /// How many of them have QoS 0.
    at_most_once: usize,
    overflowed: bool,
}

/// The queue takes nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

impl<M> Queue<M> {
    pub(crate) const fn new() -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            at_most_once: 0,
            overflowed: false,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether a message of QoS 0 waits: another one must not overtake it.
    #[inline]
    pub(crate) const fn has_at_most_once(&self) -> bool {
        self.at_most_once > 0
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it has met a limit and not yet recovered from that.
    pub(crate) const fn is_overflowed(&self) -> bool {
        self.overflowed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Queued<M>> {
        self.messages.iter()
    }

    #[inline]
    pub(crate) fn first(&self) -> Option<&Queued<M>> {
        self.messages.front()
    }

    /// All of QoS 1 may have been sent.
    pub(crate) fn assume_sent(&mut self) {
        for queued in &mut self.messages {
            queued.may_have_left |= queued.qos == QoS::AtLeastOnce;
        }
    }

    /// To whoever has lost its session all are new.
    pub(crate) fn start_over(&mut self) {
        for queued in &mut self.messages {
            queued.may_have_left = false;
        }
    }

    /// The messages behind the first `ahead`.
    pub(crate) fn behind(&mut self, ahead: usize) -> impl DoubleEndedIterator<Item = &mut M> {
        let ahead = ahead.min(self.messages.len());
        self.messages
            .range_mut(ahead..)
            .map(|queued| &mut queued.message)
    }
}

impl<M: Message> Queue<M> {
    /// Whether the first message can be sent; true if there is none.
    #[inline]
    pub(crate) fn load_first(&mut self) -> bool {
        self.messages
            .front_mut()
            .is_none_or(|queued| queued.message.load())
    }

    /// Appends without a look at the limits.
    pub(crate) fn push(&mut self, queued: Queued<M>) {
        self.count(&queued);
        self.messages.push_back(queued);
    }

    /// Puts a message in front of all others, without a look at the limits: it had its turn.
    pub(crate) fn push_front(&mut self, queued: Queued<M>) {
        self.count(&queued);
        self.messages.push_front(queued);
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Queued<M>> {
        let queued = self.messages.pop_front()?;
        self.uncount(&queued);
        give_back(&mut self.messages);
        Some(queued)
    }

    fn count(&mut self, queued: &Queued<M>) {
        self.bytes += queued.message.byte_size() as u64;
        self.at_most_once += usize::from(queued.qos == QoS::AtMostOnce);
    }

    fn uncount(&mut self, queued: &Queued<M>) {
        self.bytes -= queued.message.byte_size() as u64;
        self.at_most_once -= usize::from(queued.qos == QoS::AtMostOnce);
    }

    /// Takes out the first message that `is_it`.
    pub(crate) fn take_first(&mut self, mut is_it: impl FnMut(&M) -> bool) -> Option<Queued<M>> {
        let position = self
            .messages
            .iter()
            .position(|queued| is_it(&queued.message))?;
        let queued = self.messages.remove(position)?;
        self.uncount(&queued);
        Some(queued)
    }

    /// Appends within the limits. `on_dropped` hears of older messages that make room.
    ///
    /// # Errors
    /// The queue is full, and its policy refuses what is new or nothing can make enough room.
    pub(crate) fn enqueue(
        &mut self,
        message: &M,
        options: &DeliveryOptions<'_>,
        limits: &QueueLimits,
        mut on_dropped: impl FnMut(M),
    ) -> Result<(), QueueFull> {
        let size = message.byte_size() as u64;
        match limits.policy {
            QueuePolicy::RefuseNew => {
                if self.overflowed && self.is_below_nine_tenths(limits) {
                    self.overflowed = false;
                }
                if self.overflowed || !self.has_room(size, limits) {
                    self.overflowed = true;
                    return Err(QueueFull);
                }
            }
            QueuePolicy::DropOldest => {
                if size > limits.bytes || limits.messages == 0 {
                    return Err(QueueFull);
                }
                self.overflowed = !self.has_room(size, limits);
                while !self.has_room(size, limits) {
                    on_dropped(self.pop().ok_or(QueueFull)?.message);
                }
            }
        }
        self.push(Queued {
            message: message.clone(),
            qos: options.qos,
            retain: options.retain,
            subscription_ids: SubscriptionIds::new(options.subscription_ids),
            may_have_left: false,
        });
        Ok(())
    }

    fn has_room(&self, size: u64, limits: &QueueLimits) -> bool {
        (self.messages.len() as u64) < u64::from(limits.messages)
            && self.bytes.saturating_add(size) <= limits.bytes
    }

    fn is_below_nine_tenths(&self, limits: &QueueLimits) -> bool {
        self.messages.len() as u64 * 10 < u64::from(limits.messages) * 9
            && u128::from(self.bytes) * 10 < u128::from(limits.bytes) * 9
    }

    /// Takes out the messages that `select` names, in order.
    pub(crate) fn take_selected(
        &mut self,
        select: &mut impl FnMut(&M) -> bool,
        mut on_taken: impl FnMut(Queued<M>),
    ) {
        for queued in core::mem::take(&mut self.messages) {
            if select(&queued.message) {
                self.uncount(&queued);
                on_taken(queued);
            } else {
                self.messages.push_back(queued);
            }
        }
    }
}

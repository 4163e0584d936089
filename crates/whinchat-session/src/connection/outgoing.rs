//! Messages on their way to the peer: sent at once, held back, queued, sent again.
//!
//! Owns when a PUBLISH or PUBREL leaves and how it is written. What is in flight is kept by
//! [`Sender`](crate::state::Sender). Read first: MQTT 5.0 sections 3.3, 4.3, 4.4 and 4.9.

use alloc::vec::Vec;

use whinchat_codec::{
    Guarantee, PacketId, PubRecReason, PubRelReason, PubRelRef, PublishFrame, QoS,
};

use super::{Connection, Delivery, Phase, Role};
use crate::message::SubscriptionIds;
use crate::state::{Outgoing, Queued, Slot, Unsent};
use crate::{
    DeliveryOptions, DropReason, Effect, Instant, Message, Output, PublishHead, Refused,
    SessionState, TopicAlias,
};

/// What has to be known to write a PUBLISH, besides its guarantee.
struct Writing<'a, M> {
    message: &'a M,
    retain: bool,
    subscription_ids: &'a [u32],
    /// The whole packet, if the driver has it.
    frame: Option<&'a PublishFrame>,
}

impl Connection {
    /// Delivers a message to the peer: sends it, or queues it in the session while the peer takes
    /// no more, or says why it was dropped.
    ///
    /// `frame` is the PUBLISH as the driver has encoded it for this version, QoS, RETAIN and these
    /// Subscription Identifiers, at this `now`; it is copied unless a Topic Alias makes a shorter
    /// packet. Without it the message writes itself. A message that is sent at QoS 1 or 2, or
    /// queued, is kept as a clone.
    #[inline]
    pub fn deliver<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        message: &M,
        options: &DeliveryOptions<'_>,
        frame: Option<&PublishFrame>,
        out: &mut O,
    ) -> Delivery {
        debug_assert!(frame.is_none_or(|frame| frame.qos() == options.qos));
        if self.phase != Phase::Connected {
            return self.enqueue(now, session, message, options, out);
        }
        let writing = Writing {
            message,
            retain: options.retain,
            subscription_ids: options.subscription_ids,
            frame,
        };
        if options.qos == QoS::AtMostOnce {
            if out.is_full() {
                return Delivery::Dropped(DropReason::PeerTooSlow);
            }
            let sender = session.sender.as_ref();
            if sender.is_some_and(|sender| sender.queue.has_at_most_once()) {
                return self.enqueue(now, session, message, options, out);
            }
            return match self.send_at_most_once(now, &writing, out) {
                Ok(()) => Delivery::Sent(None),
                Err(reason) => Delivery::Dropped(reason),
            };
        }
        let sender = session.sender_mut();
        let is_blocked = sender.in_flight() >= self.window()
            || !sender.queue.is_empty()
            || sender.has_unsent()
            || out.is_full();
        if is_blocked {
            return self.enqueue(now, session, message, options, out);
        }
        match self.send_new(now, session, options.qos, false, &writing, out) {
            Ok(Some(id)) => Delivery::Sent(Some(id)),
            Ok(None) => self.enqueue(now, session, message, options, out),
            Err(reason) => Delivery::Dropped(reason),
        }
    }

    /// Client: publishes a message, or queues it as [`deliver`](Self::deliver) does.
    ///
    /// # Errors
    /// If the server has said in its CONNACK that it takes no such message. Before the CONNACK
    /// nothing is known, and the message is queued; should the server not take it then, it is
    /// reported to [`Output::dropped`].
    pub fn publish<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        message: &M,
        options: &DeliveryOptions<'_>,
        out: &mut O,
    ) -> Result<Delivery, Refused> {
        if self.phase == Phase::Connected && self.role == Role::Client {
            let (asked, max) = (options.qos, self.maximum_qos);
            if asked > max {
                return Err(Refused::QoSNotSupported { asked, max }); // v5 [MQTT-3.2.2-11]
            }
            if options.retain && !self.retain_available {
                return Err(Refused::RetainNotSupported); // v5 [MQTT-3.2.2-14]
            }
        }
        Ok(self.deliver(now, session, message, options, None, out))
    }

    /// Client: whether the server has said that it takes messages of this kind.
    #[must_use]
    pub fn can_publish(&self, qos: QoS, retain: bool) -> bool {
        qos <= self.maximum_qos && (!retain || self.retain_available)
    }

    fn enqueue<M: Message, O: Output<M>>(
        &self,
        now: Instant,
        session: &mut SessionState<M>,
        message: &M,
        options: &DeliveryOptions<'_>,
        out: &mut O,
    ) -> Delivery {
        session.enqueue(now, message, options, &self.queue_limits, |oldest| {
            out.dropped(oldest, DropReason::QueueFull);
        })
    }

    /// Sends what has to be sent again, then what is queued, as far as the peer and
    /// [`Output::is_full`] allow. The engine does so itself whenever the peer's answers make
    /// room; a driver calls this when its buffer has room again.
    pub fn send_queued<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        out: &mut O,
    ) {
        let Some(sender) = session.sender.as_ref() else {
            return;
        };
        if self.phase != Phase::Connected || (sender.queue.is_empty() && !sender.has_unsent()) {
            return;
        }
        while !out.is_full() && self.has_window(session) {
            let Some(position) = session.sender_mut().next_unsent() else {
                break;
            };
            if !session.sender_mut().load(position) {
                return;
            }
            self.send_unsent(now, session, position, out);
        }
        loop {
            let sender = session.sender_mut();
            let Some(first) = sender.queue.first() else {
                return;
            };
            let qos = first.qos;
            let needs_window = qos > QoS::AtMostOnce;
            if sender.has_unsent() || out.is_full() || (needs_window && !self.has_window(session)) {
                return;
            }
            if !session.sender_mut().queue.load_first() {
                return;
            }
            let Some(queued) = session.sender_mut().queue.pop() else {
                return;
            };
            self.send_one_queued(now, session, queued, out);
            if planted!(QueueLosesMessage) {
                session.sender_mut().queue.pop();
            }
        }
    }

    #[inline]
    fn window(&self) -> usize {
        usize::from(self.in_flight_max) + usize::from(planted!(ReceiveMaximumExceeded))
    }

    fn has_window<M>(&self, session: &SessionState<M>) -> bool {
        session
            .sender
            .as_ref()
            .is_none_or(|sender| sender.in_flight() < self.window())
    }

    fn send_one_queued<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        queued: Queued<M>,
        out: &mut O,
    ) {
        let writing = Writing {
            message: &queued.message,
            retain: queued.retain,
            subscription_ids: queued.subscription_ids.as_slice(),
            frame: None,
        };
        let sent = match queued.qos {
            QoS::AtMostOnce => self.send_at_most_once(now, &writing, out),
            QoS::AtLeastOnce | QoS::ExactlyOnce => self
                .send_new(
                    now,
                    session,
                    queued.qos,
                    queued.may_have_left,
                    &writing,
                    out,
                )
                .map(|id| debug_assert!(id.is_some(), "the window is below the number of ids")),
        };
        if let Err(reason) = sent {
            out.dropped(queued.message, reason);
        }
    }

    #[inline]
    fn send_at_most_once<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        writing: &Writing<'_, M>,
        out: &mut O,
    ) -> Result<(), DropReason> {
        self.check_deliverable(now, QoS::AtMostOnce, false, writing)?;
        // v5 [MQTT-4.3.1-1]
        self.write_publish(now, Guarantee::AtMostOnce, writing, out)
    }

    /// Gives a message a packet id and sends it, or holds it back until its record is durable. `dup`: it
    /// may have been sent before, though nobody knows under which id. `None`: there is no free id.
    #[inline]
    fn send_new<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        qos: QoS,
        dup: bool,
        writing: &Writing<'_, M>,
        out: &mut O,
    ) -> Result<Option<PacketId>, DropReason> {
        self.check_deliverable(now, qos, dup, writing)?;
        let sender = session.sender_mut();
        // v5 [MQTT-4.3.2-1] [MQTT-4.3.3-1] // v311 [MQTT-2.3.1-4]
        let Some(id) = sender.allocate() else {
            return Ok(None);
        };
        let first = Guarantee::new(qos, id, dup); // v5 [MQTT-4.3.2-2] [MQTT-4.3.3-2]
        let message = writing.message;
        let effect = Effect::Sent {
            id,
            qos,
            retain: writing.retain,
            subscription_ids: writing.subscription_ids,
            message,
        };
        let state = if qos == QoS::ExactlyOnce {
            // Nothing may be recorded that then cannot be sent.
            self.check_size(now, first, writing)?;
            let ticket = out.record(effect);
            if ticket <= self.committed && sender.first_gate().is_none() {
                self.write_publish(now, first, writing, out)?;
                Outgoing::AwaitPubRec
            } else {
                let ticket = sender.last_gate().map_or(ticket, |last| last.max(ticket));
                sender.push_gate(ticket, id);
                Outgoing::AwaitSentCommit
            }
        } else {
            self.write_publish(now, first, writing, out)?;
            // Not waited for: without the record the message goes out again, which QoS 1 allows.
            out.record(effect);
            Outgoing::AwaitPubAck
        };
        sender.push(Slot {
            id,
            state,
            retain: writing.retain,
            unsent: Unsent::No,
            pubrec: PubRecReason::Success,
            message: Some(message.clone()),
            subscription_ids: SubscriptionIds::new(writing.subscription_ids),
        });
        Ok(Some(id))
    }

    /// What can be said against a message before it has an id.
    #[inline]
    fn check_deliverable<M: Message>(
        &self,
        now: Instant,
        qos: QoS,
        dup: bool,
        writing: &Writing<'_, M>,
    ) -> Result<(), DropReason> {
        let expiry = writing.message.expires_at().filter(|_| !dup);
        if expiry.is_some_and(|expiry| expiry <= now && !planted!(ExpiredSent)) {
            return Err(DropReason::Expired); // v5 [MQTT-3.3.2-5]
        }
        if self.role == Role::Client {
            if qos > self.maximum_qos {
                return Err(DropReason::QoSNotSupported); // v5 [MQTT-3.2.2-11]
            }
            if writing.retain && !self.retain_available {
                return Err(DropReason::RetainNotSupported); // v5 [MQTT-3.2.2-14]
            }
        }
        Ok(())
    }

    /// The head of a PUBLISH in this version, with the interval that is left at `now`.
    fn head<'a, M: Message>(
        &self,
        now: Instant,
        guarantee: Guarantee,
        writing: &Writing<'a, M>,
    ) -> PublishHead<'a> {
        let plain = PublishHead {
            guarantee,
            retain: writing.retain,
            subscription_ids: &[],
            message_expiry_interval: None,
            topic_alias: TopicAlias::None,
        };
        if !self.version.is_v5() {
            return plain;
        }
        PublishHead {
            subscription_ids: writing.subscription_ids,
            // Whole seconds of waiting are taken off. // v5 [MQTT-3.3.2-6]
            message_expiry_interval: writing.message.expires_at().map(|expiry| {
                let waited = if planted!(ExpiryNotLowered) {
                    Instant::ORIGIN
                } else {
                    now
                };
                let left = expiry.saturating_since(waited).as_millis().div_ceil(1_000);
                u32::try_from(left).unwrap_or(u32::MAX)
            }),
            ..plain
        }
    }

    /// Whether the packet, without a topic alias, is within the peer's Maximum Packet Size.
    /// // v5 [MQTT-3.1.2-24] [MQTT-3.2.2-15]
    #[inline]
    fn check_size<M: Message>(
        &self,
        now: Instant,
        guarantee: Guarantee,
        writing: &Writing<'_, M>,
    ) -> Result<(), DropReason> {
        let len = match writing.frame {
            Some(frame) => frame.len(),
            None => {
                let head = self.head(now, guarantee, writing);
                writing
                    .message
                    .encoded_len(self.version, &head)
                    .map_err(|_| DropReason::NotEncodable)?
            }
        };
        if u32::try_from(len).is_ok_and(|len| len <= self.packet_size_max_out) {
            Ok(())
        } else {
            Err(DropReason::PacketTooLarge)
        }
    }

    /// Appends a PUBLISH, or nothing at all.
    #[inline]
    fn write_publish<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        guarantee: Guarantee,
        writing: &Writing<'_, M>,
        out: &mut O,
    ) -> Result<(), DropReason> {
        if self.topic_alias_maximum_out > 0 {
            let max = self.topic_alias_maximum_out;
            let topic = writing.message.topic();
            let alias = self.extras_mut().aliases_out.choose(topic, max);
            if alias != TopicAlias::None {
                return self.write_publish_aliased(now, guarantee, writing, alias, out);
            }
        }
        if self.packet_size_max_out < u32::MAX {
            self.check_size(now, guarantee, writing)?;
        }
        match writing.frame {
            Some(frame) => {
                let delivery = guarantee.packet_id().map(|id| (id, guarantee.dup()));
                frame.append_to(out.buffer(), delivery);
            }
            None => {
                let head = self.head(now, guarantee, writing);
                out.append_message(writing.message, self.version, &head)
                    .map_err(|_| DropReason::NotEncodable)?;
            }
        }
        self.wrote(now);
        Ok(())
    }

    /// As [`write_publish`](Self::write_publish), with a topic alias.
    fn write_publish_aliased<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        guarantee: Guarantee,
        writing: &Writing<'_, M>,
        alias: TopicAlias,
        out: &mut O,
    ) -> Result<(), DropReason> {
        let mut head = self.head(now, guarantee, writing);
        head.topic_alias = alias;
        let message = writing.message;
        let len = |head: &PublishHead<'_>| {
            message
                .encoded_len(self.version, head)
                .map_err(|_| DropReason::NotEncodable)
        };
        let fits = |len: usize| u32::try_from(len).is_ok_and(|len| len <= self.packet_size_max_out);
        if !fits(len(&head)?) {
            // The alias itself may be what is too much.
            head.topic_alias = TopicAlias::None;
            if !fits(len(&head)?) {
                return Err(DropReason::PacketTooLarge); // v5 [MQTT-3.1.2-25]
            }
        }
        out.append_message(message, self.version, &head)
            .map_err(|_| DropReason::NotEncodable)?;
        if let TopicAlias::Define(alias) = head.topic_alias {
            let topic = message.topic();
            self.extras_mut().aliases_out.define(topic, alias);
        }
        self.wrote(now);
        Ok(())
    }

    #[inline]
    pub(super) fn write_pubrel<M, O: Output<M>>(
        &mut self,
        now: Instant,
        id: PacketId,
        reason: PubRelReason,
        out: &mut O,
    ) {
        let reason = if self.version.is_v5() {
            reason
        } else {
            PubRelReason::Success
        };
        let pubrel = PubRelRef {
            reason,
            ..PubRelRef::success(id)
        };
        let written = pubrel.encode(self.version, out.buffer());
        debug_assert!(
            written.is_ok(),
            "a PUBREL without properties fits any version"
        );
        self.wrote(now);
    }

    // ---- what has waited ----

    /// Writes the QoS 2 PUBLISH and PUBREL packets whose records are durable, in order.
    pub(super) fn release_gates<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        out: &mut O,
    ) {
        let mut made_room = false;
        while let Some(sender) = session.sender.as_mut()
            && let Some(id) = sender.pop_gate(self.committed)
        {
            let Some(position) = sender.position(id) else {
                continue;
            };
            let Some(slot) = sender.slot_mut(position) else {
                continue;
            };
            match slot.state {
                Outgoing::AwaitPubRecCommit => {
                    slot.state = Outgoing::AwaitPubComp;
                    self.write_pubrel(now, id, PubRelReason::Success, out);
                }
                Outgoing::AwaitSentCommit => {
                    slot.state = Outgoing::AwaitPubRec;
                    // Behind a new connection it has to wait for its turn, too.
                    made_room |= slot.unsent == Unsent::First
                        || !self.write_slot(now, session, position, false, out);
                }
                Outgoing::AwaitPubAck
                | Outgoing::AwaitPubRec
                | Outgoing::AwaitPubComp
                | Outgoing::AwaitSubAck
                | Outgoing::AwaitUnsubAck
                | Outgoing::Done => {
                    debug_assert!(false, "packet id {id} has a gate and does not wait");
                }
            }
        }
        if made_room {
            self.send_queued(now, session, out);
        }
    }

    /// A new connection with an old session: sends again what is owed, in the order of the first
    /// transmission. // v5 [MQTT-4.4.0-1] [MQTT-4.6.0-1] // v311 [MQTT-4.4.0-1]
    pub(super) fn resume<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        out: &mut O,
    ) {
        let Some(sender) = session.sender.as_mut() else {
            return;
        };
        sender.start_connection();
        if planted!(ResendOutOfOrder) {
            sender.reverse();
        }
        let ids: Vec<PacketId> = sender.slots().map(|slot| slot.id).collect();
        for id in ids {
            let has_window = self.has_window(session);
            let sender = session.sender_mut();
            let Some(position) = sender.position(id) else {
                continue;
            };
            let Some((unsent, state)) = sender.slot(position).map(|slot| (slot.unsent, slot.state))
            else {
                continue;
            };
            if unsent != Unsent::No {
                // What does not leave here leaves when the peer has made room.
                if has_window
                    && !out.is_full()
                    && sender.next_unsent() == Some(position)
                    && sender.load(position)
                {
                    self.send_unsent(now, session, position, out);
                }
            } else if state == Outgoing::AwaitPubComp && !planted!(PubRelLost) {
                // Never the PUBLISH. // v5 [MQTT-4.3.3-6]
                self.write_pubrel(now, id, PubRelReason::Success, out);
            }
        }
        self.send_queued(now, session, out);
    }

    /// Sends a PUBLISH of an earlier connection with its old id, and with DUP if it left there.
    /// // v5 [MQTT-3.3.1-1] // v311 [MQTT-3.3.1-1]
    fn send_unsent<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        position: usize,
        out: &mut O,
    ) {
        let dup =
            session.sender_mut().mark_sent(position) == Unsent::Again && !planted!(DupMissing);
        self.write_slot(now, session, position, dup, out);
    }

    /// Writes the PUBLISH of a slot. One that cannot be written counts as delivered: `false`.
    /// // v5 [MQTT-3.1.2-25]
    fn write_slot<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        position: usize,
        dup: bool,
        out: &mut O,
    ) -> bool {
        let sender = session.sender_mut();
        let Some(slot) = sender.slot(position) else {
            return true;
        };
        let id = slot.id;
        let qos = if slot.state == Outgoing::AwaitPubAck {
            QoS::AtLeastOnce
        } else {
            QoS::ExactlyOnce
        };
        let written = match &slot.message {
            // Its onward delivery has not begun, although it has its id. // v5 [MQTT-3.3.2-5]
            Some(message) if !dup && message.expires_at().is_some_and(|expiry| expiry <= now) => {
                Err(DropReason::Expired)
            }
            Some(message) => {
                let writing = Writing {
                    message,
                    retain: slot.retain,
                    subscription_ids: slot.subscription_ids.as_slice(),
                    frame: None,
                };
                // What has been sent does not expire. // v5 [MQTT-4.3.3-7]
                let expiry = message.expires_at().filter(|_| planted!(InFlightExpires));
                if expiry.is_some_and(|expiry| expiry <= now) {
                    sender.finish(position);
                    return false;
                }
                self.write_publish(now, Guarantee::new(qos, id, dup), &writing, out)
            }
            None => Err(DropReason::NotEncodable),
        };
        let Err(reason) = written else {
            return true;
        };
        let message = sender.finish(position);
        out.record(match qos {
            QoS::AtMostOnce | QoS::AtLeastOnce => Effect::Acked { id },
            QoS::ExactlyOnce => Effect::Completed { id },
        });
        if let Some(message) = message {
            out.dropped(message, reason);
        }
        false
    }
}

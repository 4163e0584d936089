//! What the broker sends: packets to the engine, and what they mean to streams and to those who wait for answers.

use bytes::Bytes;
use whinchat_codec::{
    DisconnectRef, PacketId, PubAckReason, QoS, SubAckReason, SubAckRef, UnsubAckReason,
    UnsubAckRef, decode,
};
use whinchat_session::{Acked, Answer, Event, IncomingPublish, Ticket, Topic};
use whinchat_topic::TopicName;

use super::{
    Driver,
    link::Link,
    operations::{Part, Step},
};
use crate::{
    dispatch::{EntryKey, Reader, Target},
    error::{
        DisconnectError, ProtocolFault, PublishError, ServerDisconnect, SubscribeError,
        UnsubscribeError,
    },
    message::Message,
    outgoing::Outgoing,
    publish::PublishOutcome,
};

impl Driver {
    /// Handles whole packets.
    pub(super) fn handle_packets(
        &mut self,
        link: &mut Link,
        packets: &Bytes,
    ) -> Result<(), DisconnectError> {
        let now = self.now;
        let version = link.connection.version();
        let mut rest: &[u8] = packets;
        loop {
            // Packet and event are looked at where they lie: moving what has just been written costs as much as reading it.
            let decoded = decode(rest, version, &link.limits);
            let (packet, length) = match &decoded {
                Ok(Some((packet, length))) => (packet, *length),
                Ok(None) => break,
                Err(error) => {
                    let fault = ProtocolFault::Decode(*error);
                    return Err(DisconnectError::Protocol(fault));
                }
            };
            rest = rest.get(length..).unwrap_or_default();
            let (session, out) = (&mut self.session, &mut link.outgoing);
            match &link.connection.handle(now, *packet, session, out) {
                Ok(event) => self.handle_event(event, packets)?,
                Err(violation) => {
                    let fault = ProtocolFault::Violation(*violation);
                    return Err(DisconnectError::Protocol(fault));
                }
            }
        }
        if self.receipts.bytes() > self.options.unread_bytes {
            return Err(DisconnectError::TooMuchUnread {
                limit_bytes: self.options.unread_bytes,
            });
        }
        Ok(())
    }

    fn handle_event(
        &mut self,
        event: &Event<'_, Outgoing>,
        packets: &Bytes,
    ) -> Result<(), DisconnectError> {
        match event {
            Event::Publish(publish) => self.on_publish(publish, packets),
            Event::Repeated(id) => {
                self.receipts.arrive_again(*id, QoS::ExactlyOnce);
            }
            Event::Acked(acked) => self.on_acked(acked),
            Event::SubAck(suback) => self.on_suback(suback),
            Event::UnsubAck(unsuback) => self.on_unsuback(unsuback),
            Event::Disconnect(disconnect) => return Err(by_server(disconnect)),
            Event::Stray { packet, id } => tracing::debug!(%packet, %id, "an answer to nothing"),
            // A client without an authentication method gets no AUTH; the rest is the engine's own business.
            Event::None
            | Event::ConnAck(_)
            | Event::Auth(_)
            | Event::Connect(_)
            | Event::Subscribe(_)
            | Event::Unsubscribe(_) => {}
            _ => tracing::debug!("an event that this client does not know"),
        }
        Ok(())
    }

    fn on_publish(&mut self, incoming: &IncomingPublish<'_>, packets: &Bytes) {
        let publish = incoming.publish.to_owned_in(packets);
        let topic = match &incoming.topic {
            Topic::Borrowed(_) => publish.topic,
            Topic::Aliased(topic) => topic.clone(),
        };
        let guarantee = publish.guarantee;
        let mut message = Message {
            topic,
            payload: publish.payload,
            qos: guarantee.qos(),
            retain: publish.retain,
            dup: guarantee.dup(),
            properties: publish.properties,
            receipt: None,
            acknowledge_to: None,
        };
        let mut arrival = None;
        if let Some(id) = guarantee.packet_id() {
            arrival =
                self.receipts
                    .arrive(id, guarantee.qos(), guarantee.dup(), message.byte_size());
            if arrival.is_none() {
                return; // it is still here from before the reconnect
            }
        }
        let mut readers = std::mem::take(&mut self.readers);
        // The codec has checked the topic name; as text it is at hand in the packet alone.
        self.dispatch.route(
            TopicName::from_validated(incoming.topic.as_str()),
            incoming.publish.properties.subscription_identifiers(),
            &mut readers,
        );
        let last = readers.pop();
        for reader in readers.drain(..) {
            let mut copy = message.copy_without_receipt();
            copy.receipt = arrival.as_ref().map(|arrival| self.receipts.issue(arrival));
            self.give(reader, copy);
        }
        self.readers = readers;
        message.receipt = arrival.as_ref().map(|arrival| self.receipts.issue(arrival));
        match last {
            Some(reader) => self.give(reader, message),
            None => self.leave_unclaimed(message),
        }
    }

    fn give(&mut self, reader: Reader, mut message: Message) {
        let left = match self.dispatch.target(reader) {
            None => Some(message),
            Some(Target::Stream(inbox)) => inbox.push(message),
            Some(Target::Responses) => {
                let receipt = message.receipt.take();
                if !self.shared.responses.resolve(message) {
                    tracing::debug!("a response to no request: it was dropped, or has timed out");
                }
                receipt
                    .into_iter()
                    .for_each(|receipt| self.receipts.spend(receipt));
                return;
            }
        };
        if let Some(message) = left {
            self.take_back(message);
        }
    }

    /// A message that a stream got and will not read any more.
    pub(super) fn take_back(&mut self, mut message: Message) {
        match message.receipt.take() {
            None => {}
            Some(receipt) if self.receipts.is_last(&receipt) => {
                message.receipt = Some(receipt);
                self.leave_unclaimed(message);
            }
            Some(receipt) => self.receipts.spend(receipt),
        }
    }

    fn leave_unclaimed(&mut self, message: Message) {
        tracing::debug!(topic = ?message.topic(), "no stream reads this message");
        if let Some(mut message) = self.shared.unclaimed.push(message)
            && let Some(receipt) = message.receipt.take()
        {
            self.receipts.spend(receipt);
        }
    }

    fn on_acked(&mut self, acked: &Acked<'_, Outgoing>) {
        let Some(message) = &acked.message else {
            return;
        };
        // PUBREC has the same codes as PUBACK.
        let reason =
            PubAckReason::from_code(acked.answer.code()).unwrap_or(PubAckReason::UnspecifiedError);
        let result = if reason.is_error() {
            let reason_string = match &acked.answer {
                Answer::PubAck(puback) => puback.properties.reason_string(),
                Answer::PubRec(pubrec) => pubrec.properties.reason_string(),
                Answer::PubComp { .. } => None,
            };
            Err(PublishError::Rejected {
                reason,
                reason_string: reason_string.map(str::to_owned),
            })
        } else {
            Ok(PublishOutcome::new(reason))
        };
        self.finish(message, result);
    }

    fn on_suback(&mut self, suback: &SubAckRef<'_>) {
        let Some(step) = self.operations.answered(suback.packet_id) else {
            return;
        };
        // One filter was asked for; an answer without a code for it is no grant.
        let reason = suback
            .reasons
            .iter()
            .next()
            .unwrap_or(SubAckReason::UnspecifiedError);
        match step {
            Step::Subscribe { key, operation } => self.on_subscribed(key, operation, reason),
            step @ Step::Unsubscribe { .. } => {
                wrong_answer("SUBACK", suback.packet_id);
                self.operations.sent(suback.packet_id, step);
            }
        }
    }

    fn on_subscribed(&mut self, key: EntryKey, operation: Option<Part>, reason: SubAckReason) {
        let Some(filter) = self.dispatch.answered(key, !reason.is_error()) else {
            return;
        };
        if reason.is_error() && operation.is_none() {
            tracing::warn!(?filter, %reason, "the broker lost the session and refuses to subscribe this again: its streams end");
            self.dispatch.remove(key);
            return;
        }
        let Some(part) = operation else { return };
        let failure = reason.is_error().then(|| SubscribeError::Rejected {
            filter: filter.to_string(),
            reason,
        });
        // What a call that failed has subscribed goes when its stream does, which nobody has seen.
        self.operations.subscribed(part, reason, failure);
    }

    fn on_unsuback(&mut self, unsuback: &UnsubAckRef<'_>) {
        let Some(step) = self.operations.answered(unsuback.packet_id) else {
            return;
        };
        let Step::Unsubscribe {
            filter,
            key,
            operation,
        } = step
        else {
            wrong_answer("UNSUBACK", unsuback.packet_id);
            self.operations.sent(unsuback.packet_id, step);
            return;
        };
        // Before 5.0 UNSUBACK has no codes and is always a success.
        let reason = unsuback
            .reasons
            .iter()
            .next()
            .unwrap_or(UnsubAckReason::Success);
        if let Some(key) = key {
            if reason.is_error() {
                self.dispatch.attach_again(key);
            } else {
                self.dispatch.remove(key);
            }
        }
        if let Some(part) = operation {
            let failure = reason.is_error().then(|| UnsubscribeError::Rejected {
                filter: filter.to_string(),
                reason,
            });
            self.operations.unsubscribed(part, reason, failure);
        }
    }

    /// Lets acks leave that are due.
    pub(super) fn send_acks(&mut self, link: &mut Link) {
        let now = self.now;
        while link.outgoing.has_room() {
            let Some(id) = self.receipts.next_due() else {
                return;
            };
            let (session, out) = (&mut self.session, &mut link.outgoing);
            if let Err(refused) = link.connection.acknowledge(
                now,
                session,
                id,
                PubAckReason::Success,
                Ticket::NONE,
                out,
            ) {
                tracing::warn!(%id, %refused, "a message could not be acknowledged");
            }
        }
    }
}

fn wrong_answer(packet: &str, id: PacketId) {
    tracing::warn!(packet, %id, "the broker answers another packet than was sent with this id");
}

fn by_server(disconnect: &DisconnectRef<'_>) -> DisconnectError {
    DisconnectError::ByServer(Box::new(ServerDisconnect {
        reason: disconnect.reason,
        reason_string: disconnect.properties.reason_string().map(str::to_owned),
        server_reference: disconnect.properties.server_reference().map(str::to_owned),
    }))
}

//! SUBSCRIBE and UNSUBSCRIBE: asked for by a client, answered by a server.
//!
//! Owns the packets and their ids. Leaves to the application what a subscription means.
//! Read first: MQTT 5.0 sections 3.2.2.3 and 3.8 to 3.11.

use alloc::vec::Vec;

use bytes::BytesMut;
use whinchat_codec::{
    PacketId, PacketType, ProtocolVersion, PubRecReason, SubAck, SubAckProperties, SubAckReason,
    SubAckRef, Subscribe, SubscribeRef, UnsubAck, UnsubAckProperties, UnsubAckReason, UnsubAckRef,
    Unsubscribe, UnsubscribeRef,
};
use whinchat_topic::{Subscribed, TopicFilter};

use super::answers::Reply;
use super::properties::{Diagnosed, encode_within};
use super::{Connection, Event, Phase, Role};
use crate::message::SubscriptionIds;
use crate::state::{Outgoing, Slot, Unsent};
use crate::{Instant, Message, Output, Refused, SessionState, Ticket};

impl Connection {
    // ---- client ----

    /// Client: sends a SUBSCRIBE with a packet id of ours, which it then has and which the SUBACK
    /// will have.
    ///
    /// # Errors
    /// If the server takes no such subscription, the packet is too large for it or cannot be
    /// written, or we are not connected.
    pub fn subscribe<M, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        subscribe: &mut Subscribe,
        out: &mut O,
    ) -> Result<PacketId, Refused> {
        self.check_request()?;
        if !self.subscription_identifier_available
            && subscribe.properties.subscription_identifier().is_some()
        {
            return Err(Refused::SubscriptionIdentifiersNotSupported);
        }
        for subscription in &subscribe.subscriptions {
            self.check_filter(&subscription.filter)?;
        }
        let id = session.sender_mut().allocate().ok_or(Refused::NoPacketId)?;
        subscribe.packet_id = id;
        self.check_request_size(subscribe.encoded_len(self.version)?)?;
        subscribe.encode(self.version, out.buffer())?;
        self.await_request(now, session, id, Outgoing::AwaitSubAck);
        Ok(id)
    }

    /// Client: sends an UNSUBSCRIBE with a packet id of ours, which it then has and which the
    /// UNSUBACK will have.
    ///
    /// # Errors
    /// If the packet is too large for the server or cannot be written, or we are not connected.
    pub fn unsubscribe<M, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        unsubscribe: &mut Unsubscribe,
        out: &mut O,
    ) -> Result<PacketId, Refused> {
        self.check_request()?;
        let id = session.sender_mut().allocate().ok_or(Refused::NoPacketId)?;
        unsubscribe.packet_id = id;
        self.check_request_size(unsubscribe.encoded_len(self.version)?)?;
        unsubscribe.encode(self.version, out.buffer())?;
        self.await_request(now, session, id, Outgoing::AwaitUnsubAck);
        Ok(id)
    }

    fn check_request(&self) -> Result<(), Refused> {
        match (self.role, self.phase) {
            (Role::Server, _) => Err(Refused::NotAvailable),
            (Role::Client, Phase::Connected) => Ok(()),
            (Role::Client, _) => Err(Refused::NotConnected),
        }
    }

    /// Whether the server takes subscriptions of this kind. What a filter may look like is the
    /// server's business.
    fn check_filter(&self, filter: &str) -> Result<(), Refused> {
        let filter = match Subscribed::parse(filter) {
            Ok(Subscribed::Plain(filter)) => filter,
            Ok(Subscribed::Shared(shared)) => {
                if !self.shared_subscription_available {
                    return Err(Refused::SharedSubscriptionsNotSupported);
                }
                shared.filter()
            }
            Err(_) => return Ok(()),
        };
        if !self.wildcard_subscription_available && TopicFilter::is_wildcard(filter) {
            return Err(Refused::WildcardSubscriptionsNotSupported);
        }
        Ok(())
    }

    fn check_request_size(&self, size: usize) -> Result<(), Refused> {
        let max = self.packet_size_max_out;
        if u32::try_from(size).is_ok_and(|size| size <= max) {
            Ok(())
        } else {
            Err(Refused::PacketTooLarge { size, max }) // v5 [MQTT-3.2.2-15]
        }
    }

    fn await_request<M>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        id: PacketId,
        state: Outgoing,
    ) {
        session.sender_mut().push(Slot {
            id,
            state,
            retain: false,
            unsent: Unsent::No,
            pubrec: PubRecReason::Success,
            message: None,
            subscription_ids: SubscriptionIds::None,
        });
        self.wrote(now);
    }

    // ---- server ----

    pub(super) fn on_subscribe<'p, M: Message, O: Output<M>>(
        &mut self,
        subscribe: SubscribeRef<'p>,
        session: &mut SessionState<M>,
        out: &mut O,
    ) -> Event<'p, M> {
        let id = subscribe.packet_id;
        if self.is_in_use(id, session) {
            let reasons = core::iter::repeat_n(
                SubAckReason::PacketIdentifierInUse,
                subscribe.subscriptions.len(),
            );
            let mut suback = SubAck {
                packet_id: id,
                properties: SubAckProperties::new(),
                reasons: reasons.collect(),
            };
            encode_within(
                &mut suback,
                self.version,
                self.packet_size_max_out,
                out.buffer(),
            );
            return Event::None;
        }
        self.answers.push_undecided(id, Reply::SubAck);
        Event::Subscribe(subscribe)
    }

    pub(super) fn on_unsubscribe<'p, M: Message, O: Output<M>>(
        &mut self,
        unsubscribe: UnsubscribeRef<'p>,
        session: &mut SessionState<M>,
        out: &mut O,
    ) -> Event<'p, M> {
        let id = unsubscribe.packet_id;
        if self.is_in_use(id, session) {
            let reasons = core::iter::repeat_n(
                UnsubAckReason::PacketIdentifierInUse,
                unsubscribe.filters.len(),
            );
            let mut unsuback = UnsubAck {
                packet_id: id,
                properties: UnsubAckProperties::new(),
                reasons: reasons.collect(),
            };
            encode_within(
                &mut unsuback,
                self.version,
                self.packet_size_max_out,
                out.buffer(),
            );
            return Event::None;
        }
        self.answers.push_undecided(id, Reply::UnsubAck);
        Event::Unsubscribe(unsubscribe)
    }

    /// Whether the client uses this id for something else; 3.x has no code to say so.
    fn is_in_use<M>(&self, id: PacketId, session: &SessionState<M>) -> bool {
        self.version.is_v5()
            && (self.answers.contains(id)
                || session
                    .receiver
                    .as_ref()
                    .is_some_and(|held| held.state(id).is_some()))
    }

    /// Server: answers the SUBSCRIBE with this id, one reason per subscription and in their
    /// order, when `ticket` is committed. 3.1.1 clients see 0x80 for every failure, 3.1 clients a
    /// grant of QoS 0: their SUBACK cannot say more.
    ///
    /// # Errors
    /// [`Refused::UnknownPacketId`] if no such SUBSCRIBE waits; [`Refused::PacketTooLarge`] if
    /// the client takes no packet as long as the SUBACK, which then cannot be sent at all.
    pub fn suback<M, O: Output<M>>(
        &mut self,
        now: Instant,
        id: PacketId,
        reasons: &[SubAckReason],
        properties: SubAckProperties,
        ticket: Ticket,
        out: &mut O,
    ) -> Result<(), Refused> {
        let version = self.version;
        let reason_in_version = |reason: &SubAckReason| match version {
            // v31 M31-47, M31-48
            ProtocolVersion::V31 if reason.is_error() => SubAckReason::GrantedQoS0,
            ProtocolVersion::V31 | ProtocolVersion::V311 => reason.downgrade(),
            ProtocolVersion::V5 => *reason,
        };
        let suback = SubAck {
            packet_id: id,
            properties: if version.is_v5() {
                properties
            } else {
                SubAckProperties::new()
            },
            reasons: reasons.iter().map(reason_in_version).collect(),
        };
        self.answer_subscription(now, id, Reply::SubAck, suback, ticket, out)
    }

    /// Server: answers the UNSUBSCRIBE with this id, one reason per filter and in their order,
    /// when `ticket` is committed. 3.x has no reasons.
    ///
    /// # Errors
    /// As [`suback`](Self::suback).
    pub fn unsuback<M, O: Output<M>>(
        &mut self,
        now: Instant,
        id: PacketId,
        reasons: &[UnsubAckReason],
        properties: UnsubAckProperties,
        ticket: Ticket,
        out: &mut O,
    ) -> Result<(), Refused> {
        let unsuback = if self.version.is_v5() {
            UnsubAck {
                packet_id: id,
                properties,
                reasons: reasons.to_vec(),
            }
        } else {
            UnsubAck {
                packet_id: id,
                properties: UnsubAckProperties::new(),
                reasons: Vec::new(),
            }
        };
        self.answer_subscription(now, id, Reply::UnsubAck, unsuback, ticket, out)
    }

    fn answer_subscription<M, O: Output<M>>(
        &mut self,
        now: Instant,
        id: PacketId,
        reply: Reply,
        mut packet: impl Diagnosed,
        ticket: Ticket,
        out: &mut O,
    ) -> Result<(), Refused> {
        let Some((position, _)) = self.answers.undecided(id, |waiting| waiting == reply) else {
            return Err(Refused::UnknownPacketId(id));
        };
        if !self.request_problem_information {
            packet.remove_reason_string(); // v5 [MQTT-3.1.2-29]
            packet.remove_user_properties();
        }
        let mut encoded = BytesMut::new();
        let max = self.packet_size_max_out;
        if !encode_within(&mut packet, self.version, max, &mut encoded) {
            let size = packet.encoded_len(self.version)?;
            return Err(Refused::PacketTooLarge { size, max });
        }
        self.answers.decide(position, reply, ticket, encoded.into());
        self.release_answers(now, out);
        Ok(())
    }

    // ---- client: the answers ----

    pub(super) fn on_suback<'p, M>(
        &self,
        suback: SubAckRef<'p>,
        session: &mut SessionState<M>,
    ) -> Event<'p, M> {
        if finish_request(suback.packet_id, Outgoing::AwaitSubAck, session) {
            Event::SubAck(suback)
        } else {
            Event::Stray {
                packet: PacketType::SubAck,
                id: suback.packet_id,
            }
        }
    }

    pub(super) fn on_unsuback<'p, M>(
        &self,
        unsuback: UnsubAckRef<'p>,
        session: &mut SessionState<M>,
    ) -> Event<'p, M> {
        if finish_request(unsuback.packet_id, Outgoing::AwaitUnsubAck, session) {
            Event::UnsubAck(unsuback)
        } else {
            Event::Stray {
                packet: PacketType::UnsubAck,
                id: unsuback.packet_id,
            }
        }
    }
}

/// Ends a SUBSCRIBE or UNSUBSCRIBE of ours; `false` if none with this id waits.
fn finish_request<M>(id: PacketId, awaited: Outgoing, session: &mut SessionState<M>) -> bool {
    let Some(sender) = session.sender.as_mut() else {
        return false;
    };
    let Some(position) = sender.position(id) else {
        return false;
    };
    if sender
        .slot(position)
        .is_none_or(|slot| slot.state != awaited)
    {
        return false;
    }
    sender.finish(position);
    true
}

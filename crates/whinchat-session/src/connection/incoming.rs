//! Packets that we receive once connected, one function each, and the answers to them.
//!
//! Read first: MQTT 5.0 sections 3.3 to 3.7, 3.14, 4.3 and 4.6; MQTT 3.1.1 sections 4.3 and 4.6.

use alloc::vec::Vec;

use bytes::BytesMut;
use whinchat_codec::{
    DisconnectReason, DisconnectRef, Guarantee, PacketId, PacketType, ProtocolVersion, PubAck,
    PubAckProperties, PubAckReason, PubAckRef, PubCompReason, PubCompRef, PubRec, PubRecProperties,
    PubRecReason, PubRecRef, PubRelReason, PubRelRef, PublishRef, SubAck, SubAckProperties,
    SubAckReason, SubAckRef, SubscribeRef, UnsubAck, UnsubAckProperties, UnsubAckReason,
    UnsubAckRef, UnsubscribeRef,
};

use super::answers::Reply;
use super::properties::{Diagnosed, encode_within};
use super::{Acked, Answer, Connection, Event, IncomingPublish, Phase, Role, Topic};
use crate::state::{Incoming, Outgoing};
use crate::{Effect, Instant, Message, Output, Refused, SessionState, Ticket, Violation};

impl Connection {
    // ---- PUBLISH, and our answer to it ----

    #[inline]
    pub(super) fn on_publish<'p, M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        publish: PublishRef<'p>,
        session: &mut SessionState<M>,
        out: &mut O,
    ) -> Result<Event<'p, M>, Violation> {
        let topic = if self.version.is_v5() {
            self.check_publish_v5(&publish)?
        } else {
            Topic::Borrowed(publish.topic)
        };
        match publish.guarantee {
            Guarantee::AtMostOnce => {}
            Guarantee::AtLeastOnce { id, .. } => {
                self.count_incoming()?;
                // After a PUBACK the id means a new message, whatever DUP says.
                // v5 [MQTT-4.3.2-5] // v311 [MQTT-4.3.2-2]
                self.answers
                    .push_undecided(id, Reply::PubAck(PubAckReason::Success));
            }
            Guarantee::ExactlyOnce { id, .. } => {
                let undecided = Reply::PubRec(PubRecReason::Success);
                let known = session.receiver.as_ref().and_then(|held| held.state(id));
                let repeated_on = match known {
                    None => {
                        self.count_incoming()?;
                        session.receiver_mut().set(id, Incoming::Deciding);
                        self.answers.push_undecided(id, undecided);
                        return Ok(Event::Publish(IncomingPublish { topic, publish }));
                    }
                    Some(Incoming::Deciding) => {
                        // Of an earlier connection: the answer is owed on this one.
                        if !self.answers.contains(id) {
                            self.answers.push_undecided(id, undecided);
                        }
                        return Ok(Event::Repeated(id));
                    }
                    Some(Incoming::Recording(ticket)) => ticket,
                    Some(Incoming::Recorded) => Ticket::NONE,
                };
                // v5 [MQTT-4.3.3-10] // v311 [MQTT-4.3.3-2]
                self.answers.push(id, undecided, repeated_on, Vec::new());
                self.release_answers(now, out);
                return Ok(Event::Repeated(id));
            }
        }
        Ok(Event::Publish(IncomingPublish { topic, publish }))
    }

    /// What 5.0 adds to PUBLISH; the topic name.
    #[inline]
    fn check_publish_v5<'p>(&mut self, publish: &PublishRef<'p>) -> Result<Topic<'p>, Violation> {
        if self.role == Role::Server {
            let qos = publish.guarantee.qos();
            if qos > self.maximum_qos {
                let max = self.maximum_qos;
                return Err(Violation::QoSNotSupported { qos, max }); // v5 [MQTT-3.2.2-11]
            }
            if publish.retain && !self.retain_available {
                return Err(Violation::RetainNotSupported); // v5 [MQTT-3.2.2-14]
            }
            if !publish.properties.is_empty()
                && publish
                    .properties
                    .subscription_identifiers()
                    .next()
                    .is_some()
            {
                return Err(Violation::SubscriptionIdentifierFromClient); // v5 [MQTT-3.3.4-6]
            }
        }
        match publish.properties.topic_alias() {
            None => Ok(Topic::Borrowed(publish.topic)),
            Some(alias) => {
                let max = self.topic_alias_maximum_in;
                self.extras_mut().aliases_in.resolve(publish, alias, max)
            }
        }
    }

    /// The application has decided on the QoS 1 or 2 message with this id; writes PUBACK or
    /// PUBREC when `ticket` is committed and its turn has come.
    ///
    /// With a `reason` below 0x80 the message has been taken over, and a QoS 2 id is held from
    /// here on ([`Effect::Received`]). 3.x peers see success in any case.
    ///
    /// # Errors
    /// [`Refused::UnknownPacketId`] if no message with this id waits: it was answered before, or
    /// came by an earlier connection.
    #[inline]
    pub fn acknowledge<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        id: PacketId,
        reason: PubAckReason,
        ticket: Ticket,
        out: &mut O,
    ) -> Result<(), Refused> {
        self.acknowledge_with(
            now,
            session,
            id,
            reason,
            &PubAckProperties::new(),
            ticket,
            out,
        )
    }

    /// As [`acknowledge`](Self::acknowledge), with Reason String and User Properties. They are
    /// left out where the peer does not want them or has no room for them.
    ///
    /// # Errors
    /// As [`acknowledge`](Self::acknowledge).
    #[expect(
        clippy::too_many_arguments,
        reason = "one more than the call without properties"
    )]
    pub fn acknowledge_with<M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        session: &mut SessionState<M>,
        id: PacketId,
        reason: PubAckReason,
        properties: &PubAckProperties,
        ticket: Ticket,
        out: &mut O,
    ) -> Result<(), Refused> {
        let is_message = |reply| matches!(reply, Reply::PubAck(_) | Reply::PubRec(_));
        let undecided = self.answers.undecided(id, is_message);
        let is_qos2 = match undecided {
            Some((_, reply)) => matches!(reply, Reply::PubRec(_)),
            // Of an earlier connection, and the peer has not sent it again yet.
            None => {
                session.receiver.as_ref().and_then(|held| held.state(id))
                    == Some(Incoming::Deciding)
            }
        };
        if undecided.is_none() && !is_qos2 {
            return Err(Refused::UnknownPacketId(id));
        }
        let pubrec = PubRecReason::from_code(reason.code()).unwrap_or(PubRecReason::Success);
        let mut ticket = ticket;
        if is_qos2 {
            if self.version.is_v5() && reason.is_error() {
                // v5 [MQTT-4.3.3-9]
                session.receiver_mut().release(id);
            } else {
                ticket = ticket.max(out.record(Effect::Received { id }));
                let taken = if ticket <= self.committed {
                    Incoming::Recorded
                } else {
                    Incoming::Recording(ticket)
                };
                session.receiver_mut().set(id, taken);
            }
        }
        let Some((position, _)) = undecided else {
            return Ok(());
        };
        let (reply, encoded) = if is_qos2 {
            let encoded = self.encode_diagnosed(properties.is_empty(), || PubRec {
                packet_id: id,
                reason: pubrec,
                properties: pubrec_properties(properties),
            });
            (Reply::PubRec(pubrec), encoded)
        } else {
            let encoded = self.encode_diagnosed(properties.is_empty(), || PubAck {
                packet_id: id,
                reason,
                properties: properties.clone(),
            });
            (Reply::PubAck(reason), encoded)
        };
        self.answers.decide(position, reply, ticket, encoded);
        self.release_answers(now, out);
        Ok(())
    }

    /// The bytes of an answer with diagnostics; empty if it is sent without them.
    /// // v5 [MQTT-3.1.2-29]
    fn encode_diagnosed<P: Diagnosed>(
        &self,
        is_plain: bool,
        packet: impl FnOnce() -> P,
    ) -> Vec<u8> {
        if is_plain || !self.version.is_v5() || !self.request_problem_information {
            return Vec::new();
        }
        let mut bytes = BytesMut::new();
        encode_within(
            &mut packet(),
            self.version,
            self.packet_size_max_out,
            &mut bytes,
        );
        bytes.into()
    }

    #[inline]
    pub(super) fn on_pubrel<'p, M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        pubrel: PubRelRef<'p>,
        session: &mut SessionState<M>,
        out: &mut O,
    ) -> Event<'p, M> {
        let id = pubrel.packet_id;
        let held = session.receiver.as_mut().and_then(|held| {
            let state = held.state(id);
            // Before our PUBREC there is nothing to release.
            if state == Some(Incoming::Deciding) {
                None
            } else {
                held.release(id)
            }
        });
        let (reason, ticket, event) = match held {
            Some(_) => {
                let ticket = out.record(Effect::Released { id });
                (PubCompReason::Success, ticket, Event::None)
            }
            None => (
                PubCompReason::PacketIdentifierNotFound,
                Ticket::NONE,
                Event::Stray {
                    packet: PacketType::PubRel,
                    id,
                },
            ),
        };
        // v5 [MQTT-4.3.3-11] // v311 [MQTT-4.3.3-2]
        if ticket <= self.committed && self.answers.waits_for_decision() {
            // Only PUBACK and PUBREC owe an order to each other: a message on which the
            // application takes its time must not keep the peer from sending the next one.
            super::answers::write_plain(id, Reply::PubComp(reason), self.version, out.buffer());
            self.uncount_incoming(1);
            self.wrote(now);
        } else {
            self.answers
                .push(id, Reply::PubComp(reason), ticket, Vec::new());
            self.release_answers(now, out);
        }
        event
    }

    // ---- the peer's answers to our PUBLISH ----

    #[inline]
    pub(super) fn on_puback<'p, M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        puback: PubAckRef<'p>,
        session: &mut SessionState<M>,
        out: &mut O,
    ) -> Event<'p, M> {
        let id = puback.packet_id;
        let Some((position, sender)) = session.sender.as_mut().and_then(|sender| {
            let position = sender.position(id)?;
            let slot = sender.slot(position)?;
            (slot.state == Outgoing::AwaitPubAck && !slot.unsent).then_some((position, sender))
        }) else {
            return Event::Stray {
                packet: PacketType::PubAck,
                id,
            };
        };
        let message = sender.finish(position);
        out.record(Effect::Acked { id });
        self.send_queued(now, session, out);
        Event::Acked(Acked {
            id,
            message,
            answer: Answer::PubAck(puback),
        })
    }

    #[inline]
    pub(super) fn on_pubrec<'p, M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        pubrec: PubRecRef<'p>,
        session: &mut SessionState<M>,
        out: &mut O,
    ) -> Event<'p, M> {
        let id = pubrec.packet_id;
        let stray = Event::Stray {
            packet: PacketType::PubRec,
            id,
        };
        let found = session.sender.as_mut().and_then(|sender| {
            let position = sender.position(id)?;
            let slot = sender.slot(position)?;
            let state = if slot.unsent {
                Outgoing::Done
            } else {
                slot.state
            };
            Some((position, state, sender))
        });
        match found {
            Some((position, Outgoing::AwaitPubRec, sender)) => {
                if pubrec.reason.is_error() {
                    // v5 [MQTT-4.4.0-2]
                    let message = sender.finish(position);
                    out.record(Effect::Completed { id });
                    self.send_queued(now, session, out);
                    return Event::Acked(Acked {
                        id,
                        message,
                        answer: Answer::PubRec(pubrec),
                    });
                }
                let ticket = out.record(Effect::PubRecReceived { id });
                let waits = ticket > self.committed || sender.first_gate().is_some();
                if let Some(slot) = sender.slot_mut(position) {
                    slot.pubrec = pubrec.reason;
                    slot.state = if waits {
                        Outgoing::AwaitPubRecCommit
                    } else {
                        Outgoing::AwaitPubComp
                    };
                }
                if waits {
                    sender.push_gate(ticket, id);
                } else {
                    // v5 [MQTT-4.3.3-4] // v311 [MQTT-4.3.3-1]
                    self.write_pubrel(now, id, PubRelReason::Success, out);
                }
                Event::None
            }
            // The PUBREC came twice: so does the PUBREL, which is an answer and no resend.
            Some((_, Outgoing::AwaitPubComp, _)) if !pubrec.reason.is_error() => {
                self.write_pubrel(now, id, PubRelReason::Success, out);
                stray
            }
            // The PUBREL is already on its way.
            Some((_, Outgoing::AwaitPubRecCommit | Outgoing::AwaitPubComp, _)) => stray,
            Some((
                _,
                Outgoing::AwaitSentCommit
                | Outgoing::AwaitPubAck
                | Outgoing::AwaitSubAck
                | Outgoing::AwaitUnsubAck
                | Outgoing::Done,
                _,
            ))
            | None => {
                if !pubrec.reason.is_error() {
                    self.write_pubrel(now, id, PubRelReason::PacketIdentifierNotFound, out);
                }
                stray
            }
        }
    }

    #[inline]
    pub(super) fn on_pubcomp<'p, M: Message, O: Output<M>>(
        &mut self,
        now: Instant,
        pubcomp: PubCompRef<'p>,
        session: &mut SessionState<M>,
        out: &mut O,
    ) -> Event<'p, M> {
        let id = pubcomp.packet_id;
        let Some((position, pubrec, sender)) = session.sender.as_mut().and_then(|sender| {
            let position = sender.position(id)?;
            let slot = sender.slot(position)?;
            let pubrec = slot.pubrec;
            (slot.state == Outgoing::AwaitPubComp).then_some((position, pubrec, sender))
        }) else {
            return Event::Stray {
                packet: PacketType::PubComp,
                id,
            };
        };
        let message = sender.finish(position);
        out.record(Effect::Completed { id });
        self.send_queued(now, session, out);
        Event::Acked(Acked {
            id,
            message,
            answer: Answer::PubComp { pubcomp, pubrec },
        })
    }

    // ---- SUBSCRIBE and UNSUBSCRIBE (server) ----

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

    // ---- SUBACK and UNSUBACK (client) ----

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

    // ---- DISCONNECT ----

    pub(super) fn on_disconnect<'p, M>(
        &mut self,
        disconnect: DisconnectRef<'p>,
    ) -> Result<Event<'p, M>, Violation> {
        let expiry = disconnect.properties.session_expiry_interval();
        match self.role {
            Role::Server => {
                if !is_client_reason(disconnect.reason) {
                    // v5 [MQTT-3.14.2-1]
                    return Err(Violation::DisconnectReasonNotAllowed(disconnect.reason));
                }
                if let Some(seconds) = expiry {
                    // Section 3.14.2.2.2.
                    if self.session_expiry_interval == 0 && seconds > 0 {
                        return Err(Violation::SessionExpiryRaised);
                    }
                    self.session_expiry_interval = seconds;
                }
            }
            Role::Client => {
                if !self.version.is_v5() {
                    return Err(Violation::WrongDirection(PacketType::Disconnect));
                }
                if disconnect.reason == DisconnectReason::DisconnectWithWill {
                    return Err(Violation::DisconnectReasonNotAllowed(disconnect.reason));
                }
                if expiry.is_some() {
                    return Err(Violation::SessionExpiryFromServer); // v5 [MQTT-3.14.2-2]
                }
            }
        }
        self.close();
        Ok(Event::Disconnect(disconnect))
    }

    /// Nothing is sent any more.
    pub(super) fn close(&mut self) {
        self.phase = Phase::Closed;
        self.timers.clear_all();
        self.answers.clear();
        self.extras = None;
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

/// The same diagnostics for the other packet.
fn pubrec_properties(properties: &PubAckProperties) -> PubRecProperties {
    let mut same = PubRecProperties::new();
    let copied = (|| {
        if let Some(reason) = properties.reason_string() {
            same.set_reason_string(reason)?;
        }
        for (name, value) in properties.user_properties() {
            same.add_user_property(name, value)?;
        }
        Ok::<(), whinchat_codec::EncodeError>(())
    })();
    debug_assert!(
        copied.is_ok(),
        "the strings were valid where they come from"
    );
    same
}

/// Whether a client may use the reason. // v5 [MQTT-3.14.2-1]
pub(super) const fn is_client_reason(reason: DisconnectReason) -> bool {
    match reason {
        DisconnectReason::NormalDisconnection
        | DisconnectReason::DisconnectWithWill
        | DisconnectReason::UnspecifiedError
        | DisconnectReason::MalformedPacket
        | DisconnectReason::ProtocolError
        | DisconnectReason::ImplementationSpecificError
        | DisconnectReason::TopicNameInvalid
        | DisconnectReason::ReceiveMaximumExceeded
        | DisconnectReason::TopicAliasInvalid
        | DisconnectReason::PacketTooLarge
        | DisconnectReason::MessageRateTooHigh
        | DisconnectReason::QuotaExceeded
        | DisconnectReason::AdministrativeAction
        | DisconnectReason::PayloadFormatInvalid => true,
        DisconnectReason::NotAuthorized
        | DisconnectReason::ServerBusy
        | DisconnectReason::ServerShuttingDown
        | DisconnectReason::BadAuthenticationMethod
        | DisconnectReason::KeepAliveTimeout
        | DisconnectReason::SessionTakenOver
        | DisconnectReason::TopicFilterInvalid
        | DisconnectReason::RetainNotSupported
        | DisconnectReason::QoSNotSupported
        | DisconnectReason::UseAnotherServer
        | DisconnectReason::ServerMoved
        | DisconnectReason::SharedSubscriptionsNotSupported
        | DisconnectReason::ConnectionRateExceeded
        | DisconnectReason::MaximumConnectTime
        | DisconnectReason::SubscriptionIdentifiersNotSupported
        | DisconnectReason::WildcardSubscriptionsNotSupported => false,
    }
}

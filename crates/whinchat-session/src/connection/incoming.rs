//! PUBLISH and its four acknowledgements as we receive them, and our answers.
//!
//! Owns one function per packet. Leaves to [`answers`](super::answers) when an answer leaves, and
//! to [`outgoing`](super::outgoing) what an acknowledgement makes room for.
//! Read first: MQTT 5.0 sections 3.3 to 3.7, 4.3 and 4.6; MQTT 3.1.1 sections 4.3 and 4.6.

use alloc::vec::Vec;

use bytes::BytesMut;
use whinchat_codec::{
    Guarantee, PacketId, PacketType, PubAck, PubAckProperties, PubAckReason, PubAckRef,
    PubCompReason, PubCompRef, PubRec, PubRecProperties, PubRecReason, PubRecRef, PubRelReason,
    PubRelRef, PublishRef,
};

use super::answers::Reply;
use super::properties::{Diagnosed, encode_within};
use super::{Acked, Answer, Connection, Event, IncomingPublish, Role, Topic};
use crate::state::{Incoming, Outgoing, Unsent};
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
        if self.role == Role::Server {
            self.check_offered(&publish)?;
        }
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
                let known = session
                    .receiver
                    .as_ref()
                    .and_then(|held| held.state(id))
                    .filter(|_| !planted!(RepeatDelivered));
                let repeated_on = match known {
                    None => {
                        self.check_held_ids(session.receiver_mut())?;
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

    /// Whether this server takes such messages. A client of 3.x was not told; it cannot be served.
    #[inline]
    fn check_offered(&self, publish: &PublishRef<'_>) -> Result<(), Violation> {
        let qos = publish.guarantee.qos();
        if qos > self.maximum_qos {
            let max = self.maximum_qos;
            return Err(Violation::QoSNotSupported { qos, max }); // v5 [MQTT-3.2.2-11]
        }
        if publish.retain && !self.retain_available {
            return Err(Violation::RetainNotSupported); // v5 [MQTT-3.2.2-14]
        }
        Ok(())
    }

    /// What 5.0 adds to PUBLISH; the topic name.
    #[inline]
    fn check_publish_v5<'p>(&mut self, publish: &PublishRef<'p>) -> Result<Topic<'p>, Violation> {
        if self.role == Role::Server
            && !publish.properties.is_empty()
            && publish
                .properties
                .subscription_identifiers()
                .next()
                .is_some()
        {
            return Err(Violation::SubscriptionIdentifierFromClient); // v5 [MQTT-3.3.4-6]
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
                session.receiver_mut().note_release(ticket);
                (PubCompReason::Success, ticket, Event::None)
            }
            None if planted!(UnknownPubRelIsSuccess) => {
                (PubCompReason::Success, Ticket::NONE, Event::None)
            }
            // It may have been released on an earlier connection, and the record of that be under
            // way: without it a restart would hold the id, and the peer's next message be lost.
            None => (
                PubCompReason::PacketIdentifierNotFound,
                session
                    .receiver
                    .as_ref()
                    .map_or(Ticket::NONE, |held| held.last_release()),
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
            (slot.state == Outgoing::AwaitPubAck && slot.unsent == Unsent::No)
                .then_some((position, sender))
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
            let state = if slot.unsent != Unsent::No {
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
                    if planted!(QuotaKept) {
                        return stray;
                    }
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
                    slot.state = if planted!(PublishAfterPubRec) && !waits {
                        Outgoing::AwaitPubRec
                    } else if waits {
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

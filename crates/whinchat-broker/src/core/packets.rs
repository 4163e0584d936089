//! One packet in, one event out of the engine, one thing to do.

use whinchat_codec::{DecodeError, DecodeErrorKind, DisconnectRef, PacketRef};
use whinchat_session::{Connection, Event, Instant, SessionState, Ticket, Violation};

use super::{end::Ending, limits_met::Met, mail::SlotKey, message::Delivery};
use crate::{
    limits::Limit,
    shard::{
        Shard, Wire,
        read::Flow,
        slot::{Hold, Phase},
    },
};

impl Shard {
    /// Handles one packet of the connection at `index`.
    pub(crate) fn handle_packet(&mut self, index: u32, packet: PacketRef<'_>) -> Flow {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return Flow::Stop;
        };
        slot.out.take_buffer(&mut self.buffers);
        let attached = slot.session();
        let event = match attached.and_then(|session| self.sessions.get_mut(session)) {
            Some(session) => {
                let durable = session.durable_number();
                let mut wire = Wire::new(
                    &mut slot.out,
                    &mut self.records,
                    &self.metrics,
                    self.unsent_room,
                )
                .for_session(durable);
                slot.engine
                    .handle(self.now, packet, &mut session.state, &mut wire)
            }
            None => {
                let mut wire = Wire::new(
                    &mut slot.out,
                    &mut self.records,
                    &self.metrics,
                    self.unsent_room,
                );
                slot.engine
                    .handle(self.now, packet, &mut SessionState::new(), &mut wire)
            }
        };
        let flow = match event {
            Err(violation) => self.end_with_violation(index, violation),
            Ok(event) => self.act_on(index, attached, event),
        };
        self.after_engine(index);
        match self.slots.get(index as usize) {
            Some(slot) if flow == Flow::Continue && slot.is_held() => Flow::Pause,
            _ => flow,
        }
    }

    fn act_on(&mut self, index: u32, session: Option<u32>, event: Event<'_, Delivery>) -> Flow {
        match (event, session) {
            (Event::Publish(incoming), Some(session)) => {
                self.handle_publish(index, session, &incoming)
            }
            (Event::Subscribe(subscribe), Some(session)) => {
                self.handle_subscribe(index, session, &subscribe)
            }
            (Event::Unsubscribe(unsubscribe), Some(session)) => {
                self.handle_unsubscribe(index, session, &unsubscribe)
            }
            (Event::Acked(_), Some(session)) => {
                self.note_progress(session);
                Flow::Continue
            }
            (Event::Connect(connect), None) => self.handle_connect(index, &connect),
            (Event::Auth(auth), _) => self.handle_auth(index, &auth),
            (Event::Disconnect(disconnect), Some(session)) => {
                self.handle_disconnect(index, session, &disconnect)
            }
            // It gave up before it was let in: nobody has its session or its Will yet.
            (Event::Disconnect(disconnect), None) => {
                self.end_connection(index, Ending::Disconnected(disconnect.reason));
                Flow::Stop
            }
            // Answered by the engine, or nothing that a server's engine reports.
            _ => Flow::Continue,
        }
    }

    /// Gives the engine an answer to write, now or when its ticket is due.
    pub(crate) fn answer(
        &mut self,
        index: u32,
        ticket: Ticket,
        answer: impl FnOnce(&mut Connection, Instant, &mut SessionState<Delivery>, &mut Wire<'_>),
    ) {
        let now = self.now;
        let Some((engine, state, mut wire)) = self.attached_engine(index) else {
            return;
        };
        answer(engine, now, state, &mut wire);
        self.wait_for(index, ticket);
    }

    /// Whatever the engine did: its bytes are written at the end of the turn, what now waits for the
    /// log is on the list of those that do, and packets are let in as long as their answers leave.
    pub(crate) fn after_engine(&mut self, index: u32) {
        self.note_output(index);
        self.await_commit(index);
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        if !matches!(slot.phase, Phase::Attached(_)) {
            return;
        }
        if slot.engine.is_receive_window_full() {
            // It keeps to no Receive Maximum, or has none (3.1, 3.1.1): its socket is read again when
            // an answer has left (T-47).
            slot.hold(Hold::Answers);
        } else {
            slot.release(Hold::Answers);
        }
    }

    /// Puts the connection on the list of those to write to, or gives back a buffer it did not use.
    pub(crate) fn note_output(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        if !slot.out.is_empty() {
            self.mark_dirty(index);
        } else {
            slot.out.give_buffer(&mut self.buffers);
        }
    }

    /// Puts the connection on the list of those that wait for the log, if it does.
    pub(crate) fn await_commit(&mut self, index: u32) {
        let Some(slot) = self.slots.get(index as usize) else {
            return;
        };
        let Phase::Attached(session) = slot.phase else {
            return;
        };
        let ticket = self
            .sessions
            .get(session)
            .and_then(|session| slot.engine.awaited_ticket(&session.state));
        if let Some(ticket) = ticket {
            self.wait_for(index, ticket);
        }
    }

    /// Looks at the connection again when `ticket` is committed. What has a lower ticket leaves then too.
    fn wait_for(&mut self, index: u32, ticket: Ticket) {
        if let Some(slot) = self.slots.get_mut(index as usize)
            && ticket > slot.awaits
        {
            slot.awaits = ticket;
            let check = slot.check;
            self.waiting.push_back((ticket, SlotKey { index, check }));
        }
    }

    fn handle_disconnect(
        &mut self,
        index: u32,
        session: u32,
        disconnect: &DisconnectRef<'_>,
    ) -> Flow {
        if let Some(asked) = disconnect.properties.session_expiry_interval() {
            // Raising it from 0 was refused by the engine (v5 section 3.14.2.2.2).
            self.change_expiry(index, session, asked);
        }
        self.end_connection(index, Ending::Disconnected(disconnect.reason));
        Flow::Stop
    }

    fn change_expiry(&mut self, index: u32, session_index: u32, asked: u32) {
        let (Some(slot), Some(session)) = (
            self.slots.get(index as usize),
            self.sessions.get(session_index),
        ) else {
            return;
        };
        let granted = self.granted_expiry(slot, &session.identity, asked);
        if granted == session.expiry_interval {
            return;
        }
        let recorded = granted > 0 && session.is_durable();
        if let Some(session) = self.sessions.get_mut(session_index) {
            session.expiry_interval = granted;
            if recorded {
                self.records.session(session);
            }
        }
    }

    /// The engine says goodbye in its own words; then the connection is closed.
    fn end_with_violation(&mut self, index: u32, violation: Violation) -> Flow {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return Flow::Stop;
        };
        let client_id = slot
            .session()
            .and_then(|session| self.sessions.get(session))
            .map(|session| &*session.client_id);
        match limit_of(violation) {
            Some(limit) => {
                let met = Met {
                    limit,
                    client_id,
                    peer: Some(slot.peer),
                    value: &violation,
                };
                self.limit_log.note(self.now, &self.metrics, &met);
            }
            None => {
                let client_id = client_id.map(tracing::field::debug);
                tracing::debug!(client_id, peer = %slot.peer, %violation, "a client broke a rule");
            }
        }
        if let Some((engine, mut wire)) = self.engine(index) {
            engine.close_on_violation(violation, &mut wire);
        }
        self.end_connection(index, Ending::Violated(violation));
        Flow::Stop
    }

    /// Bytes that are no packet.
    pub(crate) fn refuse_bytes(&mut self, index: u32, error: &DecodeError) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let session = slot
            .session()
            .and_then(|session| self.sessions.get(session));
        let client_id = session.map(|session| &*session.client_id);
        let kind = error.kind();
        let limit = if let DecodeErrorKind::PacketTooLarge { .. } = kind {
            let known = session.is_some();
            Some(if known {
                Limit::PacketSize
            } else {
                Limit::PacketSizeBeforeConnect
            })
        } else if let DecodeErrorKind::PropertiesTooLong { .. } = kind {
            Some(Limit::PropertiesSize)
        } else if let DecodeErrorKind::TooManyUserProperties { .. } = kind {
            Some(Limit::UserProperties)
        } else {
            None
        };
        match limit {
            Some(limit) => {
                let met = Met {
                    limit,
                    client_id,
                    peer: Some(slot.peer),
                    value: error,
                };
                self.limit_log.note(self.now, &self.metrics, &met);
            }
            None => {
                let client_id = client_id.map(tracing::field::debug);
                tracing::info!(client_id, peer = %slot.peer, %error, "a client sent bytes that are no packet");
            }
        }
        if let Some((engine, mut wire)) = self.engine(index) {
            engine.close_on_malformed(error, &mut wire);
        }
        self.end_connection(index, Ending::Malformed(error.reason()));
    }
}

/// The limit of ours behind a rule that a client broke.
fn limit_of(violation: Violation) -> Option<Limit> {
    if let Violation::ReceiveMaximumExceeded { .. } = violation {
        Some(Limit::ReceiveMaximum)
    } else if let Violation::TopicAliasTooHigh { .. } = violation {
        Some(Limit::TopicAliasMaximum)
    } else {
        None
    }
}

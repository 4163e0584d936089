//! The end of a connection, and of a session.
//!
//! Whatever ends a connection comes through [`Shard::end_connection`]: it says goodbye if the
//! version has a way to, detaches the session, decides about the Will and frees the slot.
//!
//! | ending | DISCONNECT to the peer (5.0) | Will |
//! | --- | --- | --- |
//! | the peer's DISCONNECT | none | only if it said so (0x04) |
//! | abrupt: closed or failed socket | none | published |
//! | a rule was broken | the rule's reason code | published |
//! | keep alive, stalled, kicked, shutdown | 0x8D, none, 0x98, 0x8B | published |
//! | taken over | 0x8E | published, unless the session goes on and a delay is running |
//!
//! Read first: MQTT 5.0 sections 3.1.2.5, 3.1.4, 3.14, 4.1, 4.13.

use std::sync::{Arc, atomic::Ordering};

use whinchat_codec::{
    DisconnectProperties, DisconnectReason, Guarantee, PacketId, PubAckReason, PublishRef,
};
use whinchat_session::Violation;

use super::{deliver::Outgoing, groups::Level, limits_met::Met, retained::Source, wills::Will};
use crate::{
    hooks::{Client, Decision, DisconnectEvent, Identity, MessageEvent, PublishVerdict},
    limits::Limit,
    metrics::{CloseLabel, DropLabel, RefusalLabel},
    shard::{Life, Shard, Wire, slot::Phase, timers::Timed},
};

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The peer said DISCONNECT; its Will is published unless the reason is 0x00.
    Disconnected(DisconnectReason),
    /// The socket was closed or failed.
    Lost,
    /// The CONNECT was refused, and the peer was told.
    Refused,
    /// The engine found a rule broken, and told the peer.
    Violated(Violation),
    /// What arrived was no packet, or one beyond a limit; the engine told the peer.
    Malformed(DisconnectReason),
    /// The peer takes nothing.
    Stalled,
    /// CONNECT was not complete in time.
    ConnectTimeout,
    /// Too many have not sent their CONNECT; this one made room for another.
    CrowdedOut,
    /// Re-authentication failed.
    NotAuthorized,
    /// The client is known until now, and has not authenticated again.
    AuthenticationExpired,
    /// A 3.x publisher has to be refused, which its version has no words for.
    QueueFull,
    /// A topic name with too many levels.
    TopicNameInvalid,
    /// Another connection with the same client id.
    TakenOver,
    /// An administrator's wish.
    Kicked,
    /// The broker stops.
    ShuttingDown,
    /// A defect of ours.
    Panicked,
}

impl Ending {
    /// The reason in the DISCONNECT of either side, if there is one to give.
    fn reason(self) -> Option<DisconnectReason> {
        match self {
            Self::Disconnected(reason) | Self::Malformed(reason) => Some(reason),
            Self::Violated(violation) => Some(violation.reason()),
            Self::Lost
            | Self::Refused
            | Self::Stalled
            | Self::ConnectTimeout
            | Self::CrowdedOut => None,
            Self::NotAuthorized | Self::AuthenticationExpired => {
                Some(DisconnectReason::NotAuthorized)
            }
            Self::QueueFull => Some(DisconnectReason::QuotaExceeded),
            Self::TopicNameInvalid => Some(DisconnectReason::TopicNameInvalid),
            Self::TakenOver => Some(DisconnectReason::SessionTakenOver),
            Self::Kicked => Some(DisconnectReason::AdministrativeAction),
            Self::ShuttingDown => Some(DisconnectReason::ServerShuttingDown),
            Self::Panicked => Some(DisconnectReason::UnspecifiedError),
        }
    }

    /// True if the peer has said it itself, or has been told by the engine.
    fn is_known_to_peer(self) -> bool {
        matches!(
            self,
            Self::Disconnected(_) | Self::Malformed(_) | Self::Violated(_)
        )
    }

    fn label(self) -> CloseLabel {
        match self {
            Self::Disconnected(DisconnectReason::NormalDisconnection) => CloseLabel::Disconnect,
            Self::Disconnected(_) => CloseLabel::DisconnectWithWill,
            Self::Lost | Self::Refused | Self::ConnectTimeout | Self::CrowdedOut => {
                CloseLabel::Lost
            }
            Self::Violated(Violation::KeepAliveTimeout) => CloseLabel::KeepAlive,
            Self::Violated(_) => CloseLabel::ProtocolError,
            Self::Malformed(_) => CloseLabel::Malformed,
            Self::Stalled => CloseLabel::Stalled,
            Self::NotAuthorized => CloseLabel::NotAuthorized,
            Self::AuthenticationExpired => CloseLabel::AuthenticationExpired,
            Self::TopicNameInvalid | Self::QueueFull => CloseLabel::Limit,
            Self::TakenOver => CloseLabel::TakenOver,
            Self::Kicked => CloseLabel::Administrative,
            Self::ShuttingDown => CloseLabel::Shutdown,
            Self::Panicked => CloseLabel::InternalError,
        }
    }
}

/// How long a closed connection may take to receive its last bytes.
const FLUSH_MILLIS: u64 = 5_000;

impl Shard {
    /// Ends a connection; what it has queued for its peer is still sent where that makes sense.
    pub(crate) fn end_connection(&mut self, index: u32, ending: Ending) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let was_closing = matches!(slot.phase, Phase::AwaitFlush);
        let session = slot.session();
        if session.is_none() && !was_closing {
            self.end_handshake(index);
        }
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        if let Some(reason) = ending.reason()
            && !ending.is_known_to_peer()
        {
            let mut properties = DisconnectProperties::default();
            let mut reason = reason;
            if ending == Ending::ShuttingDown
                && let Some(server) = &self.settings.redirect
                && properties.set_server_reference(server).is_ok()
            {
                reason = DisconnectReason::UseAnotherServer;
            }
            let mut wire = Wire::new(
                &mut slot.out,
                &mut self.records,
                &self.metrics,
                self.unsent_room,
            );
            // Before CONNACK there is nothing to say.
            slot.engine.disconnect(reason, properties, &mut wire).ok();
        }
        if !was_closing {
            match session {
                Some(_) => self
                    .metrics
                    .connections_closed
                    .of(ending.label())
                    .increment(),
                None if ending == Ending::ConnectTimeout => {
                    self.metrics
                        .connections_refused
                        .of(RefusalLabel::TimedOut)
                        .increment();
                }
                None if ending == Ending::CrowdedOut => {
                    self.metrics
                        .connections_refused
                        .of(RefusalLabel::TooManyConnections)
                        .increment();
                }
                None if matches!(ending, Ending::Lost | Ending::Disconnected(_)) => {
                    self.metrics
                        .connections_refused
                        .of(RefusalLabel::Closed)
                        .increment();
                }
                None if matches!(ending, Ending::Malformed(_)) => {
                    self.metrics
                        .connections_refused
                        .of(RefusalLabel::Malformed)
                        .increment();
                }
                None => {}
            }
        }
        slot.phase = Phase::AwaitFlush;
        slot.identity_ends_at = None;
        slot.unread = Vec::new();
        slot.resume_reading();
        if was_closing || matches!(ending, Ending::Lost | Ending::Stalled) {
            self.remove_slot(index);
        } else {
            slot.deadline = Some(self.now.saturating_add_millis(FLUSH_MILLIS));
            self.schedule_slot(index);
            self.mark_dirty(index);
        }
        if let Some(session) = session {
            self.detach(session, ending);
        }
    }

    /// All is sent: ends the stream and gives the place back.
    pub(crate) fn close_flushed(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize) {
            let mut cx = std::task::Context::from_waker(&slot.waker);
            // A failure here changes nothing: the socket is dropped either way.
            let _ = slot.stream.poll_shutdown(&mut cx);
        }
        self.remove_slot(index);
    }

    fn remove_slot(&mut self, index: u32) {
        if self.slots.try_remove(index as usize).is_some() {
            self.metrics.connections.subtract(1);
            self.commons
                .counts
                .connections
                .fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The session loses its connection.
    fn detach(&mut self, index: u32, ending: Ending) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        session.slot = None;
        if let Some(readiness) = &session.readiness {
            readiness.set(Level::Absent);
        }
        self.commons.counts.clients.fetch_sub(1, Ordering::Relaxed);
        tracing::debug!(client_id = ?session.client_id, ?ending, "client disconnected");
        self.commons.hooks.on_disconnect(
            &Client::new(&session.client_id, &session.identity),
            &DisconnectEvent::new(ending.reason()),
            self.commons.shared_metrics(),
        );
        match ending {
            // v5 [MQTT-3.14.4-3], v311 [MQTT-3.1.2-10]
            Ending::Disconnected(DisconnectReason::NormalDisconnection)
                if !planted!(WillAfterDisconnect) =>
            {
                if session.will.take().is_some() {
                    self.records.will_end(session.number);
                }
            }
            // The new connection decides about the Will and the session.
            Ending::TakenOver => return,
            Ending::Disconnected(_)
            | Ending::Lost
            | Ending::Refused
            | Ending::Violated(_)
            | Ending::Malformed(_)
            | Ending::Stalled
            | Ending::ConnectTimeout
            | Ending::CrowdedOut
            | Ending::NotAuthorized
            | Ending::AuthenticationExpired
            | Ending::TopicNameInvalid
            | Ending::QueueFull
            | Ending::Kicked
            | Ending::ShuttingDown
            | Ending::Panicked => {}
        }
        if session.expiry_interval == 0 {
            self.end_session(index);
            return;
        }
        self.begin_absence(index);
    }

    /// The session goes on without a connection, from now on.
    pub(crate) fn begin_absence(&mut self, index: u32) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        let now = self.now;
        let after = |seconds: u32| now.saturating_add_millis(u64::from(seconds) * 1_000);
        session.ends_at =
            (session.expiry_interval != u32::MAX).then(|| after(session.expiry_interval));
        session.will_at = session.will.as_ref().map(|will| {
            if planted!(WillDelayIgnored) {
                now
            } else {
                after(will.delay_interval)
            }
        });
        if session.will_at.is_some_and(|at| at <= now) {
            self.publish_will(index);
        }
        if let Some(session) = self.sessions.get(index) {
            self.records
                .absence(session.number, session.ends_at, session.will_at);
        }
        self.redistribute(index, false);
        self.schedule_session(index);
    }

    /// The session is over: its subscriptions, its queue and its Will with it.
    pub(crate) fn end_session(&mut self, index: u32) {
        // v5 [MQTT-3.1.2-8]: the Will is published when its delay is over or the session ends.
        self.publish_will(index);
        self.remove_subscriptions(index);
        self.redistribute(index, true);
        self.forget_fullness(index);
        let Some(session) = self.sessions.remove(index) else {
            return;
        };
        self.metrics.sessions.subtract(1);
        let counts = &self.commons.counts;
        counts.sessions.fetch_sub(1, Ordering::Relaxed);
        counts.uncount(session.counted);
        if let Some(number) = session.recorded_number() {
            self.last_session_end = self.records.session_end(session.partition(), number);
        }
        if session.overflow_logged {
            self.metrics.sessions_overflowed.subtract(1);
        }
        // What is in flight was counted when it was sent.
        let dropped = self.metrics.messages_dropped.of(DropLabel::SessionEnded);
        dropped.add(session.state.queue_len() as u64);
    }

    /// Messages of shared subscriptions that the session has not received go to another member
    /// (v5 section 4.8.2; those of QoS 2 that may have arrived stay, [MQTT-4.8.2-5]): to one that is
    /// connected, or to any if the session is over.
    fn redistribute(&mut self, index: u32, is_over: bool) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        if session.readiness.is_none() {
            return; // it never was a member
        }
        let commons = Arc::clone(&self.commons);
        let keeper = session.durable_number().filter(|_| !is_over);
        let unacked = session.state.take_unacked(|delivery| {
            delivery
                .group
                .is_some_and(|group| commons.groups.has_taker(group, !is_over))
        });
        for unacked in unacked {
            if let Some(group) = unacked.message.group {
                if let Some(number) = keeper {
                    match unacked.packet_id {
                        Some(id) => self.records.given_back(number, id),
                        None => self.records.dropped(number, &unacked.message.message, true),
                    };
                }
                if let Some(message) = unacked.message.message.message() {
                    self.deliver_to_group(group, &message);
                }
            }
        }
    }

    /// Publishes the session's Will, if it has one.
    pub(crate) fn publish_will(&mut self, index: u32) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        session.will_at = None;
        let Some(will) = session.will.take() else {
            return;
        };
        let number = session.number;
        let (client_id, identity) = (session.client_id.clone(), session.identity.clone());
        self.records.will_end(number);
        self.publish_will_of(number, &client_id, &identity, &will);
    }

    /// Publishes the Will of the session of this number, which need not be there any more.
    pub(crate) fn publish_will_of(
        &mut self,
        number: u64,
        client_id: &str,
        identity: &Identity,
        will: &Will,
    ) {
        let mut parts = will.parts(self.now);
        // The right may have been lost since CONNECT (T-67).
        if self
            .commons
            .may(identity, client_id, will.action(), &will.topic)
            == Decision::Deny
        {
            self.metrics.access_denied.of(will.action()).increment();
            return;
        }
        let publish = PublishRef {
            guarantee: Guarantee::new(will.qos, PacketId::MIN, false),
            retain: will.retain,
            topic: parts.topic,
            properties: parts.properties,
            payload: parts.payload,
        };
        let verdict = self.commons.hooks.on_publish(
            &Client::new(client_id, identity),
            &MessageEvent::new(parts.topic, &publish),
            self.commons.shared_metrics(),
        );
        let replaced = match verdict {
            PublishVerdict::Pass => None,
            PublishVerdict::Replace(payload) => Some(payload),
            PublishVerdict::Refuse(_) => {
                let dropped = self.metrics.messages_dropped.of(DropLabel::Intercepted);
                return dropped.increment();
            }
        };
        if let Some(payload) = &replaced {
            parts.payload = payload;
        }
        self.metrics.wills_published.increment();
        let source = (will.retain && self.commons.hooks.has_authorizer())
            .then(|| Source::new(identity, client_id));
        let outgoing = Outgoing::new(parts, will.qos, will.retain, number).published_by(source);
        let routed = self.route(outgoing);
        debug_assert!(routed.reason != PubAckReason::NotAuthorized);
    }

    /// Something's deadline may have come.
    pub(crate) fn handle_due(&mut self, timed: Timed) {
        match timed {
            Timed::Slot(index) => self.handle_slot_due(index),
            Timed::Session(index) => self.handle_session_due(index),
        }
    }

    fn handle_slot_due(&mut self, index: u32) {
        let now = self.now;
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        if !slot.scheduled.take_due(&self.wheel) {
            return;
        }
        if slot.deadline.is_some_and(|deadline| deadline <= now) {
            if matches!(slot.phase, Phase::Delayed(_)) {
                return self.end_delay(index);
            }
            let ending = match slot.phase {
                Phase::AwaitFlush => Ending::Lost,
                Phase::AwaitConnect
                | Phase::Authenticating(_)
                | Phase::Attached(_)
                | Phase::AwaitCommit(_)
                | Phase::Delayed(_) => {
                    self.metrics
                        .limit_hits
                        .of(Limit::ConnectTimeout)
                        .increment();
                    Ending::ConnectTimeout
                }
            };
            return self.end_connection(index, ending);
        }
        if slot.identity_ends_at.is_some_and(|at| at <= now) {
            return self.end_connection(index, Ending::AuthenticationExpired);
        }
        let limits = &self.settings.listener(slot.listener).limits;
        if slot.stalls_at(limits).is_some_and(|at| at <= now) {
            let bytes = slot.out.len();
            self.end_by_limit(index, Limit::UnsentStallTimeout, &bytes);
            return;
        }
        let packet = slot.packet_stalls_at(limits).filter(|(at, _)| *at <= now);
        if let Some((_, limit)) = packet {
            let bytes = slot.unread.len();
            self.end_by_limit(index, limit, &bytes);
            return;
        }
        if slot.is_unread && matches!(slot.phase, Phase::Attached(_)) {
            // Silent or not, it is not known: what it sent in time is read first.
            return self.schedule_slot(index);
        }
        let Some((engine, mut wire)) = self.engine(index) else {
            return;
        };
        match engine.handle_timeout(now, &mut wire) {
            Ok(()) => self.schedule_slot(index),
            Err(violation) => {
                engine.close_on_violation(violation, &mut wire); // v5 [MQTT-3.1.2-22]
                self.end_connection(index, Ending::Violated(violation));
            }
        }
    }

    /// The peer takes nothing, or sends nothing of what it has begun.
    fn end_by_limit(&mut self, index: u32, limit: Limit, value: &usize) {
        let Some(slot) = self.slots.get(index as usize) else {
            return;
        };
        let met = Met {
            limit,
            client_id: slot
                .session()
                .and_then(|session| self.sessions.get(session))
                .map(|session| &*session.client_id),
            peer: Some(slot.peer),
            value,
        };
        self.limit_log.note(self.now, &self.metrics, &met);
        self.end_connection(index, Ending::Stalled);
    }

    fn handle_session_due(&mut self, index: u32) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        if !session.scheduled.take_due(&self.wheel) {
            return;
        }
        if session.slot.is_some() {
            return;
        }
        if session.ends_at.is_some_and(|at| at <= now) && !planted!(SessionNeverExpires) {
            self.metrics.sessions_expired.increment();
            self.end_session(index);
            return;
        }
        if session.will_at.is_some_and(|at| at <= now) {
            self.publish_will(index);
        }
        self.schedule_session(index);
    }

    /// Puts a connection's next deadline on the wheel.
    pub(crate) fn schedule_slot(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let limits = &self.settings.listener(slot.listener).limits;
        let deadlines = [
            slot.deadline,
            slot.identity_ends_at,
            slot.engine.poll_timeout(),
            slot.stalls_at(limits),
            slot.packet_stalls_at(limits).map(|(at, _)| at),
        ];
        if let Some(next) = deadlines.into_iter().flatten().min() {
            self.wheel
                .schedule(Timed::Slot(index), &mut slot.scheduled, next);
        }
    }

    /// Puts the next deadline of a session without a connection on the wheel.
    pub(crate) fn schedule_session(&mut self, index: u32) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        if let Some(next) = [session.ends_at, session.will_at]
            .into_iter()
            .flatten()
            .min()
        {
            self.wheel
                .schedule(Timed::Session(index), &mut session.scheduled, next);
        }
    }

    /// Says goodbye to everybody and accepts nobody.
    pub(crate) fn drain(&mut self, deadline: std::time::Instant) {
        let is_first = self.life == Life::Serving;
        self.life = Life::Draining { deadline };
        if !is_first {
            return; // those who are told already keep what is left to send
        }
        self.accepting.close();
        let open: Vec<u32> = self
            .slots
            .iter()
            .filter_map(|(index, _)| u32::try_from(index).ok())
            .collect();
        for index in open {
            self.end_connection(index, Ending::ShuttingDown);
        }
    }
}

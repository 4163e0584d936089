//! A known client gets its session: at the shard where it lives, the old one or a new one.
//!
//! ```text
//! go home ─► whose session is it? ─► take over ─► record ─► (the log) ─► CONNACK
//! ```
//!
//! Read first: MQTT 5.0 sections 3.1.2.4, 3.1.4, 3.2.2 and 4.1.

use std::{sync::atomic::Ordering, time::SystemTime};

use bytes::Bytes;
use whinchat_codec::{ConnAckProperties, ConnAckReason, Connect, ProtocolVersion};
use whinchat_session::{ConnAckOptions, Instant, Ticket};
use whinchat_transport::Peer;

use super::{
    end::Ending,
    groups::Level,
    limits_met::Met,
    mail::{Arrival, Mail, SlotKey},
    sessions::{Counted, Session, Takeovers},
    wills::Will,
};
use crate::{
    hooks::{Client, ConnectEvent, Decision, Identity, Refusal},
    limits::Limit,
    settings::Features,
    shard::{
        Life, Shard, Wire,
        slot::{Arriving, Authenticating, AwaitCommit, Hold, Phase, Slot},
    },
};

impl Shard {
    /// Moves the connection to the shard where its session lives, or stays.
    pub(crate) fn go_home(&mut self, index: u32, identity: Identity, data: Option<Bytes>) {
        let slot = &mut self.slots[index as usize];
        let Phase::Authenticating(waiting) =
            std::mem::replace(&mut slot.phase, Phase::AwaitConnect)
        else {
            return;
        };
        let Authenticating {
            connect,
            client_id_assigned,
            exchange: _,
        } = *waiting;
        let home = self.commons.home_of(&connect.client_id);
        self.end_handshake(index);
        let slot = &mut self.slots[index as usize];
        if home == self.id {
            slot.release(Hold::Authentication);
            return self.attach(
                index,
                Login {
                    connect,
                    client_id_assigned,
                    identity,
                    data,
                },
            );
        }
        let Some(slot) = self.slots.try_remove(index as usize) else {
            return;
        };
        self.metrics.connections.subtract(1);
        let Ok(stream) = slot.stream.detach() else {
            self.commons
                .counts
                .connections
                .fetch_sub(1, Ordering::Relaxed);
            return;
        };
        let arrival = Arrival {
            stream,
            peer: slot.peer,
            listener: slot.listener,
            engine: slot.engine,
            out: slot.out,
            unread: slot.unread,
            login: Login {
                connect,
                client_id_assigned,
                identity,
                data,
            },
        };
        self.mail(home, Mail::Arrival(Box::new(arrival)));
    }

    /// A connection comes home.
    pub(crate) fn arrive(&mut self, arrival: Arrival) {
        let stream = (self.life == Life::Serving).then(|| arrival.stream.attach());
        let Some(Ok(stream)) = stream else {
            self.commons
                .counts
                .connections
                .fetch_sub(1, Ordering::Relaxed);
            return;
        };
        let index = self.add_slot(Arriving {
            stream,
            peer: arrival.peer,
            listener: arrival.listener,
            engine: arrival.engine,
        });
        let slot = &mut self.slots[index as usize];
        slot.unread = arrival.unread;
        slot.out = arrival.out;
        self.attach(index, arrival.login);
    }

    /// L-16: counts a connection that will take over the session of another one. True if it has to
    /// wait before it may: two clients that fight for one id slow each other down.
    fn is_braked(&mut self, client_id: &str) -> bool {
        let limits = &self.settings.limits;
        let Some(session) = self
            .sessions
            .find(client_id)
            .and_then(|index| self.sessions.get_mut(index))
            .filter(|session| session.slot.is_some())
        else {
            return false;
        };
        let takeovers = &mut session.takeovers;
        if self.now.saturating_since(takeovers.since) >= limits.takeover_period {
            *takeovers = Takeovers {
                since: self.now,
                count: 0,
            };
        }
        takeovers.count = takeovers.count.saturating_add(1);
        if takeovers.count <= limits.takeovers {
            return false;
        }
        self.metrics.limit_hits.of(Limit::Takeovers).increment();
        if takeovers.count == limits.takeovers + 1 {
            tracing::warn!(
                ?client_id,
                takeovers = takeovers.count,
                limit = Limit::Takeovers.option(),
                "clients fight for one client id"
            );
        }
        true
    }

    /// The wait before a take-over is over.
    pub(crate) fn end_delay(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let Phase::Delayed(login) = std::mem::replace(&mut slot.phase, Phase::AwaitConnect) else {
            return;
        };
        slot.deadline = None;
        slot.release(Hold::Turn);
        self.attach_now(index, *login);
    }

    fn attach(&mut self, index: u32, login: Login) {
        if self.is_braked(&login.connect.client_id) {
            let slot = &mut self.slots[index as usize];
            let delay = self.settings.limits.takeover_delay;
            slot.deadline = Some(self.now.saturating_add(delay));
            slot.hold(Hold::Turn);
            slot.phase = Phase::Delayed(Box::new(login));
            return self.schedule_slot(index);
        }
        self.attach_now(index, login);
    }

    /// Gives a known client its session: the old one, or a new one.
    fn attach_now(&mut self, index: u32, login: Login) {
        let Login {
            connect,
            client_id_assigned,
            identity,
            data,
        } = login;
        let identity_ends_at = self.end_of(&identity);
        if identity_ends_at.is_some_and(|at| at <= self.now) {
            self.refuse(index, &Refusal::not_authorized());
            return;
        }
        self.slots[index as usize].identity_ends_at = identity_ends_at;
        let will = connect.will.map(|will| Box::new(Will::new(will)));
        if let Some(will) = &will
            && self
                .commons
                .may(&identity, &connect.client_id, will.action(), &will.topic)
                == Decision::Deny
        {
            self.refuse(index, &Refusal::not_authorized()); // the Will could not be published (T-67)
            return;
        }
        let slot = &self.slots[index as usize];
        let limits = &self.settings.listener(slot.listener).limits;
        let asked = asked_expiry(
            connect.version,
            connect.clean_start,
            connect.properties.session_expiry_interval(),
        );
        let expiry_interval = self.granted_expiry(slot, &identity, asked);
        if expiry_interval < asked {
            let limit = if limits
                .session_expiry_max
                .is_some_and(|max| max.get() == expiry_interval)
            {
                Limit::SessionExpiryMax
            } else {
                Limit::AnonymousSessionExpiryMax
            };
            self.metrics.limit_hits.of(limit).increment();
        }
        let keep_alive = match limits.keep_alive_max {
            Some(max) if connect.keep_alive == 0 || u32::from(connect.keep_alive) > max.get() => {
                self.metrics.limit_hits.of(Limit::KeepAliveMax).increment();
                u16::try_from(max.get()).ok()
            }
            _ => None,
        };

        let found = self.sessions.find(&connect.client_id);
        if let Some(session) = found {
            let owner = &self.sessions.get(session).expect("found").identity;
            if owner.name() != identity.name() {
                self.refuse(index, &Refusal::not_authorized()); // another identity's session (T-26)
                return;
            }
        }
        let takeovers = found
            .and_then(|session| self.sessions.get(session))
            .map(|session| session.takeovers)
            .unwrap_or_default();
        // v5 [MQTT-3.1.2-4], [MQTT-3.1.2-5]
        let found = found.filter(|session| self.take_over(*session, connect.clean_start));
        if found.is_none()
            && expiry_interval > 0
            && let Err((limit, value)) = self.may_outlive(index, &identity)
        {
            let met = Met {
                limit,
                client_id: Some(&connect.client_id),
                peer: self.slots.get(index as usize).map(|slot| slot.peer),
                value: &value,
            };
            self.limit_log.note(self.now, &self.metrics, &met);
            self.refuse(index, &Refusal::new(ConnAckReason::QuotaExceeded));
            return;
        }
        let session_index = match found {
            Some(session) => session,
            None => self.begin_session(&connect.client_id, identity.clone()),
        };
        let session = self
            .sessions
            .get_mut(session_index)
            .expect("found or just made");
        let was_durable = session.is_durable();
        let counted = match (
            expiry_interval,
            identity.is_anonymous() && !self.slots[index as usize].peer.is_local(),
        ) {
            (0, _) => Counted::Transient,
            (_, false) => Counted::Durable,
            (_, true) => Counted::DurableAnonymous,
        };
        self.commons.counts.uncount(session.counted);
        self.commons.counts.count(counted);
        session.counted = counted;
        session.takeovers = takeovers; // also where the session itself began anew
        session.identity = identity;
        session.expiry_interval = expiry_interval;
        session.slot = Some(index);
        session.ends_at = None;
        session.will_at = None;
        session.will = will;
        if let Some(readiness) = &session.readiness {
            readiness.set(Level::Awaited);
        }
        let durable = session.is_durable();
        if durable != was_durable {
            self.update_durability(session_index);
        }
        // What a client has given up must not come back (T-63), whichever of its connections ended it.
        let mut ticket = if found.is_none() && self.last_session_end > self.committed {
            self.records.last_ticket()
        } else {
            Ticket::NONE
        };
        // One that no longer outlives its connection waits all the same, for what it still had to.
        if durable || was_durable {
            let session = self
                .sessions
                .get(session_index)
                .expect("found or just made");
            ticket = self.records.session(session);
        }
        if planted!(ConnAckNotAwaited) {
            ticket = Ticket::NONE;
        }
        // Also where the session ends with its connection: a crash must not leave its state as if it were there.
        if let Some(session) = self.sessions.get(session_index)
            && let Some(will) = &session.will
        {
            self.records.will(session, will);
        }
        let granted = Granted {
            client_id: client_id_assigned.then_some(&*connect.client_id),
            expiry_interval: (expiry_interval != asked).then_some(expiry_interval),
            keep_alive,
            response_information: connect.properties.request_response_information() == Some(true),
            authentication_data: data.as_deref(),
        };
        let properties = granted.properties(&self.settings.features);
        self.metrics.connections_accepted.increment();
        self.commons.counts.clients.fetch_add(1, Ordering::Relaxed);
        self.tell_connected(session_index, connect.version, found.is_some());
        let connack = ConnAckOptions::new()
            .with_session_present(found.is_some() && !planted!(SessionPresentWrong))
            .with_properties(properties);
        let slot = &mut self.slots[index as usize];
        slot.deadline = None;
        let waiting = Box::new(AwaitCommit {
            session: session_index,
            connack,
        });
        slot.phase = Phase::AwaitCommit(waiting);
        if ticket.is_some() {
            slot.hold(Hold::Commit);
            self.waiting.push_back((
                ticket,
                SlotKey {
                    index,
                    check: slot.check,
                },
            ));
        } else {
            self.accept_connect(index, Ticket::NONE);
        }
    }

    /// Everything that the CONNACK vouches for is where it has to be.
    pub(crate) fn accept_connect(&mut self, index: u32, committed: Ticket) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let Phase::AwaitCommit(waiting) = std::mem::replace(&mut slot.phase, Phase::AwaitFlush)
        else {
            return;
        };
        let AwaitCommit {
            session: session_index,
            connack,
        } = *waiting;
        slot.phase = Phase::Attached(session_index);
        let Some(session) = self.sessions.get_mut(session_index) else {
            return;
        };
        let durable = session.durable_number();
        let mut wire = Wire::new(
            &mut slot.out,
            &mut self.records,
            &self.metrics,
            self.unsent_room,
        )
        .for_session(durable);
        slot.engine
            .accept(self.now, &mut session.state, connack, &mut wire);
        if slot.engine.is_closed() {
            self.end_connection(index, Ending::Refused);
            return;
        }
        slot.engine
            .handle_committed(self.now, committed, &mut session.state, &mut wire);
        slot.resume_reading();
        self.schedule_slot(index);
        self.after_engine(index);
        self.note_progress(session_index);
    }

    /// Ends the connection that has the session now. False if the session has ended with it.
    fn take_over(&mut self, session_index: u32, clean_start: bool) -> bool {
        let Some(session) = self.sessions.get(session_index) else {
            return false;
        };
        if let Some(old) = session.slot {
            self.metrics.sessions_taken_over.increment();
            self.end_connection(old, Ending::TakenOver); // v5 [MQTT-3.1.4-3], v311 [MQTT-3.1.4-2]
        }
        let Some(session) = self.sessions.get(session_index) else {
            return false;
        };
        if (clean_start && !planted!(CleanStartIgnored)) || session.expiry_interval == 0 {
            // Publishes its Will (v5 section 3.1.3.2.2). A session that ends with its connection is not
            // handed on to the next one. // v311 [MQTT-3.1.2-6]
            self.end_session(session_index);
            return false;
        }
        if session
            .will
            .as_ref()
            .is_some_and(|will| will.delay_interval == 0)
        {
            self.publish_will(session_index);
        } else if let Some(session) = self.sessions.get_mut(session_index)
            && session.will.take().is_some()
        {
            // The client is back before the delay was over (v5 [MQTT-3.1.3-9]).
            let number = session.number;
            self.records.will_end(number);
        }
        true
    }

    /// When somebody ceases to be known, on this broker's clock.
    pub(crate) fn end_of(&self, identity: &Identity) -> Option<Instant> {
        let left = identity
            .expires_at()?
            .duration_since(SystemTime::now())
            .unwrap_or_default();
        Some(self.now.saturating_add(left))
    }

    /// What is granted of a Session Expiry Interval that is asked for, in seconds.
    pub(crate) fn granted_expiry(&self, slot: &Slot, identity: &Identity, asked: u32) -> u32 {
        let limits = &self.settings.listener(slot.listener).limits;
        let granted = asked.min(limits.session_expiry_max.map_or(u32::MAX, |max| max.get()));
        if identity.is_anonymous() && !slot.peer.is_local() {
            granted.min(limits.anonymous_session_expiry_max.get())
        } else {
            granted
        }
    }

    fn begin_session(&mut self, client_id: &str, identity: Identity) -> u32 {
        self.commons.counts.sessions.fetch_add(1, Ordering::Relaxed);
        self.metrics.sessions.add(1);
        let number = self.commons.next_session_number();
        self.sessions
            .insert(Session::new(number, client_id, identity))
    }

    /// Whether one more session may outlive its connection; or which limit is in the way, and how many
    /// there are.
    fn may_outlive(&self, index: u32, identity: &Identity) -> Result<(), (Limit, usize)> {
        let limits = &self.settings.limits;
        let durable = self.commons.counts.durable_sessions.load(Ordering::Relaxed);
        if durable >= limits.durable_sessions as usize {
            return Err((Limit::DurableSessions, durable));
        }
        let from_elsewhere = !self.slots[index as usize].peer.is_local();
        let anonymous = self
            .commons
            .counts
            .anonymous_sessions
            .load(Ordering::Relaxed);
        if identity.is_anonymous()
            && from_elsewhere
            && anonymous >= limits.anonymous_sessions as usize
        {
            return Err((Limit::AnonymousSessions, anonymous));
        }
        Ok(())
    }

    fn tell_connected(&self, session_index: u32, version: ProtocolVersion, session_present: bool) {
        let Some(session) = self.sessions.get(session_index) else {
            return;
        };
        let peer = session
            .slot
            .map_or(Peer::Memory, |slot| self.slots[slot as usize].peer);
        tracing::debug!(client_id = ?session.client_id, %peer, ?version, session_present, "client connected");
        self.commons.hooks.on_connect(
            &Client::new(&session.client_id, &session.identity),
            &ConnectEvent::new(version, peer, session_present),
            self.commons.metrics.shared(),
        );
    }
}

/// A client that is known, on its way to its session.
pub(crate) struct Login {
    pub(crate) connect: Connect,
    pub(crate) client_id_assigned: bool,
    pub(crate) identity: Identity,
    /// Authentication Data for CONNACK.
    pub(crate) data: Option<Bytes>,
}

/// How long the client wants its session to outlive the connection, in seconds.
///
/// 3.1 and 3.1.1 have no interval: a session without Clean Session lasts until it is discarded
/// (v311 [MQTT-3.1.2-4]).
fn asked_expiry(version: ProtocolVersion, clean_start: bool, interval: Option<u32>) -> u32 {
    match version {
        ProtocolVersion::V5 => interval.unwrap_or(0),
        ProtocolVersion::V31 | ProtocolVersion::V311 if clean_start => 0,
        ProtocolVersion::V31 | ProtocolVersion::V311 => u32::MAX,
    }
}

/// What CONNACK has to say besides what the engine adds by itself.
struct Granted<'a> {
    /// The client id, if it was made here.
    client_id: Option<&'a str>,
    /// The Session Expiry Interval, if it is another than the client asked for.
    expiry_interval: Option<u32>,
    /// The Server Keep Alive, if the client's is not in force.
    keep_alive: Option<u16>,
    /// The client wants Response Information.
    response_information: bool,
    authentication_data: Option<&'a [u8]>,
}

impl Granted<'_> {
    fn properties(&self, features: &Features) -> ConnAckProperties {
        let mut properties = ConnAckProperties::default();
        // What MQTT cannot carry because it is too long is left out.
        if let Some(client_id) = self.client_id {
            properties.set_assigned_client_identifier(client_id).ok(); // v5 [MQTT-3.2.2-16]
        }
        if let Some(seconds) = self.expiry_interval {
            properties.set_session_expiry_interval(seconds);
        }
        if let Some(seconds) = self.keep_alive {
            properties.set_server_keep_alive(seconds); // v5 [MQTT-3.1.2-21]
        }
        if !features.wildcard_subscriptions {
            properties.set_wildcard_subscription_available(false);
        }
        if !features.subscription_identifiers {
            properties.set_subscription_identifier_available(false);
        }
        if !features.shared_subscriptions {
            properties.set_shared_subscription_available(false);
        }
        if let Some(information) = features
            .response_information
            .as_deref()
            .filter(|_| self.response_information)
        {
            properties.set_response_information(information).ok(); // v5 [MQTT-3.1.2-28]
        }
        if let Some((name, level)) = &features.ack_user_property {
            properties.add_user_property(name, level).ok();
        }
        if let Some(data) = self.authentication_data {
            properties.set_authentication_data(data).ok();
        }
        properties
    }
}

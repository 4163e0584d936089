//! From CONNECT to CONNACK: who is it, where is its session, does one go on.
//!
//! ```text
//! CONNECT ─► allowed at all? ─► authenticator (elsewhere) ─► home shard ─► take over ─► CONNACK
//!                                 ▲           │
//!                                 └── AUTH ───┘
//! ```
//!
//! Nothing of a session is touched before the client is known. Read first: MQTT 5.0 sections 3.1,
//! 3.2 and 4.12.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use whinchat_codec::{
    AuthProperties, AuthReason, AuthRef, ConnAckProperties, ConnAckReason, Connect, ConnectRef,
    ProtocolVersion, Utf8String,
};
use whinchat_session::{ConnAckOptions, SessionState, Ticket};
use whinchat_topic::TopicName;
use whinchat_transport::Peer;

use super::{
    end::Ending,
    keys::partition_of,
    mail::{Arrival, Mail, SlotKey},
    sessions::{Counted, Session},
    wills::Will,
};
use crate::{
    hooks::{
        Authentication, AuthenticationRequest, Client, ConnectEvent, Decision, Identity, Refusal,
    },
    limits::Limit,
    shard::{
        Shard, Wire,
        read::Flow,
        slot::{Arriving, Authenticating, AwaitCommit, Phase, Slot},
        timers::Scheduled,
    },
};

impl Shard {
    /// The first packet of a connection.
    pub(crate) fn handle_connect(&mut self, index: u32, connect: &ConnectRef<'_>) -> Flow {
        if let Err(refusal) = self.may_connect(index, connect) {
            return self.refuse(index, &refusal);
        }
        let mut connect = connect.to_owned();
        let client_id_assigned = connect.client_id.is_empty();
        if client_id_assigned {
            match assigned_client_id() {
                Some(client_id) => connect.client_id = client_id, // v5 [MQTT-3.1.3-6], [MQTT-3.1.3-7]
                None => return self.refuse(index, &Refusal::server_unavailable()),
            }
        }
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return Flow::Stop;
        };
        let key = SlotKey {
            index,
            check: slot.check,
        };
        let listener = self.settings.listener(slot.listener);
        let anonymous = listener.anonymous;
        let mut request = AuthenticationRequest::new(
            &*connect.client_id,
            connect.version,
            slot.peer,
            Arc::clone(&listener.name),
        );
        if let Some(user_name) = &connect.user_name {
            request = request.with_user_name(&**user_name);
        }
        if let Some(password) = &connect.password {
            request = request.with_password(password.clone());
        }
        if let Some(method) = connect.properties.authentication_method() {
            let data = connect.properties.authentication_data().unwrap_or_default();
            request = request.with_method(method, Bytes::copy_from_slice(data));
        }
        let home = self.commons.home_of(&connect.client_id);
        slot.phase = Phase::Authenticating(Box::new(Authenticating {
            connect,
            client_id_assigned,
            exchange: None,
        }));
        slot.read_paused = true;
        if self.commons.hooks.has_authenticator() {
            self.commons.authenticate(request, self.id, key);
            return Flow::Pause;
        }
        let outcome = if !anonymous {
            Err(Refusal::not_authorized())
        } else if request.method().is_some() {
            Err(Refusal::new(ConnAckReason::BadAuthenticationMethod)) // v5 section 4.12
        } else {
            Ok(Authentication::from(self.commons.anonymous.clone()))
        };
        if home == self.id {
            self.handle_authenticated(key, outcome);
            return self.flow_of(key);
        }
        // What came behind the CONNECT has to be in the slot before the slot moves: with the next turn.
        let letter = Mail::Authenticated { slot: key, outcome };
        self.outgoing[self.id.position()].push(letter);
        Flow::Pause
    }

    /// What can be said without knowing who it is.
    fn may_connect(&self, index: u32, connect: &ConnectRef<'_>) -> Result<(), Refusal> {
        let slot = &self.slots[index as usize];
        let limits = &self.settings.listener(slot.listener).limits;
        let features = &self.settings.features;
        if let Some(elsewhere) = &self.settings.moved_to {
            return Err(Refusal::new(elsewhere.reason).with_server_reference(&*elsewhere.server));
        }
        if connect.client_id.is_empty() {
            let refused = match connect.version {
                ProtocolVersion::V31 => true,
                ProtocolVersion::V311 => !connect.clean_start, // v311 [MQTT-3.1.3-8]
                ProtocolVersion::V5 => false,
            };
            if refused {
                return Err(Refusal::new(ConnAckReason::ClientIdentifierNotValid));
            }
        }
        let too_long = |limit: Limit, reason: ConnAckReason| {
            self.metrics.limit_hits.of(limit).increment();
            Err(Refusal::new(reason))
        };
        if connect.client_id.len() as u64 > limits.client_id_size.bytes() {
            return too_long(Limit::ClientIdSize, ConnAckReason::ClientIdentifierNotValid);
        }
        if connect
            .user_name
            .is_some_and(|name| name.len() as u64 > limits.user_name_size.bytes())
        {
            return too_long(Limit::UserNameSize, ConnAckReason::BadUserNameOrPassword);
        }
        if connect
            .password
            .is_some_and(|password| password.len() as u64 > limits.password_size.bytes())
        {
            return too_long(Limit::PasswordSize, ConnAckReason::BadUserNameOrPassword);
        }
        let Some(will) = &connect.will else {
            return Ok(());
        };
        if will.payload.len() as u64 > limits.will_size.bytes() {
            return too_long(Limit::WillSize, ConnAckReason::PacketTooLarge);
        }
        if will.qos > features.maximum_qos {
            return Err(Refusal::new(ConnAckReason::QoSNotSupported)); // v5 [MQTT-3.2.2-12]
        }
        if will.retain && !features.retain {
            return Err(Refusal::new(ConnAckReason::RetainNotSupported)); // v5 [MQTT-3.2.2-13]
        }
        if TopicName::from_validated(will.topic)
            .check_levels(usize::from(limits.topic_levels))
            .is_err()
        {
            return too_long(Limit::TopicLevels, ConnAckReason::TopicNameInvalid);
        }
        Ok(())
    }

    /// The authenticator has answered.
    pub(crate) fn handle_authenticated(
        &mut self,
        key: SlotKey,
        outcome: Result<Authentication, Refusal>,
    ) {
        let Some(slot) = self.checked_slot(key) else {
            return;
        };
        if let Phase::Attached(session) = slot.phase {
            return self.handle_reauthenticated(key.index, session, outcome);
        }
        let Phase::Authenticating(waiting) = &mut slot.phase else {
            return;
        };
        match outcome {
            Err(refusal) => {
                self.refuse(key.index, &refusal);
            }
            Ok(Authentication::Continue { data, exchange }) => {
                waiting.exchange = Some(exchange);
                self.send_auth(key.index, AuthReason::ContinueAuthentication, Some(&data));
            }
            Ok(Authentication::Accepted { identity, data }) => {
                self.go_home(key.index, identity, data)
            }
        }
    }

    /// The client's next step of an exchange (v5 [MQTT-4.12.0-3]), or the first of a new one
    /// (v5 [MQTT-4.12.1-1]).
    pub(crate) fn handle_auth(&mut self, index: u32, auth: &AuthRef<'_>) -> Flow {
        let Some(key) = self.slot_key(index) else {
            return Flow::Stop;
        };
        let data =
            Bytes::copy_from_slice(auth.properties.authentication_data().unwrap_or_default());
        let slot = &mut self.slots[index as usize];
        slot.read_paused = true;
        let exchange = match &mut slot.phase {
            Phase::Authenticating(waiting) => waiting.exchange.take(),
            Phase::Attached(_) => slot.exchange.take(),
            Phase::AwaitConnect | Phase::AwaitCommit(_) | Phase::AwaitFlush => return Flow::Stop,
        };
        match (exchange, slot.session()) {
            (Some(exchange), _) => self.commons.proceed(exchange, data, self.id, key),
            (None, Some(session)) => {
                let session = self
                    .sessions
                    .get(session)
                    .expect("an attached session is in the table");
                let method = auth.properties.authentication_method().unwrap_or_default();
                let listener = Arc::clone(&self.settings.listener(slot.listener).name);
                let version = ProtocolVersion::V5;
                let request =
                    AuthenticationRequest::new(&*session.client_id, version, slot.peer, listener)
                        .with_method(method, data)
                        .with_identity(session.identity.clone());
                self.commons.authenticate(request, self.id, key);
            }
            (None, None) => return Flow::Stop,
        }
        Flow::Pause
    }

    fn handle_reauthenticated(
        &mut self,
        index: u32,
        session: u32,
        outcome: Result<Authentication, Refusal>,
    ) {
        match outcome {
            // v5 section 4.12.1: a failed re-authentication ends the connection
            Err(_) => self.end_connection(index, Ending::NotAuthorized),
            Ok(Authentication::Continue { data, exchange }) => {
                self.slots[index as usize].exchange = Some(exchange);
                self.send_auth(index, AuthReason::ContinueAuthentication, Some(&data));
            }
            Ok(Authentication::Accepted { identity, data }) => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.identity = identity;
                }
                self.send_auth(index, AuthReason::Success, data.as_deref());
            }
        }
    }

    /// Sends AUTH and reads on.
    fn send_auth(&mut self, index: u32, reason: AuthReason, data: Option<&[u8]>) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let mut properties = AuthProperties::default();
        if let Some(data) = data
            && properties.set_authentication_data(data).is_err()
        {
            tracing::warn!(
                bytes = data.len(),
                "authentication data is longer than MQTT can carry: left out"
            );
        }
        let mut wire = Wire::new(
            &mut slot.out,
            &mut self.records,
            &self.metrics,
            self.settings.unsent_bytes,
        );
        if slot
            .engine
            .send_auth(self.now, reason, properties, &mut wire)
            .is_err()
        {
            return self.end_connection(index, Ending::NotAuthorized);
        }
        slot.resume_reading();
        self.mark_dirty(index);
    }

    /// What is to happen with the packets behind the one that was just handled.
    fn flow_of(&self, key: SlotKey) -> Flow {
        match self.slots.get(key.index as usize) {
            Some(slot) if slot.check == key.check && slot.read_paused => Flow::Pause,
            Some(slot) if slot.check == key.check => Flow::Continue,
            _ => Flow::Stop,
        }
    }

    /// Moves the connection to the shard where its session lives, or stays.
    fn go_home(&mut self, index: u32, identity: Identity, data: Option<Bytes>) {
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
        if home == self.id {
            slot.read_paused = false;
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
        let Ok(stream) = arrival.stream.attach() else {
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

    /// Gives a known client its session: the old one, or a new one.
    fn attach(&mut self, index: u32, login: Login) {
        let Login {
            connect,
            client_id_assigned,
            identity,
            data,
        } = login;
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
        let keep_alive = match limits.keep_alive_max {
            Some(max) if connect.keep_alive == 0 || u32::from(connect.keep_alive) > max.get() => {
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
        // v5 [MQTT-3.1.2-4], [MQTT-3.1.2-5]
        let found = found.filter(|session| self.take_over(*session, connect.clean_start));
        if found.is_none()
            && expiry_interval > 0
            && let Err(limit) = self.may_outlive(index, &identity)
        {
            self.metrics.limit_hits.of(limit).increment();
            self.refuse(index, &Refusal::new(ConnAckReason::QuotaExceeded));
            return;
        }
        let session_index = match found {
            Some(session) => session,
            None => self.begin_session(&connect.client_id, identity.clone()),
        };
        let partition = partition_of(&connect.client_id);
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
        session.identity = identity;
        session.expiry_interval = expiry_interval;
        session.slot = Some(index);
        session.ends_at = None;
        session.will_at = None;
        session.will = will;
        if let Some(readiness) = &session.readiness {
            readiness.set(true, true);
        }
        let number = session.number;
        let durable = session.is_durable();
        if durable != was_durable {
            self.update_durability(session_index);
        }
        let mut ticket = Ticket::NONE;
        // One that no longer outlives its connection waits all the same, for what it still had to.
        if durable || was_durable {
            ticket = self
                .records
                .session(partition, number, &connect.client_id, expiry_interval);
            let session = self
                .sessions
                .get(session_index)
                .expect("found or just made");
            if let Some(will) = &session.will
                && durable
            {
                self.records.will(number, will);
            }
        }
        let features = &self.settings.features;
        let mut properties = ConnAckProperties::default();
        if client_id_assigned {
            // v5 [MQTT-3.2.2-16]
            properties
                .set_assigned_client_identifier(&connect.client_id)
                .expect("the id was made here of letters and digits");
        }
        if expiry_interval != asked {
            properties.set_session_expiry_interval(expiry_interval); // v5 [MQTT-3.2.2-11] follows from 3.2.2.3.2
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
        if let Some(seconds) = keep_alive {
            properties.set_server_keep_alive(seconds); // v5 [MQTT-3.1.2-21]
        }
        if let Some(information) = &features.response_information
            && connect.properties.request_response_information() == Some(true)
        {
            // Longer than MQTT can carry: left out. // v5 [MQTT-3.1.2-28]
            properties.set_response_information(information).ok();
        }
        if let Some(data) = &data {
            properties.set_authentication_data(data).ok();
        }
        self.metrics.connections_accepted.increment();
        self.commons.counts.clients.fetch_add(1, Ordering::Relaxed);
        self.tell_connected(session_index, connect.version, found.is_some());
        let connack = ConnAckOptions::new()
            .with_session_present(found.is_some())
            .with_properties(properties);
        let slot = &mut self.slots[index as usize];
        slot.deadline = None;
        let waiting = Box::new(AwaitCommit {
            session: session_index,
            connack,
        });
        slot.phase = Phase::AwaitCommit(waiting);
        if ticket.is_some() {
            slot.read_paused = true;
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
            self.settings.unsent_bytes,
        )
        .for_session(durable);
        slot.engine
            .accept(self.now, &mut session.state, connack, &mut wire);
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
        if clean_start || session.expiry_interval == 0 {
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
            && session.is_durable()
        {
            // The client is back before the delay was over (v5 [MQTT-3.1.3-9]).
            let number = session.number;
            self.records.will_end(number);
        }
        true
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
        self.sessions.insert(Session {
            number: self.commons.next_session_number(),
            client_id: client_id.into(),
            identity,
            state: SessionState::default(),
            subscriptions: hashbrown::HashMap::new(),
            slot: None,
            expiry_interval: 0,
            ends_at: None,
            will: None,
            will_at: None,
            scheduled: Scheduled::default(),
            readiness: None,
            counted: Counted::Transient,
            overflow_logged: false,
        })
    }

    /// Counts one more session that outlives its connection, or says which limit is in the way.
    fn may_outlive(&self, index: u32, identity: &Identity) -> Result<(), Limit> {
        let limits = &self.settings.limits;
        let durable = self.commons.counts.durable_sessions.load(Ordering::Relaxed);
        if durable >= limits.durable_sessions as usize {
            return Err(Limit::DurableSessions);
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
            return Err(Limit::AnonymousSessions);
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

    /// Answers CONNECT with a refusal and closes.
    fn refuse(&mut self, index: u32, refusal: &Refusal) -> Flow {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return Flow::Stop;
        };
        let reason = refusal.reason();
        tracing::info!(peer = %slot.peer, reason = reason.name(), "refused a connection");
        self.metrics.connections_refused.of(reason).increment();
        let mut properties = ConnAckProperties::default();
        // Texts that MQTT cannot carry are left out: the reason code says what matters.
        if let Some(text) = refusal.reason_string() {
            properties.set_reason_string(text).ok();
        }
        if let Some(server) = refusal.server_reference() {
            properties.set_server_reference(server).ok();
        }
        let mut wire = Wire::new(
            &mut slot.out,
            &mut self.records,
            &self.metrics,
            self.settings.unsent_bytes,
        );
        slot.engine.refuse(reason, properties, &mut wire);
        self.end_connection(index, Ending::Refused);
        Flow::Stop
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

/// An id that nobody can guess or meet by chance: 120 random bits. `None` if the system has no
/// randomness to give.
fn assigned_client_id() -> Option<Utf8String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = [0; 24];
    getrandom::fill(&mut random).ok()?;
    let mut id = String::from("auto-");
    id.extend(
        random
            .iter()
            .map(|byte| char::from(ALPHABET[usize::from(byte % 32)])),
    );
    Utf8String::try_from(id).ok()
}

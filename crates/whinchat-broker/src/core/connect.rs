//! CONNECT: is it acceptable at all, and who is it?
//!
//! ```text
//! CONNECT ─► acceptable? ─► authenticator (elsewhere) ─► home shard ─► take over ─► CONNACK
//!            this file       authentication.rs            attach.rs
//! ```
//!
//! Nothing of a session is touched before the client is known. Read first: MQTT 5.0 sections 3.1
//! and 3.2.

use std::sync::Arc;

use bytes::Bytes;
use whinchat_codec::{ConnAckProperties, ConnAckReason, ConnectRef, ProtocolVersion, Utf8String};
use whinchat_topic::TopicName;

use super::{
    end::Ending,
    limits_met::Met,
    mail::{Mail, SlotKey},
};
use crate::{
    config::ByteSize,
    hooks::{Authentication, AuthenticationRequest, Refusal},
    limits::Limit,
    shard::{
        Shard,
        read::Flow,
        slot::{Authenticating, Hold, Phase},
    },
};

impl Shard {
    /// The first packet of a connection.
    pub(crate) fn handle_connect(&mut self, index: u32, connect: &ConnectRef<'_>) -> Flow {
        match self.may_connect(index, connect) {
            Ok(()) => {}
            Err(NotAllowed::ByRule(refusal)) => return self.refuse(index, &refusal),
            Err(NotAllowed::ByLimit(limit, value, reason)) => {
                let met = Met {
                    limit,
                    client_id: Some(connect.client_id),
                    peer: self.slots.get(index as usize).map(|slot| slot.peer),
                    value: &value,
                };
                self.limit_log.note(self.now, &self.metrics, &met);
                return self.refuse(index, &Refusal::new(reason));
            }
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
        slot.hold(Hold::Authentication);
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
    fn may_connect(&self, index: u32, connect: &ConnectRef<'_>) -> Result<(), NotAllowed> {
        let slot = &self.slots[index as usize];
        let limits = &self.settings.listener(slot.listener).limits;
        let features = &self.settings.features;
        if let Some(elsewhere) = &self.settings.moved_to {
            let refusal = Refusal::new(elsewhere.reason).with_server_reference(&*elsewhere.server);
            return Err(refusal.into());
        }
        if self.memory_is_full {
            let bytes = self.commons.memory.bytes();
            let reason = ConnAckReason::QuotaExceeded;
            return Err(NotAllowed::ByLimit(Limit::MemorySize, bytes, reason));
        }
        if connect.client_id.is_empty() {
            let refused = match connect.version {
                ProtocolVersion::V31 => true,
                ProtocolVersion::V311 => !connect.clean_start, // v311 [MQTT-3.1.3-8]
                ProtocolVersion::V5 => false,
            };
            if refused {
                return Err(Refusal::new(ConnAckReason::ClientIdentifierNotValid).into());
            }
        }
        let held_under = |limit: Limit, length: usize, max: ByteSize, reason: ConnAckReason| {
            if length as u64 > max.bytes() {
                return Err(NotAllowed::ByLimit(limit, length, reason));
            }
            Ok(())
        };
        held_under(
            Limit::ClientIdSize,
            connect.client_id.len(),
            limits.client_id_size,
            ConnAckReason::ClientIdentifierNotValid,
        )?;
        held_under(
            Limit::UserNameSize,
            connect.user_name.map_or(0, str::len),
            limits.user_name_size,
            ConnAckReason::BadUserNameOrPassword,
        )?;
        held_under(
            Limit::PasswordSize,
            connect.password.map_or(0, <[u8]>::len),
            limits.password_size,
            ConnAckReason::BadUserNameOrPassword,
        )?;
        let Some(will) = &connect.will else {
            return Ok(());
        };
        held_under(
            Limit::WillSize,
            will.payload.len(),
            limits.will_size,
            ConnAckReason::PacketTooLarge,
        )?;
        held_under(
            Limit::TopicSize,
            will.topic.len(),
            limits.topic_size,
            ConnAckReason::TopicNameInvalid,
        )?;
        if features.check_payload_format
            && will.properties.payload_format_indicator() == Some(true)
            && std::str::from_utf8(will.payload).is_err()
        {
            return Err(Refusal::new(ConnAckReason::PayloadFormatInvalid).into()); // v5 section 3.1.3.2.3
        }
        if will.topic.starts_with('$') {
            return Err(Refusal::not_authorized().into()); // v5 section 4.7.2, as for PUBLISH (T-67)
        }
        if will.qos > features.maximum_qos {
            return Err(Refusal::new(ConnAckReason::QoSNotSupported).into()); // v5 [MQTT-3.2.2-12]
        }
        if will.retain && !features.retain {
            return Err(Refusal::new(ConnAckReason::RetainNotSupported).into()); // v5 [MQTT-3.2.2-13]
        }
        if TopicName::from_validated(will.topic)
            .check_levels(usize::from(limits.topic_levels))
            .is_err()
        {
            let levels = will.topic.split('/').count();
            let reason = ConnAckReason::TopicNameInvalid;
            return Err(NotAllowed::ByLimit(Limit::TopicLevels, levels, reason));
        }
        Ok(())
    }

    /// What is to happen with the packets behind the one that was just handled.
    fn flow_of(&self, key: SlotKey) -> Flow {
        match self.slots.get(key.index as usize) {
            Some(slot) if slot.check == key.check && slot.is_held() => Flow::Pause,
            Some(slot) if slot.check == key.check => Flow::Continue,
            _ => Flow::Stop,
        }
    }

    /// Answers CONNECT with a refusal and closes.
    pub(crate) fn refuse(&mut self, index: u32, refusal: &Refusal) -> Flow {
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
        if let Some((engine, mut wire)) = self.engine(index) {
            engine.refuse(reason, properties, &mut wire);
        }
        self.end_connection(index, Ending::Refused);
        Flow::Stop
    }
}

/// Why a CONNECT is refused without a question to anybody.
enum NotAllowed {
    ByRule(Refusal),
    /// The limit, what was above it, and the answer.
    ByLimit(Limit, usize, ConnAckReason),
}

impl From<Refusal> for NotAllowed {
    fn from(refusal: Refusal) -> Self {
        Self::ByRule(refusal)
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

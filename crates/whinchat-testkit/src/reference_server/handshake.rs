//! CONNECT and AUTH: who may connect, and with which session.
//!
//! Read first: MQTT 5.0 sections 3.1.4 and 4.12.

use whinchat_codec::{
    AuthProperties, AuthReason, AuthRef, ConnAckProperties, ConnAckReason, Connect,
    DisconnectProperties, DisconnectReason, ProtocolVersion, Utf8String,
};
use whinchat_session::ConnAckOptions;

use super::ending::Ending;
use super::server::{Number, Server};

/// Bytes of the longest client id that is taken.
const CLIENT_ID_MAX: usize = 1_024;

/// The one method: see "What a scene needs" of the conformance crate.
const METHOD: &str = "echo";

impl Server {
    pub(super) fn on_connect(&mut self, number: Number, connect: Connect) {
        if let Err(reason) = self.may_connect(&connect) {
            return self.refuse(number, reason);
        }
        let data = connect.properties.authentication_method().map(|_| {
            let data = connect.properties.authentication_data();
            data.unwrap_or_default().to_owned()
        });
        self.client(number).connect = Some(connect);
        match data {
            Some(data) => self.authenticate(number, &data),
            None => self.accept(number, None),
        }
    }

    fn may_connect(&self, connect: &Connect) -> Result<(), ConnAckReason> {
        let is_without_id = connect.client_id.is_empty();
        let needs_id = match connect.version {
            ProtocolVersion::V31 => true,
            ProtocolVersion::V311 => !connect.clean_start, // v311 [MQTT-3.1.3-8]
            ProtocolVersion::V5 => false,
        };
        if is_without_id && needs_id || connect.client_id.len() > CLIENT_ID_MAX {
            return Err(ConnAckReason::ClientIdentifierNotValid);
        }
        let login = (connect.user_name.as_deref(), connect.password.as_deref());
        if self.offered.asks_for_login && login != (Some("known"), Some(b"secret")) {
            return Err(ConnAckReason::BadUserNameOrPassword);
        }
        let method = connect.properties.authentication_method();
        if method.is_some_and(|method| !self.offered.has_rules || method != METHOD) {
            return Err(ConnAckReason::BadAuthenticationMethod);
        }
        let Some(will) = &connect.will else {
            return Ok(());
        };
        if self.is_denied(&will.topic) || will.topic.starts_with('$') {
            return Err(ConnAckReason::NotAuthorized);
        }
        if will.qos > self.offered.limits.maximum_qos {
            return Err(ConnAckReason::QoSNotSupported); // v5 [MQTT-3.2.2-12]
        }
        if will.retain && !self.offered.limits.retain_available {
            return Err(ConnAckReason::RetainNotSupported); // v5 [MQTT-3.2.2-13]
        }
        Ok(())
    }

    fn refuse(&mut self, number: Number, reason: ConnAckReason) {
        let (engine, _, outbox) = self.engine(number);
        engine.refuse(reason, ConnAckProperties::new(), outbox);
        self.end_connection(number, Ending::Lost);
    }

    /// The method `echo`, during the handshake and for a client that is connected.
    pub(super) fn on_auth(&mut self, number: Number, auth: AuthRef<'_>) {
        let data = auth.properties.authentication_data().unwrap_or_default();
        self.authenticate(number, data);
    }

    fn authenticate(&mut self, number: Number, data: &[u8]) {
        let now = self.now;
        let is_connected = self.client(number).session.is_some();
        let reason = match data {
            b"more" => AuthReason::ContinueAuthentication,
            b"yes" if is_connected => AuthReason::Success,
            b"yes" => return self.accept(number, Some(data)),
            _ if is_connected => {
                let (engine, _, outbox) = self.engine(number);
                let left = engine.disconnect(
                    DisconnectReason::NotAuthorized,
                    DisconnectProperties::new(),
                    outbox,
                );
                left.expect("a server may give this reason");
                return self.end_connection(number, Ending::Lost);
            }
            _ => return self.refuse(number, ConnAckReason::NotAuthorized),
        };
        let mut answer = AuthProperties::new();
        answer
            .set_authentication_data(data)
            .expect("it came in a packet");
        let (engine, _, outbox) = self.engine(number);
        // A client that takes no packet as long as the answer waits until its time is over.
        engine.send_auth(now, reason, answer, outbox).ok();
    }

    /// The client is known: ends what it had, and answers.
    fn accept(&mut self, number: Number, data: Option<&[u8]>) {
        let now = self.now;
        let connect = self.client(number).connect.take();
        let connect = connect.expect("there is a CONNECT until it is answered");
        let mut properties = self.announced(connect.keep_alive);
        let id = if connect.client_id.is_empty() {
            let id = format!("assigned-{number}");
            properties
                .set_assigned_client_identifier(&id)
                .expect("it is short"); // v5 [MQTT-3.2.2-16]
            id
        } else {
            Utf8String::as_str(&connect.client_id).to_owned()
        };
        if let Some(data) = data {
            properties
                .set_authentication_data(data)
                .expect("it came in a packet");
        }
        self.take_over(&id, connect.clean_start);
        let session_present = self.sessions.contains_key(&id);
        let session = self.sessions.entry(id.clone()).or_default();
        session.connection = Some(number);
        session.ends_at = None;
        session.will_at = None;
        session.will = connect.will;
        self.client(number).session = Some(id.clone());
        let options = ConnAckOptions::new()
            .with_session_present(session_present)
            .with_properties(properties);
        let (engine, state, outbox) = self.engine(number);
        engine.accept(now, state, options, outbox);
        if engine.is_closed() {
            // The client takes no packet as long as a CONNACK.
            return self.end_connection(number, Ending::Lost);
        }
        let seconds = engine.session_expiry_interval();
        if let Some(session) = self.sessions.get_mut(&id) {
            session.expiry_interval = seconds;
        }
    }

    /// What is not offered; the engine says the rest itself.
    fn announced(&self, keep_alive: u16) -> ConnAckProperties {
        let mut properties = ConnAckProperties::new();
        if !self.offered.wildcards {
            properties.set_wildcard_subscription_available(false);
        }
        if !self.offered.subscription_ids {
            properties.set_subscription_identifier_available(false);
        }
        if !self.offered.shared_subscriptions {
            properties.set_shared_subscription_available(false);
        }
        if let Some(max) = self.offered.keep_alive_max
            && (keep_alive == 0 || keep_alive > max)
        {
            properties.set_server_keep_alive(max); // v5 [MQTT-3.1.2-21]
        }
        properties
    }

    /// Ends the connection that has this client id, and the session where that is due.
    fn take_over(&mut self, id: &str, clean_start: bool) {
        let Some(session) = self.sessions.get(id) else {
            return;
        };
        if let Some(old) = session.connection {
            let (engine, _, outbox) = self.engine(old);
            let told = engine.disconnect(
                DisconnectReason::SessionTakenOver,
                DisconnectProperties::new(),
                outbox,
            );
            told.expect("a server may give this reason");
            self.end_connection(old, Ending::Lost); // v5 [MQTT-3.1.4-3], v311 [MQTT-3.1.4-2]
        }
        if clean_start {
            self.end_session(id); // v5 [MQTT-3.1.2-4]
        } else if let Some(session) = self.sessions.get_mut(id) {
            session.will = None; // v5 [MQTT-3.1.3-9]
        }
    }
}

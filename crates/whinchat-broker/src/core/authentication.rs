//! The authenticator's answers, and the AUTH exchanges before and after CONNACK.
//!
//! Read first: MQTT 5.0 sections 3.15 and 4.12.

use std::sync::Arc;

use bytes::Bytes;
use whinchat_codec::{AuthProperties, AuthReason, AuthRef, ProtocolVersion};

use super::{end::Ending, mail::SlotKey};
use crate::{
    hooks::{Authentication, AuthenticationRequest, Refusal},
    shard::{
        Shard, Wire,
        read::Flow,
        slot::{Hold, Phase},
    },
};

impl Shard {
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
        slot.hold(Hold::Authentication);
        let exchange = match &mut slot.phase {
            Phase::Authenticating(waiting) => waiting.exchange.take(),
            Phase::Attached(_) => slot.exchange.take(),
            Phase::AwaitConnect | Phase::Delayed(_) | Phase::AwaitCommit(_) | Phase::AwaitFlush => {
                return Flow::Stop;
            }
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
        session_index: u32,
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
                let Some(session) = self.sessions.get(session_index) else {
                    return;
                };
                if session.identity.name() != identity.name() {
                    // The session belongs to who it was (T-26).
                    return self.end_connection(index, Ending::NotAuthorized);
                }
                let ends_at = self.end_of(&identity);
                if let Some(session) = self.sessions.get_mut(session_index) {
                    session.identity = identity;
                }
                self.slots[index as usize].identity_ends_at = ends_at;
                self.schedule_slot(index);
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
            self.unsent_room,
        );
        if slot
            .engine
            .send_auth(self.now, reason, properties, &mut wire)
            .is_err()
        {
            return self.end_connection(index, Ending::NotAuthorized);
        }
        slot.release(Hold::Authentication);
        self.mark_dirty(index);
    }
}

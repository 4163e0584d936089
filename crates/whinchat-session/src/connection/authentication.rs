//! AUTH: the exchange before CONNACK, and re-authentication.
//!
//! Owns the Authentication Method, the rounds and their time; leaves the data to the application.
//! Read first: MQTT 5.0 sections 3.15 and 4.12.

use whinchat_codec::{Auth, AuthProperties, AuthReason, AuthRef, PacketType};

use super::properties::encode_within;
use super::timer::Timer;
use super::{Authentication, Connection, Event, Phase, Role};
use crate::{Instant, Output, Refused, Violation};

impl Connection {
    /// The Authentication Method that the CONNECT has named.
    #[must_use]
    pub fn authentication_method(&self) -> Option<&str> {
        let authentication = self.extras.as_ref()?.authentication.as_ref()?;
        Some(authentication.method.as_str())
    }

    pub(super) fn authentication_mut(&mut self) -> Option<&mut Authentication> {
        self.extras.as_mut()?.authentication.as_mut()
    }

    pub(super) fn check_method(&self, method: Option<&str>) -> Result<(), Violation> {
        // v5 [MQTT-4.12.0-5] [MQTT-4.12.0-7] [MQTT-4.12.1-1]
        if method.is_some() && method == self.authentication_method() {
            Ok(())
        } else {
            Err(Violation::AuthenticationMethodChanged)
        }
    }

    pub(super) fn count_authentication_round(&mut self) -> Result<(), Violation> {
        let max = self.authentication_rounds_max;
        if let Some(authentication) = self.authentication_mut() {
            if authentication.rounds >= max {
                return Err(Violation::TooManyAuthenticationRounds { max });
            }
            authentication.rounds += 1;
        }
        Ok(())
    }

    /// AUTH behind the CONNACK: a re-authentication. Publishing goes on meanwhile.
    pub(super) fn on_auth<'p, M>(
        &mut self,
        now: Instant,
        auth: AuthRef<'p>,
    ) -> Result<Event<'p, M>, Violation> {
        self.check_method(auth.properties.authentication_method())?;
        let goes_on = self
            .authentication_mut()
            .is_some_and(|authentication| authentication.is_repeated);
        match (self.role, auth.reason, goes_on) {
            // v5 [MQTT-4.12.1-1]
            (Role::Server, AuthReason::Reauthenticate, false) => {
                self.start_reauthentication(now);
                self.count_authentication_round()?;
            }
            (_, AuthReason::ContinueAuthentication, true) => self.count_authentication_round()?,
            (Role::Client, AuthReason::Success, true) => self.end_reauthentication(),
            (
                Role::Server | Role::Client,
                AuthReason::Success
                | AuthReason::ContinueAuthentication
                | AuthReason::Reauthenticate,
                _,
            ) => return Err(Violation::NotExpected(PacketType::Auth)),
        }
        Ok(Event::Auth(auth))
    }

    fn start_reauthentication(&mut self, now: Instant) {
        if let Some(authentication) = self.authentication_mut() {
            authentication.is_repeated = true;
            authentication.rounds = 0;
        }
        self.start_handshake_timer(now);
    }

    fn end_reauthentication(&mut self) {
        if let Some(authentication) = self.authentication_mut() {
            authentication.is_repeated = false;
        }
        self.timers.clear(Timer::Handshake);
    }

    /// Sends AUTH; the engine adds the Authentication Method of the CONNECT.
    ///
    /// A server asks for more with [`ContinueAuthentication`](AuthReason::ContinueAuthentication)
    /// and ends a re-authentication with [`Success`](AuthReason::Success); that of the CONNECT
    /// ends with [`accept`](Self::accept). A client answers with `ContinueAuthentication` and
    /// starts a re-authentication with [`Reauthenticate`](AuthReason::Reauthenticate).
    ///
    /// # Errors
    /// If the CONNECT named no method, no exchange goes on that this would belong to, or the
    /// packet cannot be written.
    pub fn send_auth<M, O: Output<M>>(
        &mut self,
        now: Instant,
        reason: AuthReason,
        properties: AuthProperties,
        out: &mut O,
    ) -> Result<(), Refused> {
        let Some(authentication) = self.extras.as_ref().and_then(|e| e.authentication.as_ref())
        else {
            return Err(Refused::AuthenticationNotExpected); // v5 [MQTT-4.12.0-6] [MQTT-4.12.0-7]
        };
        let goes_on = authentication.is_repeated;
        let next = match (self.role, self.phase, reason, goes_on) {
            (Role::Server, Phase::ExpectDecision, AuthReason::ContinueAuthentication, _) => {
                Phase::ExpectAuth
            }
            (Role::Client, Phase::ExpectConnAck, AuthReason::ContinueAuthentication, _) => {
                Phase::ExpectConnAck
            }
            (_, Phase::Connected, AuthReason::ContinueAuthentication, true)
            | (Role::Server, Phase::Connected, AuthReason::Success, true)
            | (Role::Client, Phase::Connected, AuthReason::Reauthenticate, false) => {
                Phase::Connected
            }
            _ => return Err(Refused::AuthenticationNotExpected),
        };
        let mut auth = Auth { reason, properties };
        auth.properties
            .set_authentication_method(authentication.method.as_str())?;
        if !self.request_problem_information && self.role == Role::Server {
            // v5 [MQTT-3.1.2-29]
            auth.properties.remove_reason_string();
            auth.properties.remove_user_properties();
        }
        let max = self.packet_size_max_out;
        if !encode_within(&mut auth, self.version, max, out.buffer()) {
            let size = auth.encoded_len(self.version)?;
            return Err(Refused::PacketTooLarge { size, max });
        }
        self.phase = next;
        match reason {
            AuthReason::Success => self.end_reauthentication(),
            AuthReason::Reauthenticate => self.start_reauthentication(now),
            AuthReason::ContinueAuthentication => {}
        }
        self.wrote(now);
        Ok(())
    }
}

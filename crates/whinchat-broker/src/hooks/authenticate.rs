//! Who may connect, and as whom.
//!
//! Read first: MQTT 5.0 sections 3.1.4 and 4.12.

use std::{fmt, future, pin::Pin, sync::Arc};

use bytes::Bytes;
use whinchat_codec::{ConnAckReason, ProtocolVersion};
use whinchat_transport::Peer;

use super::Identity;

/// What a hook returns that takes time.
pub type HookFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Decides who may connect, and as whom.
///
/// It runs off the shards, so it may wait for a database or hash a password; the broker gives it
/// `authentication.timeout`. A closure that decides at once is an authenticator too; a client that names an
/// authentication method is refused before it is called, with 0x8C.
///
/// ```
/// use whinchat_broker::hooks::{Authenticate, AuthenticationRequest, Identity, Refusal};
///
/// fn takes(_: impl Authenticate) {}
///
/// takes(|request: &AuthenticationRequest| match (request.user_name(), request.password()) {
///     (Some("lab1"), Some(b"secret")) => Ok(Identity::new("lab1").with_role("sensor")),
///     _ => Err(Refusal::bad_user_name_or_password()),
/// });
/// ```
pub trait Authenticate: Send + Sync + 'static {
    /// Answers one CONNECT, or one AUTH that begins a re-authentication.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] closes the connection with its reason code. So do a panic (0x88 Server
    /// unavailable) and a time-out (0x88).
    fn authenticate<'a>(
        &'a self,
        request: &'a AuthenticationRequest,
    ) -> HookFuture<'a, Result<Authentication, Refusal>>;
}

impl<F> Authenticate for F
where
    F: Fn(&AuthenticationRequest) -> Result<Identity, Refusal> + Send + Sync + 'static,
{
    fn authenticate<'a>(
        &'a self,
        request: &'a AuthenticationRequest,
    ) -> HookFuture<'a, Result<Authentication, Refusal>> {
        let answer = without_method(request).and_then(|()| self(request));
        Box::pin(future::ready(answer.map(Authentication::from)))
    }
}

/// Lets every client in as [`Identity::anonymous`], whoever it says it is, but for those that name a method.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAnonymous;

impl Authenticate for AllowAnonymous {
    fn authenticate<'a>(
        &'a self,
        request: &'a AuthenticationRequest,
    ) -> HookFuture<'a, Result<Authentication, Refusal>> {
        let answer = without_method(request).map(|()| Identity::anonymous().into());
        Box::pin(future::ready(answer))
    }
}

/// Whoever looks at names and passwords knows no method to authenticate by. // v5 [MQTT-4.12.0-1]
fn without_method(request: &AuthenticationRequest) -> Result<(), Refusal> {
    match request.method() {
        None => Ok(()),
        Some(_) => Err(Refusal::new(ConnAckReason::BadAuthenticationMethod)),
    }
}

/// An authentication that did not end in a refusal.
#[non_exhaustive]
pub enum Authentication {
    /// The client is known.
    Accepted {
        /// Who it is.
        identity: Identity,
        /// The Authentication Data of CONNACK, or of the AUTH that ends a re-authentication.
        data: Option<Bytes>,
    },
    /// The method needs another step (MQTT 5.0 section 4.12): the client is sent AUTH with reason 0x18.
    Continue {
        /// The Authentication Data of that AUTH.
        data: Bytes,
        /// What takes the client's answer.
        exchange: Box<dyn Exchange>,
    },
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { identity, .. } => f
                .debug_struct("Accepted")
                .field("identity", identity)
                .finish_non_exhaustive(),
            Self::Continue { .. } => f.debug_struct("Continue").finish_non_exhaustive(),
        }
    }
}

impl From<Identity> for Authentication {
    fn from(identity: Identity) -> Self {
        Self::Accepted {
            identity,
            data: None,
        }
    }
}

/// An authentication of several steps, between two of them.
pub trait Exchange: Send + 'static {
    /// Takes the Authentication Data of the client's next AUTH.
    fn proceed(
        self: Box<Self>,
        data: Bytes,
    ) -> HookFuture<'static, Result<Authentication, Refusal>>;
}

/// What a client says about itself.
#[derive(Clone)]
#[non_exhaustive]
pub struct AuthenticationRequest {
    /// The client id; empty if the client leaves the choice to the broker.
    pub client_id: String,
    /// The protocol version.
    pub version: ProtocolVersion,
    /// Where the client connects from.
    pub peer: Peer,
    /// The name of the listener.
    pub listener: Arc<str>,
    user_name: Option<String>,
    password: Option<Bytes>,
    method: Option<(String, Bytes)>,
    identity: Option<Identity>,
}

impl AuthenticationRequest {
    /// A CONNECT without credentials.
    #[must_use]
    pub fn new(
        client_id: impl Into<String>,
        version: ProtocolVersion,
        peer: Peer,
        listener: Arc<str>,
    ) -> Self {
        Self {
            client_id: client_id.into(),
            version,
            peer,
            listener,
            user_name: None,
            password: None,
            method: None,
            identity: None,
        }
    }

    /// Adds a user name.
    #[must_use]
    pub fn with_user_name(mut self, user_name: impl Into<String>) -> Self {
        self.user_name = Some(user_name.into());
        self
    }

    /// Adds a password.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<Bytes>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Adds Authentication Method and Authentication Data.
    #[must_use]
    pub fn with_method(mut self, method: impl Into<String>, data: impl Into<Bytes>) -> Self {
        self.method = Some((method.into(), data.into()));
        self
    }

    /// Makes it a re-authentication of this identity.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The user name.
    #[must_use]
    pub fn user_name(&self) -> Option<&str> {
        self.user_name.as_deref()
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> Option<&[u8]> {
        self.password.as_deref()
    }

    /// The Authentication Method.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.method.as_ref().map(|(method, _)| method.as_str())
    }

    /// The Authentication Data; empty if there was none.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.method.as_ref().map_or(&[], |(_, data)| data)
    }

    /// Who the client is so far, if it authenticates again on a live connection.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Whether the client says nothing about who it is.
    #[must_use]
    pub fn is_without_credentials(&self) -> bool {
        self.user_name.is_none() && self.password.is_none() && self.method.is_none()
    }
}

impl fmt::Debug for AuthenticationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redacted = |present: bool| present.then_some("[redacted]");
        f.debug_struct("AuthenticationRequest")
            .field("client_id", &self.client_id)
            .field("version", &self.version)
            .field("peer", &self.peer)
            .field("listener", &self.listener)
            .field("user_name", &redacted(self.user_name.is_some()))
            .field("password", &redacted(self.password.is_some()))
            .field("method", &self.method())
            .finish_non_exhaustive()
    }
}

/// Why a client is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: ConnAckReason,
    reason_string: Option<String>,
    server_reference: Option<String>,
}

impl Refusal {
    /// A refusal with this reason code; one that says success (below 0x80) becomes 0x87 Not authorized.
    #[must_use]
    pub fn new(reason: ConnAckReason) -> Self {
        let reason = if reason.is_error() {
            reason
        } else {
            ConnAckReason::NotAuthorized
        };
        Self {
            reason,
            reason_string: None,
            server_reference: None,
        }
    }

    /// 0x86: user name or password are wrong.
    #[must_use]
    pub fn bad_user_name_or_password() -> Self {
        Self::new(ConnAckReason::BadUserNameOrPassword)
    }

    /// 0x87: known, and not allowed to connect.
    #[must_use]
    pub fn not_authorized() -> Self {
        Self::new(ConnAckReason::NotAuthorized)
    }

    /// 0x88: the authenticator cannot decide now.
    #[must_use]
    pub fn server_unavailable() -> Self {
        Self::new(ConnAckReason::ServerUnavailable)
    }

    /// Adds a Reason String, which an MQTT 5.0 client gets to see.
    #[must_use]
    pub fn with_reason_string(mut self, text: impl Into<String>) -> Self {
        self.reason_string = Some(text.into());
        self
    }

    /// Adds a Server Reference, for 0x9C and 0x9D.
    #[must_use]
    pub fn with_server_reference(mut self, server: impl Into<String>) -> Self {
        self.server_reference = Some(server.into());
        self
    }

    /// The reason code; 0x80 or above.
    #[must_use]
    pub fn reason(&self) -> ConnAckReason {
        self.reason
    }

    /// The Reason String.
    #[must_use]
    pub fn reason_string(&self) -> Option<&str> {
        self.reason_string.as_deref()
    }

    /// The Server Reference.
    #[must_use]
    pub fn server_reference(&self) -> Option<&str> {
        self.server_reference.as_deref()
    }
}

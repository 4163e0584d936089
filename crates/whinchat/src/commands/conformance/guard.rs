//! What set-ups of our own broker ask for: the method `echo`, the login `known`, the topics `denied/#`.
//!
//! The README of `whinchat-conformance` says the same to those who set up another broker.

use std::future::ready;

use bytes::Bytes;
use whinchat_broker::hooks::{
    Access, Authenticate, Authentication, AuthenticationRequest, Authorize, Decision, Exchange,
    HookError, HookFuture, Identity, Refusal,
};
use whinchat_codec::ConnAckReason;

/// The user that may log in, and its password.
pub(super) const USER_NAME: &str = "known";
pub(super) const PASSWORD: &[u8] = b"secret";
const METHOD: &str = "echo";
const DENIED: &str = "denied";

/// Lets in whom the method `echo` accepts, and everybody who names no method.
pub(super) struct EchoOrAnonymous;

impl Authenticate for EchoOrAnonymous {
    fn authenticate<'a>(
        &'a self,
        request: &'a AuthenticationRequest,
    ) -> HookFuture<'a, Result<Authentication, Refusal>> {
        Box::pin(ready(match request.method() {
            None => Ok(Identity::anonymous().into()),
            Some(METHOD) => echo(Bytes::copy_from_slice(request.data())),
            Some(_) => Err(Refusal::new(ConnAckReason::BadAuthenticationMethod)),
        }))
    }
}

/// One step of the method: what came goes back, and says what happens.
fn echo(data: Bytes) -> Result<Authentication, Refusal> {
    match &data[..] {
        b"more" => Ok(Authentication::Continue {
            data,
            exchange: Box::new(Echo),
        }),
        b"yes" => Ok(Authentication::Accepted {
            identity: Identity::anonymous(),
            data: Some(data),
        }),
        _ => Err(Refusal::not_authorized()),
    }
}

struct Echo;

impl Exchange for Echo {
    fn proceed(
        self: Box<Self>,
        data: Bytes,
    ) -> HookFuture<'static, Result<Authentication, Refusal>> {
        Box::pin(ready(echo(data)))
    }
}

/// Lets the one user in, and nobody else.
pub(super) fn one_user(request: &AuthenticationRequest) -> Result<Identity, Refusal> {
    if request.method().is_some() {
        Err(Refusal::new(ConnAckReason::BadAuthenticationMethod))
    } else if (request.user_name(), request.password()) == (Some(USER_NAME), Some(PASSWORD)) {
        Ok(Identity::new(USER_NAME))
    } else {
        Err(Refusal::bad_user_name_or_password())
    }
}

/// Denies the topics below `denied`, and allows the rest to everybody.
pub(super) struct DeniedTopics;

impl Authorize for DeniedTopics {
    fn authorize(&self, access: &Access<'_>) -> Result<Decision, HookError> {
        Ok(match access.topic.split('/').next() {
            Some(DENIED) => Decision::Deny,
            _ => Decision::Allow,
        })
    }
}

//! What the guarded set-up of our own broker asks: the method `echo`, the login `known`, the topics `denied/#`.
//!
//! The README of `whinchat-conformance` says the same to those who set up another broker.

use std::future::ready;

use bytes::Bytes;
use whinchat_broker::hooks::{
    Access, Action, Authenticate, Authentication, AuthenticationRequest, Authorize, Decision,
    Exchange, HookError, HookFuture, Identity, Refusal,
};
use whinchat_codec::ConnAckReason;

/// The user that may log in, and its password.
pub(super) const USER_NAME: &str = "known";
pub(super) const PASSWORD: &[u8] = b"secret";
const METHOD: &str = "echo";
const DENIED: &str = "denied";

/// Lets in who says nothing, the one user, and whom the method `echo` accepts.
pub(super) struct EchoOrLogin;

impl Authenticate for EchoOrLogin {
    fn authenticate<'a>(
        &'a self,
        request: &'a AuthenticationRequest,
    ) -> HookFuture<'a, Result<Authentication, Refusal>> {
        let outcome = match (request.method(), request.user_name(), request.password()) {
            (Some(METHOD), _, _) => echo(Bytes::copy_from_slice(request.data())),
            (Some(_), _, _) => Err(Refusal::new(ConnAckReason::BadAuthenticationMethod)),
            (None, None, None) => Ok(Identity::anonymous().into()),
            (None, Some(USER_NAME), Some(PASSWORD)) => Ok(Identity::new(USER_NAME).into()),
            (None, _, _) => Err(Refusal::bad_user_name_or_password()),
        };
        Box::pin(ready(outcome))
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
            identity: Identity::new(METHOD),
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

/// Denies the topics below `denied`, and allows the rest to everybody.
pub(super) struct DeniedTopics;

impl Authorize for DeniedTopics {
    fn authorize(&self, access: &Access<'_>) -> Result<Decision, HookError> {
        let is_denied = access.topic.split('/').next() == Some(DENIED);
        Ok(if is_denied {
            Decision::Deny
        } else if let Action::Subscribe { .. } = access.action {
            // A filter such as `#` matches denied topics too.
            Decision::AllowPartly
        } else {
            Decision::Allow
        })
    }
}

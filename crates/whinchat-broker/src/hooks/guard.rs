//! The one place that calls hooks: what goes wrong in them becomes a refusal and a count.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use whinchat_codec::PubAckReason;

use super::{
    Access, Action, Authenticate, Authentication, AuthenticationRequest, Authorize, Client,
    Decision, DeliverVerdict, Exchange, HookFuture, Intercept, MessageEvent, PublishVerdict,
    Refusal,
};
use crate::metrics::{AccessLabel, AuthenticationLabel, HookLabel, SharedMetrics};

/// An answer of [`Authorize`] that took longer denies.
const AUTHORIZE_TIME_MAX: Duration = Duration::from_secs(1);

/// Asks the authenticator, for at most `timeout`. Needs a tokio runtime with time.
pub(crate) async fn authenticate(
    hook: &dyn Authenticate,
    request: &AuthenticationRequest,
    timeout: Duration,
    metrics: &SharedMetrics,
) -> Result<Authentication, Refusal> {
    let started = catch_unwind(AssertUnwindSafe(|| hook.authenticate(request)));
    step(started, timeout, metrics).await
}

/// Takes the next step of an exchange, for at most `timeout`.
pub(crate) async fn proceed(
    exchange: Box<dyn Exchange>,
    data: Bytes,
    timeout: Duration,
    metrics: &SharedMetrics,
) -> Result<Authentication, Refusal> {
    let started = catch_unwind(AssertUnwindSafe(|| exchange.proceed(data)));
    step(started, timeout, metrics).await
}

async fn step(
    started: Result<HookFuture<'_, Result<Authentication, Refusal>>, Box<dyn Any + Send>>,
    timeout: Duration,
    metrics: &SharedMetrics,
) -> Result<Authentication, Refusal> {
    let began = Instant::now();
    let outcome = match started {
        Ok(future) => tokio::time::timeout(timeout, without_panic(future)).await,
        Err(panic) => Ok(Err(panic)),
    };
    metrics.authentication_seconds.observe(began.elapsed());
    let (label, answer) = match outcome {
        Ok(Ok(Ok(accepted @ Authentication::Accepted { .. }))) => {
            (Some(AuthenticationLabel::Accepted), Ok(accepted))
        }
        Ok(Ok(Ok(more @ Authentication::Continue { .. }))) => (None, Ok(more)),
        Ok(Ok(Err(refusal))) => (Some(AuthenticationLabel::Refused), Err(refusal)),
        Ok(Err(panic)) => {
            report_panic("authenticate", panic.as_ref());
            metrics.hook_panics.of(HookLabel::Authenticate).increment();
            (
                Some(AuthenticationLabel::Failed),
                Err(Refusal::server_unavailable()),
            )
        }
        Err(_elapsed) => {
            tracing::warn!(
                timeout_seconds = timeout.as_secs_f64(),
                "the authenticator did not answer in time"
            );
            metrics
                .hook_timeouts
                .of(HookLabel::Authenticate)
                .increment();
            (
                Some(AuthenticationLabel::TimedOut),
                Err(Refusal::server_unavailable()),
            )
        }
    };
    if let Some(label) = label {
        metrics.authentications.of(label).increment();
    }
    answer
}

/// A panic inside the future ends it with the panic's payload.
async fn without_panic<T>(mut future: HookFuture<'_, T>) -> Result<T, Box<dyn Any + Send>> {
    std::future::poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

/// Asks whether something is allowed.
pub(crate) fn authorize(
    hook: &dyn Authorize,
    access: &Access<'_>,
    metrics: &SharedMetrics,
) -> Decision {
    let began = Instant::now();
    let answer = catch_unwind(AssertUnwindSafe(|| hook.authorize(access)));
    let took = began.elapsed();
    match answer {
        Ok(Ok(_)) if took > AUTHORIZE_TIME_MAX => {
            tracing::warn!(
                seconds = took.as_secs_f64(),
                "the authorizer took too long: denied"
            );
            metrics.hook_timeouts.of(HookLabel::Authorize).increment();
            Decision::Deny
        }
        Ok(Ok(decision)) => decision,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the authorizer failed: denied");
            metrics.hook_errors.of(HookLabel::Authorize).increment();
            Decision::Deny
        }
        Err(panic) => {
            report_panic("authorize", panic.as_ref());
            metrics.hook_panics.of(HookLabel::Authorize).increment();
            Decision::Deny
        }
    }
}

/// Asks an interceptor about a published message.
pub(crate) fn on_publish(
    hook: &dyn Intercept,
    client: &Client<'_>,
    event: &MessageEvent<'_>,
    metrics: &SharedMetrics,
) -> PublishVerdict {
    intercepted(metrics, || hook.on_publish(client, event)).unwrap_or(PublishVerdict::Refuse(
        PubAckReason::ImplementationSpecificError,
    ))
}

/// Asks an interceptor about a delivery.
pub(crate) fn on_deliver(
    hook: &dyn Intercept,
    client: &Client<'_>,
    event: &MessageEvent<'_>,
    metrics: &SharedMetrics,
) -> DeliverVerdict {
    intercepted(metrics, || hook.on_deliver(client, event)).unwrap_or(DeliverVerdict::Drop)
}

/// Calls a method of an interceptor; `None` if it panicked.
pub(crate) fn intercepted<T>(metrics: &SharedMetrics, call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|panic| {
            report_panic("intercept", panic.as_ref());
            metrics.hook_panics.of(HookLabel::Intercept).increment();
        })
        .ok()
}

fn report_panic(hook: &'static str, panic: &(dyn Any + Send)) {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        hook,
        panic = text.unwrap_or("without a text"),
        "a hook panicked: taken as a refusal"
    );
}

/// Which counter a denied action belongs to.
impl From<Action<'_>> for AccessLabel {
    fn from(action: Action<'_>) -> Self {
        match action {
            Action::Publish { .. } => Self::Publish,
            Action::Subscribe { .. } => Self::Subscribe,
            Action::Receive => Self::Receive,
        }
    }
}

#[cfg(test)]
mod tests;

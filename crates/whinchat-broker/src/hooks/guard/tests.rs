//! Hooks that fail in every way they can.

use std::{future, sync::Arc};

use whinchat_codec::{ConnAckReason, ProtocolVersion, QoS};
use whinchat_transport::Peer;

use super::*;
use crate::hooks::{AllowAll, AllowAnonymous, HookError, Identity, Interest};

type Answer = Result<Authentication, Refusal>;

const SOON: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(3600);

fn request() -> AuthenticationRequest {
    AuthenticationRequest::new("c1", ProtocolVersion::V5, Peer::Memory, Arc::from("test"))
        .with_user_name("marker-user")
        .with_password("marker-password")
}

/// The same by a method, whose data is the secret.
fn request_by_method() -> AuthenticationRequest {
    request().with_method("SCRAM", "marker-data")
}

/// Authenticates on a runtime of its own.
fn ask(hook: &dyn Authenticate, timeout: Duration, metrics: &SharedMetrics) -> Answer {
    ask_about(&request(), hook, timeout, metrics)
}

fn ask_about(
    request: &AuthenticationRequest,
    hook: &dyn Authenticate,
    timeout: Duration,
    metrics: &SharedMetrics,
) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(authenticate(hook, request, timeout, metrics))
}

struct Hook(fn() -> HookFuture<'static, Answer>);

impl Authenticate for Hook {
    fn authenticate<'a>(&'a self, _: &'a AuthenticationRequest) -> HookFuture<'a, Answer> {
        (self.0)()
    }
}

#[track_caller]
fn expect_unavailable(answer: Answer) {
    assert_eq!(
        answer.unwrap_err().reason(),
        ConnAckReason::ServerUnavailable
    );
}

#[test]
fn an_accepted_client_has_its_identity() {
    let metrics = SharedMetrics::default();
    let answer = ask(&AllowAnonymous, LONG, &metrics).unwrap();
    assert!(
        matches!(answer, Authentication::Accepted { identity, data: None } if identity.is_anonymous())
    );
    assert_eq!(
        metrics
            .authentications
            .of(AuthenticationLabel::Accepted)
            .value(),
        1
    );
    assert_eq!(metrics.authentication_seconds.count(), 1);
}

#[test]
fn v5_mqtt_4_12_0_1_a_closure_is_not_asked_about_a_method() {
    let metrics = SharedMetrics::default();
    let hook = |_: &AuthenticationRequest| -> Result<Identity, Refusal> { panic!("asked") };
    let refusal = ask_about(&request_by_method(), &hook, LONG, &metrics).unwrap_err();
    assert_eq!(refusal.reason(), ConnAckReason::BadAuthenticationMethod);
}

#[test]
fn a_closure_is_an_authenticator() {
    let metrics = SharedMetrics::default();
    let hook = |request: &AuthenticationRequest| match request.password() {
        Some(b"right") => Ok(Identity::new("lab1")),
        _ => Err(Refusal::bad_user_name_or_password()),
    };
    let refusal = ask(&hook, LONG, &metrics).unwrap_err();
    assert_eq!(refusal.reason(), ConnAckReason::BadUserNameOrPassword);
    assert_eq!(
        metrics
            .authentications
            .of(AuthenticationLabel::Refused)
            .value(),
        1
    );
}

#[test]
fn a_panic_before_the_future_refuses() {
    let metrics = SharedMetrics::default();
    expect_unavailable(ask(&Hook(|| panic!("no database")), LONG, &metrics));
    assert_eq!(metrics.hook_panics.of(HookLabel::Authenticate).value(), 1);
    assert_eq!(
        metrics
            .authentications
            .of(AuthenticationLabel::Failed)
            .value(),
        1
    );
}

#[test]
fn a_panic_inside_the_future_refuses() {
    let metrics = SharedMetrics::default();
    expect_unavailable(ask(
        &Hook(|| Box::pin(async { panic!("no database") })),
        LONG,
        &metrics,
    ));
    assert_eq!(metrics.hook_panics.of(HookLabel::Authenticate).value(), 1);
}

#[test]
fn an_authenticator_that_never_answers_refuses() {
    let metrics = SharedMetrics::default();
    expect_unavailable(ask(&Hook(|| Box::pin(future::pending())), SOON, &metrics));
    assert_eq!(metrics.hook_timeouts.of(HookLabel::Authenticate).value(), 1);
    assert_eq!(
        metrics
            .authentications
            .of(AuthenticationLabel::TimedOut)
            .value(),
        1
    );
}

#[test]
fn an_exchange_goes_on_until_it_is_accepted() {
    struct Echo(u8);
    impl Exchange for Echo {
        fn proceed(self: Box<Self>, data: Bytes) -> HookFuture<'static, Answer> {
            Box::pin(async move {
                if self.0 == 0 {
                    return Ok(Authentication::Accepted {
                        identity: Identity::new("echo"),
                        data: Some(data),
                    });
                }
                Ok(Authentication::Continue {
                    data,
                    exchange: Box::new(Self(self.0 - 1)),
                })
            })
        }
    }
    let metrics = SharedMetrics::default();
    let begin = Hook(|| {
        Box::pin(async {
            Ok(Authentication::Continue {
                data: Bytes::new(),
                exchange: Box::new(Echo(1)),
            })
        })
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let mut answer = ask(&begin, LONG, &metrics).unwrap();
    let mut steps = 0;
    while let Authentication::Continue { exchange, .. } = answer {
        steps += 1;
        answer = runtime
            .block_on(proceed(exchange, Bytes::from_static(b"x"), LONG, &metrics))
            .unwrap();
    }
    assert_eq!(steps, 2);
    assert_eq!(
        metrics
            .authentications
            .of(AuthenticationLabel::Accepted)
            .value(),
        1,
        "counted once, at its end"
    );
}

#[test]
fn a_refusal_never_says_success() {
    assert_eq!(
        Refusal::new(ConnAckReason::Success).reason(),
        ConnAckReason::NotAuthorized
    );
}

#[test]
fn credentials_are_in_no_debug_output() {
    let shown = format!("{:?}", request_by_method());
    assert!(!shown.contains("marker"), "{shown}");
    let identity = Identity::new("lab1").with_attribute("token", "marker");
    assert!(!format!("{identity:?}").contains("marker"));
}

fn decide(hook: &dyn Authorize, metrics: &SharedMetrics) -> Decision {
    let identity = Identity::new("lab1");
    let action = Action::Publish {
        qos: QoS::AtMostOnce,
        retain: false,
    };
    authorize(hook, &Access::new(&identity, "c1", action, "a/b"), metrics)
}

struct Rule<F>(F);

impl<F: Fn() -> Result<Decision, HookError> + Send + Sync + 'static> Authorize for Rule<F> {
    fn authorize(&self, _: &Access<'_>) -> Result<Decision, HookError> {
        (self.0)()
    }
}

#[test]
fn an_authorizer_that_fails_denies() {
    let metrics = SharedMetrics::default();
    assert_eq!(decide(&AllowAll, &metrics), Decision::Allow);
    assert_eq!(
        decide(&Rule(|| Err(HookError::new("rules not loaded"))), &metrics),
        Decision::Deny
    );
    assert_eq!(metrics.hook_errors.of(HookLabel::Authorize).value(), 1);
    assert_eq!(decide(&Rule(|| panic!("index")), &metrics), Decision::Deny);
    assert_eq!(metrics.hook_panics.of(HookLabel::Authorize).value(), 1);
}

#[test]
fn an_interceptor_that_panics_stops_the_message() {
    struct Broken;
    impl Intercept for Broken {
        fn interest(&self) -> Interest {
            Interest::none().with_publishes("#").with_deliveries("#")
        }
        fn on_publish(&self, _: &Client<'_>, _: &MessageEvent<'_>) -> PublishVerdict {
            panic!("on_publish")
        }
        fn on_deliver(&self, _: &Client<'_>, _: &MessageEvent<'_>) -> DeliverVerdict {
            panic!("on_deliver")
        }
    }
    let metrics = SharedMetrics::default();
    let identity = Identity::anonymous();
    let client = Client::new("c1", &identity);
    let publish = whinchat_codec::PublishRef {
        guarantee: whinchat_codec::Guarantee::AtMostOnce,
        retain: false,
        topic: "a/b",
        properties: whinchat_codec::PublishPropertiesRef::default(),
        payload: b"x",
    };
    let event = MessageEvent::new("a/b", &publish);
    let refused = PublishVerdict::Refuse(PubAckReason::ImplementationSpecificError);
    assert_eq!(on_publish(&Broken, &client, &event, &metrics), refused);
    assert_eq!(
        on_deliver(&Broken, &client, &event, &metrics),
        DeliverVerdict::Drop
    );
    assert_eq!(metrics.hook_panics.of(HookLabel::Intercept).value(), 2);
}

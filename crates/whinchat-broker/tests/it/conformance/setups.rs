//! What brokers are set up with for the scenes that need it.

use std::future;

use bytes::Bytes;
use whinchat_broker::{
    Broker,
    config::{ByteSize, Config, Seconds},
    hooks::{
        Access, Authenticate, Authentication, AuthenticationRequest, Authorize, Decision, Exchange,
        HookError, HookFuture, Identity, Refusal,
    },
};
use whinchat_codec::ConnAckReason;
use whinchat_conformance::Options;

/// One way to set a broker up.
pub(super) struct Setup {
    pub(super) name: &'static str,
    pub(super) refine: fn(Broker) -> Broker,
    asks_for_login: bool,
}

/// All that is offered; a login; what may be left out left out, and less still.
pub(super) const SETUPS: &[Setup] = &[
    Setup {
        name: "everything",
        refine: |builder| builder.authenticate(Echo).authorize(Denied),
        asks_for_login: false,
    },
    Setup {
        name: "login",
        refine: |builder| builder.authenticate(Login),
        asks_for_login: true,
    },
    Setup {
        name: "less",
        refine: |builder| {
            let mut config = Config::embedded();
            config.mqtt.maximum_qos = 1;
            config.mqtt.retain_available = false;
            config.mqtt.wildcard_subscription_available = false;
            config.mqtt.subscription_identifiers_available = false;
            config.mqtt.shared_subscription_available = false;
            config.limits.keep_alive_max = Some(Seconds::new(60));
            config.limits.packet_size = ByteSize::kib(4);
            config.limits.topic_alias_maximum = 0;
            builder.config(config)
        },
        asks_for_login: false,
    },
    Setup {
        name: "QoS 0",
        refine: |builder| {
            let mut config = Config::embedded();
            config.mqtt.maximum_qos = 0;
            builder.config(config)
        },
        asks_for_login: false,
    },
];

const USER: (&str, &[u8]) = ("known", b"secret");

impl Setup {
    pub(super) fn conformance(&self) -> whinchat_conformance::Setup {
        let mut setup = whinchat_conformance::Setup::default();
        let offers_everything = self.name == "everything";
        setup.method = offers_everything;
        setup.denied = offers_everything;
        setup.login = self.asks_for_login;
        setup
    }

    pub(super) fn logged_in(&self, options: &Options) -> Options {
        let mut options = options.clone();
        if self.asks_for_login {
            options.user_name = Some(USER.0.to_owned());
            options.password = Some(USER.1.to_owned());
        }
        options
    }
}

/// Nobody may use `denied/#`.
struct Denied;

impl Authorize for Denied {
    fn authorize(&self, access: &Access<'_>) -> Result<Decision, HookError> {
        Ok(match access.topic.split('/').next() {
            Some("denied") => Decision::Deny,
            _ => Decision::Allow,
        })
    }
}

/// One user may connect; and so may the probes by which the tests wait for the broker.
struct Login;

impl Authenticate for Login {
    fn authenticate<'a>(
        &'a self,
        request: &'a AuthenticationRequest,
    ) -> HookFuture<'a, Result<Authentication, Refusal>> {
        let is_known = request.user_name().zip(request.password()) == Some(USER);
        let answer = if request.method().is_some() {
            Err(Refusal::new(ConnAckReason::BadAuthenticationMethod))
        } else if is_known || request.client_id.starts_with("probe-") {
            Ok(Identity::new(USER.0).into())
        } else {
            Err(Refusal::bad_user_name_or_password())
        };
        Box::pin(future::ready(answer))
    }
}

/// The method `echo`.
struct Echo;

impl Authenticate for Echo {
    fn authenticate<'a>(
        &'a self,
        request: &'a AuthenticationRequest,
    ) -> HookFuture<'a, Result<Authentication, Refusal>> {
        let answer = match request.method() {
            None => Ok(Identity::anonymous().into()),
            Some("echo") => echo(Bytes::copy_from_slice(request.data())),
            Some(_) => Err(Refusal::new(ConnAckReason::BadAuthenticationMethod)),
        };
        Box::pin(future::ready(answer))
    }
}

impl Exchange for Echo {
    fn proceed(
        self: Box<Self>,
        data: Bytes,
    ) -> HookFuture<'static, Result<Authentication, Refusal>> {
        Box::pin(future::ready(echo(data)))
    }
}

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

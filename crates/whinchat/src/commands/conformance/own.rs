//! Our own broker, inside this process, in the set-ups that together leave no scene out.

use whinchat_broker::{
    Broker, BrokerHandle, StartError,
    config::{Auto, ByteSize, Config, ListenerConfig, Seconds},
};
use whinchat_conformance::{Options, Setup};
use whinchat_transport::Endpoint;

use super::guard::{DeniedTopics, EchoOrAnonymous, PASSWORD, USER_NAME, one_user};

/// One way to set the broker up.
pub(super) struct OwnSetup {
    pub(super) name: &'static str,
    configure: fn(&mut Config),
    hook: fn(Broker) -> Broker,
    has_method_and_denied: bool,
    has_login: bool,
}

/// All of them. A scene is played in the first one that it can be played in.
pub(super) const OWN_SETUPS: [OwnSetup; 4] = [
    OwnSetup {
        name: "everything",
        configure: |_| {},
        hook: |broker| broker.authenticate(EchoOrAnonymous).authorize(DeniedTopics),
        has_method_and_denied: true,
        has_login: false,
    },
    OwnSetup {
        name: "login",
        configure: |_| {},
        hook: |broker| broker.authenticate(one_user),
        has_method_and_denied: false,
        has_login: true,
    },
    OwnSetup {
        name: "less",
        configure: less,
        hook: |broker| broker,
        has_method_and_denied: false,
        has_login: false,
    },
    OwnSetup {
        name: "QoS 0",
        configure: |config| config.mqtt.maximum_qos = 0,
        hook: |broker| broker,
        has_method_and_denied: false,
        has_login: false,
    },
];

/// What a broker may leave out is left out.
fn less(config: &mut Config) {
    config.mqtt.maximum_qos = 1;
    config.mqtt.retain_available = false;
    config.mqtt.wildcard_subscription_available = false;
    config.mqtt.subscription_identifiers_available = false;
    config.mqtt.shared_subscription_available = false;
    config.limits.packet_size = ByteSize::kib(4);
    config.limits.keep_alive_max = Some(Seconds::new(60));
    config.limits.topic_alias_maximum = 0;
}

impl OwnSetup {
    /// What the broker cannot say by itself.
    pub(super) fn setup(&self) -> Setup {
        let mut setup = Setup::default();
        setup.method = self.has_method_and_denied;
        setup.denied = self.has_method_and_denied;
        setup.login = self.has_login;
        setup
    }

    /// The options, with the login that is asked for.
    pub(super) fn options(&self, options: &Options) -> Options {
        let mut options = options.clone();
        if self.has_login {
            options.user_name = Some(USER_NAME.to_owned());
            options.password = Some(PASSWORD.to_owned());
        }
        options
    }

    /// Starts it on a port that the system chooses.
    ///
    /// # Errors
    /// The operating system refuses a thread or a socket.
    pub(super) fn start(&self, threads: u16) -> Result<(BrokerHandle, Endpoint), StartError> {
        let mut config = Config::embedded();
        let mut listener = ListenerConfig::new(Endpoint::tcp("127.0.0.1", 0));
        listener.anonymous = Auto::Set(true);
        config.listeners.push(listener);
        config.general.threads = Auto::Set(threads);
        (self.configure)(&mut config);
        let broker = (self.hook)(Broker::builder().config(config)).start()?;
        let endpoint = broker.local_endpoints()[0].clone();
        Ok((broker, endpoint))
    }
}

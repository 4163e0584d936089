//! Our own broker, inside this process, in the set-ups that together leave no scene out.

use whinchat_broker::{
    Broker, BrokerHandle, StartError,
    config::{Auto, ByteSize, Config, ListenerConfig, Seconds},
};
use whinchat_conformance::Setup;
use whinchat_transport::Endpoint;

use super::guard::{DeniedTopics, EchoOrLogin};

/// One way to set the broker up.
pub(super) struct OwnSetup {
    pub(super) name: &'static str,
    /// What it has that a broker cannot say by itself.
    pub(super) setup: fn() -> Setup,
    change: fn(&mut Config),
    is_guarded: bool,
}

/// All of them, in the order in which they are judged.
pub(super) const OWN_SETUPS: [OwnSetup; 4] = [
    OwnSetup {
        name: "default",
        setup: Setup::default,
        change: |_| {},
        is_guarded: false,
    },
    OwnSetup {
        name: "limited",
        setup: Setup::default,
        change: limited,
        is_guarded: false,
    },
    OwnSetup {
        name: "QoS 0",
        setup: Setup::default,
        change: |config| config.mqtt.maximum_qos = 0,
        is_guarded: false,
    },
    OwnSetup {
        name: "guarded",
        setup: || {
            let mut setup = Setup::default();
            setup.method = true;
            setup.login = true;
            setup.denied = true;
            setup
        },
        change: |_| {},
        is_guarded: true,
    },
];

/// As little as a broker may offer.
fn limited(config: &mut Config) {
    config.mqtt.maximum_qos = 1;
    config.mqtt.retain_available = false;
    config.mqtt.wildcard_subscription_available = false;
    config.mqtt.subscription_identifiers_available = false;
    config.mqtt.shared_subscription_available = false;
    config.limits.packet_size = ByteSize::kib(4);
    config.limits.keep_alive_max = Some(Seconds::new(2));
    config.limits.receive_maximum = 5;
    config.limits.topic_alias_maximum = 0;
}

impl OwnSetup {
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
        (self.change)(&mut config);
        let mut broker = Broker::builder().config(config);
        if self.is_guarded {
            broker = broker.authenticate(EchoOrLogin).authorize(DeniedTopics);
        }
        let broker = broker.start()?;
        let endpoint = broker.local_endpoints()[0].clone();
        Ok((broker, endpoint))
    }
}

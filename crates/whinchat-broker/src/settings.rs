//! The configuration in the form in which the shards read it: resolved, and worked out per listener.

use std::{sync::Arc, time::Duration};

use whinchat_codec::{ConnAckReason, DecodeLimits, QoS};
use whinchat_session::{QueueLimits, QueuePolicy, SessionLimits};

use crate::{
    access::{self, LoginRequired},
    ack::{AckLevels, AckWithoutStore},
    config::Config,
    limits::{BrokerLimits, QueueOverflow},
};

/// What a shard needs to know in every turn. Made anew when the configuration is reloaded.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Limits of the whole broker; those of a single connection stand with its listener.
    pub(crate) limits: BrokerLimits,
    /// In the order of the configuration; the last one is for connections inside the process.
    pub(crate) listeners: Vec<ListenerSettings>,
    pub(crate) features: Features,
    pub(crate) acks: AckLevels,
    /// Between two publications below `$SYS`; `None` for none.
    pub(crate) sys_interval: Option<Duration>,
    /// For one step of an authenticator.
    pub(crate) authentication_timeout: Duration,
    /// Where clients are sent instead of being served.
    pub(crate) moved_to: Option<MovedTo>,
    /// Where clients go when the broker ends.
    pub(crate) redirect: Option<Box<str>>,
    /// Retained messages in all, in bytes.
    pub(crate) retained_bytes: u64,
    /// Bytes that wait for a socket before its connection counts as full.
    pub(crate) unsent_bytes: usize,
    /// A publisher is refused if a queue that its message would go to is full.
    pub(crate) refuses_when_full: bool,
    /// Messages at the front of a queue that are kept in memory.
    pub(crate) queue_in_memory: usize,
    /// For the queues of sessions without a connection.
    pub(crate) queue: QueueLimits,
}

/// What holds for the connections of one listener.
#[derive(Clone, Debug)]
pub(crate) struct ListenerSettings {
    pub(crate) name: Arc<str>,
    /// Clients that nobody knows are served.
    pub(crate) anonymous: bool,
    pub(crate) limits: BrokerLimits,
    pub(crate) decode_before_connack: DecodeLimits,
    pub(crate) decode: DecodeLimits,
    pub(crate) session: SessionLimits,
}

/// What of the protocol is offered, and told in CONNACK where it is not.
#[derive(Clone, Debug)]
pub(crate) struct Features {
    pub(crate) maximum_qos: QoS,
    pub(crate) retain: bool,
    pub(crate) wildcard_subscriptions: bool,
    pub(crate) shared_subscriptions: bool,
    pub(crate) subscription_identifiers: bool,
    /// What is declared as text has to be text.
    pub(crate) check_payload_format: bool,
    pub(crate) response_information: Option<Box<str>>,
    /// Name and value of the User Property that tells the level of `ack`.
    pub(crate) ack_user_property: Option<(Box<str>, &'static str)>,
}

/// Why a configuration cannot be put in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A listener would be open to the network without a login.
    #[error(transparent)]
    LoginRequired(#[from] LoginRequired),
    /// An ack would have to wait for a disk that is not there.
    #[error(transparent)]
    AckWithoutStore(#[from] AckWithoutStore),
}

/// Another server, and whether clients are to remember it.
#[derive(Clone, Debug)]
pub(crate) struct MovedTo {
    pub(crate) server: Box<str>,
    /// 0x9C (Use another server) or 0x9D (Server moved).
    pub(crate) reason: ConnAckReason,
}

impl Settings {
    /// Works the configuration out for this machine.
    ///
    /// # Errors
    ///
    /// If a listener would be open to the network without a login, or acks would wait for a store that is not there (`keeps` is false).
    pub(crate) fn new(
        config: &Config,
        has_authenticator: bool,
        keeps: bool,
    ) -> Result<Self, SettingsError> {
        let mqtt = &config.mqtt;
        let acks = AckLevels::new(config, keeps)?;
        let features = Features {
            maximum_qos: QoS::try_from(mqtt.maximum_qos).unwrap_or(QoS::ExactlyOnce),
            retain: mqtt.retain_available,
            wildcard_subscriptions: mqtt.wildcard_subscription_available,
            shared_subscriptions: mqtt.shared_subscription_available,
            subscription_identifiers: mqtt.subscription_identifiers_available,
            check_payload_format: mqtt.check_payload_format,
            response_information: mqtt.response_information.as_deref().map(Box::from),
            ack_user_property: mqtt
                .ack_user_property
                .as_deref()
                .map(|name| (name.into(), acks.broker().word())),
        };
        let mut listeners = Vec::with_capacity(config.listeners.len() + 1);
        for listener in &config.listeners {
            listeners.push(ListenerSettings::new(
                &listener.display_name(),
                access::admits_anonymous(listener, has_authenticator)?,
                &config.limits_of(listener).resolved(),
                &features,
            ));
        }
        let limits = config.limits.resolved();
        listeners.push(ListenerSettings::new(
            "inside",
            !has_authenticator,
            &limits,
            &features,
        ));
        Ok(Self {
            retained_bytes: limits.retained_bytes(),
            unsent_bytes: limits.unsent_size.as_usize(),
            queue_in_memory: usize::try_from(limits.queue_in_memory).unwrap_or(usize::MAX),
            refuses_when_full: limits.queue_overflow == QueueOverflow::Refuse,
            queue: queue_limits(&limits),
            limits,
            listeners,
            features,
            acks,
            sys_interval: config.sys.interval,
            authentication_timeout: config.authentication.timeout,
            moved_to: mqtt.redirect.as_deref().map(|server| MovedTo {
                server: server.into(),
                reason: if mqtt.redirect_permanent {
                    ConnAckReason::ServerMoved
                } else {
                    ConnAckReason::UseAnotherServer
                },
            }),
            redirect: config.shutdown.redirect.as_deref().map(Box::from),
        })
    }

    /// What holds for connections of the listener with this number.
    pub(crate) fn listener(&self, number: u16) -> &ListenerSettings {
        // A reload that removes listeners leaves their connections to the last one's rules.
        let last = self.listeners.len() - 1;
        &self.listeners[usize::from(number).min(last)]
    }
}

impl ListenerSettings {
    fn new(name: &str, anonymous: bool, limits: &BrokerLimits, features: &Features) -> Self {
        let decode = DecodeLimits::default()
            .with_properties_bytes(saturating_u32(limits.properties_size.bytes()))
            .with_user_properties(limits.user_properties);
        let session = SessionLimits::default()
            .with_receive_maximum(limits.receive_maximum)
            .with_in_flight_max(limits.send_window)
            .with_in_flight_max_v3(limits.send_window_v3)
            .with_topic_alias_maximum_in(limits.topic_alias_maximum)
            .with_topic_alias_maximum_out(limits.topic_alias_maximum_out)
            .with_packet_size_max(saturating_u32(limits.packet_size.bytes()))
            .with_maximum_qos(features.maximum_qos)
            .with_retain_available(features.retain)
            .with_handshake_timeout(limits.connect_timeout)
            .with_queue(queue_limits(limits));
        Self {
            name: name.into(),
            anonymous,
            decode_before_connack: decode
                .with_packet_size(saturating_u32(limits.packet_size_before_connect.bytes())),
            decode: decode.with_packet_size(saturating_u32(limits.packet_size.bytes())),
            session,
            limits: limits.clone(),
        }
    }
}

fn queue_limits(limits: &BrokerLimits) -> QueueLimits {
    QueueLimits {
        messages: limits.queue_messages,
        bytes: limits.queue_size.bytes(),
        policy: match limits.queue_overflow {
            QueueOverflow::DropOldest => QueuePolicy::DropOldest,
            QueueOverflow::DropNew | QueueOverflow::Refuse => QueuePolicy::RefuseNew,
        },
    }
}

fn saturating_u32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

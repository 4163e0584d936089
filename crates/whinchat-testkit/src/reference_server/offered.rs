//! What a reference server offers, and whom it lets in.

use whinchat_codec::QoS;
use whinchat_session::SessionLimits;

/// One way to set the server up.
#[derive(Clone, Copy, Debug)]
pub struct Offered {
    /// For the messages of a failure.
    pub name: &'static str,
    pub(super) limits: SessionLimits,
    pub(super) wildcards: bool,
    pub(super) subscription_ids: bool,
    pub(super) shared_subscriptions: bool,
    /// The authentication method `echo` is there, and nobody may use `denied/#`.
    pub(super) has_rules: bool,
    /// Seconds.
    pub(super) keep_alive_max: Option<u16>,
    /// Nobody but the user `known` with the password `secret` may connect.
    pub asks_for_login: bool,
}

impl Offered {
    /// All that there is, all that may be left out left out, QoS 0 alone, and all with a login.
    pub fn each() -> [Self; 4] {
        let everything = Self {
            name: "everything",
            limits: SessionLimits::default(),
            wildcards: true,
            subscription_ids: true,
            shared_subscriptions: true,
            has_rules: true,
            keep_alive_max: None,
            asks_for_login: false,
        };
        let less = Self {
            name: "less",
            limits: SessionLimits::default()
                .with_maximum_qos(QoS::AtLeastOnce)
                .with_retain_available(false)
                .with_topic_alias_maximum_in(0)
                .with_packet_size_max(4_096),
            wildcards: false,
            subscription_ids: false,
            shared_subscriptions: false,
            has_rules: false,
            keep_alive_max: Some(60),
            asks_for_login: false,
        };
        let qos_0 = Self {
            name: "QoS 0",
            limits: SessionLimits::default().with_maximum_qos(QoS::AtMostOnce),
            has_rules: false,
            ..everything
        };
        let login = Self {
            name: "login",
            has_rules: false,
            asks_for_login: true,
            ..everything
        };
        [everything, less, qos_0, login]
    }
}

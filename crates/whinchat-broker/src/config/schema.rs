//! The sections and their options. Adding one is adding a row.

use std::{path::PathBuf, time::Duration};

use whinchat_transport::Endpoint;

use super::{
    row::section,
    value::{Auto, Filters, LoopbackAddr, words},
};
use crate::BrokerLimits;

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;

/// Everything a broker is told when it starts.
///
/// [`Config::default`] is what `whinchat serve` runs on without a file. A program that embeds the
/// broker starts from [`Config::embedded`], which opens no port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Options outside any section.
    pub general: GeneralConfig,
    /// Topics whose acks leave earlier or later: `[acks]`.
    pub acks: AcksConfig,
    /// Where clients connect: `[[listener]]`.
    pub listeners: Vec<ListenerConfig>,
    /// What the protocol offers: `[mqtt]`.
    pub mqtt: MqttConfig,
    /// Every bound: `[limits]`.
    pub limits: BrokerLimits,
    /// Who connects: `[authentication]`.
    pub authentication: AuthenticationConfig,
    /// The port for metrics and health: `[admin]`.
    pub admin: AdminConfig,
    /// Logs: `[log]`.
    pub log: LogConfig,
    /// The topics below `$SYS`: `[sys]`.
    pub sys: SysConfig,
    /// How the broker ends: `[shutdown]`.
    pub shutdown: ShutdownConfig,
}

impl Default for Config {
    fn default() -> Self {
        let local = |host: &str, name: &str| ListenerConfig {
            name: Some(name.to_owned()),
            optional: true,
            ..ListenerConfig::new(Endpoint::tcp(host, 1883))
        };
        Self {
            listeners: vec![
                ListenerConfig {
                    optional: false,
                    ..local("127.0.0.1", "local")
                },
                local("::1", "local-ipv6"),
            ],
            admin: AdminConfig::default(),
            ..Self::embedded()
        }
    }
}

impl Config {
    /// The defaults without listeners and without an admin port.
    #[must_use]
    pub fn embedded() -> Self {
        Self {
            general: GeneralConfig::default(),
            acks: AcksConfig::default(),
            listeners: Vec::new(),
            mqtt: MqttConfig::default(),
            limits: BrokerLimits::default(),
            authentication: AuthenticationConfig::default(),
            admin: AdminConfig { listen: None },
            log: LogConfig::default(),
            sys: SysConfig::default(),
            shutdown: ShutdownConfig::default(),
        }
    }
}

section! {
    /// Options that stand before the first heading.
    pub struct GeneralConfig in "" {
        /// The folder for what must survive. With "auto" whinchat serve takes $STATE_DIRECTORY, else /var/lib/whinchat as root, else $XDG_STATE_HOME/whinchat, else $HOME/.local/state/whinchat. With "none" everything is in memory and nothing survives a restart. The flags --data-dir and --ephemeral win over it.
        data_dir: Auto<Option<PathBuf>> = Auto::Auto;
        /// When PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK and CONNACK leave: when their effect is in memory, handed to the operating system ("written": it survives the end of the process, and is synced within a second) or on disk ("synced": it survives a loss of power). With "auto" it is "synced" if there is a data directory, else "memory". Single topics may have another level: see `[acks]`.
        ack: Auto<Ack> = Auto::Auto;
        /// Threads that serve clients. With "auto" as many as the process may use at a time.
        threads: Auto<u16> = Auto::Auto, 1 => 1024;
    }
}

words! {
    /// What has happened to an effect when its ack leaves.
    pub enum Ack {
        /// It is in memory. If the process ends now, it may be gone.
        Memory = "memory",
        /// It is handed to the operating system. If the machine loses power within a second, it may be gone.
        Written = "written",
        /// It is on disk.
        Synced = "synced",
    }
    refused {
        "replicated": "this version has no cluster yet: \"synced\" is the strongest level",
    }
}

section! {
    /// Topics with another level than `ack`. It holds for PUBACK and PUBREC of messages to them; a topic that several lists match has the strongest. All other acks, and what goes out to subscribers, wait for the strongest level that is named anywhere. The filters are looked at one after the other for each message of QoS 1 and 2: keep them few.
    pub struct AcksConfig in "acks" {
        /// Messages that a crash may lose.
        memory: Filters = Filters::default();
        /// Messages that survive the end of the process. Where messages of both kinds come at the same time, these wait for the sync of the others.
        written: Filters = Filters::default();
        /// Messages that survive a loss of power.
        synced: Filters = Filters::default();
    }
}

section! {
    /// Where clients connect. One `[[listener]]` each; the first one in the file replaces the two of the default.
    pub struct ListenerConfig in "listener" {
        /// A name for logs and hooks. With "none" the url is used.
        name: Option<String> = None;
        /// mqtt://HOST:PORT, ADDRESS:PORT or unix:PATH. Port 0 lets the system choose.
        url: Endpoint = Endpoint::tcp("127.0.0.1", 1883);
        /// Whether clients without user name and password are let in. With "auto" only where no authenticator is configured and the listener is on a loopback address or a Unix socket. Any other listener without an authenticator is refused unless it says true.
        anonymous: Auto<bool> = Auto::Auto;
        /// Whether the broker starts without this listener if the machine does not have its address.
        optional: bool = false;
    } beside {
        /// The limits of this listener, where they differ from `[limits]`: see [`Config::limits_of`].
        limits: Option<BrokerLimits> = None;
    }
}

impl ListenerConfig {
    /// A listener at this place, with the defaults for the rest.
    #[must_use]
    pub fn new(url: Endpoint) -> Self {
        Self {
            url,
            ..Self::default()
        }
    }

    /// How logs and hooks name it.
    #[must_use]
    pub fn display_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.url.to_string())
    }
}

impl Config {
    /// The limits that hold for clients of this listener.
    #[must_use]
    pub fn limits_of<'a>(&'a self, listener: &'a ListenerConfig) -> &'a BrokerLimits {
        listener.limits.as_ref().unwrap_or(&self.limits)
    }
}

section! {
    /// What the broker offers of the protocol. MQTT 5.0 clients are told of what is missing in CONNACK.
    pub struct MqttConfig in "mqtt" {
        /// Highest QoS of messages that clients may publish; more is answered with 0x9B. Subscriptions are granted at most this one.
        maximum_qos: u8 = 2, 0 => 2;
        /// Whether messages may be retained; if not, a retained one is answered with 0x9A.
        retain_available: bool = true;
        /// Whether topic filters may have wildcards; if not, one that has is answered with 0xA2.
        wildcard_subscription_available: bool = true;
        /// Whether subscriptions may carry an identifier; if not, one that does is answered with 0xA1.
        subscription_identifiers_available: bool = true;
        /// Whether subscriptions may be shared ($share); if not, one that is is answered with 0x9E.
        shared_subscription_available: bool = true;
        /// Whether a payload that is declared as text (Payload Format Indicator 1) is checked to be UTF-8; one that is not is answered with 0x99.
        check_payload_format: bool = false;
        /// The name of a User Property with which MQTT 5.0 clients are told the level of `ack` in CONNACK, such as "ack" for ack: synced. With "none" they are not told.
        ack_user_property: Option<String> = None;
        /// What clients that ask for Response Information are told: the start of the topics they may use for responses. With "none" they are told nothing.
        response_information: Option<String> = None;
        /// Another server that every client is sent to: its CONNECT is answered with 0x9C and this Server Reference. With "none" clients are served here.
        redirect: Option<String> = None;
        /// Whether they are to remember it: 0x9D instead of 0x9C.
        redirect_permanent: bool = false;
    }
}

section! {
    /// Who connects. Passwords and certificates are checked by a program that embeds the broker; the program whinchat has no authenticator in this version.
    pub struct AuthenticationConfig in "authentication" {
        /// Time an authenticator has for one step. A client whose time is over is answered with 0x88.
        timeout: Duration = Duration::from_secs(5), 10 => 10 * 60 * SECOND;
    }
}

section! {
    /// Metrics and health over HTTP: /metrics, /healthz and /readyz.
    pub struct AdminConfig in "admin" {
        /// Where: an address of this machine alone (127.0.0.0/8 or ::1), because nobody logs in there. With "none" the port is not opened.
        listen: Option<LoopbackAddr> = Some(LoopbackAddr::v4(9883));
    }
}

section! {
    /// Logs, which go to stderr.
    pub struct LogConfig in "log" {
        /// The least severe that is written.
        level: LogLevel = LogLevel::Info;
        /// "text" for people, "json" for machines; one line each.
        format: LogFormat = LogFormat::Text;
    }
}

words! {
    /// How severe a log line has to be.
    pub enum LogLevel {
        /// Nothing is written.
        Off = "off",
        /// What needs somebody.
        Error = "error",
        /// What may need somebody.
        Warn = "warn",
        /// What an operator wants to know.
        Info = "info",
        /// Each connection and subscription.
        Debug = "debug",
        /// Each packet, without payload.
        Trace = "trace",
    }
}

words! {
    /// The form of log lines.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// For machines: one JSON object per line.
        Json = "json",
    }
}

section! {
    /// What the broker publishes about itself below $SYS.
    pub struct SysConfig in "sys" {
        /// Time between two publications. With "none" nothing is published there.
        interval: Option<Duration> = Some(Duration::from_secs(10)), SECOND => 24 * HOUR;
    }
}

section! {
    /// How the broker ends on SIGTERM and SIGINT: it accepts nothing new, tells MQTT 5.0 clients 0x8B, and writes out what it holds for them.
    pub struct ShutdownConfig in "shutdown" {
        /// Time for that; what is left then is cut. "0s" cuts at once.
        drain: Duration = Duration::from_secs(5), 0 => HOUR;
        /// The Server Reference that MQTT 5.0 clients are given then (and 0x9C instead of 0x8B), so that they go elsewhere. With "none" they are given no other place.
        redirect: Option<String> = None;
    }
}

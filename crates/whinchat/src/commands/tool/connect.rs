//! Which broker, as whom, and with which session: the options that all three tools have.

use std::path::PathBuf;
use std::time::Duration;

use whinchat_client::{
    Client, ClientOptions, Credentials, Endpoint, ProtocolVersion, ReconnectPolicy, Status,
    Version, Will, WillProperties,
};
use whinchat_transport::Url;

use super::property::{PropertyArgs, Stage};
use super::{Failure, LoginArgs, QosArg, note};

#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectArgs {
    /// Name or address of the broker [default: localhost].
    // A bare -h is answered by `endpoint`, not by clap, which would only miss a value.
    #[arg(short = 'h', long, value_name = "HOST", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["unix", "url"])]
    host: Option<String>,
    /// Port of the broker [default: 1883].
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), conflicts_with_all = ["unix", "url"])]
    port: Option<u16>,
    /// Unix socket of the broker.
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    unix: Option<PathBuf>,
    /// Broker, credentials and topic at once: mqtt://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC].
    #[arg(short = 'L', long, value_name = "URL")]
    url: Option<String>,
    /// Client id [default: chosen by the broker; before 5.0 whinchat- and random digits].
    #[arg(short, long, value_name = "ID", conflicts_with = "id_prefix")]
    id: Option<String>,
    /// Client id of this and the process id.
    #[arg(short = 'I', long, value_name = "PREFIX")]
    id_prefix: Option<String>,
    #[command(flatten)]
    login: LoginArgs,
    /// MQTT version: 5, 311 or 31, also mqttv5, mqttv311, mqttv31 [default: 5, and 311 if the broker does not know it].
    #[arg(short = 'V', long, value_name = "VERSION", value_parser = version)]
    protocol_version: Option<ProtocolVersion>,
    /// Keep alive in seconds, 0 to 65535; 0 is none.
    #[arg(short, long, value_name = "SECONDS", default_value = "60")]
    keepalive: u16,
    /// Keeps the session: resumes an earlier one of this client id, and has the broker keep this one. Needs -i.
    #[arg(short = 'c', long)]
    disable_clean_session: bool,
    /// How many seconds the broker keeps the session after the end of the connection; -1 is for ever. Only 5.0.
    #[arg(short = 'x', long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = session_expiry)]
    session_expiry_interval: Option<u32>,
    /// Connections are without delay for small packets in any case: accepted for scripts that ask for it.
    #[arg(long, hide = true)]
    nodelay: bool,
    /// Tells on stderr what happens.
    #[arg(short, long)]
    debug: bool,
    /// No errors of the run on stderr.
    #[arg(long)]
    quiet: bool,

    /// Topic of a message that the broker publishes if the connection is lost.
    #[arg(long, value_name = "TOPIC", help_heading = "Will")]
    will_topic: Option<String>,
    /// Its payload [default: empty].
    #[arg(
        long,
        value_name = "TEXT",
        requires = "will_topic",
        allow_hyphen_values = true,
        help_heading = "Will"
    )]
    will_payload: Option<String>,
    /// Its QoS.
    #[arg(
        long,
        value_enum,
        value_name = "QOS",
        default_value = "0",
        requires = "will_topic",
        hide_possible_values = true,
        help_heading = "Will"
    )]
    will_qos: QosArg,
    /// Has the broker retain it.
    #[arg(long, requires = "will_topic", help_heading = "Will")]
    will_retain: bool,
}

/// A broker and what is said to it first.
pub(crate) struct Target {
    options: ClientOptions,
    endpoint: Endpoint,
    version: Version,
    /// From the path of `-L`.
    pub(crate) topic: Option<String>,
    is_debug: bool,
}

impl ConnectArgs {
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub(crate) fn is_debug(&self) -> bool {
        self.debug
    }

    /// # Errors
    /// The options contradict each other, or a file cannot be read.
    pub(crate) fn target(&self, properties: &PropertyArgs) -> Result<Target, Failure> {
        let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
        let (url, topic) = self.place()?;
        let endpoint = url.endpoint.clone();
        let mut version = match self.protocol_version {
            Some(version) => Version::Only(version),
            None => Version::default(),
        };
        if !properties.is_empty() {
            if let Version::Only(version) = version
                && version < ProtocolVersion::V5
            {
                return Err(Failure::Usage(format!(
                    "MQTT {version} has no properties: -D needs -V 5"
                )));
            }
            version = Version::Only(ProtocolVersion::V5);
        }
        let mut options = ClientOptions::new(url.endpoint.clone())
            .version(version)
            .keep_alive(Duration::from_secs(self.keepalive.into()))
            .clean_start(!self.disable_clean_session)
            .client_id(&self.client_id(version)?)
            .map_err(|error| usage(&error))?
            .session_expiry(self.session_expiry(properties)?);
        let credentials = self.credentials(url)?;
        if let Some(credentials) = credentials {
            if !self.quiet {
                self.login.warn_of_clear_text(&endpoint);
            }
            options = options.credentials(credentials);
        }
        if let Some(will) = self.will(properties)? {
            options = options.will(will);
        }
        options = apply_connect_properties(options, properties)?;
        Ok(Target {
            options,
            endpoint,
            version,
            topic,
            is_debug: self.debug,
        })
    }

    fn place(&self) -> Result<(Url, Option<String>), Failure> {
        let usage = |error: whinchat_transport::EndpointError| Failure::Usage(error.to_string());
        if let Some(url) = &self.url {
            let (place, topic) = split_topic(url);
            let url: Url = place.parse().map_err(usage)?;
            if let Some((name, _)) = url.options.first() {
                return Err(Failure::Usage(format!(
                    "-L takes no options such as {name}="
                )));
            }
            return Ok((url, topic.map(str::to_owned)));
        }
        let endpoint = match (&self.unix, self.host.as_deref()) {
            (Some(path), _) => format!("unix:{}", path.display()),
            (None, Some("")) => {
                return Err(Failure::Usage(
                    "-h names the broker's host; for help use --help".into(),
                ));
            }
            (None, host) => {
                let host = host.unwrap_or("localhost");
                let port = self.port.unwrap_or(1883);
                // An IPv6 address stands in brackets before a port.
                if host.contains(':') && !host.starts_with('[') {
                    format!("[{host}]:{port}")
                } else {
                    format!("{host}:{port}")
                }
            }
        };
        Ok((endpoint.parse().map_err(usage)?, None))
    }

    fn client_id(&self, version: Version) -> Result<String, Failure> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        if let Some(prefix) = &self.id_prefix {
            return Ok(format!("{prefix}{}", std::process::id()));
        }
        if self.disable_clean_session
            || self
                .session_expiry_interval
                .is_some_and(|seconds| seconds == u32::MAX)
        {
            return Err(Failure::Usage(
                "a session that is kept needs a client id: -i".into(),
            ));
        }
        // 23 characters at most, which 3.1 demands.
        let is_chosen_by_us = matches!(
            version,
            Version::Only(ProtocolVersion::V31 | ProtocolVersion::V311)
        );
        Ok(if is_chosen_by_us {
            format!("whinchat-{:08x}", fastrand::u32(..))
        } else {
            String::new()
        })
    }

    fn session_expiry(&self, properties: &PropertyArgs) -> Result<Duration, Failure> {
        let property = properties.connect_number("session-expiry-interval", 0, u32::MAX)?;
        let seconds = self.session_expiry_interval.or(property);
        Ok(match seconds {
            Some(u32::MAX) => Duration::MAX,
            Some(seconds) => Duration::from_secs(seconds.into()),
            None if self.disable_clean_session => Duration::MAX,
            None => Duration::ZERO,
        })
    }

    fn credentials(&self, url: Url) -> Result<Option<Credentials>, Failure> {
        let Some(login) = self.login.login(url)? else {
            return Ok(None);
        };
        let credentials = match (login.user_name, login.password) {
            (Some(name), Some(password)) => Credentials::new(&name, password),
            (Some(name), None) => Credentials::user_name_only(&name),
            (None, Some(password)) => Ok(Credentials::password_only(password)),
            (None, None) => return Ok(None),
        };
        credentials
            .map(Some)
            .map_err(|error| Failure::Usage(format!("user name: {error}")))
    }

    fn will(&self, properties: &PropertyArgs) -> Result<Option<Will>, Failure> {
        let will_properties: WillProperties = properties.will()?;
        let Some(topic) = &self.will_topic else {
            if properties.names(Stage::Will) {
                return Err(Failure::Usage("-D will needs --will-topic".into()));
            }
            return Ok(None);
        };
        let payload = self.will_payload.clone().unwrap_or_default();
        let will = Will::new(topic, payload)
            .map_err(|error| Failure::Usage(format!("--will-topic: {error}")))?;
        Ok(Some(
            will.qos(self.will_qos.into())
                .retain(self.will_retain)
                .properties(will_properties),
        ))
    }
}

impl Target {
    /// The settings changed further.
    pub(crate) fn with(mut self, change: impl FnOnce(ClientOptions) -> ClientOptions) -> Self {
        self.options = change(self.options);
        self
    }

    /// Ends the client with its connection.
    pub(crate) fn without_reconnect(self) -> Self {
        self.with(|options| options.reconnect(ReconnectPolicy::never()))
    }

    /// # Errors
    /// The broker cannot be reached, or refuses.
    pub(crate) async fn connect(self) -> Result<Client, Failure> {
        let Self {
            options,
            endpoint,
            version,
            is_debug,
            ..
        } = self;
        let client = options.connect().await.map_err(|error| Failure::Connect {
            error: Box::new(error),
            version,
        })?;
        if is_debug && let Status::Connected(info) = client.status() {
            let session = if info.session_present {
                "resumed"
            } else {
                "new"
            };
            note(format_args!(
                "connected to {endpoint} with MQTT {}, client id {:?}, {session} session",
                info.version, info.client_id
            ));
        }
        Ok(client)
    }
}

fn apply_connect_properties(
    mut options: ClientOptions,
    properties: &PropertyArgs,
) -> Result<ClientOptions, Failure> {
    let number = |name, min, max| properties.connect_number(name, min, max);
    if let Some(maximum) = number("receive-maximum", 1, u16::MAX.into())? {
        options = options.receive_maximum(u16::try_from(maximum).unwrap_or(u16::MAX));
    }
    if let Some(maximum) = number("topic-alias-maximum", 0, u16::MAX.into())? {
        options = options.topic_alias_maximum(u16::try_from(maximum).unwrap_or(u16::MAX));
    }
    if let Some(maximum) = number("maximum-packet-size", 1, u32::MAX)? {
        options = options.maximum_packet_size(maximum);
    }
    for (name, value) in properties.user_properties(Stage::Connect) {
        options = options
            .user_property(name, value)
            .map_err(|error| Failure::Usage(format!("-D connect user-property: {error}")))?;
    }
    Ok(options)
}

/// `mqtt://host/a/b` is `mqtt://host` and `a/b`.
fn split_topic(url: &str) -> (&str, Option<&str>) {
    let authority = url.find("://").map_or(0, |at| at + 3);
    if url.starts_with("unix:") {
        return (url, None);
    }
    match url[authority..].find('/') {
        Some(slash) => {
            let topic = &url[authority + slash + 1..];
            (
                &url[..authority + slash],
                (!topic.is_empty()).then_some(topic),
            )
        }
        None => (url, None),
    }
}

/// A version of MQTT in any of the usual spellings.
pub(crate) fn version(text: &str) -> Result<ProtocolVersion, String> {
    match text {
        "5" | "5.0" | "mqttv5" => Ok(ProtocolVersion::V5),
        "311" | "3.1.1" | "mqttv311" => Ok(ProtocolVersion::V311),
        "31" | "3.1" | "mqttv31" => Ok(ProtocolVersion::V31),
        _ => Err("expected 5, 311, 31, mqttv5, mqttv311 or mqttv31".into()),
    }
}

fn session_expiry(text: &str) -> Result<u32, String> {
    match text {
        "-1" | "∞" => Ok(u32::MAX),
        text => text
            .parse()
            .map_err(|_| "expected 0 to 4294967295 seconds, or -1 for ever".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_url_is_a_topic() {
        assert_eq!(
            split_topic("mqtt://host:1/a/b"),
            ("mqtt://host:1", Some("a/b"))
        );
        assert_eq!(split_topic("mqtt://host/"), ("mqtt://host", None));
        assert_eq!(split_topic("mqtt://host"), ("mqtt://host", None));
        assert_eq!(split_topic("unix:/run/x.sock"), ("unix:/run/x.sock", None));
    }

    #[test]
    fn a_session_expiry_may_be_for_ever() {
        assert_eq!(session_expiry("-1"), Ok(u32::MAX));
        assert_eq!(session_expiry("60"), Ok(60));
        assert!(session_expiry("-2").is_err());
    }
}

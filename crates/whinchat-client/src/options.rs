//! All settings of a client and their defaults.

use std::{fmt, future::Future, io, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use whinchat_codec::{ConnectProperties, EncodeError, ProtocolVersion, Utf8String};
use whinchat_transport::{DialOptions, Endpoint, Stream, Url};

use crate::{
    client::Client,
    error::{ConnectError, OptionsError},
    reconnect::ReconnectPolicy,
    will::Will,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
pub(crate) type StreamFactory = Arc<dyn Fn() -> BoxFuture<io::Result<Stream>> + Send + Sync>;
pub(crate) type CredentialsSource =
    Arc<dyn Fn() -> BoxFuture<Result<Credentials, BoxError>> + Send + Sync>;

/// Which version of the protocol to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Version {
    /// 5.0, and 3.1.1 where the broker does not know it. The default.
    ///
    /// A broker that refuses 5.0 by its return code is asked with 3.1.1 from then on. One that hangs up without a word is asked
    /// with 3.1.1 once, and with 5.0 again at the next connection: it may only have been restarting.
    #[default]
    V5ElseV311,
    /// This one or none.
    Only(ProtocolVersion),
}

/// User name and password. `Debug` shows no password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    user_name: Option<Utf8String>,
    password: Option<Bytes>,
}

impl Credentials {
    /// A user name and a password.
    ///
    /// # Errors
    /// The user name is longer than 65,535 bytes or holds U+0000.
    pub fn new(user_name: &str, password: impl Into<Bytes>) -> Result<Self, EncodeError> {
        Ok(Self {
            user_name: Some(user_name.try_into()?),
            password: Some(password.into()),
        })
    }

    /// A user name alone.
    ///
    /// # Errors
    /// As of [`new`](Self::new).
    pub fn user_name_only(user_name: &str) -> Result<Self, EncodeError> {
        Ok(Self {
            user_name: Some(user_name.try_into()?),
            password: None,
        })
    }

    /// A password alone, for instance a token; 5.0 only.
    pub fn password_only(password: impl Into<Bytes>) -> Self {
        Self {
            user_name: None,
            password: Some(password.into()),
        }
    }

    pub(crate) fn into_parts(self) -> (Option<Utf8String>, Option<Bytes>) {
        (self.user_name, self.password)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| "[redacted]"))
            .finish()
    }
}

/// All settings of a client. Make one with [`Client::builder`] or [`ClientOptions::over`], change it, then [`connect`](Self::connect).
#[derive(Clone)]
#[must_use]
pub struct ClientOptions {
    pub(crate) dialer: Dialer,
    pub(crate) client_id: Utf8String,
    pub(crate) version: Version,
    pub(crate) clean_start: bool,
    pub(crate) session_expiry: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) credentials: CredentialsSetting,
    pub(crate) will: Option<Will>,
    pub(crate) receive_maximum: u16,
    pub(crate) in_flight_maximum: Option<u16>,
    pub(crate) topic_alias_maximum: u16,
    pub(crate) maximum_packet_size: u32,
    pub(crate) user_properties: Vec<(Utf8String, Utf8String)>,
    pub(crate) connect_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) queue_messages: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) unread_messages: usize,
    pub(crate) unread_bytes: usize,
    pub(crate) reconnect: ReconnectPolicy,
}

#[derive(Clone)]
pub(crate) enum Dialer {
    Endpoint(Endpoint, DialOptions),
    Factory(StreamFactory),
}

#[derive(Clone)]
pub(crate) enum CredentialsSetting {
    Fixed(Credentials),
    Asked(CredentialsSource),
}

impl ClientOptions {
    /// Everything at its default, towards `endpoint`.
    pub fn new(endpoint: Endpoint) -> Self {
        Self::with_dialer(Dialer::Endpoint(endpoint, DialOptions::default()))
    }

    /// Everything at its default, over streams that `factory` makes: a new one for each connection.
    pub fn over<F, Fut>(factory: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<Stream>> + Send + 'static,
    {
        Self::with_dialer(Dialer::Factory(Arc::new(move || Box::pin(factory()))))
    }

    /// From a URL: `mqtt://user:password@host:port?option=value&...`, `host:port` or `unix:/path`. The options are
    /// `client_id`, `version` (`5`, `3.1.1`, `3.1` or `5-else-3.1.1`), `clean_start` (`true` or `false`), `keep_alive` and
    /// `session_expiry` (seconds).
    ///
    /// # Errors
    /// What is wrong with the URL or an option; credentials are never part of the message.
    pub fn from_url(url: &str) -> Result<Self, OptionsError> {
        let url: Url = url.parse()?;
        let mut options = Self::new(url.endpoint);
        for (name, value) in &url.options {
            options.set_from_url(name, value)?;
        }
        let text = |text: &str| {
            Utf8String::try_from(text).map_err(|error| OptionsError::OutOfRange {
                setting: "user name",
                value: error.to_string(),
                expected: "a text that MQTT can carry",
            })
        };
        let user_name = url.user_name.as_deref().map(text).transpose()?;
        options.credentials = CredentialsSetting::Fixed(Credentials {
            user_name,
            password: url.password.map(Bytes::from),
        });
        Ok(options)
    }

    fn with_dialer(dialer: Dialer) -> Self {
        Self {
            dialer,
            client_id: Utf8String::new(),
            version: Version::default(),
            clean_start: true,
            session_expiry: Duration::ZERO,
            keep_alive: Duration::from_secs(60),
            credentials: CredentialsSetting::Fixed(Credentials::default()),
            will: None,
            receive_maximum: 256,
            in_flight_maximum: None,
            topic_alias_maximum: 16,
            maximum_packet_size: 16 * 1024 * 1024,
            user_properties: Vec::new(),
            connect_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            queue_messages: 10_000,
            queue_bytes: 64 * 1024 * 1024,
            unread_messages: 10_000,
            unread_bytes: 64 * 1024 * 1024,
            reconnect: ReconnectPolicy::default(),
        }
    }

    fn set_from_url(&mut self, name: &str, value: &str) -> Result<(), OptionsError> {
        let wrong = |expected| OptionsError::UrlOption {
            name: name.to_owned(),
            value: value.to_owned(),
            expected,
        };
        let seconds = || {
            value
                .parse()
                .map(Duration::from_secs)
                .map_err(|_| wrong("a number of seconds"))
        };
        match name {
            "client_id" => {
                self.client_id = value
                    .try_into()
                    .map_err(|_| wrong("a text that MQTT can carry"))?;
            }
            "version" => {
                self.version = match value {
                    "5-else-3.1.1" => Version::V5ElseV311,
                    "5" | "5.0" => Version::Only(ProtocolVersion::V5),
                    "3.1.1" => Version::Only(ProtocolVersion::V311),
                    "3.1" => Version::Only(ProtocolVersion::V31),
                    _ => return Err(wrong("5, 3.1.1, 3.1 or 5-else-3.1.1")),
                };
            }
            "clean_start" => {
                self.clean_start = value.parse().map_err(|_| wrong("true or false"))?
            }
            "keep_alive" => self.keep_alive = seconds()?,
            "session_expiry" => self.session_expiry = seconds()?,
            _ => {
                return Err(wrong(
                    "client_id, version, clean_start, keep_alive or session_expiry",
                ));
            }
        }
        Ok(())
    }

    /// The name of the session at the broker. Default: empty, which lets a broker of 5.0 choose one.
    ///
    /// # Errors
    /// Longer than 65,535 bytes, or U+0000 in it.
    pub fn client_id(mut self, client_id: &str) -> Result<Self, EncodeError> {
        self.client_id = client_id.try_into()?;
        Ok(self)
    }

    /// Which version to speak. Default: 5.0, else 3.1.1.
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Whether the first connection drops what the broker kept of an earlier session. Default: true. With 5.0 later connections
    /// resume; before, a clean session ends with each connection.
    pub fn clean_start(mut self, clean_start: bool) -> Self {
        self.clean_start = clean_start;
        self
    }

    /// How long the broker keeps the session after the connection ended, in whole seconds; 5.0 only. Default: not at all.
    /// [`Duration::MAX`] is for ever.
    pub fn session_expiry(mut self, expiry: Duration) -> Self {
        self.session_expiry = expiry;
        self
    }

    /// The longest silence before the connection is checked, 0 to 65,535 whole seconds; 0 is never. Default: 60 s. A broker of
    /// 5.0 may choose another.
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// User name and password. Default: none.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = CredentialsSetting::Fixed(credentials);
        self
    }

    /// Asks for user name and password before each connection, for tokens that expire. An error counts as a failed attempt.
    pub fn credentials_from<F, Fut>(mut self, source: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Credentials, BoxError>> + Send + 'static,
    {
        self.credentials = CredentialsSetting::Asked(Arc::new(move || Box::pin(source())));
        self
    }

    /// What the broker publishes when the connection ends without [`Client::disconnect`]. Default: nothing.
    pub fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    /// How many messages of QoS 1 and 2 the broker may send before one is acknowledged: 1 to 65,535. Default: 256. 5.0 only.
    pub fn receive_maximum(mut self, maximum: u16) -> Self {
        self.receive_maximum = maximum;
        self
    }

    /// How many messages of QoS 1 and 2 may be at the broker without its answer: 1 to 65,535, and never more than its Receive
    /// Maximum (5.0). Others wait here. Default: 256, and 32 before 5.0, where a broker cannot say what it takes; some cut
    /// a client that sends more than they expect.
    pub fn in_flight_maximum(mut self, maximum: u16) -> Self {
        self.in_flight_maximum = Some(maximum);
        self
    }

    /// How many topic aliases the broker may use. Default: 16. 5.0 only.
    pub fn topic_alias_maximum(mut self, maximum: u16) -> Self {
        self.topic_alias_maximum = maximum;
        self
    }

    /// The largest packet that is taken, in bytes; the connection ends at a larger one. Default: 16 MiB.
    pub fn maximum_packet_size(mut self, bytes: u32) -> Self {
        self.maximum_packet_size = bytes;
        self
    }

    /// Adds a user property to CONNECT; 5.0 only, left out before.
    ///
    /// # Errors
    /// Name or value is longer than 65,535 bytes or holds U+0000.
    pub fn user_property(mut self, name: &str, value: &str) -> Result<Self, EncodeError> {
        self.user_properties
            .push((name.try_into()?, value.try_into()?));
        Ok(self)
    }

    /// How long one attempt may take, from the dialling to CONNACK. Default: 30 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long [`Client::close`] waits for messages under way. Default: 5 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How many messages may be under way, from `publish` to the last ack, while connected or not. More wait in their `publish`
    /// calls. Default: 10,000.
    pub fn queue_messages(mut self, messages: usize) -> Self {
        self.queue_messages = messages;
        self
    }

    /// How many bytes of topics and payloads may be under way. Default: 64 MiB.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// How many messages of QoS 0 may wait in one stream; what is too much is dropped and
    /// [counted](crate::Subscription::missed). Default: 10,000.
    pub fn unread_messages(mut self, messages: usize) -> Self {
        self.unread_messages = messages;
        self
    }

    /// How many bytes may wait to be read: of QoS 0 in one stream, of QoS 1 and 2 in all. A broker that sends more of QoS 1 and
    /// 2 without waiting for acks is disconnected. Default: 64 MiB.
    pub fn unread_bytes(mut self, bytes: usize) -> Self {
        self.unread_bytes = bytes;
        self
    }

    /// When to connect again. Default: always, after up to 1 s at first and up to 2 min in the long run.
    pub fn reconnect(mut self, policy: ReconnectPolicy) -> Self {
        self.reconnect = policy;
        self
    }

    /// How to dial. Without effect for [`over`](Self::over).
    pub fn dial(mut self, dial: DialOptions) -> Self {
        if let Dialer::Endpoint(_, options) = &mut self.dialer {
            *options = dial;
        }
        self
    }

    /// Connects, and keeps the connection up from then on. Dropping the future gives up.
    ///
    /// # Errors
    /// The first attempt failed. (Later ones are repeated as the [policy](Self::reconnect) says.)
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        Client::connect(self).await
    }

    /// Starts a client that connects in the background, however often it takes. Messages are accepted at once.
    ///
    /// # Errors
    /// The settings are wrong.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self) -> Result<Client, OptionsError> {
        Client::start(self)
    }

    /// Checks what can be checked before anything is sent.
    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        let out_of_range = |setting, value: String, expected| OptionsError::OutOfRange {
            setting,
            value,
            expected,
        };
        if self.keep_alive.as_secs() > u64::from(u16::MAX) {
            return Err(out_of_range(
                "keep alive",
                format!("{:?}", self.keep_alive),
                "at most 65,535 s",
            ));
        }
        if self.receive_maximum == 0 {
            return Err(out_of_range("receive maximum", "0".into(), "1 to 65,535"));
        }
        if self.in_flight_maximum == Some(0) {
            return Err(out_of_range("in-flight maximum", "0".into(), "1 to 65,535"));
        }
        if self.maximum_packet_size == 0 {
            return Err(out_of_range(
                "maximum packet size",
                "0".into(),
                "at least 1 byte",
            ));
        }
        if self.queue_messages == 0 {
            return Err(out_of_range("queue messages", "0".into(), "at least 1"));
        }
        if self.client_id.is_empty() {
            match self.version {
                Version::Only(ProtocolVersion::V31) => {
                    return Err(OptionsError::ClientIdNeeded {
                        version: ProtocolVersion::V31,
                    });
                }
                Version::Only(ProtocolVersion::V311) | Version::V5ElseV311 if !self.clean_start => {
                    return Err(OptionsError::ClientIdNeeded {
                        version: ProtocolVersion::V311,
                    }); // v311 [MQTT-3.1.3-7]
                }
                Version::Only(_) | Version::V5ElseV311 => {}
            }
        }
        if let (CredentialsSetting::Fixed(credentials), Version::Only(version)) =
            (&self.credentials, self.version)
            && version < ProtocolVersion::V5
            && credentials.password.is_some()
            && credentials.user_name.is_none()
        {
            return Err(OptionsError::PasswordWithoutUserName { version }); // v311 [MQTT-3.1.2-22]
        }
        Ok(())
    }

    /// The version to begin with.
    pub(crate) fn first_version(&self) -> ProtocolVersion {
        match self.version {
            Version::V5ElseV311 => ProtocolVersion::V5,
            Version::Only(version) => version,
        }
    }

    pub(crate) fn keep_alive_seconds(&self) -> u16 {
        u16::try_from(self.keep_alive.as_secs()).unwrap_or(u16::MAX)
    }

    /// The properties of CONNECT.
    pub(crate) fn connect_properties(&self) -> Result<ConnectProperties, EncodeError> {
        let mut properties = ConnectProperties::new();
        let seconds = u32::try_from(self.session_expiry.as_secs()).unwrap_or(u32::MAX);
        if seconds != 0 {
            properties.set_session_expiry_interval(seconds);
        }
        properties.set_receive_maximum(self.receive_maximum)?;
        properties.set_maximum_packet_size(self.maximum_packet_size)?;
        if self.topic_alias_maximum != 0 {
            properties.set_topic_alias_maximum(self.topic_alias_maximum);
        }
        for (name, value) in &self.user_properties {
            properties.add_user_property(name, value)?;
        }
        Ok(properties)
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.dialer {
            Dialer::Endpoint(endpoint, _) => endpoint.to_string(),
            Dialer::Factory(_) => "streams of the application".to_owned(),
        };
        let credentials = match &self.credentials {
            CredentialsSetting::Fixed(credentials) => format!("{credentials:?}"),
            CredentialsSetting::Asked(_) => "asked for".to_owned(),
        };
        f.debug_struct("ClientOptions")
            .field("to", &place)
            .field("client_id", &self.client_id)
            .field("version", &self.version)
            .field("clean_start", &self.clean_start)
            .field("session_expiry", &self.session_expiry)
            .field("keep_alive", &self.keep_alive)
            .field("credentials", &credentials)
            .field("will", &self.will)
            .field("reconnect", &self.reconnect)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_carries_credentials_and_options_and_debug_hides_the_password() {
        let url = "mqtt://ann:s3cret@h:7?client_id=a&version=3.1.1&clean_start=false&keep_alive=5&session_expiry=9";
        let options = ClientOptions::from_url(url).unwrap();
        assert_eq!(&*options.client_id, "a");
        assert_eq!(options.version, Version::Only(ProtocolVersion::V311));
        assert!(!options.clean_start);
        assert_eq!(options.keep_alive_seconds(), 5);
        assert_eq!(options.session_expiry, Duration::from_secs(9));
        let shown = format!("{options:?}");
        assert!(
            shown.contains("ann") && shown.contains("mqtt://h:7") && !shown.contains("s3cret"),
            "{shown}"
        );
    }

    #[test]
    fn a_wrong_url_option_is_named_with_what_was_expected() {
        let error = |url| {
            ClientOptions::from_url(url)
                .map(drop)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error("h?version=4"),
            "the option 'version=4' in the URL: expected 5, 3.1.1, 3.1 or 5-else-3.1.1"
        );
        assert!(error("h?keepalive=4").contains("expected client_id, version"));
        assert!(error("h?keep_alive=-1").contains("a number of seconds"));
    }

    #[test]
    fn settings_outside_their_range_are_refused_before_anything_is_sent() {
        let options = || ClientOptions::from_url("h").unwrap();
        assert!(options().check().is_ok());
        assert!(
            options()
                .keep_alive(Duration::from_secs(65_536))
                .check()
                .is_err()
        );
        assert!(options().receive_maximum(0).check().is_err());
        assert!(options().in_flight_maximum(0).check().is_err());
        assert!(options().maximum_packet_size(0).check().is_err());
        assert!(options().queue_messages(0).check().is_err());
        assert!(options().clean_start(false).check().is_err());
        assert!(
            options()
                .clean_start(false)
                .client_id("a")
                .unwrap()
                .check()
                .is_ok()
        );
        let v31 = options().version(Version::Only(ProtocolVersion::V31));
        assert!(v31.check().is_err());
        let v311 = options().version(Version::Only(ProtocolVersion::V311));
        assert!(
            v311.credentials(Credentials::password_only("x"))
                .check()
                .is_err()
        );
    }
}

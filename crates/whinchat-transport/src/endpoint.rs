//! Where to dial or listen, as people write it.
//!
//! [`Endpoint`] is the place alone; [`Url`] may also carry credentials and options, which the client reads.

use std::{fmt, net::Ipv6Addr, path::PathBuf, str::FromStr};

const DEFAULT_PORT: u16 = 1883;

/// A place to dial or to listen at.
///
/// Written `mqtt://host:port` (the port may be left out: 1883), `host:port`, `[::1]:1883` or `unix:/path/of/socket`.
///
/// ```
/// use whinchat_transport::Endpoint;
///
/// let endpoint: Endpoint = "mqtt://[::1]".parse()?;
/// assert_eq!(endpoint.to_string(), "mqtt://[::1]:1883");
/// # Ok::<(), whinchat_transport::EndpointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// TCP.
    Tcp {
        /// A host name or an IP address; IPv6 without brackets.
        host: String,
        /// The port. Listening on 0 lets the operating system choose.
        port: u16,
    },
    /// A Unix socket.
    Unix {
        /// The path of the socket file.
        path: PathBuf,
    },
}

impl Endpoint {
    /// A TCP endpoint from its parts; an IPv6 address has no brackets here.
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::Tcp {
            host: host.into(),
            port,
        }
    }

    /// A Unix socket.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix { path: path.into() }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "mqtt://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "mqtt://{host}:{port}"),
            // Behind unix: alone the two slashes would be read as those of unix:///path.
            Self::Unix { path } if path.as_os_str().as_encoded_bytes().starts_with(b"//") => {
                write!(f, "unix://{}", path.display())
            }
            Self::Unix { path } => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// # Errors
    /// As [`Url`]'s; also for credentials and options, which are no part of a place.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let url: Url = text.parse()?;
        if url.user_name.is_some() {
            return Err(EndpointError::CredentialsNotExpected);
        }
        if let Some((name, _)) = url.options.first() {
            let error = EndpointError::OptionNotExpected { name: name.clone() };
            return Err(error.without_credentials(text));
        }
        Ok(url.endpoint)
    }
}

impl From<std::net::SocketAddr> for Endpoint {
    fn from(address: std::net::SocketAddr) -> Self {
        // The zone of a link-local address is part of where it is.
        let host = match address {
            std::net::SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                format!("{}%{}", v6.ip(), v6.scope_id())
            }
            std::net::SocketAddr::V4(_) | std::net::SocketAddr::V6(_) => address.ip().to_string(),
        };
        Self::Tcp {
            host,
            port: address.port(),
        }
    }
}

/// An [`Endpoint`] with what a client may add: `mqtt://user:password@host:port?name=value&...`.
///
/// User name, password and options are percent-decoded. `Debug` shows no password; there is no `Display`, so that none is
/// printed by accident.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Url {
    /// Where.
    pub endpoint: Endpoint,
    /// The user name before `@`.
    pub user_name: Option<String>,
    /// The password after the user name's colon.
    pub password: Option<Vec<u8>>,
    /// What follows `?`, in order. Their meaning is the caller's business.
    pub options: Vec<(String, String)>,
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Url")
            .field("endpoint", &self.endpoint)
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| "[redacted]"))
            .field(
                "options",
                &self
                    .options
                    .iter()
                    .map(|(name, _)| name)
                    .collect::<Vec<_>>(),
            )
            .finish()
    }
}

impl From<Endpoint> for Url {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            user_name: None,
            password: None,
            options: Vec::new(),
        }
    }
}

impl FromStr for Url {
    type Err = EndpointError;

    /// # Errors
    /// The text names no place this build can reach; the error says which part is wrong.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        Self::parse(text).map_err(|error| error.without_credentials(text))
    }
}

impl Url {
    fn parse(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            // Both unix:/path and unix:///path are in use. A path may hold any character, `?` and `@` included.
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(EndpointError::NoPath);
            }
            return Ok(Endpoint::unix(path).into());
        }
        let rest = match text
            .split_once("://")
            .filter(|(scheme, _)| is_scheme(scheme))
        {
            Some((scheme, rest)) => {
                check_scheme(scheme)?;
                rest
            }
            None => text,
        };
        let (rest, options) = match rest.split_once('?') {
            Some((rest, options)) => (rest, parse_options(options)?),
            None => (rest, Vec::new()),
        };
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        let place = match place.split_once('/') {
            None => place,
            Some((place, "")) => place,
            Some((_, path)) => {
                return Err(EndpointError::PathNotExpected {
                    path: path.to_owned(),
                });
            }
        };
        let (user_name, password) = match credentials {
            None => (None, None),
            Some(credentials) => match credentials.split_once(':') {
                Some((user_name, password)) => (
                    Some(decode_text(user_name)?),
                    Some(percent_decode(password)?),
                ),
                None => (Some(decode_text(credentials)?), None),
            },
        };
        Ok(Self {
            endpoint: parse_host_port(place)?,
            user_name,
            password,
            options,
        })
    }
}

/// Else the colon belongs to a password that has the rest of it.
fn is_scheme(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.bytes().all(is_allowed)
}

fn check_scheme(scheme: &str) -> Result<(), EndpointError> {
    match scheme {
        "mqtt" | "tcp" => Ok(()),
        "mqtts" | "ssl" | "tls" | "ws" | "wss" => Err(EndpointError::NotInThisBuild {
            scheme: scheme.to_owned(),
        }),
        _ => Err(EndpointError::UnknownScheme {
            scheme: scheme.to_owned(),
        }),
    }
}

fn parse_host_port(place: &str) -> Result<Endpoint, EndpointError> {
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let Some((host, port)) = rest.split_once(']') else {
            return Err(EndpointError::BadIpv6 {
                host: place.to_owned(),
            });
        };
        let address = host
            .split_once('%')
            .map_or(host, |(address, _zone)| address);
        if address.parse::<Ipv6Addr>().is_err() {
            return Err(EndpointError::BadIpv6 {
                host: host.to_owned(),
            });
        }
        let port = match port.strip_prefix(':') {
            Some(port) => Some(port),
            None if port.is_empty() => None,
            None => {
                return Err(EndpointError::BadPort {
                    port: port.to_owned(),
                });
            }
        };
        (host, port)
    } else {
        match place.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(EndpointError::Ipv6WithoutBrackets {
                    host: place.to_owned(),
                });
            }
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        }
    };
    if host.is_empty() {
        return Err(EndpointError::NoHost);
    }
    if let Some(character) = host.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(EndpointError::BadHost { character });
    }
    let port = match port {
        None => DEFAULT_PORT,
        // `u16::from_str` also takes a leading plus sign.
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            port.parse().map_err(|_| EndpointError::BadPort {
                port: port.to_owned(),
            })?
        }
        Some(port) => {
            return Err(EndpointError::BadPort {
                port: port.to_owned(),
            });
        }
    };
    Ok(Endpoint::tcp(host, port))
}

fn parse_options(options: &str) -> Result<Vec<(String, String)>, EndpointError> {
    options
        .split('&')
        .filter(|option| !option.is_empty())
        .map(|option| {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            Ok((decode_text(name)?, decode_text(value)?))
        })
        .collect()
}

fn decode_text(text: &str) -> Result<String, EndpointError> {
    String::from_utf8(percent_decode(text)?).map_err(|_| EndpointError::BadPercent)
}

fn percent_decode(text: &str) -> Result<Vec<u8>, EndpointError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
            let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                return Err(EndpointError::BadPercent);
            };
            (high * 16 + low) as u8
        } else {
            byte
        });
    }
    Ok(decoded)
}

/// Why a text is no [`Endpoint`] or [`Url`]. The messages hold no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// A scheme that is not MQTT's.
    #[error("unknown scheme '{scheme}://': expected mqtt://host:port, host:port or unix:/path")]
    UnknownScheme {
        /// What stood before `://`.
        scheme: String,
    },
    /// A transport that was not compiled in.
    #[error("'{scheme}://' is not in this build: it has mqtt:// and unix:")]
    NotInThisBuild {
        /// What stood before `://`.
        scheme: String,
    },
    /// Nothing before the port.
    #[error("the host is missing: expected host:port")]
    NoHost,
    /// A character that no host name has.
    #[error("the host contains {character:?}")]
    BadHost {
        /// The character.
        character: char,
    },
    /// Not a number from 0 to 65535.
    #[error("the port '{port}' is not a number from 0 to 65535")]
    BadPort {
        /// What stood there.
        port: String,
    },
    /// What stands in brackets is no IPv6 address.
    #[error("'{host}' is not an IPv6 address in brackets, as in [::1]:1883")]
    BadIpv6 {
        /// What stood there.
        host: String,
    },
    /// Several colons outside brackets.
    #[error(
        "'{host}' has more than one colon: an IPv6 address stands in brackets, as in [::1]:1883"
    )]
    Ipv6WithoutBrackets {
        /// What stood there.
        host: String,
    },
    /// `unix:` alone.
    #[error("the path of the unix socket is missing: expected unix:/path")]
    NoPath,
    /// A path after the port.
    #[error("'/{path}' after the port: mqtt:// has no path")]
    PathNotExpected {
        /// What followed the slash.
        path: String,
    },
    /// A percent sign without two hexadecimal digits, or bytes that are no UTF-8 where text is needed.
    #[error("a percent escape is not two hexadecimal digits of valid UTF-8")]
    BadPercent,
    /// User and password where only a place is meant.
    #[error("a user name or password does not belong here")]
    CredentialsNotExpected,
    /// `?name=value` where only a place is meant.
    #[error("the option '{name}' does not belong here")]
    OptionNotExpected {
        /// Its name.
        name: String,
    },
}

impl EndpointError {
    /// The same error without what was cut out before the last `@`: part of a password that somebody has not escaped.
    fn without_credentials(mut self, text: &str) -> Self {
        let Some((_, behind)) = text.rsplit_once('@') else {
            return self;
        };
        match &mut self {
            Self::UnknownScheme { scheme: shown }
            | Self::NotInThisBuild { scheme: shown }
            | Self::BadPort { port: shown }
            | Self::BadIpv6 { host: shown }
            | Self::Ipv6WithoutBrackets { host: shown }
            | Self::PathNotExpected { path: shown }
            | Self::OptionNotExpected { name: shown } => {
                if !behind.contains(shown.as_str()) {
                    *shown = "...".to_owned();
                }
            }
            Self::NoHost
            | Self::BadHost { .. }
            | Self::NoPath
            | Self::BadPercent
            | Self::CredentialsNotExpected => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        match text.parse::<Endpoint>() {
            Ok(endpoint) => endpoint.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn every_form_of_a_place_is_understood() {
        assert_eq!(parsed("mqtt://example.org"), "mqtt://example.org:1883");
        assert_eq!(parsed("mqtt://example.org:7"), "mqtt://example.org:7");
        assert_eq!(parsed("mqtt://example.org:7/"), "mqtt://example.org:7");
        assert_eq!(parsed("127.0.0.1:0"), "mqtt://127.0.0.1:0");
        assert_eq!(parsed("localhost"), "mqtt://localhost:1883");
        assert_eq!(parsed("[::1]:1883"), "mqtt://[::1]:1883");
        assert_eq!(
            parsed("mqtt://[fe80::1%eth0]"),
            "mqtt://[fe80::1%eth0]:1883"
        );
        assert_eq!(parsed("unix:/run/a?b@c.sock"), "unix:/run/a?b@c.sock");
        assert_eq!(parsed("unix:///run/a.sock"), "unix:/run/a.sock");
        assert_eq!(parsed("unix:////run/a.sock"), "unix:////run/a.sock");
        assert_eq!(parsed("unix:relative.sock"), "unix:relative.sock");
    }

    #[test]
    fn what_is_no_place_is_refused_with_the_part_that_is_wrong() {
        assert_eq!(
            parsed("mqtts://h"),
            "error: 'mqtts://' is not in this build: it has mqtt:// and unix:"
        );
        assert_eq!(
            parsed("wss://h/mqtt"),
            "error: 'wss://' is not in this build: it has mqtt:// and unix:"
        );
        assert!(parsed("http://h").starts_with("error: unknown scheme 'http://'"));
        assert_eq!(
            parsed("h:65536"),
            "error: the port '65536' is not a number from 0 to 65535"
        );
        assert_eq!(
            parsed("h:+1"),
            "error: the port '+1' is not a number from 0 to 65535"
        );
        assert_eq!(
            parsed("h:"),
            "error: the port '' is not a number from 0 to 65535"
        );
        assert!(parsed("::1:1883").contains("in brackets"));
        assert!(parsed("[::1:1883").contains("in brackets"));
        assert!(parsed("[::1]1883").contains("the port '1883'"));
        assert_eq!(parsed(""), "error: the host is missing: expected host:port");
        assert_eq!(
            parsed(":1883"),
            "error: the host is missing: expected host:port"
        );
        assert_eq!(parsed("a b:1883"), "error: the host contains ' '");
        assert_eq!(
            parsed("mqtt://h/topic"),
            "error: '/topic' after the port: mqtt:// has no path"
        );
        assert_eq!(
            parsed("unix:"),
            "error: the path of the unix socket is missing: expected unix:/path"
        );
        assert_eq!(
            parsed("mqtt://u:p@h"),
            "error: a user name or password does not belong here"
        );
        assert_eq!(
            parsed("mqtt://h?x=1"),
            "error: the option 'x' does not belong here"
        );
    }

    #[test]
    fn credentials_and_options_are_reported_apart_and_never_shown() {
        let url: Url = "mqtt://ann%40lab:s%3Ae%00cret@h:1?client_id=a%20b&flag"
            .parse()
            .unwrap();
        assert_eq!(url.endpoint, Endpoint::tcp("h", 1));
        assert_eq!(url.user_name.as_deref(), Some("ann@lab"));
        assert_eq!(url.password.as_deref(), Some(&b"s:e\0cret"[..]));
        assert_eq!(
            url.options,
            [
                ("client_id".into(), "a b".into()),
                ("flag".into(), String::new())
            ]
        );
        assert!(!format!("{url:?}").contains("cret"));
        // Passwords that nobody has escaped: what is before the last @ is shown nowhere.
        for text in [
            "mqtt://ann:s3cr3t?x@h:1",
            "mqtt://ann:s3cr3t@",
            "ann:s3cr3t://x@h",
            "mqtt://ann:s3/cr3t?@h",
            "mqtt://[s3cr3t@h",
            "mqtt://s3cr3t:7?@h",
            "ann:1?s3cr3t@h",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(!error.contains("cr3t"), "{text}: {error}");
        }
        assert_eq!("mqtt://%4@h".parse::<Url>(), Err(EndpointError::BadPercent));
        assert_eq!(
            "mqtt://%ff@h".parse::<Url>(),
            Err(EndpointError::BadPercent)
        );
    }
}

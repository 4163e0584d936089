//! What may stand on the right of an option, and how it becomes a typed value and text again.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use toml::de::DeValue;
use whinchat_topic::TopicFilterBuf;
use whinchat_transport::Endpoint;

use super::units::{ByteSize, Seconds, parse_duration, show_duration};

/// A value as it was given: by a file, with a type, or by the environment, as text alone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given<'a> {
    /// From a file.
    Toml(&'a DeValue<'a>),
    /// From an environment variable: the option's type decides what the text means.
    Text(&'a str),
}

impl<'a> Given<'a> {
    fn as_text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Toml(DeValue::String(text)) => Some(text.as_ref()),
            Self::Toml(_) => None,
        }
    }

    fn as_integer(self) -> Option<i128> {
        match self {
            Self::Text(text) if text.starts_with('+') => None,
            Self::Text(text) => text.parse().ok(),
            Self::Toml(DeValue::Integer(integer)) => {
                i128::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            Self::Toml(_) => None,
        }
    }

    fn as_bool(self) -> Option<bool> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Toml(DeValue::Boolean(flag)) => Some(*flag),
            Self::Toml(_) => None,
        }
    }
}

/// A value as it was written, for a message; long ones are cut.
impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_CHARS: usize = 60;
        let quoted =
            |f: &mut fmt::Formatter<'_>, text: &str| match text.char_indices().nth(SHOWN_CHARS) {
                Some((cut, _)) => write!(f, "{:?}...", &text[..cut]),
                None => write!(f, "{text:?}"),
            };
        match self {
            Self::Text(text) => quoted(f, text),
            Self::Toml(DeValue::String(text)) => quoted(f, text),
            Self::Toml(DeValue::Integer(integer)) => integer.fmt(f),
            Self::Toml(DeValue::Float(float)) => float.fmt(f),
            Self::Toml(DeValue::Boolean(flag)) => flag.fmt(f),
            Self::Toml(DeValue::Datetime(time)) => time.fmt(f),
            Self::Toml(DeValue::Array(_)) => f.write_str("[...]"),
            Self::Toml(DeValue::Table(_)) => f.write_str("{...}"),
        }
    }
}

/// Why a value is refused.
pub(crate) enum Refused {
    /// It is none of what [`OptionValue::expected`] says.
    NotOfType,
    /// It is understood and still cannot be had, for this reason.
    Because(&'static str),
}

/// A type that options have.
pub(crate) trait OptionValue: Sized {
    /// Reads a value.
    fn read(given: Given<'_>) -> Result<Self, Refused>;

    /// The TOML literal that [`read`](Self::read) turns into this value again.
    fn show(&self) -> String;

    /// What is expected, with an article: `a number`.
    fn expected() -> String;

    /// The value on the scale of its option's range: bytes, milliseconds or a plain number.
    fn magnitude(&self) -> Option<u64> {
        None
    }

    /// A number on that scale, as people write it.
    fn show_magnitude(magnitude: u64) -> String {
        magnitude.to_string()
    }
}

macro_rules! integer_values {
    ($($integer:ty)+) => {$(
        impl OptionValue for $integer {
            fn read(given: Given<'_>) -> Result<Self, Refused> {
                given.as_integer().and_then(|integer| integer.try_into().ok()).ok_or(Refused::NotOfType)
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn expected() -> String {
                "a whole number".to_owned()
            }

            fn magnitude(&self) -> Option<u64> {
                Some((*self).into())
            }
        }
    )+};
}

integer_values!(u8 u16 u32);

impl OptionValue for bool {
    fn read(given: Given<'_>) -> Result<Self, Refused> {
        given.as_bool().ok_or(Refused::NotOfType)
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn expected() -> String {
        "true or false".to_owned()
    }
}

impl OptionValue for ByteSize {
    fn read(given: Given<'_>) -> Result<Self, Refused> {
        given
            .as_text()
            .and_then(Self::parse)
            .ok_or(Refused::NotOfType)
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }

    fn expected() -> String {
        "a size with its unit (B, KiB, MiB, GiB, TiB), such as \"64KiB\"".to_owned()
    }

    fn magnitude(&self) -> Option<u64> {
        Some(self.bytes())
    }

    fn show_magnitude(magnitude: u64) -> String {
        Self::new(magnitude).to_string()
    }
}

impl OptionValue for Duration {
    fn read(given: Given<'_>) -> Result<Self, Refused> {
        given
            .as_text()
            .and_then(parse_duration)
            .ok_or(Refused::NotOfType)
    }

    fn show(&self) -> String {
        format!("\"{}\"", show_duration(*self))
    }

    fn expected() -> String {
        "a time with its unit (ms, s, m, h, d), such as \"10s\"".to_owned()
    }

    fn magnitude(&self) -> Option<u64> {
        u64::try_from(self.as_millis()).ok()
    }

    fn show_magnitude(magnitude: u64) -> String {
        show_duration(Self::from_millis(magnitude))
    }
}

impl OptionValue for Seconds {
    fn read(given: Given<'_>) -> Result<Self, Refused> {
        let duration = Duration::read(given)?;
        if duration.subsec_millis() != 0 {
            return Err(Refused::Because("MQTT counts this in whole seconds"));
        }
        u32::try_from(duration.as_secs())
            .map(Self::new)
            .map_err(|_| Refused::NotOfType)
    }

    fn show(&self) -> String {
        Duration::from(*self).show()
    }

    fn expected() -> String {
        "a time with its unit (s, m, h, d), such as \"10m\"".to_owned()
    }

    fn magnitude(&self) -> Option<u64> {
        Duration::from(*self).magnitude()
    }

    fn show_magnitude(magnitude: u64) -> String {
        Duration::show_magnitude(magnitude)
    }
}

impl OptionValue for String {
    fn read(given: Given<'_>) -> Result<Self, Refused> {
        let text = given.as_text().ok_or(Refused::NotOfType)?;
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(Refused::NotOfType);
        }
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        toml::Value::String(self.clone()).to_string()
    }

    fn expected() -> String {
        "a text that is not empty and has no control characters".to_owned()
    }
}

/// A folder or file, named so that it does not depend on the working directory.
impl OptionValue for PathBuf {
    fn read(given: Given<'_>) -> Result<Self, Refused> {
        let path = Self::from(String::read(given)?);
        if path.is_absolute() {
            Ok(path)
        } else {
            Err(Refused::NotOfType)
        }
    }

    fn show(&self) -> String {
        self.display().to_string().show()
    }

    fn expected() -> String {
        "an absolute path".to_owned()
    }
}

/// Topic filters, none of them shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(Vec<TopicFilterBuf>);

impl Filters {
    /// The filters in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &TopicFilterBuf> {
        self.0.iter()
    }
}

impl FromIterator<TopicFilterBuf> for Filters {
    fn from_iter<I: IntoIterator<Item = TopicFilterBuf>>(filters: I) -> Self {
        Self(filters.into_iter().collect())
    }
}

/// In an environment variable there are commas between them; one that has a comma itself needs a file.
impl OptionValue for Filters {
    fn read(given: Given<'_>) -> Result<Self, Refused> {
        let filter = |text: &str| match TopicFilterBuf::new(text) {
            Ok(filter) if !text.starts_with("$share/") => Ok(filter),
            Ok(_) | Err(_) => Err(Refused::NotOfType),
        };
        match given {
            Given::Text("") => Ok(Self::default()),
            Given::Text(text) => text.split(',').map(filter).collect(),
            Given::Toml(DeValue::Array(array)) => array
                .iter()
                .map(|element| {
                    let DeValue::String(text) = element.get_ref() else {
                        return Err(Refused::NotOfType);
                    };
                    filter(text)
                })
                .collect(),
            Given::Toml(_) => Err(Refused::NotOfType),
        }
    }

    fn show(&self) -> String {
        let texts = self.0.iter().map(|filter| filter.as_str().into());
        toml::Value::Array(texts.collect()).to_string()
    }

    fn expected() -> String {
        "a list of topic filters that are not shared, such as [\"a/#\", \"b/+/c\"]".to_owned()
    }
}

/// An address and port that only this machine can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoopbackAddr(SocketAddr);

impl LoopbackAddr {
    /// This address, if it is a loopback one. Port 0 lets the system choose.
    #[must_use]
    pub fn new(address: SocketAddr) -> Option<Self> {
        address.ip().is_loopback().then_some(Self(address))
    }

    /// 127.0.0.1 with this port.
    #[must_use]
    pub const fn v4(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }

    /// The address and port.
    #[must_use]
    pub const fn get(self) -> SocketAddr {
        self.0
    }
}

impl OptionValue for LoopbackAddr {
    fn read(given: Given<'_>) -> Result<Self, Refused> {
        let address = given
            .as_text()
            .and_then(|text| text.parse().ok())
            .ok_or(Refused::NotOfType)?;
        Self::new(address).ok_or(Refused::Because(
            "other machines could reach it, and nobody logs in there: use 127.0.0.1 or [::1]",
        ))
    }

    fn show(&self) -> String {
        format!("\"{}\"", self.0)
    }

    fn expected() -> String {
        "a loopback address with a port, such as \"127.0.0.1:9883\"".to_owned()
    }
}

impl OptionValue for Endpoint {
    fn read(given: Given<'_>) -> Result<Self, Refused> {
        given
            .as_text()
            .and_then(|text| text.parse().ok())
            .ok_or(Refused::NotOfType)
    }

    fn show(&self) -> String {
        toml::Value::String(self.to_string()).to_string()
    }

    fn expected() -> String {
        "mqtt://HOST:PORT, ADDRESS:PORT or unix:PATH".to_owned()
    }
}

/// An option that may be left without a value: written `"none"`.
impl<T: OptionValue> OptionValue for Option<T> {
    fn read(given: Given<'_>) -> Result<Self, Refused> {
        if given.as_text() == Some("none") {
            return Ok(None);
        }
        T::read(given).map(Some)
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "\"none\"".to_owned(), T::show)
    }

    fn expected() -> String {
        format!("\"none\" or {}", T::expected())
    }

    fn magnitude(&self) -> Option<u64> {
        self.as_ref().and_then(T::magnitude)
    }

    fn show_magnitude(magnitude: u64) -> String {
        T::show_magnitude(magnitude)
    }
}

/// A value that depends on the machine unless it is set: written `"auto"`, or the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auto<T> {
    /// What the documentation of the option says, found out when the broker starts.
    #[default]
    Auto,
    /// This value.
    Set(T),
}

impl<T: Copy> Auto<T> {
    /// The value that was set, or else this one.
    pub fn or_else(self, automatic: impl FnOnce() -> T) -> T {
        match self {
            Self::Auto => automatic(),
            Self::Set(value) => value,
        }
    }
}

impl<T: OptionValue> OptionValue for Auto<T> {
    fn read(given: Given<'_>) -> Result<Self, Refused> {
        if given.as_text() == Some("auto") {
            return Ok(Self::Auto);
        }
        T::read(given).map(Self::Set)
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "\"auto\"".to_owned(),
            Self::Set(value) => value.show(),
        }
    }

    fn expected() -> String {
        format!("\"auto\" or {}", T::expected())
    }

    fn magnitude(&self) -> Option<u64> {
        match self {
            Self::Auto => None,
            Self::Set(value) => value.magnitude(),
        }
    }

    fn show_magnitude(magnitude: u64) -> String {
        T::show_magnitude(magnitude)
    }
}

/// Declares an enum whose variants are words in the configuration.
///
/// A word after `refused` is understood and refused, with the reason.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+
        }
        $(refused { $($refused:literal: $reason:literal,)+ })?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// As the configuration writes it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl $crate::config::value::OptionValue for $name {
            fn read(given: $crate::config::value::Given<'_>) -> Result<Self, $crate::config::value::Refused> {
                match given.word() {
                    $(Some($word) => Ok(Self::$variant),)+
                    $($(Some($refused) => Err($crate::config::value::Refused::Because($reason)),)+)?
                    Some(_) | None => Err($crate::config::value::Refused::NotOfType),
                }
            }

            fn show(&self) -> String {
                format!("\"{}\"", self.word())
            }

            fn expected() -> String {
                [$(concat!("\"", $word, "\"")),+].join(" or ")
            }
        }
    };
}

pub(crate) use words;

impl<'a> Given<'a> {
    /// The text, for [`words!`].
    pub(crate) fn word(self) -> Option<&'a str> {
        self.as_text()
    }
}

//! What a word may stand for: one value, one of several, or any.

use std::ops::RangeInclusive;

use whinchat_codec::{DataType, PacketId, Property};

use super::{NotationError, words};

/// A value, or what a value has to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `*`.
    Any,
    /// `7` or `5..7`.
    Number(RangeInclusive<u32>),
    /// Text or binary data.
    Text(Vec<u8>),
    /// A topic name.
    Topic(Topic),
    /// A user property; a value of `*` is any.
    Pair(Vec<u8>, Option<Vec<u8>>),
}

impl Value {
    pub(super) fn of_property(property: Property, word: &str) -> Result<Self, NotationError> {
        if word == "*" {
            return Ok(Self::Any);
        }
        match property.data_type() {
            DataType::Byte => Self::number(word, u32::from(u8::MAX)),
            DataType::TwoByteInteger => Self::number(word, u32::from(u16::MAX)),
            DataType::FourByteInteger => Self::number(word, u32::MAX),
            DataType::VariableByteInteger => Self::number(word, 268_435_455),
            DataType::Utf8String if property == Property::ResponseTopic => {
                Ok(Self::Topic(Topic::parse(word)?))
            }
            DataType::Utf8String | DataType::BinaryData => Ok(Self::Text(words::text(word)?)),
            DataType::Utf8StringPair => {
                let Some(&colon) = words::find_unquoted(word, ':').first() else {
                    return Err(NotationError::new(
                        word,
                        "has no `:` between name and value",
                    ));
                };
                let value = match &word[colon + 1..] {
                    "*" => None,
                    value => Some(words::text(value)?),
                };
                Ok(Self::Pair(words::text(&word[..colon])?, value))
            }
        }
    }

    pub(super) fn number(word: &str, max: u32) -> Result<Self, NotationError> {
        if word == "*" {
            return Ok(Self::Any);
        }
        let parse = |number: &str| match number.parse::<u32>() {
            Ok(number) if number <= max => Ok(number),
            _ => Err(NotationError::new(
                word,
                format!("is no number up to {max}"),
            )),
        };
        Ok(Self::Number(match word.split_once("..") {
            Some((from, to)) => parse(from)?..=parse(to)?,
            None => parse(word)?..=parse(word)?,
        }))
    }

    pub(super) fn text(word: &str) -> Result<Self, NotationError> {
        match word {
            "*" => Ok(Self::Any),
            text => words::text(text).map(Self::Text),
        }
    }
}

/// A topic name or filter as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) text: Vec<u8>,
    /// Whether it stands behind `^`: no prefix is put in front of it.
    pub(super) is_verbatim: bool,
}

impl Topic {
    pub(super) fn parse(word: &str) -> Result<Self, NotationError> {
        let (word, is_verbatim) = match word.strip_prefix('^') {
            Some(rest) => (rest, true),
            None => (word, false),
        };
        Ok(Self {
            text: if word == "-" {
                Vec::new()
            } else {
                words::text(word)?
            },
            is_verbatim,
        })
    }
}

/// A packet id as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    /// `id7`: we chose it. 0 is none and can be sent nevertheless.
    Number(u16),
    /// `id:m`: the other side chose it.
    Named(String),
    /// `id*`.
    Any,
}

impl Id {
    /// Reads `id7`, `id:m` and `id*`; `None` for any other word.
    pub(super) fn parse(word: &str) -> Option<Self> {
        let rest = word.strip_prefix("id")?;
        if rest == "*" {
            return Some(Self::Any);
        }
        match rest.strip_prefix(':') {
            Some(name) => (!name.is_empty()).then(|| Self::Named(name.to_owned())),
            None if rest.bytes().all(|byte| byte.is_ascii_digit()) => {
                rest.parse().ok().map(Self::Number)
            }
            None => None,
        }
    }

    pub(super) fn is(&self, id: PacketId) -> bool {
        match self {
            Self::Number(number) => *number == id.get(),
            Self::Named(_) | Self::Any => true,
        }
    }
}

impl core::fmt::Display for Id {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "id{number}"),
            Self::Named(name) => write!(f, "id:{name}"),
            Self::Any => f.write_str("id*"),
        }
    }
}

/// A reason code that may be one of several: `81/82`; `None` is `*`, any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Codes(Option<Vec<u8>>);

impl Codes {
    pub(crate) fn one(code: u8) -> Self {
        Self(Some(vec![code]))
    }

    pub(crate) fn parse(word: &str) -> Result<Self, NotationError> {
        if word == "*" {
            return Ok(Self(None));
        }
        let code = |code: &str| match u8::from_str_radix(code, 16) {
            Ok(number) if code.len() == 2 => Ok(number),
            _ => Err(NotationError::new(
                word,
                "is no code of two hexadecimal digits",
            )),
        };
        word.split('/')
            .map(code)
            .collect::<Result<_, _>>()
            .map(|codes| Self(Some(codes)))
    }

    /// The first one, which is the one to send and the one that a strict reading asks for.
    pub(crate) fn first(&self) -> Option<u8> {
        self.0.as_ref()?.first().copied()
    }

    /// Whether at least one of them `is_known`.
    pub(crate) fn have_known(&self, is_known: impl Fn(u8) -> bool) -> bool {
        self.0
            .as_ref()
            .is_some_and(|codes| codes.iter().any(|code| is_known(*code)))
    }

    /// Whether `code` is one of them. A strict reading asks for the first that `is_known`, as the
    /// versions do not have the same codes.
    pub(crate) fn have(&self, code: u8, strict: bool, is_known: impl Fn(u8) -> bool) -> bool {
        match &self.0 {
            None => true,
            Some(codes) if strict => codes.iter().find(|one| is_known(**one)) == Some(&code),
            Some(codes) => codes.contains(&code),
        }
    }
}

impl core::fmt::Display for Codes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.0 {
            None => f.write_str("*"),
            Some(codes) => {
                let codes: Vec<String> = codes.iter().map(|code| format!("{code:02x}")).collect();
                f.write_str(&codes.join("/"))
            }
        }
    }
}

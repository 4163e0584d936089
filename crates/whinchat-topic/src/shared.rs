//! Owns the `$share/{ShareName}/{filter}` form: [`SharedFilter`], and [`Subscribed`], which tells it
//! from a plain filter.
//!
//! Read first: MQTT 5.0 section 4.8.2.

use alloc::boxed::Box;
use core::fmt;
use core::str::FromStr;

use crate::error::{TopicError, TopicErrorKind, TopicPart};
use crate::filter::{TopicFilter, TopicFilterBuf};
use crate::levels;

const PREFIX: &str = "$share";

/// A filter that a group of subscribers shares: each matching message goes to one of them.
///
/// `$share/{ShareName}/{filter}` in SUBSCRIBE and UNSUBSCRIBE. The group is named by both parts:
/// the same ShareName with another filter is another group (MQTT 5.0 section 4.8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SharedFilter<'a> {
    group: &'a str,
    filter: &'a TopicFilter,
}

impl<'a> SharedFilter<'a> {
    /// Puts a ShareName and a filter together.
    ///
    /// # Errors
    ///
    /// [`TopicError`] when the ShareName is empty, too long, or has `/`, `+`, `#` or U+0000 in it.
    /// The peer sees 0x8F.
    pub fn new(group: &'a str, filter: &'a TopicFilter) -> Result<Self, TopicError> {
        levels::check(group, TopicPart::ShareName)?; // v5 [MQTT-4.8.2-1]
        let forbidden = group
            .bytes()
            .position(|byte| matches!(byte, b'/' | b'+' | b'#'));
        if let Some(at) = forbidden {
            // v5 [MQTT-4.8.2-1] [MQTT-4.8.2-2]
            let separator = group.as_bytes().get(at) == Some(&b'/');
            let kind = if separator {
                TopicErrorKind::Separator { at }
            } else {
                TopicErrorKind::Wildcard { at }
            };
            return Err(TopicError::new(TopicPart::ShareName, kind));
        }
        Ok(Self { group, filter })
    }

    /// The ShareName: the name of the group.
    #[must_use]
    pub const fn group(&self) -> &'a str {
        self.group
    }

    /// The filter behind it.
    #[must_use]
    pub const fn filter(&self) -> &'a TopicFilter {
        self.filter
    }

    /// Copies both parts.
    #[must_use]
    pub fn to_owned(&self) -> SharedFilterBuf {
        SharedFilterBuf {
            group: self.group.into(),
            filter: self.filter.into(),
        }
    }
}

/// The form that SUBSCRIBE carries.
impl fmt::Display for SharedFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}/{}/{}", self.group, self.filter)
    }
}

/// An owned [`SharedFilter`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SharedFilterBuf {
    group: Box<str>,
    filter: TopicFilterBuf,
}

impl SharedFilterBuf {
    /// Lends both parts.
    #[must_use]
    pub fn as_shared_filter(&self) -> SharedFilter<'_> {
        SharedFilter {
            group: &self.group,
            filter: &self.filter,
        }
    }
}

/// Reads `$share/{ShareName}/{filter}`.
impl FromStr for SharedFilterBuf {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        match Subscribed::parse(text)? {
            Subscribed::Shared(shared) => Ok(shared.to_owned()),
            Subscribed::Plain(_) => Err(TopicError::new(
                TopicPart::Filter,
                TopicErrorKind::NotShared,
            )),
        }
    }
}

impl fmt::Display for SharedFilterBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_shared_filter().fmt(f)
    }
}

/// What stands in SUBSCRIBE or UNSUBSCRIBE: a plain filter or a shared one.
///
/// The two are separate subscriptions even if their filters are the same.
///
/// ```
/// use whinchat_topic::Subscribed;
///
/// let Subscribed::Shared(shared) = Subscribed::parse("$share/workers/jobs/#")? else { panic!() };
/// assert_eq!(shared.group(), "workers");
/// assert_eq!(shared.filter().as_str(), "jobs/#");
/// assert!(matches!(Subscribed::parse("jobs/#")?, Subscribed::Plain(_)));
/// assert_eq!(Subscribed::parse("$share/workers").unwrap_err().reason_code(), 0x8F);
/// # Ok::<(), whinchat_topic::TopicError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subscribed<'a> {
    /// Each subscriber gets each matching message.
    Plain(&'a TopicFilter),
    /// One member of the group gets each matching message.
    Shared(SharedFilter<'a>),
}

impl<'a> Subscribed<'a> {
    /// Reads a filter as it stands in SUBSCRIBE. Nothing is copied.
    ///
    /// A text is a shared filter when its first level is `$share`. 3.1 and 3.1.1 know no shared
    /// subscriptions: who does not want to give them to such clients calls [`TopicFilter::new`].
    ///
    /// # Errors
    ///
    /// [`TopicError`] as from [`TopicFilter::new`] and [`SharedFilter::new`]; a shared filter
    /// without a ShareName or without a filter is an error too. The peer sees 0x8F.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        let Some(rest) = text
            .strip_prefix(PREFIX)
            .filter(|rest| matches!(rest.as_bytes(), [] | [b'/', ..]))
        else {
            return TopicFilter::new(text).map(Self::Plain);
        };
        levels::check(text, TopicPart::Filter)?;
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let Some((group, filter)) = rest.split_once('/') else {
            // v5 [MQTT-4.8.2-1] and [MQTT-4.8.2-2]
            let kind = if rest.is_empty() {
                TopicErrorKind::Empty
            } else {
                TopicErrorKind::NoFilter
            };
            return Err(TopicError::new(TopicPart::ShareName, kind));
        };
        SharedFilter::new(group, TopicFilter::new(filter)?).map(Self::Shared)
    }

    /// The filter that decides what matches.
    #[must_use]
    pub const fn filter(&self) -> &'a TopicFilter {
        match self {
            Self::Plain(filter) | Self::Shared(SharedFilter { filter, .. }) => filter,
        }
    }
}

impl fmt::Display for Subscribed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(filter) => filter.fmt(f),
            Self::Shared(shared) => shared.fmt(f),
        }
    }
}

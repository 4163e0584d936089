//! Owns [`TopicFilter`] and [`TopicFilterBuf`]: what a client subscribes with. The `$share` form is
//! in `shared.rs`, what a filter matches in `matches.rs`.
//!
//! Read first: MQTT 5.0 section 4.7.1, MQTT 3.1.1 section 4.7.1.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::ops::Deref;
use core::str::{FromStr, Split};

use ref_cast::{RefCastCustom, ref_cast_custom};

use crate::error::{TopicError, TopicErrorKind, TopicPart};
use crate::levels;
use crate::matches;
use crate::name::TopicName;

/// A valid topic filter: 1 to 65,535 bytes, no U+0000, `+` and `#` only as whole levels and `#`
/// only as the last.
///
/// It is to [`TopicFilterBuf`] what `str` is to `String`. A text such as `$share/g/t` is a valid
/// filter too; [`Subscribed::parse`](crate::Subscribed::parse) reads it as a shared one.
///
/// ```
/// use whinchat_topic::{TopicFilter, TopicName};
///
/// let filter = TopicFilter::new("sensors/+/lab1")?;
/// assert!(filter.matches(TopicName::new("sensors/temperature/lab1")?));
/// assert!(!filter.matches(TopicName::new("sensors/temperature/lab2")?));
/// # Ok::<(), whinchat_topic::TopicError>(())
/// ```
#[derive(PartialEq, Eq, Hash, RefCastCustom)]
#[repr(transparent)]
pub struct TopicFilter(str);

impl TopicFilter {
    /// Checks `text` and lends it as a filter; nothing is copied. MQTT 5.0 sections 4.7.1 and 4.7.3.
    ///
    /// # Errors
    ///
    /// [`TopicError`] when the text is empty, too long, has U+0000 in it or a misplaced wildcard.
    /// The peer sees 0x8F (Topic Filter invalid).
    pub fn new(text: &str) -> Result<&Self, TopicError> {
        levels::check(text, TopicPart::Filter)?;
        let error = |kind| Err(TopicError::new(TopicPart::Filter, kind));
        if let Some(first) = levels::wildcard_at(text) {
            // Back to the start of the level that the first wildcard stands in.
            let mut start = text[..first].rfind('/').map_or(0, |slash| slash + 1);
            for level in text[start..].split('/') {
                match levels::wildcard_at(level) {
                    // v5 [MQTT-4.7.1-1] [MQTT-4.7.1-2], v311 [MQTT-4.7.1-2] [MQTT-4.7.1-3]
                    Some(at) if level.len() > 1 => {
                        return error(TopicErrorKind::WildcardNotAlone { at: start + at });
                    }
                    // v5 [MQTT-4.7.1-1], v311 [MQTT-4.7.1-2]
                    Some(_) if level == "#" && start + 1 < text.len() => {
                        return error(TopicErrorKind::MultiLevelNotLast { at: start });
                    }
                    Some(_) | None => start += level.len() + 1,
                }
            }
        }
        Ok(Self::cast(text))
    }

    #[ref_cast_custom]
    pub(crate) const fn cast(text: &str) -> &Self;

    /// The filter as text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// The levels, first to last; a level may be empty. [`check_levels`](Self::check_levels) is the
    /// quick way to hold them under a limit.
    pub fn levels(&self) -> Split<'_, char> {
        self.0.split('/')
    }

    /// Holds the number of levels under a limit of the caller's.
    ///
    /// # Errors
    ///
    /// [`TopicErrorKind::TooManyLevels`] when there are more than `max`. The peer sees 0x8F.
    pub fn check_levels(&self, max: usize) -> Result<(), TopicError> {
        levels::check_count(&self.0, max, TopicPart::Filter)
    }

    /// Whether there is a wildcard in it; without one the filter matches one name alone.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        levels::wildcard_at(&self.0).is_some()
    }

    /// Whether its first level is a wildcard: such a filter matches no name that begins with `$`
    /// (MQTT 5.0 section 4.7.2).
    #[must_use]
    pub fn starts_with_wildcard(&self) -> bool {
        self.0.starts_with(['+', '#'])
    }

    /// Whether the filter matches the name, by the plain definition: level by level, in time linear
    /// in their lengths. For many filters at once there is [`FilterIndex`](crate::FilterIndex).
    #[must_use]
    pub fn matches(&self, name: &TopicName) -> bool {
        matches::matches(self, name)
    }
}

/// An owned [`TopicFilter`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TopicFilterBuf(Box<str>);

/// Each name is also the filter that matches it alone.
impl<'a> From<&'a TopicName> for &'a TopicFilter {
    fn from(name: &'a TopicName) -> Self {
        TopicFilter::cast(name.as_str())
    }
}

impl Ord for TopicFilter {
    fn cmp(&self, other: &Self) -> Ordering {
        levels::order(&self.0, &other.0)
    }
}

super::text::text_impls!(TopicFilter, TopicFilterBuf);

//! Owns [`TopicName`] and [`TopicNameBuf`]: what a message is published to.
//!
//! Read first: MQTT 5.0 section 4.7, MQTT 3.1.1 section 4.7.

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

/// A valid topic name: 1 to 65,535 bytes, no U+0000, no wildcard character.
///
/// It is to [`TopicNameBuf`] what `str` is to `String`. Two names are equal when their bytes are:
/// nothing is normalised or folded. They are ordered level by level, so that a name stands
/// directly before the names below it.
///
/// ```
/// use whinchat_topic::TopicName;
///
/// let name = TopicName::new("bank/account/BA-1001-2025/deposit")?;
/// assert_eq!(name.levels().count(), 4);
/// assert!(TopicName::new("bank/+").is_err());
/// # Ok::<(), whinchat_topic::TopicError>(())
/// ```
#[derive(PartialEq, Eq, Hash, RefCastCustom)]
#[repr(transparent)]
pub struct TopicName(str);

impl TopicName {
    /// Checks `text` and lends it as a name; nothing is copied. MQTT 5.0 section 4.7.3.
    ///
    /// # Errors
    ///
    /// [`TopicError`] when the text is empty, too long, or has a wildcard or U+0000 in it. The peer
    /// sees 0x90 (Topic Name invalid).
    pub fn new(text: &str) -> Result<&Self, TopicError> {
        levels::check(text, TopicPart::Name)?;
        if let Some(at) = levels::wildcard_at(text) {
            // v5 [MQTT-4.7.0-1], v311 [MQTT-4.7.1-1]
            return Err(TopicError::new(
                TopicPart::Name,
                TopicErrorKind::Wildcard { at },
            ));
        }
        Ok(Self::cast(text))
    }

    /// Lends a text that was checked before, for instance by the decoder of a PUBLISH.
    ///
    /// The promise is about meaning, not about memory: a text that is no valid name is matched byte
    /// by byte like any other, `+` and `#` as ordinary characters.
    #[must_use]
    pub const fn from_validated(text: &str) -> &Self {
        Self::cast(text)
    }

    #[ref_cast_custom]
    const fn cast(text: &str) -> &Self;

    /// The name as text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// The levels, first to last; a level may be empty. `.count()` gives how many there are, but
    /// [`check_levels`](Self::check_levels) is the quick way to hold them under a limit.
    pub fn levels(&self) -> Split<'_, char> {
        self.0.split('/')
    }

    /// Holds the number of levels under a limit of the caller's.
    ///
    /// # Errors
    ///
    /// [`TopicErrorKind::TooManyLevels`] when there are more than `max`. The peer sees 0x90.
    pub fn check_levels(&self, max: usize) -> Result<(), TopicError> {
        levels::check_count(&self.0, max, TopicPart::Name)
    }

    /// Whether the name begins with `$`: such names are the server's own, and no filter that begins
    /// with a wildcard matches them (MQTT 5.0 section 4.7.2).
    #[must_use]
    pub fn starts_with_dollar(&self) -> bool {
        self.0.starts_with('$')
    }
}

/// An owned [`TopicName`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TopicNameBuf(Box<str>);

impl Ord for TopicName {
    fn cmp(&self, other: &Self) -> Ordering {
        levels::order(&self.0, &other.0)
    }
}

super::text::text_impls!(TopicName, TopicNameBuf);

//! Owns [`TopicError`]: what is wrong with a topic name, a topic filter or a ShareName, where, and
//! which reason code says so to the peer.

use core::fmt;

/// The longest name or filter in bytes: a UTF-8 string on the wire has a two-byte length.
pub const TOPIC_BYTES_MAX: usize = 65_535;

/// Which of the three kinds of text was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TopicPart {
    /// A topic name: what a message is published to.
    Name,
    /// A topic filter: what a client subscribes with.
    Filter,
    /// The ShareName of a shared subscription: what stands between `$share/` and the filter.
    ShareName,
}

/// What was wrong. Positions are byte offsets into the text that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TopicErrorKind {
    /// There is no text: at least one character is needed.
    Empty,
    /// The text has more than [`TOPIC_BYTES_MAX`] bytes.
    TooLong {
        /// The length in bytes.
        len: usize,
    },
    /// The text has more levels than the caller allows.
    TooManyLevels {
        /// The number of levels: one more than there are `/`.
        levels: usize,
        /// The most that the caller allows.
        max: usize,
    },
    /// U+0000 is not allowed anywhere in a topic.
    Null {
        /// Where it stands.
        at: usize,
    },
    /// `+` or `#` stands where no wildcard is allowed at all: in a name or a ShareName.
    Wildcard {
        /// Where it stands.
        at: usize,
    },
    /// `+` or `#` shares its level with other characters.
    WildcardNotAlone {
        /// Where it stands.
        at: usize,
    },
    /// `#` is not the last level.
    MultiLevelNotLast {
        /// Where it stands.
        at: usize,
    },
    /// `/` stands in a ShareName.
    Separator {
        /// Where it stands.
        at: usize,
    },
    /// `$share/{ShareName}` has no `/` after the ShareName, so that there is no filter.
    NoFilter,
    /// A shared filter was asked for, and the text does not begin with `$share/`.
    NotShared,
}

/// Why a text is no topic name, topic filter or shared filter.
///
/// The text itself is not kept: it came from a peer and the caller still has it.
///
/// ```
/// use whinchat_topic::TopicFilter;
///
/// let error = TopicFilter::new("a/b#").unwrap_err();
/// assert_eq!(error.reason_code(), 0x8F);
/// assert_eq!(error.to_string(), "topic filter: wildcard at byte 3 does not fill its level");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TopicError {
    part: TopicPart,
    kind: TopicErrorKind,
}

impl TopicError {
    pub(crate) const fn new(part: TopicPart, kind: TopicErrorKind) -> Self {
        Self { part, kind }
    }

    /// Which part of the text is wrong.
    #[must_use]
    pub const fn part(&self) -> TopicPart {
        self.part
    }

    /// What is wrong with it, and where.
    #[must_use]
    pub const fn kind(&self) -> TopicErrorKind {
        self.kind
    }

    /// The reason code a server answers with: 0x90 (Topic Name invalid) for a name, 0x8F (Topic
    /// Filter invalid) for a filter or a ShareName.
    #[must_use]
    pub const fn reason_code(&self) -> u8 {
        match self.part {
            TopicPart::Name => 0x90,
            TopicPart::Filter | TopicPart::ShareName => 0x8F,
        }
    }
}

impl fmt::Display for TopicPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "topic name",
            Self::Filter => "topic filter",
            Self::ShareName => "share name",
        })
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.part)?;
        match self.kind {
            TopicErrorKind::Empty => f.write_str("needs at least one character"),
            TopicErrorKind::TooLong { len } => {
                write!(f, "{len} bytes are more than {TOPIC_BYTES_MAX}")
            }
            TopicErrorKind::TooManyLevels { levels, max } => {
                write!(f, "{levels} levels are more than {max}")
            }
            TopicErrorKind::Null { at } => write!(f, "U+0000 at byte {at}"),
            TopicErrorKind::Wildcard { at } => write!(f, "wildcard at byte {at}"),
            TopicErrorKind::WildcardNotAlone { at } => {
                write!(f, "wildcard at byte {at} does not fill its level")
            }
            TopicErrorKind::MultiLevelNotLast { at } => {
                write!(f, "# at byte {at} is not the last level")
            }
            TopicErrorKind::Separator { at } => write!(f, "/ at byte {at}"),
            TopicErrorKind::NoFilter => f.write_str("no filter follows it"),
            TopicErrorKind::NotShared => f.write_str("does not begin with $share/"),
        }
    }
}

impl core::error::Error for TopicError {}

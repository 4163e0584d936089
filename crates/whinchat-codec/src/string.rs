//! UTF-8 strings as MQTT has them: at most 65,535 bytes and without U+0000.
//!
//! Owns the checks on the bytes of a string and [`Utf8String`], the owned form; leaves to
//! `whinchat-topic` what a topic filter may look like. Read first: MQTT 5.0 section 1.5.4.

use alloc::string::String;
use core::{fmt, hash, ops::Deref};

use bytes::Bytes;

use crate::EncodeError;
use crate::error::EncodeErrorKind;

/// Bytes of the longest string or binary field.
pub(crate) const BYTES_MAX: usize = u16::MAX as usize;

/// What a topic name holds that it must not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forbidden {
    Nul,
    Wildcard,
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Looks at eight bytes at a time: most strings are too short for a longer step.
#[inline]
pub(crate) fn contains_nul(bytes: &[u8]) -> bool {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut found = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        found |= word.wrapping_sub(LOW_BITS) & !word;
    }
    tail.iter()
        .fold(found & HIGH_BITS != 0, |found, byte| found | (*byte == 0))
}

/// Whether the bytes are ASCII without U+0000: the common case, told in one pass. `false` says
/// nothing.
#[inline]
pub(crate) fn is_plain_ascii(bytes: &[u8]) -> bool {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut found = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        found |= word.wrapping_sub(LOW_BITS) | word;
    }
    let plain_tail = |plain, byte: &u8| plain & matches!(*byte, 1..=0x7F);
    tail.iter().fold(found & HIGH_BITS == 0, plain_tail)
}

/// `#` becomes `+` and no other byte does: the two differ in this bit alone.
const WILDCARD_BIT: u8 = b'+' ^ b'#';

/// Finds U+0000, `+` or `#` in one pass without a branch per byte: blocks of 16, the last of
/// which may overlap the one before it, compile to vector comparisons.
#[inline]
pub(crate) fn forbidden_in_topic_name(bytes: &[u8]) -> Option<Forbidden> {
    let is_forbidden = |byte: u8| byte == 0 || byte | WILDCARD_BIT == b'+';
    let any_in = |block: &[u8]| {
        block
            .iter()
            .fold(0, |found, byte| found | u8::from(is_forbidden(*byte)))
    };
    let found = if let Some(last) = bytes.last_chunk::<16>() {
        let (blocks, _) = bytes.as_chunks::<16>();
        blocks
            .iter()
            .fold(any_in(last), |found, block| found | any_in(block))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        any_in(first) | any_in(last)
    } else {
        u8::from(bytes.iter().any(|byte| is_forbidden(*byte)))
    };
    if found == 0 {
        return None;
    }
    Some(which(bytes))
}

#[cold]
fn which(bytes: &[u8]) -> Forbidden {
    if bytes.contains(&0) {
        Forbidden::Nul
    } else {
        Forbidden::Wildcard
    }
}

/// The string in `bytes`, if they are well-formed UTF-8. U+FEFF is kept. // v5 [MQTT-1.5.4-3]
#[inline]
pub(crate) fn utf8(bytes: &[u8]) -> Option<&str> {
    // The SIMD validator pays from one block of 64 bytes on.
    if bytes.len() < 64 {
        core::str::from_utf8(bytes).ok()
    } else {
        simdutf8::basic::from_utf8(bytes).ok()
    }
}

/// Checks a string that is about to be written.
#[inline]
pub(crate) fn check(field: &'static str, text: &str) -> Result<(), EncodeError> {
    check_len(field, text.len())?;
    if contains_nul(text.as_bytes()) {
        return Err(EncodeError::new(field, EncodeErrorKind::NulCharacter));
    }
    Ok(())
}

/// Checks a topic name that is about to be written; it may be empty.
#[inline]
pub(crate) fn check_topic_name(field: &'static str, topic: &str) -> Result<(), EncodeError> {
    check_len(field, topic.len())?;
    match forbidden_in_topic_name(topic.as_bytes()) {
        None => Ok(()),
        Some(Forbidden::Nul) => Err(EncodeError::new(field, EncodeErrorKind::NulCharacter)),
        Some(Forbidden::Wildcard) => Err(EncodeError::new(field, EncodeErrorKind::Wildcard)),
    }
}

/// Checks the length of a string or of binary data.
#[inline]
pub(crate) fn check_len(field: &'static str, bytes: usize) -> Result<(), EncodeError> {
    if bytes <= BYTES_MAX {
        return Ok(());
    }
    Err(EncodeError::new(
        field,
        EncodeErrorKind::TooLong {
            bytes,
            max: BYTES_MAX,
        },
    ))
}

/// An owned string that any MQTT packet can carry: UTF-8, no U+0000, at most 65,535 bytes.
///
/// A clone shares the bytes. When decoded, it is a slice of the buffer that held the packet.
///
/// ```
/// use whinchat_codec::Utf8String;
///
/// let topic = Utf8String::try_from("sensors/temperature/lab1")?;
/// assert_eq!(topic.split('/').count(), 3);
/// assert!(Utf8String::try_from("a\0b").is_err());
/// # Ok::<(), whinchat_codec::EncodeError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utf8String(Bytes);

impl Utf8String {
    /// The empty string.
    pub const fn new() -> Self {
        Self(Bytes::new())
    }

    /// A string in the program text; copies nothing.
    ///
    /// # Panics
    /// If `text` holds U+0000 or is longer than 65,535 bytes.
    pub const fn from_static(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        assert!(bytes.len() <= BYTES_MAX, "longer than 65,535 bytes");
        let mut rest = bytes;
        while let [first, behind @ ..] = rest {
            assert!(*first != 0, "holds U+0000");
            rest = behind;
        }
        Self(Bytes::from_static(bytes))
    }

    /// Takes bytes that the decoder or [`check`] has accepted.
    #[inline]
    pub(crate) fn from_checked(bytes: Bytes) -> Self {
        debug_assert!(utf8(&bytes).is_some() && !contains_nul(&bytes));
        Self(bytes)
    }

    /// The UTF-8 bytes, shared.
    #[inline]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Bytes of the string, without looking at them.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no byte, without looking at any.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The string. Looks at every byte again, since this crate has no unsafe code.
    #[inline]
    pub fn as_str(&self) -> &str {
        utf8(&self.0).unwrap_or_default()
    }
}

impl Deref for Utf8String {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Utf8String {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

// No `Borrow<str>`: the hash is that of the bytes alone, without the mark `str` adds.
impl hash::Hash for Utf8String {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl TryFrom<&str> for Utf8String {
    type Error = EncodeError;

    fn try_from(text: &str) -> Result<Self, EncodeError> {
        check("string", text)?;
        Ok(Self(Bytes::copy_from_slice(text.as_bytes())))
    }
}

impl TryFrom<String> for Utf8String {
    type Error = EncodeError;

    fn try_from(text: String) -> Result<Self, EncodeError> {
        check("string", &text)?;
        Ok(Self(Bytes::from(text)))
    }
}

impl TryFrom<Bytes> for Utf8String {
    type Error = EncodeError;

    fn try_from(bytes: Bytes) -> Result<Self, EncodeError> {
        let text = utf8(&bytes).ok_or(EncodeError::new("string", EncodeErrorKind::InvalidUtf8))?;
        check("string", text)?;
        Ok(Self(bytes))
    }
}

impl From<Utf8String> for Bytes {
    fn from(text: Utf8String) -> Self {
        text.0
    }
}

impl PartialEq<str> for Utf8String {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Utf8String {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Debug for Utf8String {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Utf8String {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

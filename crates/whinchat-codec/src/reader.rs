//! nom parsers for MQTT's data types over one whole frame; the only slicing in the crate.
//!
//! Owns every step from bytes to a number, a string or a slice, and with it the promise that no
//! input makes the crate panic: the parsers are nom's *complete* ones and slice patterns, none
//! indexes. Leaves to the packet files which field comes next and what it may hold.
//! Read first: MQTT 5.0 section 1.5.
#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths of slices of one frame, which is below 2^28 bytes"
)]

use nom::bytes::complete::take;
use nom::error::{ErrorKind, ParseError};
use nom::number::complete::{be_u8, be_u16, be_u32};
use nom::{IResult, Parser};

use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::DecodeLimits;
use crate::string::{self, Forbidden};
use crate::varint::variable_byte_integer;
use crate::{PacketId, ProtocolVersion};

/// Why a parser stopped. One byte, so that nom's results stay in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The field runs past the end of what holds it.
    Short,
    /// A Variable Byte Integer has a fifth byte.
    LengthTooLong,
}

impl<I> ParseError<I> for Cut {
    #[inline]
    fn from_error_kind(_: I, _: ErrorKind) -> Self {
        Self::Short
    }

    #[inline]
    fn append(_: I, _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// Reads field after field from the bytes behind the fixed header.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    fn parse<T>(
        &mut self,
        field: &'static str,
        mut parser: impl Parser<&'a [u8], Output = T, Error = Cut>,
    ) -> Result<T, DecodeError> {
        match parser.parse(self.rest) {
            Ok((rest, value)) => {
                self.rest = rest;
                Ok(value)
            }
            Err(error) => Err(cut(field, error)),
        }
    }

    #[inline]
    pub(crate) fn byte(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.parse(field, be_u8)
    }

    #[inline]
    pub(crate) fn two_byte_integer(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.parse(field, be_u16)
    }

    #[inline]
    pub(crate) fn four_byte_integer(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.parse(field, be_u32)
    }

    /// A Variable Byte Integer inside a packet; only 5.0 has any there, and it wants the
    /// shortest form. // v5 [MQTT-1.5.5-1]
    #[inline]
    pub(crate) fn variable_byte_integer(
        &mut self,
        field: &'static str,
    ) -> Result<u32, DecodeError> {
        let read = self.parse(field, variable_byte_integer)?;
        if !read.minimal {
            return Err(DecodeError::new(field, DecodeErrorKind::LengthNotMinimal));
        }
        Ok(read.value)
    }

    /// The next `len` bytes.
    #[inline]
    pub(crate) fn bytes(
        &mut self,
        field: &'static str,
        len: usize,
    ) -> Result<&'a [u8], DecodeError> {
        self.parse(field, take(len))
    }

    #[inline]
    pub(crate) fn binary_data(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        self.parse(field, binary_data)
    }

    /// A UTF-8 string. // v5 [MQTT-1.5.4-1] [MQTT-1.5.4-2], v311 [MQTT-1.5.3-1] [MQTT-1.5.3-2]
    #[inline]
    pub(crate) fn utf8_string(
        &mut self,
        field: &'static str,
        limits: &DecodeLimits,
    ) -> Result<&'a str, DecodeError> {
        let bytes = self.string_bytes(field, limits)?;
        if string::contains_nul(bytes) {
            return Err(DecodeError::new(field, DecodeErrorKind::NulCharacter));
        }
        checked_utf8(field, bytes)
    }

    /// As [`utf8_string`](Self::utf8_string), for a string that is read again when it is asked
    /// for. Gives its bytes.
    #[inline]
    pub(crate) fn skip_utf8_string(
        &mut self,
        field: &'static str,
        limits: &DecodeLimits,
    ) -> Result<&'a [u8], DecodeError> {
        let bytes = self.string_bytes(field, limits)?;
        if string::is_plain_ascii(bytes) {
            return Ok(bytes);
        }
        if string::contains_nul(bytes) {
            return Err(DecodeError::new(field, DecodeErrorKind::NulCharacter));
        }
        checked_utf8(field, bytes).map(|_| bytes)
    }

    /// A topic name: a string without wildcards, within the limit of levels. May be empty.
    #[inline]
    pub(crate) fn topic_name(
        &mut self,
        field: &'static str,
        limits: &DecodeLimits,
    ) -> Result<&'a str, DecodeError> {
        let bytes = self.string_bytes(field, limits)?;
        let topic = checked_utf8(field, bytes)?;
        match string::forbidden_in_topic_name(bytes) {
            None => {}
            Some(Forbidden::Nul) => {
                return Err(DecodeError::new(field, DecodeErrorKind::NulCharacter));
            }
            // [MQTT-3.3.2-2]
            Some(Forbidden::Wildcard) => {
                return Err(DecodeError::new(field, DecodeErrorKind::Wildcard));
            }
        }
        // A name has at most one level more than it has bytes, so the longest has 65,536: the
        // default of the limit must not refuse it.
        let max = limits.topic_levels;
        if max < u16::MAX && bytes.len() >= usize::from(max) {
            check_levels(field, bytes, limits.topic_levels)?;
        }
        Ok(topic)
    }

    #[inline]
    fn string_bytes(
        &mut self,
        field: &'static str,
        limits: &DecodeLimits,
    ) -> Result<&'a [u8], DecodeError> {
        let bytes = self.parse(field, binary_data)?;
        if bytes.len() > usize::from(limits.string_bytes) {
            return Err(DecodeError::new(
                field,
                DecodeErrorKind::StringTooLong {
                    bytes: bytes.len() as u16,
                    max: limits.string_bytes,
                },
            ));
        }
        Ok(bytes)
    }

    /// A Packet Identifier. // v311 [MQTT-2.3.1-1]
    #[inline]
    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        const FIELD: &str = "packet identifier";
        let id = self.two_byte_integer(FIELD)?;
        PacketId::new(id).ok_or(DecodeError::new(FIELD, DecodeErrorKind::PacketIdZero))
    }

    /// All that is left.
    #[inline]
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Nothing may be left.
    #[inline]
    pub(crate) fn finish(self, field: &'static str) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(DecodeError::new(
            field,
            DecodeErrorKind::TrailingBytes {
                bytes: self.rest.len() as u32,
            },
        ))
    }
}

#[inline]
fn binary_data(input: &[u8]) -> IResult<&[u8], &[u8], Cut> {
    let (input, len) = be_u16(input)?;
    take(len)(input)
}

#[inline]
fn checked_utf8<'a>(field: &'static str, bytes: &'a [u8]) -> Result<&'a str, DecodeError> {
    string::utf8(bytes).ok_or(DecodeError::new(field, DecodeErrorKind::InvalidUtf8))
}

#[cold]
fn cut(field: &'static str, error: nom::Err<Cut>) -> DecodeError {
    DecodeError::new(
        field,
        match error {
            nom::Err::Error(Cut::LengthTooLong) | nom::Err::Failure(Cut::LengthTooLong) => {
                DecodeErrorKind::LengthTooLong
            }
            nom::Err::Error(Cut::Short)
            | nom::Err::Failure(Cut::Short)
            | nom::Err::Incomplete(_) => DecodeErrorKind::Truncated,
        },
    )
}

fn check_levels(field: &'static str, bytes: &[u8], max: u16) -> Result<(), DecodeError> {
    let count = 1 + bytes.iter().filter(|byte| **byte == b'/').count() as u32;
    if count > u32::from(max) {
        return Err(DecodeError::new(
            field,
            DecodeErrorKind::TopicLevels { count, max },
        ));
    }
    Ok(())
}

/// What the fixed header says, before any of the packet's own bytes are looked at.
pub(crate) struct FixedHeader<'a> {
    pub(crate) remaining_len: u32,
    /// Whether the Remaining Length has its shortest form.
    pub(crate) minimal: bool,
    /// Bytes of the header itself: 2 to 5.
    pub(crate) len: usize,
    /// All that follows, which may be less or more than the packet.
    pub(crate) rest: &'a [u8],
}

impl FixedHeader<'_> {
    #[inline]
    pub(crate) const fn len_u32(&self) -> u32 {
        self.len as u32
    }
}

/// Reads the fixed header; `None` until it is there as a whole.
#[inline]
pub(crate) fn fixed_header(bytes: &[u8]) -> Result<Option<FixedHeader<'_>>, DecodeError> {
    let [_, behind @ ..] = bytes else {
        return Ok(None);
    };
    match variable_byte_integer(behind) {
        Ok((rest, remaining)) => Ok(Some(FixedHeader {
            remaining_len: remaining.value,
            minimal: remaining.minimal,
            len: bytes.len() - rest.len(),
            rest,
        })),
        Err(nom::Err::Error(Cut::LengthTooLong)) => Err(DecodeError::new(
            "remaining length",
            DecodeErrorKind::LengthTooLong,
        )),
        Err(_) => Ok(None),
    }
}

/// Whether the version's rules take a Remaining Length in this form.
#[inline]
pub(crate) fn check_minimal(minimal: bool, version: ProtocolVersion) -> Result<(), DecodeError> {
    if minimal || !version.is_v5() {
        return Ok(());
    }
    // v5 [MQTT-1.5.5-1]
    Err(DecodeError::new(
        "remaining length",
        DecodeErrorKind::LengthNotMinimal,
    ))
}

//! The fixed header: is a whole packet here, and may it be?
//!
//! Owns the cut of a stream into packets. Refuses an oversized packet as soon as its length is
//! known and reserves nothing for it. Read first: MQTT 5.0 section 2.1.

use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::DecodeLimits;
use crate::packet_type::reserved_type;
use crate::reader::{FixedHeader, Reader, check_minimal, fixed_header};
use crate::{PacketType, ProtocolVersion};

/// One whole packet.
pub(crate) struct Frame<'a> {
    pub(crate) packet_type: PacketType,
    /// Lower four bits of the first byte.
    pub(crate) flags: u8,
    /// Whether the Remaining Length has its shortest form.
    pub(crate) minimal: bool,
    /// What follows the fixed header.
    pub(crate) body: Reader<'a>,
    /// Bytes of the whole packet.
    pub(crate) len: usize,
}

/// The packet that starts `bytes`; `None` until it is there as a whole.
///
/// Checks first byte and length by the rules of `version`, except for CONNECT, whose version
/// is known only from inside it.
#[inline]
pub(crate) fn split<'a>(
    bytes: &'a [u8],
    version: ProtocolVersion,
    limits: &DecodeLimits,
) -> Result<Option<Frame<'a>>, DecodeError> {
    let Some(first_byte) = bytes.first() else {
        return Ok(None);
    };
    let packet_type = packet_type(*first_byte)?;
    let flags = first_byte & 0x0F;
    let is_connect = matches!(packet_type, PacketType::Connect);
    let in_packet = |error: DecodeError| {
        if is_connect {
            error.in_connect()
        } else {
            error.in_packet(packet_type, version)
        }
    };
    if !is_connect {
        packet_type.check_flags(flags, version).map_err(in_packet)?;
    }
    let Some(header) = fixed_header(bytes).map_err(in_packet)? else {
        return Ok(None);
    };
    if !is_connect {
        check_minimal(header.minimal, version).map_err(in_packet)?;
    }
    let len = check_size(&header, limits).map_err(in_packet)?;
    let Ok(body) = Reader::new(header.rest).bytes("packet", len - header.len) else {
        return Ok(None);
    };
    Ok(Some(Frame {
        packet_type,
        flags,
        minimal: header.minimal,
        body: Reader::new(body),
        len,
    }))
}

/// How many bytes the packet that starts `bytes` has, fixed header included; `None` until the
/// fixed header is there.
///
/// Looks at the fixed header only, by the rules that all versions share.
///
/// # Errors
/// For packet type 0 or a length of more than four bytes (0x81), and for a packet over
/// [`DecodeLimits::packet_size`] (0x95).
pub fn frame_len(bytes: &[u8], limits: &DecodeLimits) -> Result<Option<usize>, DecodeError> {
    if let Some(first_byte) = bytes.first() {
        packet_type(*first_byte)?;
    }
    match fixed_header(bytes)? {
        Some(header) => check_size(&header, limits).map(Some),
        None => Ok(None),
    }
}

/// The type of the packet that starts `bytes`; `None` if there is no byte.
#[cfg(feature = "tokio-util-07")]
pub(crate) fn first_type(bytes: &[u8]) -> Result<Option<PacketType>, DecodeError> {
    bytes.first().copied().map(packet_type).transpose()
}

#[inline]
fn packet_type(first_byte: u8) -> Result<PacketType, DecodeError> {
    let number = first_byte >> 4;
    PacketType::from_number(number).ok_or_else(|| reserved_type(number))
}

#[inline]
fn check_size(header: &FixedHeader<'_>, limits: &DecodeLimits) -> Result<usize, DecodeError> {
    let size = header.remaining_len.saturating_add(header.len_u32());
    if size > limits.packet_size {
        return Err(DecodeError::new(
            "remaining length",
            DecodeErrorKind::PacketTooLarge {
                size,
                max: limits.packet_size,
            },
        ));
    }
    Ok(size as usize)
}

//! Appends MQTT's data types to a buffer whose space is already reserved.
//!
//! Owns the writing only: every length was checked by the caller's `encoded_len`, so nothing
//! here can fail. Read first: MQTT 5.0 sections 1.5 and 2.1.

use bytes::{BufMut, BytesMut};

use crate::error::EncodeErrorKind;
use crate::limits::REMAINING_LENGTH_MAX;
use crate::packet::DUP;
use crate::varint;
use crate::{EncodeError, PacketId};

/// Bytes of a whole packet with this Remaining Length.
#[inline]
pub(crate) fn packet_len(remaining_len: usize) -> Result<usize, EncodeError> {
    if remaining_len > REMAINING_LENGTH_MAX {
        return Err(EncodeError::new(
            "remaining length",
            EncodeErrorKind::PacketTooLarge {
                size: remaining_len,
                max: REMAINING_LENGTH_MAX,
            },
        ));
    }
    Ok(1 + varint::len(remaining_len) + remaining_len)
}

/// Reserves the whole packet and appends the fixed header.
#[inline]
pub(crate) fn put_fixed_header(
    out: &mut BytesMut,
    first_byte: u8,
    remaining_len: usize,
) -> Result<(), EncodeError> {
    out.reserve(packet_len(remaining_len)?);
    let [a, b, c, d] = varint::groups(remaining_len);
    match varint::len(remaining_len) {
        1 => out.put_slice(&[first_byte, a]),
        2 => out.put_slice(&[first_byte, a | 0x80, b]),
        3 => out.put_slice(&[first_byte, a | 0x80, b | 0x80, c]),
        _ => out.put_slice(&[first_byte, a | 0x80, b | 0x80, c | 0x80, d]),
    }
    Ok(())
}

/// As [`put_fixed_header`], with a two-byte integer behind it: one append instead of two. Nothing is
/// reserved for the last `apart` bytes of the packet, which are sent from elsewhere.
#[inline]
pub(crate) fn put_fixed_header_and(
    out: &mut BytesMut,
    first_byte: u8,
    remaining_len: usize,
    apart: usize,
    number: usize,
) -> Result<(), EncodeError> {
    out.reserve(packet_len(remaining_len)?.saturating_sub(apart));
    let [.., high, low] = number.to_be_bytes();
    let [a, b, c, d] = varint::groups(remaining_len);
    match varint::len(remaining_len) {
        1 => out.put_slice(&[first_byte, a, high, low]),
        2 => out.put_slice(&[first_byte, a | 0x80, b, high, low]),
        3 => out.put_slice(&[first_byte, a | 0x80, b | 0x80, c, high, low]),
        _ => out.put_slice(&[first_byte, a | 0x80, b | 0x80, c | 0x80, d, high, low]),
    }
    Ok(())
}

/// Appends binary data or a string with its two-byte length.
#[inline]
pub(crate) fn put_binary(out: &mut BytesMut, bytes: &[u8]) {
    debug_assert!(bytes.len() <= usize::from(u16::MAX));
    let [.., high, low] = bytes.len().to_be_bytes();
    out.put_slice(&[high, low]);
    out.put_slice(bytes);
}

/// Overwrites the packet id at `id_at` and the DUP flag of an encoded PUBLISH.
#[inline]
pub(crate) fn patch_publish(packet: &mut [u8], id_at: usize, id: PacketId, dup: u8) {
    if let Some(first_byte) = packet.first_mut() {
        *first_byte = *first_byte & !DUP | dup;
    }
    let id_slot = packet
        .get_mut(id_at..)
        .and_then(<[u8]>::first_chunk_mut::<2>);
    if let Some(id_slot) = id_slot {
        *id_slot = id.get().to_be_bytes();
    }
}

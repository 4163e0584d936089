//! The Variable Byte Integer: one to four bytes, seven bits each, lowest first.
//!
//! Read first: MQTT 5.0 section 1.5.5.

use bytes::{BufMut, BytesMut};
use nom::IResult;

use crate::reader::Cut;

/// The largest value.
pub(crate) const MAX: u32 = 268_435_455;

/// A value as read, and whether it was written in its shortest form.
#[derive(Clone, Copy)]
pub(crate) struct Varint {
    pub(crate) value: u32,
    pub(crate) minimal: bool,
}

/// Reads one integer. A fifth byte is never looked at.
#[inline]
pub(crate) fn variable_byte_integer(input: &[u8]) -> IResult<&[u8], Varint, Cut> {
    let (rest, value, last, len) = match *input {
        [a, ref rest @ ..] if a < 0x80 => {
            let value = u32::from(a);
            return Ok((
                rest,
                Varint {
                    value,
                    minimal: true,
                },
            ));
        }
        [a, b, ref rest @ ..] if b < 0x80 => (rest, bits(a, 0) | bits(b, 7), b, 2),
        [a, b, c, ref rest @ ..] if c < 0x80 => (rest, bits(a, 0) | bits(b, 7) | bits(c, 14), c, 3),
        [a, b, c, d, ref rest @ ..] => {
            if d >= 0x80 {
                return Err(nom::Err::Error(Cut::LengthTooLong));
            }
            (
                rest,
                bits(a, 0) | bits(b, 7) | bits(c, 14) | bits(d, 21),
                d,
                4,
            )
        }
        _ => return Err(nom::Err::Error(Cut::Short)),
    };
    // A last byte of 0 behind another byte adds nothing: the shorter form says the same.
    debug_assert!(len > 1);
    Ok((
        rest,
        Varint {
            value,
            minimal: last != 0,
        },
    ))
}

#[inline]
fn bits(byte: u8, shift: u32) -> u32 {
    u32::from(byte & 0x7F) << shift
}

/// How many bytes [`put`] writes.
#[inline]
pub(crate) const fn len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// The four groups of seven bits, lowest first.
#[inline]
pub(crate) const fn groups(value: usize) -> [u8; 4] {
    [
        (value & 0x7F).to_le_bytes()[0],
        ((value >> 7) & 0x7F).to_le_bytes()[0],
        ((value >> 14) & 0x7F).to_le_bytes()[0],
        ((value >> 21) & 0x7F).to_le_bytes()[0],
    ]
}

/// Appends `value`, which is at most [`MAX`], in its shortest form. // v5 [MQTT-1.5.5-1]
#[inline]
pub(crate) fn put(out: &mut BytesMut, value: usize) {
    debug_assert!(value <= MAX as usize);
    let [a, ..] = groups(value);
    if value < 0x80 {
        out.put_u8(a);
    } else {
        put_long(out, value);
    }
}

/// As [`put`], for a value of more than seven bits.
fn put_long(out: &mut BytesMut, value: usize) {
    let [a, b, c, d] = groups(value);
    match len(value) {
        1 | 2 => out.put_slice(&[a | 0x80, b]),
        3 => out.put_slice(&[a | 0x80, b | 0x80, c]),
        _ => out.put_slice(&[a | 0x80, b | 0x80, c | 0x80, d]),
    }
}

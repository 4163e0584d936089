//! Bytes as they are written: `30 [ ( 'a/b' ) 00*3 ]`.

use bytes::{BufMut, Bytes, BytesMut};

use super::encode::{put_text, put_variable_byte_integer};
use super::{NotationError, words};

/// More than any transcript sends in one piece.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw(Bytes);

impl Raw {
    /// Reads hexadecimal bytes, text, and lengths in front of groups.
    pub(crate) fn parse(words: &[String]) -> Result<Self, NotationError> {
        let mut groups = vec![(' ', BytesMut::new())];
        for word in words {
            match word.as_str() {
                "(" | "[" => groups.push((word.chars().next().unwrap_or('('), BytesMut::new())),
                ")" | "]" => {
                    let (opened, group) = groups.pop().unwrap_or((' ', BytesMut::new()));
                    let Some((_, outer)) = groups.last_mut() else {
                        return Err(NotationError::new(word, "closes what was not opened"));
                    };
                    match (opened, word.as_str()) {
                        ('(', ")") => put_text(&group, outer)?,
                        ('[', "]") => {
                            put_variable_byte_integer(group.len(), outer);
                            outer.put_slice(&group);
                        }
                        _ => return Err(NotationError::new(word, "closes another bracket")),
                    }
                }
                word => {
                    let (_, group) = groups.last_mut().expect("the outermost group stays");
                    put_word(word, group)?;
                }
            }
        }
        match (groups.pop(), groups.is_empty()) {
            (Some((_, bytes)), true) => Ok(Self(bytes.freeze())),
            _ => Err(NotationError::new("(", "is not closed")),
        }
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.0
    }
}

fn put_word(word: &str, out: &mut BytesMut) -> Result<(), NotationError> {
    if word.starts_with('\'') {
        out.put_slice(&words::text(word)?);
        return Ok(());
    }
    let (hex, times) = word.split_once('*').unwrap_or((word, "1"));
    let byte = match u8::from_str_radix(hex, 16) {
        Ok(byte) if hex.len() == 2 => byte,
        _ => {
            return Err(NotationError::new(
                word,
                "is no byte of two hexadecimal digits",
            ));
        }
    };
    let times: usize = times
        .parse()
        .map_err(|_| NotationError::new(word, "has a repetition without a number"))?;
    if out.len().saturating_add(times) > BYTES_MAX {
        return Err(NotationError::new(word, "is too long"));
    }
    out.put_bytes(byte, times);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Result<Bytes, NotationError> {
        Raw::parse(&words::split(text).unwrap()).map(|raw| raw.0)
    }

    #[test]
    fn lengths_stand_in_front_of_groups() {
        assert_eq!(
            raw("30 [ ( 'a/b' ) 00*3 ff ]").unwrap()[..],
            *b"\x30\x09\0\x03a/b\0\0\0\xff"
        );
        assert_eq!(raw("[ 01*200 ]").unwrap()[..2], [0xc8, 0x01]);
        assert_eq!(raw("").unwrap().len(), 0);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, word) in [
            ("30 (", "("),
            ("30 )", ")"),
            ("( ]", "]"),
            ("3", "3"),
            ("300", "300"),
            ("00*x", "00*x"),
            ("00*999999999999", "00*999999999999"),
        ] {
            assert_eq!(raw(text).unwrap_err().word(), word, "{text}");
        }
    }
}

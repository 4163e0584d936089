//! The parts that bodies of records are made of, both ways.
//!
//! Numbers have seven bits a byte, the lowest first; the top bit says that more follow. Text and bytes have their length in front.

use whinchat_codec::PacketId;

pub(super) fn put_number(body: &mut Vec<u8>, mut value: u64) {
    while value > 0x7F {
        body.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    body.push(value.to_le_bytes()[0]);
}

pub(super) fn put_bytes(body: &mut Vec<u8>, value: &[u8]) {
    put_number(body, value.len() as u64);
    body.extend_from_slice(value);
}

pub(super) fn put_text(body: &mut Vec<u8>, value: &str) {
    put_bytes(body, value.as_bytes());
}

pub(super) fn put_id(body: &mut Vec<u8>, id: PacketId) {
    body.extend_from_slice(&id.get().to_le_bytes());
}

/// What is left of a body.
pub(super) struct Body<'a>(&'a [u8]);

/// A body is not what its writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its {0} cannot be read")]
pub(crate) struct BadBody(pub(super) &'static str);

impl<'a> Body<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, BadBody> {
        let (byte, rest) = self.0.split_first().ok_or(BadBody(what))?;
        self.0 = rest;
        Ok(*byte)
    }

    pub(super) fn number(&mut self, what: &'static str) -> Result<u64, BadBody> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return Err(BadBody(what));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BadBody(what))
    }

    /// A number of 32 bits.
    pub(super) fn small(&mut self, what: &'static str) -> Result<u32, BadBody> {
        u32::try_from(self.number(what)?).map_err(|_| BadBody(what))
    }

    pub(super) fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], BadBody> {
        let length = usize::try_from(self.number(what)?).map_err(|_| BadBody(what))?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(BadBody(what))?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a str, BadBody> {
        std::str::from_utf8(self.bytes(what)?).map_err(|_| BadBody(what))
    }

    pub(super) fn id(&mut self) -> Result<PacketId, BadBody> {
        const WHAT: BadBody = BadBody("packet id");
        let (id, rest) = self.0.split_first_chunk::<2>().ok_or(WHAT)?;
        self.0 = rest;
        PacketId::new(u16::from_le_bytes(*id)).ok_or(WHAT)
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Nothing may be left: a later version of a body has a later version number.
    pub(super) fn end(self) -> Result<(), BadBody> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(BadBody("end"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_text_are_read_as_they_were_written() {
        let numbers = [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            u64::MAX,
        ];
        let mut written = Vec::new();
        for number in numbers {
            put_number(&mut written, number);
        }
        put_text(&mut written, "grün");
        let mut body = Body::new(&written);
        for number in numbers {
            assert_eq!(body.number("number"), Ok(number));
        }
        assert_eq!(body.text("text"), Ok("grün"));
        assert_eq!(body.end(), Ok(()));
    }

    #[test]
    fn what_is_cut_or_too_long_is_refused() {
        assert_eq!(Body::new(&[0x80]).number("n"), Err(BadBody("n")));
        assert_eq!(Body::new(&[0xFF; 11]).number("n"), Err(BadBody("n")));
        assert_eq!(
            Body::new(&[0xFF, 0xFF, 0xFF, 0xFF, 0x1F]).small("n"),
            Err(BadBody("n"))
        );
        assert_eq!(Body::new(&[3, 1, 2]).bytes("b"), Err(BadBody("b")));
        assert_eq!(Body::new(&[0, 0]).id(), Err(BadBody("packet id")));
        assert_eq!(Body::new(&[0]).end(), Err(BadBody("end")));
    }
}

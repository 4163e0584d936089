//! Where a packet has its length fields, found by walking its layout alone.
//!
//! Knows nothing of the decoder: it reads what the specification's tables say, and stops where the bytes stop making
//! sense. What it found up to there are the fields.

use whinchat_codec::{PacketType, ProtocolVersion};

/// One length in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LengthField {
    pub(super) kind: Kind,
    /// Where it begins.
    pub(super) at: usize,
    /// How many bytes it has.
    pub(super) width: usize,
    pub(super) value: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Remaining,
    Properties,
    /// In front of a string or of binary data.
    Prefix,
}

impl Kind {
    /// The largest value that can be written.
    pub(super) fn max(self) -> u32 {
        match self {
            Self::Remaining | Self::Properties => 268_435_455,
            Self::Prefix => 65_535,
        }
    }

    /// The bytes of a value, in the shortest form.
    pub(super) fn written(self, value: u32) -> Vec<u8> {
        match self {
            Self::Remaining | Self::Properties => variable_byte_integer(value),
            Self::Prefix => u16::try_from(value).unwrap().to_be_bytes().to_vec(),
        }
    }
}

pub(super) fn variable_byte_integer(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let digit = u8::try_from(value % 128).unwrap();
        value /= 128;
        bytes.push(if value > 0 { digit | 0x80 } else { digit });
        if value == 0 {
            return bytes;
        }
    }
}

/// The length fields of the packet that starts `bytes`, the Remaining Length first.
pub(super) fn length_fields(bytes: &[u8], version: ProtocolVersion) -> Vec<LengthField> {
    let mut walk = Walk {
        bytes,
        at: 0,
        fields: Vec::new(),
    };
    let _ = walk.packet(version);
    walk.fields
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    fields: Vec<LengthField>,
}

impl Walk<'_> {
    /// `None`: the bytes are no packet from here on.
    fn packet(&mut self, version: ProtocolVersion) -> Option<()> {
        let first_byte = self.byte()?;
        let remaining = self.variable(Some(Kind::Remaining))?;
        let end = self.at + remaining as usize;
        self.bytes = self.bytes.get(..end)?;
        let is_v5 = version.is_v5();
        match PacketType::from_number(first_byte >> 4)? {
            PacketType::Connect => self.connect(),
            PacketType::ConnAck => {
                self.skip(2)?;
                self.properties(is_v5)
            }
            PacketType::Publish => {
                self.prefixed()?;
                self.skip(if first_byte & 0b0110 == 0 { 0 } else { 2 })?;
                self.properties(is_v5)
            }
            PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp => {
                self.skip(3)?;
                self.properties(is_v5)
            }
            PacketType::Subscribe => {
                self.skip(2)?;
                self.properties(is_v5)?;
                self.filters(1)
            }
            PacketType::Unsubscribe => {
                self.skip(2)?;
                self.properties(is_v5)?;
                self.filters(0)
            }
            PacketType::SubAck | PacketType::UnsubAck => {
                self.skip(2)?;
                self.properties(is_v5)
            }
            PacketType::Disconnect | PacketType::Auth => {
                self.skip(1)?;
                self.properties(is_v5)
            }
            PacketType::PingReq | PacketType::PingResp => Some(()),
        }
    }

    fn connect(&mut self) -> Option<()> {
        self.prefixed()?;
        let is_v5 = self.byte()? == 5;
        let flags = self.byte()?;
        self.skip(2)?;
        self.properties(is_v5)?;
        self.prefixed()?;
        if flags & 0b0000_0100 != 0 {
            self.properties(is_v5)?;
            self.prefixed()?;
            self.prefixed()?;
        }
        for flag in [0b1000_0000, 0b0100_0000] {
            if flags & flag != 0 {
                self.prefixed()?;
            }
        }
        Some(())
    }

    /// Filters up to the end, each with so many bytes of options.
    fn filters(&mut self, options_len: usize) -> Option<()> {
        while self.at < self.bytes.len() {
            self.prefixed()?;
            self.skip(options_len)?;
        }
        Some(())
    }

    /// A property section, where the version has one.
    fn properties(&mut self, is_v5: bool) -> Option<()> {
        if !is_v5 {
            return Some(());
        }
        let len = self.variable(Some(Kind::Properties))?;
        let end = self.at + len as usize;
        while self.at < end {
            match self.byte()? {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => self.skip(1)?,
                0x13 | 0x21 | 0x22 | 0x23 => self.skip(2)?,
                0x02 | 0x11 | 0x18 | 0x27 => self.skip(4)?,
                0x0b => {
                    self.variable(None)?;
                }
                0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => self.prefixed()?,
                0x26 => {
                    self.prefixed()?;
                    self.prefixed()?;
                }
                _ => return None,
            }
        }
        (self.at == end).then_some(())
    }

    /// A string or binary data.
    fn prefixed(&mut self) -> Option<()> {
        let at = self.at;
        let value = u32::from(self.byte()?) << 8 | u32::from(self.byte()?);
        self.found(Kind::Prefix, at, value);
        self.skip(value as usize)
    }

    fn variable(&mut self, kind: Option<Kind>) -> Option<u32> {
        let at = self.at;
        let mut value = 0;
        for place in 0..4 {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                if let Some(kind) = kind {
                    self.found(kind, at, value);
                }
                return Some(value);
            }
        }
        None
    }

    fn found(&mut self, kind: Kind, at: usize, value: u32) {
        self.fields.push(LengthField {
            kind,
            at,
            width: self.at - at,
            value,
        });
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at)?;
        self.at += 1;
        Some(*byte)
    }

    fn skip(&mut self, len: usize) -> Option<()> {
        self.at += len;
        (self.at <= self.bytes.len()).then_some(())
    }
}

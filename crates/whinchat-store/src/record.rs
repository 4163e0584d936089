//! The framing of a record inside a group.
//!
//! ```text
//! 0        4      5         6           8
//! | length | kind | version | partition | body ...
//!   u32 LE   u8     u8        u16 LE      `length` bytes
//! ```
//!
//! Owns the header and how records follow each other. What a kind means, and its body, belongs to
//! whoever writes it. The durable log adds a checksum and a position around this frame.

/// Bytes before the body of each record.
pub const HEADER_BYTES: usize = 8;

/// The longest body, in bytes: four times the largest MQTT packet is still below it.
pub const BODY_BYTES_MAX: usize = 1 << 30;

const REQUIRED: u8 = 0x80;

/// What a record says: a number from 0 to 127, and whether a reader may skip it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKind(u8);

impl RecordKind {
    /// A kind that every reader must know: replay stops at an unknown one.
    ///
    /// # Panics
    ///
    /// If `number` is above 127; in a constant that is a compile error.
    #[must_use]
    pub const fn required(number: u8) -> Self {
        assert!(number < REQUIRED, "a record kind is a number below 128");
        Self(number | REQUIRED)
    }

    /// A kind that a reader that does not know it may skip.
    ///
    /// # Panics
    ///
    /// If `number` is above 127; in a constant that is a compile error.
    #[must_use]
    pub const fn optional(number: u8) -> Self {
        assert!(number < REQUIRED, "a record kind is a number below 128");
        Self(number)
    }

    /// The number without the must-understand bit.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0 & !REQUIRED
    }

    /// Whether a reader that does not know this kind has to stop.
    #[must_use]
    pub const fn must_understand(self) -> bool {
        self.0 & REQUIRED != 0
    }
}

/// One record, borrowed from the group it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the record says.
    pub kind: RecordKind,
    /// The version of its body's layout.
    pub version: u8,
    /// The partition whose state it changes.
    pub partition: u16,
    /// Everything after the header.
    pub body: &'a [u8],
}

/// Appends one record to `group`; `body` writes the bytes after the header.
///
/// # Panics
///
/// If `body` writes more than [`BODY_BYTES_MAX`] or shortens the buffer: bodies are made by this
/// process from packets whose size is limited.
pub fn write(
    group: &mut Vec<u8>,
    kind: RecordKind,
    version: u8,
    partition: u16,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = group.len();
    let [low, high] = partition.to_le_bytes();
    group.extend_from_slice(&[0, 0, 0, 0, kind.0, version, low, high]);
    body(group);
    let length = group
        .len()
        .checked_sub(start + HEADER_BYTES)
        .filter(|length| *length <= BODY_BYTES_MAX)
        .and_then(|length| u32::try_from(length).ok())
        .expect("a record's body is written behind its header and within the limit");
    group[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// The records of `bytes`, in order.
#[must_use]
pub fn read(bytes: &[u8]) -> Records<'_> {
    Records { bytes, position: 0 }
}

/// An iterator over the records of a group; ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self
            .bytes
            .get(self.position..)
            .filter(|rest| !rest.is_empty())?;
        let (record, used) = match first(rest) {
            Ok(first) => first,
            Err(cut) => {
                let error = RecordError {
                    position: self.position,
                    cut,
                };
                self.position = self.bytes.len();
                return Some(Err(error));
            }
        };
        self.position += used;
        Some(Ok(record))
    }
}

/// How long the body behind this header is, in bytes; `None` for what is no header.
#[must_use]
pub fn body_length(header: &[u8]) -> Option<usize> {
    let (header, _) = header.split_first_chunk::<HEADER_BYTES>()?;
    let [l0, l1, l2, l3, ..] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    (length <= BODY_BYTES_MAX).then_some(length)
}

fn first(bytes: &[u8]) -> Result<(Record<'_>, usize), Cut> {
    let (header, rest) = bytes
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(Cut::Header)?;
    let [l0, l1, l2, l3, kind, version, low, high] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > BODY_BYTES_MAX {
        return Err(Cut::Length);
    }
    let body = rest.get(..length).ok_or(Cut::Body)?;
    let record = Record {
        kind: RecordKind(kind),
        version,
        partition: u16::from_le_bytes([low, high]),
        body,
    };
    Ok((record, HEADER_BYTES + length))
}

/// Bytes that are not whole records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record at byte {position}: {cut}")]
#[non_exhaustive]
pub struct RecordError {
    /// Where the bad record starts, in bytes.
    pub position: usize,
    /// What is wrong with it.
    pub cut: Cut,
}

/// Where a record ends too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// Fewer bytes than a header.
    #[error("cut inside its header of {HEADER_BYTES} bytes")]
    Header,
    /// Fewer bytes than the header declares.
    #[error("cut inside its body")]
    Body,
    /// A declared length that no writer produces.
    #[error("declares a body above {BODY_BYTES_MAX} bytes")]
    Length,
}

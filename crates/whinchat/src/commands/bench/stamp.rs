//! What a payload carries so that each message can be counted and timed: the first 16 bytes, big-endian.
//!
//! ```text
//! publisher (4)   sequence (4)   send time in ns (8)   filling up to the payload's size
//! ```

/// Bytes of a stamp, and so the smallest payload.
pub(super) const STAMP_BYTES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The publisher's number in this run.
    pub(super) publisher: u32,
    /// The message's number at its publisher, from 0.
    pub(super) sequence: u32,
    /// When the message was sent, or should have been; [`now_ns`](super::clock::now_ns).
    pub(super) sent_ns: u64,
}

impl Stamp {
    /// Overwrites the start of a payload.
    #[inline]
    pub(super) fn write_to(self, payload: &mut [u8]) {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..4].copy_from_slice(&self.publisher.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[8..].copy_from_slice(&self.sent_ns.to_be_bytes());
        if let Some(start) = payload.first_chunk_mut() {
            *start = bytes;
        }
    }

    /// `None` for a payload that is too short to be one of ours.
    #[inline]
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let (publisher, rest) = payload.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (sent_ns, _) = rest.split_first_chunk()?;
        Some(Self {
            publisher: u32::from_be_bytes(*publisher),
            sequence: u32::from_be_bytes(*sequence),
            sent_ns: u64::from_be_bytes(*sent_ns),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written_and_leaves_the_rest_alone() {
        let stamp = Stamp {
            publisher: 7,
            sequence: u32::MAX,
            sent_ns: 1 << 60,
        };
        let mut payload = [0xAA; 20];
        stamp.write_to(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(payload[16..], [0xAA; 4]);
    }

    #[test]
    fn a_payload_of_15_bytes_has_no_stamp() {
        assert_eq!(Stamp::read(&[0; 15]), None);
    }
}

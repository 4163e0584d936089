//! Where groups go: decided when they are appended, written later.
//!
//! ```text
//!  append ──► [ chunk: epoch 7, from byte 4096 ][ chunk: epoch 8, ... ]  ──take──► committer
//! ```
//!
//! A chunk is a run of groups of one segment. A group that does not fit into the rest of a segment begins the next one; the segment's file need not exist yet.

use super::segment::{GROUP_HEADER_BYTES, HEADER_BYTES, push_group};
use crate::{Durability, Place};

/// Groups begin at multiples of eight bytes.
pub(crate) const fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

/// A run of groups in one segment.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) epoch: u64,
    /// Where it goes in the file; [`HEADER_BYTES`] if it begins the segment.
    pub(crate) offset: u64,
    pub(crate) first_sequence: u64,
    /// How large the segment's file has to be.
    pub(crate) segment_size: u64,
    pub(crate) bytes: Vec<u8>,
}

/// What was appended and is not taken yet, and where the next group goes.
#[derive(Debug)]
pub(crate) struct Appended {
    chunks: Vec<Chunk>,
    epoch: u64,
    offset: u64,
    segment_size: u64,
    /// The size of segments that nothing larger asks for.
    usual_size: u64,
    next_sequence: u64,
    /// The strongest that a group which is not taken yet asks for.
    durability: Durability,
    /// An empty buffer with room, for the next chunk.
    spare: Vec<u8>,
    pub(crate) closed: bool,
}

/// A buffer that one large commit made larger than this is given back.
const BUFFER_KEPT_BYTES: usize = 4 << 20;

impl Appended {
    /// The next group begins segment `epoch` and has this sequence.
    pub(crate) fn new(epoch: u64, next_sequence: u64, usual_size: u64) -> Self {
        Self {
            chunks: Vec::new(),
            // Full, so that the first group begins a new segment.
            epoch: epoch - 1,
            offset: usual_size,
            segment_size: usual_size,
            usual_size,
            next_sequence,
            durability: Durability::Written,
            spare: Vec::new(),
            closed: false,
        }
    }

    /// The sequence of the last group.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    /// Bytes that the present segment still takes.
    pub(crate) fn room(&self) -> u64 {
        self.segment_size.saturating_sub(self.offset)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Puts a group behind all others; everything up to `synced` is synced by now.
    pub(crate) fn push(
        &mut self,
        records: &[u8],
        durability: Durability,
        synced: u64,
    ) -> (u64, Place) {
        self.durability = self.durability.max(durability);
        let size = (GROUP_HEADER_BYTES + padded(records.len())) as u64;
        if self.offset + size > self.segment_size {
            self.epoch += 1;
            self.offset = HEADER_BYTES;
            self.segment_size = self.usual_size.max(HEADER_BYTES + size);
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let continues = self
            .chunks
            .last()
            .is_some_and(|chunk| chunk.epoch == self.epoch);
        if !continues {
            self.chunks.push(Chunk {
                epoch: self.epoch,
                offset: self.offset,
                first_sequence: sequence,
                segment_size: self.segment_size,
                bytes: std::mem::take(&mut self.spare),
            });
        }
        let chunk = self.chunks.last_mut().expect("one was pushed");
        push_group(&mut chunk.bytes, records, sequence, synced);
        let place = Place {
            segment: self.epoch,
            offset: self.offset + GROUP_HEADER_BYTES as u64,
        };
        self.offset += size;
        (sequence, place)
    }

    /// The next group begins a segment.
    pub(crate) fn end_segment(&mut self) {
        self.offset = self.segment_size;
    }

    /// Takes everything, the sequence of the last group in it, and how durable that has to become.
    pub(crate) fn take(&mut self) -> (Vec<Chunk>, u64, Durability) {
        let durability = std::mem::replace(&mut self.durability, Durability::Written);
        let chunks = std::mem::take(&mut self.chunks);
        (chunks, self.last_sequence(), durability)
    }

    /// Brings back a buffer that was taken.
    pub(crate) fn give_back(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        bytes.shrink_to(BUFFER_KEPT_BYTES);
        if bytes.capacity() > self.spare.capacity() {
            self.spare = bytes;
        }
    }

    /// Nothing will be written any more.
    pub(crate) fn forget(&mut self) {
        self.chunks = Vec::new();
        self.spare = Vec::new();
        self.closed = true;
    }
}

//! The bytes of a segment file: a header, then groups one behind the other. `docs/store-format.md` is the same for readers of other programs.
//!
//! ```text
//! header, in a block of 4096 bytes           group, at a multiple of 8
//!  0  "WHINLOG\0"                              0  CRC32C of log, epoch and bytes 4..
//!  8  format           u32                     4  length of the records   u32
//! 12  waits            u32                     8  sequence                u64
//! 16  log              u64                    16  synced                  u64
//! 24  epoch            u64                    24  records ..., zeros up to a multiple of 8
//! 32  first sequence   u64
//! 40  oldest epoch     u64                    all numbers little endian
//! 48  size             u64
//! 56  CRC32C of 0..56  u32
//! ```
//!
//! *log* and *epoch*: each use of a file has an epoch of its own, larger than all before; with the log's number it stands under the CRC of every group, so
//! that neither what a recycled file held before nor what another log wrote is ever taken for a group of its present use. A copy of the header stands in the
//! block's second half: only a repair reads it, for the log's number, where the first one is damaged. *synced*: all groups up to this sequence were safe when the group was written. It tells a torn tail
//! (nothing behind it was ever vouched for) from damage (a later group says that the bad one had been synced).

use super::place::padded;

/// What stands in front of the groups, in bytes.
pub(crate) const HEADER_BYTES: u64 = 4096;
/// What stands in front of the records of a group, in bytes.
pub(crate) const GROUP_HEADER_BYTES: usize = 24;
/// The format that this release writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;

/// No log lives for so many segments or groups.
const NUMBER_MAX: u64 = 1 << 62;

const MAGIC: &[u8; 8] = b"WHINLOG\0";
const HEADER_USED: usize = 60;
/// Where the copy of the header stands: in another sector.
const HEADER_COPY: usize = 2048;

/// Whose groups a segment has: it stands under the CRC of each of them, and in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) log: u64,
    pub(crate) epoch: u64,
}

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The same in all segments of one log, and in no other log.
    pub(crate) log: u64,
    pub(crate) epoch: u64,
    pub(crate) first_sequence: u64,
    /// The oldest epoch that was needed when this segment began.
    pub(crate) oldest_epoch: u64,
    pub(crate) size: u64,
    /// It counts only together with a later segment that does not wait: part of a row that comes into force at once.
    pub(crate) waits: bool,
}

/// What the first block of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Zeros: allocated and never used.
    Unused,
    Header(Header),
    /// Written by a later release.
    Newer(u32),
    /// Nothing that was ever written as a header.
    Damaged,
}

impl Header {
    pub(crate) fn stamp(&self) -> Stamp {
        let Self { log, epoch, .. } = *self;
        Stamp { log, epoch }
    }

    /// What stands in front of the segment's groups. The header is the first sector, which is written whole or not at all.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut block = [0; HEADER_BYTES as usize];
        block[..8].copy_from_slice(MAGIC);
        block[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        block[12] = u8::from(self.waits);
        for (place, number) in [
            self.log,
            self.epoch,
            self.first_sequence,
            self.oldest_epoch,
            self.size,
        ]
        .into_iter()
        .enumerate()
        {
            let at = 16 + place * 8;
            block[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&block[..56]);
        block[56..60].copy_from_slice(&crc.to_le_bytes());
        block.copy_within(..HEADER_USED, HEADER_COPY);
        block
    }
}

impl Opening {
    /// Reads the first sector of a file, or what there is of it.
    pub(crate) fn decode(block: &[u8]) -> Self {
        let Some(used) = block.get(..HEADER_USED) else {
            return if block.iter().all(|byte| *byte == 0) {
                Self::Unused
            } else {
                Self::Damaged
            };
        };
        if block.iter().all(|byte| *byte == 0) {
            return Self::Unused;
        }
        if &used[..8] != MAGIC {
            return Self::Damaged;
        }
        // A later format may have another layout: only its number is sure to stand here.
        let format = u32::from_le_bytes(array(used, 8));
        if format > FORMAT {
            return Self::Newer(format);
        }
        if format == 0 || crc32c::crc32c(&used[..56]) != u32::from_le_bytes(array(used, 56)) {
            return Self::Damaged;
        }
        let number = |place: usize| u64::from_le_bytes(array(used, 16 + place * 8));
        let header = Header {
            log: number(0),
            epoch: number(1),
            first_sequence: number(2),
            oldest_epoch: number(3),
            size: number(4),
            waits: used[12] != 0,
        };
        // The checksum is right, and yet no writer has such numbers: those that follow could not be counted.
        let is_possible = (1..NUMBER_MAX).contains(&header.epoch)
            && (1..NUMBER_MAX).contains(&header.first_sequence)
            && (1..=header.epoch).contains(&header.oldest_epoch)
            && header.size >= HEADER_BYTES;
        if is_possible {
            Self::Header(header)
        } else {
            Self::Damaged
        }
    }
}

/// Puts the header of a group in front of `records`, with the CRC left open, and zeros behind them.
pub(crate) fn push_group(buffer: &mut Vec<u8>, records: &[u8], sequence: u64, synced: u64) {
    let length = u32::try_from(records.len()).expect("a turn's records are shorter than 4 GiB");
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&sequence.to_le_bytes());
    buffer.extend_from_slice(&synced.to_le_bytes());
    buffer.extend_from_slice(records);
    let padding = padded(records.len()) - records.len();
    buffer.extend_from_slice(&[0; 8][..padding]);
}

/// Fills in the CRCs of all groups of a buffer.
pub(crate) fn seal(buffer: &mut [u8], stamp: Stamp) {
    let mut at = 0;
    while at < buffer.len() {
        let length = u32::from_le_bytes(array(buffer, at + 4)) as usize;
        let end = at + GROUP_HEADER_BYTES + padded(length);
        let crc = checksum(&buffer[at + 4..end], stamp);
        buffer[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
}

fn checksum(group: &[u8], stamp: Stamp) -> u32 {
    let log = crc32c::crc32c(&stamp.log.to_le_bytes());
    let epoch = crc32c::crc32c_append(log, &stamp.epoch.to_le_bytes());
    crc32c::crc32c_append(epoch, group)
}

/// Which logs a file may be of whose header is not valid.
pub(crate) fn possible_logs(bytes: &[u8]) -> impl Iterator<Item = u64> {
    [0, HEADER_COPY]
        .into_iter()
        .filter_map(|header| bytes.get(header..header + HEADER_USED))
        .map(|header| u64::from_le_bytes(array(header, 16)))
}

/// A group that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group<'a> {
    pub(crate) sequence: u64,
    pub(crate) synced: u64,
    pub(crate) records: &'a [u8],
    /// Bytes from its header to the next group's.
    pub(crate) size: usize,
}

/// The group at `at`, if there is a whole one of this log and epoch.
pub(crate) fn group_at(bytes: &[u8], at: usize, stamp: Stamp) -> Option<Group<'_>> {
    let rest = bytes.get(at..)?;
    let header = rest.get(..GROUP_HEADER_BYTES)?;
    let length = usize::try_from(u32::from_le_bytes(array(header, 4))).ok()?;
    let size = GROUP_HEADER_BYTES.checked_add(padded(length))?;
    let whole = rest.get(..size)?;
    let sequence = u64::from_le_bytes(array(header, 8));
    // Zeros have a CRC too; no group has the sequence 0.
    let is_whole = || checksum(&whole[4..], stamp) == u32::from_le_bytes(array(header, 0));
    if sequence == 0 || !(is_whole() || planted!(ChecksumIgnored)) {
        return None;
    }
    Some(Group {
        sequence,
        synced: u64::from_le_bytes(array(header, 16)),
        records: &whole[GROUP_HEADER_BYTES..GROUP_HEADER_BYTES + length],
        size,
    })
}

/// The sequence of the group at `at`, if there is one.
pub(crate) fn sequence_at(bytes: &[u8], at: usize) -> Option<u64> {
    let header = bytes.get(at..)?.get(..GROUP_HEADER_BYTES)?;
    Some(u64::from_le_bytes(array(header, 8)))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

#[cfg(test)]
mod tests {
    use super::{Header, Opening, Stamp, group_at, possible_logs, push_group, seal};

    const HEADER: Header = Header {
        log: 7,
        epoch: 3,
        first_sequence: 100,
        oldest_epoch: 2,
        size: 65_536,
        waits: false,
    };

    const STAMP: Stamp = Stamp { log: 7, epoch: 3 };

    #[test]
    fn a_header_is_read_as_it_was_written_and_not_otherwise() {
        let waiting = Header {
            waits: true,
            ..HEADER
        };
        assert_eq!(Opening::decode(&waiting.encode()), Opening::Header(waiting));
        let block = HEADER.encode();
        assert_eq!(Opening::decode(&block), Opening::Header(HEADER));
        for bit in 0..60 * 8 {
            let mut flipped = block;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(
                    Opening::decode(&flipped),
                    Opening::Damaged | Opening::Newer(_)
                ),
                "bit {bit}"
            );
        }
        assert_eq!(possible_logs(&block).collect::<Vec<_>>(), [7, 7]);
        assert_eq!(Opening::decode(&[0; 512]), Opening::Unused);
        assert_eq!(Opening::decode(&[]), Opening::Unused);
        assert_eq!(Opening::decode(&[1; 20]), Opening::Damaged);
    }

    #[test]
    fn a_header_with_numbers_that_no_writer_has_is_damaged() {
        for header in [
            Header { epoch: 0, ..HEADER },
            Header {
                epoch: u64::MAX,
                ..HEADER
            },
            Header {
                first_sequence: 0,
                ..HEADER
            },
            Header {
                first_sequence: u64::MAX,
                ..HEADER
            },
            Header {
                oldest_epoch: 0,
                ..HEADER
            },
            Header {
                oldest_epoch: 4,
                ..HEADER
            },
            Header {
                size: 4095,
                ..HEADER
            },
        ] {
            assert_eq!(
                Opening::decode(&header.encode()),
                Opening::Damaged,
                "{header:?}"
            );
        }
    }

    #[test]
    fn a_later_format_is_told_from_damage() {
        let mut block = HEADER.encode();
        block[8] = 2;
        assert_eq!(Opening::decode(&block), Opening::Newer(2));
    }

    #[test]
    fn a_group_belongs_to_its_log_and_epoch_and_each_bit_counts() {
        let mut bytes = Vec::new();
        push_group(&mut bytes, b"records", 100, 99);
        push_group(&mut bytes, b"", 101, 99);
        seal(&mut bytes, STAMP);
        let first = group_at(&bytes, 0, STAMP).unwrap();
        assert_eq!(
            (first.sequence, first.synced, first.records),
            (100, 99, &b"records"[..])
        );
        assert_eq!(group_at(&bytes, first.size, STAMP).unwrap().sequence, 101);
        for other in [Stamp { epoch: 4, ..STAMP }, Stamp { log: 8, ..STAMP }] {
            assert_eq!(group_at(&bytes, 0, other), None);
        }
        for bit in 0..first.size * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(group_at(&flipped, 0, STAMP), None, "bit {bit}");
        }
        for cut in 0..first.size {
            assert_eq!(group_at(&bytes[..cut], 0, STAMP), None, "cut at {cut}");
        }
        assert_eq!(group_at(&[0; 64], 0, STAMP), None);
    }
}

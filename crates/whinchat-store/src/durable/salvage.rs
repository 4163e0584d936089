//! Which groups of a damaged log are still valid: the reader that goes on where an opening ends.
//!
//! Behind a hole it looks for the next group that has this segment's epoch under its CRC and a sequence that can follow; the end of the last segment is judged
//! as an opening judges it. A file without a valid header is tried with the epochs that are missing.

use std::sync::Arc;

use crate::disk::Disk;

use super::{
    place::padded,
    recovery::{
        Found, OpenError, each_file, groups_from, in_force, load, new_log, one_log, was_synced,
    },
    repair::Dropped,
    segment::{GROUP_HEADER_BYTES, HEADER_BYTES, Opening, Stamp, group_at, possible_logs},
    segments::LogFile,
};

/// The files of a log that may be damaged.
pub(super) struct Look {
    pub(super) log: u64,
    pub(super) largest_epoch: u64,
    pub(super) next_name: u64,
    /// Names of files without a valid header.
    pub(super) damaged: Vec<Arc<str>>,
    /// Names of all others.
    pub(super) others: Vec<Arc<str>>,
    /// What may hold groups that are needed, oldest first.
    sources: Vec<Source>,
    /// Files without a valid header that begin with no group of an epoch that is missing.
    unknown: Vec<Arc<str>>,
    /// The oldest epoch that is needed.
    oldest: u64,
}

/// A file and whose groups it has.
struct Source {
    file: LogFile,
    stamp: Stamp,
    /// Bytes of the segment.
    size: u64,
    first_sequence: u64,
    has_header: bool,
}

/// Something that was found, in the order of the log.
pub(super) enum Salvaged<'a> {
    Group {
        file: &'a str,
        offset: u64,
        sequence: u64,
        records: &'a [u8],
    },
    Dropped(Dropped),
}

/// Reads all headers.
pub(super) fn look(disk: &dyn Disk) -> Result<Look, OpenError> {
    let mut found = Vec::new();
    let mut without_header = Vec::new();
    let mut others = Vec::new();
    let mut next_name = 0;
    each_file(disk, |number, file, opening| {
        next_name = next_name.max(number + 1);
        match opening {
            Opening::Newer(format) => {
                return Err(OpenError::Newer {
                    file: disk.describe(&file.name),
                    found: format,
                });
            }
            Opening::Damaged => without_header.push(file),
            Opening::Unused => others.push(Arc::clone(&file.name)),
            Opening::Header(header) => {
                others.push(Arc::clone(&file.name));
                found.push(Found { file, header });
            }
        }
        Ok(())
    })?;
    let mut log = one_log(disk, &found)?;
    let waiting = in_force(&mut found);
    let largest = |found: &[Found]| found.iter().map(|found| found.header.epoch).max();
    let newest = largest(&found).unwrap_or(0);
    let oldest = found.last().map_or(1, |newest| newest.header.oldest_epoch);
    found.retain(|found| found.header.epoch >= oldest);
    // The epochs that a file without a header may have: those that nobody has, and the next ones.
    let mut candidates: Vec<u64> = Vec::new();
    let mut expected = oldest;
    for found in &found {
        candidates.extend((expected..found.header.epoch).take(without_header.len()));
        expected = found.header.epoch + 1;
    }
    candidates.extend((expected..).take(without_header.len()));
    let mut sources: Vec<Source> = found
        .into_iter()
        .map(|Found { file, header }| Source {
            size: header.size.min(file.size),
            file,
            stamp: header.stamp(),
            first_sequence: header.first_sequence,
            has_header: true,
        })
        .collect();
    let mut damaged = Vec::new();
    let mut unknown = Vec::new();
    let mut bytes = Vec::new();
    for file in without_header {
        damaged.push(Arc::clone(&file.name));
        load(disk, &file, file.size, &mut bytes)?;
        // The first group stands at a place that is known; it tells epoch and sequence, or nothing does.
        let logs = log
            .into_iter()
            .chain(possible_logs(&bytes).filter(|_| log.is_none()));
        let first = logs
            .flat_map(|log| {
                candidates
                    .iter()
                    .map(move |epoch| Stamp { log, epoch: *epoch })
            })
            .find_map(|stamp| {
                let group = group_at(&bytes, HEADER_BYTES as usize, stamp)?;
                Some((stamp, group.sequence))
            });
        match first {
            Some((stamp, first_sequence)) => {
                log = Some(stamp.log);
                sources.push(Source {
                    size: file.size,
                    file,
                    stamp,
                    first_sequence,
                    has_header: false,
                });
            }
            None => unknown.push(file.name),
        }
    }
    sources.sort_by_key(|source| source.stamp.epoch);
    Ok(Look {
        log: log.unwrap_or_else(new_log),
        largest_epoch: newest.max(largest(&waiting).unwrap_or(0)) + damaged.len() as u64,
        next_name,
        damaged,
        others,
        sources,
        unknown,
        oldest,
    })
}

/// Visits the valid groups in order, and what lies between them.
pub(super) fn walk(
    disk: &dyn Disk,
    look: &Look,
    mut progress: impl FnMut(u64, u64),
    visit: impl FnMut(Salvaged<'_>) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let total = look.sources.iter().map(|source| source.size).sum();
    let mut read = 0;
    let mut bytes = Vec::new();
    let mut walk = Walk { settled: 0, visit };
    if let Some(first) = look.sources.first() {
        walk.settled = first.first_sequence - 1;
        if first.stamp.epoch > look.oldest {
            walk.dropped(Dropped::Segments {
                first: look.oldest,
                last: first.stamp.epoch - 1,
                before: disk.describe(&first.file.name),
            })?;
        }
    }
    for (index, source) in look.sources.iter().enumerate() {
        let file = disk.describe(&source.file.name);
        if source.first_sequence > walk.settled + 1 {
            walk.dropped(Dropped::Missing {
                first: walk.settled + 1,
                last: source.first_sequence - 1,
                before: file.clone(),
            })?;
            walk.settled = source.first_sequence - 1;
        }
        load(disk, &source.file, source.size, &mut bytes)?;
        let next = look.sources.get(index + 1);
        let kept = walk.segment(&file, &bytes, source.stamp, next, |at| {
            progress(read + at as u64, total);
        })?;
        if !source.has_header {
            walk.dropped(Dropped::Header { file, kept })?;
        }
        read += source.size;
    }
    for name in &look.unknown {
        let file = disk.describe(name);
        walk.dropped(Dropped::Header { file, kept: 0 })?;
    }
    Ok(())
}

struct Walk<V> {
    /// The last sequence that was kept, or told as missing.
    settled: u64,
    visit: V,
}

impl<V: FnMut(Salvaged<'_>) -> Result<(), OpenError>> Walk<V> {
    fn dropped(&mut self, dropped: Dropped) -> Result<(), OpenError> {
        (self.visit)(Salvaged::Dropped(dropped))
    }

    /// Goes through one segment; how many of its groups are valid.
    fn segment(
        &mut self,
        file: &str,
        bytes: &[u8],
        stamp: Stamp,
        next: Option<&Source>,
        mut progress: impl FnMut(usize),
    ) -> Result<u64, OpenError> {
        let end = next.map(|next| next.first_sequence);
        let mut valid = 0;
        let mut at = HEADER_BYTES as usize;
        while end != Some(self.settled + 1) {
            progress(at);
            let expected = self.settled + 1;
            if let Some(group) =
                group_at(bytes, at, stamp).filter(|group| group.sequence == expected)
            {
                (self.visit)(Salvaged::Group {
                    file,
                    offset: (at + GROUP_HEADER_BYTES) as u64,
                    sequence: group.sequence,
                    records: group.records,
                })?;
                valid += 1;
                self.settled = expected;
                at += group.size;
                continue;
            }
            if next.is_none() && !was_synced(bytes, at, stamp, expected) {
                // As an opening cuts it.
                let rest = bytes.get(at..).unwrap_or_default();
                if rest.iter().any(|byte| *byte != 0) {
                    let (file, from) = (file.to_owned(), at as u64);
                    self.dropped(Dropped::Tail { file, from })?;
                }
                break;
            }
            let resumed = resume(bytes, at, stamp, self.settled, end);
            let (to, behind) = match (resumed, next) {
                (Some((to, sequence)), _) => (to, sequence),
                (None, Some(next)) if next.stamp.epoch <= stamp.epoch + 1 => {
                    (bytes.len(), next.first_sequence)
                }
                // What is missing may have stood in a segment that is missing too.
                (None, _) => break,
            };
            if behind > expected {
                self.dropped(Dropped::Groups {
                    file: file.to_owned(),
                    from: at as u64,
                    to: to as u64,
                    first: expected,
                    last: behind - 1,
                })?;
                self.settled = behind - 1;
            }
            if resumed.is_none() {
                break;
            }
            at = to;
        }
        Ok(valid)
    }
}

/// Where the next valid group behind a hole at `at` is, and its sequence.
///
/// Where the length of the bad group leads to the one after it, that is taken: nothing inside the bad group is looked at then, which a client may have written.
fn resume(
    bytes: &[u8],
    at: usize,
    stamp: Stamp,
    settled: u64,
    next: Option<u64>,
) -> Option<(usize, u64)> {
    let may_follow = |sequence: u64| {
        sequence > settled
            && match next {
                Some(next) => sequence < next,
                // No segment has more groups than fit into it.
                None => sequence - settled <= (bytes.len() / GROUP_HEADER_BYTES) as u64,
            }
    };
    let length = bytes
        .get(at + 4..at + 8)
        .and_then(|length| length.try_into().ok())
        .map_or(0, u32::from_le_bytes);
    let hinted = at.checked_add(GROUP_HEADER_BYTES + padded(length as usize))?;
    let hinted_at = group_at(bytes, hinted, stamp).map(|group| group.sequence);
    if may_follow(settled + 2) && hinted_at == Some(settled + 2) {
        return Some((hinted, settled + 2));
    }
    groups_from(bytes, at, stamp, may_follow)
        .next()
        .map(|(at, group)| (at, group.sequence))
}

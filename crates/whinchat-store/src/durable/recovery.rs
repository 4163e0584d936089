//! Reading a log back: which segments belong to it, where it ends, and whether anything is missing.
//!
//! The needed segments are one row of epochs. In each but the last, groups must reach up to the first sequence of the next: its header was written when all
//! before it was synced. The last one ends where no valid group follows. If a later group is there all the same and says that the missing one had been synced,
//! something that was vouched for is gone: that is damage and not a torn tail, and nothing is started on it.

use std::{collections::VecDeque, error::Error, fmt, io, sync::Arc};

use crate::{
    Lsn, Place,
    disk::{Disk, read_full},
};

use super::{
    segment::{
        FORMAT, GROUP_HEADER_BYTES, Group, HEADER_BYTES, Header, Opening, Stamp, group_at,
        sequence_at,
    },
    segments::{LogFile, Segment, Segments},
};

/// A group that was read back.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Replayed<'a> {
    /// Its position in the order.
    pub lsn: Lsn,
    /// Where its records are.
    pub place: Place,
    /// Its records: see [`record::read`](crate::record::read).
    pub records: &'a [u8],
    /// What older segments held and was still needed has been read: the segment of this group was begun after they were given up. Before that, what seems to be of
    /// no more use may be needed by what follows.
    pub is_settled: bool,
    /// Bytes of the log that were read so far, and that there are: for a progress bar.
    pub progress: (u64, u64),
}

/// Takes one group after the other; an error ends the reading.
pub(crate) type Replay<'a> =
    dyn FnMut(Replayed<'_>) -> Result<(), Box<dyn Error + Send + Sync>> + 'a;

/// What was found when a log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The last group; [`Lsn::ZERO`] in a new log.
    pub last: Lsn,
    /// Groups that were read.
    pub groups: u64,
    /// Segments that are needed.
    pub segments: usize,
    /// Where the last segment ended in bytes that were never vouched for: file and offset.
    pub torn: Option<(String, u64)>,
}

/// Why a log cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The operating system refused.
    #[error("cannot {what} {file}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        file: String,
        /// What it answered.
        #[source]
        error: io::Error,
    },
    /// Something that had been synced is not there.
    #[error("{file} is damaged at byte {offset}: {what}")]
    Damaged {
        /// The file.
        file: String,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong.
        what: Damage,
    },
    /// It was written by a later release.
    #[error("{file} has format {found} of the log, this release reads up to format {FORMAT}")]
    Newer {
        /// The file.
        file: String,
        /// Its format.
        found: u32,
    },
    /// The files are of two logs.
    #[error("{file} belongs to another log than {other}")]
    Foreign {
        /// One file.
        file: String,
        /// One of the other log.
        other: String,
    },
    /// The reader of the records refused a group.
    #[error("{file}: the group at byte {offset} cannot be read back: {error}")]
    Replay {
        /// The file.
        file: String,
        /// Where its records begin, in bytes.
        offset: u64,
        /// What the reader said.
        error: Box<dyn Error + Send + Sync>,
    },
}

/// What is wrong with a damaged log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// A group that had been synced is not valid.
    Group {
        /// Its sequence.
        sequence: u64,
    },
    /// A segment is missing in the row.
    Segment {
        /// Its epoch.
        epoch: u64,
    },
    /// The first bytes of a file are no header.
    Header,
    /// A segment begins with another group than the one that follows.
    Sequence {
        /// The group that should follow.
        expected: u64,
        /// The first one of the segment.
        found: u64,
    },
    /// Two files have the same epoch.
    Twice {
        /// The epoch.
        epoch: u64,
    },
    /// A file is shorter than its header says.
    Short {
        /// Bytes that should be there.
        size: u64,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group { sequence } => {
                write!(f, "group {sequence} had been synced and is not valid")
            }
            Self::Segment { epoch } => {
                write!(f, "segment {epoch} should come before it and is missing")
            }
            Self::Header => f.write_str("its header is not valid"),
            Self::Sequence { expected, found } => {
                write!(
                    f,
                    "it begins with group {found}, but group {expected} comes next"
                )
            }
            Self::Twice { epoch } => write!(f, "another file is segment {epoch} too"),
            Self::Short { size } => write!(f, "it ends before the {size} bytes of its segment"),
        }
    }
}

/// The log of a disk, read back.
pub(crate) struct Opened {
    pub(crate) segments: Segments,
    pub(crate) recovered: Recovered,
    pub(crate) next_epoch: u64,
    pub(crate) next_sequence: u64,
}

/// One file with its header.
pub(super) struct Found {
    pub(super) file: LogFile,
    pub(super) header: Header,
}

/// Reads the whole log, oldest group first.
pub(crate) fn open(disk: Arc<dyn Disk>, replay: &mut Replay<'_>) -> Result<Opened, OpenError> {
    let Files {
        mut found,
        mut free,
        next_name,
        log,
    } = files(&*disk)?;
    free.extend(in_force(&mut found).into_iter().map(|waiting| waiting.file));
    let oldest = found.last().map_or(1, |newest| newest.header.oldest_epoch);
    let needed_from = found.partition_point(|found| found.header.epoch < oldest);
    free.extend(found.drain(..needed_from).map(|unneeded| unneeded.file));
    check_row(&*disk, &found, oldest)?;

    let total: u64 = found.iter().map(|found| found.file.size).sum();
    let mut read = 0;
    let mut recovered = Recovered {
        segments: found.len(),
        ..Recovered::default()
    };
    let mut next_sequence = found.first().map_or(1, |first| first.header.first_sequence);
    let mut bytes = Vec::new();
    for (index, segment) in found.iter().enumerate() {
        if segment.header.first_sequence != next_sequence {
            return Err(damaged(
                &*disk,
                &segment.file,
                0,
                Damage::Sequence {
                    expected: next_sequence,
                    found: segment.header.first_sequence,
                },
            ));
        }
        load(&*disk, &segment.file, segment.header.size, &mut bytes)?;
        let end = found.get(index + 1).map(|next| next.header.first_sequence);
        let stamp = segment.header.stamp();
        let mut at = HEADER_BYTES as usize;
        while Some(next_sequence) != end {
            let group = group_at(&bytes, at, stamp).filter(|group| group.sequence == next_sequence);
            let Some(group) = group else {
                if end.is_some() || was_synced(&bytes, at, stamp, next_sequence) {
                    let sequence = next_sequence;
                    return Err(damaged(
                        &*disk,
                        &segment.file,
                        at as u64,
                        Damage::Group { sequence },
                    ));
                }
                if bytes[at..].iter().any(|byte| *byte != 0) {
                    recovered.torn = Some((disk.describe(&segment.file.name), at as u64));
                }
                break;
            };
            let offset = (at + GROUP_HEADER_BYTES) as u64;
            replay(Replayed {
                lsn: Lsn::new(group.sequence),
                place: Place {
                    segment: segment.header.epoch,
                    offset,
                },
                records: group.records,
                is_settled: segment.header.oldest_epoch == oldest,
                progress: (read + at as u64, total),
            })
            .map_err(|error| OpenError::Replay {
                file: disk.describe(&segment.file.name),
                offset,
                error,
            })?;
            recovered.groups += 1;
            at += group.size;
            next_sequence += 1;
        }
        read += segment.file.size;
    }
    recovered.last = Lsn::new(next_sequence - 1);
    let next_epoch = found.last().map_or(1, |newest| newest.header.epoch + 1);
    let needed: VecDeque<Segment> = found
        .into_iter()
        .map(|found| Segment {
            epoch: found.header.epoch,
            file: found.file,
        })
        .collect();
    Ok(Opened {
        segments: Segments::new(
            disk,
            log.unwrap_or_else(new_log),
            needed,
            free,
            oldest,
            next_name,
        ),
        recovered,
        next_epoch,
        next_sequence,
    })
}

pub(super) struct Files {
    pub(super) found: Vec<Found>,
    free: Vec<LogFile>,
    next_name: u64,
    /// The log of all files that have a header.
    log: Option<u64>,
}

/// The number of a log that begins.
pub(super) fn new_log() -> u64 {
    fastrand::u64(1..)
}

/// Sorts by epoch and takes out the segments of a row that was never finished: they wait for a later one that is not there.
pub(super) fn in_force(found: &mut Vec<Found>) -> Vec<Found> {
    found.sort_by_key(|found| found.header.epoch);
    let last = found.iter().rposition(|found| !found.header.waits);
    found.split_off(last.map_or(0, |last| last + 1))
}

pub(super) fn files(disk: &dyn Disk) -> Result<Files, OpenError> {
    let mut files = Files {
        found: Vec::new(),
        free: Vec::new(),
        next_name: 0,
        log: None,
    };
    each_file(disk, |number, file, opening| {
        files.next_name = files.next_name.max(number + 1);
        match opening {
            Opening::Unused => files.free.push(file),
            Opening::Header(header) => files.found.push(Found { file, header }),
            Opening::Newer(found) => {
                return Err(OpenError::Newer {
                    file: disk.describe(&file.name),
                    found,
                });
            }
            Opening::Damaged => return Err(damaged(disk, &file, 0, Damage::Header)),
        }
        Ok(())
    })?;
    files.log = one_log(disk, &files.found)?;
    // A file whose allocation was cut is too short for a segment.
    files.free.retain(|file| file.size > HEADER_BYTES);
    Ok(files)
}

/// Calls `visit` for each file of the log, in no order: with the number in its name, and what it begins with.
pub(super) fn each_file(
    disk: &dyn Disk,
    mut visit: impl FnMut(u64, LogFile, Opening) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let io = |what, file: &str, error| OpenError::Io {
        what,
        file: disk.describe(file),
        error,
    };
    for name in disk.list().map_err(|error| io("list", "", error))? {
        let number = name
            .strip_prefix("log-")
            .and_then(|text| text.parse::<u64>().ok());
        let Some(number) = number else {
            continue;
        };
        let file = disk.open(&name).map_err(|error| io("open", &name, error))?;
        let size = file.size().map_err(|error| io("look at", &name, error))?;
        let mut block = [0; 512];
        let read = read_full(&*file, &mut block, 0).map_err(|error| io("read", &name, error))?;
        let file = LogFile {
            name: Arc::from(name),
            file,
            size,
        };
        visit(number, file, Opening::decode(&block[..read]))?;
    }
    Ok(())
}

/// The log of these files. Another one among them is refused, also where its file seems not to be needed: if its epochs were larger, it would be taken for
/// the whole log.
pub(super) fn one_log(disk: &dyn Disk, found: &[Found]) -> Result<Option<u64>, OpenError> {
    let Some(first) = found.first() else {
        return Ok(None);
    };
    match found
        .iter()
        .find(|other| other.header.log != first.header.log)
    {
        Some(other) => Err(OpenError::Foreign {
            file: disk.describe(&other.file.name),
            other: disk.describe(&first.file.name),
        }),
        None => Ok(Some(first.header.log)),
    }
}

/// The row of needed segments has no gap and no double.
pub(super) fn check_row(disk: &dyn Disk, found: &[Found], oldest: u64) -> Result<(), OpenError> {
    for (expected, Found { file, header }) in (oldest..).zip(found) {
        if header.epoch < expected {
            let epoch = header.epoch;
            return Err(damaged(disk, file, 0, Damage::Twice { epoch }));
        }
        if header.epoch > expected {
            let epoch = expected;
            return Err(damaged(disk, file, 0, Damage::Segment { epoch }));
        }
        if file.size < header.size {
            let size = header.size;
            return Err(damaged(disk, file, file.size, Damage::Short { size }));
        }
    }
    Ok(())
}

pub(super) fn load(
    disk: &dyn Disk,
    file: &LogFile,
    size: u64,
    bytes: &mut Vec<u8>,
) -> Result<(), OpenError> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    bytes.resize(size, 0);
    let read = read_full(&*file.file, bytes, 0).map_err(|error| OpenError::Io {
        what: "read",
        file: disk.describe(&file.name),
        error,
    })?;
    bytes.truncate(read);
    Ok(())
}

/// Whether a group behind `at` says that group `sequence` was synced.
pub(super) fn was_synced(bytes: &[u8], at: usize, stamp: Stamp, sequence: u64) -> bool {
    // No segment has more groups than fit into it.
    let last = sequence.saturating_add((bytes.len() / GROUP_HEADER_BYTES) as u64);
    groups_from(bytes, at, stamp, |found| found > sequence && found <= last)
        .any(|(_, group)| group.synced >= sequence)
}

/// The valid groups at any place from `at` on whose sequence `may_be` one.
///
/// The sequence is looked at first: what an earlier use of the file has left may look like the length of anything at any place, and a checksum over all that for
/// each place would take minutes.
pub(super) fn groups_from(
    bytes: &[u8],
    at: usize,
    stamp: Stamp,
    may_be: impl Fn(u64) -> bool,
) -> impl Iterator<Item = (usize, Group<'_>)> {
    (at..bytes.len())
        .step_by(8)
        .filter(move |at| sequence_at(bytes, *at).is_some_and(&may_be))
        .filter_map(move |at| Some((at, group_at(bytes, at, stamp)?)))
}

pub(super) fn damaged(disk: &dyn Disk, file: &LogFile, offset: u64, what: Damage) -> OpenError {
    OpenError::Damaged {
        file: disk.describe(&file.name),
        offset,
        what,
    }
}

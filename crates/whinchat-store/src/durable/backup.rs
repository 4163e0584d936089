//! A copy of a log: taken while a broker writes, or while nobody does.
//!
//! ```text
//!  read headers ──► copy the needed segments, the last one cut at its last whole group ──► read headers again: none was used anew
//! ```
//!
//! Any prefix of a log is a state that the broker had, so it is enough that the copy is one. A segment that is full does not change until its file is used
//! again, which its header shows afterwards; then the copy begins anew. The last segment grows while it is read, so it is cut at the first group that is not
//! whole; all that was committed before the copy began is in front of it. A group that was seen half written, though a later one says that it was synced, is whole
//! when it is read once more, or the log is damaged.
//!
//! The segments of the copy wait for its last one, whose header is written last: a copy that was interrupted is an empty log and not a part of one.

use std::io;

use crate::{
    Lsn,
    disk::{Disk, allocate, read_full, write_all},
};

use super::{
    recovery::{
        Damage, Files, Found, OpenError, check_row, damaged, files, in_force, load, was_synced,
    },
    segment::{HEADER_BYTES, Header, Opening, group_at},
};

/// How often a copy begins anew because the broker gave up segments meanwhile.
const ATTEMPTS: u32 = 10;

/// How often damage has to be seen before it is believed.
const DAMAGE_SEEN: u32 = 2;

/// What a copy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUp {
    /// The last group of it; [`Lsn::ZERO`] of an empty log.
    pub last: Lsn,
    /// Segments of it.
    pub segments: usize,
    /// Bytes of its files.
    pub bytes: u64,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The log cannot be read, or is damaged.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// There is something at the target.
    #[error("{0} is not empty")]
    NotEmpty(String),
    /// The target cannot be written.
    #[error("cannot write {file}: {error}")]
    Target {
        /// The file.
        file: String,
        /// What the operating system answered.
        #[source]
        error: io::Error,
    },
    /// The broker gave up the segments faster than they were copied.
    #[error(
        "the log changed too fast: {ATTEMPTS} times a segment was used anew before it was copied"
    )]
    TooFast,
}

/// Copies the log of `from`, which a broker may write meanwhile, to the empty disk `to`: a log of the same groups up to one that was committed or was about
/// to be, and all that was committed when the call began.
///
/// `progress` is called with the bytes that were copied, and that there are.
///
/// # Errors
/// If there is no whole copy; what was begun is removed from `to`.
pub fn backup(
    from: &dyn Disk,
    to: &dyn Disk,
    mut progress: impl FnMut(u64, u64),
) -> Result<BackedUp, BackupError> {
    let target = |name: &str, error| BackupError::Target {
        file: to.describe(name),
        error,
    };
    if !to.list().map_err(|error| target("", error))?.is_empty() {
        return Err(BackupError::NotEmpty(to.describe("")));
    }
    let mut damage = 0;
    for _ in 0..ATTEMPTS {
        let copied = attempt(from, to, &mut progress);
        if let Ok(Some(copied)) = copied {
            return Ok(copied);
        }
        for name in to.list().map_err(|error| target("", error))? {
            to.remove(&name).map_err(|error| target(&name, error))?;
        }
        match copied {
            // The headers were read one after the other, while files were used anew: it has to be seen again.
            Err(BackupError::Log(OpenError::Damaged { .. })) if damage < DAMAGE_SEEN => damage += 1,
            Err(BackupError::Log(OpenError::Io { error, .. }))
                if error.kind() == io::ErrorKind::NotFound => {}
            other => {
                other?;
            }
        }
    }
    Err(BackupError::TooFast)
}

/// One copy; `None` if a segment of it was used anew meanwhile.
fn attempt(
    from: &dyn Disk,
    to: &dyn Disk,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Option<BackedUp>, BackupError> {
    let row = row(from)?;
    let total = row.iter().map(|found| found.header.size).sum();
    let mut copied = BackedUp {
        last: Lsn::ZERO,
        segments: row.len(),
        bytes: 0,
    };
    let mut next = row.first().map_or(1, |first| first.header.first_sequence);
    let mut bytes = Vec::new();
    for (index, found) in row.iter().enumerate() {
        let end = row.get(index + 1).map(|next| next.header.first_sequence);
        let read = read_segment(from, found, &mut next, end, &mut bytes);
        if !is_still(from, found)? {
            // Whatever was read, or could not be read, may be of another use.
            return Ok(None);
        }
        read?;
        let name = format!("log-{index:06}");
        write_segment(to, &name, found, &bytes, end.is_some()).map_err(|error| {
            BackupError::Target {
                file: to.describe(&name),
                error,
            }
        })?;
        copied.bytes += found.header.size;
        progress(copied.bytes, total);
    }
    copied.last = Lsn::new(next - 1);
    Ok(Some(copied))
}

/// The segments that are needed, oldest first.
fn row(disk: &dyn Disk) -> Result<Vec<Found>, OpenError> {
    let Files { mut found, .. } = files(disk)?;
    in_force(&mut found);
    let oldest = found.last().map_or(1, |newest| newest.header.oldest_epoch);
    found.retain(|found| found.header.epoch >= oldest);
    check_row(disk, &found, oldest)?;
    Ok(found)
}

/// Reads the groups of a segment from `next` on, up to `end` or to the first that is not whole.
fn read_segment(
    disk: &dyn Disk,
    found: &Found,
    next: &mut u64,
    end: Option<u64>,
    bytes: &mut Vec<u8>,
) -> Result<(), OpenError> {
    let stamp = found.header.stamp();
    let mut at = HEADER_BYTES as usize;
    let mut hole = None;
    loop {
        load(disk, &found.file, found.header.size, bytes)?;
        while Some(*next) != end {
            let Some(group) = group_at(bytes, at, stamp).filter(|group| group.sequence == *next)
            else {
                break;
            };
            at += group.size;
            *next += 1;
        }
        let is_whole = match end {
            Some(end) => end == *next,
            None => !was_synced(bytes, at, stamp, *next),
        };
        if is_whole {
            bytes.truncate(at);
            return Ok(());
        }
        if hole == Some(at) {
            let what = Damage::Group { sequence: *next };
            return Err(damaged(disk, &found.file, at as u64, what));
        }
        hole = Some(at);
    }
}

/// Whether the file has the header with which it was found.
fn is_still(disk: &dyn Disk, found: &Found) -> Result<bool, OpenError> {
    let mut block = [0; 512];
    let read = read_full(&*found.file.file, &mut block, 0).map_err(|error| OpenError::Io {
        what: "read",
        file: disk.describe(&found.file.name),
        error,
    })?;
    Ok(Opening::decode(&block[..read]) == Opening::Header(found.header))
}

/// Writes the groups, and when they are safe the header.
fn write_segment(
    disk: &dyn Disk,
    name: &str,
    found: &Found,
    bytes: &[u8],
    waits: bool,
) -> io::Result<()> {
    let header = Header {
        waits,
        ..found.header
    };
    let file = allocate(disk, name, header.size)?;
    write_all(&*file, &bytes[HEADER_BYTES as usize..], HEADER_BYTES)?;
    file.sync()?;
    write_all(&*file, &header.encode(), 0)?;
    file.sync()
}

//! A log read from end to end, as an opening does it, and nothing changed: whether it is whole, and what is in it.

use std::{collections::BTreeMap, error::Error, sync::Arc};

use crate::{Lsn, RecordKind, disk::Disk, record};

use super::recovery::{self, OpenError, Recovered, Replayed};

/// What a whole log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// What an opening would say of it.
    pub recovered: Recovered,
    /// The first group; [`Lsn::ZERO`] if there is none.
    pub first: Lsn,
    /// Bytes of all files, those that wait for their next use included.
    pub bytes: u64,
    /// How many records there are of each kind.
    pub records: BTreeMap<RecordKind, u64>,
}

/// Reads the whole log of `disk`, and writes nothing. `check` gets each group once its checksum and the frames of its records were found right.
///
/// # Errors
/// The same with which [`DurableLog::open`](crate::DurableLog::open) would refuse the log.
pub fn verify(
    disk: Arc<dyn Disk>,
    mut check: impl FnMut(Replayed<'_>) -> Result<(), Box<dyn Error + Send + Sync>>,
) -> Result<Verified, OpenError> {
    let mut first = None;
    let mut records = BTreeMap::new();
    let opened = recovery::open(disk, &mut |group: Replayed<'_>| {
        first.get_or_insert(group.lsn);
        for record in record::read(group.records) {
            *records.entry(record?.kind).or_insert(0) += 1;
        }
        check(group)
    })?;
    Ok(Verified {
        recovered: opened.recovered,
        first: first.unwrap_or(Lsn::ZERO),
        bytes: opened.segments.bytes(),
        records,
    })
}

//! A log read back from disks that nobody wrote, or that somebody has spoilt.

use std::sync::Arc;

use whinchat_store::disk::{Disk, SimulatedDisk, write_all};
use whinchat_store::{
    Commit, Durability, DurableLog, DurableLogOptions, Log, LogSegments, OpenError, Place,
    Recovered, Verdict, repair,
};

use super::super::steps::Steps;

/// What stands in front of the groups of a segment, and the smallest segment there is, in bytes.
const HEADER_BYTES: usize = 4096;
const SEGMENT_BYTES: usize = 8 << 10;

/// A log is opened or refused, a refusal changes nothing, and what was opened goes on: what was read is read again, and what
/// is appended then stands behind it. What was refused may be repaired, and opens then. Of a log that was spoilt behind its
/// back nothing is read that was not written, and all in order.
pub fn recovery(data: &[u8]) {
    let mut steps = Steps(data);
    if steps.byte().is_multiple_of(2) {
        check_opens(&invented(&mut steps));
    } else {
        spoilt(&mut steps);
    }
}

type Groups = Vec<(Place, Vec<u8>)>;

fn open(disk: &SimulatedDisk) -> Result<(DurableLog, Recovered, Groups), OpenError> {
    let mut groups = Vec::new();
    let mut options = DurableLogOptions::default();
    options.segment_bytes = SEGMENT_BYTES as u64;
    let (log, recovered) = DurableLog::open_stepped(Arc::new(disk.clone()), options, |group| {
        let (done, all) = group.progress;
        assert!(done <= all);
        groups.push((group.place, group.records.to_vec()));
        Ok(())
    })?;
    Ok((log, recovered, groups))
}

fn check_opens(disk: &SimulatedDisk) -> Groups {
    let before = disk.operations();
    let (log, recovered, groups) = match open(disk) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(disk.operations(), before, "a refusal changes nothing");
            return check_repairs(disk);
        }
    };
    assert_eq!(recovered.groups, groups.len() as u64);
    for (place, records) in &groups {
        let read = log.read(*place, 0, records.len());
        assert_eq!(read.ok().as_ref(), Some(records), "{place:?}");
    }
    let mut group = b"the next one".to_vec();
    let appended = log.append_placed(&mut group, Durability::Synced);
    let (lsn, place) = appended.expect("an open log takes a group");
    assert_eq!(lsn.get(), recovered.last.get() + 1);
    assert_eq!(log.commit(), Commit::Done(lsn));
    assert_eq!(log.committed(), lsn);
    log.abandon();
    let (log, _, again) = open(disk).expect("what was opened opens again");
    log.abandon();
    let (last, earlier) = again.split_last().expect("the group that was appended");
    assert_eq!(last, &(place, b"the next one".to_vec()));
    assert_eq!(earlier, groups);
    groups
}

/// What can be repaired opens, with as many groups as were kept; what cannot says why. Gives what is there then.
fn check_repairs(disk: &SimulatedDisk) -> Groups {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let segment_bytes = SEGMENT_BYTES as u64;
    match repair(
        &shared,
        segment_bytes,
        |_| Verdict::Keep,
        |done, all| assert!(done <= all),
    ) {
        Ok(repaired) => {
            let (log, _, groups) = open(disk).expect("a repaired log opens");
            log.abandon();
            assert_eq!(repaired.kept, groups.len() as u64);
            groups
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            Vec::new()
        }
    }
}

/// Up to three files with headers and groups whose checksums are right, whatever they say.
fn invented(steps: &mut Steps<'_>) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let files = 1 + steps.below(3);
    for number in 0..files {
        let mut bytes = vec![0; HEADER_BYTES];
        let small = |steps: &mut Steps<'_>| u64::from(steps.byte() % 8);
        // It may be of a repair that has not ended: then it waits, and is far above all others.
        let waits = steps.byte() & 1;
        let epoch = small(steps) + (u64::from(waits) << 32);
        let sequence = small(steps);
        let size = match steps.byte() % 4 {
            0 => u64::from(steps.byte()) << 8,
            1 => u64::MAX,
            _ => SEGMENT_BYTES as u64,
        };
        let fields = [
            u64::from(steps.byte() & 1),
            epoch,
            sequence,
            small(steps),
            size,
        ];
        let log = fields[0];
        bytes[..header(waits, &fields).len()].copy_from_slice(&header(waits, &fields));
        let mut next = sequence;
        while !steps.byte().is_multiple_of(4) && bytes.len() < SEGMENT_BYTES - 512 {
            let skipped = u64::from(steps.byte() == 1);
            let synced = u64::from(steps.byte() % 8);
            push_group(
                &mut bytes,
                (log, epoch),
                next + skipped,
                synced,
                steps.piece(),
            );
            next += 1;
        }
        bytes.extend_from_slice(steps.piece());
        bytes.resize(SEGMENT_BYTES, 0);
        let file = disk.create(&format!("log-{number}")).expect("a new file");
        write_all(&*file, &bytes, 0).expect("room");
    }
    disk
}

fn header(waits: u8, fields: &[u64; 5]) -> Vec<u8> {
    let mut bytes = b"WHINLOG\0\x01\0\0\0".to_vec();
    bytes.extend_from_slice(&[waits, 0, 0, 0]);
    for field in fields {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn push_group(
    bytes: &mut Vec<u8>,
    (log, epoch): (u64, u64),
    sequence: u64,
    synced: u64,
    records: &[u8],
) {
    let mut group = Vec::new();
    let length = u32::try_from(records.len()).expect("at most 255");
    group.extend_from_slice(&length.to_le_bytes());
    group.extend_from_slice(&sequence.to_le_bytes());
    group.extend_from_slice(&synced.to_le_bytes());
    group.extend_from_slice(records);
    group.resize(20 + records.len().next_multiple_of(8), 0);
    let stamp = crc32c::crc32c_append(crc32c::crc32c(&log.to_le_bytes()), &epoch.to_le_bytes());
    let crc = crc32c::crc32c_append(stamp, &group);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&group);
}

/// A log as it is written, and then some of its bytes are others.
fn spoilt(steps: &mut Steps<'_>) {
    let disk = SimulatedDisk::new();
    let (log, ..) = open(&disk).expect("a new log");
    let mut written = Vec::new();
    while !steps.byte().is_multiple_of(8) && written.len() < 64 {
        // Long ones too, so that there is more than one segment.
        let mut group = steps.piece().repeat(1 + steps.below(16));
        if let Some((_, place)) = log.append_placed(&mut group.clone(), Durability::Synced) {
            written.push((place, std::mem::take(&mut group)));
        }
        if steps.byte().is_multiple_of(2) {
            log.commit();
        }
    }
    log.commit();
    log.abandon();
    let names = disk.list().expect("a list");
    let flips = 1 + steps.below(4);
    for _ in 0..flips {
        if names.is_empty() {
            break;
        }
        let name = &names[steps.below(names.len())];
        let size = disk
            .open(name)
            .and_then(|file| file.size())
            .expect("its size");
        let at = usize::from(steps.byte()) << 8 | usize::from(steps.byte());
        if let Some(at) = at.checked_rem(usize::try_from(size).expect("a small file")) {
            disk.flip(name, at, steps.byte());
        }
    }
    let mut left = written.iter();
    for (_, records) in check_opens(&disk) {
        // In order, and none that was not written.
        let is_written = left.any(|(_, written)| *written == records);
        assert!(
            is_written,
            "a group of {} bytes came out of nothing",
            records.len()
        );
    }
}

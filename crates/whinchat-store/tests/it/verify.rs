//! Reading a whole log without changing it.

use std::{collections::BTreeMap, sync::Arc};

use whinchat_store::{
    Durability, DurableLog, DurableLogOptions, LogSegments, Lsn, OpenError, RecordKind,
    disk::{Disk, SimulatedDisk},
    record, verify,
};

const OFTEN: RecordKind = RecordKind::required(1);
const ONCE: RecordKind = RecordKind::optional(2);

/// Ten groups in segments of 8 KiB: one record of a kind in each, one of another in all.
fn log() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let mut options = DurableLogOptions::default();
    options.segment_bytes = 8 << 10;
    let (log, _) = DurableLog::open_stepped(Arc::new(disk.clone()), options, |_| Ok(())).unwrap();
    let mut group = Vec::new();
    record::write(&mut group, ONCE, 1, 0, |_| {});
    for _ in 0..10 {
        record::write(&mut group, OFTEN, 1, 0, |body| body.resize(1_000, 7));
        log.append_placed(&mut group, Durability::Synced).unwrap();
    }
    log.commit();
    disk
}

#[test]
fn a_whole_log_is_counted_and_left_as_it_was() {
    let disk = log();
    let operations = disk.operations();
    let mut seen = 0;
    let verified = verify(Arc::new(disk.clone()), |group| {
        seen += 1;
        assert!(group.progress.0 < group.progress.1);
        Ok(())
    })
    .unwrap();
    assert_eq!(disk.operations(), operations, "nothing was written");
    assert_eq!(seen, 10);
    assert_eq!(
        (verified.first, verified.recovered.last),
        (Lsn::new(1), Lsn::new(10))
    );
    assert_eq!(verified.recovered.groups, 10);
    assert_eq!(verified.recovered.torn, None);
    assert_eq!(verified.bytes, disk.used_bytes());
    assert_eq!(verified.records, BTreeMap::from([(OFTEN, 10), (ONCE, 1)]));
}

#[test]
fn an_empty_disk_is_whole() {
    let verified = verify(Arc::new(SimulatedDisk::new()), |_| Ok(())).unwrap();
    assert_eq!(
        (verified.first, verified.recovered.last),
        (Lsn::ZERO, Lsn::ZERO)
    );
}

#[test]
fn damage_is_told_as_an_opening_tells_it() {
    let disk = log();
    let mut names = disk.list().unwrap();
    names.sort();
    disk.flip(&names[0], 5_000, 1);
    let error = verify(Arc::new(disk.clone()), |_| Ok(())).unwrap_err();
    let refused =
        DurableLog::open_stepped(Arc::new(disk), DurableLogOptions::default(), |_| Ok(()));
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(error.to_string(), refused.err().unwrap().to_string());
}

#[test]
fn a_group_that_is_not_made_of_records_is_named() {
    let disk = SimulatedDisk::new();
    let options = DurableLogOptions::default();
    let (log, _) = DurableLog::open_stepped(Arc::new(disk.clone()), options, |_| Ok(())).unwrap();
    log.append_placed(&mut vec![9; 20], Durability::Synced)
        .unwrap();
    log.commit();
    let error = verify(Arc::new(disk), |_| Ok(())).unwrap_err();
    assert!(matches!(error, OpenError::Replay { .. }), "{error}");
    assert!(error.to_string().contains("at byte 4120"), "{error}");
}

//! Copies of a log, also of one that is written meanwhile.

use std::sync::Arc;

use whinchat_store::{
    BackupError, Durability, DurableLog, DurableLogOptions, Log as _, LogSegments as _, OpenError,
    RecordKind, backup,
    disk::{Crash, Disk, SimulatedDisk},
    record, verify,
};

fn open(disk: &SimulatedDisk) -> DurableLog {
    let mut options = DurableLogOptions::default();
    options.segment_bytes = 8 << 10;
    DurableLog::open_stepped(Arc::new(disk.clone()), options, |_| Ok(()))
        .unwrap()
        .0
}

fn append(log: &DurableLog) -> u64 {
    let mut group = Vec::new();
    record::write(&mut group, RecordKind::required(1), 1, 0, |body| {
        body.resize(1_000, 7);
    });
    let place = log.append_placed(&mut group, Durability::Synced).unwrap().1;
    log.commit();
    place.segment
}

/// First and last group of a log that is whole.
fn range(disk: &SimulatedDisk) -> (u64, u64) {
    let verified = verify(Arc::new(disk.clone()), |_| Ok(())).unwrap();
    assert_eq!(verified.recovered.torn, None);
    (verified.first.get(), verified.recovered.last.get())
}

#[test]
fn a_copy_is_the_same_log_and_goes_on() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    for _ in 0..20 {
        append(&log);
    }
    let operations = disk.operations();
    let copy = SimulatedDisk::new();
    let copied = backup(&disk, &copy, |_, _| {}).unwrap();
    assert_eq!(disk.operations(), operations, "nothing was changed");
    assert_eq!(copied.last.get(), 20);
    assert_eq!(range(&copy), (1, 20));
    let copied_log = open(&copy);
    append(&copied_log);
    assert_eq!(range(&copy), (1, 21));

    let error = backup(&disk, &copy, |_, _| {}).unwrap_err();
    assert!(matches!(error, BackupError::NotEmpty(_)), "{error}");
    assert_eq!(range(&copy), (1, 21));
}

#[test]
fn a_copy_of_a_log_that_is_written_meanwhile_is_a_log_that_there_was() {
    let mut again = 0;
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = SimulatedDisk::new();
        let log = open(&disk);
        let mut segments = Vec::new();
        for _ in 0..random.usize(1..40) {
            segments.push(append(&log));
        }
        let committed = log.committed().get();
        let copy = SimulatedDisk::new();
        let mut writes_left = random.usize(..60);
        let mut seen = 0;
        let copied = backup(&disk, &copy, |done, _| {
            again += usize::from(done <= seen);
            seen = done;
            // The broker goes on, gives up segments and uses their files again.
            for _ in 0..random.usize(..8).min(writes_left) {
                writes_left -= 1;
                segments.push(append(&log));
                if random.u8(..3) == 0 {
                    let needed = segments.len().saturating_sub(random.usize(1..10));
                    log.release(segments[needed]);
                }
            }
        })
        .unwrap();
        let (_, last) = range(&copy);
        assert_eq!(copied.last.get(), last, "seed {seed}");
        assert!(
            last >= committed && last <= log.committed().get(),
            "seed {seed}: {committed} was committed, {last} is there"
        );
    }
    assert!(again > 0, "no copy began anew");
}

#[test]
fn damage_is_told_and_not_copied() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    for _ in 0..6 {
        append(&log);
    }
    let mut names = disk.list().unwrap();
    names.sort();
    // In a segment that is full, and in the last one.
    for name in [&names[0], &names[1]] {
        let damaged = disk.copy();
        damaged.flip(name, 4_200, 1);
        let copy = SimulatedDisk::new();
        let error = backup(&damaged, &copy, |_, _| {}).unwrap_err();
        assert!(
            matches!(error, BackupError::Log(OpenError::Damaged { .. })),
            "{error}"
        );
        assert!(copy.list().unwrap().is_empty());
    }
}

#[test]
fn a_copy_that_was_interrupted_is_no_shorter_log() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    for _ in 0..10 {
        append(&log);
    }
    let copy = SimulatedDisk::new();
    backup(&disk, &copy, |_, _| {}).unwrap();
    let (mut empty, mut whole) = (0, 0);
    copy.crashes(|done, crash_with| {
        for crash in [Crash::Nothing, Crash::Everything]
            .into_iter()
            .chain((0..8).map(|salt| Crash::Mixture(salt + done as u64 * 10)))
        {
            match range(&crash_with(crash)) {
                (0, 0) => empty += 1,
                (1, 10) => whole += 1,
                other => panic!("after {done}, {crash:?}: {other:?}"),
            }
        }
    });
    assert!(empty > 10 && whole > 5, "{empty} empty, {whole} whole");
}

//! What is kept of a damaged log, what is told, and what an interruption leaves.

use std::sync::Arc;

use whinchat_store::{
    Dropped, Durability, DurableLog, DurableLogOptions, LogSegments, OpenError, Repaired, Verdict,
    disk::{Crash, Disk, Fault, SimulatedDisk},
    record, repair, verify,
};

const SEGMENT_BYTES: u64 = 8 << 10;
const GROUPS: u64 = 12;

/// A group that is one record with its number in it.
fn group(number: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number);
    let mut group = Vec::new();
    record::write(&mut group, record_kind(), 1, 0, |body| {
        body.extend(number.to_le_bytes());
        body.extend(std::iter::repeat_with(|| random.u8(..)).take(1_000));
    });
    group
}

fn record_kind() -> whinchat_store::RecordKind {
    whinchat_store::RecordKind::required(1)
}

fn number(records: &[u8]) -> u64 {
    let bytes = records[record::HEADER_BYTES..][..8].try_into().unwrap();
    u64::from_le_bytes(bytes)
}

fn open(disk: &SimulatedDisk) -> DurableLog {
    let mut options = DurableLogOptions::default();
    options.segment_bytes = SEGMENT_BYTES;
    DurableLog::open_stepped(Arc::new(disk.clone()), options, |_| Ok(()))
        .unwrap()
        .0
}

/// A log of four segments, each group synced before the next.
fn log() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    for number in 1..=GROUPS {
        log.append_placed(&mut group(number), Durability::Synced)
            .unwrap();
        log.commit();
    }
    drop(log);
    disk
}

/// The numbers of the groups that an opening would replay.
fn numbers(disk: &SimulatedDisk) -> Result<Vec<u64>, OpenError> {
    let mut numbers = Vec::new();
    verify(Arc::new(disk.clone()), |replayed| {
        let number = number(replayed.records);
        assert!(replayed.records == group(number), "group {number}");
        numbers.push(number);
        Ok(())
    })?;
    Ok(numbers)
}

fn repair_all(disk: &SimulatedDisk) -> Result<Repaired, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    repair(&disk, SEGMENT_BYTES, |_| Verdict::Keep, |_, _| {})
}

fn sorted_names(disk: &SimulatedDisk) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.sort();
    names
}

/// The sequences that a report says are gone.
fn told(repaired: &Repaired) -> Vec<u64> {
    let ranges = repaired.dropped.iter().map(|dropped| match dropped {
        Dropped::Groups { first, last, .. } | Dropped::Missing { first, last, .. } => {
            *first..*last + 1
        }
        Dropped::Records { sequence, .. } => *sequence..*sequence + 1,
        Dropped::Segments { .. } | Dropped::Header { .. } | Dropped::Tail { .. } | _ => 0..0,
    });
    ranges.flatten().collect()
}

fn all_but(missing: &[u64]) -> Vec<u64> {
    (1..=GROUPS)
        .filter(|number| !missing.contains(number))
        .collect()
}

#[test]
fn a_flipped_bit_costs_one_group_at_most_and_that_is_told() {
    let whole = log();
    let mut repaired_logs = 0;
    let mut random = fastrand::Rng::with_seed(1);
    for name in sorted_names(&whole) {
        let size = usize::try_from(whole.open(&name).unwrap().size().unwrap()).unwrap();
        for offset in (0..60).chain((60..size).step_by(11)) {
            let disk = whole.copy();
            disk.flip(&name, offset, 1 << random.u8(..8));
            match numbers(&disk) {
                Ok(_) => continue,
                Err(OpenError::Newer { .. }) => {
                    let operations = disk.operations();
                    assert!(repair_all(&disk).is_err());
                    assert_eq!(disk.operations(), operations, "nothing was touched");
                    continue;
                }
                Err(_) => repaired_logs += 1,
            }
            let repaired = repair_all(&disk).unwrap();
            let missing = told(&repaired);
            assert!(
                missing.len() <= 1,
                "{name} at {offset}: {:?}",
                repaired.dropped
            );
            assert!(!repaired.dropped.is_empty(), "{name} at {offset}");
            assert_eq!(
                numbers(&disk).unwrap(),
                all_but(&missing),
                "{name} at {offset}"
            );
            assert_eq!(repaired.kept, GROUPS - missing.len() as u64);
        }
    }
    assert!(repaired_logs > 500, "{repaired_logs} logs were repaired");
}

#[test]
fn any_damage_is_told_and_the_rest_is_kept_in_order() {
    let whole = log();
    let names = sorted_names(&whole);
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = whole.copy();
        for _ in 0..random.usize(1..6) {
            let name = &names[random.usize(..names.len())];
            match random.u8(..6) {
                0 => disk.remove(name).unwrap_or(()),
                _ => {
                    if disk.open(name).is_ok() {
                        // Not the format: a later one is another matter.
                        disk.flip(name, random.usize(12..7_000), 1 << random.u8(..8));
                    }
                }
            }
        }
        // The newest segment leaves no trace when its file is gone, as if it had never been.
        let newest_is_gone = disk.open(names.last().unwrap()).is_err();
        let repaired = repair_all(&disk).unwrap();
        let missing = told(&repaired);
        let kept = numbers(&disk).unwrap();
        assert_eq!(kept.len() as u64, repaired.kept, "seed {seed}");
        assert!(
            kept.is_sorted() && kept.iter().all(|number| !missing.contains(number)),
            "seed {seed}"
        );
        let lost = GROUPS as usize - kept.len();
        let has_unnumbered = repaired.dropped.iter().any(|dropped| {
            matches!(
                dropped,
                Dropped::Segments { .. } | Dropped::Header { .. } | Dropped::Tail { .. }
            )
        });
        assert!(
            lost == missing.len() || has_unnumbered || newest_is_gone,
            "seed {seed}: kept {kept:?}, told {:?}",
            repaired.dropped
        );
    }
}

#[test]
fn a_missing_file_is_told() {
    let whole = log();
    let names = sorted_names(&whole);
    let disk = whole.copy();
    disk.remove(&names[0]).unwrap();
    let repaired = repair_all(&disk).unwrap();
    assert!(
        matches!(
            &repaired.dropped[..],
            [Dropped::Segments {
                first: 1,
                last: 1,
                ..
            }]
        ),
        "{:?}",
        repaired.dropped
    );
    let disk = whole.copy();
    disk.remove(&names[1]).unwrap();
    let repaired = repair_all(&disk).unwrap();
    let missing = told(&repaired);
    assert!(
        matches!(&repaired.dropped[..], [Dropped::Missing { .. }]) && missing.len() > 1,
        "{:?}",
        repaired.dropped
    );
    assert_eq!(numbers(&disk).unwrap(), all_but(&missing));
}

#[test]
fn groups_that_the_reader_cannot_read_are_dropped_or_end_the_repair() {
    let disk = log();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let before = sorted_names(&disk);
    let error = repair(
        &shared,
        SEGMENT_BYTES,
        |records| match number(records) {
            7 => Verdict::Refuse("of a later release".into()),
            _ => Verdict::Keep,
        },
        |_, _| {},
    )
    .unwrap_err();
    assert!(error.to_string().ends_with("of a later release"), "{error}");
    assert_eq!(sorted_names(&disk), before, "what was begun is gone");
    assert_eq!(numbers(&disk).unwrap(), all_but(&[]));

    let repaired = repair(
        &shared,
        SEGMENT_BYTES,
        |records| match number(records) {
            7 => Verdict::Drop("nonsense".into()),
            _ => Verdict::Keep,
        },
        |_, _| {},
    )
    .unwrap();
    assert!(
        repaired.dropped[0]
            .to_string()
            .ends_with("group 7 cannot be read: nonsense"),
        "{}",
        repaired.dropped[0]
    );
    assert_eq!(numbers(&disk).unwrap(), all_but(&[7]));
}

#[test]
fn a_group_inside_a_payload_is_not_taken_for_one() {
    // A client that knows the format writes a group of its own into the payload of a message.
    let disk = SimulatedDisk::new();
    let forged = {
        let other = SimulatedDisk::new();
        let log = open(&other);
        log.append_placed(&mut group(1), Durability::Synced)
            .unwrap();
        log.append_placed(&mut group(2), Durability::Synced)
            .unwrap();
        log.commit();
        drop(log);
        let file = other.open(&sorted_names(&other)[0]).unwrap();
        let mut bytes = vec![0; 1_040];
        file.read_at(&mut bytes, 4_096 + 1_040).unwrap();
        bytes
    };
    let log = open(&disk);
    log.append_placed(&mut group(1), Durability::Synced)
        .unwrap();
    let mut payload = Vec::new();
    record::write(&mut payload, record_kind(), 1, 0, |body| {
        body.extend(&forged)
    });
    log.append_placed(&mut payload, Durability::Synced).unwrap();
    for number in 3..=4 {
        log.append_placed(&mut group(number), Durability::Synced)
            .unwrap();
        log.commit();
    }
    drop(log);
    // The bad group's record says another kind.
    disk.flip(&sorted_names(&disk)[0], 4_096 + 1_040 + 24 + 4, 1);
    assert!(numbers(&disk).is_err());
    let repaired = repair_all(&disk).unwrap();
    assert_eq!(told(&repaired), [2]);
    assert_eq!(numbers(&disk).unwrap(), [1, 3, 4]);
}

/// A log with a bad group in its second segment and a bad header in its third.
fn damaged() -> SimulatedDisk {
    let disk = log();
    let names = sorted_names(&disk);
    disk.flip(&names[1], 4_200, 1);
    disk.flip(&names[2], 20, 1);
    disk
}

#[test]
fn a_loss_of_power_leaves_the_old_log_or_the_repaired_one() {
    let disk = damaged();
    let expected = {
        let copy = disk.copy();
        let missing = told(&repair_all(&copy).unwrap());
        assert_eq!(missing.len(), 1);
        all_but(&missing)
    };
    repair_all(&disk).unwrap();
    let (mut old, mut new) = (0, 0);
    disk.crashes(|done, crash_with| {
        let mixtures = (0..8).map(|salt| Crash::Mixture(salt + done as u64 * 10));
        for crash in [Crash::Nothing, Crash::Everything]
            .into_iter()
            .chain(mixtures)
        {
            let image = crash_with(crash);
            match numbers(&image) {
                Ok(numbers) => {
                    assert_eq!(numbers, expected, "after {done}, {crash:?}");
                    new += 1;
                }
                Err(_) => {
                    repair_all(&image).unwrap();
                    assert_eq!(
                        numbers(&image).unwrap(),
                        expected,
                        "after {done}, {crash:?}"
                    );
                    old += 1;
                }
            }
            // What is there is a log that goes on.
            let log = open(&image);
            log.append_placed(&mut group(GROUPS + 1), Durability::Synced)
                .unwrap();
            log.commit();
            drop(log);
            let mut longer = expected.clone();
            longer.push(GROUPS + 1);
            assert_eq!(numbers(&image).unwrap(), longer, "after {done}, {crash:?}");
        }
    });
    assert!(old > 100 && new > 10, "{old} old, {new} new");
}

#[test]
fn a_repair_that_fails_leaves_the_old_log() {
    let mut failed = 0;
    for call in 0..60 {
        for fault in [Fault::Write(call), Fault::Sync(call), Fault::Create(call)] {
            let disk = damaged();
            let before = sorted_names(&disk);
            disk.plan(fault);
            if repair_all(&disk).is_ok() {
                continue;
            }
            failed += 1;
            assert_eq!(sorted_names(&disk), before, "{fault:?}");
            let again = disk.copy();
            repair_all(&again).unwrap();
            assert_eq!(
                numbers(&again).unwrap().len() as u64,
                GROUPS - 1,
                "{fault:?}"
            );
        }
    }
    assert!(failed > 10, "{failed} failed");
}

#[test]
fn a_row_that_was_never_finished_does_not_count_and_its_files_are_used_again() {
    let disk = damaged();
    repair_all(&disk).unwrap();
    // Without its last segment the new row is one that was begun only.
    let names = sorted_names(&disk);
    disk.remove(names.last().unwrap()).unwrap();
    assert_eq!(numbers(&disk).unwrap(), [0_u64; 0]);
    let log = open(&disk);
    for number in 1..=GROUPS {
        log.append_placed(&mut group(number), Durability::Synced)
            .unwrap();
        log.commit();
    }
    drop(log);
    assert_eq!(numbers(&disk).unwrap(), all_but(&[]));
}

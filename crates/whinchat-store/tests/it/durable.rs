//! The durable log on a disk in memory that fails, fills up and loses power.

use std::{cell::Cell, sync::Arc};

use whinchat_store::{
    Commit, Damage, Durability, DurableLog, DurableLogOptions, Log, LogSegments, Lsn, OpenError,
    Place, Recovered, Replayed, Verdict, backup,
    disk::{Crash, Disk, Fault, SimulatedDisk, read_full, write_all},
    repair,
};

/// Small, so that a few groups fill it.
const SEGMENT_BYTES: u64 = 8 << 10;

fn options() -> DurableLogOptions {
    let mut options = DurableLogOptions::default();
    options.segment_bytes = SEGMENT_BYTES;
    options
}

type Groups = Vec<(u64, Vec<u8>)>;

/// Opens the log of this disk; what it held.
fn reopen(disk: &SimulatedDisk) -> Result<(DurableLog, Recovered, Groups), OpenError> {
    let mut groups = Groups::new();
    let (log, recovered) = DurableLog::open_stepped(Arc::new(disk.clone()), options(), |group| {
        groups.push((group.lsn.get(), group.records.to_vec()));
        Ok(())
    })?;
    Ok((log, recovered, groups))
}

fn open(disk: &SimulatedDisk) -> DurableLog {
    reopen(disk).expect("a log that can be read").0
}

/// The bytes of a group that only this sequence has.
fn contents(sequence: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(sequence);
    let mut bytes = sequence.to_le_bytes().to_vec();
    bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(length));
    bytes
}

fn append(log: &DurableLog, sequence: u64, length: usize) -> Place {
    append_as(Durability::Synced, log, sequence, length)
}

fn append_as(durability: Durability, log: &DurableLog, sequence: u64, length: usize) -> Place {
    let mut group = contents(sequence, length);
    let (lsn, place) = log
        .append_placed(&mut group, durability)
        .expect("an open log");
    assert_eq!(lsn.get(), sequence);
    assert!(group.is_empty());
    place
}

#[test]
fn what_was_committed_is_read_back_in_order_and_goes_on() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    for sequence in 1..=40 {
        append(&log, sequence, 700);
    }
    assert_eq!(log.committed(), Lsn::ZERO);
    assert_eq!(log.commit(), Commit::Done(Lsn::new(40)));
    assert_eq!(log.commit(), Commit::Nothing);
    drop(log);
    let (log, recovered, groups) = reopen(&disk).unwrap();
    assert_eq!((recovered.last, recovered.groups), (Lsn::new(40), 40));
    assert_eq!(recovered.torn, None);
    let expected: Groups = (1..=40)
        .map(|sequence| (sequence, contents(sequence, 700)))
        .collect();
    assert_eq!(groups, expected);
    assert_eq!(log.committed(), Lsn::new(40));
    append(&log, 41, 0);
    log.commit();
    assert_eq!(reopen(&disk).unwrap().2.len(), 41);
}

#[test]
fn dropping_a_log_commits_what_was_appended() {
    let disk = SimulatedDisk::new();
    let (log, _) = DurableLog::open(Arc::new(disk.clone()), options(), |_| Ok(())).unwrap();
    append(&log, 1, 10);
    drop(log);
    assert_eq!(reopen(&disk).unwrap().1.last, Lsn::new(1));
}

#[test]
fn a_group_larger_than_a_segment_gets_one_of_its_own() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    append(&log, 1, 10);
    let place = append(&log, 2, 50_000);
    append(&log, 3, 10);
    log.commit();
    assert_eq!(log.read(place, 0, 50_008).unwrap(), contents(2, 50_000));
    assert_eq!(reopen(&disk).unwrap().2.len(), 3);
}

#[test]
fn committed_records_are_read_where_they_were_placed() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    let places: Vec<Place> = (1..=30)
        .map(|sequence| append(&log, sequence, 500))
        .collect();
    log.commit();
    for (index, place) in places.iter().enumerate() {
        let expected = contents(index as u64 + 1, 500);
        assert_eq!(log.read(*place, 0, 508).unwrap(), expected);
        assert_eq!(log.read(*place, 8, 20).unwrap(), expected[8..28]);
    }
    log.release(places[20].segment);
    assert_eq!(
        log.read(places[0], 0, 8).unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
}

#[test]
fn what_was_given_up_is_remembered_by_the_next_group_which_says_that_all_is_read() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    let places: Vec<Place> = (1..=30)
        .map(|sequence| append(&log, sequence, 900))
        .collect();
    log.commit();
    let from = places[20].segment;
    log.release(from);
    append(&log, 31, 900);
    log.commit();
    drop(log);
    let mut seen = Vec::new();
    let read = |group: Replayed<'_>| {
        seen.push((group.place.segment, group.lsn.get(), group.is_settled));
        Ok(())
    };
    DurableLog::open_stepped(Arc::new(disk), options(), read).expect("a log that can be read");
    assert_eq!(seen.first().map(|(segment, ..)| *segment), Some(from));
    for (_, lsn, is_settled) in seen {
        assert_eq!(is_settled, lsn == 31, "group {lsn}");
    }
}

#[test]
fn released_segments_are_used_again_and_never_replayed() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    let mut places = Vec::new();
    for sequence in 1..=400 {
        places.push(append(&log, sequence, 900));
        log.commit();
        if sequence > 20 {
            log.release(places[usize::try_from(sequence).unwrap() - 20].segment);
        }
    }
    let (segments, bytes) = (log.needed(), log.bytes());
    assert!(segments <= 6, "{segments} segments");
    assert!(bytes <= 10 * SEGMENT_BYTES, "{bytes} bytes");
    drop(log);
    let (_, recovered, groups) = reopen(&disk).unwrap();
    assert_eq!(recovered.last, Lsn::new(400));
    let first = groups[0].0;
    assert!((350..=381).contains(&first), "from {first}");
    for (index, (sequence, bytes)) in groups.iter().enumerate() {
        assert_eq!(*sequence, first + index as u64);
        assert_eq!(*bytes, contents(*sequence, 900));
    }
}

#[test]
fn a_group_that_has_only_to_be_written_costs_no_sync_until_one_that_has_more_to_be() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    append(&log, 1, 10);
    log.commit();
    disk.plan(Fault::Sync(0));
    append_as(Durability::Written, &log, 2, 10);
    assert_eq!(log.commit(), Commit::Done(Lsn::new(2)));
    append_as(Durability::Written, &log, 3, 10);
    append(&log, 4, 10);
    append_as(Durability::Written, &log, 5, 10);
    assert_eq!(log.commit(), Commit::Failed);
    assert_eq!(log.committed(), Lsn::new(2));
}

#[test]
fn what_is_only_written_is_synced_within_a_second() {
    let disk = SimulatedDisk::new();
    let (log, _) = DurableLog::open(Arc::new(disk.clone()), options(), |_| Ok(())).unwrap();
    append(&log, 1, 10);
    // Until the next segment is made in advance: what syncs then is the log alone.
    while log.committed() < Lsn::new(1) || log.bytes() < 2 * SEGMENT_BYTES {
        std::thread::yield_now();
    }
    disk.hold_syncs();
    append_as(Durability::Written, &log, 2, 10);
    disk.wait_for_sync();
    assert_eq!(log.committed(), Lsn::new(2));
    disk.release_syncs();
}

#[test]
fn a_failed_sync_is_final_and_is_told() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    append(&log, 1, 10);
    log.commit();
    append(&log, 2, 10);
    disk.plan(Fault::Sync(0));
    let told = Arc::new(std::sync::atomic::AtomicU64::new(u64::MAX));
    let hears = Arc::clone(&told);
    log.subscribe(
        0,
        Box::new(move |lsn| hears.store(lsn.get(), std::sync::atomic::Ordering::SeqCst)),
    );
    assert_eq!(log.commit(), Commit::Failed);
    assert_eq!(told.load(std::sync::atomic::Ordering::SeqCst), 1);
    let failure = log.failure().expect("it failed");
    assert!(
        failure
            .to_string()
            .starts_with("the log failed to sync at byte"),
        "{failure}"
    );
    assert_eq!(log.append(0, &mut vec![1]), Lsn::NEVER);
    assert_eq!(log.commit(), Commit::Failed);
    assert_eq!(log.committed(), Lsn::new(1));
}

#[test]
fn a_failed_write_is_final_whatever_reached_the_disk() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    append(&log, 1, 10);
    log.commit();
    append(&log, 2, 2000);
    disk.plan(Fault::Write(0));
    assert_eq!(log.commit(), Commit::Failed);
    drop(log);
    let (_, recovered, _) = reopen(&disk).unwrap();
    assert_eq!(recovered.last, Lsn::new(1));
    assert!(recovered.torn.is_some());
}

#[test]
fn short_writes_are_finished() {
    let disk = SimulatedDisk::new();
    disk.set_short_writes(true);
    let log = open(&disk);
    for sequence in 1..=20 {
        append(&log, sequence, 1000);
    }
    log.commit();
    assert_eq!(reopen(&disk).unwrap().2.len(), 20);
}

#[test]
fn a_full_disk_loses_nothing_and_heals() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    append(&log, 1, 10);
    log.commit();
    disk.set_capacity(Some(disk.used_bytes()));
    for sequence in 2..=10 {
        append(&log, sequence, 2000);
    }
    assert_eq!(log.commit(), Commit::Full);
    assert!(log.is_full());
    assert!(log.failure().is_none());
    append(&log, 11, 2000);
    assert_eq!(log.commit(), Commit::Full);
    disk.set_capacity(None);
    assert_eq!(log.commit(), Commit::Done(Lsn::new(11)));
    assert_eq!(log.pending_bytes(), 0);
    assert_eq!(reopen(&disk).unwrap().2.len(), 11);
}

#[test]
fn shards_append_while_a_sync_takes_its_time() {
    let disk = SimulatedDisk::new();
    let (log, _) = DurableLog::open(Arc::new(disk.clone()), options(), |_| Ok(())).unwrap();
    let (send, commits) = std::sync::mpsc::channel();
    log.subscribe(0, Box::new(move |lsn| send.send(lsn.get()).unwrap_or(())));
    append(&log, 1, 10);
    assert_eq!(commits.recv(), Ok(1));
    disk.hold_syncs();
    append(&log, 2, 10);
    disk.wait_for_sync();
    for sequence in 3..=50 {
        append(&log, sequence, 10);
    }
    assert_eq!(log.committed(), Lsn::new(1));
    disk.release_syncs();
    let mut last = 0;
    while last < 50 {
        last = commits.recv().expect("it goes on");
    }
    assert!(log.stats().commits <= 4, "{:?}", log.stats());
}

/// A log of two segments and a bit, all synced: its disk.
fn synced() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    for sequence in 1..=10 {
        append(&log, sequence, 1000);
        log.commit();
    }
    drop(log);
    disk
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let disk = synced();
    let whole = reopen(&disk).unwrap().2;
    let mut refused = 0;
    let mut random = fastrand::Rng::with_seed(1);
    let names = disk.list().unwrap();
    for name in &names {
        let size = usize::try_from(disk.open(name).unwrap().size().unwrap()).unwrap();
        for offset in (0..size).step_by(7) {
            let flipped = disk.copy();
            flipped.flip(name, offset, 1 << random.u8(..8));
            match reopen(&flipped) {
                // In bytes that nobody reads, or in the last group, of which nothing later says that it was synced.
                Ok((_, recovered, groups)) => {
                    assert!(recovered.last.get() >= 9, "{name} at {offset}");
                    assert_eq!(groups[..], whole[..groups.len()], "{name} at {offset}");
                }
                Err(OpenError::Damaged { .. } | OpenError::Newer { .. }) => refused += 1,
                Err(other) => panic!("{name} at {offset}: {other}"),
            }
        }
    }
    assert!(refused > 1_000, "{refused} refused");
}

#[test]
fn a_missing_segment_is_named() {
    let disk = synced();
    let mut names = disk.list().unwrap();
    names.sort();
    let copy = disk.copy();
    copy.remove(&names[0]).unwrap();
    let error = reopen(&copy).err().expect("a segment is missing");
    assert!(
        matches!(
            error,
            OpenError::Damaged {
                what: Damage::Segment { epoch: 1 },
                ..
            }
        ),
        "{error}"
    );
}

/// Puts a file of another disk beside the files of this one.
fn copied_in(disk: &SimulatedDisk, from: &SimulatedDisk, name: &str, as_name: &str) {
    let file = from.open(name).unwrap();
    let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
    read_full(&*file, &mut bytes, 0).unwrap();
    write_all(&*disk.create(as_name).unwrap(), &bytes, 0).unwrap();
}

#[test]
fn a_segment_of_another_log_is_refused_whatever_its_epoch() {
    let other = SimulatedDisk::new();
    let log = open(&other);
    for sequence in 1..=100 {
        let place = append(&log, sequence, 1000);
        log.commit();
        log.release(place.segment);
    }
    drop(log);
    for name in other.list().unwrap() {
        let disk = synced();
        copied_in(&disk, &other, &name, "log-000099");
        let before = disk.operations();
        let error = reopen(&disk).err().expect("two logs in one place");
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
        let copy = backup(&disk, &SimulatedDisk::new(), |_, _| {});
        assert!(copy.is_err(), "{name}");
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let repaired = repair(&shared, SEGMENT_BYTES, |_| Verdict::Keep, |_, _| {});
        assert!(
            matches!(repaired, Err(OpenError::Foreign { .. })),
            "{repaired:?}"
        );
        assert_eq!(disk.operations(), before, "nothing was changed");
    }
}

#[test]
fn groups_of_another_log_are_not_read_behind_a_header_of_this_one() {
    let (mine, other) = (synced(), synced());
    let mut names = mine.list().unwrap();
    names.sort();
    let last = names.last().unwrap();
    let file = other.open(last).unwrap();
    let mut groups = vec![0; 4096];
    read_full(&*file, &mut groups, 4096).unwrap();
    write_all(&*mine.open(last).unwrap(), &groups, 4096).unwrap();
    // The same epochs and sequences, and the last segment: nothing of it is this log's.
    let (_, recovered, read) = reopen(&mine).unwrap();
    assert!(recovered.torn.is_some());
    assert!(read.len() < 10, "{} groups", read.len());
}

#[test]
fn a_log_of_one_segment_is_repaired_without_its_header() {
    let disk = SimulatedDisk::new();
    let log = open(&disk);
    append(&log, 1, 10);
    append(&log, 2, 10);
    log.commit();
    drop(log);
    let name = &disk.list().unwrap()[0];
    write_all(&*disk.open(name).unwrap(), &[0xFF; 512], 0).unwrap();
    assert!(reopen(&disk).is_err());
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let repaired = repair(&shared, SEGMENT_BYTES, |_| Verdict::Keep, |_, _| {}).unwrap();
    assert_eq!(repaired.kept, 2);
    let groups = reopen(&disk).unwrap().2;
    assert_eq!(groups, [(1, contents(1, 10)), (2, contents(2, 10))]);
}

#[test]
fn a_later_format_is_refused_and_nothing_is_touched() {
    let disk = synced();
    let names = disk.list().unwrap();
    disk.flip(&names[0], 8, 3);
    let before = disk.operations();
    let error = reopen(&disk).err().expect("format 2");
    assert!(
        matches!(error, OpenError::Newer { found: 2, .. }),
        "{error}"
    );
    assert_eq!(disk.operations(), before);
}

#[test]
fn a_reader_that_refuses_a_group_ends_the_opening_with_its_place() {
    let disk = synced();
    let count = Cell::new(0);
    let opened = DurableLog::open_stepped(Arc::new(disk), options(), |_| {
        count.set(count.get() + 1);
        if count.get() == 3 {
            Err("unknown kind 99".into())
        } else {
            Ok(())
        }
    });
    let error = opened.err().expect("it was refused").to_string();
    assert!(
        error.contains("byte 61") && error.ends_with("unknown kind 99"),
        "{error}"
    );
}

/// What a run did, and when: the number of operations of the disk after each step.
#[derive(Default)]
struct History {
    lengths: Vec<usize>,
    /// (operations, last group that is committed)
    commits: Vec<(usize, u64)>,
    /// (operations, last group that is synced)
    syncs: Vec<(usize, u64)>,
    /// (operations, first group that is still needed)
    releases: Vec<(usize, u64)>,
}

/// Appends, commits and releases at random. Of four groups, `written` need not be synced.
fn run(disk: &SimulatedDisk, seed: u64, steps: usize, written: u8) -> History {
    let mut random = fastrand::Rng::with_seed(seed);
    let log = open(disk);
    let mut history = History::default();
    let mut places: Vec<Place> = Vec::new();
    let mut synced = 0;
    let mut strongest = Durability::Written;
    for _ in 0..steps {
        match random.u8(..10) {
            0..=5 => {
                let longest = if random.u8(..20) == 0 { 12_000 } else { 1_500 };
                let length = random.usize(..longest);
                history.lengths.push(length);
                let durability = if written > 0 && random.u8(..4) < written {
                    Durability::Written
                } else {
                    Durability::Synced
                };
                strongest = strongest.max(durability);
                let sequence = history.lengths.len() as u64;
                places.push(append_as(durability, &log, sequence, length));
            }
            6..=8 => {
                if let Commit::Done(lsn) = log.commit() {
                    history.commits.push((disk.operations(), lsn.get()));
                    if strongest == Durability::Synced {
                        synced = lsn.get();
                        history.syncs.push((disk.operations(), synced));
                    }
                    strongest = Durability::Written;
                }
            }
            _ => {
                if let Some(first) = synced
                    .checked_sub(random.u64(..20))
                    .filter(|first| *first > 0)
                {
                    let segment = places[usize::try_from(first).unwrap() - 1].segment;
                    log.release(segment);
                    let needed = places
                        .iter()
                        .position(|place| place.segment >= log.oldest_segment());
                    history
                        .releases
                        .push((disk.operations(), needed.unwrap_or(0) as u64 + 1));
                }
            }
        }
    }
    // What is not committed stays so.
    std::mem::forget(log);
    history
}

fn before(list: &[(usize, u64)], done: usize) -> u64 {
    list.iter()
        .take_while(|(operations, _)| *operations <= done)
        .last()
        .map_or(0, |(_, group)| *group)
}

fn check_image(image: &SimulatedDisk, history: &History, done: usize, crash: Crash) -> u64 {
    let (log, recovered, groups) =
        reopen(image).unwrap_or_else(|error| panic!("after {done} operations, {crash:?}: {error}"));
    let kept = if crash == Crash::Everything {
        &history.commits
    } else {
        &history.syncs
    };
    let committed = before(kept, done);
    let needed = before(&history.releases, done).max(1);
    let last = recovered.last.get();
    assert!(
        last >= committed,
        "after {done}, {crash:?}: {committed} was committed, {last} is there"
    );
    let first = groups.first().map_or(last + 1, |(first, _)| *first);
    assert!(
        first <= needed || committed == 0,
        "after {done}, {crash:?}: {first} is the first, {needed} is needed"
    );
    for (index, (sequence, bytes)) in groups.iter().enumerate() {
        assert_eq!(*sequence, first + index as u64);
        let length = history.lengths[usize::try_from(*sequence).unwrap() - 1];
        assert!(
            *bytes == contents(*sequence, length),
            "after {done}, {crash:?}: group {sequence}"
        );
    }
    std::mem::forget(log);
    last
}

#[test]
fn every_moment_of_a_power_cut_leaves_all_that_was_committed() {
    let mut images = 0;
    for seed in 0..8 {
        let disk = SimulatedDisk::new();
        let history = run(&disk, seed, 150, u8::try_from(seed % 4).unwrap());
        disk.crashes(|done, crash_with| {
            let mixtures =
                (0..6).map(|salt| Crash::Mixture(seed * 1_000 + salt + done as u64 * 10));
            for crash in [Crash::Nothing, Crash::Everything]
                .into_iter()
                .chain(mixtures)
            {
                check_image(&crash_with(crash), &history, done, crash);
                images += 1;
            }
        });
    }
    println!("{images} images");
    assert!(images > 10_000, "{images} images");
}

#[test]
fn a_log_that_goes_on_after_a_torn_tail_takes_up_nothing_of_it() {
    let mut images = 0;
    for seed in 0..4 {
        let disk = SimulatedDisk::new();
        let history = run(&disk, seed, 80, 0);
        disk.crashes(|done, crash_with| {
            if done % 5 != 0 {
                return;
            }
            let crash = Crash::Mixture(seed + done as u64);
            let image = crash_with(crash);
            let last = check_image(&image, &history, done, crash);
            // The second life writes other bytes under the same sequences, and loses power too.
            let log = open(&image);
            let mut group = vec![0xEE; 600];
            let (lsn, _) = log.append_placed(&mut group, Durability::Synced).unwrap();
            assert_eq!(lsn.get(), last + 1);
            log.commit();
            std::mem::forget(log);
            image.crashes(|done_again, crash_again| {
                for crash in [
                    Crash::Nothing,
                    Crash::Everything,
                    Crash::Mixture(done_again as u64),
                ] {
                    let (log, recovered, groups) = reopen(&crash_again(crash)).unwrap();
                    std::mem::forget(log);
                    images += 1;
                    let got = recovered.last.get();
                    assert!(got == last || got == last + 1);
                    if got > last {
                        assert_eq!(groups.last().unwrap().1, [0xEE; 600]);
                    }
                    if done_again == image.operations() {
                        assert_eq!(got, last + 1);
                    }
                }
            });
        });
    }
    assert!(images > 500, "{images} images");
}

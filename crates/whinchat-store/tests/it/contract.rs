//! What every log promises, checked on each of them with random turns of several shards.

use std::sync::{
    Arc,
    mpsc::{self, Receiver},
};

use proptest::prelude::*;
use whinchat_store::{
    DelayedLog, DurableLog, DurableLogOptions, Log, Lsn, MemoryLog, disk::DataDirectory,
};

/// The groups that each shard appends, as sizes in bytes; 0 is a turn that changed nothing.
fn turns() -> impl Strategy<Value = Vec<Vec<usize>>> {
    prop::collection::vec(prop::collection::vec(0_usize..200, 0..40), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn memory_log_keeps_the_contract(shards in turns()) {
        check(&MemoryLog::new(), &shards);
    }

    #[test]
    fn delayed_log_keeps_the_contract(seed: u64, shards in turns()) {
        check(&DelayedLog::manual(seed), &shards);
    }

    #[test]
    fn delayed_log_with_its_helper_keeps_the_contract(seed: u64, shards in turns()) {
        check(&DelayedLog::new(seed), &shards);
    }

    #[test]
    fn durable_log_keeps_the_contract(shards in turns()) {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDirectory::open(&folder.path().join("data")).unwrap();
        let mut options = DurableLogOptions::default();
        options.segment_bytes = 8 << 10;
        let open = || {
            let mut sizes = Vec::new();
            let log = DurableLog::open(Arc::new(data.disk()), options, |group| {
                sizes.push(group.records.len());
                Ok(())
            });
            (log.unwrap().0, sizes)
        };
        check(&open().0, &shards);
        let mut there = open().1;
        let mut appended: Vec<usize> = shards.concat().into_iter().filter(|size| *size > 0).collect();
        there.sort_unstable();
        appended.sort_unstable();
        prop_assert_eq!(there, appended, "what was committed is read back");
    }
}

/// Appends from one thread per shard, then closes: all of it is committed, in order, and told once.
fn check(log: &dyn Log, shards: &[Vec<usize>]) {
    let hears: Vec<Receiver<Lsn>> = (0..shards.len())
        .map(|shard| subscribe(log, shard))
        .collect();
    let mut positions: Vec<Lsn> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(shards)
            .map(|(shard, turns)| scope.spawn(move || append_turns(log, shard, turns)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    log.close();

    let sizes = || shards.iter().flatten().copied().filter(|size| *size > 0);
    let groups = sizes().count() as u64;
    positions.sort_unstable();
    assert_eq!(
        positions,
        (1..=groups).map(Lsn::new).collect::<Vec<_>>(),
        "each group has its own position"
    );
    assert_eq!(
        log.committed(),
        Lsn::new(groups),
        "closing commits what was appended"
    );
    assert_eq!(log.pending_bytes(), 0);
    assert_eq!(log.stats().groups, groups);
    assert_eq!(log.stats().bytes, sizes().sum::<usize>() as u64);

    let told: Vec<Vec<Lsn>> = hears
        .iter()
        .map(|hears| hears.try_iter().collect())
        .collect();
    for pair in told.windows(2) {
        assert_eq!(pair[0], pair[1], "every shard hears of every commit");
    }
    assert!(
        told[0].windows(2).all(|pair| pair[0] < pair[1]),
        "once per commit: {:?}",
        told[0]
    );
    assert!(told[0].last().is_none_or(|last| *last == Lsn::new(groups)));
}

fn subscribe(log: &dyn Log, shard: usize) -> Receiver<Lsn> {
    let (told, hears) = mpsc::channel();
    log.subscribe(
        shard,
        Box::new(move |lsn| told.send(lsn).unwrap_or_default()),
    );
    hears
}

fn append_turns(log: &dyn Log, shard: usize, turns: &[usize]) -> Vec<Lsn> {
    let mut group = Vec::new();
    let mut before = Lsn::ZERO;
    let mut positions = Vec::new();
    for &size in turns {
        group.resize(size, 7);
        let lsn = log.append(shard, &mut group);
        assert!(group.is_empty(), "the group is taken");
        if size > 0 {
            assert!(
                lsn > before,
                "a group comes after all that its shard appended before"
            );
            positions.push(lsn);
        } else {
            assert!(
                lsn >= before,
                "an empty group has nothing of its own to wait for"
            );
        }
        before = lsn;
    }
    positions
}

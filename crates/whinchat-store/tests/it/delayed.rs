//! The log that commits late: how late, and that it never stands still.

use std::sync::mpsc;

use proptest::prelude::*;
use whinchat_store::{DelayedLog, Log, Lsn};

proptest! {
    #[test]
    fn eight_ticks_commit_at_least_one_group(seed: u64, groups in 1_u64..20) {
        let log = DelayedLog::manual(seed);
        for _ in 0..groups {
            log.append(0, &mut b"x".to_vec());
        }
        let mut before = log.committed();
        while before < Lsn::new(groups) {
            (0..8).for_each(|_| log.tick());
            prop_assert!(log.committed() > before);
            before = log.committed();
        }
        prop_assert_eq!(log.pending_bytes(), 0);
    }

    #[test]
    fn the_seed_alone_decides_when_one_shard_commits(seed: u64, sizes in prop::collection::vec(1_usize..9, 0..50)) {
        let run = || {
            let log = DelayedLog::manual(seed);
            sizes.iter().map(|size| (log.append(0, &mut vec![0; *size]), log.committed())).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn some_seed_commits_later_than_the_append() {
    let late = (0..64).any(|seed| {
        let log = DelayedLog::manual(seed);
        log.append(0, &mut b"x".to_vec()) > log.committed()
    });
    assert!(late);
}

#[test]
fn an_idle_log_commits_by_itself() {
    let log = DelayedLog::new(1);
    let (told, hears) = mpsc::channel();
    log.subscribe(0, Box::new(move |lsn| told.send(lsn).unwrap_or_default()));
    let last = (0..10)
        .map(|_| log.append(0, &mut b"x".to_vec()))
        .last()
        .unwrap();
    while hears
        .recv()
        .expect("the log goes on until all is committed")
        < last
    {}
    assert_eq!(log.committed(), last);
}

#[test]
fn nothing_is_kept_after_close() {
    let log = DelayedLog::manual(1);
    log.append(0, &mut b"x".to_vec());
    log.close();
    assert_eq!(log.append(0, &mut b"y".to_vec()), Lsn::NEVER);
    assert_eq!(log.committed(), Lsn::new(1));
}

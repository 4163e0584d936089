//! What reaches the file.

use std::{os::unix::fs::PermissionsExt, path::Path};

use proptest::prelude::*;
use whinchat_store::{FileLog, FileLogOptions, Log, Lsn, RecordKind, record};

const KIND: RecordKind = RecordKind::required(3);

fn create(path: &Path) -> FileLog {
    let mut options = FileLogOptions::default();
    options.capacity_bytes = 256 << 10;
    FileLog::create(path, &options).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_order_in_the_file_is_the_order_of_the_positions(counts in prop::collection::vec(0_usize..100, 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = create(&path);
        let mut appended: Vec<(Lsn, usize, usize)> = std::thread::scope(|scope| {
            let threads: Vec<_> = counts
                .iter()
                .enumerate()
                .map(|(shard, count)| {
                    let log = &log;
                    scope.spawn(move || (0..*count).map(|turn| (append(log, shard, turn), shard, turn)).collect::<Vec<_>>())
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        log.close();
        appended.sort_unstable();

        let bytes = std::fs::read(&path).unwrap();
        let written: Vec<(usize, usize)> = record::read(&bytes)
            .map(|record| record.unwrap())
            .take_while(|record| record.kind == KIND)
            .map(|record| (usize::from(record.partition), usize::from(record.body[0])))
            .collect();
        let expected: Vec<(usize, usize)> = appended.iter().map(|(_, shard, turn)| (*shard, *turn)).collect();
        prop_assert_eq!(written, expected);
    }
}

fn append(log: &FileLog, shard: usize, turn: usize) -> Lsn {
    let mut group = Vec::new();
    record::write(&mut group, KIND, 1, u16::try_from(shard).unwrap(), |body| {
        body.push(u8::try_from(turn).unwrap());
    });
    log.append(shard, &mut group)
}

#[test]
fn the_file_belongs_to_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    drop(create(&path));
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(metadata.len(), 256 << 10);
}

#[test]
fn dropping_the_log_commits_what_was_appended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = create(&path);
    append(&log, 2, 9);
    drop(log);
    let bytes = std::fs::read(&path).unwrap();
    let first = record::read(&bytes).next().unwrap().unwrap();
    assert_eq!((first.partition, first.body), (2, &[9][..]));
}

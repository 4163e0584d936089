//! The file log over a file that can be held up and can fail.

use std::sync::mpsc::{self, Receiver, Sender};

use super::*;

/// A file whose every operation waits for the test's permission and its outcome.
struct Gated {
    asked: Sender<Operation>,
    answers: Receiver<io::Result<()>>,
}

#[derive(Debug, PartialEq)]
enum Operation {
    Write { offset: u64, bytes: Vec<u8> },
    Sync,
}

impl LogFile for Gated {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.asked
            .send(Operation::Write {
                offset,
                bytes: bytes.to_vec(),
            })
            .unwrap();
        self.answers.recv().unwrap()
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.asked.send(Operation::Sync).unwrap();
        self.answers.recv().unwrap()
    }
}

/// A log on a gated file, and the test's hands on it.
struct Disk {
    log: FileLog,
    asked: Receiver<Operation>,
    answers: Sender<io::Result<()>>,
    woken: Receiver<u64>,
}

impl Disk {
    fn new(capacity: u64) -> Self {
        let (asked_in, asked) = mpsc::channel();
        let (answers, answers_out) = mpsc::channel();
        let (woken_in, woken) = mpsc::channel();
        let file = Gated {
            asked: asked_in,
            answers: answers_out,
        };
        let log = FileLog::start(file, Arc::from("gated"), capacity).unwrap();
        log.subscribe(0, Box::new(move |lsn| woken_in.send(lsn.get()).unwrap()));
        Self {
            log,
            asked,
            answers,
            woken,
        }
    }

    fn append(&self, bytes: &[u8]) -> u64 {
        self.log.append(0, &mut bytes.to_vec()).get()
    }

    #[track_caller]
    fn expect(&self, operation: Operation) {
        assert_eq!(self.asked.recv().unwrap(), operation);
    }

    fn allow(&self) {
        self.answers.send(Ok(())).unwrap();
    }

    fn fail(&self) {
        self.answers
            .send(Err(io::Error::other("medium error")))
            .unwrap();
    }
}

fn write(offset: u64, bytes: &[u8]) -> Operation {
    Operation::Write {
        offset,
        bytes: bytes.to_vec(),
    }
}

#[test]
fn what_arrives_during_a_sync_is_the_next_commit() {
    let disk = Disk::new(1024);
    assert_eq!(disk.append(b"a"), 1);
    disk.expect(write(0, b"a"));
    assert_eq!(disk.append(b"bb"), 2);
    assert_eq!(disk.append(b"ccc"), 3);
    assert_eq!(disk.log.committed(), Lsn::ZERO);
    assert_eq!(disk.log.pending_bytes(), 6);

    disk.allow();
    disk.expect(Operation::Sync);
    assert_eq!(disk.log.committed(), Lsn::ZERO, "written is not synced");
    disk.allow();
    assert_eq!(disk.woken.recv().unwrap(), 1);

    disk.expect(write(1, b"bbccc"));
    disk.allow();
    disk.expect(Operation::Sync);
    disk.allow();
    assert_eq!(disk.woken.recv().unwrap(), 3);
    assert_eq!(disk.log.committed(), Lsn::new(3));
    assert_eq!(
        disk.log.stats(),
        LogStats {
            commits: 2,
            groups: 3,
            bytes: 6
        }
    );
    assert_eq!(disk.log.pending_bytes(), 0);
}

#[test]
fn after_a_failed_sync_nothing_is_committed_again() {
    let disk = Disk::new(1024);
    disk.append(b"a");
    disk.expect(write(0, b"a"));
    disk.allow();
    disk.expect(Operation::Sync);
    disk.append(b"b");
    disk.fail();

    assert_eq!(
        disk.woken.recv().unwrap(),
        0,
        "the shard is told, with nothing committed"
    );
    let failure = disk.log.failure().expect("the failure is reported");
    assert_eq!(
        failure.to_string(),
        "the log failed to sync at byte 1 of gated: medium error"
    );
    assert_eq!(disk.log.append(0, &mut b"c".to_vec()), Lsn::NEVER);
    disk.log.close();
    assert_eq!(disk.log.committed(), Lsn::ZERO);
}

#[test]
fn a_failed_write_is_final_too() {
    let disk = Disk::new(1024);
    disk.append(b"a");
    disk.expect(write(0, b"a"));
    disk.fail();
    assert_eq!(disk.woken.recv().unwrap(), 0);
    assert_eq!(
        disk.log
            .failure()
            .expect("the failure is reported")
            .operation,
        "write"
    );
}

#[test]
fn a_full_file_begins_again_at_its_front() {
    let disk = Disk::new(4);
    disk.append(b"abcdef");
    disk.expect(write(0, b"abcd"));
    disk.allow();
    disk.expect(write(0, b"ef"));
    disk.allow();
    disk.expect(Operation::Sync);
    disk.allow();
    assert_eq!(disk.woken.recv().unwrap(), 1);
    disk.append(b"gh");
    disk.expect(write(2, b"gh"));
    disk.allow();
    disk.expect(Operation::Sync);
    disk.allow();
    assert_eq!(disk.woken.recv().unwrap(), 2);
}

#[test]
fn a_capacity_of_zero_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = FileLog::create(
        &folder.path().join("log"),
        &FileLogOptions { capacity_bytes: 0 },
    )
    .err()
    .unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

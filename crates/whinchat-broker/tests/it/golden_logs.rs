//! A log of each format that a release could have written is read by every later one, and says the same.
//!
//! Each folder of `testdata/logs` holds the files of one log, without the zeros at their ends, and what `export` says of it. With WHINCHAT_UPDATE=1 the folder
//! of the present format is made if it is not there; none is ever made anew.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use whinchat_broker::{Clock, record_name};
use whinchat_store::{
    disk::{Disk, SimulatedDisk, read_full, write_all},
    record,
};

use crate::replay::{live, store};

/// The format that this release writes.
const PRESENT: u32 = 1;
/// As large as any segment of these logs.
const FILE_BYTES: usize = 64 << 10;
/// What a life that has all kinds of records begins with.
const SEED: u64 = 19;
const STEPS: usize = 300;

fn folder(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/logs/format-{format}"))
}

fn lines(disk: &SimulatedDisk, clock: &Clock) -> String {
    let mut text = String::new();
    store(disk)
        .read(clock)
        .expect("a log that a release wrote")
        .export(clock, |line| {
            text += &serde_json::to_string(&line)?;
            text.push('\n');
            Ok(())
        })
        .expect("what was read can be written");
    text
}

fn make(folder: &Path) {
    let run = live(SEED, STEPS);
    fs::create_dir_all(folder).expect("a folder of the crate");
    for name in run.disk.list().expect("a disk in memory") {
        let file = run.disk.open(&name).expect("it is there");
        let mut bytes = vec![0; FILE_BYTES];
        let read = read_full(&*file, &mut bytes, 0).expect("a disk in memory");
        let used = bytes[..read]
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        fs::write(folder.join(&name), &bytes[..used]).expect("a folder of the crate");
    }
    // Not the clock of that life: a start knows no other time than its own.
    let text = lines(&run.disk.copy(), &Clock::manual().0);
    fs::write(folder.join("export.jsonl"), text).expect("a folder of the crate");
}

fn load(folder: &Path) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    for entry in fs::read_dir(folder).expect("a folder of the crate") {
        let name = entry.expect("a folder of the crate").file_name();
        let name = name.to_str().expect("a name of ours");
        if name.starts_with("log-") {
            let mut bytes = fs::read(folder.join(name)).expect("a file of the crate");
            bytes.resize(FILE_BYTES, 0);
            let file = disk.create(name).expect("a new disk");
            write_all(&*file, &bytes, 0).expect("a disk in memory");
        }
    }
    disk
}

#[test]
fn a_log_of_each_format_is_read_as_ever() {
    let present = folder(PRESENT);
    if !present.exists() && std::env::var_os("WHINCHAT_UPDATE").is_some() {
        make(&present);
    }
    for format in 1..=PRESENT {
        let folder = folder(format);
        let (clock, _hand) = Clock::manual();
        let said = fs::read_to_string(folder.join("export.jsonl")).expect("a file of the crate");
        assert_eq!(lines(&load(&folder), &clock), said, "format {format}");
    }
}

/// A format is of use here only if no kind of records is left out.
#[test]
fn the_log_of_the_present_format_has_all_kinds_of_records() {
    let mut kinds = BTreeSet::new();
    let disk = load(&folder(PRESENT));
    whinchat_store::verify(
        std::sync::Arc::new(disk),
        |group: whinchat_store::Replayed<'_>| {
            for record in record::read(group.records) {
                kinds.insert(record?.kind.number());
            }
            Ok(())
        },
    )
    .expect("a log that a release wrote");
    let missing: Vec<_> = (1..0x80)
        .map(whinchat_store::RecordKind::required)
        .filter_map(|kind| Some((kind.number(), record_name(kind)?)))
        .filter(|(number, _)| !kinds.contains(number))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

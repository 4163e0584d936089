//! What one turn of a shard pays for its append, and what a group commit to a real file costs.
//!
//! `cargo bench -p whinchat-store`; the file lies where `TMPDIR` says.

use std::sync::Arc;

use divan::{Bencher, counter::ItemsCount};
use whinchat_store::{DurableLog, DurableLogOptions, Log, MemoryLog, disk::DataDirectory};

fn main() {
    divan::main();
}

const GROUP_BYTES: usize = 4096;

#[divan::bench]
fn append_to_memory(bencher: Bencher<'_, '_>) {
    let log = MemoryLog::new();
    bencher
        .with_inputs(|| vec![7; GROUP_BYTES])
        .bench_refs(|group| log.append(0, group));
}

/// `groups` groups are appended, then waited for: the cost of one commit that holds them all or of a few.
#[divan::bench(args = [1, 10, 100], sample_count = 200, sample_size = 1)]
fn append_and_wait_for_the_disk(bencher: Bencher<'_, '_>, groups: usize) {
    let folder = tempfile::tempdir().expect("a folder for the log");
    let data = DataDirectory::open(&folder.path().join("data")).expect("a folder of our own");
    let options = DurableLogOptions::default();
    let (log, _) = DurableLog::open(Arc::new(data.disk()), options, |_| Ok(())).expect("a new log");
    let (told, hears) = std::sync::mpsc::channel();
    log.subscribe(0, Box::new(move |lsn| told.send(lsn).unwrap_or_default()));
    let mut group = Vec::new();
    bencher.counter(ItemsCount::new(groups)).bench_local(|| {
        let mut last = whinchat_store::Lsn::ZERO;
        for _ in 0..groups {
            group.resize(GROUP_BYTES, 7);
            last = log.append(0, &mut group);
        }
        while hears.recv().expect("the log commits") < last {}
    });
}

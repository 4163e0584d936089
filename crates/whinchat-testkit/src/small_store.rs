//! Stepped brokers on a disk in memory, with segments so small that the oldest are soon written anew.

use std::sync::Arc;

use whinchat_broker::Store;
use whinchat_store::{DurableLogOptions, disk::SimulatedDisk};

/// The log on this disk.
pub(crate) fn small_store(disk: &SimulatedDisk) -> Store {
    let mut options = DurableLogOptions::default();
    options.segment_bytes = 8 << 10;
    Store::new(Arc::new(disk.clone()), options)
}

/// A broker without threads that keeps nothing, or what is on this disk.
#[cfg(any(feature = "fuzzing", all(feature = "models", feature = "transcripts")))]
pub(crate) fn started(
    clock: &whinchat_broker::Clock,
    shards: u16,
    disk: Option<&SimulatedDisk>,
) -> whinchat_broker::SteppedBroker {
    let mut builder = whinchat_broker::Broker::builder()
        .threads(shards)
        .clock(clock.clone());
    if let Some(disk) = disk {
        builder = builder.store(small_store(disk));
    }
    builder.start_stepped().expect("a broker starts")
}

//! A broker out of records that nobody wrote.

use std::sync::Arc;

use whinchat_broker::{Broker, Clock, Store};
use whinchat_store::disk::SimulatedDisk;
use whinchat_store::{DurableLog, DurableLogOptions, Log};

use super::super::steps::Steps;

/// Groups of records are a broker's past or are refused. One that begins with them comes to rest, and a second one begins
/// with the same sessions and retained messages.
pub fn replay(data: &[u8]) {
    let disk = SimulatedDisk::new();
    let (log, _) = DurableLog::open_stepped(Arc::new(disk.clone()), options(), |_| Ok(()))
        .expect("an empty disk");
    let mut steps = Steps(data);
    while let Some(high) = steps.next() {
        let length = usize::from(high) << 8 | usize::from(steps.byte());
        log.append(0, &mut steps.bytes(length).to_vec());
    }
    log.commit();
    log.abandon();

    let (clock, _hand) = Clock::manual();
    let first = match store(&disk).read(&clock) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let second = store(&disk).read(&clock).expect("it was read before");
    assert_eq!(
        (first.sessions(), first.retained_messages()),
        (second.sessions(), second.retained_messages())
    );
    let builder = Broker::builder()
        .threads(2)
        .clock(clock)
        .store(store(&disk));
    match builder.start_stepped() {
        Ok(mut broker) => {
            assert!(broker.settle(20_000), "the broker never comes to rest");
            broker.commit_store();
            assert!(broker.settle(20_000), "the broker never comes to rest");
            assert_eq!(broker.metrics().shared().panics.value(), 0);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn options() -> DurableLogOptions {
    let mut options = DurableLogOptions::default();
    options.segment_bytes = 8 << 10;
    options
}

fn store(disk: &SimulatedDisk) -> Store {
    Store::new(Arc::new(disk.clone()), options())
}

//! What one shard tells another: one queue in order per pair of shards, one batch and at most one
//! wake per turn.
//!
//! A sender that has run out of credit (bytes its receiver has not taken yet) stops reading its
//! publishers; everybody always empties the own mailbox, so two shards never wait for each other.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::core::mail::Mail;

/// Bytes of messages that may wait in one pair's queue before its sender stops reading publishers.
pub(crate) const CREDIT_BYTES: usize = 8 * 1024 * 1024;

/// The queues into one shard, one per sender.
pub(crate) struct Mailbox {
    lanes: Vec<Lane>,
}

#[derive(Default)]
struct Lane {
    mail: Mutex<Vec<Mail>>,
    letters: AtomicUsize,
    bytes: AtomicUsize,
}

impl Mailbox {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            lanes: (0..shards).map(|_| Lane::default()).collect(),
        }
    }

    /// Appends `batch` behind what `sender` has put in before; `batch` is left empty.
    pub(crate) fn put(&self, sender: usize, batch: &mut Vec<Mail>) {
        let lane = &self.lanes[sender];
        let bytes: usize = batch.iter().map(Mail::weight).sum();
        let mut mail = lane.mail.lock();
        lane.bytes.fetch_add(bytes, Ordering::Relaxed);
        lane.letters.fetch_add(batch.len(), Ordering::Release);
        if mail.is_empty() {
            std::mem::swap(&mut *mail, batch);
        } else {
            mail.append(batch);
        }
    }

    /// Takes out what `sender` has put in; `into` must be empty. True if the sender had run out of
    /// credit and may be waiting for this.
    pub(crate) fn take(&self, sender: usize, into: &mut Vec<Mail>) -> bool {
        let lane = &self.lanes[sender];
        if lane.bytes.load(Ordering::Relaxed) == 0 && lane.letters.load(Ordering::Acquire) == 0 {
            return false; // without touching the lock
        }
        let mut mail = lane.mail.lock();
        std::mem::swap(&mut *mail, into);
        lane.letters.store(0, Ordering::Relaxed);
        lane.bytes.swap(0, Ordering::Relaxed) > CREDIT_BYTES
    }

    /// Bytes that `sender` has waiting here.
    pub(crate) fn waiting(&self, sender: usize) -> usize {
        self.lanes[sender].bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn senders(&self) -> usize {
        self.lanes.len()
    }
}

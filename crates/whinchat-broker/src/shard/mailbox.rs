//! What one shard tells another: one queue in order per pair of shards, one batch and at most one
//! wake per turn.
//!
//! A sender that has run out of credit (bytes its receiver has not taken yet) stops reading its
//! publishers; everybody always empties the own mailbox, so two shards never wait for each other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::core::mail::Mail;

/// Bytes to be given to readers that may wait in one pair's queue before its sender stops reading publishers. The
/// receiver does all of it in one turn, for which its own connections wait.
pub(crate) const CREDIT_BYTES: usize = 2 * 1024 * 1024;

/// Letters for which a batch keeps room when it is empty.
const QUIET_BATCH: usize = 64;

/// The queues into one shard, one per sender.
pub(crate) struct Mailbox {
    lanes: Vec<Lane>,
    /// Its shard has ended: what is put in from here on is thrown away.
    closed: AtomicBool,
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
            closed: AtomicBool::new(false),
        }
    }

    /// Appends `batch` behind what `sender` has put in before; `batch` is left empty.
    pub(crate) fn put(&self, sender: usize, batch: &mut Vec<Mail>) {
        let lane = &self.lanes[sender];
        let bytes: usize = batch.iter().map(Mail::weight).sum();
        let mut mail = lane.mail.lock();
        if self.closed.load(Ordering::SeqCst) {
            drop(mail);
            batch.clear();
            return;
        }
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

    /// Gives back what large batches have taken.
    pub(crate) fn shrink(&self) {
        for lane in &self.lanes {
            shrink_batch(&mut lane.mail.lock());
        }
    }

    /// Throws away what is here and what comes: a connection on its way is closed, and no sender waits
    /// for credit.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for lane in &self.lanes {
            let mut mail = lane.mail.lock();
            let unread = std::mem::take(&mut *mail);
            lane.letters.store(0, Ordering::Relaxed);
            lane.bytes.store(0, Ordering::Relaxed);
            drop(mail);
            drop(unread);
        }
    }

    /// Bytes that `sender` has waiting here.
    pub(crate) fn waiting(&self, sender: usize) -> usize {
        self.lanes[sender].bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn senders(&self) -> usize {
        self.lanes.len()
    }
}

/// Gives back what a batch has taken that was larger than those of a quiet broker.
pub(crate) fn shrink_batch(batch: &mut Vec<Mail>) {
    if batch.is_empty() {
        batch.shrink_to(QUIET_BATCH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Vec<Mail> {
        vec![Mail::Kick {
            client_id: "c".into(),
        }]
    }

    #[test]
    fn letters_to_a_closed_mailbox_are_thrown_away() {
        let mailbox = Mailbox::new(2);
        mailbox.put(1, &mut letter());
        mailbox.close();
        let mut late = letter();
        mailbox.put(0, &mut late);
        assert!(late.is_empty(), "its sender does not keep it");
        let mut taken = Vec::new();
        for sender in 0..2 {
            mailbox.take(sender, &mut taken);
        }
        assert!(taken.is_empty());
    }
}

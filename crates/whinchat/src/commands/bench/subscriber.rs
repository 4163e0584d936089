//! The receiving part of one connection: acks, and an entry for each message.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use hdrhistogram::Histogram;
use whinchat_codec::{
    Guarantee, PacketId, ProtocolVersion, PubAckRef, PubCompRef, PubRecRef, PublishRef,
};

use super::clock::{NS_PER_S, now_ns};
use super::failure::Failure;
use super::gauge::Gauge;
use super::ledger::{Arrival, Ledger};
use super::stamp::Stamp;

/// What the subscribers of one thread have received.
#[derive(Debug)]
pub(super) struct Tally {
    /// Messages, duplicates left out.
    pub(super) received: u64,
    pub(super) duplicates: u64,
    pub(super) reordered: u64,
    pub(super) foreign: u64,
    pub(super) lost: u64,
    /// Nanoseconds from the stamp to the read.
    pub(super) latency: Histogram<u64>,
    /// When the last message arrived; [`now_ns`].
    pub(super) last_ns: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            received: 0,
            duplicates: 0,
            reordered: 0,
            foreign: 0,
            lost: 0,
            latency: latency_histogram(),
            last_ns: 0,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
        self.foreign += other.foreign;
        self.lost += other.lost;
        self.last_ns = self.last_ns.max(other.last_ns);
        self.latency
            .add(&other.latency)
            .expect("all latency histograms have the same range");
    }
}

/// From 1 µs to an hour, three digits; what lies beyond counts as the nearest.
fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 3_600 * NS_PER_S, 3)
        .expect("the bounds are in order and the digits at most 5")
}

pub(super) struct Subscriber {
    ledger: Ledger,
    /// What all members of its group have received together, if it is one of a group.
    group: Option<Rc<RefCell<Ledger>>>,
    has_order: bool,
    gauges: Arc<[Gauge]>,
    /// The publisher of the last messages and how many they were: its gauge is told once for all of them.
    run: (u32, u64),
    /// QoS 2 packet ids whose PUBREL has not come, one bit each; made at the first.
    unreleased: Option<Box<[u64; 1024]>>,
}

impl Subscriber {
    pub(super) fn new(publishers: Range<u32>, gauges: Arc<[Gauge]>) -> Self {
        Self {
            ledger: Ledger::new(publishers),
            group: None,
            has_order: true,
            gauges,
            run: (0, 0),
            unreleased: None,
        }
    }

    /// One that receives a part of the messages: which are missing or came twice, only the group knows.
    pub(super) fn of_group(mut self, group: Rc<RefCell<Ledger>>) -> Self {
        self.group = Some(group);
        self
    }

    /// One whose messages have no order among them, as those of different topics that were retained.
    pub(super) fn in_any_order(mut self) -> Self {
        self.has_order = false;
        self
    }

    #[inline]
    fn enter(&mut self, stamp: Stamp) -> Arrival {
        let own = match self.ledger.enter(stamp.publisher, stamp.sequence) {
            Arrival::Late if !self.has_order => Arrival::New,
            arrival @ (Arrival::New | Arrival::Late | Arrival::Duplicate | Arrival::Foreign) => {
                arrival
            }
        };
        match &self.group {
            None => own,
            Some(group) => match group.borrow_mut().enter(stamp.publisher, stamp.sequence) {
                // Between members there is no order.
                Arrival::New | Arrival::Late => own,
                arrival @ (Arrival::Duplicate | Arrival::Foreign) => arrival,
            },
        }
    }

    #[inline]
    pub(super) fn on_publish(
        &mut self,
        now: u64,
        publish: &PublishRef<'_>,
        version: ProtocolVersion,
        tally: &mut Tally,
        out: &mut BytesMut,
    ) -> Result<(), Failure> {
        match publish.guarantee {
            Guarantee::AtMostOnce => {}
            Guarantee::AtLeastOnce { id, .. } => PubAckRef::success(id).encode(version, out)?,
            Guarantee::ExactlyOnce { id, .. } => {
                PubRecRef::success(id).encode(version, out)?;
                if !self.hold(id) {
                    return Ok(()); // A repetition, which the protocol allows.
                }
            }
        }
        let stamp = Stamp::read(publish.payload);
        match stamp.map(|stamp| (stamp, self.enter(stamp))) {
            Some((stamp, arrival @ (Arrival::New | Arrival::Late))) => {
                tally.received += 1;
                tally.reordered += u64::from(arrival == Arrival::Late);
                tally
                    .latency
                    .saturating_record(now.saturating_sub(stamp.sent_ns));
                self.count(stamp.publisher);
            }
            Some((_, Arrival::Duplicate)) => tally.duplicates += 1,
            Some((_, Arrival::Foreign)) | None => tally.foreign += 1,
        }
        Ok(())
    }

    pub(super) fn on_pubrel(
        &mut self,
        id: PacketId,
        version: ProtocolVersion,
        out: &mut BytesMut,
    ) -> Result<(), Failure> {
        let (word, bit) = position(id);
        if let Some(unreleased) = &mut self.unreleased {
            unreleased[word] &= !bit;
        }
        Ok(PubCompRef::success(id).encode(version, out)?)
    }

    /// Tells the publishers what has arrived.
    pub(super) fn end_batch(&mut self, tally: &mut Tally) {
        if self.run.1 > 0 {
            self.credit();
            tally.last_ns = now_ns();
        }
    }

    /// Counts what has not come; the publishers have sent their last.
    /// Those of a group are counted once, by the thread.
    pub(super) fn close(&self, tally: &mut Tally) {
        if self.group.is_some() {
            return;
        }
        let sent = |publisher: u32| self.gauges.get(publisher as usize).map_or(0, Gauge::sent);
        tally.lost += self.ledger.missing(sent);
    }

    #[inline]
    fn count(&mut self, publisher: u32) {
        if self.run.0 != publisher {
            self.credit();
            self.run.0 = publisher;
        }
        self.run.1 += 1;
    }

    fn credit(&mut self) {
        let (publisher, count) = self.run;
        if let Some(gauge) = self.gauges.get(publisher as usize).filter(|_| count > 0) {
            gauge.credit(count);
        }
        self.run.1 = 0;
    }

    /// Whether the packet id was not held before.
    fn hold(&mut self, id: PacketId) -> bool {
        let (word, bit) = position(id);
        let words = self.unreleased.get_or_insert_with(|| Box::new([0; 1024]));
        let is_new = words[word] & bit == 0;
        words[word] |= bit;
        is_new
    }
}

fn position(id: PacketId) -> (usize, u64) {
    (usize::from(id.get() / 64), 1 << (id.get() % 64))
}

//! Retained messages for new subscriptions, a chunk per turn, so that a filter that matches a
//! million of them holds up nobody and fills no memory.

use std::{collections::VecDeque, sync::Arc};

use whinchat_codec::QoS;
use whinchat_session::Ticket;
use whinchat_topic::{Cursor, TopicFilter, TopicFilterBuf};

use super::{
    deliver::Outgoing,
    keys::{Grant, SessionKey},
    message::Message,
    records::Receiver,
    retained::Source,
    routing::Target,
};
use crate::{metrics::DropLabel, shard::Shard};

/// Messages looked at before the other scans get their turn.
const CHUNK: usize = 512;
/// Chunks before the connections get theirs.
const CHUNKS_PER_TURN: usize = 16;

/// What one subscription still gets.
#[derive(Debug)]
struct Scan {
    number: ScanNumber,
    session: SessionKey,
    filter: TopicFilterBuf,
    /// What was set later reaches the subscription by itself.
    mark: u64,
    /// Its SUBACK waits for this; so do the messages, which come behind it.
    ticket: Ticket,
    cursor: Option<Cursor>,
}

/// Names a scan in its subscription: there only the latest one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScanNumber(u64);

/// The scans of one shard; those that come next are in front.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    scans: VecDeque<Scan>,
    begun: u64,
}

/// Whether a scan can go on.
enum Step {
    Next(Grant),
    /// The subscriber takes no more now, or is not there.
    Wait,
    /// There is nobody who wants the rest.
    Over,
}

impl Shard {
    /// Begins a scan with the next turn, behind the SUBACK. The subscription has to keep its number.
    pub(crate) fn begin_scan(
        &mut self,
        session: SessionKey,
        filter: &TopicFilter,
        mark: u64,
        ticket: Ticket,
    ) -> ScanNumber {
        self.scans.begun += 1;
        let number = ScanNumber(self.scans.begun);
        self.scans.scans.push_back(Scan {
            number,
            session,
            filter: filter.to_owned(),
            mark,
            ticket,
            cursor: None,
        });
        self.ready.wake_driver();
        number
    }

    /// The next chunks of the scans whose connections have room, in turn.
    pub(crate) fn continue_scans(&mut self) {
        let mut chunks_left = CHUNKS_PER_TURN;
        for _ in 0..self.scans.scans.len() {
            if chunks_left == 0 {
                break;
            }
            let Some(mut scan) = self.scans.scans.pop_front() else {
                break;
            };
            let goes_on = match self.next_step(&scan) {
                Step::Over => false,
                Step::Wait => true,
                Step::Next(grant) => {
                    chunks_left -= 1;
                    self.scan_chunk(&mut scan, grant)
                }
            };
            if goes_on {
                self.scans.scans.push_back(scan);
            }
        }
    }

    /// True if a scan can go on at once.
    pub(crate) fn has_scan_with_room(&self) -> bool {
        let mut scans = self.scans.scans.iter();
        scans.any(|scan| !matches!(self.next_step(scan), Step::Wait))
    }

    fn next_step(&self, scan: &Scan) -> Step {
        let session = self
            .sessions
            .get(scan.session.index)
            .filter(|session| session.number == scan.session.number);
        let Some(session) = session else {
            return Step::Over;
        };
        let connection = session
            .slot
            .and_then(|slot| self.slots.get(slot as usize))
            .filter(|slot| slot.engine.is_connected());
        let has_room = connection.is_some_and(|slot| {
            scan.ticket <= self.committed
                && slot.out.len() < self.unsent_room / 4
                && session.state.queue_len() <= CHUNK
        });
        if !has_room {
            return Step::Wait; // a session that survives gets the rest when it is back
        }
        // Unsubscribed (v5 [MQTT-3.10.4-2]), or subscribed once more, which scans from the beginning.
        let mut subscriptions = session.subscriptions.iter();
        if planted!(RetainedToShared)
            && let Some((_, shared)) = subscriptions
                .find(|(text, _)| text.ends_with(&format!("/{}", scan.filter.as_str())))
        {
            return Step::Next(shared.grant);
        }
        match session.subscriptions.get(scan.filter.as_str()) {
            Some(subscription) if subscription.scan == scan.number => {
                Step::Next(subscription.grant)
            }
            Some(_) | None => Step::Over,
        }
    }

    /// What a session that survives is to get stands in the log before it gets it.
    fn record_retained(&mut self, message: &Arc<Message>, target: &Target) {
        let qos = message.qos.min(target.qos);
        if target.durable && qos > QoS::AtMostOnce {
            let receiver = Receiver {
                session: target.session.number,
                qos,
                retain: true,
                subscription_ids: target.subscription_ids.as_slice(),
                group: None,
            };
            // The log may be about to give up where it was.
            if message.is_before(self.commons.passes.floor()) {
                self.records.message(message);
            }
            self.records.route(message.id, std::iter::once(receiver));
        }
    }

    /// True if there is more.
    fn scan_chunk(&mut self, scan: &mut Scan, grant: Grant) -> bool {
        let mut found: Vec<(Arc<Message>, Option<Arc<Source>>)> = Vec::new();
        let cursor = self.commons.retained.read().scan(
            &scan.filter,
            scan.cursor.take(),
            scan.mark,
            CHUNK,
            self.now,
            |message, source| found.push((Arc::clone(message), source.cloned())),
        );
        let target = [Target::new(scan.session, grant)];
        for (message, source) in &found {
            if let Some(source) = source
                && !source.may_still_publish(message, &self.commons)
            {
                let dropped = self.metrics.messages_dropped.of(DropLabel::NotAuthorized);
                dropped.increment();
                continue;
            }
            self.record_retained(message, &target[0]);
            self.deliver(&mut Outgoing::retained(message), &target, None);
        }
        scan.cursor = cursor;
        scan.cursor.is_some()
    }
}

//! Retained messages for new subscriptions, a chunk per turn, so that a filter that matches a
//! million of them holds up nobody and fills no memory.

use std::sync::Arc;

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

/// Messages looked at before the others get their turn.
const CHUNK: usize = 512;

/// What one subscription still gets.
#[derive(Debug)]
pub(crate) struct Scan {
    session: SessionKey,
    filter: TopicFilterBuf,
    grant: Grant,
    /// What was set later reaches the subscription by itself.
    mark: u64,
    /// Its SUBACK waits for this; so do the messages, which come behind it.
    ticket: Ticket,
    cursor: Option<Cursor>,
}

/// The scans of one shard, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Scans(Vec<Scan>);

impl Scan {
    pub(crate) fn new(
        session: SessionKey,
        filter: &TopicFilter,
        grant: Grant,
        mark: u64,
        ticket: Ticket,
    ) -> Self {
        Self {
            session,
            filter: filter.to_owned(),
            grant,
            mark,
            ticket,
            cursor: None,
        }
    }
}

impl Shard {
    /// Begins a scan with this turn; the first chunk goes out behind the SUBACK.
    pub(crate) fn begin_scan(&mut self, scan: Scan) {
        self.scans.0.push(scan);
        self.ready.wake_driver();
    }

    /// The next chunk of every scan whose connection has room.
    pub(crate) fn continue_scans(&mut self) {
        if self.scans.0.is_empty() {
            return;
        }
        let mut scans = std::mem::take(&mut self.scans.0);
        scans.retain_mut(|scan| self.continue_scan(scan));
        scans.append(&mut self.scans.0);
        self.scans.0 = scans;
    }

    /// True if a scan can go on at once.
    pub(crate) fn has_scan_with_room(&self) -> bool {
        self.scans
            .0
            .iter()
            .any(|scan| self.has_room(scan) != Some(false))
    }

    /// Whether the subscriber takes more now; `None` if it is gone.
    fn has_room(&self, scan: &Scan) -> Option<bool> {
        let session = self
            .sessions
            .get(scan.session.index)
            .filter(|session| session.number == scan.session.number)?;
        let slot = self.slots.get(session.slot? as usize)?;
        if scan.ticket > self.committed {
            return Some(false);
        }
        Some(slot.out.len() < self.settings.unsent_bytes / 4 && session.state.queue_len() <= CHUNK)
    }

    /// What a session that survives is to get stands in the log before it gets it.
    fn record_retained(&mut self, message: &Message, target: &Target) {
        let qos = message.qos.min(target.qos);
        if target.durable && qos > QoS::AtMostOnce {
            let receiver = Receiver {
                session: target.session.number,
                qos,
                retain: true,
                subscription_ids: target.subscription_ids.as_slice(),
            };
            self.records.route(message.id, std::iter::once(receiver));
        }
    }

    /// True if the scan has to go on.
    fn continue_scan(&mut self, scan: &mut Scan) -> bool {
        match self.has_room(scan) {
            None => return false, // its client left: the next SUBSCRIBE scans again
            Some(false) => return true,
            Some(true) => {}
        }
        let mut found: Vec<(Arc<Message>, Option<Arc<Source>>)> = Vec::new();
        let cursor = self.commons.retained.read().scan(
            &scan.filter,
            scan.cursor.take(),
            scan.mark,
            CHUNK,
            self.now,
            |message, source| found.push((Arc::clone(message), source.cloned())),
        );
        let target = [Target::new(scan.session, scan.grant)];
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

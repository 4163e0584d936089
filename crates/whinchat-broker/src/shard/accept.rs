//! New connections: taken from the listeners, a few per turn, as long as there is room.

use std::{
    io,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use whinchat_session::Connection;
use whinchat_transport::{DetachedListener, DetachedStream, Listener, Peer, Stream};

use super::{
    Life, Shard,
    handshakes::Source,
    slot::{Arriving, Slot},
};
use crate::{
    core::{end::Ending, limits_met::Met, mail::SlotKey},
    limits::Limit,
    metrics::{RefusalLabel, ShardMetrics},
};

/// The listeners of one shard, attached to its runtime.
pub(crate) struct Accepting {
    listeners: Vec<(u16, Listener)>,
    /// After a failure such as "too many open files": when to try again.
    paused: bool,
}

/// Connections accepted per listener and turn, so that those that are there get their turn.
const ACCEPTS_PER_TURN: usize = 64;

impl Accepting {
    /// Must be called on the shard's runtime. The number of a listener is its place in the settings.
    pub(crate) fn attach(listeners: Vec<(u16, DetachedListener)>) -> io::Result<Self> {
        let listeners = listeners
            .into_iter()
            .map(|(number, listener)| Ok((number, listener.attach()?)))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            listeners,
            paused: false,
        })
    }

    pub(crate) fn close(&mut self) {
        self.listeners.clear();
    }

    /// Called with every tick: a pause lasts no longer.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
    }
}

impl Shard {
    pub(crate) fn accept(&mut self, cx: &mut Context<'_>) {
        if self.accepting.paused || self.life != Life::Serving {
            return;
        }
        let mut listeners = std::mem::take(&mut self.accepting.listeners);
        for (number, listener) in &mut listeners {
            for round in 0..=ACCEPTS_PER_TURN {
                if round == ACCEPTS_PER_TURN {
                    self.ready.wake_driver();
                    break;
                }
                match listener.poll_accept(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok((stream, peer))) => self.admit(stream, peer, *number),
                    Poll::Ready(Err(error)) => {
                        // No descriptors, most likely: the backlog waits until the next tick.
                        self.metrics
                            .connections_refused
                            .of(RefusalLabel::Other)
                            .increment();
                        tracing::warn!(%error, "cannot accept connections for a moment");
                        self.accepting.paused = true;
                        break;
                    }
                }
            }
        }
        self.accepting.listeners = listeners;
    }

    /// Takes a connection that was made inside the process.
    pub(crate) fn admit_inside(&mut self, stream: DetachedStream, peer: Peer) {
        if let Ok(stream) = stream.attach() {
            let last = self.settings.listeners.len() - 1;
            self.admit(stream, peer, u16::try_from(last).unwrap_or(u16::MAX));
        }
    }

    fn admit(&mut self, stream: Stream, peer: Peer, listener: u16) {
        if self.life != Life::Serving {
            return;
        }
        self.metrics.connections_opened.increment();
        if !self.may_arrive(peer) {
            return; // closed at the cost of the accept
        }
        let limits = &self.settings.listener(listener).limits;
        let open = self
            .commons
            .counts
            .connections
            .fetch_add(1, Ordering::Relaxed);
        if open >= self.settings.limits.connections_max() as usize {
            self.commons
                .counts
                .connections
                .fetch_sub(1, Ordering::Relaxed);
            self.metrics.limit_hits.of(Limit::Connections).increment();
            self.metrics
                .connections_refused
                .of(RefusalLabel::TooManyConnections)
                .increment();
            return; // closed at the cost of the accept
        }
        let deadline = self.now.saturating_add(limits.connect_timeout);
        let engine = Connection::server(self.now, &self.settings.listener(listener).session);
        let index = self.add_slot(Arriving {
            stream,
            peer,
            listener,
            engine,
        });
        let slot = &mut self.slots[index as usize];
        slot.deadline = Some(deadline);
        let key = SlotKey {
            index,
            check: slot.check,
        };
        self.handshakes.begin(Source::of(peer), key);
        self.commons
            .counts
            .handshakes
            .fetch_add(1, Ordering::Relaxed);
        self.schedule_slot(index);
    }

    /// L-16 and L-17: whether there is room for one more stranger; an older one may have to go for it.
    fn may_arrive(&mut self, peer: Peer) -> bool {
        let limits = &self.settings.limits;
        let refused = |metrics: &ShardMetrics, label: RefusalLabel| {
            metrics.connections_refused.of(label).increment();
            false
        };
        if let (Some(most), Some(_)) = (limits.connects_per_address, peer.ip()) {
            let second = self.now.as_millis() / 1_000;
            let mut rates = self.commons.connect_rates.lock();
            if !rates.take(Source::of(peer), second, most) {
                drop(rates);
                self.meet_limit_at_accept(Limit::ConnectsPerAddress, peer, &most);
                return refused(&self.metrics, RefusalLabel::RateExceeded);
            }
        }
        let most = limits.unauthenticated_max() as usize;
        let waiting = self.commons.counts.handshakes.load(Ordering::Relaxed);
        if waiting < most.div_ceil(2) {
            return true;
        }
        if let Some(oldest) = self.handshakes.first_to_go() {
            let from = self.slots[oldest.index as usize].peer;
            self.meet_limit_at_accept(Limit::UnauthenticatedPercent, from, &waiting);
            self.end_connection(oldest.index, Ending::CrowdedOut);
        } else if waiting >= most {
            self.meet_limit_at_accept(Limit::UnauthenticatedPercent, peer, &waiting);
            return refused(&self.metrics, RefusalLabel::TooManyConnections);
        }
        true
    }

    fn meet_limit_at_accept(&mut self, limit: Limit, peer: Peer, value: &dyn std::fmt::Display) {
        let met = Met {
            limit,
            client_id: None,
            peer: Some(peer),
            value,
        };
        self.limit_log.note(self.now, &self.metrics, &met);
    }

    /// The connection has shown who it is, or has gone.
    pub(crate) fn end_handshake(&mut self, index: u32) {
        if let Some(slot) = self.slots.get(index as usize) {
            let key = SlotKey {
                index,
                check: slot.check,
            };
            if self.handshakes.end(Source::of(slot.peer), key) {
                self.commons
                    .counts
                    .handshakes
                    .fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Gives a connection its place, and a first look at its socket in this or the next turn.
    pub(crate) fn add_slot(&mut self, arriving: Arriving) -> u32 {
        self.next_check = self.next_check.wrapping_add(1);
        let entry = self.slots.vacant_entry();
        let index = u32::try_from(entry.key()).expect("connections are limited by the descriptors");
        let slot = Slot::new(arriving, &self.ready, index, self.next_check, self.now);
        slot.ready.enqueue();
        entry.insert(slot);
        self.metrics.connections.add(1);
        index
    }

    pub(crate) fn slot_key(&self, index: u32) -> Option<SlotKey> {
        let slot = self.slots.get(index as usize)?;
        Some(SlotKey {
            index,
            check: slot.check,
        })
    }
}

//! What a restart has to find again, as a value: sessions that outlive their connections, with what
//! they are owed, and the retained messages.
//!
//! Messages stand in it once, sessions name them by their numbers. Points in time are those of the
//! broker's clock, so a checkpoint is restored under the same clock; whoever writes one to a disk
//! turns them into wall time. Read first: `sessions`, then `whinchat_session::SessionSnapshot`.

use std::sync::{Arc, atomic::Ordering};

use hashbrown::HashMap;
use whinchat_session::{Instant, SessionSnapshot, SessionState, SnapshotError};

use super::{
    keys::Grant,
    message::{Delivery, Message},
    retained::Source,
    sessions::{Counted, Session, Subscription},
    wills::Will,
};
use crate::{commons::Commons, hooks::Identity, shard::Shard};

/// The state of a broker between two turns, without its connections.
///
/// Sessions that end with their connection are not part of it, nor are searches for retained messages
/// that were still under way.
#[derive(Default)]
pub struct Checkpoint {
    messages: HashMap<u64, Arc<Message>>,
    sessions: Vec<SessionCheckpoint>,
    retained: Vec<(Arc<Message>, Option<Arc<Source>>)>,
    next_message: u64,
    next_session: u64,
}

struct SessionCheckpoint {
    number: u64,
    client_id: Box<str>,
    identity: Identity,
    state: SessionSnapshot,
    subscriptions: Vec<(Box<str>, Grant)>,
    expiry_interval: u32,
    /// `None`: it was connected, or never ends.
    ends_at: Option<Instant>,
    will: Option<Box<Will>>,
    will_at: Option<Instant>,
    was_connected: bool,
    counted: Counted,
}

impl Checkpoint {
    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// How many retained messages there are.
    #[must_use]
    pub fn retained_messages(&self) -> usize {
        self.retained.len()
    }

    /// What the shards share. The sessions are added by each shard.
    pub(crate) fn of(commons: &Commons) -> Self {
        let mut checkpoint = Self {
            next_message: commons.next_message_id(),
            next_session: commons.next_session_number(),
            ..Self::default()
        };
        // The broker's own topics are said anew after a start.
        commons.retained.read().for_each(|message, source| {
            if message.publisher != 0 {
                let entry = (Arc::clone(message), source.cloned());
                checkpoint.retained.push(entry);
            }
        });
        checkpoint
    }

    /// Takes back what the shards share, before the first connection.
    pub(crate) fn restore_shared(&mut self, commons: &Commons) {
        commons.begin_numbers_at(self.next_message, self.next_session);
        let settings = commons.settings();
        let mut retained = commons.retained.write();
        for (message, source) in self.retained.drain(..) {
            // A limit that was lowered meanwhile: those that no longer fit are not kept.
            retained.set(&message, source, &settings).ok();
        }
    }

    /// The places in the list of the sessions that live on `shard`.
    fn places_on(&self, shard: &Shard) -> Vec<usize> {
        (0..self.sessions.len())
            .filter(|place| {
                let session = &self.sessions[*place];
                shard.commons.home_of(&session.client_id) == shard.id
            })
            .collect()
    }
}

impl Shard {
    pub(crate) fn add_to_checkpoint(&self, checkpoint: &mut Checkpoint) {
        let messages = &mut checkpoint.messages;
        for session in self.sessions.range(0..self.sessions.places()) {
            if !session.is_durable() {
                continue;
            }
            let state = session.state.export(|delivery, out| {
                let message = &delivery.message;
                messages.insert(message.id, Arc::clone(message));
                out.extend_from_slice(&message.id.to_le_bytes());
                let group = delivery
                    .group
                    .and_then(|group| self.commons.groups.name_of(group));
                if let Some((name, filter)) = group {
                    out.extend_from_slice(format!("{name}/{filter}").as_bytes());
                }
            });
            let subscriptions = session
                .subscriptions
                .iter()
                .map(|(text, subscription)| (text.clone(), subscription.grant))
                .collect();
            checkpoint.sessions.push(SessionCheckpoint {
                number: session.number,
                client_id: session.client_id.clone(),
                identity: session.identity.clone(),
                state,
                subscriptions,
                expiry_interval: session.expiry_interval,
                ends_at: session.ends_at,
                will: session.will.clone(),
                will_at: session.will_at,
                was_connected: session.slot.is_some(),
                counted: session.counted,
            });
        }
    }

    /// Takes back the sessions that live here, without what they are owed: first all shards know who
    /// is a member of which group.
    pub(crate) fn restore_sessions(&mut self, checkpoint: &mut Checkpoint) {
        for place in checkpoint.places_on(self) {
            let kept = &mut checkpoint.sessions[place];
            self.commons.counts.sessions.fetch_add(1, Ordering::Relaxed);
            self.commons.counts.count(kept.counted);
            self.metrics.sessions.add(1);
            let subscriptions = std::mem::take(&mut kept.subscriptions);
            let shared = subscriptions
                .iter()
                .filter(|(text, _)| text.starts_with("$share/"))
                .count();
            self.commons
                .counts
                .subscriptions
                .fetch_add(subscriptions.len(), Ordering::Relaxed);
            self.metrics.subscriptions.add(subscriptions.len());
            self.metrics.shared_subscriptions.add(shared);
            let index = self.sessions.insert(Session {
                subscriptions: subscriptions
                    .into_iter()
                    .map(|(text, grant)| (text, Subscription::restored(grant)))
                    .collect(),
                expiry_interval: kept.expiry_interval,
                ends_at: kept.ends_at,
                will: kept.will.take(),
                will_at: kept.will_at,
                counted: kept.counted,
                ..Session::new(kept.number, &kept.client_id, kept.identity.clone())
            });
            self.enter_subscriptions(index);
        }
    }

    /// Gives the sessions that live here what they are owed.
    ///
    /// # Errors
    ///
    /// If a session cannot be read; then the broker cannot be used.
    pub(crate) fn restore_states(&mut self, checkpoint: &Checkpoint) -> Result<(), SnapshotError> {
        for place in checkpoint.places_on(self) {
            let kept = &checkpoint.sessions[place];
            let state = SessionState::restore(&kept.state, |bytes| {
                let (id, group) = bytes.split_first_chunk::<8>()?;
                let message = checkpoint.messages.get(&u64::from_le_bytes(*id))?;
                let group = std::str::from_utf8(group).ok()?.split_once('/');
                Some(Delivery {
                    message: Arc::clone(message),
                    group: group.and_then(|(name, filter)| self.commons.groups.find(name, filter)),
                })
            })?;
            let Some(index) = self.sessions.find(&kept.client_id) else {
                continue;
            };
            if let Some(session) = self.sessions.get_mut(index) {
                session.state = state;
            }
            self.note_fullness(index);
        }
        Ok(())
    }

    /// When all that is owed is in its place: whoever was connected has lost the connection now.
    pub(crate) fn restore_absences(&mut self, checkpoint: &Checkpoint) {
        for place in checkpoint.places_on(self) {
            let kept = &checkpoint.sessions[place];
            match self.sessions.find(&kept.client_id) {
                Some(index) if kept.was_connected => self.begin_absence(index),
                Some(index) => self.schedule_session(index),
                None => {}
            }
        }
    }
}

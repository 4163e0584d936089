//! What a restart has to find again, as a value: sessions that outlive their connections, with what
//! they are owed, and the retained messages.
//!
//! Messages stand in it once, sessions name them by their numbers. Points in time are those of the
//! broker's clock, so a checkpoint is restored under the same clock; whoever writes one to a disk
//! turns them into wall time. Read first: `sessions`, then `whinchat_session::SessionSnapshot`.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use hashbrown::HashMap;
use whinchat_codec::SubscriptionOptions;
use whinchat_session::{Instant, SessionSnapshot, SessionState, SnapshotError};
use whinchat_topic::Subscribed;

use super::{
    keys::Grant,
    message::{Delivery, Message},
    records::{read_delivery, write_delivery},
    replay::Handle,
    retained::Source,
    sessions::{Counted, Session, Subscription},
    spill::Stored,
    wills::Will,
};
use crate::{
    commons::Commons,
    hooks::{Action, Decision, Identity},
    shard::Shard,
};

/// The state of a broker between two turns, without its connections.
///
/// Sessions that end with their connection are not part of it, nor are searches for retained messages
/// that were still under way.
#[derive(Default)]
pub struct Checkpoint {
    pub(super) messages: HashMap<u64, Stored>,
    pub(super) sessions: Vec<SessionCheckpoint>,
    pub(super) retained: Vec<(Arc<Message>, Option<Arc<Source>>)>,
    /// Wills of sessions that ended with the broker.
    pub(super) orphans: Vec<Orphan>,
    pub(super) next_message: u64,
    pub(super) next_session: u64,
    pub(super) retained_mark: u64,
}

pub(crate) struct SessionCheckpoint {
    pub(super) number: u64,
    pub(super) client_id: Box<str>,
    pub(super) identity: Identity,
    pub(super) state: SessionSnapshot,
    pub(super) subscriptions: Vec<(Box<str>, Grant, SubscriptionOptions)>,
    pub(super) expiry_interval: u32,
    /// `None`: it was connected, or never ends.
    pub(super) ends_at: Option<Instant>,
    pub(super) will: Option<Box<Will>>,
    pub(super) will_at: Option<Instant>,
    pub(super) was_connected: bool,
    pub(super) counted: Counted,
}

/// The Will of a client whose session was to end with its connection.
pub(super) struct Orphan {
    pub(super) session: u64,
    pub(super) client_id: Box<str>,
    pub(super) identity: Identity,
    pub(super) will: Box<Will>,
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
            retained_mark: commons.retained.read().mark(),
            ..Self::default()
        };
        // The broker's own topics are said anew after a start.
        commons.retained.read().for_each(|message, source| {
            if !message.is_own() {
                let entry = (Arc::clone(message), source.cloned());
                checkpoint.retained.push(entry);
            }
        });
        checkpoint
    }

    /// Takes back what the shards share, before the first connection.
    pub(crate) fn restore_shared(&mut self, commons: &Commons) {
        commons.begin_numbers_at(self.next_message, self.next_session);
        if self.messages.values().any(Stored::is_in_log) {
            commons.spill.want();
        }
        let settings = commons.settings();
        let mut retained = commons.retained.write();
        retained.begin_marks_at(self.retained_mark);
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

/// One line for each session, Will and retained message, in order: two checkpoints that say the same look the same. Which group a message was picked for is
/// left out: one that has lost its last member since is remembered by a log, and by nobody else.
impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<String> = Vec::new();
        for session in &self.sessions {
            let mut filters: Vec<String> = session
                .subscriptions
                .iter()
                .map(|(text, grant, options)| {
                    format!(
                        "{text} {:02x} {:?}",
                        options.bits(),
                        grant.subscription_id()
                    )
                })
                .collect();
            filters.sort();
            let state = describe(&session.state);
            let away = (!session.was_connected).then_some((session.ends_at, session.will_at));
            lines.push(format!(
                "session {} {:?} expiry {} away {away:?} will {:?} filters {filters:?} {state}",
                session.number,
                session.client_id,
                session.expiry_interval,
                session.will.as_ref().map(|will| &*will.topic),
            ));
        }
        for (message, _) in &self.retained {
            lines.push(format!(
                "retained {} {:?} {} bytes until {:?}",
                message.id,
                &*message.topic,
                message.payload.len(),
                message.expires_at,
            ));
        }
        for orphan in &self.orphans {
            lines.push(format!("will of {:?}", orphan.client_id));
        }
        lines.sort();
        writeln!(f, "Checkpoint")?;
        lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// What a session is owed: its messages by number, those in flight first, and a sum over everything.
fn describe(snapshot: &SessionSnapshot) -> String {
    let Ok(state) = SessionState::restore(snapshot, Handle::without_group) else {
        return "unreadable".to_owned();
    };
    let mut messages = Vec::new();
    let without_groups = state.export(|handle, out| {
        messages.push(handle.message);
        handle.write(out);
    });
    format!(
        "{} in flight, {} held, messages {messages:?}, sum {:016x}",
        state.in_flight(),
        state.held_ids(),
        xxhash_rust::xxh3::xxh3_64(without_groups.as_bytes()),
    )
}

impl Shard {
    pub(crate) fn add_to_checkpoint(&self, checkpoint: &mut Checkpoint) {
        let messages = &mut checkpoint.messages;
        for session in self.sessions.range(0..self.sessions.places()) {
            if !session.is_durable() {
                continue;
            }
            let state = session.state.export(|delivery, out| {
                if let Some(message) = delivery.message.message() {
                    messages.insert(message.id, Stored::Memory(message));
                }
                write_delivery(delivery, &self.commons.groups, out);
            });
            let subscriptions = session
                .subscriptions
                .iter()
                .map(|(text, subscription)| {
                    (text.clone(), subscription.grant, subscription.options)
                })
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
                .filter(|(text, ..)| text.starts_with("$share/"))
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
                    .map(|(text, mut grant, options)| {
                        grant.set_partly(self.is_partly(kept, &text, options));
                        (text, Subscription::restored(grant, options))
                    })
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

    /// Whether each delivery has to be checked: the rules may have changed meanwhile.
    fn is_partly(
        &self,
        kept: &SessionCheckpoint,
        text: &str,
        options: SubscriptionOptions,
    ) -> bool {
        let Ok(subscribed) = Subscribed::parse(text) else {
            return true;
        };
        let share = match &subscribed {
            Subscribed::Plain(_) => None,
            Subscribed::Shared(shared) => Some(shared.group()),
        };
        let action = Action::Subscribe {
            qos: options.qos,
            share,
        };
        let filter = subscribed.filter().as_str();
        let decision = self
            .commons
            .may(&kept.identity, &kept.client_id, action, filter);
        decision != Decision::Allow
    }

    /// Gives the sessions that live here what they are owed.
    ///
    /// # Errors
    ///
    /// If a session cannot be read; then the broker cannot be used.
    pub(crate) fn restore_states(&mut self, checkpoint: &Checkpoint) -> Result<(), SnapshotError> {
        for place in checkpoint.places_on(self) {
            let kept = &checkpoint.sessions[place];
            let mut has_group_messages = false;
            let state = SessionState::restore(&kept.state, |bytes| {
                let (id, group) = read_delivery(bytes)?;
                let message = checkpoint.messages.get(&id)?;
                let group = group.and_then(|text| self.commons.groups.find(text));
                has_group_messages |= group.is_some();
                Some(Delivery {
                    message: message.clone(),
                    group,
                })
            })?;
            let Some(index) = self.sessions.find(&kept.client_id) else {
                continue;
            };
            let Some(session) = self.sessions.get_mut(index) else {
                continue;
            };
            session.state = state;
            if has_group_messages {
                // It may have left the group since; its messages can still go to the others.
                session.readiness.get_or_insert_default();
            }
            if kept.was_connected && self.records.is_enabled() {
                if !planted!(DupMissingAfterStart) {
                    session.state.assume_sent();
                }
                self.records.session_anew(session, &self.commons.groups, 0);
            }
            self.note_fullness(index);
        }
        Ok(())
    }

    /// When all that is owed is in its place: whoever was connected has lost the connection now, and what came to its end meanwhile ends.
    pub(crate) fn restore_absences(&mut self, checkpoint: &mut Checkpoint) {
        for place in checkpoint.places_on(self) {
            let kept = &checkpoint.sessions[place];
            let Some(index) = self.sessions.find(&kept.client_id) else {
                continue;
            };
            if kept.was_connected {
                self.begin_absence(index);
            } else if kept.ends_at.is_some_and(|at| at <= self.now) {
                self.metrics.sessions_expired.increment();
                self.end_session(index);
            } else {
                self.schedule_session(index);
            }
        }
        let mut orphans = std::mem::take(&mut checkpoint.orphans);
        let own = |orphan: &mut Orphan| self.commons.home_of(&orphan.client_id) == self.id;
        let own: Vec<Orphan> = orphans.extract_if(.., own).collect();
        checkpoint.orphans = orphans;
        for orphan in own {
            // Its session ended with the broker (v5 [MQTT-3.1.2-8]).
            self.records.will_end(orphan.session);
            self.publish_will_of(
                orphan.session,
                &orphan.client_id,
                &orphan.identity,
                &orphan.will,
            );
        }
    }
}

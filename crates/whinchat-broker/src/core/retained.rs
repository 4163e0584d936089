//! Retained messages: one per topic name, shared by all shards.
//!
//! A publisher sets the message and looks up the subscribers while it holds the write lock; a
//! subscriber inserts its filter and reads [`Retained::mark`] under the read lock, then scans in
//! chunks what was set up to that mark. So for each retained PUBLISH and each SUBSCRIBE one came
//! entirely first: the subscriber gets the old message, the new one or none, never both and never
//! in the wrong order, however long its scan takes.

use std::sync::Arc;

use whinchat_session::Instant;
use whinchat_topic::{Cursor, NameIndex, TopicFilter, TopicName};

use super::message::Message;
use crate::{
    commons::Commons,
    hooks::{Action, Decision, Identity},
    limits::Limit,
    settings::Settings,
};

/// All retained messages.
pub(crate) struct Retained {
    names: NameIndex<Entry>,
    /// Those of clients; the broker's own topics are few and bound by nothing.
    messages: usize,
    /// Of those.
    bytes: usize,
    /// Counts what was ever set.
    mark: u64,
}

struct Entry {
    message: Arc<Message>,
    source: Option<Arc<Source>>,
    set: u64,
}

/// Who published a retained message: whoever may not publish it any more is not heard any more.
#[derive(Debug)]
pub(crate) struct Source {
    identity: Identity,
    client_id: Box<str>,
}

impl Source {
    pub(crate) fn new(identity: &Identity, client_id: &str) -> Arc<Self> {
        Arc::new(Self {
            identity: identity.clone(),
            client_id: client_id.into(),
        })
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Asks whether the publisher may still publish the message (T-74).
    pub(crate) fn may_still_publish(&self, message: &Message, commons: &Commons) -> bool {
        let action = Action::Publish {
            qos: message.qos,
            retain: true,
        };
        let topic = &message.topic;
        commons.may(&self.identity, &self.client_id, action, topic) != Decision::Deny
    }
}

/// A retained message that found no room; it was delivered to those who are there all the same.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom {
    pub(crate) limit: Limit,
    /// How many messages or bytes there would have been.
    pub(crate) value: u64,
}

impl Retained {
    pub(crate) fn new() -> Self {
        Self {
            names: NameIndex::new(),
            messages: 0,
            bytes: 0,
            mark: 0,
        }
    }

    /// Replaces the message of its topic name, or removes it if the payload is empty
    /// (v5 [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7]). Gives the mark of this change: of two, the later one has the higher.
    pub(crate) fn set(
        &mut self,
        message: &Arc<Message>,
        source: Option<Arc<Source>>,
        settings: &Settings,
    ) -> Result<u64, NoRoom> {
        let topic = TopicName::from_validated(&message.topic);
        if message.payload.is_empty() {
            self.remove(topic);
            self.mark += 1;
            return Ok(self.mark);
        }
        // What the broker says of itself is not counted, so what replaces it takes nothing's place.
        let old = self.names.get(topic).map(|old| &old.message);
        let old = old.filter(|old| !old.is_own()).map(|old| old.size());
        if old.is_some() && planted!(RetainedNotReplaced) {
            return Ok(self.mark);
        }
        if !message.is_own() {
            let messages = self.messages + usize::from(old.is_none());
            let bytes = self.bytes - old.unwrap_or(0) + message.size();
            let held_under = |limit: Limit, value: usize, max: u64| {
                let value = value as u64;
                if value > max {
                    return Err(NoRoom { limit, value });
                }
                Ok(())
            };
            held_under(Limit::RetainedSize, bytes, settings.retained_bytes)?;
            let most = u64::from(settings.limits.retained_messages);
            held_under(Limit::RetainedMessages, messages, most)?;
            (self.messages, self.bytes) = (messages, bytes);
        } else if let Some(old) = old {
            self.messages -= 1;
            self.bytes -= old;
        }
        self.mark += 1;
        let entry = Entry {
            message: Arc::clone(message),
            source,
            set: self.mark,
        };
        self.names.insert(topic, entry);
        Ok(self.mark)
    }

    fn remove(&mut self, topic: &TopicName) {
        if let Some(old) = self.names.remove(topic)
            && !old.message.is_own()
        {
            self.messages -= 1;
            self.bytes -= old.message.size();
        }
    }

    /// Goes on behind the marks of an earlier life.
    pub(crate) fn begin_marks_at(&mut self, mark: u64) {
        self.mark = self.mark.max(mark);
    }

    /// What was set up to here belongs to a scan that begins now.
    pub(crate) fn mark(&self) -> u64 {
        self.mark
    }

    /// Hands out the next messages that match `filter` and were set up to `mark`, about `limit` of
    /// them; the cursor to go on with, or `None` at the end. Expired ones are left out.
    pub(crate) fn scan(
        &self,
        filter: &TopicFilter,
        cursor: Option<Cursor>,
        mark: u64,
        limit: usize,
        now: Instant,
        mut found: impl FnMut(&Arc<Message>, Option<&Arc<Source>>),
    ) -> Option<Cursor> {
        self.names.scan(filter, cursor, limit, |_, entry| {
            if entry.set <= mark && !entry.message.has_expired(now) {
                found(&entry.message, entry.source.as_ref());
            }
        })
    }

    /// Removes the expired ones among the next `looks` messages from `cursor` on; the broker's own
    /// topics do not expire.
    pub(crate) fn sweep(
        &mut self,
        cursor: Option<Cursor>,
        looks: usize,
        now: Instant,
    ) -> Option<Cursor> {
        let filter = TopicFilter::new("#").expect("a valid filter");
        let mut expired = Vec::new();
        let cursor = self.names.scan(filter, cursor, looks, |_, entry| {
            if entry.message.has_expired(now) {
                expired.push(Arc::clone(&entry.message));
            }
        });
        for message in expired {
            self.remove(TopicName::from_validated(&message.topic));
        }
        cursor
    }

    /// Shows every message, in no particular order.
    pub(crate) fn for_each(&self, mut show: impl FnMut(&Arc<Message>, Option<&Arc<Source>>)) {
        let filter = TopicFilter::new("#").expect("a valid filter");
        let system = TopicFilter::new("$SYS/#").expect("a valid filter");
        for filter in [filter, system] {
            self.names.scan(filter, None, usize::MAX, |_, entry| {
                show(&entry.message, entry.source.as_ref());
            });
        }
    }

    /// Shows the next messages from `cursor` on, about `limit` of them, each with its mark; the cursor to go on with.
    pub(crate) fn next_entries(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
        mut show: impl FnMut(&Arc<Message>, u64, Option<&Arc<Source>>),
    ) -> Option<Cursor> {
        let filter = TopicFilter::new("#").expect("a valid filter");
        self.names.scan(filter, cursor, limit, |_, entry| {
            show(&entry.message, entry.set, entry.source.as_ref());
        })
    }

    /// Messages of clients.
    pub(crate) fn len(&self) -> usize {
        self.messages
    }

    /// Bytes of those, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

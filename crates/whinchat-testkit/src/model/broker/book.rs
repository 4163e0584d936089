//! What a broker has to do, written down: sessions, subscriptions, retained messages, Wills, groups.
//!
//! Told what the broker is sent, it says what each session is owed. Read first: MQTT 5.0 sections
//! 3.1.2.4 to 3.1.2.5, 3.1.3.2, 3.3.1, 3.3.4, 3.8.3, 3.14, 4.1, 4.7 and 4.8. Where the
//! specification leaves a choice, the model takes the one of `docs/protocol-notes.md`.

use whinchat_codec::{PacketId, QoS, RetainHandling, SubscriptionOptions};

use super::groups::Groups;
use super::step::{ConnectWords, FILTERS, PLAIN, PublishWords, TOPICS, WillWords, id_of};
use crate::model::ledger::{Beginnings, Copy, Ledger, Millis};

/// A message on its way to everybody who is to get it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    /// 0 if its payload is empty.
    pub(super) number: u32,
    pub(super) topic: u8,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) expires_at: Option<Millis>,
    /// The session that published it.
    pub(super) publisher: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) filter: u8,
    options: SubscriptionOptions,
    id: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Will {
    words: WillWords,
    number: u32,
}

/// What a session has at its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Absent,
    /// A client whose CONNACK has not left.
    Attached,
    Connected,
}

#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Never used twice.
    pub(super) name: u32,
    pub(super) link: Link,
    pub(super) ledger: Ledger,
    subscriptions: Vec<Subscription>,
    /// QoS 2 ids of the client without their PUBREL.
    held: Vec<PacketId>,
    /// Seconds; `u32::MAX` is for ever.
    pub(super) expiry: u32,
    ends_at: Option<Millis>,
    will: Option<Will>,
    will_at: Option<Millis>,
    /// When the client counts as gone, if it sends nothing.
    pub(super) silent_at: Option<Millis>,
    is_v5: bool,
}

/// What became of a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Its answer has to wait for the log.
    pub(super) must_survive: bool,
}

/// Everything the broker has to remember.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) now: Millis,
    sessions: Vec<Option<Session>>,
    retained: Vec<Message>,
    pub(super) groups: Groups,
    next_name: u32,
    /// SUBACK may wait for the log, and the retained messages with it.
    log_is_late: bool,
    /// Copies at QoS 0 for sessions without a connection.
    pub(super) offline: u64,
    /// Copies that expired before they could leave, and those that had not left when their session ended.
    pub(super) given_up: u64,
    /// A group was there: who had which of its copies when a session ended is not known.
    pub(super) had_groups: bool,
    /// What sessions were owed that ended with the broker was counted by nobody.
    pub(super) was_restarted: bool,
    pub(super) wills: u64,
    /// Things happened at a time, in an order that nobody knows.
    pub(super) is_fuzzy: bool,
    /// Even the retained messages are not known any more.
    pub(super) is_lost: bool,
}

impl Book {
    pub(super) fn new(clients: usize, log_is_late: bool) -> Self {
        Self {
            now: 0,
            sessions: vec![None; clients],
            retained: Vec::new(),
            groups: Groups::new(log_is_late),
            next_name: 0,
            log_is_late,
            offline: 0,
            given_up: 0,
            had_groups: false,
            was_restarted: false,
            wills: 0,
            is_fuzzy: false,
            is_lost: false,
        }
    }

    pub(super) fn session(&self, client: usize) -> Option<&Session> {
        self.sessions[client].as_ref()
    }

    pub(super) fn session_mut(&mut self, client: usize) -> Option<&mut Session> {
        self.sessions[client].as_mut()
    }

    fn open(&mut self, client: usize) -> &mut Session {
        self.sessions[client].as_mut().expect("it has a session")
    }

    pub(super) fn is_durable(&self, client: usize) -> bool {
        self.session(client)
            .is_some_and(|session| session.expiry > 0)
    }

    // ---- connections ----

    /// A CONNECT arrives; whether the session is present. // v5 [MQTT-3.1.2-4] [MQTT-3.2.2-3]
    pub(super) fn connect(
        &mut self,
        client: usize,
        words: &ConnectWords,
        will: u32,
        is_v5: bool,
    ) -> bool {
        let is_clean = words.is_clean || (!is_v5 && words.expiry == 0);
        let expiry = match (is_v5, words.expiry) {
            (true, expiry) => expiry,
            (false, 0) => 0,
            (false, _) if is_clean => 0,
            (false, _) => u32::MAX,
        };
        let is_present = self.take_over(client, is_clean);
        if !is_present {
            self.next_name += 1;
            let mut ledger = Ledger::default();
            if self.log_is_late {
                ledger.beginnings = Beginnings::Hidden;
            }
            self.sessions[client] = Some(Session {
                name: self.next_name,
                link: Link::Absent,
                ledger,
                subscriptions: Vec::new(),
                held: Vec::new(),
                expiry: 0,
                ends_at: None,
                will: None,
                will_at: None,
                silent_at: None,
                is_v5,
            });
        }
        let words = *words;
        let session = self.open(client);
        session.link = Link::Attached;
        session.expiry = expiry;
        session.ends_at = None;
        session.will_at = None;
        session.silent_at = None;
        session.will = words.will.map(|mut words| {
            if !is_v5 {
                words.delay = 0;
            }
            Will {
                words,
                number: will,
            }
        });
        is_present
    }

    /// What becomes of the session that is there. // v5 [MQTT-3.1.4-3]
    fn take_over(&mut self, client: usize, is_clean: bool) -> bool {
        let Some(session) = self.session_mut(client) else {
            return false;
        };
        session.link = Link::Absent;
        session.ledger.disconnect();
        let ends = is_clean || session.expiry == 0;
        if ends {
            self.end(client);
            return false;
        }
        // v5 [MQTT-3.1.3-9]
        let session = self.open(client);
        if session.will.is_some_and(|will| will.words.delay == 0) {
            self.fire_will(client);
        } else {
            session.will = None;
        }
        true
    }

    /// A connection ends without DISCONNECT, or with one that asks for the Will.
    pub(super) fn lose(&mut self, client: usize) {
        let now = self.now;
        let Some(session) = self.session_mut(client) else {
            return;
        };
        if session.link == Link::Absent {
            return;
        }
        session.link = Link::Absent;
        session.silent_at = None;
        session.ledger.disconnect();
        if session.expiry == 0 {
            return self.end(client);
        }
        session.ends_at = (session.expiry != u32::MAX).then(|| after(now, session.expiry));
        session.will_at = session.will.map(|will| after(now, will.words.delay.into()));
        if session.will_at == Some(now) {
            self.fire_will(client);
        }
        self.let_go(client);
    }

    /// A DISCONNECT arrives. // v5 [MQTT-3.14.4-3]
    pub(super) fn disconnect(&mut self, client: usize, with_will: bool, expiry: Option<u32>) {
        let session = self.open(client);
        if let Some(expiry) = expiry {
            session.expiry = expiry;
        }
        if !with_will {
            session.will = None;
        }
        self.lose(client);
    }

    /// The session is over, and its Will is published at the latest now. // v5 [MQTT-3.1.2-8]
    fn end(&mut self, client: usize) {
        self.fire_will(client);
        let session = self.sessions[client].take();
        let owed = session.map_or(0, |session| session.ledger.not_sent());
        self.given_up += owed;
        self.groups.remove_session(client);
        self.groups.expire(self.now);
        self.note_takers();
    }

    fn fire_will(&mut self, client: usize) {
        let session = self.open(client);
        session.will_at = None;
        let Some(Will { words, number }) = session.will.take() else {
            return;
        };
        let message = Message {
            number,
            topic: words.topic,
            qos: words.qos,
            retain: words.retain,
            expires_at: None,
            publisher: session.name,
        };
        self.wills += 1;
        self.route(&message);
    }

    /// Messages of groups that a member has not answered go to another one that is there.
    fn let_go(&mut self, client: usize) {
        let takers = self.takers(|session| session.link != Link::Absent);
        let moved = self.groups.let_go(client, &takers);
        let session = self.open(client);
        session
            .ledger
            .set_optional(|entry| moved.contains(&entry.serial));
        self.note_takers();
    }

    fn takers(&self, takes: impl Fn(&Session) -> bool) -> Vec<usize> {
        let sessions = self.sessions.iter().enumerate();
        sessions
            .filter(|(_, session)| session.as_ref().is_some_and(&takes))
            .map(|(client, _)| client)
            .collect()
    }

    /// What nobody in its group can take is lost.
    pub(super) fn note_takers(&mut self) {
        let takers = self.takers(|session| session.link != Link::Absent || session.expiry > 0);
        self.groups.note_takers(&takers);
    }

    /// The broker ends and begins again with what it had exported: every connection is lost, and
    /// sessions that end with their connection are gone without a word.
    pub(super) fn restart(&mut self) {
        self.was_restarted = true;
        let lost = self.takers(|session| session.link != Link::Absent);
        for client in 0..self.sessions.len() {
            if let Some(session) = self.session_mut(client) {
                session.link = Link::Absent;
                session.ledger.restart();
            }
        }
        if self.log_is_late {
            // A search for retained messages that had not begun is not taken up again.
            for session in self.sessions.iter_mut().flatten() {
                session
                    .ledger
                    .set_optional(|entry| entry.copy.was_retained());
            }
        }
        self.groups.restart();
        for client in 0..self.sessions.len() {
            if self
                .session(client)
                .is_some_and(|session| session.expiry == 0)
            {
                self.groups.forgive(client);
                let session = self.open(client);
                session.will = None;
                session.ledger = Ledger::default();
                self.end(client);
            }
        }
        let retained_wills = lost
            .iter()
            .filter_map(|client| self.session(*client)?.will)
            .filter(|will| will.words.retain && will.words.delay == 0);
        self.is_lost |= has_twins(retained_wills.map(|will| will.words.topic).collect());
        for client in lost {
            if let Some(session) = self.session_mut(client) {
                session.link = Link::Attached; // to be lost
                self.lose(client);
            }
        }
    }

    // ---- time ----

    /// When something is due by itself.
    pub(super) fn deadlines(&self) -> Vec<Millis> {
        let sessions = self.sessions.iter().flatten();
        sessions
            .flat_map(|session| [session.ends_at, session.will_at, session.silent_at])
            .flatten()
            .collect()
    }

    /// Time has come to `now`; the clients whose connection the broker has closed because of that.
    pub(super) fn pass_time(&mut self, now: Millis) -> Vec<usize> {
        self.now = now;
        let due = |at: Option<Millis>| at.is_some_and(|at| at <= now);
        let count = self.deadlines().iter().filter(|at| **at <= now).count();
        let silent = self.takers(|session| due(session.silent_at));
        self.is_fuzzy |= count > 1;
        self.is_lost |= count > 1 && !silent.is_empty();
        let is_due = |session: &Session| due(session.ends_at) || due(session.will_at);
        let firing = self.takers(is_due);
        let retained_wills = firing
            .iter()
            .filter_map(|client| self.session(*client)?.will)
            .filter(|will| will.words.retain);
        self.is_lost |= has_twins(retained_wills.map(|will| will.words.topic).collect());
        for client in &silent {
            self.lose(*client);
        }
        for client in self.takers(|session| due(session.ends_at)) {
            self.end(client);
        }
        for client in self.takers(|session| due(session.will_at)) {
            self.fire_will(client);
        }
        let groups_are_sure = count <= 1;
        if !groups_are_sure {
            self.groups.forgive_new();
        }
        for session in self.sessions.iter_mut().flatten() {
            session.ledger.expire(now);
            self.given_up += std::mem::take(&mut session.ledger.expired);
        }
        self.retained
            .retain(|message| message.expires_at.is_none_or(|at| at > now));
        self.groups.expire(now);
        silent
    }

    /// The client has sent something.
    pub(super) fn heard(&mut self, client: usize) {
        let now = self.now;
        if let Some(session) = self.session_mut(client)
            && session.silent_at.is_some()
        {
            session.silent_at = Some(now + 46_500);
        }
    }

    // ---- messages ----

    /// A PUBLISH arrives. `None`: it is a repetition of one that was taken.
    /// // v5 [MQTT-4.3.3-10]
    pub(super) fn publish(
        &mut self,
        client: usize,
        id: PacketId,
        number: u32,
        words: &PublishWords,
    ) -> Option<Taken> {
        let now = self.now;
        let session = self.open(client);
        if words.qos == QoS::ExactlyOnce {
            if session.held.contains(&id) {
                return None;
            }
            session.held.push(id);
        }
        let expiry = words.expiry.filter(|_| session.is_v5);
        let message = Message {
            number: if words.is_empty { 0 } else { number },
            topic: words.topic,
            qos: words.qos,
            retain: words.retain,
            expires_at: expiry.map(|seconds| after(now, seconds.into())),
            publisher: session.name,
        };
        let is_durable = session.expiry > 0;
        let mut taken = self.route(&message);
        taken.must_survive |= words.qos == QoS::ExactlyOnce && is_durable;
        Some(taken)
    }

    /// A PUBREL arrives.
    pub(super) fn pubrel(&mut self, client: usize, id: PacketId) -> bool {
        let held = &mut self.open(client).held;
        let before = held.len();
        held.retain(|known| *known != id);
        held.len() < before
    }

    fn route(&mut self, message: &Message) -> Taken {
        let mut taken = Taken {
            must_survive: message.retain,
        };
        if message.retain {
            self.retain(message);
        }
        let (mut offline, mut is_unsure) = (0, false);
        for session in self.sessions.iter_mut().flatten() {
            let Some(copy) = session.copy_of(message) else {
                continue;
            };
            taken.must_survive |= session.expiry > 0 && copy.qos > QoS::AtMostOnce;
            if copy.qos > QoS::AtMostOnce || session.link == Link::Connected {
                session.ledger.owe(copy);
            } else if session.link == Link::Absent {
                offline += 1;
            } else {
                // On its way to another shard the message may meet the commit that CONNACK waits for.
                session.ledger.owe_perhaps(copy);
                is_unsure = true;
            }
        }
        self.offline += offline;
        self.is_fuzzy |= is_unsure;
        let connected = self.takers(|session| session.link == Link::Connected);
        self.groups.owe(message, &connected);
        self.note_takers();
        if message.qos == QoS::AtMostOnce {
            taken.must_survive = false;
        }
        taken
    }

    /// // v5 [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7]
    fn retain(&mut self, message: &Message) {
        self.retained.retain(|old| old.topic != message.topic);
        if message.number != 0 {
            self.retained.push(*message);
        }
        if self.log_is_late {
            // Whoever has subscribed and not been served gets the new one alone.
            for session in self.sessions.iter_mut().flatten() {
                let topic = TOPICS[usize::from(message.topic)];
                session
                    .ledger
                    .set_optional(|entry| entry.copy.was_retained() && entry.copy.topic == topic);
            }
        }
    }

    /// All that could happen has happened.
    pub(super) fn settle(&mut self) {
        self.groups.settle();
        for session in self.sessions.iter_mut().flatten() {
            session.ledger.forget_perhaps();
        }
    }

    // ---- subscriptions ----

    /// A SUBSCRIBE arrives. // v5 [MQTT-3.8.4-3] [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]
    pub(super) fn subscribe(
        &mut self,
        client: usize,
        filter: u8,
        options: SubscriptionOptions,
        has_id: bool,
    ) {
        if usize::from(filter) >= PLAIN {
            self.had_groups = true;
            let session = self.open(client);
            let is_known = session.unsubscribe(filter);
            session.subscriptions.push(Subscription {
                filter,
                options,
                id: None,
            });
            if !is_known {
                self.groups.join(client, filter);
            }
            return;
        }
        let (log_is_late, now) = (self.log_is_late, self.now);
        let retained: Vec<Message> = self
            .retained
            .iter()
            .filter(|message| matches(filter, message.topic))
            .copied()
            .collect();
        let session = self.open(client);
        let is_known = session.unsubscribe(filter);
        let id = (has_id && session.is_v5).then(|| id_of(filter));
        // 3.x has the QoS and nothing else.
        let options = if session.is_v5 {
            options
        } else {
            SubscriptionOptions::new(options.qos)
        };
        session.subscriptions.push(Subscription {
            filter,
            options,
            id,
        });
        let wanted = match options.retain_handling {
            RetainHandling::SendAtSubscribe => true,
            RetainHandling::SendIfNew => !is_known,
            RetainHandling::DoNotSend => false,
        };
        if is_known && log_is_late {
            session.doubt_retained(filter);
        }
        for message in retained {
            let is_doubtful = !wanted && is_known && log_is_late;
            if !wanted && !is_doubtful {
                continue;
            }
            let serial = session.ledger.owe(Copy {
                number: message.number,
                topic: TOPICS[usize::from(message.topic)],
                qos: message.qos.min(options.qos),
                retain: true, // v5 [MQTT-3.3.1-8]
                ids: id.into_iter().collect(),
                expires_at: message.expires_at,
                flow: None,
            });
            if is_doubtful {
                // The search that an earlier SUBSCRIBE began goes on as the new one says.
                session.ledger.set_optional(|entry| entry.serial == serial);
            }
        }
        session.ledger.expire(now);
    }

    /// An UNSUBSCRIBE arrives. // v5 [MQTT-3.10.4-1] [MQTT-3.10.4-2]
    pub(super) fn unsubscribe(&mut self, client: usize, filter: u8) {
        let log_is_late = self.log_is_late;
        let session = self.open(client);
        let was_known = session.unsubscribe(filter);
        if log_is_late {
            session.doubt_retained(filter);
        }
        if was_known && usize::from(filter) >= PLAIN {
            self.groups.leave(client, filter);
            self.note_takers();
        }
    }

    pub(super) fn is_subscribed(&self, client: usize, filter: u8) -> bool {
        self.session(client)
            .is_some_and(|session| session.subscriptions.iter().any(|own| own.filter == filter))
    }
}

impl Session {
    /// What this session gets of a message by its plain subscriptions: one copy, with the highest QoS
    /// and all identifiers. // v5 [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.8.3-3]
    fn copy_of(&self, message: &Message) -> Option<Copy> {
        let matching: Vec<&Subscription> = self
            .subscriptions
            .iter()
            .filter(|own| usize::from(own.filter) < PLAIN && matches(own.filter, message.topic))
            .filter(|own| !(own.options.no_local && message.publisher == self.name))
            .collect();
        let granted = matching.iter().map(|own| own.options.qos).max()?;
        let keeps_retain = matching.iter().any(|own| own.options.retain_as_published);
        let mut ids: Vec<u32> = matching.iter().filter_map(|own| own.id).collect();
        ids.sort_unstable();
        Some(Copy {
            number: message.number,
            topic: TOPICS[usize::from(message.topic)],
            qos: message.qos.min(granted),
            retain: message.retain && keeps_retain, // v5 [MQTT-3.3.1-12]
            ids,
            expires_at: message.expires_at,
            flow: Some(message.publisher),
        })
    }

    /// Whether there was such a subscription.
    fn unsubscribe(&mut self, filter: u8) -> bool {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|own| own.filter != filter);
        self.subscriptions.len() < before
    }

    /// Retained messages that this filter may have asked for may come no more.
    fn doubt_retained(&mut self, filter: u8) {
        self.ledger.set_optional(|entry| {
            let topic = TOPICS.iter().position(|topic| *topic == entry.copy.topic);
            let topic = topic.and_then(|topic| u8::try_from(topic).ok());
            entry.copy.was_retained() && topic.is_some_and(|topic| matches(filter, topic))
        });
    }
}

/// Whether a filter matches a topic, by its definition. // v5 [MQTT-4.7.1-1] [MQTT-4.7.1-2]
pub(super) fn matches(filter: u8, topic: u8) -> bool {
    let filter = FILTERS[usize::from(filter)];
    // A shared subscription matches as the filter in it does.
    let filter = match filter.strip_prefix("$share/") {
        Some(shared) => shared.split_once('/').map_or("", |(_, filter)| filter),
        None => filter,
    };
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = TOPICS[usize::from(topic)].split('/').collect();
    levels_match(&filter, &topic)
}

fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => levels_match(filter, topic),
        ([own, filter @ ..], [other, topic @ ..]) => own == other && levels_match(filter, topic),
        _ => false,
    }
}

pub(super) fn after(now: Millis, seconds: u32) -> Millis {
    now + u64::from(seconds) * 1_000
}

fn has_twins(mut topics: Vec<u8>) -> bool {
    topics.sort_unstable();
    topics.windows(2).any(|pair| pair[0] == pair[1])
}

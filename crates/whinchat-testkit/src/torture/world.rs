//! The clients of one broker, what they do under load, and what they hold against it.
//!
//! ```text
//! p00..p15  publish t/P/0..3 and u/S; even ones at QoS 1, odd ones at QoS 2
//! s0..s7    durable subscribers: come and go, subscribe to u/S and unsubscribe
//! w0..w3    have a Will at w/W, and are cut
//! q0..q1    set and clear the retained topics r/0..r/7
//! e0..e3    have a session that they end now and then
//! auditor   looks after each start at what is retained
//! ```
//!
//! One thread moves all of them: [`World::load`] for a while, [`World::drain`] until nothing is owed any more.

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fastrand::Rng;
use whinchat_codec::{ProtocolVersion, QoS, Will};

use super::{
    client::{Client, Delivery, Event, Outbound, ready},
    finding::{Findings, Kind},
    ledger::{Ledger, SUBSCRIBERS},
    packets::text,
    retained::Retained,
};

const PUBLISHERS: usize = 16;
const WILLS: usize = 4;
const RETAINERS: usize = 2;
const ENDERS: usize = 4;
const TOPICS: usize = 4;
const RETAINED_TOPICS: usize = 8;

/// Most unanswered messages of a publisher.
const WINDOW: usize = 8;

/// Publishers pause while more copies than this are owed.
const BACKLOG_MAX: u64 = 20_000;

/// A broker that says nothing for so long says nothing more. A disk that others keep busy holds up a sync for seconds.
const SILENCE: Duration = Duration::from_secs(20);

/// How long the broker is listened to when all that is owed has come.
const REST: Duration = Duration::from_millis(500);

/// Who a client is, by its place among its like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Publisher(usize),
    Subscriber(usize),
    Will(usize),
    Retainer(usize),
    Ender(usize),
    Auditor,
}

/// Whether something is there, as far as the broker has said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Firm {
    Yes,
    No,
    Unsure,
}

pub(super) struct World {
    pub(super) findings: Findings,
    pub(super) ledger: Ledger,
    rng: Rng,
    port: u16,
    clients: Vec<(Role, Client)>,
    retained: Retained,
    /// Whether the lasting subscriptions of each subscriber are there.
    lasting: [Firm; SUBSCRIBERS],
    /// Whether it is subscribed to `u/S`.
    toggled: [Firm; SUBSCRIBERS],
    /// What SUBACK and UNSUBACK will make of that, in the order in which they were asked for.
    asked: [Vec<Asked>; SUBSCRIBERS],
    returns_at: [Option<Instant>; SUBSCRIBERS],
    wills: [Option<u64>; WILLS],
    ended: [Firm; ENDERS],
    /// The broker had said so before this CONNECT.
    was_ended: [bool; ENDERS],
    is_ending: [bool; ENDERS],
    /// What the auditor has seen, and how many PINGRESPs.
    audit: BTreeMap<usize, u64>,
    audit_answers: u32,
    pub(super) declined: u64,
    heard_at: Instant,
}

#[derive(Clone, Copy)]
enum Asked {
    Lasting,
    Toggle(Firm),
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let version = |number: usize| {
            if number.is_multiple_of(3) {
                ProtocolVersion::V311
            } else {
                ProtocolVersion::V5
            }
        };
        let mut clients = Vec::new();
        let mut add = |count, prefix: &str, role: fn(usize) -> Role| {
            for number in 0..count {
                let client = Client::new(format!("{prefix}{number}"), version(number));
                clients.push((role(number), client));
            }
        };
        add(PUBLISHERS, "p", Role::Publisher);
        add(SUBSCRIBERS, "s", Role::Subscriber);
        add(WILLS, "w", Role::Will);
        add(RETAINERS, "q", Role::Retainer);
        add(ENDERS, "e", Role::Ender);
        clients.push((
            Role::Auditor,
            Client::new("auditor".to_owned(), ProtocolVersion::V5),
        ));
        Self {
            findings: Findings::default(),
            ledger: Ledger::default(),
            rng: Rng::with_seed(seed),
            port: 0,
            clients,
            retained: Retained::new(RETAINED_TOPICS),
            lasting: [Firm::No; SUBSCRIBERS],
            toggled: [Firm::No; SUBSCRIBERS],
            asked: Default::default(),
            returns_at: Default::default(),
            wills: [None; WILLS],
            ended: [Firm::No; ENDERS],
            was_ended: [false; ENDERS],
            is_ending: [false; ENDERS],
            audit: BTreeMap::new(),
            audit_answers: 0,
            declined: 0,
            heard_at: Instant::now(),
        }
    }

    /// The broker is here now. Nobody is connected.
    pub(super) fn moved_to(&mut self, port: u16) {
        self.port = port;
    }

    fn at(&self, role: Role) -> usize {
        let place = self.clients.iter().position(|(of, _)| *of == role);
        place.expect("each role has a client")
    }

    /// Subscribers whose lasting filters have this topic.
    fn lasting_readers(&self, topic: &str) -> u8 {
        let reads = |subscriber: usize| match topic.as_bytes() {
            [b't', .., last] => subscriber >= 4 || subscriber == usize::from(last - b'0'),
            [b'w', ..] => matches!(subscriber, 4 | 5),
            _ => false,
        };
        (0..SUBSCRIBERS)
            .filter(|subscriber| reads(*subscriber) && self.lasting[*subscriber] == Firm::Yes)
            .fold(0, |set, subscriber| set | 1 << subscriber)
    }

    fn lasting_filters(subscriber: usize) -> (Vec<String>, QoS) {
        match subscriber {
            0..4 => (vec![format!("t/+/{subscriber}")], QoS::ExactlyOnce),
            4 | 5 => (vec!["t/#".to_owned(), "w/#".to_owned()], QoS::ExactlyOnce),
            _ => (vec!["t/#".to_owned()], QoS::AtLeastOnce),
        }
    }

    // ---- connecting ----

    fn connect(&mut self, role: Role) -> io::Result<()> {
        let place = self.at(role);
        let (port, mut is_clean, mut will) = (self.port, false, None);
        match role {
            Role::Will(number) => {
                let topic = format!("w/{number}");
                is_clean = number >= 2;
                // The CONNACK of a session that ends with its connection does not say that its Will is safe already.
                let owed = if is_clean {
                    0
                } else {
                    self.lasting_readers(&topic)
                };
                let message = self.ledger.publish(&topic, owed, 0);
                self.wills[number] = Some(message);
                will = Some(Will {
                    topic: text(&topic),
                    payload: payload(message, 0),
                    qos: QoS::ExactlyOnce,
                    retain: false,
                    properties: Default::default(),
                });
            }
            Role::Ender(number) => {
                is_clean = self.is_ending[number];
                self.was_ended[number] = self.ended[number] == Firm::Yes;
                // Whether it arrives is not known before the CONNACK.
                self.ended[number] = Firm::Unsure;
            }
            Role::Auditor => is_clean = true,
            Role::Publisher(_) | Role::Subscriber(_) | Role::Retainer(_) => {}
        }
        self.clients[place].1.connect(port, is_clean, will)
    }

    /// Connects everyone who is away and not kept away.
    fn connect_all(&mut self) -> io::Result<()> {
        for place in 0..self.clients.len() {
            let (role, client) = &self.clients[place];
            let stays_away = match role {
                Role::Subscriber(number) => self.returns_at[*number].is_some(),
                Role::Auditor | Role::Ender(_) => true,
                Role::Publisher(_) | Role::Will(_) | Role::Retainer(_) => false,
            };
            if client.is_away() && !stays_away {
                self.connect(*role)?;
            }
        }
        Ok(())
    }

    fn connected(&mut self, role: Role, session_present: bool) {
        let place = self.at(role);
        let cycle = self.ledger.cycle;
        let client = &mut self.clients[place].1;
        let name = client.name.clone();
        // The client has noted its new session already; what it had before is in the role's own book.
        match role {
            Role::Ender(number) if self.is_ending[number] => {
                self.is_ending[number] = false;
                self.ended[number] = Firm::Yes;
                client.cut();
            }
            Role::Ender(number) => {
                if session_present && self.was_ended[number] {
                    let who = format!("the session of {name} in cycle {cycle}");
                    self.findings.add(Kind::Resurrected, who);
                }
                self.ended[number] = Firm::No;
            }
            Role::Subscriber(number) => {
                if !session_present {
                    // What it had asked for is gone with the session.
                    self.ledger.loosen(number, |_| true);
                    self.lasting[number] = Firm::Unsure;
                    self.toggled[number] = Firm::Unsure;
                }
                if self.lasting[number] != Firm::Yes {
                    let (filters, qos) = Self::lasting_filters(number);
                    self.asked[number].push(Asked::Lasting);
                    self.clients[place].1.subscribe(&filters, qos);
                }
            }
            Role::Will(number) => {
                if let Some(will) = self.wills[number] {
                    self.ledger.sent(will);
                    self.ledger.accepted(will);
                }
            }
            Role::Publisher(_) | Role::Retainer(_) | Role::Auditor => {}
        }
    }

    // ---- moving ----

    /// Waits for bytes at most `wait`, and handles them.
    fn pump(&mut self, wait: Duration) {
        let mut events = Vec::new();
        let ready = ready(self.clients.iter().map(|(_, client)| client), wait);
        for place in ready {
            let (role, client) = &mut self.clients[place];
            let role = *role;
            client.read(&mut events);
            client.flush(&mut events);
            self.heard_at = Instant::now();
            self.handle(role, &mut events);
        }
    }

    fn handle(&mut self, role: Role, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            match event {
                Event::Connected { session_present } => {
                    self.connected(role, session_present);
                }
                Event::SessionLost => {
                    let name = &self.clients[self.at(role)].1.name;
                    let who = format!("{name} in cycle {}", self.ledger.cycle);
                    self.findings.add(Kind::SessionLost, who);
                }
                Event::Sent(number) => self.ledger.sent(number),
                Event::Accepted(number) => self.ledger.accepted(number),
                Event::Finished(number) => {
                    self.ledger.finished(number);
                    self.retained.finished(number);
                }
                Event::Declined(number) => {
                    self.declined += 1;
                    self.ledger.abandoned(number);
                    self.retained.declined(number);
                }
                Event::Abandoned(number) => self.ledger.abandoned(number),
                Event::Delivered(delivery) => self.delivered(role, &delivery),
                Event::Subscribed | Event::Unsubscribed => self.answered(role),
                Event::Pong => self.audit_answers += 1,
                Event::Ended => {
                    if let Role::Will(number) = role {
                        self.will_is_due(number);
                    }
                    self.forget_questions(role);
                }
                Event::Nonsense(what) => {
                    let name = &self.clients[self.at(role)].1.name;
                    let who = format!("to {name} in cycle {}: {what}", self.ledger.cycle);
                    self.findings.add(Kind::Nonsense, who);
                }
            }
        }
    }

    fn delivered(&mut self, role: Role, delivery: &Delivery) {
        let Delivery {
            topic,
            payload,
            qos,
            dup,
        } = delivery;
        let Some(number) = number_in(payload) else {
            let what = format!(
                "{topic} with a payload of {} bytes that nobody published",
                payload.len()
            );
            self.findings.add(Kind::Nonsense, what);
            return;
        };
        match role {
            Role::Subscriber(subscriber) => {
                self.ledger
                    .delivered(subscriber, number, topic, *qos, *dup, &mut self.findings);
            }
            Role::Auditor => {
                if let Some(topic) = topic.strip_prefix("r/").and_then(|name| name.parse().ok()) {
                    self.audit.insert(topic, number);
                }
            }
            Role::Publisher(_) | Role::Will(_) | Role::Retainer(_) | Role::Ender(_) => {
                self.findings.add(
                    Kind::Nonsense,
                    format!("#{number} {topic} to someone without a subscription"),
                );
            }
        }
    }

    fn answered(&mut self, role: Role) {
        let Role::Subscriber(number) = role else {
            self.audit_answers += u32::from(role == Role::Auditor);
            return;
        };
        if self.asked[number].is_empty() {
            return;
        }
        match self.asked[number].remove(0) {
            Asked::Lasting => self.lasting[number] = Firm::Yes,
            // Another one may be on its way.
            Asked::Toggle(firm) if self.asked[number].is_empty() => self.toggled[number] = firm,
            Asked::Toggle(_) => {}
        }
    }

    fn forget_questions(&mut self, role: Role) {
        if let Role::Subscriber(number) = role {
            self.asked[number].clear();
        }
    }

    fn will_is_due(&mut self, number: usize) {
        if let Some(will) = self.wills[number].take() {
            self.ledger.finished(will);
        }
    }

    // ---- what the clients do ----

    /// Load for so long. Ends early if the broker is gone.
    pub(super) fn load(&mut self, time: Duration, messages: u32) -> io::Result<()> {
        let end = Instant::now() + time;
        let mut left = [messages; PUBLISHERS];
        let mut round = 0_u32;
        while Instant::now() < end {
            self.connect_all()?;
            if round.is_multiple_of(16) && self.ledger.backlog() > BACKLOG_MAX {
                left = [0; PUBLISHERS];
            }
            round += 1;
            for (publisher, left) in left.iter_mut().enumerate() {
                self.publish(publisher, left);
            }
            self.be_restless()?;
            self.pump(Duration::from_millis(1));
        }
        Ok(())
    }

    fn publish(&mut self, publisher: usize, left: &mut u32) {
        let place = self.at(Role::Publisher(publisher));
        let mut events = Vec::new();
        while *left > 0
            && self.clients[place].1.is_connected()
            && self.clients[place].1.in_flight() < WINDOW
        {
            *left -= 1;
            let qos = if publisher.is_multiple_of(2) {
                QoS::AtLeastOnce
            } else {
                QoS::ExactlyOnce
            };
            let (topic, owed, forbidden) = if self.rng.u8(..8) == 0 {
                // One publisher of each QoS for these, so that their order is known too.
                let subscriber = self.rng.usize(..SUBSCRIBERS);
                let bit = 1 << subscriber;
                let firm = self.toggled[subscriber];
                let owed = if firm == Firm::Yes { bit } else { 0 };
                let forbidden = if firm == Firm::No { bit } else { 0 };
                (format!("u/{subscriber}/{publisher}"), owed, forbidden)
            } else {
                let topic = format!("t/{publisher}/{}", self.rng.usize(..TOPICS));
                let owed = self.lasting_readers(&topic);
                (topic, owed, 0)
            };
            let number = self.ledger.publish(&topic, owed, forbidden);
            let message = Outbound {
                number,
                payload: payload(number, self.rng.usize(..200)),
                topic,
                qos,
                retain: false,
            };
            self.clients[place].1.publish(message, &mut events);
        }
        self.clients[place].1.flush(&mut events);
        self.handle(Role::Publisher(publisher), &mut events);
    }

    fn be_restless(&mut self) -> io::Result<()> {
        for subscriber in 0..SUBSCRIBERS {
            if self.returns_at[subscriber].is_some_and(|at| at <= Instant::now()) {
                self.returns_at[subscriber] = None;
            }
        }
        match self.rng.u8(..100) {
            0..5 => {
                let number = self.rng.usize(..SUBSCRIBERS);
                let place = self.at(Role::Subscriber(number));
                if self.clients[place].1.is_connected() {
                    let polite = self.rng.bool();
                    let client = &mut self.clients[place].1;
                    if polite {
                        client.disconnect()
                    } else {
                        client.cut()
                    }
                    self.forget_questions(Role::Subscriber(number));
                    let away = Duration::from_millis(self.rng.u64(..60));
                    self.returns_at[number] = Some(Instant::now() + away);
                }
            }
            5..8 => self.toggle(),
            8..12 => {
                let number = self.rng.usize(..RETAINERS);
                self.retain(number);
            }
            12 => {
                let number = self.rng.usize(..PUBLISHERS);
                let place = self.at(Role::Publisher(number));
                self.clients[place].1.cut();
            }
            13 => {
                let number = self.rng.usize(..WILLS);
                let place = self.at(Role::Will(number));
                if self.clients[place].1.is_connected() {
                    self.clients[place].1.cut();
                    self.will_is_due(number);
                }
            }
            14 | 15 => {
                let number = self.rng.usize(..ENDERS);
                let place = self.at(Role::Ender(number));
                self.clients[place].1.cut();
                self.is_ending[number] = true;
                self.connect(Role::Ender(number))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn toggle(&mut self) {
        let number = self.rng.usize(..SUBSCRIBERS);
        let place = self.at(Role::Subscriber(number));
        if !self.clients[place].1.is_connected() {
            return;
        }
        let filter = format!("u/{number}/+");
        let subscribes = match self.toggled[number] {
            Firm::Yes => false,
            Firm::No => true,
            Firm::Unsure => self.rng.bool(),
        };
        self.toggled[number] = Firm::Unsure;
        let prefix = format!("u/{number}/");
        self.ledger
            .loosen(number, |topic| topic.starts_with(&prefix));
        let client = &mut self.clients[place].1;
        if subscribes {
            client.subscribe(&[filter], QoS::ExactlyOnce);
            self.asked[number].push(Asked::Toggle(Firm::Yes));
        } else {
            client.unsubscribe(&filter);
            self.asked[number].push(Asked::Toggle(Firm::No));
        }
    }

    fn retain(&mut self, number: usize) {
        let place = self.at(Role::Retainer(number));
        let client = &self.clients[place].1;
        if !client.is_connected() || client.in_flight() >= WINDOW {
            return;
        }
        let topic = number + RETAINERS * self.rng.usize(..RETAINED_TOPICS / RETAINERS);
        let name = Retained::name(topic);
        let qos = QoS::ALL[1 + number];
        let message = self.ledger.publish(&name, 0, 0);
        let is_clear = self.rng.u8(..3) == 0;
        self.retained.set(topic, message, is_clear);
        let outbound = Outbound {
            number: message,
            topic: name,
            payload: if is_clear {
                Bytes::new()
            } else {
                payload(message, 20)
            },
            qos,
            retain: true,
        };
        let mut events = Vec::new();
        self.clients[place].1.publish(outbound, &mut events);
        self.clients[place].1.flush(&mut events);
        self.handle(Role::Retainer(number), &mut events);
    }

    // ---- looking ----

    /// What a broker that has just started holds: retained messages, and sessions that were or were not ended.
    ///
    /// # Errors
    /// If it is gone, or goes meanwhile.
    pub(super) fn look(&mut self) -> io::Result<()> {
        self.audit.clear();
        self.audit_answers = 0;
        self.connect(Role::Auditor)?;
        for number in 0..ENDERS {
            self.is_ending[number] = false;
            self.connect(Role::Ender(number))?;
        }
        let auditor = self.at(Role::Auditor);
        let is_gone = |world: &Self| world.clients[auditor].1.is_away();
        self.pump_until(|world| {
            let enders = (0..ENDERS).map(Role::Ender);
            let mut all = enders.chain([Role::Auditor]);
            is_gone(world) || all.all(|role| world.clients[world.at(role)].1.is_connected())
        });
        self.clients[auditor]
            .1
            .subscribe(&["r/#".to_owned()], QoS::ExactlyOnce);
        self.clients[auditor].1.ping();
        let sure: Vec<_> = self.retained.sure().collect();
        self.pump_until(|world| {
            let is_there = |topic| world.audit.contains_key(topic);
            is_gone(world) || world.audit_answers >= 2 && sure.iter().all(is_there)
        });
        let is_answered = self.audit_answers >= 2;
        if is_answered {
            // What must not be there may come after what must.
            self.clients[auditor].1.ping();
            self.pump_until(|world| is_gone(world) || world.audit_answers >= 3);
        }
        if is_gone(self) {
            return Err(io::Error::other(
                "it closed the connection that looks at it",
            ));
        }
        self.clients[auditor].1.cut();
        if is_answered {
            self.retained
                .check(&self.audit, self.ledger.cycle, &mut self.findings);
        } else {
            let what = format!("what is retained, asked for in cycle {}", self.ledger.cycle);
            self.findings.add(Kind::Unanswered, what);
        }
        Ok(())
    }

    /// Pumps until it is so, or nothing more comes.
    fn pump_until(&mut self, is_so: impl Fn(&Self) -> bool) -> bool {
        self.heard_at = Instant::now();
        while !is_so(self) {
            if self.heard_at.elapsed() > SILENCE {
                return false;
            }
            self.pump(Duration::from_millis(20));
        }
        true
    }

    /// Lets everyone connect and come to an end, and closes the book.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        self.returns_at = Default::default();
        self.connect_all()?;
        for number in 0..WILLS {
            // A Will that is not due yet becomes so.
            let place = self.at(Role::Will(number));
            self.pump_until(|world| world.clients[place].1.is_connected());
            self.clients[place].1.cut();
            self.will_is_due(number);
        }
        self.pump_until(|world| world.ledger.is_settled());
        // What comes once too often comes after the rest, and so does what the broker may have taken without a word.
        self.listen(REST);
        self.ledger.settle(&mut self.findings);
        Ok(())
    }

    /// Handles what comes, for so long.
    pub(super) fn listen(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.pump(Duration::from_millis(1));
        }
    }

    /// The broker is dead: what it had said is read, then nobody is connected.
    pub(super) fn lose_connections(&mut self) {
        let end = Instant::now() + SILENCE;
        while self.clients.iter().any(|(_, client)| !client.is_away()) && Instant::now() < end {
            self.pump(Duration::from_millis(20));
        }
        self.cut_all();
    }

    /// Nobody is connected, and what had arrived unread is not read.
    pub(super) fn cut_all(&mut self) {
        for place in 0..self.clients.len() {
            let role = self.clients[place].0;
            self.clients[place].1.cut();
            self.handle(role, &mut vec![Event::Ended]);
        }
        self.returns_at = Default::default();
    }
}

pub(super) fn payload(number: u64, padding: usize) -> Bytes {
    let mut payload = format!("#{number:016x}").into_bytes();
    payload.resize(payload.len() + padding, b'.');
    payload.into()
}

pub(super) fn number_in(payload: &[u8]) -> Option<u64> {
    let digits = payload.strip_prefix(b"#")?.get(..16)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

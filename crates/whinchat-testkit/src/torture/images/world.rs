//! The clients of one broker, what they do, and what they hold against it. A copy of it is the same world in another course of events.
//!
//! ```text
//! p0..p2   publish t/P/1 at QoS 1, t/P/2 at QoS 2, and u/S
//! s0..s3   durable subscribers of t/#; s3 is away for long, s2 has w/# too
//! s4, s5   subscribe to u/S and unsubscribe
//! x        a session that expires
//! g0, g1   members of a shared group
//! w0, w1   have a Will at w/W; w1's session ends with its connection
//! q        sets and clears the retained topics r/0..r/3
//! e0, e1   have a session that they end now and then
//! auditor  looks at what is retained
//! ```

mod deeds;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use fastrand::Rng;
use whinchat_codec::{
    ProtocolVersion::{self, V5, V311},
    QoS, Will,
};

use super::client::{Client, Delivery, Event, Terms};
use crate::torture::{
    finding::{Findings, Kind},
    ledger::{Ledger, SUBSCRIBERS},
    packets::text,
    retained::Retained,
};

/// Who a client is, by its place among its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Publisher(usize),
    Subscriber(usize),
    Member(usize),
    Will(usize),
    Retainer,
    Ender(usize),
    Auditor,
}

use Role::{Auditor, Ender, Member, Publisher, Retainer, Subscriber};

const CAST: [(&str, ProtocolVersion, Role); 18] = [
    ("p0", V5, Publisher(0)),
    ("p1", V311, Publisher(1)),
    ("p2", V5, Publisher(2)),
    ("s0", V5, Subscriber(0)),
    ("s1", V311, Subscriber(1)),
    ("s2", V5, Subscriber(2)),
    ("s3", V311, Subscriber(3)),
    ("s4", V5, Subscriber(4)),
    ("s5", V311, Subscriber(5)),
    ("x", V5, Subscriber(EXPIRING)),
    ("g0", V5, Member(0)),
    ("g1", V5, Member(1)),
    ("w0", V5, Role::Will(0)),
    ("w1", V311, Role::Will(1)),
    ("q", V5, Retainer),
    ("e0", V5, Ender(0)),
    ("e1", V311, Ender(1)),
    ("auditor", V5, Auditor),
];

const PUBLISHERS: usize = 3;
const MEMBERS: usize = 2;
const WILLS: usize = 2;
const ENDERS: usize = 2;
const RETAINED_TOPICS: usize = 4;
/// The subscriber whose session expires.
const EXPIRING: usize = 6;
/// The place of the shared group among the subscribers.
const GROUP: usize = 7;
const GROUP_FILTER: &str = "$share/g/t/#";
/// Most unanswered messages of a client.
const WINDOW: usize = 6;
/// Seconds that `x` may be away, and that some messages live.
const EXPIRY: u32 = 30;
const MESSAGE_EXPIRY: u32 = 20;
/// A deadline is acted on within so many milliseconds.
const LAG: u64 = 1_000;

/// Whether something is there, as far as the broker has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Firm {
    Yes,
    No,
    Unsure,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Lasting,
    Toggle(Firm),
}

/// Since when the expiring session is without a connection, as far as can be said.
#[derive(Clone, Copy, Debug)]
struct Away {
    earliest: u64,
    latest: u64,
    /// So often the broker has committed all that it knew. Twice: it looks for the end of a connection when its CONNACK has left.
    commits: u32,
}

impl Away {
    fn is_known(&self) -> bool {
        self.commits >= 2
    }

    fn may_be_over(&self, now: u64) -> bool {
        now >= self.earliest + u64::from(EXPIRY) * 1_000
    }

    fn must_be_over(&self, now: u64) -> bool {
        self.is_known() && now >= self.latest + u64::from(EXPIRY) * 1_000 + LAG
    }
}

/// When a message expires: counted from its first sending, and from its last.
#[derive(Clone, Copy)]
struct Expiring {
    number: u64,
    earliest: u64,
    latest: u64,
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) findings: Findings,
    pub(super) ledger: Ledger,
    pub(super) clients: Vec<Client>,
    /// Milliseconds since the clock began.
    pub(super) now: u64,
    retained: Retained,
    /// Whether the lasting subscriptions of each subscriber are there.
    lasting: [Firm; SUBSCRIBERS],
    member: [Firm; MEMBERS],
    /// Whether it is subscribed to `u/S`.
    toggled: [Firm; SUBSCRIBERS],
    /// What SUBACK and UNSUBACK will make of that, in the order in which they were asked for.
    asked: [VecDeque<Asked>; SUBSCRIBERS],
    wills: [Option<u64>; WILLS],
    ended: [Firm; ENDERS],
    /// The broker had said so before this CONNECT.
    was_ended: [bool; ENDERS],
    is_ending: [bool; ENDERS],
    away: Option<Away>,
    /// So it was when CONNECT was sent.
    must_be_over: bool,
    /// Messages that expire.
    expiring: Vec<Expiring>,
    /// QoS 2 messages that a member of the group has got.
    taken: BTreeSet<u64>,
    audit: BTreeMap<usize, u64>,
    is_audited: bool,
}

impl World {
    pub(super) fn new() -> Self {
        let clients = CAST.iter();
        Self {
            findings: Findings::default(),
            ledger: Ledger::default(),
            clients: clients
                .map(|(name, version, _)| Client::new(name, *version))
                .collect(),
            now: 0,
            retained: Retained::new(RETAINED_TOPICS),
            lasting: [Firm::No; SUBSCRIBERS],
            member: [Firm::No; MEMBERS],
            toggled: [Firm::No; SUBSCRIBERS],
            asked: Default::default(),
            wills: [None; WILLS],
            ended: [Firm::No; ENDERS],
            was_ended: [false; ENDERS],
            is_ending: [false; ENDERS],
            away: None,
            must_be_over: false,
            expiring: Vec::new(),
            taken: BTreeSet::new(),
            audit: BTreeMap::new(),
            is_audited: false,
        }
    }

    fn role(place: usize) -> Role {
        CAST[place].2
    }

    fn at(role: Role) -> usize {
        let place = CAST.iter().position(|(.., of)| *of == role);
        place.expect("each role has a client")
    }

    /// Subscribers whose lasting filters have this topic.
    fn lasting_readers(&self, topic: &str) -> u8 {
        let reads = |subscriber: usize| match topic.as_bytes() {
            [b't', .., last] => match subscriber {
                2 => *last == b'2',
                4 | 5 => false,
                _ => true,
            },
            [b'w', ..] => subscriber == 2,
            _ => false,
        };
        (0..SUBSCRIBERS)
            .filter(|subscriber| reads(*subscriber) && self.lasting[*subscriber] == Firm::Yes)
            .fold(0, |set, subscriber| set | 1 << subscriber)
    }

    fn lasting_filters(subscriber: usize) -> (&'static [&'static str], QoS) {
        match subscriber {
            0 | 3 => (&["t/#"], QoS::ExactlyOnce),
            2 => (&["t/+/2", "w/#"], QoS::ExactlyOnce),
            1 | EXPIRING => (&["t/#"], QoS::AtLeastOnce),
            _ => (&[], QoS::AtMostOnce),
        }
    }

    // ---- connections ----

    pub(super) fn connect(&mut self, place: usize) {
        let mut terms = Terms {
            is_clean: false,
            expiry: u32::MAX,
            will: None,
        };
        match Self::role(place) {
            Role::Will(number) => {
                let topic = format!("w/{number}");
                terms.is_clean = number == 1;
                // The CONNACK of a session that ends with its connection does not say that its Will is safe already.
                let owed = if terms.is_clean {
                    0
                } else {
                    self.lasting_readers(&topic)
                };
                let message = self.ledger.publish(&topic, owed, 0);
                self.wills[number] = Some(message);
                terms.will = Some(Will {
                    topic: text(&topic),
                    payload: payload(message, 0),
                    qos: QoS::ExactlyOnce,
                    retain: false,
                    properties: Default::default(),
                });
            }
            Ender(number) => {
                terms.is_clean = self.is_ending[number];
                self.was_ended[number] = self.ended[number] == Firm::Yes;
                // Whether it arrives is not known before the CONNACK.
                self.ended[number] = Firm::Unsure;
            }
            Auditor => terms.is_clean = true,
            Subscriber(EXPIRING) => {
                terms.expiry = EXPIRY;
                let away = self.away;
                self.must_be_over = away.is_some_and(|away| away.must_be_over(self.now));
                if away.is_some_and(|away| away.may_be_over(self.now)) {
                    // Also if the CONNACK of this CONNECT is lost, and the next one says that a session is there.
                    self.begins_anew(EXPIRING);
                }
            }
            Publisher(_) | Subscriber(_) | Member(_) | Retainer => {}
        }
        self.clients[place].connect(terms);
    }

    fn connected(&mut self, place: usize, session_present: bool, had_session: bool) {
        let name = self.clients[place].name;
        let role = Self::role(place);
        let away = self.away;
        if role == Subscriber(EXPIRING) {
            self.away = None;
        }
        let away = away.filter(|_| role == Subscriber(EXPIRING));
        let may_be_over = away.is_some_and(|away| away.may_be_over(self.now));
        let must_be_over = role == Subscriber(EXPIRING) && self.must_be_over;
        if !session_present && had_session && !may_be_over {
            self.findings.add(Kind::SessionLost, name);
        } else if session_present && must_be_over {
            let who = format!("the session of {name}, which had expired");
            self.findings.add(Kind::Resurrected, who);
        }
        match role {
            Ender(number) if self.is_ending[number] => {
                self.is_ending[number] = false;
                self.ended[number] = if self.clients[place].was_hasty {
                    Firm::Unsure
                } else {
                    Firm::Yes
                };
                self.clients[place].disconnect();
            }
            Ender(number) => {
                if session_present && self.was_ended[number] {
                    let who = format!("the session of {name}");
                    self.findings.add(Kind::Resurrected, who);
                }
                self.ended[number] = Firm::No;
                self.clients[place].subscribe(&["t/#"], QoS::AtLeastOnce);
            }
            Subscriber(number) => {
                if !session_present {
                    self.begins_anew(number);
                }
                let (filters, qos) = Self::lasting_filters(number);
                if self.lasting[number] != Firm::Yes && !filters.is_empty() {
                    self.asked[number].push_back(Asked::Lasting);
                    self.clients[place].subscribe(filters, qos);
                }
            }
            Member(number) => {
                if self.member[number] != Firm::Yes {
                    self.clients[place].subscribe(&[GROUP_FILTER], QoS::ExactlyOnce);
                }
            }
            Role::Will(number) => {
                if let Some(will) = self.wills[number] {
                    self.ledger.sent(will);
                    self.ledger.accepted(will);
                }
            }
            Auditor => self.clients[place].subscribe(&["r/#"], QoS::AtLeastOnce),
            Publisher(_) | Retainer => {}
        }
    }

    /// What a subscriber had asked for is gone with its session.
    fn begins_anew(&mut self, subscriber: usize) {
        self.ledger.loosen(subscriber, |_| true);
        self.ledger.release(subscriber);
        self.lasting[subscriber] = Firm::Unsure;
        self.toggled[subscriber] = Firm::Unsure;
    }

    /// The connection of this client is gone.
    pub(super) fn lose(&mut self, place: usize) {
        let client = &mut self.clients[place];
        if client.is_away() {
            return;
        }
        let was_connected = client.is_connected();
        client.lose();
        match Self::role(place) {
            Role::Will(number) => match self.wills[number].take() {
                Some(will) if was_connected => self.ledger.finished(will),
                Some(will) => self.ledger.abandoned(will),
                None => {}
            },
            Subscriber(number) => {
                self.asked[number].clear();
                if number == EXPIRING {
                    let now = self.now;
                    // A CONNECT without an answer may not have been seen.
                    let before = self.away.filter(|_| !was_connected);
                    self.away = Some(Away {
                        earliest: before.map_or(now, |away| away.earliest),
                        latest: now,
                        commits: 0,
                    });
                }
            }
            Publisher(_) | Member(_) | Retainer | Ender(_) | Auditor => {}
        }
    }

    /// The broker has committed what it knows.
    pub(super) fn note_commit(&mut self) {
        if let Some(away) = &mut self.away {
            if !away.is_known() {
                // The end of a connection whose CONNACK waited is noticed only now.
                away.latest = self.now;
            }
            away.commits += 1;
        }
    }

    /// Time has passed.
    pub(super) fn pass(&mut self, millis: u64) {
        self.now += millis;
        for expiring in &self.expiring {
            if expiring.earliest <= self.now {
                self.ledger.abandoned(expiring.number);
            }
        }
    }

    /// Power is lost, and is back after `downtime` milliseconds. What had arrived may have been looked at or not.
    pub(super) fn crash(&mut self, downtime: u64, random: &mut Rng) {
        let expiring = Self::at(Subscriber(EXPIRING));
        self.is_ending = [false; ENDERS];
        let mut was_connected = false;
        for place in Self::places() {
            if random.bool() {
                self.clients[place].is_deaf = false;
                self.look(place);
            }
            was_connected |= place == expiring && self.clients[place].is_connected();
            self.lose(place);
        }
        self.pass(downtime);
        if let Some(away) = &mut self.away
            && !away.is_known()
        {
            // The broker takes it for one that was connected until now, unless it knows better.
            away.latest = self.now;
            away.commits = 0;
            if was_connected {
                away.earliest = self.now;
            }
        }
    }

    // ---- what is heard ----

    pub(super) fn look(&mut self, place: usize) {
        let mut events = Vec::new();
        self.clients[place].look(&mut events);
        self.handle(place, events);
    }

    fn expiring_mut(&mut self, number: u64) -> Option<&mut Expiring> {
        self.expiring.iter_mut().find(|one| one.number == number)
    }

    pub(super) fn handle(&mut self, place: usize, events: Vec<Event>) {
        let now = self.now;
        for event in events {
            match event {
                Event::Connected {
                    session_present,
                    had_session,
                } => self.connected(place, session_present, had_session),
                Event::Sent(number) => {
                    self.ledger.sent(number);
                    if let Some(expiring) = self.expiring_mut(number) {
                        expiring.latest = now + u64::from(MESSAGE_EXPIRY) * 1_000;
                    }
                }
                Event::Accepted(number) => self.ledger.accepted(number),
                Event::Finished(number) => {
                    self.ledger.finished(number);
                    self.retained.finished(number);
                }
                Event::Abandoned(number) => self.ledger.abandoned(number),
                Event::Delivered(delivery) => self.delivered(place, &delivery),
                Event::Answered => self.answered(place),
                Event::Closed => {
                    let client = &self.clients[place];
                    // A CONNECT that waits for the disk too long is given up.
                    if client.is_connected() && !client.was_hasty {
                        let who = format!("the connection of {}", self.clients[place].name);
                        self.findings.add(Kind::Ended, who);
                    }
                    self.lose(place);
                }
                Event::Forgotten(number) => self.findings.add(
                    Kind::Lost,
                    format!("the packet id of #{number}, which had its PUBREC"),
                ),
                Event::Nonsense(what) => {
                    let who = format!("to {}: {what}", self.clients[place].name);
                    self.findings.add(Kind::Nonsense, who);
                }
            }
        }
    }

    fn delivered(&mut self, place: usize, delivery: &Delivery) {
        let (name, now) = (self.clients[place].name, self.now);
        let Delivery {
            topic,
            payload,
            qos,
            dup,
            expiry,
        } = delivery;
        let Some(number) = number_in(payload) else {
            // A retained topic that was cleared while somebody listens.
            if Self::role(place) != Auditor || !payload.is_empty() {
                let what = format!("{topic} to {name} with a payload that nobody published");
                self.findings.add(Kind::Nonsense, what);
            }
            return;
        };
        if let Some(seconds) = expiry
            && let Some(expiring) = self.expiring_mut(number)
            // What was sent before goes out again however old it is.
            && *seconds > 0
            && now + u64::from(*seconds) * 1_000 > expiring.latest + LAG
        {
            let what =
                format!("#{number} to {name} with {seconds} seconds left, which is too much");
            self.findings.add(Kind::Resurrected, what);
        }
        let findings = &mut self.findings;
        match Self::role(place) {
            Subscriber(subscriber) => {
                self.ledger
                    .delivered(subscriber, number, topic, *qos, *dup, findings);
            }
            Member(_) => {
                self.ledger.taken(GROUP, number);
                if *qos == QoS::ExactlyOnce && !self.taken.insert(number) {
                    let who = format!("#{number} {topic} to the group at QoS 2, now to {name}");
                    findings.add(Kind::Duplicated, who);
                }
            }
            Auditor => {
                if let Some(topic) = topic.strip_prefix("r/").and_then(|name| name.parse().ok()) {
                    self.audit.insert(topic, number);
                }
            }
            Ender(_) => {}
            Publisher(_) | Role::Will(_) | Retainer => findings.add(
                Kind::Nonsense,
                format!("#{number} {topic} to {name}, which has no subscription"),
            ),
        }
    }

    fn answered(&mut self, place: usize) {
        match Self::role(place) {
            Subscriber(number) => {
                let asked = self.asked[number].pop_front();
                let is_last = self.asked[number].is_empty();
                match asked {
                    Some(Asked::Lasting) => self.lasting[number] = Firm::Yes,
                    // Another one may be on its way.
                    Some(Asked::Toggle(firm)) if is_last => self.toggled[number] = firm,
                    Some(Asked::Toggle(_)) => {}
                    None => {
                        let what = format!("an answer to {} that asked nothing", CAST[place].0);
                        self.findings.add(Kind::Nonsense, what);
                    }
                }
            }
            Member(number) => {
                self.member[number] = Firm::Yes;
                if self.member == [Firm::Yes; MEMBERS] {
                    self.lasting[GROUP] = Firm::Yes;
                }
            }
            Auditor => self.is_audited = true,
            Ender(_) | Publisher(_) | Role::Will(_) | Retainer => {}
        }
    }

    /// Whether it waits for the broker to close the connection.
    pub(super) fn says_goodbye(&self, place: usize) -> bool {
        matches!(Self::role(place), Ender(number) if self.ended[number] == Firm::Yes)
    }

    /// Everything has come to its end: what is owed is lost.
    pub(super) fn settle(&mut self, auditor: usize) {
        for place in Self::places().filter(|place| *place != auditor) {
            // A Will that is not due yet is not owed.
            if let Role::Will(number) = Self::role(place)
                && let Some(will) = self.wills[number].take()
            {
                self.ledger.abandoned(will);
            }
        }
        self.ledger.settle(&mut self.findings);
    }

    /// Compares with what the auditor has seen.
    pub(super) fn close_audit(&mut self) {
        if !self.is_audited {
            self.findings.add(Kind::Unanswered, "the auditor");
        }
        self.retained.check(&self.audit, 0, &mut self.findings);
    }
}

fn payload(number: u64, padding: usize) -> Bytes {
    let mut payload = format!("#{number:016x}").into_bytes();
    payload.resize(payload.len() + padding, b'.');
    payload.into()
}

fn number_in(payload: &[u8]) -> Option<u64> {
    let digits = payload.strip_prefix(b"#")?.get(..16)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

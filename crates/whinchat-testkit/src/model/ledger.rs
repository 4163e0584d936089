//! What one end of a session owes the other: copies of messages, in order, and how far each has come.
//!
//! A ledger belongs to a session. It is told what becomes owed, sees each packet that leaves, hears
//! each answer that has arrived, and panics when a packet breaks the rules of MQTT 5.0 sections 3.3,
//! 4.3, 4.4, 4.6 and 4.9. It is a list that is searched from the front: nothing here is clever.
//!
//! ```text
//!   owe ─▶ Waiting ─PUBLISH─▶ Sent(id) ─PUBREC─▶ Received(id) ─PUBCOMP─▶ (gone)
//!             │ QoS 0            │ PUBACK, PUBREC 0x80..
//!             └───────▶ (gone) ◀─┘
//! ```

use std::collections::BTreeMap;

use whinchat_codec::{PacketId, PubRecReason, PubRelRef, PublishRef, QoS};

/// Milliseconds of the model's clock.
pub(super) type Millis = u64;

/// One copy of a message on its way to one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    /// Names the message: its payload.
    pub(super) number: u32,
    pub(super) topic: &'static str,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// Subscription Identifiers, in rising order.
    pub(super) ids: Vec<u32>,
    pub(super) expires_at: Option<Millis>,
    /// Copies with the same flow, topic and QoS keep their order; `None` owes no order to any.
    pub(super) flow: Option<u32>,
}

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Waiting,
    Sent(PacketId),
    /// Its PUBREC has arrived.
    Received(PacketId),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Rises in the order in which copies became owed.
    pub(super) serial: u64,
    pub(super) copy: Copy,
    pub(super) stage: Stage,
    /// Its PUBLISH left on this connection.
    sent_here: bool,
    /// Its PUBREL left on this connection.
    released_here: bool,
    /// It may be forgotten without a word.
    pub(super) is_optional: bool,
    /// It has its packet id, and waits for its record or its turn.
    has_begun: bool,
    /// A restart may have taken it for one that was sent.
    may_have_dup: bool,
}

/// What the receiver said when it connected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) receive_maximum: usize,
    pub(super) topic_alias_maximum: u16,
    /// The sender's own bound, if it has a lower one.
    pub(super) window: usize,
    /// The version carries properties.
    pub(super) has_properties: bool,
}

/// A PUBLISH as it stands on the wire, its alias resolved.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) number: u32,
    pub(super) topic: String,
    pub(super) qos: QoS,
    pub(super) id: Option<PacketId>,
    pub(super) dup: bool,
    pub(super) retain: bool,
    pub(super) ids: Vec<u32>,
    pub(super) expiry: Option<u32>,
}

/// What a PUBLISH turned out to be.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// A copy that is owed, for the first time.
    First,
    /// One that was sent before, by its serial.
    Again(u64),
    /// Nothing that is owed here: why not.
    Unknown(String),
}

/// Whether a copy may have its packet id for some time before it leaves, or count as one that has, so
/// that a restart takes it for sent: with a late log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Beginnings {
    #[default]
    None,
    /// The ledger is told of it.
    Told,
    Hidden,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    next_serial: u64,
    /// While the two are connected.
    terms: Option<Terms>,
    aliases: BTreeMap<u16, String>,
    /// The last serial that was sent on this connection, per flow, topic and QoS.
    last_sent: BTreeMap<(u32, &'static str, u8), u64>,
    /// Copies that expired before they were sent.
    pub(super) expired: u64,
    pub(super) beginnings: Beginnings,
}

impl Ledger {
    /// A copy that should have come and did not.
    pub(super) fn left(&self) -> Option<&Copy> {
        let left = self.entries.iter().find(|entry| !entry.is_optional);
        left.map(|entry| &entry.copy)
    }

    /// Copies that have not left.
    pub(super) fn not_sent(&self) -> u64 {
        let waits = |entry: &&Entry| entry.stage == Stage::Waiting;
        self.entries.iter().filter(waits).count() as u64
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One more copy is owed, behind all others.
    pub(super) fn owe(&mut self, copy: Copy) -> u64 {
        self.next_serial += 1;
        self.entries.push(Entry {
            serial: self.next_serial,
            copy,
            stage: Stage::Waiting,
            sent_here: false,
            released_here: false,
            is_optional: false,
            has_begun: false,
            may_have_dup: false,
        });
        self.next_serial
    }

    /// One more copy, which may come now or never.
    pub(super) fn owe_perhaps(&mut self, copy: Copy) {
        let serial = self.owe(copy);
        self.set_optional(|entry| entry.serial == serial);
    }

    /// All that could happen has happened: what may come at QoS 0 and did not will not come.
    pub(super) fn forget_perhaps(&mut self) {
        self.entries.retain(|entry| {
            !entry.is_optional || entry.copy.qos > QoS::AtMostOnce || entry.copy.was_retained()
        });
    }

    /// Takes the entry back, as if it had never been owed.
    pub(super) fn forget(&mut self, serial: u64) {
        self.entries.retain(|entry| entry.serial != serial);
    }

    pub(super) fn set_optional(&mut self, is_meant: impl Fn(&Entry) -> bool) {
        for entry in &mut self.entries {
            entry.is_optional |= is_meant(entry);
        }
    }

    /// A connection begins: what was sent on earlier ones has to be sent again.
    pub(super) fn connect(&mut self, terms: Terms) {
        self.disconnect();
        self.terms = Some(terms);
    }

    /// The connection is over. Copies at QoS 0 that had not left are lost.
    pub(super) fn disconnect(&mut self) {
        self.terms = None;
        self.aliases.clear();
        self.last_sent.clear();
        for entry in &mut self.entries {
            entry.sent_here = false;
            entry.released_here = false;
        }
    }

    /// The sender was restarted from what it had kept: it may no longer know whether a PUBLISH that
    /// had its id had left.
    pub(super) fn restart(&mut self) {
        self.disconnect();
        for entry in &mut self.entries {
            entry.may_have_dup |= entry.stage == Stage::Waiting;
        }
    }

    /// The receiver has lost the session: what it had not taken over is sent as new, and QoS 2 that it
    /// had is given up.
    pub(super) fn start_over(&mut self) {
        self.entries
            .retain(|entry| !matches!(entry.stage, Stage::Received(_)));
        for entry in &mut self.entries {
            entry.stage = Stage::Waiting;
            entry.sent_here = false;
            entry.has_begun = false;
        }
    }

    /// This message has its packet id, though nothing has left.
    pub(super) fn begin(&mut self, number: u32) {
        for entry in &mut self.entries {
            entry.has_begun |= entry.copy.number == number;
        }
    }

    /// Copies that were not sent in time are not sent any more. // v5 [MQTT-3.3.2-5]
    pub(super) fn expire(&mut self, now: Millis) {
        let before = self.entries.len();
        let beginnings = self.beginnings;
        self.entries.retain_mut(|entry| {
            if entry.stage != Stage::Waiting || !entry.copy.has_expired(now) {
                return true;
            }
            // A restart takes what had its packet id for sent, and what may have been sent.
            let may_have_begun = match beginnings {
                Beginnings::None => false,
                Beginnings::Told => entry.has_begun,
                Beginnings::Hidden => entry.copy.qos > QoS::AtMostOnce,
            };
            entry.is_optional |= may_have_begun;
            may_have_begun
        });
        self.expired += (before - self.entries.len()) as u64;
    }

    /// Reads a PUBLISH off the wire; learns and resolves its alias.
    pub(super) fn read(&mut self, publish: &PublishRef<'_>) -> Sighting {
        let max = self.terms.map_or(0, |terms| terms.topic_alias_maximum);
        let topic = match publish.properties.topic_alias() {
            None => publish.topic.to_owned(),
            Some(alias) => {
                assert!(alias <= max, "alias {alias}, and {max} were announced");
                if publish.topic.is_empty() {
                    let known = self.aliases.get(&alias).cloned();
                    known.unwrap_or_else(|| panic!("alias {alias} is not set on this connection"))
                } else {
                    self.aliases.insert(alias, publish.topic.to_owned());
                    publish.topic.to_owned()
                }
            }
        };
        let mut ids: Vec<u32> = publish.properties.subscription_identifiers().collect();
        ids.sort_unstable();
        let text = String::from_utf8_lossy(publish.payload);
        let number = if text.is_empty() {
            0
        } else {
            text.parse().expect("payloads are numbers")
        };
        Sighting {
            number,
            topic,
            qos: publish.guarantee.qos(),
            id: publish.guarantee.packet_id(),
            dup: publish.guarantee.dup(),
            retain: publish.retain,
            ids,
            expiry: publish.properties.message_expiry_interval(),
        }
    }

    /// A PUBLISH leaves.
    pub(super) fn publish(&mut self, now: Millis, seen: &Sighting) -> Seen {
        assert!(self.terms.is_some(), "{seen} without a connection");
        if let Some(id) = seen.id
            && let Some(place) = self.in_flight(id)
        {
            self.publish_again(now, id, place, seen);
            return Seen::Again(self.entries[place].serial);
        }
        let Some(place) = self.waiting(now, seen) else {
            return Seen::Unknown(self.why_not(seen));
        };
        let entry = &self.entries[place];
        assert!(
            !seen.dup || entry.may_have_dup,
            "{seen}: DUP at first sight"
        );
        assert!(
            !entry.copy.has_expired(now) || entry.may_have_dup,
            "{seen} has expired"
        );
        let ahead = self.ahead_of(place).map(|place| &self.entries[place]);
        if let Some(ahead) = ahead {
            panic!("{seen} leaves before {}", ahead.copy);
        }
        self.check_expiry(now, place, seen);
        self.note_order(place, seen);
        self.doubt_twin(place, seen);
        match seen.id {
            None => {
                self.entries.remove(place);
            }
            Some(id) => {
                let entry = &mut self.entries[place];
                entry.stage = Stage::Sent(id);
                entry.sent_here = true;
                entry.is_optional = false;
                self.check_window(seen);
            }
        }
        Seen::First
    }

    fn publish_again(&mut self, now: Millis, id: PacketId, place: usize, seen: &Sighting) {
        let entry = &self.entries[place];
        assert_eq!(
            entry.copy.number, seen.number,
            "{seen}: id {id} is that of {} in flight",
            entry.copy
        );
        assert!(
            entry.stage == Stage::Sent(id),
            "{seen} leaves behind its PUBREC"
        );
        assert!(!entry.sent_here, "{seen} leaves twice on one connection");
        assert!(seen.dup, "{seen} leaves again without DUP");
        assert!(entry.copy.is_seen_as(seen), "{seen} was {}", entry.copy);
        self.check_expiry(now, place, seen);
        self.note_order(place, seen);
        let entry = &mut self.entries[place];
        entry.sent_here = true;
        entry.is_optional = false;
        self.check_window(seen);
    }

    /// A copy that this end did not know of leaves: the sender chose this receiver.
    pub(super) fn adopt(&mut self, now: Millis, copy: Copy, seen: &Sighting) -> Option<u64> {
        let serial = self.owe(copy);
        let place = self.entries.len() - 1;
        self.check_expiry(now, place, seen);
        let Some(id) = seen.id else {
            self.forget(serial);
            return None;
        };
        let entry = &mut self.entries[place];
        entry.stage = Stage::Sent(id);
        entry.sent_here = true;
        self.check_window(seen);
        Some(serial)
    }

    /// A PUBREL leaves.
    pub(super) fn pubrel(&mut self, pubrel: &PubRelRef<'_>) {
        let id = pubrel.packet_id;
        let has_properties = self.terms.expect("PUBREL on a connection").has_properties;
        match self.in_flight(id).map(|place| &mut self.entries[place]) {
            Some(entry) if entry.stage == Stage::Received(id) => {
                assert!(!pubrel.reason.is_error(), "PUBREL {id} {:?}", pubrel.reason);
                entry.released_here = true;
            }
            Some(entry) => {
                let is_stray = pubrel.reason.is_error() || !has_properties;
                assert!(
                    is_stray && (entry.copy.qos < QoS::ExactlyOnce || !entry.sent_here),
                    "PUBREL {id} before its PUBREC"
                );
            }
            None => assert!(
                pubrel.reason.is_error() || !has_properties,
                "PUBREL {id} of nothing"
            ),
        }
    }

    /// A PUBACK has arrived: the copy that has its last answer.
    pub(super) fn puback(&mut self, id: PacketId) -> Option<Entry> {
        let place = self.in_flight(id)?;
        let entry = &self.entries[place];
        let ends = entry.copy.qos == QoS::AtLeastOnce && entry.sent_here;
        ends.then(|| self.entries.remove(place))
    }

    /// A PUBREC has arrived: the copy that has its last answer, if it was refused.
    pub(super) fn pubrec(&mut self, id: PacketId, reason: PubRecReason) -> Option<Entry> {
        let place = self.in_flight(id)?;
        let entry = &mut self.entries[place];
        if entry.stage != Stage::Sent(id) || entry.copy.qos != QoS::ExactlyOnce || !entry.sent_here
        {
            return None;
        }
        if reason.is_error() {
            return Some(self.entries.remove(place));
        }
        entry.stage = Stage::Received(id);
        None
    }

    /// A PUBCOMP has arrived: the copy that has its last answer.
    pub(super) fn pubcomp(&mut self, id: PacketId) -> Option<Entry> {
        let place = self.in_flight(id)?;
        let entry = &self.entries[place];
        let ends = entry.stage == Stage::Received(id) && entry.released_here;
        ends.then(|| self.entries.remove(place))
    }

    /// All that could happen has happened: what may leave has left.
    pub(super) fn check_settled(&self) {
        let Some(terms) = self.terms else { return };
        let in_flight = |entry: &&Entry| entry.stage != Stage::Waiting;
        let is_full = self.entries.iter().filter(in_flight).count()
            >= terms.receive_maximum.min(terms.window);
        for entry in self.entries.iter().filter(|entry| !entry.is_optional) {
            match entry.stage {
                Stage::Waiting => assert!(
                    is_full && entry.copy.qos > QoS::AtMostOnce,
                    "{} is owed and does not leave",
                    entry.copy
                ),
                Stage::Sent(id) => assert!(
                    entry.sent_here || is_full,
                    "{} is owed again with id {id} and does not leave",
                    entry.copy
                ),
                Stage::Received(id) => {
                    assert!(
                        entry.released_here,
                        "PUBREL {id} is owed and does not leave"
                    );
                }
            }
        }
    }

    fn in_flight(&self, id: PacketId) -> Option<usize> {
        let is_it = |entry: &Entry| matches!(entry.stage, Stage::Sent(own) | Stage::Received(own) if own == id);
        self.entries.iter().position(is_it)
    }

    /// The entry that a PUBLISH is the first sight of. Where a client has published a message twice,
    /// for it did not hear of the first time, the two are told apart as far as they can be.
    fn waiting(&self, now: Millis, seen: &Sighting) -> Option<usize> {
        let is_it = |entry: &Entry| entry.stage == Stage::Waiting && entry.copy.is_seen_as(seen);
        let entries = self.entries.iter().enumerate();
        let was_passed = |entry: &Entry| {
            let last = order_key(&entry.copy).and_then(|key| self.last_sent.get(&key));
            last.is_some_and(|last| *last > entry.serial)
        };
        let fits_less = |place: usize, entry: &Entry| {
            (
                was_passed(entry) || self.ahead_of(place).is_some(),
                !self.shows_expiry(now, &entry.copy, seen),
                seen.dup && !entry.may_have_dup,
                entry.copy.has_expired(now) && !entry.may_have_dup,
            )
        };
        entries
            .filter(|(_, entry)| is_it(entry))
            .min_by_key(|(place, entry)| fits_less(*place, entry))
            .map(|(place, _)| place)
    }

    /// What was seen as a copy that might not have come may have been a later one that looks the same.
    fn doubt_twin(&mut self, place: usize, seen: &Sighting) {
        if !self.entries[place].is_optional {
            return;
        }
        let is_twin = |entry: &&mut Entry| {
            entry.stage == Stage::Waiting && !entry.is_optional && entry.copy.is_seen_as(seen)
        };
        if let Some(twin) = self.entries[place + 1..].iter_mut().find(is_twin) {
            twin.is_optional = true;
        }
    }

    /// The first copy that has to leave before the one at `place`.
    fn ahead_of(&self, place: usize) -> Option<usize> {
        let key = order_key(&self.entries[place].copy)?;
        self.entries[..place].iter().position(|other| {
            other.stage == Stage::Waiting
                && !other.is_optional
                && order_key(&other.copy) == Some(key)
        })
    }

    fn why_not(&self, seen: &Sighting) -> String {
        let others: Vec<String> = self
            .entries
            .iter()
            .filter(|entry| entry.copy.number == seen.number)
            .map(|entry| format!("{} {:?}", entry.copy, entry.stage))
            .collect();
        if others.is_empty() {
            format!("{seen} is not owed")
        } else {
            format!("{seen} is not owed, but {}", others.join(" and "))
        }
    }

    fn order_key(&self, place: usize) -> Option<(u32, &'static str, u8)> {
        order_key(&self.entries[place].copy)
    }

    /// On one connection copies leave in the order in which they became owed, sent again or not.
    /// // v5 [MQTT-4.6.0-1] [MQTT-4.6.0-5]
    fn note_order(&mut self, place: usize, seen: &Sighting) {
        let Entry {
            serial,
            is_optional,
            ..
        } = self.entries[place];
        if is_optional {
            return; // which of two copies of one message it is can not be told
        }
        if let Some(key) = self.order_key(place) {
            let last = self.last_sent.insert(key, serial).unwrap_or(0);
            assert!(last < serial, "{seen} leaves out of order");
        }
    }

    /// // v5 [MQTT-3.3.2-6]
    fn check_expiry(&self, now: Millis, place: usize, seen: &Sighting) {
        let copy = &self.entries[place].copy;
        let left = copy.seconds_left(now);
        assert!(
            self.shows_expiry(now, copy, seen),
            "{seen} has expiry={:?}, and {left:?} is left",
            seen.expiry
        );
    }

    fn shows_expiry(&self, now: Millis, copy: &Copy, seen: &Sighting) -> bool {
        let has_properties = self.terms.is_some_and(|terms| terms.has_properties);
        !has_properties || seen.expiry == copy.seconds_left(now)
    }

    /// // v5 [MQTT-3.3.4-9]
    fn check_window(&self, seen: &Sighting) {
        let max = self.terms.map_or(0, |terms| terms.receive_maximum);
        // What had its PUBREC on an earlier connection is not counted again.
        let unanswered = self.entries.iter().filter(|entry| entry.sent_here).count();
        assert!(
            unanswered <= max,
            "{seen} is one more than the Receive Maximum of {max}"
        );
    }
}

fn order_key(copy: &Copy) -> Option<(u32, &'static str, u8)> {
    Some((copy.flow?, copy.topic, copy.qos as u8))
}

impl Copy {
    /// What an expiry interval says of it, a second that has begun counting whole.
    pub(super) fn seconds_left(&self, now: Millis) -> Option<u32> {
        let left = self.expires_at?.saturating_sub(now).div_ceil(1_000);
        Some(u32::try_from(left).unwrap_or(u32::MAX))
    }

    pub(super) fn has_expired(&self, now: Millis) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
    /// Sent because it was retained when the receiver subscribed.
    pub(super) fn was_retained(&self) -> bool {
        self.flow.is_none() && self.retain
    }

    pub(super) fn is_of_a_group(&self) -> bool {
        self.flow.is_none() && !self.retain
    }

    fn is_seen_as(&self, seen: &Sighting) -> bool {
        self.number == seen.number
            && self.topic == seen.topic
            && self.qos == seen.qos
            && self.retain == seen.retain
            && self.ids == seen.ids
    }
}

impl std::fmt::Display for Copy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "message {} q{} {}",
            self.number, self.qos as u8, self.topic
        )?;
        if self.retain {
            f.write_str(" retain")?;
        }
        self.ids.iter().try_for_each(|id| write!(f, " sub={id}"))
    }
}

impl std::fmt::Display for Sighting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PUBLISH q{}", self.qos as u8)?;
        if let Some(id) = self.id {
            write!(f, " id{id}")?;
        }
        if self.dup {
            f.write_str(" dup")?;
        }
        if self.retain {
            f.write_str(" retain")?;
        }
        write!(f, " {} {}", self.topic, self.number)?;
        self.ids.iter().try_for_each(|id| write!(f, " sub={id}"))
    }
}

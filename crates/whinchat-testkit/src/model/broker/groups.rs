//! Shared subscriptions: what each group is owed, and which member has it.
//!
//! A broker may pick any member, so the list follows what is seen. Read first: MQTT 5.0 section 4.8.2.

use whinchat_codec::QoS;

use super::book::{Message, matches};
use super::step::{FILTERS, PLAIN, TOPICS, group_qos, id_of};
use crate::model::ledger::{Copy, Millis, Sighting};

/// One message that one member is to get.
#[derive(Clone, Debug)]
struct Owed {
    copy: Copy,
    filter: u8,
    /// Who got it: the client, and the serial in its ledger; none at QoS 0.
    holder: Option<(usize, Option<u64>)>,
    /// The holder has gone, and another one may get it.
    is_loose: bool,
    /// Nobody could take it for a moment: it may be lost.
    may_be_lost: bool,
    /// A restart may have taken it for one that was sent.
    may_have_dup: bool,
    /// Became owed since the last look.
    is_new: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Groups {
    pub(super) log_is_late: bool,
    members: Vec<(usize, u8)>,
    /// Who was a member once, and may still have what it was picked for.
    former: Vec<(usize, u8)>,
    owed: Vec<Owed>,
}

impl Groups {
    pub(super) fn new(log_is_late: bool) -> Self {
        Self {
            log_is_late,
            members: Vec::new(),
            former: Vec::new(),
            owed: Vec::new(),
        }
    }
    pub(super) fn join(&mut self, client: usize, filter: u8) {
        self.members.push((client, filter));
    }

    pub(super) fn leave(&mut self, client: usize, filter: u8) {
        self.members.retain(|member| *member != (client, filter));
        self.former.push((client, filter));
        if !self.members.iter().any(|(_, other)| *other == filter) {
            // The next member founds another group; what this one was owed stays where it is.
            for owed in self.owed.iter_mut().filter(|owed| owed.filter == filter) {
                owed.may_be_lost = true;
            }
        }
    }

    /// Each group that matches is owed one copy, at QoS 0 if one of its members is connected.
    pub(super) fn owe(&mut self, message: &Message, connected: &[usize]) {
        let filters = PLAIN..FILTERS.len();
        for filter in filters.filter_map(|filter| u8::try_from(filter).ok()) {
            let mut members = self.members.iter().filter(|(_, own)| *own == filter);
            let must_come = members
                .clone()
                .any(|(client, _)| connected.contains(client));
            if members.next().is_none() || !matches(filter, message.topic) {
                continue;
            }
            let copy = Copy {
                number: message.number,
                topic: TOPICS[usize::from(message.topic)],
                qos: message.qos.min(group_qos(filter)),
                retain: false,
                ids: vec![id_of(filter)],
                expires_at: message.expires_at,
                flow: None,
            };

            self.owed.push(Owed {
                filter,
                holder: None,
                is_loose: false,
                may_be_lost: copy.qos == QoS::AtMostOnce && !must_come,
                may_have_dup: false,
                is_new: true,
                copy,
            });
        }
    }

    /// What is owed to a group of which none of `takers` is a member may be lost.
    pub(super) fn note_takers(&mut self, takers: &[usize]) {
        for owed in &mut self.owed {
            let has_taker = self
                .members
                .iter()
                .any(|(client, filter)| *filter == owed.filter && takers.contains(client));
            owed.may_be_lost |= !has_taker;
        }
    }

    /// What became owed while it was not clear who was there.
    pub(super) fn forgive_new(&mut self) {
        for owed in self.owed.iter_mut().filter(|owed| owed.is_new) {
            owed.may_be_lost = true;
        }
    }

    /// The broker forgets a member and all that it had.
    pub(super) fn forgive(&mut self, client: usize) {
        for owed in &mut self.owed {
            let place = &(client, owed.filter);
            let was_member = self.members.contains(place) || self.former.contains(place);
            owed.may_be_lost |= match owed.holder {
                Some((holder, _)) if !owed.is_loose => holder == client,
                _ => was_member, // it may have moved here
            };
        }
    }

    /// All that could happen has happened: QoS 0 has come, or never comes.
    pub(super) fn settle(&mut self) {
        for owed in &mut self.owed {
            owed.is_new = false;
            let is_missing = owed.holder.is_none() && !owed.may_be_lost;
            let came = !is_missing || owed.copy.qos > QoS::AtMostOnce;
            assert!(came, "no member gets {}", owed.copy);
        }
        self.owed.retain(|owed| owed.copy.qos > QoS::AtMostOnce);
    }

    pub(super) fn expire(&mut self, now: Millis) {
        let log_is_late = self.log_is_late;
        self.owed.retain_mut(|owed| {
            if owed.holder.is_some() || !owed.copy.has_expired(now) {
                return true;
            }
            // A restart may take it for sent; then it goes out again.
            owed.may_be_lost = true;
            log_is_late
        });
    }

    pub(super) fn restart(&mut self) {
        for owed in &mut self.owed {
            owed.may_have_dup = true;
        }
    }

    /// A client gets a PUBLISH that only a group can be owed: the copy, if that is so, and who had it
    /// before.
    pub(super) fn take(
        &mut self,
        now: Millis,
        client: usize,
        seen: &Sighting,
    ) -> Result<(Copy, Option<(usize, u64)>), String> {
        let is_it = |owed: &Owed| {
            let copy = &owed.copy;
            copy.number == seen.number
                && copy.topic == seen.topic
                && copy.ids == seen.ids
                && copy.retain == seen.retain
                && copy.qos == seen.qos
                && copy.seconds_left(now) == seen.expiry
        };
        let free = |owed: &Owed| owed.holder.is_none() || owed.is_loose;
        // Where a message was published twice, the two are told apart as far as they can be.
        let fits_less = |owed: &Owed| {
            (
                seen.dup != owed.may_have_dup,
                owed.copy.has_expired(now),
                owed.may_be_lost,
            )
        };
        let places = self.owed.iter().enumerate();
        let place = places
            .filter(|(_, owed)| is_it(owed) && free(owed))
            .min_by_key(|(_, owed)| fits_less(owed))
            .map(|(place, _)| place);
        let Some(owed) = place.and_then(|place| self.owed.get_mut(place)) else {
            let held = self.owed.iter().find(|owed| is_it(owed));
            return Err(match held {
                Some(owed) => format!("client {:?} has it already", owed.holder),
                None => "no group is owed it".to_owned(),
            });
        };
        if seen.dup && !owed.may_have_dup {
            return Err("DUP at first sight".to_owned());
        }
        if !seen.dup && owed.copy.has_expired(now) {
            return Err("it has expired".to_owned());
        }
        let before = owed
            .holder
            .and_then(|(client, serial)| Some((client, serial?)));
        owed.holder = Some((client, None));
        owed.is_loose = false;
        Ok((owed.copy.clone(), before))
    }

    /// Where the copy that was taken last stands in the ledger of its holder.
    pub(super) fn note_serial(&mut self, client: usize, copy: &Copy, serial: Option<u64>) {
        let is_it = |owed: &&mut Owed| owed.holder == Some((client, None)) && owed.copy == *copy;
        if let Some(owed) = self.owed.iter_mut().find(is_it) {
            owed.holder = Some((client, serial));
        }
    }

    /// The holder was sent it again.
    pub(super) fn resent(&mut self, client: usize, serial: u64) {
        for owed in &mut self.owed {
            owed.is_loose &= owed.holder != Some((client, Some(serial)));
        }
    }

    /// The holder has given its last answer.
    pub(super) fn done(&mut self, client: usize, serial: u64) {
        self.owed
            .retain(|owed| owed.holder != Some((client, Some(serial))));
    }

    /// A member has lost its connection: the serials of what may go to one of `takers`.
    pub(super) fn let_go(&mut self, client: usize, takers: &[usize]) -> Vec<u64> {
        let mut moved = Vec::new();
        for owed in &mut self.owed {
            let Some((holder, Some(serial))) = owed.holder else {
                continue;
            };
            let has_taker = self.members.iter().any(|(other, filter)| {
                *filter == owed.filter && *other != client && takers.contains(other)
            });
            // v5 [MQTT-4.8.2-4] [MQTT-4.8.2-5]
            if holder == client && has_taker && owed.copy.qos == QoS::AtLeastOnce {
                owed.is_loose = true;
                moved.push(serial);
            }
        }
        moved
    }

    /// The session of a member is over.
    pub(super) fn remove_session(&mut self, client: usize) {
        for owed in &mut self.owed {
            // A restart takes QoS 2 that has its packet id for sent, and that goes to nobody else.
            let place = &(client, owed.filter);
            let was_member = self.members.contains(place) || self.former.contains(place);
            let may_count_as_sent = owed.may_have_dup && owed.copy.qos == QoS::ExactlyOnce;
            owed.may_be_lost |= owed.holder.is_none() && was_member && may_count_as_sent;
        }
        let filters: Vec<u8> = self
            .members
            .iter()
            .filter(|(member, _)| *member == client)
            .map(|(_, filter)| *filter)
            .collect();
        for filter in filters {
            self.leave(client, filter);
        }
        self.owed.retain_mut(|owed| {
            if owed.holder.is_none_or(|(holder, _)| holder != client) {
                return true;
            }
            // QoS 2 that may have arrived goes to nobody else.
            if owed.copy.qos == QoS::ExactlyOnce {
                return false;
            }
            owed.holder = None;
            owed.is_loose = false;
            true
        });
    }

    /// At the end of everything: what should have come to somebody.
    pub(super) fn missing(&self) -> Option<&Copy> {
        let missing = |owed: &&Owed| owed.holder.is_none() && !owed.may_be_lost;
        self.owed.iter().find(missing).map(|owed| &owed.copy)
    }
}

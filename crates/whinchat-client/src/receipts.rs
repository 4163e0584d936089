//! Messages of QoS 1 and 2 that the application has not acknowledged yet, and the order in which their acks must leave.
//!
//! A message may be with several streams; it is acknowledged after all of them are done. Acks leave in the order in which the
//! messages came (v5 [MQTT-4.6.0-2], [MQTT-4.6.0-3]), so that one that is done early waits for those before it. The engine keeps
//! that order too, but forgets with its connection what waits in it; here it is remembered.
//!
//! When a connection ends, the broker will send unacknowledged messages again if it kept the session. Such a repeat is known by
//! its packet id and DUP flag and is not given to the application twice: it takes the place of the message that is still here.

use std::collections::{HashMap, VecDeque};

use slab::Slab;
use whinchat_codec::{PacketId, QoS};

/// A stream's claim on a message: spent exactly once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Receipt(u32);

#[derive(Debug)]
struct Held {
    id: PacketId,
    qos: QoS,
    streams: u32,
    bytes: usize,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In line for its ack on the present connection.
    InLine,
    /// Came on an earlier connection; the broker will send it again.
    Expected,
    /// The broker has forgotten it: nobody waits for the ack.
    Forgotten,
}

#[derive(Debug, Default)]
pub(crate) struct Receipts {
    /// A key is given again when its message is gone, which is after the last of its receipts.
    held: Slab<Held>,
    line: VecDeque<usize>,
    expected: HashMap<(QoS, PacketId), usize>,
    bytes: usize,
}

impl Receipts {
    /// Bytes of the messages that are held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A message came. Gives the key of its receipts, or `None` for a repeat of one that is held already.
    pub(crate) fn arrive(
        &mut self,
        id: PacketId,
        qos: QoS,
        dup: bool,
        bytes: usize,
    ) -> Option<Arrival> {
        if dup && self.arrive_again(id, qos) {
            return None;
        }
        if let Some(key) = self.take_expected(id, qos) {
            // The id was given to another message meanwhile: the old one expired or was dropped over there.
            self.forget(key);
        }
        let key = self.held.insert(Held {
            id,
            qos,
            streams: 0,
            bytes,
            place: Place::InLine,
        });
        self.line.push_back(key);
        self.bytes += bytes;
        // They all have an id each; only what is unread when a session is lost adds to them.
        Some(Arrival(
            u32::try_from(key).expect("fewer than 2^32 messages are held"),
        ))
    }

    /// A message came that the engine knows from an earlier connection. Says whether it is still held here.
    pub(crate) fn arrive_again(&mut self, id: PacketId, qos: QoS) -> bool {
        let Some(key) = self.take_expected(id, qos) else {
            return false;
        };
        if let Some(held) = self.held.get_mut(key) {
            held.place = Place::InLine;
        }
        self.line.push_back(key);
        true
    }

    /// One more stream gets the message.
    pub(crate) fn issue(&mut self, arrival: &Arrival) -> Receipt {
        if let Some(held) = self.held.get_mut(arrival.0 as usize) {
            held.streams += 1;
        }
        Receipt(arrival.0)
    }

    /// A stream is done with its message.
    pub(crate) fn spend(&mut self, receipt: Receipt) {
        let Some(held) = self.held.get_mut(receipt.0 as usize) else {
            return;
        };
        held.streams = held.streams.saturating_sub(1);
        if held.streams == 0 && held.place == Place::Forgotten {
            self.remove(receipt.0 as usize);
        }
    }

    /// Whether no other stream has this message.
    pub(crate) fn is_last(&self, receipt: &Receipt) -> bool {
        self.held
            .get(receipt.0 as usize)
            .is_none_or(|held| held.streams <= 1)
    }

    /// The next ack that may leave, in order.
    pub(crate) fn next_due(&mut self) -> Option<PacketId> {
        let key = *self.line.front()?;
        let held = self.held.get(key)?;
        if held.streams > 0 {
            return None;
        }
        let id = held.id;
        self.line.pop_front();
        self.remove(key);
        Some(id)
    }

    /// The connection ended: what is held will come again, if the broker keeps the session.
    pub(crate) fn connection_ended(&mut self) {
        for key in self.line.drain(..) {
            if let Some(held) = self.held.get_mut(key) {
                held.place = Place::Expected;
                self.expected.insert((held.qos, held.id), key);
            }
        }
    }

    /// The broker has lost the session: nothing comes again, and nobody waits for acks.
    pub(crate) fn session_lost(&mut self) {
        for (_, key) in std::mem::take(&mut self.expected) {
            self.forget(key);
        }
    }

    fn take_expected(&mut self, id: PacketId, qos: QoS) -> Option<usize> {
        if self.expected.is_empty() {
            return None; // without a hash
        }
        self.expected.remove(&(qos, id))
    }

    fn forget(&mut self, key: usize) {
        let Some(held) = self.held.get_mut(key) else {
            return;
        };
        held.place = Place::Forgotten;
        if held.streams == 0 {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: usize) {
        if let Some(held) = self.held.try_remove(key) {
            self.bytes -= held.bytes;
        }
    }
}

/// A message that has just come and may be given to streams.
#[derive(Debug)]
pub(crate) struct Arrival(u32);

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).unwrap()
    }

    fn arrive(receipts: &mut Receipts, number: u16) -> Receipt {
        let arrival = receipts
            .arrive(id(number), QoS::AtLeastOnce, false, 10)
            .unwrap();
        receipts.issue(&arrival)
    }

    fn due(receipts: &mut Receipts) -> Vec<u16> {
        std::iter::from_fn(|| receipts.next_due())
            .map(PacketId::get)
            .collect()
    }

    #[test]
    fn acks_leave_in_the_order_in_which_messages_came() {
        let mut receipts = Receipts::default();
        let (first, second, third) = (
            arrive(&mut receipts, 7),
            arrive(&mut receipts, 3),
            arrive(&mut receipts, 5),
        );
        receipts.spend(third);
        receipts.spend(second);
        assert!(due(&mut receipts).is_empty());
        receipts.spend(first);
        assert_eq!(due(&mut receipts), [7, 3, 5]);
        assert_eq!((receipts.held.len(), receipts.bytes()), (0, 0));
    }

    #[test]
    fn a_message_is_acked_after_all_streams_are_done_with_it() {
        let mut receipts = Receipts::default();
        let arrival = receipts.arrive(id(1), QoS::AtLeastOnce, false, 1).unwrap();
        let (one, other) = (receipts.issue(&arrival), receipts.issue(&arrival));
        assert!(!receipts.is_last(&one));
        receipts.spend(one);
        assert!(due(&mut receipts).is_empty());
        assert!(receipts.is_last(&other));
        receipts.spend(other);
        assert_eq!(due(&mut receipts), [1]);
    }

    #[test]
    fn a_repeat_after_a_reconnect_takes_the_place_of_the_message_that_is_still_here() {
        let mut receipts = Receipts::default();
        let (first, second) = (arrive(&mut receipts, 1), arrive(&mut receipts, 2));
        receipts.connection_ended();
        receipts.spend(first); // read while offline: acked as soon as it comes again
        assert!(due(&mut receipts).is_empty());
        assert!(receipts.arrive(id(1), QoS::AtLeastOnce, true, 10).is_none());
        assert!(receipts.arrive(id(2), QoS::AtLeastOnce, true, 10).is_none());
        assert_eq!(due(&mut receipts), [1]);
        receipts.spend(second);
        assert_eq!(due(&mut receipts), [2]);
        assert_eq!(receipts.bytes(), 0);
    }

    #[test]
    fn a_new_message_on_an_expected_id_is_new() {
        let mut receipts = Receipts::default();
        let old = arrive(&mut receipts, 1);
        receipts.connection_ended();
        let new = arrive(&mut receipts, 1);
        receipts.spend(old);
        assert!(due(&mut receipts).is_empty());
        receipts.spend(new);
        assert_eq!(due(&mut receipts), [1]);
        assert_eq!(receipts.held.len(), 0);
    }

    #[test]
    fn a_lost_session_wants_no_acks() {
        let mut receipts = Receipts::default();
        let receipt = arrive(&mut receipts, 1);
        receipts.connection_ended();
        receipts.session_lost();
        assert_eq!(receipts.held.len(), 1);
        receipts.spend(receipt);
        assert_eq!(
            (due(&mut receipts), receipts.held.len(), receipts.bytes()),
            (vec![], 0, 0)
        );
    }
}

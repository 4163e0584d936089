//! What the clients do, each after its kind.

use bytes::Bytes;
use fastrand::Rng;
use whinchat_codec::QoS;

use super::{
    Asked, Auditor, CAST, EXPIRING, Ender, Expiring, Firm, MESSAGE_EXPIRY, Member, PUBLISHERS,
    Publisher, RETAINED_TOPICS, Retained, Retainer, Role, Subscriber, WINDOW, World, payload,
};
use crate::torture::images::client::Outbound;

impl World {
    pub(in crate::torture::images) fn places() -> std::ops::Range<usize> {
        0..CAST.len()
    }

    pub(in crate::torture::images) fn auditor() -> usize {
        Self::at(Auditor)
    }

    /// Those who are away for long.
    pub(in crate::torture::images) fn likes_to_be_away(place: usize) -> bool {
        matches!(
            Self::role(place),
            Subscriber(3 | EXPIRING) | Ender(_) | Auditor
        )
    }

    /// Something that this client may do while it is connected; what it is, in words.
    pub(in crate::torture::images) fn act(
        &mut self,
        place: usize,
        random: &mut Rng,
    ) -> Option<String> {
        if !self.clients[place].is_connected() || self.clients[place].in_flight() >= WINDOW {
            return None;
        }
        match Self::role(place) {
            Publisher(number) => {
                let topic = match random.u8(..8) {
                    0 => format!("u/{}/{number}/2", random.usize(4..6)),
                    draw => format!("t/{number}/{}", 1 + draw % 2),
                };
                Some(self.publish(place, topic, random))
            }
            Subscriber(number @ (4 | 5)) => Some(self.toggle(number, random)),
            Retainer => Some(self.retain(random)),
            Ender(number) => {
                self.lose(place);
                self.is_ending[number] = true;
                self.connect(place);
                Some("begins anew".to_owned())
            }
            Subscriber(_) | Member(_) | Role::Will(_) | Auditor => None,
        }
    }

    /// Each publisher sends one more to everybody.
    pub(in crate::torture::images) fn publish_once_more(&mut self, random: &mut Rng) {
        for number in 0..PUBLISHERS {
            let place = Self::at(Publisher(number));
            if self.clients[place].is_connected() {
                for topic in ["t/P/1", "t/P/2", "u/4/P/2", "u/5/P/2"] {
                    self.publish(place, topic.replace('P', &number.to_string()), random);
                }
            }
        }
    }

    fn publish(&mut self, place: usize, topic: String, random: &mut Rng) -> String {
        let qos = if topic.ends_with('1') {
            QoS::AtLeastOnce
        } else {
            QoS::ExactlyOnce
        };
        let (mut owed, mut forbidden) = (0, 0);
        match topic.as_bytes() {
            [b'u', _, subscriber, ..] => {
                let subscriber = usize::from(subscriber - b'0');
                match self.toggled[subscriber] {
                    Firm::Yes => owed = 1 << subscriber,
                    Firm::No => forbidden = 1 << subscriber,
                    Firm::Unsure => {}
                }
            }
            _ => owed = self.lasting_readers(&topic),
        }
        let number = self.ledger.publish(&topic, owed, forbidden);
        let is_v5 = self.clients[place].version.is_v5();
        let expiry = (is_v5 && random.u8(..8) == 0).then_some(MESSAGE_EXPIRY);
        if let Some(seconds) = expiry {
            let at = self.now + u64::from(seconds) * 1_000;
            self.expiring.push(Expiring {
                number,
                earliest: at,
                latest: at,
            });
        }
        // Some are long, so that segments fill and the oldest are given up.
        let size = if random.u8(..4) == 0 { 3_000 } else { 200 };
        let told = format!("publishes #{number} {topic}");
        self.send(
            place,
            Outbound {
                number,
                payload: payload(number, random.usize(..size)),
                topic: topic.into(),
                qos,
                retain: false,
                expiry,
            },
        );
        told
    }

    fn send(&mut self, place: usize, message: Outbound) {
        let mut events = Vec::new();
        self.clients[place].publish(message, &mut events);
        self.handle(place, events);
    }

    fn toggle(&mut self, number: usize, random: &mut Rng) -> String {
        let place = Self::at(Subscriber(number));
        let filter = format!("u/{number}/#");
        let subscribes = match self.toggled[number] {
            Firm::Yes => false,
            Firm::No => true,
            Firm::Unsure => random.bool(),
        };
        self.toggled[number] = Firm::Unsure;
        let prefix = format!("u/{number}/");
        self.ledger
            .loosen(number, |topic| topic.starts_with(&prefix));
        let client = &mut self.clients[place];
        if subscribes {
            client.subscribe(&[&filter], QoS::ExactlyOnce);
            self.asked[number].push_back(Asked::Toggle(Firm::Yes));
            format!("subscribes to {filter}")
        } else {
            client.unsubscribe(&filter);
            self.asked[number].push_back(Asked::Toggle(Firm::No));
            format!("unsubscribes from {filter}")
        }
    }

    fn retain(&mut self, random: &mut Rng) -> String {
        let topic = random.usize(..RETAINED_TOPICS);
        let name = Retained::name(topic);
        let number = self.ledger.publish(&name, 0, 0);
        let is_clear = random.u8(..3) == 0;
        self.retained.set(topic, number, is_clear);
        let told = if is_clear {
            format!("clears {name} with #{number}")
        } else {
            format!("retains #{number} in {name}")
        };
        let message = Outbound {
            number,
            topic: name.into(),
            payload: if is_clear {
                Bytes::new()
            } else {
                payload(number, 20)
            },
            qos: QoS::ALL[1 + topic % 2],
            retain: true,
            expiry: None,
        };
        self.send(Self::at(Retainer), message);
        told
    }
}

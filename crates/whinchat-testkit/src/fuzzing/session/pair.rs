//! Two engines, and a link between them that is cut.

use bytes::Bytes;
use whinchat_codec::{ProtocolVersion, QoS};
use whinchat_session::SessionLimits;

use super::super::steps::Steps;
use crate::{Endpoint, Pair};

/// Behind a byte of settings and a seed: both ends publish, the link is cut after so many bytes and made again. In the end
/// all of QoS 2 has come once and in order, all of QoS 1 at least once with the first copies in order and DUP on the
/// others, and nothing is owed any more.
pub fn pair(data: &[u8]) {
    let mut steps = Steps(data);
    let (settings, seed) = (steps.byte(), steps.byte());
    let version = ProtocolVersion::ALL[usize::from(settings % 3)];
    let window = 1 + u16::from(settings >> 4 & 3);
    let limits = SessionLimits::default()
        .with_in_flight_max(window)
        .with_in_flight_max_v3(window)
        .with_topic_alias_maximum_out(u16::from(settings >> 6));
    let mut pair = Pair::new(version, seed.into(), limits, settings & 0x08 != 0);
    let mut sent = [Sent::default(), Sent::default()];
    pair.connect();
    // A cut may be before the first CONNACK: then there is no session to come back to.
    assert!(!pair.drive());
    let mut number = 0_u16;
    while let Some(step) = steps.next() {
        match step % 8 {
            0..=3 if number < 200 => {
                number += 1;
                let qos = QoS::ALL[usize::from(step >> 4) % 3];
                let payload = format!("{number}");
                let at_client = step & 8 == 0;
                let end = if at_client {
                    &mut pair.client
                } else {
                    &mut pair.server
                };
                end.publish(&pair.clock, qos, "a/b", &payload);
                sent[usize::from(at_client)]
                    .messages
                    .push((qos, payload.into()));
            }
            4 | 5 => {
                pair.cut_after(pair.bytes_arrived + usize::from(steps.byte()));
                if pair.drive() {
                    pair.connect();
                }
            }
            6 => {
                pair.cut();
                pair.connect();
            }
            _ => {
                if pair.drive() {
                    pair.connect();
                }
            }
        }
    }
    while pair.drive() {
        pair.connect();
    }
    let [by_server, by_client] = sent;
    by_server.check(&pair.server, &pair.client);
    by_client.check(&pair.client, &pair.server);
}

#[derive(Default)]
struct Sent {
    messages: Vec<(QoS, Bytes)>,
}

impl Sent {
    fn of(&self, qos: QoS) -> Vec<&Bytes> {
        let all = self.messages.iter().filter(|(at, _)| *at == qos);
        all.map(|(_, payload)| payload).collect()
    }

    fn check(&self, sender: &Endpoint, receiver: &Endpoint) {
        let received = |qos| {
            receiver
                .received
                .iter()
                .filter(move |message| message.qos == qos)
        };
        let twice: Vec<_> = received(QoS::ExactlyOnce)
            .map(|message| &message.payload)
            .collect();
        assert_eq!(twice, self.of(QoS::ExactlyOnce), "QoS 2");
        let mut firsts: Vec<&Bytes> = Vec::new();
        for message in received(QoS::AtLeastOnce) {
            if firsts.contains(&&message.payload) {
                assert!(message.dup, "{message:?} again without DUP");
            } else {
                firsts.push(&message.payload);
            }
        }
        assert_eq!(firsts, self.of(QoS::AtLeastOnce), "QoS 1");
        let mut all = self.of(QoS::AtMostOnce).into_iter();
        for message in received(QoS::AtMostOnce) {
            assert!(
                all.any(|next| *next == message.payload),
                "QoS 0: {message:?}"
            );
        }
        assert!(sender.session.is_empty(), "{:?}", sender.session);
        assert!(
            sender
                .out
                .dropped
                .iter()
                .all(|(message, _)| self.of(QoS::AtMostOnce).contains(&&message.payload)),
            "{:?}",
            sender.out.dropped
        );
        let with_ack = self.messages.len() - self.of(QoS::AtMostOnce).len();
        assert_eq!(sender.acked.len(), with_ack, "acknowledged");
    }
}

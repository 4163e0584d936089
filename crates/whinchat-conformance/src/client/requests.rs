//! What a client has asked for: SUBSCRIBE and UNSUBSCRIBE without an answer, and the topics that it was granted.

use whinchat_codec::{Packet, Subscribe};

use super::answers::{success, topic_of};
use crate::notation::{Template, packet_id};

#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: Vec<Packet>,
    /// Each with the QoS that was granted.
    topics: Vec<(String, u8)>,
}

impl Requests {
    /// A SUBSCRIBE or UNSUBSCRIBE has come.
    pub(super) fn note(&mut self, request: &Packet) {
        self.waiting.push(request.clone());
    }

    /// The connection is over, and with it what waited for an answer.
    pub(super) fn disconnected(&mut self) {
        self.waiting.clear();
    }

    /// The session is over, and with it the subscriptions.
    pub(super) fn session_ended(&mut self) {
        self.topics.clear();
    }

    /// We have sent this; SUBACK and UNSUBACK answer.
    pub(super) fn sent(&mut self, packet: &Packet) {
        let id = packet_id(packet);
        match packet {
            Packet::SubAck(suback) => {
                let granted: Vec<u8> = suback.reasons.iter().map(|code| code.code()).collect();
                let asked = self.waiting.iter().find_map(|request| match request {
                    Packet::Subscribe(asked) if Some(asked.packet_id) == id => Some(asked.clone()),
                    _ => None,
                });
                if let Some(asked) = asked {
                    self.granted(&asked, &granted);
                }
            }
            Packet::UnsubAck(_) => {}
            _ => return,
        }
        self.waiting.retain(|request| packet_id(request) != id);
    }

    fn granted(&mut self, asked: &Subscribe, granted: &[u8]) {
        for (subscription, granted) in asked.subscriptions.iter().zip(granted) {
            let topic = topic_of(&subscription.filter).filter(|_| *granted <= 2);
            if let Some(topic) = topic.map(|topic| (topic, *granted))
                && !self.topics.contains(&topic)
            {
                self.topics.push(topic);
            }
        }
    }

    /// A topic that the client has subscribed to with at least this QoS.
    pub(super) fn topic(&self, qos: u8) -> Option<&str> {
        let found = self.topics.iter().find(|(_, granted)| *granted >= qos);
        found.map(|(topic, _)| topic.as_str())
    }

    /// A SUBACK or UNSUBACK with this id that has no codes grants what was asked for.
    pub(super) fn with_codes(&self, answer: &Template, id: Option<u16>) -> Template {
        let request = self
            .waiting
            .iter()
            .find(|request| packet_id(request).map(|id| id.get()) == id);
        let granted = request
            .and_then(success)
            .map(|words| Template::parse(&words));
        match granted {
            Some(Ok(granted)) => answer.with_codes_of(&granted),
            _ => answer.clone(),
        }
    }
}

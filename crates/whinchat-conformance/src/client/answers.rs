//! How a server answers what a scene does not speak of.

use bytes::Bytes;
use whinchat_codec::{Packet, ProtocolVersion, QoS};

use crate::play::client::own_packet;

/// CONNACK for a version that is not taken.
pub(super) fn refusal_of_version(version: ProtocolVersion) -> Bytes {
    own_packet(
        match version {
            ProtocolVersion::V5 => "CONNACK 84",
            ProtocolVersion::V31 | ProtocolVersion::V311 => "CONNACK 01",
        },
        version,
    )
}

/// What a server does with a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// It sends this.
    Answer(String),
    /// It sends nothing.
    Nothing,
    /// It is no matter of course: a scene has to ask for the packet.
    Unasked,
}

/// What is done with a packet that no step asks for.
pub(super) fn reaction(packet: &Packet) -> Reaction {
    Reaction::Answer(match packet {
        Packet::PingReq => "PINGRESP".to_owned(),
        Packet::Publish(publish) => {
            let Some(id) = publish.guarantee.packet_id() else {
                return Reaction::Nothing;
            };
            match publish.guarantee.qos() {
                QoS::ExactlyOnce => format!("PUBREC id{id}"),
                QoS::AtLeastOnce | QoS::AtMostOnce => format!("PUBACK id{id}"),
            }
        }
        Packet::PubRel(pubrel) => format!("PUBCOMP id{}", pubrel.packet_id),
        Packet::Subscribe(_) | Packet::Unsubscribe(_) => match success(packet) {
            Some(answer) => answer,
            None => return Reaction::Unasked,
        },
        Packet::Disconnect(_) => return Reaction::Nothing,
        Packet::Connect(_)
        | Packet::ConnAck(_)
        | Packet::PubAck(_)
        | Packet::PubRec(_)
        | Packet::PubComp(_)
        | Packet::SubAck(_)
        | Packet::UnsubAck(_)
        | Packet::PingResp
        | Packet::Auth(_) => return Reaction::Unasked,
    })
}

/// SUBACK that grants what is asked for, or UNSUBACK that removes it.
pub(super) fn success(request: &Packet) -> Option<String> {
    let (mut words, codes): (_, Vec<u8>) = match request {
        Packet::Subscribe(subscribe) => (
            format!("SUBACK id{}", subscribe.packet_id),
            subscribe
                .subscriptions
                .iter()
                .map(|subscription| subscription.options.qos as u8)
                .collect(),
        ),
        Packet::Unsubscribe(unsubscribe) => (
            format!("UNSUBACK id{}", unsubscribe.packet_id),
            unsubscribe.filters.iter().map(|_| 0).collect(),
        ),
        _ => return None,
    };
    for code in codes {
        words += &format!(" {code:02x}");
    }
    Some(words)
}

/// A topic that a filter matches, if it is one of ours to publish to.
pub(super) fn topic_of(filter: &str) -> Option<String> {
    let filter = match filter.strip_prefix("$share/") {
        Some(shared) => shared.split_once('/')?.1,
        None => filter,
    };
    if filter.starts_with('$') {
        return None;
    }
    let levels = filter.split('/').map(|level| match level {
        "+" | "#" => "conformance",
        level => level,
    });
    Some(levels.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_made_from_a_filter() {
        for (filter, topic) in [
            ("a/b", Some("a/b")),
            ("a/+/#", Some("a/conformance/conformance")),
            ("#", Some("conformance")),
            ("$share/g/a/+", Some("a/conformance")),
            ("$SYS/#", None),
            ("$share/g", None),
        ] {
            assert_eq!(topic_of(filter).as_deref(), topic, "{filter}");
        }
    }
}

//! Packets that are made from random choices: written, said by an older version, and as JSON.

use arbitrary::Unstructured;
use bytes::{Bytes, BytesMut};
use whinchat_codec::{
    DecodeLimits, DisconnectReason, Guarantee, Packet, PacketId, ProtocolVersion, PublishFrame,
};

use super::{as_written, version};

/// A packet of the version that the first byte chooses is written in its announced length, and read back the same; a
/// PUBLISH also in two parts, and as a frame with another packet id.
pub fn encode(data: &[u8]) {
    let Some((version, packet)) = packet_of(data) else {
        return;
    };
    let bytes = written(&packet, version);
    assert_eq!(packet.encoded_len(version), Ok(bytes.len()));
    let read = Packet::decode(&bytes, version, &DecodeLimits::default());
    assert_eq!(read, Ok(Some((packet.clone(), bytes.len()))));
    if let Packet::Publish(publish) = packet {
        let frame = PublishFrame::new(&publish.borrowed(), version).expect("as the packet");
        assert_eq!(frame.bytes(), &bytes);
        let mut parts = BytesMut::new();
        let head = publish.borrowed().encode_head(version, &mut parts);
        assert_eq!(head, Ok(()), "as the packet");
        parts.extend_from_slice(&publish.payload);
        assert_eq!(parts, bytes);
        let mut another = publish.clone();
        let id = PacketId::MAX;
        another.guarantee = Guarantee::new(publish.guarantee.qos(), id, true);
        let mut out = BytesMut::new();
        frame.append_to(&mut out, publish.guarantee.packet_id().map(|_| (id, true)));
        assert_eq!(out, written(&Packet::Publish(another), version));
    }
}

/// A packet of 5.0 as an older version says it: it can be written there and is read back the same, has no properties,
/// stays the same when asked for again, and is what it was in all that both versions have.
pub fn downgrade(data: &[u8]) {
    let Some((from, packet)) = packet_of(data) else {
        return;
    };
    assert_eq!(
        packet.clone().downgrade(ProtocolVersion::V5),
        Some(packet.clone())
    );
    if !from.is_v5() {
        return;
    }
    for version in [ProtocolVersion::V31, ProtocolVersion::V311] {
        let Some(older) = packet.clone().downgrade(version) else {
            assert!(has_no_way(&packet, version), "{packet:?} in {version}");
            continue;
        };
        let bytes = written(&older, version);
        let read = Packet::decode(&bytes, version, &DecodeLimits::default());
        assert_eq!(read, Ok(Some((older.clone(), bytes.len()))));
        assert_eq!(older.clone().downgrade(version), Some(older.clone()));
        check_kept(&packet, &older);
    }
}

/// What [`Packet::downgrade`] gives up on.
fn has_no_way(packet: &Packet, version: ProtocolVersion) -> bool {
    match packet {
        Packet::Connect(connect) => connect.password.is_some() && connect.user_name.is_none(),
        Packet::ConnAck(connack) => connack.reason.downgrade().is_none(),
        Packet::Publish(publish) => publish.topic.is_empty(),
        Packet::SubAck(suback) => {
            version == ProtocolVersion::V31 && suback.reasons.iter().any(|reason| reason.is_error())
        }
        Packet::Disconnect(disconnect) => {
            disconnect.reason != DisconnectReason::NormalDisconnection
        }
        Packet::Auth(_) => true,
        Packet::PubAck(_)
        | Packet::PubRec(_)
        | Packet::PubRel(_)
        | Packet::PubComp(_)
        | Packet::Subscribe(_)
        | Packet::Unsubscribe(_)
        | Packet::UnsubAck(_)
        | Packet::PingReq
        | Packet::PingResp => false,
    }
}

fn check_kept(packet: &Packet, older: &Packet) {
    match (packet, older) {
        (Packet::Connect(new), Packet::Connect(old)) => {
            assert_eq!(
                (&new.client_id, new.keep_alive),
                (&old.client_id, old.keep_alive)
            );
            assert_eq!(
                (&new.user_name, &new.password),
                (&old.user_name, &old.password)
            );
            assert!(old.clean_start || !new.clean_start);
            let will = |connect: &whinchat_codec::Connect| {
                let will = connect.will.as_ref()?;
                Some((
                    will.topic.clone(),
                    will.payload.clone(),
                    will.qos,
                    will.retain,
                ))
            };
            assert_eq!(will(new), will(old));
        }
        (Packet::Publish(new), Packet::Publish(old)) => {
            assert_eq!((new.guarantee, new.retain), (old.guarantee, old.retain));
            assert_eq!((&new.topic, &new.payload), (&old.topic, &old.payload));
        }
        (Packet::Subscribe(new), Packet::Subscribe(old)) => {
            assert_eq!(new.packet_id, old.packet_id);
            let asked = |subscribe: &whinchat_codec::Subscribe| -> Vec<_> {
                let all = subscribe.subscriptions.iter();
                all.map(|one| (one.filter.clone(), one.options.qos))
                    .collect()
            };
            assert_eq!(asked(new), asked(old));
        }
        (Packet::SubAck(new), Packet::SubAck(old)) => {
            assert_eq!(new.packet_id, old.packet_id);
            let pairs = new.reasons.iter().zip(&old.reasons);
            assert!(
                pairs
                    .map(|(new, old)| (new.is_error(), old.is_error()))
                    .all(|(new, old)| new == old)
            );
            assert_eq!(new.reasons.len(), old.reasons.len());
        }
        (Packet::Unsubscribe(new), Packet::Unsubscribe(old)) => {
            assert_eq!((new.packet_id, &new.filters), (old.packet_id, &old.filters));
        }
        _ => assert_eq!(packet.packet_type(), older.packet_type()),
    }
}

/// Text is a packet or is none; what is one, or was made, is the same after a way through JSON, and whatever version can
/// write it reads it back the same.
pub fn json(data: &[u8]) {
    let packet = match data.split_first() {
        Some((0x20.., _)) => serde_json::from_slice::<Packet>(data).ok(),
        _ => packet_of(data).map(|(_, packet)| packet),
    };
    let Some(packet) = packet else {
        return;
    };
    let text = serde_json::to_string(&packet).expect("a packet is JSON");
    let back: Packet = serde_json::from_str(&text).expect("it was a packet");
    assert_eq!(back, packet, "{text}");
    for version in ProtocolVersion::ALL {
        let version = if let Packet::Connect(connect) = &packet {
            connect.version
        } else {
            version
        };
        let mut bytes = BytesMut::new();
        if packet.encode(version, &mut bytes).is_ok() {
            let read = Packet::decode(&bytes.freeze(), version, &DecodeLimits::default());
            let read = read.map(|read| read.map(|(packet, _)| packet));
            assert_eq!(
                read,
                Ok(Some(as_written(packet.clone(), version))),
                "{text}"
            );
        }
    }
}

/// The packet that the bytes choose, in the version that the first one does.
fn packet_of(data: &[u8]) -> Option<(ProtocolVersion, Packet)> {
    let (first, rest) = data.split_first()?;
    let version = version(*first);
    let packet = Packet::arbitrary_for(version, &mut Unstructured::new(rest)).ok()?;
    Some((version, packet))
}

fn written(packet: &Packet, version: ProtocolVersion) -> Bytes {
    let mut bytes = BytesMut::new();
    packet
        .encode(version, &mut bytes)
        .expect("a packet of this version");
    bytes.freeze()
}

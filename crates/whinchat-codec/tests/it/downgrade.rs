//! From 5.0 to 3.x on request, and packets without their secrets.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use whinchat_codec::{
    Auth, AuthProperties, AuthReason, ConnAckReason, Connect, Disconnect, DisconnectReason,
    EncodeErrorKind, Packet, PacketId, ProtocolVersion, PubAck, PubAckReason, SubAck, SubAckReason,
    Utf8String, Will, WillProperties, strategy,
};

proptest! {
    #[test]
    fn a_downgraded_packet_is_one_of_its_version(
        packet in strategy::packet(ProtocolVersion::V5),
        version in strategy::version(),
    ) {
        let packet_type = packet.packet_type();
        if let Some(downgraded) = packet.downgrade(version) {
            prop_assert_eq!(downgraded.packet_type(), packet_type);
            prop_assert!(downgraded.encoded_len(version).is_ok(), "{:?}", downgraded);
        }
    }

    #[test]
    fn a_packet_of_the_version_is_downgraded_to_itself(
        (version, packet) in strategy::versioned_packet(),
    ) {
        prop_assert_eq!(packet.clone().downgrade(version), Some(packet));
    }

    #[test]
    fn without_a_downgrade_nothing_is_dropped(packet in strategy::packet(ProtocolVersion::V5)) {
        // What 3.1.1 encodes, it encodes whole: it comes back equal. CONNECT has its own version.
        let version = ProtocolVersion::V311;
        let mut out = BytesMut::new();
        let is_connect = matches!(packet, Packet::Connect(_));
        if !is_connect && packet.encode(version, &mut out).is_ok() {
            let decoded = Packet::decode(&out.freeze(), version, &Default::default());
            prop_assert_eq!(decoded.map(|decoded| decoded.map(|(packet, _)| packet)), Ok(Some(packet)));
        } else {
            prop_assert!(out.is_empty() || is_connect);
        }
    }

    #[test]
    fn a_redacted_packet_is_valid_and_of_the_same_type(
        (version, packet) in strategy::versioned_packet(),
    ) {
        let redacted = packet.redacted();
        prop_assert_eq!(redacted.packet_type(), packet.packet_type());
        if !matches!(redacted, Packet::Auth(_)) {
            prop_assert!(redacted.encoded_len(version).is_ok());
        }
    }
}

#[test]
fn a_reason_that_3_1_1_cannot_say_is_an_error_until_it_is_downgraded() {
    let ack = Packet::PubAck(PubAck {
        packet_id: PacketId::MIN,
        reason: PubAckReason::NotAuthorized,
        properties: Default::default(),
    });
    let error = ack.encoded_len(ProtocolVersion::V311).unwrap_err();
    assert_eq!(
        error.kind(),
        EncodeErrorKind::NotInVersion {
            version: ProtocolVersion::V311
        }
    );
    assert_eq!(
        error.to_string(),
        "PUBACK: reason code: MQTT 3.1.1 does not have it"
    );
    let expected = Packet::PubAck(PubAck::success(PacketId::MIN));
    assert_eq!(ack.downgrade(ProtocolVersion::V311), Some(expected));
}

#[test]
fn a_failed_subscription_is_0x80_in_3_1_1_and_unspeakable_in_3_1() {
    let suback = Packet::SubAck(SubAck {
        packet_id: PacketId::MIN,
        properties: Default::default(),
        reasons: vec![SubAckReason::GrantedQoS1, SubAckReason::NotAuthorized],
    });
    let Some(Packet::SubAck(v311)) = suback.clone().downgrade(ProtocolVersion::V311) else {
        panic!("3.1.1 has a code for it")
    };
    assert_eq!(
        v311.reasons,
        [SubAckReason::GrantedQoS1, SubAckReason::UnspecifiedError]
    );
    assert_eq!(suback.downgrade(ProtocolVersion::V31), None);
}

#[test]
fn an_end_with_a_reason_has_no_3_x_form() {
    let disconnect = Packet::Disconnect(Disconnect::new(DisconnectReason::ServerShuttingDown));
    assert_eq!(disconnect.downgrade(ProtocolVersion::V311), None);
    assert_eq!(
        ConnAckReason::ServerBusy.downgrade(),
        Some(ConnAckReason::ServerUnavailable)
    );
    assert_eq!(ConnAckReason::MalformedPacket.downgrade(), None);
}

#[test]
fn no_secret_is_left_in_a_redacted_packet_or_in_debug() {
    let mut connect = Connect::new(ProtocolVersion::V5, Utf8String::from_static("meter-7"));
    connect.user_name = Some(Utf8String::from_static("SECRET"));
    connect.password = Some(Bytes::from_static(b"SECRET"));
    connect.properties.set_authentication_method("m").unwrap();
    connect
        .properties
        .set_authentication_data(b"SECRET")
        .unwrap();
    connect.will = Some(Will {
        topic: Utf8String::from_static("status"),
        payload: Bytes::from_static(b"SECRET"),
        qos: Default::default(),
        retain: false,
        properties: WillProperties::new()
            .with_correlation_data(b"SECRET")
            .unwrap(),
    });
    let auth = Auth {
        reason: AuthReason::ContinueAuthentication,
        properties: AuthProperties::new()
            .with_authentication_method("m")
            .unwrap()
            .with_authentication_data(b"SECRET")
            .unwrap(),
    };
    for packet in [Packet::Connect(connect.into()), Packet::Auth(auth)] {
        for shown in [
            format!("{packet:?}"),
            format!("{:?}", packet.as_packet_ref()),
        ] {
            assert!(!shown.contains("SECRET"), "{shown}");
        }
        let mut out = BytesMut::new();
        packet
            .redacted()
            .encode(ProtocolVersion::V5, &mut out)
            .unwrap();
        assert!(!out.windows(6).any(|bytes| bytes == b"SECRET"));
    }
}

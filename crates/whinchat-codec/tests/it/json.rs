//! Packets to JSON and back.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use whinchat_codec::{
    Guarantee, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, Utf8String, strategy,
};

proptest! {
    #[test]
    fn a_packet_comes_back_equal((_, packet) in strategy::versioned_packet()) {
        let text = serde_json::to_string(&packet).expect("a packet is JSON");
        let back: Packet = serde_json::from_str(&text).expect("it is a packet");
        prop_assert_eq!(back, packet);
    }

    #[test]
    fn it_comes_back_equal_through_a_value_too(
        packet in strategy::packet(ProtocolVersion::V5),
    ) {
        let value = serde_json::to_value(&packet).expect("a packet is JSON");
        let back: Packet = serde_json::from_value(value).expect("it is a packet");
        prop_assert_eq!(back, packet);
    }
}

fn publish() -> Publish {
    Publish {
        guarantee: Guarantee::AtLeastOnce {
            id: PacketId::MIN,
            dup: false,
        },
        retain: true,
        topic: Utf8String::from_static("a/b"),
        properties: PublishProperties::new()
            .with_payload_format_indicator(true)
            .with_user_property("k", "v")
            .expect("short strings"),
        payload: Bytes::from_static(b"hi"),
    }
}

#[test]
fn fields_are_named_and_bytes_are_base64() {
    let value = serde_json::to_value(Packet::Publish(publish())).unwrap();
    let expected = json!({ "publish": {
        "guarantee": { "qos": "at_least_once", "id": 1, "dup": false },
        "retain": true,
        "topic": "a/b",
        "properties": { "payload_format_indicator": true, "user_properties": [["k", "v"]] },
        "payload": "aGk=",
    }});
    assert_eq!(value, expected);
}

#[test]
fn what_no_packet_can_carry_is_refused() {
    let good = serde_json::to_value(publish()).unwrap();
    for (pointer, bad) in [
        ("/topic", json!("a\u{0}b")),
        ("/payload", json!("not base64!")),
        ("/properties", json!({ "topic_alias": 0 })),
        ("/properties", json!({ "receive_maximum": 1 })),
        ("/properties", json!({ "response_topic": "a/#" })),
        (
            "/guarantee",
            json!({ "qos": "at_least_once", "id": 0, "dup": false }),
        ),
    ] {
        let mut value = good.clone();
        *value.pointer_mut(pointer).unwrap() = bad;
        let refused = serde_json::from_value::<Publish>(value);
        assert!(refused.is_err(), "{pointer}: {refused:?}");
    }
}

#[test]
fn a_property_twice_is_refused() {
    let text = r#"{"guarantee":{"qos":"at_most_once"},"retain":false,"topic":"t","payload":"",
        "properties":{"topic_alias":1,"topic_alias":2}}"#;
    let error = serde_json::from_str::<Publish>(text).unwrap_err();
    assert!(error.to_string().contains("there twice"), "{error}");
}

//! Property sections: what a change leaves alone, equality, and ranges.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use whinchat_codec::{
    ConnAckProperties, ConnectProperties, DecodeLimits, Packet, Property, PropertyValue,
    ProtocolVersion, Publish, PublishProperties, QoS, SubscribeProperties, strategy,
};

const V5: ProtocolVersion = ProtocolVersion::V5;

fn encoded(publish: &Publish) -> Bytes {
    let mut out = BytesMut::new();
    publish.encode(V5, &mut out).expect("encodes");
    out.freeze()
}

proptest! {
    #[test]
    fn a_proxy_that_adds_a_user_property_changes_no_other_byte(publish in strategy::publish(V5)) {
        let before = encoded(&publish);
        let decoded = Packet::decode(&before, V5, &DecodeLimits::default());
        let Ok(Some((Packet::Publish(mut through), _))) = decoded else {
            panic!("not a PUBLISH: {decoded:?}")
        };
        let section = publish.properties.borrowed().as_bytes();
        through.properties.add_user_property("via", "proxy").expect("short strings");
        let added = b"\x26\x00\x03via\x00\x05proxy";
        prop_assert_eq!(
            through.properties.borrowed().as_bytes(),
            &[section, added.as_slice()].concat()[..]
        );
        // Removing it gives back the very same packet.
        let mut back = through.clone();
        back.properties = publish.properties.clone();
        prop_assert_eq!(encoded(&back), &before);
        let after = encoded(&through);
        prop_assert!(after.ends_with(&publish.payload));
        let plus_len_bytes = after.len() - before.len() - added.len();
        prop_assert!(plus_len_bytes <= 2, "only the two lengths may grow");
    }

    #[test]
    fn setting_one_property_keeps_the_order_of_the_others(publish in strategy::publish(V5)) {
        let others = |properties: &PublishProperties| -> Vec<(Property, Vec<u8>)> {
            properties
                .iter()
                .filter(|(property, _)| *property != Property::MessageExpiryInterval)
                .map(|(property, value)| (property, format!("{value:?}").into_bytes()))
                .collect()
        };
        let mut changed = publish.properties.clone();
        changed.set_message_expiry_interval(7);
        prop_assert_eq!(changed.message_expiry_interval(), Some(7));
        prop_assert_eq!(others(&changed), others(&publish.properties));
        changed.remove_message_expiry_interval();
        prop_assert_eq!(changed.message_expiry_interval(), None);
        prop_assert_eq!(others(&changed), others(&publish.properties));
    }

    #[test]
    fn getters_and_the_iterator_agree(publish in strategy::publish(V5)) {
        let properties = publish.properties.borrowed();
        for (property, value) in properties.iter() {
            prop_assert!(properties.contains(property));
            match (property, value) {
                (Property::TopicAlias, PropertyValue::TwoByteInteger(alias)) => {
                    prop_assert_eq!(properties.topic_alias(), Some(alias));
                }
                (Property::ContentType, PropertyValue::Utf8String(text)) => {
                    prop_assert_eq!(properties.content_type(), Some(text));
                }
                (Property::UserProperty, PropertyValue::Utf8StringPair(name, value)) => {
                    prop_assert!(properties.user_properties().any(|pair| pair == (name, value)));
                }
                (Property::SubscriptionIdentifier, PropertyValue::VariableByteInteger(id)) => {
                    prop_assert!(properties.subscription_identifiers().any(|found| found == id));
                }
                _ => {}
            }
        }
    }
}

#[test]
fn equality_is_by_value_and_keeps_the_order_of_repeated_properties() {
    let expiry_first = PublishProperties::new()
        .with_message_expiry_interval(1)
        .with_user_property("a", "1")
        .unwrap()
        .with_user_property("a", "2")
        .unwrap();
    let expiry_last = PublishProperties::new()
        .with_user_property("a", "1")
        .unwrap()
        .with_user_property("a", "2")
        .unwrap()
        .with_message_expiry_interval(1);
    assert_eq!(expiry_first, expiry_last);
    let swapped = PublishProperties::new()
        .with_message_expiry_interval(1)
        .with_user_property("a", "2")
        .unwrap()
        .with_user_property("a", "1")
        .unwrap();
    assert_ne!(expiry_first, swapped);
}

#[test]
fn setters_refuse_what_the_range_of_a_property_forbids() {
    assert!(ConnectProperties::new().with_receive_maximum(0).is_err());
    assert!(
        ConnectProperties::new()
            .with_maximum_packet_size(0)
            .is_err()
    );
    assert!(PublishProperties::new().with_topic_alias(0).is_err());
    assert!(PublishProperties::new().with_response_topic("a/#").is_err());
    let too_high = SubscribeProperties::new().with_subscription_identifier(268_435_456);
    assert!(too_high.is_err());
    let error = ConnAckProperties::new()
        .with_maximum_qos(QoS::ExactlyOnce)
        .unwrap_err();
    assert_eq!(error.to_string(), "Maximum QoS: 2 is outside 0 to 1");
    let long = "x".repeat(65_536);
    assert!(PublishProperties::new().with_content_type(&long).is_err());
}

#[test]
fn a_value_is_replaced_where_it_stands() {
    let mut properties = PublishProperties::new()
        .with_topic_alias(1)
        .unwrap()
        .with_message_expiry_interval(9);
    properties.set_topic_alias(2).unwrap();
    assert_eq!(
        properties.borrowed().as_bytes(),
        b"\x23\x00\x02\x02\x00\x00\x00\x09"
    );
}

#[test]
fn binary_values_are_not_shown() {
    let properties = ConnectProperties::new()
        .with_authentication_method("m")
        .unwrap()
        .with_authentication_data(b"secret")
        .unwrap();
    let shown = format!("{properties:?}");
    assert!(shown.contains("<6 bytes>"), "{shown}");
}

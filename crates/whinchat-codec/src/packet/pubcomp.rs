//! PUBCOMP (MQTT 5.0 section 3.7).

super::ack::ack! {
    PubComp PubCompRef PubCompReason PubCompProperties PubCompPropertiesRef "PUBCOMP"
    "a QoS 2 delivery is complete."
}

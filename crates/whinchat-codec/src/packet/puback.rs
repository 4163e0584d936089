//! PUBACK (MQTT 5.0 section 3.4).

super::ack::ack! {
    PubAck PubAckRef PubAckReason PubAckProperties PubAckPropertiesRef "PUBACK"
    "a PUBLISH with QoS 1 has been taken over."
}

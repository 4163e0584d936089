//! PUBREL (MQTT 5.0 section 3.6).

super::ack::ack! {
    PubRel PubRelRef PubRelReason PubRelProperties PubRelPropertiesRef "PUBREL"
    "the identifier of a QoS 2 delivery may be released."
}

//! PUBREC (MQTT 5.0 section 3.5).

super::ack::ack! {
    PubRec PubRecRef PubRecReason PubRecProperties PubRecPropertiesRef "PUBREC"
    "a PUBLISH with QoS 2 has been received."
}

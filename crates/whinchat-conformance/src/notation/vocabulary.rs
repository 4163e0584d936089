//! The words for properties.

use whinchat_codec::{PacketType, Property};

/// A word, what it stands for, and in which packet; `None` is every packet that has no row of its own.
/// A row stands in front of those that it makes an exception of.
const WORDS: &[(&str, Property, Option<PacketType>)] = &[
    (
        "expiry",
        Property::MessageExpiryInterval,
        Some(PacketType::Publish),
    ),
    ("expiry", Property::SessionExpiryInterval, None),
    ("rm", Property::ReceiveMaximum, None),
    ("max", Property::MaximumPacketSize, None),
    ("tam", Property::TopicAliasMaximum, None),
    ("problem", Property::RequestProblemInformation, None),
    (
        "response",
        Property::RequestResponseInformation,
        Some(PacketType::Connect),
    ),
    ("response", Property::ResponseTopic, None),
    ("method", Property::AuthenticationMethod, None),
    ("data", Property::CorrelationData, Some(PacketType::Publish)),
    ("data", Property::AuthenticationData, None),
    ("keep", Property::ServerKeepAlive, None),
    ("qos", Property::MaximumQoS, None),
    ("retain", Property::RetainAvailable, None),
    ("wildcard", Property::WildcardSubscriptionAvailable, None),
    ("shared", Property::SharedSubscriptionAvailable, None),
    ("subids", Property::SubscriptionIdentifierAvailable, None),
    ("assigned", Property::AssignedClientIdentifier, None),
    ("response-info", Property::ResponseInformation, None),
    ("server-reference", Property::ServerReference, None),
    ("alias", Property::TopicAlias, None),
    ("sub", Property::SubscriptionIdentifier, None),
    ("content", Property::ContentType, None),
    ("format", Property::PayloadFormatIndicator, None),
    ("delay", Property::WillDelayInterval, None),
    ("reason", Property::ReasonString, None),
    ("prop", Property::UserProperty, None),
];

/// The property that a word stands for in a packet. What stands in a will is called as in PUBLISH.
pub(super) fn property(word: &str, packet: PacketType) -> Option<Property> {
    WORDS
        .iter()
        .find(|row| row.0 == word && row.2.is_none_or(|only| only == packet))
        .map(|row| row.1)
}

/// The word for a property.
pub(super) fn word(property: Property) -> &'static str {
    WORDS
        .iter()
        .find(|row| row.1 == property)
        .map_or("", |row| row.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_has_a_word_that_names_it_in_each_packet_that_has_it() {
        for one in Property::ALL {
            assert_ne!(word(*one), "", "{one}");
            for packet in PacketType::ALL {
                if one.is_allowed_in(packet) {
                    assert_eq!(
                        property(word(*one), packet),
                        Some(*one),
                        "{one} in {packet}"
                    );
                }
            }
            if one.is_allowed_in_will() {
                assert_eq!(
                    property(word(*one), PacketType::Publish),
                    Some(*one),
                    "{one}"
                );
            }
        }
    }
}

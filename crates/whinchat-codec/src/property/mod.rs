//! The 27 properties: one table, and from it one opaque type per packet.
//!
//! Owns which property exists, its type and range, which packets may carry it and whether it
//! may repeat. [`raw`] has the storage shared by all packets, [`accessors`] turns the rows into
//! methods, so that what a packet must not carry does not compile.
//! Read first: MQTT 5.0 section 2.2.2.

mod accessors;
mod raw;
mod value;

use core::fmt;

use accessors::{accessors, property_sets};
use raw::PlaceRules;
pub(crate) use raw::{Raw, RawRef};
pub use raw::{SubscriptionIdentifiers, UserProperties};
pub use value::{DataType, PropertyIter, PropertyValue};

use crate::PacketType;

property_sets! {
    Connect ConnectProperties ConnectPropertiesRef "CONNECT" "3.1.2.11";
    Will WillProperties WillPropertiesRef "the will in CONNECT" "3.1.3.2";
    ConnAck ConnAckProperties ConnAckPropertiesRef "CONNACK" "3.2.2.3";
    Publish PublishProperties PublishPropertiesRef "PUBLISH" "3.3.2.3";
    PubAck PubAckProperties PubAckPropertiesRef "PUBACK" "3.4.2.2";
    PubRec PubRecProperties PubRecPropertiesRef "PUBREC" "3.5.2.2";
    PubRel PubRelProperties PubRelPropertiesRef "PUBREL" "3.6.2.2";
    PubComp PubCompProperties PubCompPropertiesRef "PUBCOMP" "3.7.2.2";
    Subscribe SubscribeProperties SubscribePropertiesRef "SUBSCRIBE" "3.8.2.1";
    SubAck SubAckProperties SubAckPropertiesRef "SUBACK" "3.9.2.1";
    Unsubscribe UnsubscribeProperties UnsubscribePropertiesRef "UNSUBSCRIBE" "3.10.2.1";
    UnsubAck UnsubAckProperties UnsubAckPropertiesRef "UNSUBACK" "3.11.2.1";
    Disconnect DisconnectProperties DisconnectPropertiesRef "DISCONNECT" "3.14.2.2";
    Auth AuthProperties AuthPropertiesRef "AUTH" "3.15.2.2";
}

macro_rules! properties {
    ($(
        $id:literal $name:ident $text:literal $data_type:ident $min:literal..=$max:literal
        $({ $kind:ident $get:ident $set:ident $with:ident $remove:ident: $($place:ident)+ })+
        $doc:literal;
    )+) => {
        /// A property, by what identifies it on the wire (MQTT 5.0 section 2.2.2.2).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Property {
            $(#[doc = concat!(stringify!($id), " ", $text, ": ", $doc)] $name,)+
        }

        impl Property {
            /// All properties, ascending by identifier.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The property with this identifier; `None` if there is none.
            #[inline]
            pub const fn from_id(id: u8) -> Option<Self> {
                match id {
                    $($id => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The identifier on the wire.
            #[inline]
            pub const fn id(self) -> u8 {
                match self {
                    $(Self::$name => $id,)+
                }
            }

            /// The specification's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// How its value is written.
            #[inline]
            pub const fn data_type(self) -> DataType {
                match self {
                    $(Self::$name => DataType::$data_type,)+
                }
            }

            /// Smallest and largest number, or number of bytes, that its value may have.
            #[inline]
            pub const fn range(self) -> (u32, u32) {
                match self {
                    $(Self::$name => ($min, $max),)+
                }
            }
        }

        /// One bit per property that may stand in the place.
        pub(crate) const fn allowed_in(place: Place) -> u32 {
            let mut allowed = 0;
            $($($(
                if place as u8 == Place::$place as u8 {
                    allowed |= Property::$name.bit();
                }
            )+)+)+
            allowed
        }

        /// One bit per property that may stand there more than once.
        pub(crate) const fn repeatable_in(place: Place) -> u32 {
            let mut repeatable = 0;
            $($($(
                if place as u8 == Place::$place as u8 && is_repeatable!($kind) {
                    repeatable |= Property::$name.bit();
                }
            )+)+)+
            repeatable
        }

        /// The name of a property in JSON: that of its getter.
        #[cfg(feature = "serde")]
        pub(crate) fn key_in(place: Place, property: Property) -> Option<&'static str> {
            match (place, property) {
                $($($((Place::$place, Property::$name) => Some(stringify!($get)),)+)+)+
                _ => None,
            }
        }

        $($(
            accessors! { $kind $name $doc $get $set $with $remove [$($place)+] }
        )+)+
    };
}

macro_rules! is_repeatable {
    (Pairs) => {
        true
    };
    (Identifiers) => {
        true
    };
    ($other:ident) => {
        false
    };
}

// Identifier, name, type with range; then per way of use: the Rust type, the four methods, the
// packets. A repeatable property has `add_` in the place of `set_`.
properties! {
    0x01 PayloadFormatIndicator "Payload Format Indicator" Byte 0..=1
        { Bool payload_format_indicator set_payload_format_indicator with_payload_format_indicator remove_payload_format_indicator: Publish Will }
        "whether the payload is UTF-8 text; absent means unspecified bytes.";
    0x02 MessageExpiryInterval "Message Expiry Interval" FourByteInteger 0..=4_294_967_295
        { U32 message_expiry_interval set_message_expiry_interval with_message_expiry_interval remove_message_expiry_interval: Publish Will }
        "lifetime of the message in seconds; absent means that it does not expire.";
    0x03 ContentType "Content Type" Utf8String 0..=65_535
        { Text content_type set_content_type with_content_type remove_content_type: Publish Will }
        "what the payload is, in the application's words.";
    0x08 ResponseTopic "Response Topic" Utf8String 0..=65_535
        { Topic response_topic set_response_topic with_response_topic remove_response_topic: Publish Will }
        "topic name for the response to a request; no wildcards.";
    0x09 CorrelationData "Correlation Data" BinaryData 0..=65_535
        { Binary correlation_data set_correlation_data with_correlation_data remove_correlation_data: Publish Will }
        "what the requester recognises the response by.";
    0x0B SubscriptionIdentifier "Subscription Identifier" VariableByteInteger 1..=268_435_455
        { Identifiers subscription_identifiers add_subscription_identifier with_subscription_identifier remove_subscription_identifiers: Publish }
        { Identifier subscription_identifier set_subscription_identifier with_subscription_identifier remove_subscription_identifier: Subscribe }
        "1 to 268,435,455: names the subscription that a message is sent for.";
    0x11 SessionExpiryInterval "Session Expiry Interval" FourByteInteger 0..=4_294_967_295
        { U32 session_expiry_interval set_session_expiry_interval with_session_expiry_interval remove_session_expiry_interval: Connect ConnAck Disconnect }
        "seconds that the session outlives the connection; 4,294,967,295 means without end.";
    0x12 AssignedClientIdentifier "Assigned Client Identifier" Utf8String 0..=65_535
        { Text assigned_client_identifier set_assigned_client_identifier with_assigned_client_identifier remove_assigned_client_identifier: ConnAck }
        "client identifier that the server chose for a client without one.";
    0x13 ServerKeepAlive "Server Keep Alive" TwoByteInteger 0..=65_535
        { U16 server_keep_alive set_server_keep_alive with_server_keep_alive remove_server_keep_alive: ConnAck }
        "seconds that replace the Keep Alive of CONNECT.";
    0x15 AuthenticationMethod "Authentication Method" Utf8String 0..=65_535
        { Text authentication_method set_authentication_method with_authentication_method remove_authentication_method: Connect ConnAck Auth }
        "name of the extended authentication method.";
    0x16 AuthenticationData "Authentication Data" BinaryData 0..=65_535
        { Binary authentication_data set_authentication_data with_authentication_data remove_authentication_data: Connect ConnAck Auth }
        "what the authentication method exchanges.";
    0x17 RequestProblemInformation "Request Problem Information" Byte 0..=1
        { Bool request_problem_information set_request_problem_information with_request_problem_information remove_request_problem_information: Connect }
        "whether the server may send reason strings and user properties with failures; absent means yes.";
    0x18 WillDelayInterval "Will Delay Interval" FourByteInteger 0..=4_294_967_295
        { U32 will_delay_interval set_will_delay_interval with_will_delay_interval remove_will_delay_interval: Will }
        "seconds between the end of the connection and the will; absent means 0.";
    0x19 RequestResponseInformation "Request Response Information" Byte 0..=1
        { Bool request_response_information set_request_response_information with_request_response_information remove_request_response_information: Connect }
        "whether the server should send Response Information; absent means no.";
    0x1A ResponseInformation "Response Information" Utf8String 0..=65_535
        { Text response_information set_response_information with_response_information remove_response_information: ConnAck }
        "what the client may build its response topics from.";
    0x1C ServerReference "Server Reference" Utf8String 0..=65_535
        { Text server_reference set_server_reference with_server_reference remove_server_reference: ConnAck Disconnect }
        "another server to use.";
    0x1F ReasonString "Reason String" Utf8String 0..=65_535
        { Text reason_string set_reason_string with_reason_string remove_reason_string: ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth }
        "text for a person who looks for the cause.";
    0x21 ReceiveMaximum "Receive Maximum" TwoByteInteger 1..=65_535
        { U16Checked receive_maximum set_receive_maximum with_receive_maximum remove_receive_maximum: Connect ConnAck }
        "1 to 65,535: deliveries with QoS above 0 that the sender takes at a time; absent means 65,535.";
    0x22 TopicAliasMaximum "Topic Alias Maximum" TwoByteInteger 0..=65_535
        { U16 topic_alias_maximum set_topic_alias_maximum with_topic_alias_maximum remove_topic_alias_maximum: Connect ConnAck }
        "highest Topic Alias that the sender takes; absent means none.";
    0x23 TopicAlias "Topic Alias" TwoByteInteger 1..=65_535
        { U16Checked topic_alias set_topic_alias with_topic_alias remove_topic_alias: Publish }
        "1 to 65,535: stands for the topic name on this connection.";
    0x24 MaximumQoS "Maximum QoS" Byte 0..=1
        { QoS maximum_qos set_maximum_qos with_maximum_qos remove_maximum_qos: ConnAck }
        "QoS 0 or 1: the highest that the server takes; absent means QoS 2.";
    0x25 RetainAvailable "Retain Available" Byte 0..=1
        { Bool retain_available set_retain_available with_retain_available remove_retain_available: ConnAck }
        "whether the server has retained messages; absent means yes.";
    0x26 UserProperty "User Property" Utf8StringPair 0..=65_535
        { Pairs user_properties add_user_property with_user_property remove_user_properties: Connect ConnAck Publish Will PubAck PubRec PubRel PubComp Subscribe SubAck Unsubscribe UnsubAck Disconnect Auth }
        "a name and a value of the application's own; names may repeat and the order is kept.";
    0x27 MaximumPacketSize "Maximum Packet Size" FourByteInteger 1..=4_294_967_295
        { U32Checked maximum_packet_size set_maximum_packet_size with_maximum_packet_size remove_maximum_packet_size: Connect ConnAck }
        "1 to 4,294,967,295: bytes of the largest packet that the sender takes.";
    0x28 WildcardSubscriptionAvailable "Wildcard Subscription Available" Byte 0..=1
        { Bool wildcard_subscription_available set_wildcard_subscription_available with_wildcard_subscription_available remove_wildcard_subscription_available: ConnAck }
        "whether topic filters may have wildcards; absent means yes.";
    0x29 SubscriptionIdentifierAvailable "Subscription Identifier Available" Byte 0..=1
        { Bool subscription_identifier_available set_subscription_identifier_available with_subscription_identifier_available remove_subscription_identifier_available: ConnAck }
        "whether subscriptions may have identifiers; absent means yes.";
    0x2A SharedSubscriptionAvailable "Shared Subscription Available" Byte 0..=1
        { Bool shared_subscription_available set_shared_subscription_available with_shared_subscription_available remove_shared_subscription_available: ConnAck }
        "whether subscriptions may be shared; absent means yes.";
}

impl Property {
    #[inline]
    pub(crate) const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Whether a packet of this type may carry the property; the will is not meant by CONNECT.
    pub const fn is_allowed_in(self, packet: PacketType) -> bool {
        match Place::of(packet) {
            Some(place) => allowed_in(place) & self.bit() != 0,
            None => false,
        }
    }

    /// Whether the will of a CONNECT may carry the property.
    pub const fn is_allowed_in_will(self) -> bool {
        allowed_in(Place::Will) & self.bit() != 0
    }

    /// Whether a packet of this type may carry the property more than once.
    pub const fn is_repeatable_in(self, packet: PacketType) -> bool {
        match Place::of(packet) {
            Some(place) => repeatable_in(place) & self.bit() != 0,
            None => false,
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Place {
    const fn of(packet: PacketType) -> Option<Self> {
        Some(match packet {
            PacketType::Connect => Self::Connect,
            PacketType::ConnAck => Self::ConnAck,
            PacketType::Publish => Self::Publish,
            PacketType::PubAck => Self::PubAck,
            PacketType::PubRec => Self::PubRec,
            PacketType::PubRel => Self::PubRel,
            PacketType::PubComp => Self::PubComp,
            PacketType::Subscribe => Self::Subscribe,
            PacketType::SubAck => Self::SubAck,
            PacketType::Unsubscribe => Self::Unsubscribe,
            PacketType::UnsubAck => Self::UnsubAck,
            PacketType::PingReq | PacketType::PingResp => return None,
            PacketType::Disconnect => Self::Disconnect,
            PacketType::Auth => Self::Auth,
        })
    }
}

//! The property sets in the notation: shown through every getter, built through every setter.
//!
//! One table says which getters and setters a set has. A property that a set should not have,
//! or lacks, does not compile.

use whinchat_codec::{EncodeError, QoS};

use super::text::{quote, quote_bytes};

/// The value of a property as the notation has it.
#[derive(Debug)]
pub(super) enum Literal {
    Number(u32),
    Text(String),
    Bytes(Vec<u8>),
    Pair(String, String),
}

/// A set of borrowed properties.
pub(super) trait Show {
    /// ` {name=value ...}`; nothing for an empty set.
    fn show(self) -> String;
}

/// A set of owned properties.
pub(super) trait Build: Default {
    fn add(&mut self, name: &str, value: &Literal);
}

/// What a getter gives and a setter takes.
trait Value<'a> {
    fn show(self) -> String;
    fn of(literal: &'a Literal) -> Self;
}

macro_rules! number_values {
    ($($type:ty: $show:expr, $read:expr;)+) => {$(
        impl Value<'_> for $type {
            fn show(self) -> String {
                let number: u32 = $show(self);
                number.to_string()
            }

            fn of(literal: &Literal) -> Self {
                let Literal::Number(number) = literal else {
                    panic!("{literal:?} is no number");
                };
                $read(*number)
            }
        }
    )+};
}

number_values! {
    bool: u32::from, |number| number == 1;
    u16: u32::from, |number| Self::try_from(number).unwrap();
    u32: |number| number, |number| number;
    QoS: |qos| qos as u32, |number| Self::try_from(u8::try_from(number).unwrap()).unwrap();
}

impl<'a> Value<'a> for &'a str {
    fn show(self) -> String {
        quote(self)
    }

    fn of(literal: &'a Literal) -> Self {
        let Literal::Text(text) = literal else {
            panic!("{literal:?} is no string");
        };
        text
    }
}

impl<'a> Value<'a> for &'a [u8] {
    fn show(self) -> String {
        quote_bytes(self)
    }

    fn of(literal: &'a Literal) -> Self {
        match literal {
            Literal::Text(text) => text.as_bytes(),
            Literal::Bytes(bytes) => bytes,
            Literal::Number(_) | Literal::Pair(..) => panic!("{literal:?} is no binary data"),
        }
    }
}

/// What a setter gives: nothing where any value is allowed.
trait Set {
    fn expect_set(self);
}

impl Set for () {
    fn expect_set(self) {}
}

impl Set for Result<(), EncodeError> {
    fn expect_set(self) {
        self.expect("a value in range");
    }
}

macro_rules! property_sets {
    ($($owned:ident $borrowed:ident: $($kind:ident $get:ident $set:ident)*;)+) => {$(
        impl Show for whinchat_codec::$borrowed<'_> {
            fn show(self) -> String {
                let mut shown: Vec<String> = Vec::new();
                $(property_sets!(@show $kind self shown $get $set);)*
                assert_eq!(shown.is_empty(), self.is_empty(), "no getter knows what is in {self:?}");
                if shown.is_empty() {
                    return String::new();
                }
                format!(" {{{}}}", shown.join(" "))
            }
        }

        impl Build for whinchat_codec::$owned {
            fn add(&mut self, name: &str, value: &Literal) {
                $(property_sets!(@build $kind self name value $get $set);)*
                panic!("{} has no {name}", stringify!($owned));
            }
        }
    )+};
    (@show one $self:ident $shown:ident $get:ident $set:ident) => {
        $shown.extend($self.$get().map(|value| format!("{}={}", stringify!($get), Value::show(value))));
    };
    (@show ids $self:ident $shown:ident $get:ident $set:ident) => {
        $shown.extend($self.$get().map(|id| format!("subscription_identifier={id}")));
    };
    (@show pairs $self:ident $shown:ident $get:ident $set:ident) => {
        $shown.extend($self.$get().map(|(name, value)| format!("user_property={}:{}", quote(name), quote(value))));
    };
    (@build one $self:ident $name:ident $value:ident $get:ident $set:ident) => {
        if $name == stringify!($get) {
            return $self.$set(Value::of($value)).expect_set();
        }
    };
    (@build ids $self:ident $name:ident $value:ident $get:ident $set:ident) => {
        if $name == "subscription_identifier" {
            return $self.$set(Value::of($value)).expect_set();
        }
    };
    (@build pairs $self:ident $name:ident $value:ident $get:ident $set:ident) => {
        if let ("user_property", Literal::Pair(name, value)) = ($name, $value) {
            return $self.$set(name, value).expect_set();
        }
    };
}

property_sets! {
    ConnectProperties ConnectPropertiesRef:
        one session_expiry_interval set_session_expiry_interval
        one authentication_method set_authentication_method
        one authentication_data set_authentication_data
        one request_problem_information set_request_problem_information
        one request_response_information set_request_response_information
        one receive_maximum set_receive_maximum
        one topic_alias_maximum set_topic_alias_maximum
        pairs user_properties add_user_property
        one maximum_packet_size set_maximum_packet_size;
    WillProperties WillPropertiesRef:
        one payload_format_indicator set_payload_format_indicator
        one message_expiry_interval set_message_expiry_interval
        one content_type set_content_type
        one response_topic set_response_topic
        one correlation_data set_correlation_data
        one will_delay_interval set_will_delay_interval
        pairs user_properties add_user_property;
    ConnAckProperties ConnAckPropertiesRef:
        one session_expiry_interval set_session_expiry_interval
        one assigned_client_identifier set_assigned_client_identifier
        one server_keep_alive set_server_keep_alive
        one authentication_method set_authentication_method
        one authentication_data set_authentication_data
        one response_information set_response_information
        one server_reference set_server_reference
        one reason_string set_reason_string
        one receive_maximum set_receive_maximum
        one topic_alias_maximum set_topic_alias_maximum
        one maximum_qos set_maximum_qos
        one retain_available set_retain_available
        pairs user_properties add_user_property
        one maximum_packet_size set_maximum_packet_size
        one wildcard_subscription_available set_wildcard_subscription_available
        one subscription_identifier_available set_subscription_identifier_available
        one shared_subscription_available set_shared_subscription_available;
    PublishProperties PublishPropertiesRef:
        one payload_format_indicator set_payload_format_indicator
        one message_expiry_interval set_message_expiry_interval
        one content_type set_content_type
        one response_topic set_response_topic
        one correlation_data set_correlation_data
        ids subscription_identifiers add_subscription_identifier
        one topic_alias set_topic_alias
        pairs user_properties add_user_property;
    PubAckProperties PubAckPropertiesRef:
        one reason_string set_reason_string pairs user_properties add_user_property;
    PubRecProperties PubRecPropertiesRef:
        one reason_string set_reason_string pairs user_properties add_user_property;
    PubRelProperties PubRelPropertiesRef:
        one reason_string set_reason_string pairs user_properties add_user_property;
    PubCompProperties PubCompPropertiesRef:
        one reason_string set_reason_string pairs user_properties add_user_property;
    SubscribeProperties SubscribePropertiesRef:
        one subscription_identifier set_subscription_identifier pairs user_properties add_user_property;
    SubAckProperties SubAckPropertiesRef:
        one reason_string set_reason_string pairs user_properties add_user_property;
    UnsubscribeProperties UnsubscribePropertiesRef:
        pairs user_properties add_user_property;
    UnsubAckProperties UnsubAckPropertiesRef:
        one reason_string set_reason_string pairs user_properties add_user_property;
    DisconnectProperties DisconnectPropertiesRef:
        one session_expiry_interval set_session_expiry_interval
        one server_reference set_server_reference
        one reason_string set_reason_string
        pairs user_properties add_user_property;
    AuthProperties AuthPropertiesRef:
        one authentication_method set_authentication_method
        one authentication_data set_authentication_data
        one reason_string set_reason_string
        pairs user_properties add_user_property;
}

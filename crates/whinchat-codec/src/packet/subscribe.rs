//! SUBSCRIBE (MQTT 5.0 section 3.8). The syntax of topic filters belongs to `whinchat-topic`.

use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use super::list::list;
use super::{not_in_version, properties_len, put_properties};
use crate::error::{DecodeErrorKind, EncodeErrorKind};
use crate::limits::is_reached;
use crate::reader::Reader;
use crate::string::check;
use crate::writer::put_binary;
use crate::{
    DecodeError, DecodeLimits, EncodeError, PacketId, PacketType, ProtocolVersion, QoS,
    SubscribeProperties, SubscribePropertiesRef, Utf8String, slices,
};

const QOS: u8 = 0b0000_0011;
const NO_LOCAL: u8 = 0b0000_0100;
const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;
const RETAIN_HANDLING_SHIFT: u8 = 4;
const RESERVED: u8 = 0b1100_0000;

pub(super) const FILTER: &str = "topic filter";
const OPTIONS: &str = "subscription options";

/// What a shared subscription begins with; the rest is for the reader of the filter.
const SHARED: &[u8] = b"$share/";

/// SUBSCRIBE, borrowed: a client asks for the messages of some topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeRef<'a> {
    /// Identifier that the SUBACK will repeat.
    pub packet_id: PacketId,
    /// Properties; none in 3.x.
    pub properties: SubscribePropertiesRef<'a>,
    /// At least one topic filter with its options.
    pub subscriptions: Subscriptions<'a>,
}

/// SUBSCRIBE: a client asks for the messages of some topics.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Subscribe {
    /// Identifier that the SUBACK will repeat.
    pub packet_id: PacketId,
    /// Properties; none in 3.x.
    #[cfg_attr(feature = "serde", serde(default))]
    pub properties: SubscribeProperties,
    /// At least one topic filter with its options.
    pub subscriptions: Vec<Subscription>,
}

/// One topic filter of a SUBSCRIBE with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Subscription {
    /// The topic filter as sent; its syntax is not checked.
    pub filter: Utf8String,
    /// What is asked for.
    pub options: SubscriptionOptions,
}

/// One topic filter of a SUBSCRIBE with its options, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionRef<'a> {
    /// The topic filter as sent; its syntax is not checked.
    pub filter: &'a str,
    /// What is asked for.
    pub options: SubscriptionOptions,
}

/// The options of a subscription (MQTT 5.0 section 3.8.3.1). 3.x has the QoS only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct SubscriptionOptions {
    /// The highest QoS to send messages with.
    pub qos: QoS,
    /// Whether the client's own messages are left out.
    pub no_local: bool,
    /// Whether the RETAIN flag is kept as the publisher set it.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

/// When a subscription is sent the retained messages that match it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[repr(u8)]
pub enum RetainHandling {
    /// 0: at each SUBSCRIBE.
    #[default]
    SendAtSubscribe = 0,
    /// 1: only if the subscription did not exist before.
    SendIfNew = 1,
    /// 2: never.
    DoNotSend = 2,
}

impl SubscriptionOptions {
    /// The options of this QoS, all others as in 3.x.
    pub const fn new(qos: QoS) -> Self {
        Self {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }
    }

    /// The byte on the wire.
    #[inline]
    pub const fn bits(self) -> u8 {
        let no_local = if self.no_local { NO_LOCAL } else { 0 };
        let retain_as_published = if self.retain_as_published {
            RETAIN_AS_PUBLISHED
        } else {
            0
        };
        self.qos as u8
            | no_local
            | retain_as_published
            | ((self.retain_handling as u8) << RETAIN_HANDLING_SHIFT)
    }

    /// Reads the byte by the rules of the version.
    #[inline]
    fn from_wire(byte: u8, version: ProtocolVersion) -> Result<Self, DecodeErrorKind> {
        let reserved = match version {
            // The upper six bits are free. // v31 M31-45
            ProtocolVersion::V31 => 0,
            // v311 [MQTT-3.8.3-4]
            ProtocolVersion::V311 => !QOS,
            // v5 [MQTT-3.8.3-5]
            ProtocolVersion::V5 => RESERVED,
        };
        if byte & reserved != 0 {
            return Err(DecodeErrorKind::SubscriptionOptions { found: byte });
        }
        let qos = QoS::from_bits(byte & QOS).ok_or(DecodeErrorKind::SubscriptionQoS)?;
        if !version.is_v5() {
            return Ok(Self::new(qos));
        }
        let retain_handling = match byte >> RETAIN_HANDLING_SHIFT & 0b11 {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeErrorKind::RetainHandling),
        };
        Ok(Self {
            qos,
            no_local: byte & NO_LOCAL != 0,
            retain_as_published: byte & RETAIN_AS_PUBLISHED != 0,
            retain_handling,
        })
    }
}

list! {
    /// The subscriptions of a SUBSCRIBE in order: an iterator over bytes that were checked.
    Subscriptions, SubscriptionRef<'a>, Subscription, read_subscription, Subscription::borrowed
}

impl<'a> Subscriptions<'a> {
    /// Checks the payload of a SUBSCRIBE.
    fn decode(
        mut body: Reader<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        if body.is_empty() {
            // v5 [MQTT-3.8.3-2], v311 [MQTT-3.8.3-3]
            return Err(DecodeError::new(FILTER, DecodeErrorKind::NoFilters));
        }
        let payload = body;
        let mut len = 0;
        while !body.is_empty() {
            if is_reached(len, limits.filters) {
                return Err(too_many_filters(limits));
            }
            // [MQTT-3.8.3-1]
            let filter = body.skip_utf8_string(FILTER, limits)?;
            let options = read_options(&mut body, version)?;
            if options.no_local && filter.starts_with(SHARED) {
                // v5 [MQTT-3.8.3-4]
                return Err(DecodeError::new(OPTIONS, DecodeErrorKind::NoLocalOnShared));
            }
            len += 1;
        }
        Ok(Self::from_wire(payload, version, len))
    }
}

/// Over [`DecodeLimits::filters`].
#[cold]
pub(super) fn too_many_filters(limits: &DecodeLimits) -> DecodeError {
    DecodeError::new(
        FILTER,
        DecodeErrorKind::TooManyFilters {
            max: limits.filters,
        },
    )
}

#[inline]
fn read_options(
    body: &mut Reader<'_>,
    version: ProtocolVersion,
) -> Result<SubscriptionOptions, DecodeError> {
    let byte = body.byte(OPTIONS)?;
    SubscriptionOptions::from_wire(byte, version).map_err(|kind| DecodeError::new(OPTIONS, kind))
}

#[inline]
fn read_subscription<'a>(
    body: &mut Reader<'a>,
    version: ProtocolVersion,
) -> Result<SubscriptionRef<'a>, DecodeError> {
    Ok(SubscriptionRef {
        filter: body.utf8_string(FILTER, &DecodeLimits::default())?,
        options: read_options(body, version)?,
    })
}

impl<'a> SubscribeRef<'a> {
    pub(super) fn decode(
        mut body: Reader<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let packet_id = body.packet_id()?;
        let properties = if version.is_v5() {
            SubscribePropertiesRef::read(&mut body, limits)?
        } else {
            SubscribePropertiesRef::default()
        };
        Ok(Self {
            packet_id,
            properties,
            subscriptions: Subscriptions::decode(body, version, limits)?,
        })
    }

    fn remaining_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        if self.subscriptions.is_empty() {
            return Err(EncodeError::new(FILTER, EncodeErrorKind::NoFilters));
        }
        let mut len = 2 + properties_len(self.properties.raw(), version)?;
        for subscription in self.subscriptions {
            check(FILTER, subscription.filter)?;
            if !version.is_v5() && subscription.options.bits() & !QOS != 0 {
                return Err(not_in_version(OPTIONS, version));
            }
            if subscription.options.no_local && subscription.filter.as_bytes().starts_with(SHARED) {
                // v5 [MQTT-3.8.3-4]
                return Err(EncodeError::new(OPTIONS, EncodeErrorKind::NoLocalOnShared));
            }
            len += 2 + subscription.filter.len() + 1;
        }
        Ok(len)
    }

    #[inline]
    const fn first_byte(&self) -> u8 {
        PacketType::Subscribe.first_byte()
    }

    fn put(&self, version: ProtocolVersion, out: &mut BytesMut) {
        out.put_u16(self.packet_id.get());
        put_properties(self.properties.raw(), version, out);
        for subscription in self.subscriptions {
            put_binary(out, subscription.filter.as_bytes());
            out.put_u8(subscription.options.bits());
        }
    }

    /// The same packet with everything copied.
    pub fn to_owned(&self) -> Subscribe {
        self.owned(None)
    }

    pub(super) fn owned(&self, parent: Option<&Bytes>) -> Subscribe {
        Subscribe {
            packet_id: self.packet_id,
            properties: self.properties.to_owned_in(parent),
            subscriptions: self
                .subscriptions
                .map(|subscription| Subscription {
                    filter: slices::own_str(parent, subscription.filter),
                    options: subscription.options,
                })
                .collect(),
        }
    }
}

impl Subscription {
    /// The same subscription, borrowed.
    pub fn borrowed(&self) -> SubscriptionRef<'_> {
        SubscriptionRef {
            filter: &self.filter,
            options: self.options,
        }
    }
}

impl Subscribe {
    /// The same packet, borrowed.
    pub fn borrowed(&self) -> SubscribeRef<'_> {
        SubscribeRef {
            packet_id: self.packet_id,
            properties: self.properties.borrowed(),
            subscriptions: Subscriptions::from(self.subscriptions.as_slice()),
        }
    }
}

super::encoding! { SubscribeRef Subscribe Subscribe }

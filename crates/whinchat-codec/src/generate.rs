//! Random packets that are valid for a version, for fuzz targets and property tests.
//!
//! One generator behind both features: `arbitrary` lends its bytes directly, `proptest` shrinks
//! them.

use alloc::vec::Vec;

use ::arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;

use crate::packet::{
    Auth, ConnAck, Connect, Disconnect, Packet, PubAck, PubComp, PubRec, PubRel, Publish, SubAck,
    Subscribe, Subscription, SubscriptionOptions, UnsubAck, Unsubscribe, Will,
};
use crate::property::{Place, Raw, allowed_in, repeatable_in};
use crate::{
    AuthReason, ConnAckReason, DataType, DisconnectReason, Guarantee, PacketId, PacketType,
    Property, PropertyValue, ProtocolVersion, PubAckReason, PubCompReason, PubRecReason,
    PubRelReason, QoS, SubAckReason, UnsubAckReason, Utf8String,
};

/// A packet of 5.0; see [`Packet::arbitrary_for`] for the other versions.
impl<'a> Arbitrary<'a> for Packet {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Self::arbitrary_for(ProtocolVersion::V5, u)
    }
}

impl<'a> Arbitrary<'a> for Utf8String {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        text(u)
    }
}

impl Packet {
    /// A random packet that `version` can encode, and that decodes to an equal one.
    ///
    /// # Errors
    /// If `u` has too few bytes for a choice.
    pub fn arbitrary_for(version: ProtocolVersion, u: &mut Unstructured<'_>) -> Result<Self> {
        let packet_type = choose(u, &PacketType::ALL, |packet_type| {
            version.is_v5() || packet_type != PacketType::Auth
        })?;
        Self::arbitrary_of(packet_type, version, u)
    }

    /// A random packet of this type that `version` can encode; 3.x has no AUTH and gives a
    /// PINGREQ for it.
    ///
    /// # Errors
    /// If `u` has too few bytes for a choice.
    pub fn arbitrary_of(
        packet_type: PacketType,
        version: ProtocolVersion,
        u: &mut Unstructured<'_>,
    ) -> Result<Self> {
        let mut u = Versioned { version, u };
        Ok(match packet_type {
            PacketType::Connect => Self::Connect(u.connect()?.into()),
            PacketType::ConnAck => Self::ConnAck(u.connack()?),
            PacketType::Publish => Self::Publish(u.publish()?),
            PacketType::PubAck => Self::PubAck(PubAck {
                packet_id: u.u.arbitrary()?,
                reason: u.reason(PubAckReason::ALL, PubAckReason::Success)?,
                properties: u.properties()?,
            }),
            PacketType::PubRec => Self::PubRec(PubRec {
                packet_id: u.u.arbitrary()?,
                reason: u.reason(PubRecReason::ALL, PubRecReason::Success)?,
                properties: u.properties()?,
            }),
            PacketType::PubRel => Self::PubRel(PubRel {
                packet_id: u.u.arbitrary()?,
                reason: u.reason(PubRelReason::ALL, PubRelReason::Success)?,
                properties: u.properties()?,
            }),
            PacketType::PubComp => Self::PubComp(PubComp {
                packet_id: u.u.arbitrary()?,
                reason: u.reason(PubCompReason::ALL, PubCompReason::Success)?,
                properties: u.properties()?,
            }),
            PacketType::Subscribe => Self::Subscribe(u.subscribe()?),
            PacketType::SubAck => Self::SubAck(u.suback()?),
            PacketType::Unsubscribe => Self::Unsubscribe(Unsubscribe {
                packet_id: u.u.arbitrary()?,
                properties: u.properties()?,
                filters: u.some(|u| text(u.u))?,
            }),
            PacketType::UnsubAck => Self::UnsubAck(UnsubAck {
                packet_id: u.u.arbitrary()?,
                properties: u.properties()?,
                reasons: match version {
                    ProtocolVersion::V5 => u.some(|u| u.u.choose(UnsubAckReason::ALL).copied())?,
                    ProtocolVersion::V31 | ProtocolVersion::V311 => Vec::new(),
                },
            }),
            PacketType::PingReq => Self::PingReq,
            PacketType::PingResp => Self::PingResp,
            PacketType::Disconnect => Self::Disconnect(Disconnect {
                reason: u.reason(DisconnectReason::ALL, DisconnectReason::NormalDisconnection)?,
                properties: u.properties()?,
            }),
            PacketType::Auth if version.is_v5() => Self::Auth(Auth {
                reason: *u.u.choose(AuthReason::ALL)?,
                properties: u.properties()?,
            }),
            PacketType::Auth => Self::PingReq,
        })
    }
}

/// A source of random values of one version.
struct Versioned<'u, 'a> {
    version: ProtocolVersion,
    u: &'u mut Unstructured<'a>,
}

impl<'a> Versioned<'_, 'a> {
    /// Any reason in 5.0, the only one in 3.x.
    fn reason<T: Copy>(&mut self, all: &[T], only: T) -> Result<T> {
        if self.version.is_v5() {
            self.u.choose(all).copied()
        } else {
            Ok(only)
        }
    }

    fn properties<T: Arbitrary<'a> + Default>(&mut self) -> Result<T> {
        if self.version.is_v5() {
            self.u.arbitrary()
        } else {
            Ok(T::default())
        }
    }

    /// One to four values.
    fn some<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.u.int_in_range(1..=4)?;
        (0..count).map(|_| one(self)).collect()
    }

    fn connect(&mut self) -> Result<Connect> {
        let mut connect = Connect {
            version: self.version,
            clean_start: self.u.arbitrary()?,
            keep_alive: self.u.arbitrary()?,
            client_id: text(self.u)?,
            will: None,
            user_name: None,
            password: None,
            properties: self.properties()?,
        };
        if connect.properties.authentication_method().is_none() {
            connect.properties.remove_authentication_data();
        }
        if self.u.arbitrary()? {
            connect.will = Some(Will {
                topic: topic_name(self.u)?,
                payload: binary(self.u)?,
                qos: *self.u.choose(&QoS::ALL)?,
                retain: self.u.arbitrary()?,
                properties: self.properties()?,
            });
        }
        if self.u.arbitrary()? {
            connect.user_name = Some(text(self.u)?);
        }
        if (self.version.is_v5() || connect.user_name.is_some()) && self.u.arbitrary()? {
            connect.password = Some(binary(self.u)?);
        }
        Ok(connect)
    }

    fn connack(&mut self) -> Result<ConnAck> {
        let version = self.version;
        Ok(ConnAck {
            session_present: version != ProtocolVersion::V31 && self.u.arbitrary()?,
            reason: choose(self.u, ConnAckReason::ALL, |reason| {
                version.is_v5() || reason.return_code().is_some()
            })?,
            properties: self.properties()?,
        })
    }

    fn publish(&mut self) -> Result<Publish> {
        let id: PacketId = self.u.arbitrary()?;
        let guarantee = Guarantee::new(*self.u.choose(&QoS::ALL)?, id, self.u.arbitrary()?);
        let mut publish = Publish {
            guarantee,
            retain: self.u.arbitrary()?,
            topic: topic_name(self.u)?,
            properties: self.properties()?,
            payload: binary(self.u)?,
        };
        if publish.properties.topic_alias().is_some() && self.u.arbitrary()? {
            publish.topic = Utf8String::new();
        }
        Ok(publish)
    }

    fn subscribe(&mut self) -> Result<Subscribe> {
        Ok(Subscribe {
            packet_id: self.u.arbitrary()?,
            properties: self.properties()?,
            subscriptions: self.some(|u| {
                Ok(Subscription {
                    filter: text(u.u)?,
                    options: match u.version {
                        ProtocolVersion::V5 => u.u.arbitrary()?,
                        ProtocolVersion::V31 | ProtocolVersion::V311 => {
                            SubscriptionOptions::new(*u.u.choose(&QoS::ALL)?)
                        }
                    },
                })
            })?,
        })
    }

    fn suback(&mut self) -> Result<SubAck> {
        Ok(SubAck {
            packet_id: self.u.arbitrary()?,
            properties: self.properties()?,
            reasons: self.some(|u| {
                let version = u.version;
                choose(u.u, SubAckReason::ALL, |reason| reason.exists_in(version))
            })?,
        })
    }
}

/// One of those that are allowed.
fn choose<T: Copy>(u: &mut Unstructured<'_>, all: &[T], allowed: impl Fn(T) -> bool) -> Result<T> {
    let allowed: Vec<T> = all.iter().copied().filter(|one| allowed(*one)).collect();
    u.choose(&allowed).copied()
}

/// Up to four properties of the place and their repetitions, in any order.
pub(crate) fn properties(place: Place, u: &mut Unstructured<'_>) -> Result<Raw> {
    let mut raw = Raw::default();
    for _ in 0..u.int_in_range(0..=4)? {
        let property = choose(u, Property::ALL, |property| {
            allowed_in(place) & property.bit() != 0
        })?;
        if raw.borrowed().contains(property) && repeatable_in(place) & property.bit() == 0 {
            continue;
        }
        let (min, max) = property.range();
        match property.data_type() {
            DataType::Byte => {
                let bit = u8::from(u.arbitrary::<bool>()?);
                raw.add(property, PropertyValue::Byte(bit));
            }
            DataType::TwoByteInteger => {
                let number = u.arbitrary::<u16>()?.max(u16::from(min != 0));
                raw.add(property, PropertyValue::TwoByteInteger(number));
            }
            DataType::FourByteInteger => {
                let number = u.int_in_range(min..=max)?;
                raw.add(property, PropertyValue::FourByteInteger(number));
            }
            DataType::VariableByteInteger => {
                let bits = u.int_in_range(0..=27)?;
                let number = u.int_in_range(min..=max >> bits)?;
                raw.add(property, PropertyValue::VariableByteInteger(number));
            }
            DataType::Utf8String => {
                let text = topic_name(u)?;
                raw.add(property, PropertyValue::Utf8String(&text));
            }
            DataType::Utf8StringPair => {
                let (name, value) = (text(u)?, text(u)?);
                raw.add(property, PropertyValue::Utf8StringPair(&name, &value));
            }
            DataType::BinaryData => {
                let bytes = binary(u)?;
                raw.add(property, PropertyValue::BinaryData(&bytes));
            }
        }
    }
    Ok(raw)
}

/// Mostly short; one in sixteen is long enough for a length of two or three bytes.
fn len(u: &mut Unstructured<'_>) -> Result<usize> {
    match u.int_in_range(0..=31)? {
        0 => u.int_in_range(0..=20_000),
        1 => u.int_in_range(100..=300),
        short => Ok(short / 2),
    }
}

fn binary(u: &mut Unstructured<'_>) -> Result<Bytes> {
    let len = len(u)?;
    let some = u.bytes(len.min(u.len()))?;
    let mut bytes = some.to_vec();
    bytes.resize(len, b'x');
    Ok(Bytes::from(bytes))
}

fn characters(u: &mut Unstructured<'_>, allowed: impl Fn(char) -> bool) -> Result<Utf8String> {
    let len = len(u)?;
    let mut text = alloc::string::String::new();
    while text.len() < len {
        let character = match u.arbitrary::<u8>()? {
            byte @ 0x20..0x7F => char::from(byte),
            0x7F..0xA0 => u.arbitrary()?,
            // What is left of the bytes makes ordinary letters.
            byte => char::from(b'a' + byte % 26),
        };
        text.push(if allowed(character) { character } else { '/' });
    }
    Ok(Utf8String::try_from(text).unwrap_or_default())
}

fn text(u: &mut Unstructured<'_>) -> Result<Utf8String> {
    characters(u, |character| character != '\0')
}

/// A string that may stand in a PUBLISH: not empty, no wildcards.
pub(crate) fn topic_name(u: &mut Unstructured<'_>) -> Result<Utf8String> {
    let topic = characters(u, |character| !matches!(character, '\0' | '+' | '#'))?;
    Ok(if topic.is_empty() {
        Utf8String::from_static("t")
    } else {
        topic
    })
}

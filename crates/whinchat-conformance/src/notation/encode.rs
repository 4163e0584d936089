//! From words to bytes.
//!
//! Writes what is written, valid or not: a QoS of 3, a packet id of 0, a property where none belongs.

use bytes::{BufMut, Bytes, BytesMut};
use whinchat_codec::{DataType, PacketType, Property, ProtocolVersion};

use super::template::{Body, Connect};
use super::value::{Codes, Id, Value};
use super::{Ids, Names, NotationError, Template};

/// Who sends: what the words of a packet depend on.
#[derive(Clone, Copy, Debug)]
pub struct Speaker<'a> {
    /// How names stand on the wire.
    pub names: &'a Names,
    /// The version of the connection. What 3.x does not have, properties and most codes, is left out there.
    pub version: ProtocolVersion,
    /// The client id of a CONNECT that has none written.
    pub client_id: &'a str,
    /// The client id that the server gave to this client: what `$assigned` stands for.
    pub assigned: Option<&'a str>,
    /// The ids that the other side chose.
    pub ids: &'a Ids,
    /// For a CONNECT that has neither written.
    pub user_name: Option<&'a str>,
    /// For a CONNECT that has neither written.
    pub password: Option<&'a [u8]>,
}

impl Template {
    /// The packet's bytes.
    ///
    /// # Errors
    /// If a word does not say what to send: `*`, a range, or a name that stands for no packet id yet.
    pub fn encode(&self, speaker: &Speaker<'_>) -> Result<Bytes, NotationError> {
        let version = match &self.body {
            Body::Connect(connect) => connect.version.unwrap_or(speaker.version),
            _ => speaker.version,
        };
        let is_v5 = version.is_v5();
        let writer = Writer {
            speaker: &Speaker {
                version,
                ..*speaker
            },
        };
        let properties = writer.properties(&self.properties)?;
        let mut out = BytesMut::new();
        let mut flags = 0;
        match &self.body {
            Body::Connect(connect) => writer.connect(connect, &properties, &mut out)?,
            Body::ConnAck { present, code } => {
                out.put_slice(&[u8::from(*present), one_code(code)?]);
                writer.section(&properties, &mut out);
            }
            Body::Publish {
                qos,
                id,
                dup,
                retain,
                topic,
                payload,
            } => {
                flags = u8::from(*dup) << 3 | qos << 1 | u8::from(*retain);
                let topic = topic.as_ref().ok_or_else(|| unclear("*"))?;
                put_text(&writer.speaker.names.topic(topic), &mut out)?;
                if let Some(id) = id {
                    out.put_u16(writer.id(id)?);
                }
                writer.section(&properties, &mut out);
                match payload {
                    Value::Text(payload) => out.put_slice(payload),
                    _ => return Err(unclear("*")),
                }
            }
            Body::Ack { id, code } => {
                if self.packet_type == PacketType::PubRel {
                    flags = 0b0010;
                }
                out.put_u16(writer.id(id)?);
                writer.tail(
                    code.as_ref().map_or(Ok(0), one_code)?,
                    &properties,
                    &mut out,
                );
            }
            Body::Subscribe { id, filters } => {
                flags = 0b0010;
                out.put_u16(writer.id(id)?);
                writer.section(&properties, &mut out);
                for filter in filters {
                    put_text(&writer.speaker.names.topic(&filter.topic), &mut out)?;
                    out.put_u8(filter.options);
                }
            }
            Body::Reasons { id, codes } => {
                out.put_u16(writer.id(id)?);
                writer.section(&properties, &mut out);
                if is_v5 || self.packet_type == PacketType::SubAck {
                    for code in codes {
                        out.put_u8(one_code(code)?);
                    }
                }
            }
            Body::Unsubscribe { id, filters } => {
                flags = 0b0010;
                out.put_u16(writer.id(id)?);
                writer.section(&properties, &mut out);
                for filter in filters {
                    put_text(&writer.speaker.names.topic(filter), &mut out)?;
                }
            }
            Body::Ping => {}
            Body::Code(code) if self.packet_type == PacketType::Disconnect => {
                writer.tail(one_code(code)?, &properties, &mut out);
            }
            // AUTH has no form with a code alone.
            Body::Code(code) => {
                let code = one_code(code)?;
                if code != 0 || !properties.is_empty() {
                    out.put_u8(code);
                    writer.section(&properties, &mut out);
                }
            }
        }
        // CONNECT has the flags of its type, as every packet without flags of its own.
        let first_byte = (self.packet_type as u8) << 4 | flags;
        let mut packet = BytesMut::with_capacity(out.len() + 5);
        packet.put_u8(first_byte);
        put_variable_byte_integer(out.len(), &mut packet);
        packet.put_slice(&out);
        Ok(packet.freeze())
    }
}

struct Writer<'a> {
    speaker: &'a Speaker<'a>,
}

impl Writer<'_> {
    fn id(&self, id: &Id) -> Result<u16, NotationError> {
        match id {
            Id::Number(number) => Ok(*number),
            Id::Named(name) => self
                .speaker
                .ids
                .of(name)
                .ok_or_else(|| NotationError::new(&id.to_string(), "has not come yet")),
            Id::Any => Err(unclear("id*")),
        }
    }

    /// A property section without its length.
    fn properties(&self, properties: &[(Property, Value)]) -> Result<BytesMut, NotationError> {
        let mut out = BytesMut::new();
        for (property, value) in properties {
            out.put_u8(property.id());
            match (property.data_type(), value) {
                (DataType::Byte, value) => out.put_u8(number(value)? as u8),
                (DataType::TwoByteInteger, value) => out.put_u16(number(value)? as u16),
                (DataType::FourByteInteger, value) => out.put_u32(number(value)?),
                (DataType::VariableByteInteger, value) => {
                    put_variable_byte_integer(number(value)? as usize, &mut out);
                }
                (_, Value::Text(text)) => put_text(text, &mut out)?,
                (_, Value::Topic(topic)) => put_text(&self.speaker.names.topic(topic), &mut out)?,
                (_, Value::Pair(name, Some(value))) => {
                    put_text(name, &mut out)?;
                    put_text(value, &mut out)?;
                }
                (_, Value::Any | Value::Number(_) | Value::Pair(_, None)) => {
                    return Err(unclear("*"));
                }
            }
        }
        Ok(out)
    }

    /// A property section with its length, in 5.0.
    fn section(&self, properties: &[u8], out: &mut BytesMut) {
        if self.speaker.version.is_v5() {
            put_variable_byte_integer(properties.len(), out);
            out.put_slice(properties);
        }
    }

    /// Code and properties in the shortest form.
    fn tail(&self, code: u8, properties: &[u8], out: &mut BytesMut) {
        if !self.speaker.version.is_v5() {
            return;
        }
        if code != 0 || !properties.is_empty() {
            out.put_u8(code);
        }
        if !properties.is_empty() {
            self.section(properties, out);
        }
    }

    fn connect(
        &self,
        connect: &Connect,
        properties: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), NotationError> {
        let version = self.speaker.version;
        let (mut user_name, mut password) = (text(&connect.user_name)?, text(&connect.password)?);
        if user_name.is_none() && password.is_none() {
            user_name = self.speaker.user_name.map(str::as_bytes);
            password = self.speaker.password;
        }
        let name = connect.name.as_deref();
        put_text(name.unwrap_or(version.protocol_name().as_bytes()), out)?;
        out.put_u8(connect.level.unwrap_or(version.level()));
        out.put_u8(
            u8::from(user_name.is_some()) << 7
                | u8::from(password.is_some()) << 6
                | u8::from(connect.will_retain) << 5
                | connect.will_qos << 3
                | u8::from(connect.will.is_some()) << 2
                | u8::from(connect.clean) << 1,
        );
        let keep_alive = connect.keep_alive.as_ref().map_or(Ok(0), number)?;
        out.put_u16(keep_alive as u16);
        self.section(properties, out);
        let client_id = match &connect.client_id {
            None => self.speaker.client_id.as_bytes(),
            written => text(written)?.unwrap_or_default(),
        };
        if client_id == b"$assigned" {
            let assigned = self.speaker.assigned;
            let none = || NotationError::new("$assigned", "has not come yet");
            put_text(assigned.ok_or_else(none)?.as_bytes(), out)?;
        } else {
            put_text(&self.speaker.names.client_id(client_id), out)?;
        }
        if let Some(will) = &connect.will {
            self.section(&self.properties(&connect.will_properties)?, out);
            put_text(&self.speaker.names.topic(will), out)?;
            put_text(text(&connect.will_payload)?.unwrap_or_default(), out)?;
        }
        for field in [user_name, password].into_iter().flatten() {
            put_text(field, out)?;
        }
        Ok(())
    }
}

fn unclear(word: &str) -> NotationError {
    NotationError::new(word, "does not say what to send")
}

fn one_code(codes: &Codes) -> Result<u8, NotationError> {
    codes.first().ok_or_else(|| unclear("*"))
}

fn number(value: &Value) -> Result<u32, NotationError> {
    match value {
        Value::Number(range) if range.start() == range.end() => Ok(*range.start()),
        Value::Number(range) => Err(unclear(&format!("{}..{}", range.start(), range.end()))),
        Value::Any | Value::Text(_) | Value::Topic(_) | Value::Pair(..) => Err(unclear("*")),
    }
}

fn text(value: &Option<Value>) -> Result<Option<&[u8]>, NotationError> {
    match value {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(Value::Any | Value::Number(_) | Value::Topic(_) | Value::Pair(..)) => {
            Err(unclear("*"))
        }
    }
}

/// A text or binary field with its two bytes of length.
pub(super) fn put_text(text: &[u8], out: &mut BytesMut) -> Result<(), NotationError> {
    let len = u16::try_from(text.len())
        .map_err(|_| NotationError::new("text", "has more than 65,535 bytes"))?;
    out.put_u16(len);
    out.put_slice(text);
    Ok(())
}

pub(super) fn put_variable_byte_integer(mut number: usize, out: &mut BytesMut) {
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        out.put_u8(if number > 0 { byte | 0x80 } else { byte });
        if number == 0 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use whinchat_codec::{DecodeLimits, Packet};

    use super::*;
    use crate::notation::format;

    fn bytes(text: &str, version: ProtocolVersion) -> Bytes {
        let speaker = Speaker {
            names: &Names::plain(),
            version,
            client_id: "a",
            assigned: None,
            ids: &Ids::default(),
            user_name: None,
            password: None,
        };
        Template::parse(text).unwrap().encode(&speaker).unwrap()
    }

    /// What is written goes through the codec and comes out in the same words.
    #[test]
    fn packets_of_5_0_come_back_as_they_were_written() {
        for text in [
            "CONNECT c1 clean keep=10 expiry=60 rm=2 max=100 tam=5 problem=0 response=1 method=M data=D prop=n:v",
            "CONNECT c1 user=n password=p will=a/b will-payload='x' will-qos=1 will-retain will-delay=5 \
             will-expiry=9 will-content=T will-response=r will-data=D will-format=1 will-prop=a:b will-prop=a:c",
            "CONNECT c1 password=p",
            "CONNECT - clean",
            "CONNECT 'clean' clean",
            "CONNACK 00 present expiry=1 rm=2 max=3 tam=4 keep=5 qos=1 retain=0 wildcard=0 shared=0 subids=0 \
             assigned=x response-info=r server-reference=s method=m data=d reason='why not' prop=a:b",
            "CONNACK 87",
            "PUBLISH a/b 'x'",
            "PUBLISH 'dup' 'x'",
            "PUBLISH 'a=b' 'x'",
            "PUBLISH '^a' 'x'",
            "UNSUBSCRIBE id1 'id2' 'no-way' 'q1'",
            "PUBLISH q1 id7 dup retain a/b '' expiry=1 alias=2 sub=1 sub=300 content=c response=d/e data=f format=1 prop=a:b",
            "PUBLISH q2 id65535 - 'it\\'s' alias=1",
            "PUBACK id7",
            "PUBREC id7 10 reason=r",
            "PUBREL id7 92 prop=a:b",
            "PUBCOMP id7 00 reason=r",
            "SUBSCRIBE id1 sub=5 prop=a:b a/b:2,nl,rap,rh1 $share/g/#:0 c:1,rh2",
            "SUBACK id1 00 01 02 80 reason=r",
            "UNSUBSCRIBE id1 prop=a:b a b",
            "UNSUBACK id1 00 11",
            "PINGREQ",
            "PINGRESP",
            "DISCONNECT",
            "DISCONNECT 04 expiry=5 reason=r server-reference=s prop=a:b",
            "AUTH 18 method=m data=d reason=r prop=a:b",
            "AUTH",
        ] {
            let bytes = bytes(text, ProtocolVersion::V5);
            let decoded = Packet::decode(&bytes, ProtocolVersion::V5, &DecodeLimits::default());
            let (packet, len) = decoded.expect(text).expect(text);
            assert_eq!(len, bytes.len(), "{text}");
            let written = format(&packet, ProtocolVersion::V5, &Names::plain());
            assert_eq!(
                written,
                text.split_whitespace().collect::<Vec<_>>().join(" ")
            );
            let mut encoded = BytesMut::new();
            packet
                .encode(ProtocolVersion::V5, &mut encoded)
                .expect(text);
            assert_eq!(encoded, bytes, "the codec writes {text} otherwise");
        }
    }

    #[test]
    fn what_3_x_does_not_have_is_left_out() {
        let v311 = ProtocolVersion::V311;
        assert_eq!(bytes("PUBACK id7 10 reason=r", v311)[..], [0x40, 2, 0, 7]);
        assert_eq!(bytes("UNSUBACK id7 11", v311)[..], [0xb0, 2, 0, 7]);
        assert_eq!(
            bytes("SUBACK id7 01 80", v311)[..],
            [0x90, 4, 0, 7, 1, 0x80]
        );
        assert_eq!(bytes("DISCONNECT 04 expiry=7", v311)[..], [0xe0, 0]);
        assert_eq!(
            bytes("CONNECT clean expiry=7", v311)[..],
            *b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01a"
        );
        assert_eq!(
            bytes("CONNECT v31 x", v311)[..],
            *b"\x10\x0f\0\x06MQIsdp\x03\0\0\0\0\x01x"
        );
    }

    #[test]
    fn what_no_packet_can_be_is_written_nevertheless() {
        let v5 = ProtocolVersion::V5;
        assert_eq!(
            bytes("PUBLISH q3 id0 dup a 'x'", v5)[..],
            *b"\x3e\x07\0\x01a\0\0\0x"
        );
        assert_eq!(bytes("SUBSCRIBE id1", v5)[..], [0x82, 3, 0, 1, 0]);
        assert_eq!(
            bytes("SUBSCRIBE id1 a/#b:3,rh3", v5)[..],
            *b"\x82\x0a\0\x01\0\0\x04a/#b\x33"
        );
        assert_eq!(
            bytes("PUBACK id1 ff rm=0", v5)[..],
            [0x40, 7, 0, 1, 0xff, 3, 0x21, 0, 0]
        );
        assert_eq!(
            bytes("CONNECT level=9 name=X will-qos=3 will-retain", v5)[..],
            *b"\x10\x0b\0\x01X\x09\x38\0\0\0\0\x01a"
        );
    }
}

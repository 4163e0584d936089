//! CONNECT (MQTT 5.0 section 3.1).
//!
//! The only packet that says its own version, so name and level are read before the flags of
//! the fixed header are judged.

use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::{WillRef, properties_len, put_properties};
use crate::error::{DecodeErrorKind, EncodeErrorKind};
use crate::frame::Frame;
use crate::reader::{Reader, check_minimal};
use crate::string::{check, check_len};
use crate::writer::put_binary;
use crate::{
    ConnectProperties, ConnectPropertiesRef, DecodeError, DecodeLimits, EncodeError, PacketType,
    Property, ProtocolVersion, QoS, Utf8String, Will, slices,
};

const RESERVED: u8 = 0b0000_0001;
const CLEAN_START: u8 = 0b0000_0010;
const WILL: u8 = 0b0000_0100;
const WILL_QOS: u8 = 0b0001_1000;
const WILL_RETAIN: u8 = 0b0010_0000;
const PASSWORD: u8 = 0b0100_0000;
const USER_NAME: u8 = 0b1000_0000;

const FLAGS_FIELD: &str = "connect flags";

/// CONNECT, borrowed: a client asks for a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ConnectRef<'a> {
    /// The version of this connection, and the one that `encode` writes whatever it is asked for.
    pub version: ProtocolVersion,
    /// Whether an earlier session is discarded; Clean Session in 3.x.
    pub clean_start: bool,
    /// Seconds; 0 turns keep alive off.
    pub keep_alive: u16,
    /// The client identifier; may be empty.
    pub client_id: &'a str,
    /// What to publish when the connection is lost.
    pub will: Option<WillRef<'a>>,
    /// The user name.
    pub user_name: Option<&'a str>,
    /// The password; in 3.x only with a user name.
    pub password: Option<&'a [u8]>,
    /// Properties; none in 3.x.
    pub properties: ConnectPropertiesRef<'a>,
}

/// CONNECT: a client asks for a connection.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Connect {
    /// The version of this connection, and the one that `encode` writes whatever it is asked for.
    pub version: ProtocolVersion,
    /// Whether an earlier session is discarded; Clean Session in 3.x.
    pub clean_start: bool,
    /// Seconds; 0 turns keep alive off.
    pub keep_alive: u16,
    /// The client identifier; may be empty.
    pub client_id: Utf8String,
    /// What to publish when the connection is lost.
    #[cfg_attr(feature = "serde", serde(default))]
    pub will: Option<Will>,
    /// The user name.
    #[cfg_attr(feature = "serde", serde(default))]
    pub user_name: Option<Utf8String>,
    /// The password; in 3.x only with a user name.
    #[cfg_attr(
        feature = "serde",
        serde(default, with = "crate::json::optional_base64")
    )]
    pub password: Option<Bytes>,
    /// Properties; none in 3.x.
    #[cfg_attr(feature = "serde", serde(default))]
    pub properties: ConnectProperties,
}

impl<'a> ConnectRef<'a> {
    pub(super) fn decode(frame: &Frame<'a>, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let mut body = frame.body;
        let version = read_version(&mut body)?;
        PacketType::Connect
            .check_flags(frame.flags, version)
            .and_then(|()| check_minimal(frame.minimal, version))
            .and_then(|()| Self::decode_as(body, version, limits))
            .map_err(|error| error.in_version(version))
    }

    #[inline]
    fn decode_as(
        mut body: Reader<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let flags = body.byte(FLAGS_FIELD)?;
        let will = read_will_flags(flags, version)?;
        let has_user_name = flags & USER_NAME != 0;
        let has_password = flags & PASSWORD != 0;
        if has_password && !has_user_name && !version.is_v5() {
            // v311 [MQTT-3.1.2-22], v31 M31-23
            return Err(DecodeError::new(
                FLAGS_FIELD,
                DecodeErrorKind::PasswordWithoutUserName,
            ));
        }
        let keep_alive = body.two_byte_integer("keep alive")?;
        let properties = if version.is_v5() {
            read_properties(&mut body, limits)?
        } else {
            ConnectPropertiesRef::default()
        };
        // [MQTT-3.1.3-1]
        let client_id = body.utf8_string("client identifier", limits)?;
        let will = match will {
            Some((qos, retain)) => Some(WillRef::decode(&mut body, qos, retain, version, limits)?),
            None => None,
        };
        // In 3.1 a payload that ends early overrules the flags. // v31 M31-22
        let is_there = |flag: bool, body: &Reader<'_>| {
            flag && !(version == ProtocolVersion::V31 && body.is_empty())
        };
        let user_name = if is_there(has_user_name, &body) {
            Some(body.utf8_string("user name", limits)?)
        } else {
            None
        };
        let password = if is_there(has_password, &body) {
            Some(body.binary_data("password")?)
        } else {
            None
        };
        body.finish("payload")?;
        Ok(Self {
            version,
            clean_start: flags & CLEAN_START != 0,
            keep_alive,
            client_id,
            will,
            user_name,
            password,
            properties,
        })
    }

    fn flags(&self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let will = match &self.will {
            Some(will) => WILL | ((will.qos as u8) << 3) | flag(will.retain, WILL_RETAIN),
            None => 0,
        };
        flag(self.clean_start, CLEAN_START)
            | will
            | flag(self.password.is_some(), PASSWORD)
            | flag(self.user_name.is_some(), USER_NAME)
    }

    // The version asked for is not looked at: the packet says its own.
    fn remaining_len(&self, _: ProtocolVersion) -> Result<usize, EncodeError> {
        let version = self.version;
        if self.password.is_some() && self.user_name.is_none() && !version.is_v5() {
            // v311 [MQTT-3.1.2-22]
            return Err(EncodeError::new(
                "password",
                EncodeErrorKind::PasswordWithoutUserName,
            ));
        }
        if self.properties.contains(Property::AuthenticationData)
            && !self.properties.contains(Property::AuthenticationMethod)
        {
            return Err(EncodeError::new(
                Property::AuthenticationData.name(),
                EncodeErrorKind::AuthenticationDataWithoutMethod,
            ));
        }
        check("client identifier", self.client_id)?;
        // Name, level, flags and keep alive.
        let mut len = 2 + version.protocol_name().len() + 1 + 1 + 2;
        len += properties_len(self.properties.raw(), version)?;
        len += 2 + self.client_id.len();
        if let Some(will) = &self.will {
            len += will.encoded_len(version)?;
        }
        if let Some(user_name) = self.user_name {
            check("user name", user_name)?;
            len += 2 + user_name.len();
        }
        if let Some(password) = self.password {
            check_len("password", password.len())?;
            len += 2 + password.len();
        }
        Ok(len)
    }

    #[inline]
    const fn first_byte(&self) -> u8 {
        PacketType::Connect.first_byte()
    }

    fn put(&self, _: ProtocolVersion, out: &mut BytesMut) {
        let version = self.version;
        let (level, flags) = (version.level(), self.flags());
        let [high, low] = self.keep_alive.to_be_bytes();
        match version {
            ProtocolVersion::V31 => {
                put_binary(out, version.protocol_name().as_bytes());
                out.put_slice(&[level, flags, high, low]);
            }
            ProtocolVersion::V311 | ProtocolVersion::V5 => {
                out.put_slice(&[0, 4, b'M', b'Q', b'T', b'T', level, flags, high, low]);
            }
        }
        put_properties(self.properties.raw(), version, out);
        put_binary(out, self.client_id.as_bytes());
        if let Some(will) = &self.will {
            will.put(version, out);
        }
        if let Some(user_name) = self.user_name {
            put_binary(out, user_name.as_bytes());
        }
        if let Some(password) = self.password {
            put_binary(out, password);
        }
    }

    /// The same packet with everything copied.
    pub fn to_owned(&self) -> Connect {
        self.owned(None)
    }

    pub(super) fn owned(&self, parent: Option<&Bytes>) -> Connect {
        Connect {
            version: self.version,
            clean_start: self.clean_start,
            keep_alive: self.keep_alive,
            client_id: slices::own_str(parent, self.client_id),
            will: self.will.map(|will| will.owned(parent)),
            user_name: self.user_name.map(|name| slices::own_str(parent, name)),
            password: self.password.map(|password| slices::own(parent, password)),
            properties: self.properties.to_owned_in(parent),
        }
    }
}

/// Reads protocol name and level, which together choose the rules for all that follows.
#[inline]
fn read_version(body: &mut Reader<'_>) -> Result<ProtocolVersion, DecodeError> {
    const NAME: &str = "protocol name";
    let name = body.binary_data(NAME)?;
    if name != b"MQTT" && name != b"MQIsdp" {
        // [MQTT-3.1.2-1]
        let error = DecodeError::new(NAME, DecodeErrorKind::UnknownProtocolName);
        return Err(match body.byte("protocol version") {
            Ok(level) => error.in_version(version_to_answer_in(level)),
            Err(_) => error,
        });
    }
    let level = body.byte("protocol version")?;
    match (name, level) {
        (b"MQTT", 5) => Ok(ProtocolVersion::V5),
        (b"MQTT", 4) => Ok(ProtocolVersion::V311),
        (b"MQIsdp", 3) => Ok(ProtocolVersion::V31),
        // [MQTT-3.1.2-2]
        _ => Err(DecodeError::new(
            "protocol version",
            DecodeErrorKind::UnsupportedVersion { level },
        )
        .in_version(version_to_answer_in(level))),
    }
}

/// A peer of an unknown level understands the CONNACK of the level nearest to it.
const fn version_to_answer_in(level: u8) -> ProtocolVersion {
    if level < 5 {
        ProtocolVersion::V311
    } else {
        ProtocolVersion::V5
    }
}

/// QoS and retain flag of the will, if there is one.
#[inline]
fn read_will_flags(
    flags: u8,
    version: ProtocolVersion,
) -> Result<Option<(QoS, bool)>, DecodeError> {
    // In 3.1 bit 0 is free, and so are the will's bits without a will.
    // // v31 M31-16, M31-17
    let strict = version != ProtocolVersion::V31;
    if strict && flags & RESERVED != 0 {
        // [MQTT-3.1.2-3]
        return Err(DecodeError::new(
            FLAGS_FIELD,
            DecodeErrorKind::ReservedFlags { found: flags },
        ));
    }
    if flags & WILL == 0 {
        if strict && flags & (WILL_QOS | WILL_RETAIN) != 0 {
            // v5 [MQTT-3.1.2-11] [MQTT-3.1.2-13], v311 [MQTT-3.1.2-11]
            let field = if flags & WILL_QOS != 0 {
                "will QoS"
            } else {
                "will retain"
            };
            return Err(DecodeError::new(
                field,
                DecodeErrorKind::WillFlagsWithoutWill,
            ));
        }
        return Ok(None);
    }
    // v5 [MQTT-3.1.2-12], v311 [MQTT-3.1.2-14]
    let qos = QoS::from_bits((flags & WILL_QOS) >> 3)
        .ok_or(DecodeError::new("will QoS", DecodeErrorKind::QoS))?;
    Ok(Some((qos, flags & WILL_RETAIN != 0)))
}

#[inline]
fn read_properties<'a>(
    body: &mut Reader<'a>,
    limits: &DecodeLimits,
) -> Result<ConnectPropertiesRef<'a>, DecodeError> {
    let properties = ConnectPropertiesRef::read(body, limits)?;
    // v5 section 3.1.2.11.10
    if properties.contains(Property::AuthenticationData)
        && !properties.contains(Property::AuthenticationMethod)
    {
        return Err(DecodeError::new(
            Property::AuthenticationData.name(),
            DecodeErrorKind::AuthenticationDataWithoutMethod,
        ));
    }
    Ok(properties)
}

impl Connect {
    /// A CONNECT with clean start, a keep alive of 60 seconds and nothing else.
    pub fn new(version: ProtocolVersion, client_id: Utf8String) -> Self {
        Self {
            version,
            clean_start: true,
            keep_alive: 60,
            client_id,
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties::new(),
        }
    }

    /// The same packet, borrowed.
    pub fn borrowed(&self) -> ConnectRef<'_> {
        ConnectRef {
            version: self.version,
            clean_start: self.clean_start,
            keep_alive: self.keep_alive,
            client_id: &self.client_id,
            will: self.will.as_ref().map(Will::borrowed),
            user_name: self.user_name.as_deref(),
            password: self.password.as_deref(),
            properties: self.properties.borrowed(),
        }
    }
}

super::encoding! { ConnectRef Connect Connect }

/// Leaves the password and the user name out.
impl fmt::Debug for ConnectRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("client_id", &self.client_id)
            .field("will", &self.will)
            .field("user_name", &self.user_name.map(|_| Hidden))
            .field("password", &self.password.map(|_| Hidden))
            .field("properties", &self.properties)
            .finish()
    }
}

/// Leaves the password and the user name out.
impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrowed().fmt(f)
    }
}

/// Stands for a secret in `Debug`.
struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

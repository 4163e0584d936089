//! Reason String and User Property: whether a packet may carry them, and what is left out so that
//! it fits.

use bytes::BytesMut;
use whinchat_codec::{
    Auth, ConnAck, Disconnect, EncodeError, PacketRef, ProtocolVersion, PubAck, PubRec, SubAck,
    UnsubAck,
};

use super::{Connection, Role};
use crate::Violation;

impl Connection {
    /// A packet to a client that asked for no Reason Strings and User Properties, outside of
    /// CONNACK, PUBLISH and DISCONNECT. // v5 [MQTT-3.1.2-29]
    #[cold]
    pub(super) fn check_problem_information(&self, packet: PacketRef<'_>) -> Result<(), Violation> {
        macro_rules! is_plain {
            ($packet:expr) => {{
                let properties = $packet.properties;
                properties.reason_string().is_none()
                    && properties.user_properties().next().is_none()
            }};
        }
        let is_plain = match packet {
            _ if self.role == Role::Server => true,
            PacketRef::PubAck(packet) => is_plain!(packet),
            PacketRef::PubRec(packet) => is_plain!(packet),
            PacketRef::PubRel(packet) => is_plain!(packet),
            PacketRef::PubComp(packet) => is_plain!(packet),
            PacketRef::SubAck(packet) => is_plain!(packet),
            PacketRef::UnsubAck(packet) => is_plain!(packet),
            PacketRef::Auth(packet) => is_plain!(packet),
            PacketRef::Connect(_)
            | PacketRef::ConnAck(_)
            | PacketRef::Publish(_)
            | PacketRef::Subscribe(_)
            | PacketRef::Unsubscribe(_)
            | PacketRef::PingReq
            | PacketRef::PingResp
            | PacketRef::Disconnect(_) => true,
        };
        if is_plain {
            Ok(())
        } else {
            Err(Violation::ProblemInformationNotRequested(
                packet.packet_type(),
            ))
        }
    }
}

/// An owned packet that may carry diagnostics.
pub(super) trait Diagnosed {
    fn encoded_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError>;
    fn encode(&self, version: ProtocolVersion, out: &mut BytesMut) -> Result<(), EncodeError>;
    fn remove_user_properties(&mut self);
    fn remove_reason_string(&mut self);
}

macro_rules! diagnosed {
    ($($packet:ident)+) => {$(
        impl Diagnosed for $packet {
            fn encoded_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
                self.encoded_len(version)
            }

            fn encode(&self, version: ProtocolVersion, out: &mut BytesMut) -> Result<(), EncodeError> {
                self.encode(version, out)
            }

            fn remove_user_properties(&mut self) {
                self.properties.remove_user_properties();
            }

            fn remove_reason_string(&mut self) {
                self.properties.remove_reason_string();
            }
        }
    )+};
}

diagnosed! { Auth ConnAck Disconnect PubAck PubRec SubAck UnsubAck }

/// Encodes a packet within the peer's Maximum Packet Size, without its diagnostics if need be.
/// `false`: it does not fit even so, or cannot be written, and nothing was.
/// // v5 [MQTT-3.2.2-19] [MQTT-3.2.2-20] [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.14.2-3]
pub(super) fn encode_within(
    packet: &mut impl Diagnosed,
    version: ProtocolVersion,
    max: u32,
    out: &mut BytesMut,
) -> bool {
    let fits = |packet: &_| {
        Diagnosed::encoded_len(packet, version)
            .is_ok_and(|len| u32::try_from(len).is_ok_and(|len| len <= max))
    };
    if !fits(packet) {
        packet.remove_user_properties();
        if !fits(packet) {
            packet.remove_reason_string();
            if !fits(packet) {
                return false;
            }
        }
    }
    packet.encode(version, out).is_ok()
}

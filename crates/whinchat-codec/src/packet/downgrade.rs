//! From 5.0 to what 3.x can say, on request: encoding never drops anything by itself.

use super::{
    ConnAck, Connect, Disconnect, Packet, PubAck, PubComp, PubRec, PubRel, Publish, SubAck,
    Subscribe, SubscriptionOptions, UnsubAck, Unsubscribe, Will,
};
use crate::{DisconnectReason, ProtocolVersion};

impl Packet {
    /// The same packet as `version` can say it; `None` if that version has no way to.
    ///
    /// To 5.0 nothing changes. To 3.x properties and subscription options go, an acknowledgement
    /// becomes plain success, and CONNACK and SUBACK get the nearest code. `None` for AUTH, for a
    /// DISCONNECT that is no normal end, for a PUBLISH whose topic name is only an alias, for a
    /// password without user name, for a CONNACK where a 3.x server closes instead, and for a
    /// SUBACK with a failure to a 3.1 client, which would take it for a grant.
    #[must_use]
    pub fn downgrade(self, version: ProtocolVersion) -> Option<Self> {
        if version.is_v5() {
            return Some(self);
        }
        Some(match self {
            Self::Connect(connect) => Self::Connect(connect_to(*connect, version)?.into()),
            Self::ConnAck(connack) => Self::ConnAck(ConnAck {
                session_present: connack.session_present && version != ProtocolVersion::V31,
                reason: connack.reason.downgrade()?,
                properties: Default::default(),
            }),
            Self::Publish(publish) if publish.topic.is_empty() => return None,
            Self::Publish(publish) => Self::Publish(Publish {
                properties: Default::default(),
                ..publish
            }),
            Self::PubAck(ack) => Self::PubAck(PubAck::success(ack.packet_id)),
            Self::PubRec(ack) => Self::PubRec(PubRec::success(ack.packet_id)),
            Self::PubRel(ack) => Self::PubRel(PubRel::success(ack.packet_id)),
            Self::PubComp(ack) => Self::PubComp(PubComp::success(ack.packet_id)),
            Self::Subscribe(subscribe) => Self::Subscribe(subscribe_to_v3(subscribe)),
            Self::SubAck(suback) => Self::SubAck(suback_to(suback, version)?),
            Self::Unsubscribe(unsubscribe) => Self::Unsubscribe(Unsubscribe {
                properties: Default::default(),
                ..unsubscribe
            }),
            Self::UnsubAck(unsuback) => Self::UnsubAck(UnsubAck {
                packet_id: unsuback.packet_id,
                properties: Default::default(),
                reasons: Default::default(),
            }),
            Self::PingReq => Self::PingReq,
            Self::PingResp => Self::PingResp,
            Self::Disconnect(Disconnect {
                reason: reason @ DisconnectReason::NormalDisconnection,
                ..
            }) => Self::Disconnect(Disconnect::new(reason)),
            Self::Disconnect(_) | Self::Auth(_) => return None,
        })
    }
}

/// A session that ends with its connection is what Clean Session means in 3.x.
fn connect_to(connect: Connect, version: ProtocolVersion) -> Option<Connect> {
    if connect.password.is_some() && connect.user_name.is_none() {
        return None;
    }
    let is_v5 = connect.version.is_v5();
    let ends = is_v5 && connect.properties.session_expiry_interval().unwrap_or(0) == 0;
    Some(Connect {
        version,
        clean_start: connect.clean_start || ends,
        will: connect.will.map(|will| Will {
            properties: Default::default(),
            ..will
        }),
        properties: Default::default(),
        ..connect
    })
}

fn subscribe_to_v3(mut subscribe: Subscribe) -> Subscribe {
    for subscription in &mut subscribe.subscriptions {
        subscription.options = SubscriptionOptions::new(subscription.options.qos);
    }
    Subscribe {
        properties: Default::default(),
        ..subscribe
    }
}

fn suback_to(mut suback: SubAck, version: ProtocolVersion) -> Option<SubAck> {
    for reason in &mut suback.reasons {
        *reason = reason.downgrade();
        if !reason.exists_in(version) {
            return None;
        }
    }
    Some(SubAck {
        properties: Default::default(),
        ..suback
    })
}

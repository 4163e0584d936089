//! A packet without what must not leave the machine: for logs, captures and bug reports.

use bytes::Bytes;

use super::{Connect, Packet, Publish, Will};
use crate::Utf8String;

impl Packet {
    /// The same packet with user name, password and payloads emptied, and without Correlation Data
    /// and Authentication Data. Topics, client identifier and user properties stay.
    #[must_use]
    pub fn redacted(&self) -> Self {
        match self.clone() {
            Self::Connect(connect) => Self::Connect(redacted_connect(*connect).into()),
            Self::ConnAck(mut connack) => {
                connack.properties.remove_authentication_data();
                Self::ConnAck(connack)
            }
            Self::Publish(mut publish) => {
                publish.properties.remove_correlation_data();
                Self::Publish(Publish {
                    payload: Bytes::new(),
                    ..publish
                })
            }
            Self::Auth(mut auth) => {
                auth.properties.remove_authentication_data();
                Self::Auth(auth)
            }
            other @ (Self::PubAck(_)
            | Self::PubRec(_)
            | Self::PubRel(_)
            | Self::PubComp(_)
            | Self::Subscribe(_)
            | Self::SubAck(_)
            | Self::Unsubscribe(_)
            | Self::UnsubAck(_)
            | Self::PingReq
            | Self::PingResp
            | Self::Disconnect(_)) => other,
        }
    }
}

fn redacted_connect(mut connect: Connect) -> Connect {
    connect.properties.remove_authentication_data();
    Connect {
        will: connect.will.map(|mut will| {
            will.properties.remove_correlation_data();
            Will {
                payload: Bytes::new(),
                ..will
            }
        }),
        user_name: connect.user_name.map(|_| Utf8String::new()),
        password: connect.password.map(|_| Bytes::new()),
        ..connect
    }
}

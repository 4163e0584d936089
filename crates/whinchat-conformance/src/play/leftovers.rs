//! What a scene would leave behind on a broker that others use: sessions, retained messages, wills.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};
use whinchat_codec::{
    Connect, DecodeLimits, Disconnect, DisconnectReason, Guarantee, Packet, ProtocolVersion,
    Publish, PublishProperties, Utf8String,
};

use super::connection::{Connection, Incoming};
use super::{Options, Target};

/// What was sent that outlives its connection.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    /// By client id, the last version that it connected with.
    sessions: BTreeMap<Utf8String, ProtocolVersion>,
    /// Topics of retained messages, with the last version that sent one.
    retained: BTreeMap<Utf8String, ProtocolVersion>,
}

impl Leftovers {
    /// Looks through what was sent.
    pub(super) fn note(&mut self, mut bytes: Bytes, version: ProtocolVersion) {
        let limits = DecodeLimits::default();
        while let Ok(Some((packet, len))) = Packet::decode(&bytes, version, &limits) {
            match packet {
                Packet::Connect(connect) => self.note_connect(&connect),
                Packet::Publish(publish) if publish.retain => {
                    self.retained.insert(publish.topic, version);
                }
                _ => {}
            }
            bytes.advance(len);
        }
    }

    fn note_connect(&mut self, connect: &Connect) {
        let expiry = connect.properties.session_expiry_interval().unwrap_or(0);
        let outlives = match connect.version {
            ProtocolVersion::V5 => expiry > 0,
            ProtocolVersion::V31 | ProtocolVersion::V311 => !connect.clean_start,
        };
        if outlives && !connect.client_id.is_empty() {
            self.sessions
                .insert(connect.client_id.clone(), connect.version);
        }
        if let Some(will) = connect.will.as_ref().filter(|will| will.retain) {
            self.retained.insert(will.topic.clone(), connect.version);
        }
    }

    /// Ends the sessions and takes the retained messages away, as far as the broker lets us before the deadline.
    /// `client_id` is for who has no session to end.
    pub(super) async fn clear<T: Target>(
        self,
        client_id: &str,
        target: &T,
        options: &Options,
        deadline: Instant,
    ) {
        let mut topics: BTreeMap<ProtocolVersion, Vec<Utf8String>> = BTreeMap::new();
        for (topic, version) in self.retained {
            topics.entry(version).or_default().push(topic);
        }
        let mut visits = Vec::new();
        for (client_id, version) in self.sessions {
            let topics = topics.remove(&version).unwrap_or_default();
            visits.push((client_id, version, topics));
        }
        for (version, topics) in topics {
            let Ok(client_id) = Utf8String::try_from(client_id) else {
                return;
            };
            visits.push((client_id, version, topics));
        }
        for (client_id, version, topics) in visits {
            let connect = clean_connect(client_id, version, options);
            let visited = visit(target, connect, &topics, deadline).await;
            if visited.is_none() {
                return;
            }
        }
    }
}

fn clean_connect(client_id: Utf8String, version: ProtocolVersion, options: &Options) -> Connect {
    let user_name = options.user_name.as_deref();
    Connect {
        clean_start: true,
        keep_alive: 0,
        user_name: user_name.and_then(|name| Utf8String::try_from(name).ok()),
        password: options.password.clone().map(Bytes::from),
        ..Connect::new(version, client_id)
    }
}

/// Connects with a clean session, empties the topics, and leaves; `None` if the broker does not go along.
async fn visit<T: Target>(
    target: &T,
    connect: Connect,
    topics: &[Utf8String],
    deadline: Instant,
) -> Option<()> {
    let version = connect.version;
    let stream = timeout_at(deadline, target.connect()).await.ok()?.ok()?;
    let mut connection = Connection::new(stream, version);
    let mut bytes = BytesMut::new();
    connect.encode(version, &mut bytes).ok()?;
    connection.send(&bytes, false, deadline).await.ok()?;
    match connection.next(deadline).await {
        Incoming::Packet(Packet::ConnAck(connack)) if !connack.reason.is_error() => {}
        _ => return None,
    }
    bytes.clear();
    for topic in topics {
        let publish = Publish {
            guarantee: Guarantee::AtMostOnce,
            retain: true,
            topic: topic.clone(),
            properties: PublishProperties::new(),
            payload: Bytes::new(),
        };
        publish.encode(version, &mut bytes).ok()?;
    }
    Packet::PingReq.encode(version, &mut bytes).ok()?;
    connection.send(&bytes, false, deadline).await.ok()?;
    let Incoming::Packet(Packet::PingResp) = connection.next(deadline).await else {
        return None;
    };
    bytes.clear();
    let goodbye = Disconnect::new(DisconnectReason::NormalDisconnection);
    goodbye.encode(version, &mut bytes).ok()?;
    connection.send(&bytes, false, deadline).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notation::{Ids, Names, Speaker, Template};

    fn leftovers(version: ProtocolVersion, packets: &[&str]) -> String {
        let speaker = Speaker {
            names: &Names::plain(),
            version,
            client_id: "c",
            assigned: None,
            ids: &Ids::default(),
            user_name: None,
            password: None,
        };
        let mut bytes = Vec::new();
        for packet in packets {
            bytes.extend_from_slice(&Template::parse(packet).unwrap().encode(&speaker).unwrap());
        }
        let mut leftovers = Leftovers::default();
        leftovers.note(bytes.into(), version);
        let sessions = leftovers.sessions.keys().map(|id| format!("session {id}"));
        let topics = leftovers
            .retained
            .keys()
            .map(|topic| format!("retained {topic}"));
        sessions.chain(topics).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_outlives_its_connection_is_known() {
        let (v5, v311) = (ProtocolVersion::V5, ProtocolVersion::V311);
        assert_eq!(leftovers(v5, &["CONNECT"]), "");
        assert_eq!(leftovers(v5, &["CONNECT clean expiry=60"]), "session c");
        assert_eq!(leftovers(v311, &["CONNECT clean"]), "");
        assert_eq!(
            leftovers(v311, &["CONNECT a", "PUBLISH a 'x'"]),
            "session a"
        );
        let packets = [
            "CONNECT clean will=w will-retain",
            "PUBLISH retain a/b 'x'",
            "PINGREQ",
        ];
        assert_eq!(leftovers(v5, &packets), "retained a/b, retained w");
        assert_eq!(leftovers(v5, &["PUBLISH q3 id1 retain a 'x'"]), "");
    }
}

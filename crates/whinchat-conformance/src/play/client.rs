//! A client of a scene: what is known of its connection and of its session.

use std::collections::{BTreeMap, HashSet, VecDeque};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use whinchat_codec::{Packet, ProtocolVersion, QoS};

use super::connection::Connection;
use crate::notation::{Id, Ids, Names, Speaker, Template};
use crate::step::Maxima;

/// The packet ids that the other side chose, by client id: another connection may take a session over.
pub(super) type Sessions = BTreeMap<String, Ids>;

/// One client: its connection, and what outlives it.
pub(super) struct Client<S> {
    pub(super) connection: Option<Open<S>>,
    /// Its name in small letters: the client id of a CONNECT that has none written.
    pub(super) default_id: String,
    /// The client id of its last CONNECT as it is written, which its session is known by.
    pub(super) session: String,
    /// The client id that the broker gave to it.
    pub(super) assigned: Option<String>,
    /// What was sent last, in the notation.
    pub(super) sent: String,
}

/// An open connection.
pub(super) struct Open<S> {
    pub(super) connection: Connection<S>,
    /// What has come and was not asked for yet.
    pub(super) waiting: VecDeque<Packet>,
    /// Whether a CONNACK has let the client in.
    pub(super) is_connected: bool,
    pub(super) has_said_goodbye: bool,
    pub(super) maxima: Maxima,
    /// QoS 2 messages of other scenes that wait for their PUBREL.
    others: HashSet<u16>,
}

impl<S> Client<S> {
    /// A client with this name in the scene.
    pub(super) fn new(name: &str) -> Self {
        Self {
            connection: None,
            default_id: name.to_ascii_lowercase(),
            session: name.to_ascii_lowercase(),
            assigned: None,
            sent: String::new(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// What a packet of ours changes: the session that it is about, exchanges that it ends, and the goodbye.
    pub(super) fn note_sent(&mut self, packet: &Template, sessions: &mut Sessions) {
        if let Some(id) = packet.client_id(&self.default_id) {
            self.session = String::from_utf8_lossy(id).into_owned();
        }
        if packet.ends_exchange()
            && let Some(id) = packet.id()
            && let Some(ids) = sessions.get_mut(&self.session)
        {
            let id = match id {
                Id::Number(number) => Some(*number),
                Id::Named(name) => ids.of(name),
                Id::Any => None,
            };
            if let Some(id) = id {
                ids.release(id);
            }
        }
        if packet.is_disconnect()
            && let Some(open) = &mut self.connection
        {
            open.has_said_goodbye = true;
        }
    }

    /// What a packet of the other side changes: a CONNACK lets the client in.
    pub(super) fn note_received(&mut self, packet: &Packet, sessions: &mut Sessions) {
        if let (Packet::ConnAck(connack), Some(open)) = (packet, &mut self.connection)
            && !connack.reason.is_error()
        {
            open.is_connected = true;
            let properties = &connack.properties;
            open.maxima = Maxima {
                receive: properties
                    .receive_maximum()
                    .unwrap_or(Maxima::UNTOLD.receive),
                topic_alias: properties
                    .topic_alias_maximum()
                    .unwrap_or(Maxima::UNTOLD.topic_alias),
            };
            if let Some(id) = properties.assigned_client_identifier() {
                self.assigned = Some(id.to_owned());
            }
            // 3.1 does not say whether the session was there.
            let can_say = open.connection.version() != ProtocolVersion::V31;
            if can_say && !connack.session_present {
                sessions
                    .entry(self.session.clone())
                    .or_default()
                    .release_all();
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Open<S> {
    /// A connection on which nothing was said.
    pub(super) fn new(connection: Connection<S>) -> Self {
        Self {
            connection,
            waiting: VecDeque::new(),
            is_connected: false,
            has_said_goodbye: false,
            maxima: Maxima::UNTOLD,
            others: HashSet::new(),
        }
    }

    /// Whether a PINGREQ can be sent and is to be answered.
    pub(super) fn can_be_asked(&self) -> bool {
        self.is_connected && !self.has_said_goodbye && self.connection.is_between_packets()
    }

    /// Whether a packet belongs to an exchange of another scene; with what it is to be answered then.
    pub(super) fn belongs_to_another(
        &mut self,
        packet: &Packet,
        names: &Names,
    ) -> Option<Option<String>> {
        match packet {
            Packet::Publish(publish) if names.is_of_another_scene(&publish.topic) => {
                let id = publish.guarantee.packet_id();
                Some(match (publish.guarantee.qos(), id) {
                    (QoS::AtLeastOnce, Some(id)) => Some(format!("PUBACK id{id}")),
                    (QoS::ExactlyOnce, Some(id)) => {
                        self.others.insert(id.get());
                        Some(format!("PUBREC id{id}"))
                    }
                    _ => None,
                })
            }
            Packet::PubRel(pubrel) if self.others.remove(&pubrel.packet_id.get()) => {
                Some(Some(format!("PUBCOMP id{}", pubrel.packet_id)))
            }
            _ => None,
        }
    }
}

/// A packet of the player's own.
pub(crate) fn own_packet(text: &str, version: ProtocolVersion) -> Bytes {
    let speaker = Speaker {
        names: &Names::plain(),
        version,
        client_id: "",
        assigned: None,
        ids: &Ids::default(),
        user_name: None,
        password: None,
    };
    let packet = Template::parse(text).and_then(|packet| packet.encode(&speaker));
    packet.expect("a packet of the player's own")
}

//! What a client may never do, whatever the scene.
//!
//! A scene says what a client has to do when something happens. That it must not do something can be seen in any
//! scene, so that each packet of a client is shown to the watch, and each of ours that changes what is allowed.
//! Read first: MQTT 5.0 sections 3.2.2.3, 3.3.4 and 3.14.4.

use std::fmt;
use std::time::Duration;

use whinchat_codec::{
    Auth, AuthReason, ConnAck, Connect, Disconnect, Packet, PacketType, ProtocolVersion, Publish,
    QoS, Subscribe,
};

use super::exchanges::{Answer, Receiving, Sending};

/// A rule that the client broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// The statement, where the version has one.
    pub(super) id: Option<&'static str>,
    pub(super) what: String,
}

impl Broken {
    pub(super) fn new(id: Option<&'static str>, what: impl Into<String>) -> Self {
        Self {
            id,
            what: what.into(),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "{}: {id}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// The statement of the version; an empty one is none.
pub(super) fn rule(
    version: ProtocolVersion,
    v5: &'static str,
    v311: &'static str,
) -> Option<&'static str> {
    let id = match version {
        ProtocolVersion::V5 => v5,
        ProtocolVersion::V311 => v311,
        ProtocolVersion::V31 => "",
    };
    (!id.is_empty()).then_some(id)
}

/// Follows a client over its connections.
#[derive(Debug)]
pub(super) struct Watch {
    version: ProtocolVersion,
    connection: Connection,
    sending: Sending,
    receiving: Receiving,
}

/// What ends with a connection.
#[derive(Debug)]
struct Connection {
    is_clean: bool,
    method: Option<String>,
    is_accepted: bool,
    is_disconnected: bool,
    keep_alive: Duration,
    allowed: Allowed,
    aliases: Vec<u16>,
    /// Ids of SUBSCRIBE and UNSUBSCRIBE without an answer of ours.
    requests: Vec<u16>,
    /// Whether the last AUTH was ours.
    is_asked: bool,
}

/// What our CONNACK allows.
#[derive(Debug)]
struct Allowed {
    qos: QoS,
    retain: bool,
    packet_size: u64,
    topic_alias_maximum: u16,
    receive_maximum: u16,
}

impl Watch {
    /// For a client that speaks this version.
    pub(super) fn new(connect: &Connect) -> Self {
        Self {
            version: connect.version,
            connection: Connection::new(connect),
            sending: Sending::default(),
            receiving: Receiving::default(),
        }
    }

    /// A new connection has begun with this CONNECT. Whether it resumes the session is said by our CONNACK.
    pub(super) fn reconnected(&mut self, connect: &Connect) {
        self.version = connect.version;
        self.connection = Connection::new(connect);
        if connect.clean_start {
            self.sending.reconnected(false);
            self.receiving.reconnected(false);
        }
    }

    /// Longer than this the client may not be silent; `None` without keep alive.
    pub(super) fn silence_max(&self) -> Option<Duration> {
        let keep_alive = self.connection.keep_alive;
        // A server has to wait half as long again, and so do we: a client's clock may tick in seconds.
        (!keep_alive.is_zero() && self.connection.is_accepted).then(|| keep_alive * 3 / 2)
    }

    /// The client has been silent for so long.
    pub(super) fn silent(&self, time: Duration) -> Result<(), Broken> {
        match self.silence_max() {
            Some(max) if time > max => Err(Broken::new(
                rule(self.version, "MQTT-3.1.2-20", "MQTT-3.1.2-23"),
                format!(
                    "nothing for {:.1} s, the keep alive is {} s",
                    time.as_secs_f64(),
                    self.connection.keep_alive.as_secs()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// We have sent this.
    pub(super) fn sent(&mut self, packet: &Packet) {
        match packet {
            Packet::ConnAck(connack) => self.sent_connack(connack),
            Packet::Publish(publish) => {
                if let Some(id) = publish.guarantee.packet_id() {
                    let answer = match publish.guarantee.qos() {
                        QoS::AtMostOnce => return,
                        QoS::AtLeastOnce => Answer::Acknowledged,
                        QoS::ExactlyOnce => Answer::Received,
                    };
                    self.receiving.sent(id.get(), answer);
                }
            }
            Packet::PubRel(pubrel) => self
                .receiving
                .sent(pubrel.packet_id.get(), Answer::Complete),
            Packet::PubAck(puback) => self.sending.ended(puback.packet_id.get()),
            Packet::PubComp(pubcomp) => self.sending.ended(pubcomp.packet_id.get()),
            Packet::PubRec(pubrec) if pubrec.reason.is_error() => {
                self.sending.ended(pubrec.packet_id.get());
            }
            Packet::PubRec(pubrec) => self.sending.received(pubrec.packet_id.get()),
            Packet::SubAck(suback) => self.connection.answered(suback.packet_id.get()),
            Packet::UnsubAck(unsuback) => self.connection.answered(unsuback.packet_id.get()),
            Packet::Auth(_) => self.connection.is_asked = true,
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq
            | Packet::PingResp
            | Packet::Disconnect(_) => {}
        }
    }

    fn sent_connack(&mut self, connack: &ConnAck) {
        if connack.reason.is_error() {
            return;
        }
        let connection = &mut self.connection;
        connection.is_accepted = true;
        let properties = &connack.properties;
        let allowed = &mut connection.allowed;
        allowed.qos = properties.maximum_qos().unwrap_or(QoS::ExactlyOnce);
        allowed.retain = properties.retain_available().unwrap_or(true);
        allowed.packet_size = properties.maximum_packet_size().map_or(u64::MAX, u64::from);
        allowed.topic_alias_maximum = properties.topic_alias_maximum().unwrap_or(0);
        allowed.receive_maximum = properties.receive_maximum().unwrap_or(u16::MAX);
        if let Some(seconds) = properties.server_keep_alive() {
            connection.keep_alive = Duration::from_secs(seconds.into());
        }
        // Before 5.0 a client may go on with a session that the server does not have.
        let may_go_on = !self.version.is_v5() && !connection.is_clean;
        let is_resumed = connack.session_present || may_go_on;
        self.sending.reconnected(is_resumed);
        self.receiving.reconnected(is_resumed);
    }

    /// This has come, with so many bytes.
    ///
    /// # Errors
    /// The rule that the client broke with it.
    pub(super) fn received(&mut self, packet: &Packet, bytes: u64) -> Result<(), Broken> {
        let version = self.version;
        self.connection.check(packet, bytes, version)?;
        match packet {
            Packet::Publish(publish) => self.published(publish),
            Packet::PubAck(ack) => {
                let id = ack.packet_id.get();
                self.receiving.answered(id, Answer::Acknowledged, version)
            }
            Packet::PubRec(ack) => {
                let id = ack.packet_id.get();
                self.receiving.answered(id, Answer::Received, version)
            }
            Packet::PubComp(ack) => {
                let id = ack.packet_id.get();
                self.receiving.answered(id, Answer::Complete, version)
            }
            Packet::PubRel(ack) => self.sending.released(ack.packet_id.get(), version),
            Packet::Subscribe(subscribe) => {
                self.requested(subscribe.packet_id.get())?;
                check_filters(subscribe, version)
            }
            Packet::Unsubscribe(unsubscribe) => self.requested(unsubscribe.packet_id.get()),
            Packet::Disconnect(disconnect) => {
                self.connection.is_disconnected = true;
                check_disconnect(disconnect)
            }
            Packet::Auth(auth) => self.connection.check_auth(auth),
            Packet::Connect(_) | Packet::PingReq => Ok(()),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                let name = packet.packet_type();
                Err(Broken::new(None, format!("{name} is sent by servers only")))
            }
        }
    }

    fn published(&mut self, publish: &Publish) -> Result<(), Broken> {
        let guarantee = &publish.guarantee;
        let allowed = &self.connection.allowed;
        if self.version.is_v5() {
            if guarantee.qos() > allowed.qos {
                return Err(Broken::new(
                    Some("MQTT-3.2.2-11"),
                    format!(
                        "QoS {} above the Maximum QoS {}",
                        guarantee.qos() as u8,
                        allowed.qos as u8
                    ),
                ));
            }
            if publish.retain && !allowed.retain {
                return Err(Broken::new(
                    Some("MQTT-3.2.2-14"),
                    "RETAIN, which is not available",
                ));
            }
            if publish
                .properties
                .contains(whinchat_codec::Property::SubscriptionIdentifier)
            {
                return Err(Broken::new(
                    Some("MQTT-3.3.4-6"),
                    "a Subscription Identifier",
                ));
            }
            self.connection.check_alias(publish)?;
        }
        if let Some(id) = guarantee.packet_id() {
            if self.connection.requests.contains(&id.get()) {
                return Err(in_use(id.get(), self.version));
            }
            let quota = self.connection.allowed.receive_maximum;
            let is_qos2 = guarantee.qos() == QoS::ExactlyOnce;
            self.sending
                .published(id.get(), guarantee.dup(), is_qos2, quota, self.version)?;
        }
        Ok(())
    }

    fn requested(&mut self, id: u16) -> Result<(), Broken> {
        if self.connection.requests.contains(&id) || self.sending.is_in_use(id) {
            return Err(in_use(id, self.version));
        }
        self.connection.requests.push(id);
        Ok(())
    }
}

fn in_use(id: u16, version: ProtocolVersion) -> Broken {
    Broken::new(
        rule(version, "MQTT-2.2.1-3", "MQTT-2.3.1-2"),
        format!("id{id} is in use"),
    )
}

impl Connection {
    fn new(connect: &Connect) -> Self {
        Self {
            is_clean: connect.clean_start,
            method: connect
                .properties
                .authentication_method()
                .map(str::to_owned),
            is_accepted: false,
            is_disconnected: false,
            keep_alive: Duration::from_secs(connect.keep_alive.into()),
            allowed: Allowed {
                qos: QoS::ExactlyOnce,
                retain: true,
                packet_size: u64::MAX,
                topic_alias_maximum: 0,
                receive_maximum: u16::MAX,
            },
            aliases: Vec::new(),
            requests: Vec::new(),
            is_asked: false,
        }
    }

    /// What holds for all packets.
    fn check(&self, packet: &Packet, bytes: u64, version: ProtocolVersion) -> Result<(), Broken> {
        let packet = packet.packet_type();
        if self.is_disconnected {
            return Err(Broken::new(
                rule(version, "MQTT-3.14.4-1", "MQTT-3.14.4-2"),
                format!("{packet} behind DISCONNECT"),
            ));
        }
        if packet == PacketType::Connect {
            return Err(Broken::new(
                rule(version, "MQTT-3.1.0-2", "MQTT-3.1.0-2"),
                "a second CONNECT",
            ));
        }
        let is_handshake = matches!(packet, PacketType::Auth | PacketType::Disconnect);
        if self.method.is_some() && !self.is_accepted && !is_handshake {
            return Err(Broken::new(
                Some("MQTT-3.1.2-30"),
                format!("{packet} before CONNACK, with an Authentication Method"),
            ));
        }
        if bytes > self.allowed.packet_size {
            return Err(Broken::new(
                Some("MQTT-3.2.2-15"),
                format!(
                    "{packet} has {bytes} bytes, the Maximum Packet Size is {}",
                    self.allowed.packet_size
                ),
            ));
        }
        Ok(())
    }

    fn check_alias(&mut self, publish: &Publish) -> Result<(), Broken> {
        let Some(alias) = publish.properties.topic_alias() else {
            return Ok(());
        };
        let max = self.allowed.topic_alias_maximum;
        if alias == 0 || alias > max {
            return Err(Broken::new(
                Some(match (alias, max) {
                    (0, _) => "MQTT-3.3.2-8",
                    (_, 0) => "MQTT-3.2.2-18",
                    _ => "MQTT-3.3.2-9",
                }),
                format!("topic alias {alias}, the Topic Alias Maximum is {max}"),
            ));
        }
        if !publish.topic.is_empty() {
            self.aliases.push(alias);
        } else if !self.aliases.contains(&alias) {
            return Err(Broken::new(
                Some("MQTT-3.3.2-7"),
                format!("topic alias {alias} stands for no topic on this connection"),
            ));
        }
        Ok(())
    }

    fn check_auth(&mut self, auth: &Auth) -> Result<(), Broken> {
        let Some(method) = &self.method else {
            return Err(Broken::new(
                Some("MQTT-4.12.0-7"),
                "AUTH without an Authentication Method in CONNECT",
            ));
        };
        if auth.properties.authentication_method() != Some(method) {
            return Err(Broken::new(
                Some("MQTT-4.12.0-5"),
                "AUTH with another Authentication Method than CONNECT",
            ));
        }
        let is_answer = std::mem::take(&mut self.is_asked);
        let (id, expected) = if is_answer {
            ("MQTT-4.12.0-3", AuthReason::ContinueAuthentication)
        } else {
            ("MQTT-4.12.1-1", AuthReason::Reauthenticate)
        };
        if auth.reason != expected {
            return Err(Broken::new(
                Some(id),
                format!(
                    "AUTH {:02x} instead of {:02x}",
                    auth.reason.code(),
                    expected.code()
                ),
            ));
        }
        Ok(())
    }

    fn answered(&mut self, id: u16) {
        self.requests.retain(|request| *request != id);
    }
}

/// What holds for CONNECT, beyond its form.
pub(super) fn check_connect(connect: &Connect) -> Result<(), Broken> {
    let is_kept = connect.version == ProtocolVersion::V311 && !connect.clean_start;
    if is_kept && connect.client_id.is_empty() {
        return Err(Broken::new(
            Some("MQTT-3.1.3-7"),
            "an empty client id without a clean session",
        ));
    }
    Ok(())
}

/// Codes that are the server's alone. 0x9B is not among them: section 3.3.4 has clients send it.
fn check_disconnect(disconnect: &Disconnect) -> Result<(), Broken> {
    match disconnect.reason.code() {
        code @ (0x87 | 0x89 | 0x8b | 0x8d..=0x8f | 0x9a | 0x9c..=0xa2) => Err(Broken::new(
            Some("MQTT-3.14.2-1"),
            format!("DISCONNECT {code:02x}, a code of servers"),
        )),
        _ => Ok(()),
    }
}

fn check_filters(subscribe: &Subscribe, version: ProtocolVersion) -> Result<(), Broken> {
    for subscription in &subscribe.subscriptions {
        let filter: &str = &subscription.filter;
        let inner = match filter.strip_prefix("$share/") {
            Some(shared) if version.is_v5() => {
                if subscription.options.no_local {
                    return Err(Broken::new(
                        Some("MQTT-3.8.3-4"),
                        "No Local on a shared subscription",
                    ));
                }
                let (name, inner) = shared.split_once('/').unwrap_or((shared, ""));
                if name.is_empty() {
                    return Err(Broken::new(
                        Some("MQTT-4.8.2-1"),
                        "a shared subscription without a share name",
                    ));
                }
                if name.contains(['+', '#']) || inner.is_empty() {
                    return Err(Broken::new(
                        Some("MQTT-4.8.2-2"),
                        "an ill-formed shared subscription",
                    ));
                }
                inner
            }
            _ => filter,
        };
        let levels = inner.split('/').count();
        for (index, level) in inner.split('/').enumerate() {
            if level.contains('#') && (level != "#" || index + 1 < levels) {
                return Err(Broken::new(
                    rule(version, "MQTT-4.7.1-1", "MQTT-4.7.1-2"),
                    "# is not the last level alone",
                ));
            }
            if level.contains('+') && level != "+" {
                return Err(Broken::new(
                    rule(version, "MQTT-4.7.1-2", "MQTT-4.7.1-3"),
                    "+ does not stand alone in its level",
                ));
            }
        }
    }
    Ok(())
}

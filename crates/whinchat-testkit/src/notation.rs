//! Packets as one line of text, both ways: `PUBLISH q2 id7 dup a/b 'x' expiry=10`.
//!
//! Words stand in a fixed order behind the packet's name; what is not there has its default. Text
//! with spaces stands between single quotes. `-` is the empty topic.

use bytes::Bytes;
use whinchat_codec::{
    Auth, AuthReason, ConnAck, ConnAckReason, Connect, Disconnect, DisconnectReason, Guarantee,
    Packet, PacketId, ProtocolVersion, PubAck, PubAckReason, PubComp, PubCompReason, PubRec,
    PubRecReason, PubRel, PubRelReason, Publish, QoS, SubAck, SubAckReason, Subscribe,
    SubscribeProperties, Subscription, SubscriptionOptions, UnsubAck, UnsubAckReason, Unsubscribe,
    Utf8String, Will,
};

/// The words of one line; quotes are kept around what was quoted.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.push(character);
            }
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(core::mem::take(&mut word));
                }
            }
            other => word.push(other),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// What stands between the quotes.
pub(crate) fn unquote(word: &str) -> &str {
    word.trim_matches('\'')
}

fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains(' ') {
        format!("'{text}'")
    } else {
        text.to_owned()
    }
}

/// The arguments of one packet or command, taken out one by one.
pub(crate) struct Arguments<'a> {
    line: &'a str,
    words: Vec<String>,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(line: &'a str, words: &[String]) -> Self {
        Self {
            line,
            words: words.to_vec(),
        }
    }

    /// The value of `name=value`.
    pub(crate) fn value(&mut self, name: &str) -> Option<String> {
        let position = self.words.iter().position(|word| {
            word.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('='))
        })?;
        let word = self.words.remove(position);
        Some(unquote(&word[name.len() + 1..]).to_owned())
    }

    pub(crate) fn number<T: core::str::FromStr>(&mut self, name: &str) -> Option<T> {
        let text = self.value(name)?;
        match text.parse() {
            Ok(number) => Some(number),
            Err(_) => panic!("{name}={text} is no number in: {}", self.line),
        }
    }

    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let found = self.words.iter().position(|word| word == name);
        found.map(|position| self.words.remove(position)).is_some()
    }

    /// The value of `id7` or `q2`.
    pub(crate) fn prefixed(&mut self, prefix: &str) -> Option<u16> {
        let position = self.words.iter().position(|word| {
            word.strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
        })?;
        self.words.remove(position)[prefix.len()..].parse().ok()
    }

    pub(crate) fn packet_id(&mut self) -> PacketId {
        let number = self.prefixed("id").unwrap_or(0);
        PacketId::new(number).unwrap_or_else(|| panic!("no packet id in: {}", self.line))
    }

    pub(crate) fn qos(&mut self) -> QoS {
        let number = self.prefixed("q").unwrap_or(0);
        QoS::try_from(number as u8).unwrap_or_else(|_| panic!("no such QoS in: {}", self.line))
    }

    pub(crate) fn next(&mut self) -> Option<String> {
        (!self.words.is_empty()).then(|| self.words.remove(0))
    }

    /// A hexadecimal byte, if there is one more word.
    pub(crate) fn code(&mut self) -> u8 {
        self.next().map_or(0, |word| self.hex(&word))
    }

    pub(crate) fn hex(&self, word: &str) -> u8 {
        u8::from_str_radix(word, 16)
            .unwrap_or_else(|_| panic!("{word} is no hexadecimal byte in: {}", self.line))
    }

    pub(crate) fn topic(&mut self) -> Utf8String {
        let word = self.next().unwrap_or_default();
        text(if word == "-" { "" } else { &word })
    }

    pub(crate) fn payload(&mut self) -> Bytes {
        let word = self.next().unwrap_or_default();
        Bytes::copy_from_slice(unquote(&word).as_bytes())
    }

    pub(crate) fn finish(self) {
        assert!(
            self.words.is_empty(),
            "{:?} is not understood in: {}",
            self.words,
            self.line
        );
    }
}

/// A string for a packet.
pub(crate) fn text(text: &str) -> Utf8String {
    Utf8String::try_from(unquote(text)).expect("a transcript's strings are valid")
}

/// Reason String and User Properties, which many packets have.
macro_rules! diagnostics {
    ($arguments:ident, $properties:expr) => {
        if let Some(reason) = $arguments.value("reason") {
            $properties
                .set_reason_string(&reason)
                .expect("a valid string");
        }
        $crate::notation::user_properties!($arguments, $properties);
    };
}

macro_rules! user_properties {
    ($arguments:ident, $properties:expr) => {
        while let Some(user) = $arguments.value("user") {
            let (name, value) = user.split_once(':').unwrap_or((&user, ""));
            $properties
                .add_user_property(name, value)
                .expect("a valid string");
        }
    };
}

macro_rules! number_properties {
    ($arguments:ident, $properties:expr, $($word:literal $set:ident)+) => {$(
        if let Some(number) = $arguments.number($word) {
            let _ = $properties.$set(number);
        }
    )+};
}

pub(crate) use {diagnostics, number_properties, user_properties};

fn reason<R: TryFrom<u8>>(code: u8, line: &str) -> R {
    R::try_from(code).unwrap_or_else(|_| panic!("no such reason code in: {line}"))
}

/// Reads a packet. Panics with the line if it is not understood.
pub(crate) fn parse(line: &str, version: ProtocolVersion) -> Packet {
    let words = words(line);
    let (name, rest) = words.split_first().expect("a packet has a name");
    let mut arguments = Arguments::new(line, rest);
    let a = &mut arguments;
    let packet = match name.as_str() {
        "CONNECT" => Packet::Connect(Box::new(parse_connect(a, version))),
        "CONNACK" => {
            let mut connack = ConnAck {
                session_present: a.flag("present"),
                reason: ConnAckReason::Success,
                properties: Default::default(),
            };
            connack_properties(a, &mut connack.properties);
            connack.reason = reason(a.code(), line);
            Packet::ConnAck(connack)
        }
        "PUBLISH" => Packet::Publish(parse_publish(a)),
        "PUBACK" => {
            let mut ack = PubAck::success(a.packet_id());
            diagnostics!(a, ack.properties);
            ack.reason = reason::<PubAckReason>(a.code(), line);
            Packet::PubAck(ack)
        }
        "PUBREC" => {
            let mut ack = PubRec::success(a.packet_id());
            diagnostics!(a, ack.properties);
            ack.reason = reason::<PubRecReason>(a.code(), line);
            Packet::PubRec(ack)
        }
        "PUBREL" => {
            let mut ack = PubRel::success(a.packet_id());
            diagnostics!(a, ack.properties);
            ack.reason = reason::<PubRelReason>(a.code(), line);
            Packet::PubRel(ack)
        }
        "PUBCOMP" => {
            let mut ack = PubComp::success(a.packet_id());
            diagnostics!(a, ack.properties);
            ack.reason = reason::<PubCompReason>(a.code(), line);
            Packet::PubComp(ack)
        }
        "SUBSCRIBE" => {
            let packet_id = a.packet_id();
            Packet::Subscribe(parse_subscribe(a, packet_id))
        }
        "SUBACK" => {
            let packet_id = a.packet_id();
            let mut properties = whinchat_codec::SubAckProperties::new();
            diagnostics!(a, properties);
            let mut reasons: Vec<SubAckReason> = Vec::new();
            while let Some(word) = a.next() {
                reasons.push(reason(a.hex(&word), line));
            }
            Packet::SubAck(SubAck {
                packet_id,
                properties,
                reasons,
            })
        }
        "UNSUBSCRIBE" => {
            let packet_id = a.packet_id();
            let mut filters = Vec::new();
            while let Some(word) = a.next() {
                filters.push(text(&word));
            }
            Packet::Unsubscribe(Unsubscribe {
                packet_id,
                properties: Default::default(),
                filters,
            })
        }
        "UNSUBACK" => {
            let packet_id = a.packet_id();
            let mut properties = whinchat_codec::UnsubAckProperties::new();
            diagnostics!(a, properties);
            let mut reasons: Vec<UnsubAckReason> = Vec::new();
            while let Some(word) = a.next() {
                reasons.push(reason(a.hex(&word), line));
            }
            Packet::UnsubAck(UnsubAck {
                packet_id,
                properties,
                reasons,
            })
        }
        "PINGREQ" => Packet::PingReq,
        "PINGRESP" => Packet::PingResp,
        "DISCONNECT" => {
            let mut disconnect = Disconnect::new(DisconnectReason::NormalDisconnection);
            number_properties!(a, disconnect.properties, "expiry" set_session_expiry_interval);
            diagnostics!(a, disconnect.properties);
            disconnect.reason = reason(a.code(), line);
            Packet::Disconnect(disconnect)
        }
        "AUTH" => Packet::Auth(parse_auth(a, line)),
        other => panic!("no packet is called {other}: {line}"),
    };
    arguments.finish();
    packet
}

fn parse_connect(a: &mut Arguments<'_>, version: ProtocolVersion) -> Connect {
    let mut connect = Connect::new(version, Utf8String::new());
    connect.clean_start = a.flag("clean");
    connect.keep_alive = a.number("keep").unwrap_or(0);
    let properties = &mut connect.properties;
    number_properties!(a, properties,
        "expiry" set_session_expiry_interval
        "rm" set_receive_maximum
        "max" set_maximum_packet_size
        "tam" set_topic_alias_maximum
    );
    if let Some(problem) = a.number::<u8>("problem") {
        properties.set_request_problem_information(problem != 0);
    }
    if let Some(method) = a.value("method") {
        properties
            .set_authentication_method(&method)
            .expect("a valid string");
    }
    if let Some(data) = a.value("data") {
        properties
            .set_authentication_data(data.as_bytes())
            .expect("short data");
    }
    if let Some(topic) = a.value("will") {
        connect.will = Some(Will {
            topic: text(&topic),
            payload: Bytes::from_static(b"gone"),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: Default::default(),
        });
    }
    connect.client_id = a.next().map_or_else(Utf8String::new, |word| text(&word));
    connect
}

/// Reads the properties of CONNACK.
pub(crate) fn connack_properties(
    a: &mut Arguments<'_>,
    properties: &mut whinchat_codec::ConnAckProperties,
) {
    number_properties!(a, properties,
        "expiry" set_session_expiry_interval
        "rm" set_receive_maximum
        "max" set_maximum_packet_size
        "tam" set_topic_alias_maximum
        "keep" set_server_keep_alive
    );
    if let Some(qos) = a.number::<u8>("qos") {
        let qos = QoS::try_from(qos).expect("a QoS");
        properties.set_maximum_qos(qos).expect("QoS 0 or 1");
    }
    if let Some(retain) = a.number::<u8>("retain") {
        properties.set_retain_available(retain != 0);
    }
    if let Some(wildcard) = a.number::<u8>("wildcard") {
        properties.set_wildcard_subscription_available(wildcard != 0);
    }
    if let Some(shared) = a.number::<u8>("shared") {
        properties.set_shared_subscription_available(shared != 0);
    }
    if let Some(ids) = a.number::<u8>("subids") {
        properties.set_subscription_identifier_available(ids != 0);
    }
    if let Some(assigned) = a.value("assigned") {
        properties
            .set_assigned_client_identifier(&assigned)
            .expect("a valid string");
    }
    if let Some(method) = a.value("method") {
        properties
            .set_authentication_method(&method)
            .expect("a valid string");
    }
    diagnostics!(a, properties);
}

fn parse_publish(a: &mut Arguments<'_>) -> Publish {
    let qos = a.qos();
    let guarantee = if qos == QoS::AtMostOnce {
        Guarantee::AtMostOnce
    } else {
        Guarantee::new(qos, a.packet_id(), a.flag("dup"))
    };
    let mut publish = Publish {
        guarantee,
        retain: a.flag("retain"),
        topic: Utf8String::new(),
        properties: Default::default(),
        payload: Bytes::new(),
    };
    number_properties!(a, publish.properties,
        "expiry" set_message_expiry_interval
        "alias" set_topic_alias
    );
    while let Some(id) = a.number("sub") {
        publish
            .properties
            .add_subscription_identifier(id)
            .expect("an identifier");
    }
    user_properties!(a, publish.properties);
    publish.topic = a.topic();
    publish.payload = a.payload();
    publish
}

/// Reads what stands behind the packet id of a SUBSCRIBE.
pub(crate) fn parse_subscribe(a: &mut Arguments<'_>, packet_id: PacketId) -> Subscribe {
    let mut properties = SubscribeProperties::new();
    number_properties!(a, properties, "sub" set_subscription_identifier);
    let mut subscriptions = Vec::new();
    while let Some(word) = a.next() {
        let (filter, qos) = word.rsplit_once(":q").unwrap_or((&word, "0"));
        let qos = qos.parse().ok().and_then(|qos: u8| QoS::try_from(qos).ok());
        subscriptions.push(Subscription {
            filter: text(filter),
            options: SubscriptionOptions::new(qos.expect("a QoS")),
        });
    }
    Subscribe {
        packet_id,
        properties,
        subscriptions,
    }
}

/// Reads what stands behind the word AUTH.
pub(crate) fn parse_auth(a: &mut Arguments<'_>, line: &str) -> Auth {
    let mut properties = whinchat_codec::AuthProperties::new();
    if let Some(method) = a.value("method") {
        properties
            .set_authentication_method(&method)
            .expect("a valid string");
    }
    if let Some(data) = a.value("data") {
        properties
            .set_authentication_data(data.as_bytes())
            .expect("short data");
    }
    diagnostics!(a, properties);
    Auth {
        reason: reason::<AuthReason>(a.code(), line),
        properties,
    }
}

/// Writes a packet in the same words.
pub(crate) fn format(packet: &Packet) -> String {
    let mut out: Vec<String> = vec![packet.packet_type().name().to_owned()];
    let code = |out: &mut Vec<String>, code: u8| {
        if code != 0 {
            out.push(format!("{code:02x}"));
        }
    };
    macro_rules! option {
        ($word:literal, $value:expr) => {
            if let Some(value) = $value {
                out.push(format!("{}={}", $word, value));
            }
        };
    }
    macro_rules! diagnostics_of {
        ($properties:expr) => {
            if let Some(reason) = $properties.reason_string() {
                out.push(format!("reason={}", quoted(reason)));
            }
            for (name, value) in $properties.user_properties() {
                out.push(format!("user={}", quoted(&format!("{name}:{value}"))));
            }
        };
    }
    match packet {
        Packet::Connect(connect) => {
            out.push(connect.client_id.to_string());
            if connect.clean_start {
                out.push("clean".into());
            }
            if connect.keep_alive > 0 {
                out.push(format!("keep={}", connect.keep_alive));
            }
            option!("expiry", connect.properties.session_expiry_interval());
            option!("rm", connect.properties.receive_maximum());
            option!("max", connect.properties.maximum_packet_size());
            option!("tam", connect.properties.topic_alias_maximum());
            option!("method", connect.properties.authentication_method());
        }
        Packet::ConnAck(connack) => {
            out.push(format!("{:02x}", connack.reason.code()));
            if connack.session_present {
                out.push("present".into());
            }
            let properties = &connack.properties;
            option!("expiry", properties.session_expiry_interval());
            option!("rm", properties.receive_maximum());
            option!("max", properties.maximum_packet_size());
            option!("tam", properties.topic_alias_maximum());
            option!("keep", properties.server_keep_alive());
            option!("qos", properties.maximum_qos().map(|qos| qos as u8));
            option!("retain", properties.retain_available().map(u8::from));
            option!("assigned", properties.assigned_client_identifier());
            option!("method", properties.authentication_method());
            diagnostics_of!(properties);
        }
        Packet::Publish(publish) => {
            if let Some(id) = publish.guarantee.packet_id() {
                out.push(format!("q{}", publish.guarantee.qos() as u8));
                out.push(format!("id{id}"));
            }
            if publish.guarantee.dup() {
                out.push("dup".into());
            }
            if publish.retain {
                out.push("retain".into());
            }
            out.push(if publish.topic.is_empty() {
                "-".into()
            } else {
                publish.topic.to_string()
            });
            out.push(format!("'{}'", String::from_utf8_lossy(&publish.payload)));
            option!("expiry", publish.properties.message_expiry_interval());
            option!("alias", publish.properties.topic_alias());
            for id in publish.properties.subscription_identifiers() {
                out.push(format!("sub={id}"));
            }
        }
        Packet::PubAck(ack) => {
            out.push(format!("id{}", ack.packet_id));
            code(&mut out, ack.reason.code());
            diagnostics_of!(ack.properties);
        }
        Packet::PubRec(ack) => {
            out.push(format!("id{}", ack.packet_id));
            code(&mut out, ack.reason.code());
            diagnostics_of!(ack.properties);
        }
        Packet::PubRel(ack) => {
            out.push(format!("id{}", ack.packet_id));
            code(&mut out, ack.reason.code());
        }
        Packet::PubComp(ack) => {
            out.push(format!("id{}", ack.packet_id));
            code(&mut out, ack.reason.code());
        }
        Packet::Subscribe(subscribe) => {
            out.push(format!("id{}", subscribe.packet_id));
            for subscription in &subscribe.subscriptions {
                let qos = subscription.options.qos as u8;
                out.push(format!("{}:q{qos}", &*subscription.filter));
            }
        }
        Packet::SubAck(suback) => {
            out.push(format!("id{}", suback.packet_id));
            out.extend(suback.reasons.iter().map(|r| format!("{:02x}", r.code())));
            diagnostics_of!(suback.properties);
        }
        Packet::Unsubscribe(unsubscribe) => {
            out.push(format!("id{}", unsubscribe.packet_id));
            out.extend(unsubscribe.filters.iter().map(|filter| filter.to_string()));
        }
        Packet::UnsubAck(unsuback) => {
            out.push(format!("id{}", unsuback.packet_id));
            out.extend(unsuback.reasons.iter().map(|r| format!("{:02x}", r.code())));
        }
        Packet::PingReq | Packet::PingResp => {}
        Packet::Disconnect(disconnect) => {
            out.push(format!("{:02x}", disconnect.reason.code()));
            option!("expiry", disconnect.properties.session_expiry_interval());
            diagnostics_of!(disconnect.properties);
        }
        Packet::Auth(auth) => {
            out.push(format!("{:02x}", auth.reason.code()));
            option!("method", auth.properties.authentication_method());
            option!(
                "data",
                auth.properties
                    .authentication_data()
                    .map(String::from_utf8_lossy)
            );
            diagnostics_of!(auth.properties);
        }
    }
    out.join(" ")
}

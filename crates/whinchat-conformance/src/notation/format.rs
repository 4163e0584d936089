//! From a packet to words.

use whinchat_codec::{
    Connect, Packet, Property, PropertyIter, PropertyValue, ProtocolVersion, Publish, Subscription,
};

use super::words::{bare, quote};
use super::{Names, vocabulary};

/// Writes a packet in the words that are read for it. Long texts are cut.
pub fn format(packet: &Packet, version: ProtocolVersion, names: &Names) -> String {
    let mut out = Writer {
        words: vec![packet.packet_type().name().to_owned()],
        names,
    };
    match packet {
        Packet::Connect(connect) => out.connect(connect),
        Packet::ConnAck(connack) => {
            let code = match version {
                ProtocolVersion::V5 => Some(connack.reason.code()),
                ProtocolVersion::V31 | ProtocolVersion::V311 => connack.reason.return_code(),
            };
            out.push(format!("{:02x}", code.unwrap_or(connack.reason.code())));
            if connack.session_present {
                out.push("present");
            }
            out.properties("", connack.properties.iter());
        }
        Packet::Publish(publish) => out.publish(publish),
        Packet::PubAck(ack) => {
            out.id(ack.packet_id.get());
            out.code(ack.reason.code(), ack.properties.is_empty());
            out.properties("", ack.properties.iter());
        }
        Packet::PubRec(ack) => {
            out.id(ack.packet_id.get());
            out.code(ack.reason.code(), ack.properties.is_empty());
            out.properties("", ack.properties.iter());
        }
        Packet::PubRel(ack) => {
            out.id(ack.packet_id.get());
            out.code(ack.reason.code(), ack.properties.is_empty());
            out.properties("", ack.properties.iter());
        }
        Packet::PubComp(ack) => {
            out.id(ack.packet_id.get());
            out.code(ack.reason.code(), ack.properties.is_empty());
            out.properties("", ack.properties.iter());
        }
        Packet::Subscribe(subscribe) => {
            out.id(subscribe.packet_id.get());
            out.properties("", subscribe.properties.iter());
            for subscription in &subscribe.subscriptions {
                out.subscription(subscription);
            }
        }
        Packet::SubAck(suback) => {
            out.id(suback.packet_id.get());
            for reason in &suback.reasons {
                out.push(format!("{:02x}", reason.code()));
            }
            out.properties("", suback.properties.iter());
        }
        Packet::Unsubscribe(unsubscribe) => {
            out.id(unsubscribe.packet_id.get());
            out.properties("", unsubscribe.properties.iter());
            for filter in &unsubscribe.filters {
                let filter = out.topic(filter);
                out.push(filter);
            }
        }
        Packet::UnsubAck(unsuback) => {
            out.id(unsuback.packet_id.get());
            for reason in &unsuback.reasons {
                out.push(format!("{:02x}", reason.code()));
            }
            out.properties("", unsuback.properties.iter());
        }
        Packet::PingReq | Packet::PingResp => {}
        Packet::Disconnect(disconnect) => {
            out.code(disconnect.reason.code(), disconnect.properties.is_empty());
            out.properties("", disconnect.properties.iter());
        }
        Packet::Auth(auth) => {
            out.code(auth.reason.code(), auth.properties.is_empty());
            out.properties("", auth.properties.iter());
        }
    }
    out.words.join(" ")
}

struct Writer<'a> {
    words: Vec<String>,
    names: &'a Names,
}

impl Writer<'_> {
    fn push(&mut self, word: impl Into<String>) {
        self.words.push(word.into());
    }

    fn id(&mut self, id: u16) {
        self.push(format!("id{id}"));
    }

    /// A code; success is not written where nothing follows.
    fn code(&mut self, code: u8, is_last: bool) {
        if code != 0 || !is_last {
            self.push(format!("{code:02x}"));
        }
    }

    fn topic(&self, topic: &str) -> String {
        if topic.is_empty() {
            return "-".to_owned();
        }
        let written = self.names.written_topic(topic.as_bytes());
        match written.strip_prefix(b"^") {
            Some(verbatim) if verbatim == topic.as_bytes() => format!("^{}", bare(verbatim)),
            _ => by_itself(&written),
        }
    }

    fn properties(&mut self, prefix: &str, properties: PropertyIter<'_>) {
        for (property, value) in properties {
            let word = vocabulary::word(property);
            let value = self.value(property, value);
            self.push(format!("{prefix}{word}={value}"));
        }
    }

    fn value(&self, property: Property, value: PropertyValue<'_>) -> String {
        match value {
            PropertyValue::Byte(number) => number.to_string(),
            PropertyValue::TwoByteInteger(number) => number.to_string(),
            PropertyValue::FourByteInteger(number) | PropertyValue::VariableByteInteger(number) => {
                number.to_string()
            }
            PropertyValue::Utf8String(text) if property == Property::ResponseTopic => {
                self.topic(text)
            }
            PropertyValue::Utf8String(text) => bare(text.as_bytes()),
            PropertyValue::Utf8StringPair(name, value) => {
                format!("{}:{}", pair_part(name), pair_part(value))
            }
            PropertyValue::BinaryData(data) => bare(data),
        }
    }

    fn connect(&mut self, connect: &Connect) {
        match self.names.written_client_id(connect.client_id.as_bytes()) {
            [] => self.push("-"),
            id => self.push(by_itself(id)),
        }
        if connect.clean_start {
            self.push("clean");
        }
        if connect.keep_alive > 0 {
            self.push(format!("keep={}", connect.keep_alive));
        }
        if let Some(user_name) = &connect.user_name {
            self.push(format!("user={}", bare(user_name.as_bytes())));
        }
        if let Some(password) = &connect.password {
            self.push(format!("password={}", bare(password)));
        }
        self.properties("", connect.properties.iter());
        if let Some(will) = &connect.will {
            let topic = self.topic(&will.topic);
            self.push(format!("will={topic}"));
            self.push(format!("will-payload={}", quote(&will.payload)));
            if will.qos as u8 > 0 {
                self.push(format!("will-qos={}", will.qos as u8));
            }
            if will.retain {
                self.push("will-retain");
            }
            self.properties("will-", will.properties.iter());
        }
    }

    fn publish(&mut self, publish: &Publish) {
        if let Some(id) = publish.guarantee.packet_id() {
            self.push(format!("q{}", publish.guarantee.qos() as u8));
            self.id(id.get());
        }
        if publish.guarantee.dup() {
            self.push("dup");
        }
        if publish.retain {
            self.push("retain");
        }
        let topic = self.topic(&publish.topic);
        self.push(topic);
        self.push(quote(&publish.payload));
        self.properties("", publish.properties.iter());
    }

    fn subscription(&mut self, subscription: &Subscription) {
        let bits = subscription.options.bits();
        let mut word = format!("{}:{}", self.topic(&subscription.filter), bits & 0b11);
        for (bit, option) in [
            (subscription.options.no_local, ",nl"),
            (subscription.options.retain_as_published, ",rap"),
        ] {
            if bit {
                word.push_str(option);
            }
        }
        match bits >> 4 {
            0 => {}
            handling => word.push_str(&format!(",rh{handling}")),
        }
        self.push(word);
    }
}

/// A text that stands by itself, between quotes where it would be taken for another word.
fn by_itself(text: &[u8]) -> String {
    const WORDS: [&str; 12] = [
        "clean",
        "will-retain",
        "present",
        "dup",
        "retain",
        "q0",
        "q1",
        "q2",
        "q3",
        "v31",
        "v311",
        "v5",
    ];
    let word = bare(text);
    let is_taken = WORDS.contains(&word.as_str())
        || word.contains('=')
        || word.starts_with("id")
        || word.starts_with("no-")
        || word.starts_with('^');
    if is_taken { quote(text) } else { word }
}

/// Name or value of a user property, which must not hold a bare `:`.
fn pair_part(text: &str) -> String {
    if text.contains(':') {
        quote(text.as_bytes())
    } else {
        bare(text.as_bytes())
    }
}

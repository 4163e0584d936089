//! An owned packet built from the notation of the vectors, through constructors and setters alone.

use bytes::Bytes;
use whinchat_codec::{
    Auth, ConnAck, Connect, Disconnect, Guarantee, Packet, PacketId, ProtocolVersion, PubAck,
    PubComp, PubRec, PubRel, Publish, QoS, RetainHandling, SubAck, Subscribe, Subscription,
    SubscriptionOptions, UnsubAck, Unsubscribe, Utf8String, Will,
};

use super::properties::{Build, Literal};
use super::text::{Token, tokens};

pub(super) fn build(text: &str) -> Packet {
    let tokens = tokens(text);
    let mut cursor = Cursor { tokens: &tokens };
    let packet = build_packet(&mut cursor);
    assert!(
        cursor.tokens.is_empty(),
        "left over behind {text}: {:?}",
        cursor.tokens
    );
    packet
}

fn build_packet(cursor: &mut Cursor<'_>) -> Packet {
    match cursor.word().as_str() {
        "CONNECT" => Packet::Connect(Box::new(build_connect(cursor))),
        "CONNACK" => Packet::ConnAck(ConnAck {
            session_present: cursor.flag("present"),
            reason: cursor.code().try_into().unwrap(),
            properties: cursor.properties(),
        }),
        "PUBLISH" => Packet::Publish(build_publish(cursor)),
        "PUBACK" => Packet::PubAck(PubAck {
            packet_id: cursor.packet_id(),
            reason: cursor.code().try_into().unwrap(),
            properties: cursor.properties(),
        }),
        "PUBREC" => Packet::PubRec(PubRec {
            packet_id: cursor.packet_id(),
            reason: cursor.code().try_into().unwrap(),
            properties: cursor.properties(),
        }),
        "PUBREL" => Packet::PubRel(PubRel {
            packet_id: cursor.packet_id(),
            reason: cursor.code().try_into().unwrap(),
            properties: cursor.properties(),
        }),
        "PUBCOMP" => Packet::PubComp(PubComp {
            packet_id: cursor.packet_id(),
            reason: cursor.code().try_into().unwrap(),
            properties: cursor.properties(),
        }),
        "SUBSCRIBE" => Packet::Subscribe(Subscribe {
            packet_id: cursor.packet_id(),
            subscriptions: cursor.brackets(build_subscription),
            properties: cursor.properties(),
        }),
        "SUBACK" => Packet::SubAck(SubAck {
            packet_id: cursor.packet_id(),
            reasons: cursor
                .codes()
                .map(|code| code.try_into().unwrap())
                .collect(),
            properties: cursor.properties(),
        }),
        "UNSUBSCRIBE" => Packet::Unsubscribe(Unsubscribe {
            packet_id: cursor.packet_id(),
            filters: cursor.brackets(Cursor::string),
            properties: cursor.properties(),
        }),
        "UNSUBACK" => Packet::UnsubAck(UnsubAck {
            packet_id: cursor.packet_id(),
            reasons: cursor
                .codes()
                .map(|code| code.try_into().unwrap())
                .collect(),
            properties: cursor.properties(),
        }),
        "PINGREQ" => Packet::PingReq,
        "PINGRESP" => Packet::PingResp,
        "DISCONNECT" => Packet::Disconnect(Disconnect {
            reason: cursor.code().try_into().unwrap(),
            properties: cursor.properties(),
        }),
        "AUTH" => Packet::Auth(Auth {
            reason: cursor.code().try_into().unwrap(),
            properties: cursor.properties(),
        }),
        other => panic!("no packet is called {other}"),
    }
}

fn build_connect(cursor: &mut Cursor<'_>) -> Connect {
    let version = match cursor.word().as_str() {
        "v31" => ProtocolVersion::V31,
        "v311" => ProtocolVersion::V311,
        "v5" => ProtocolVersion::V5,
        other => panic!("no version is called {other}"),
    };
    let clean_start = cursor.flag("clean");
    let keep_alive = cursor.number_behind("keep").expect("keep alive");
    let client_id = cursor.string();
    let will = cursor.flag("will").then(|| {
        cursor.mark('(');
        let will = Will {
            qos: cursor.qos(),
            retain: cursor.flag("retain"),
            topic: cursor.string(),
            payload: cursor.bytes(),
            properties: cursor.properties(),
        };
        cursor.mark(')');
        will
    });
    Connect {
        version,
        clean_start,
        keep_alive,
        client_id,
        will,
        user_name: cursor.flag("user").then(|| cursor.string()),
        password: cursor.flag("password").then(|| cursor.bytes()),
        properties: cursor.properties(),
    }
}

fn build_publish(cursor: &mut Cursor<'_>) -> Publish {
    let guarantee = match cursor.qos() {
        QoS::AtMostOnce => Guarantee::AtMostOnce,
        qos @ (QoS::AtLeastOnce | QoS::ExactlyOnce) => {
            Guarantee::new(qos, cursor.packet_id(), cursor.flag("dup"))
        }
    };
    Publish {
        guarantee,
        retain: cursor.flag("retain"),
        topic: cursor.string(),
        payload: cursor.bytes(),
        properties: cursor.properties(),
    }
}

fn build_subscription(cursor: &mut Cursor<'_>) -> Subscription {
    let filter = cursor.string();
    let options = SubscriptionOptions {
        qos: cursor.qos(),
        no_local: cursor.flag("nl"),
        retain_as_published: cursor.flag("rap"),
        retain_handling: match cursor.number_behind("rh") {
            None => RetainHandling::SendAtSubscribe,
            Some(1) => RetainHandling::SendIfNew,
            Some(2) => RetainHandling::DoNotSend,
            Some(other) => panic!("no retain handling {other}"),
        },
    };
    Subscription { filter, options }
}

struct Cursor<'a> {
    tokens: &'a [Token],
}

impl Cursor<'_> {
    fn next(&mut self) -> Token {
        let (first, rest) = self.tokens.split_first().expect("one more token");
        self.tokens = rest;
        first.clone()
    }

    fn word(&mut self) -> String {
        let token = self.next();
        let Token::Word(word) = token else {
            panic!("{token:?} is no word");
        };
        word
    }

    fn is_mark(&self, mark: char) -> bool {
        self.tokens.first() == Some(&Token::Mark(mark))
    }

    fn mark(&mut self, mark: char) {
        assert_eq!(self.next(), Token::Mark(mark));
    }

    /// Takes the word if it is the next token.
    fn flag(&mut self, word: &str) -> bool {
        let there = matches!(self.tokens.first(), Some(Token::Word(next)) if next == word);
        if there {
            self.tokens = &self.tokens[1..];
        }
        there
    }

    /// Takes a word such as `id7` if it is the next token.
    fn number_behind(&mut self, prefix: &str) -> Option<u16> {
        let Some(Token::Word(word)) = self.tokens.first() else {
            return None;
        };
        let number = word.strip_prefix(prefix)?.parse().ok()?;
        self.tokens = &self.tokens[1..];
        Some(number)
    }

    fn packet_id(&mut self) -> PacketId {
        PacketId::new(self.number_behind("id").expect("a packet identifier")).unwrap()
    }

    fn qos(&mut self) -> QoS {
        let number = u8::try_from(self.number_behind("q").expect("a QoS")).unwrap();
        number.try_into().unwrap()
    }

    fn code(&mut self) -> u8 {
        let word = self.word();
        u8::from_str_radix(word.strip_prefix("0x").expect("0x before a code"), 16).unwrap()
    }

    fn codes(&mut self) -> impl Iterator<Item = u8> + use<> {
        let mut codes = Vec::new();
        self.mark('[');
        while !self.is_mark(']') {
            codes.push(self.code());
        }
        self.mark(']');
        codes.into_iter()
    }

    fn brackets<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut items = Vec::new();
        while self.is_mark('[') {
            self.mark('[');
            items.push(item(self));
            self.mark(']');
        }
        items
    }

    fn text(&mut self) -> String {
        let token = self.next();
        let Token::Text(text) = token else {
            panic!("{token:?} is no string");
        };
        text
    }

    fn string(&mut self) -> Utf8String {
        self.text().try_into().unwrap()
    }

    fn bytes(&mut self) -> Bytes {
        match self.next() {
            Token::Text(text) => text.into_bytes().into(),
            Token::Bytes(bytes) => bytes.into(),
            other @ (Token::Word(_) | Token::Mark(_)) => panic!("{other:?} is no binary data"),
        }
    }

    fn properties<P: Build>(&mut self) -> P {
        let mut properties = P::default();
        if !self.is_mark('{') {
            return properties;
        }
        self.mark('{');
        while !self.is_mark('}') {
            let name = self.word();
            self.mark('=');
            let value = match self.next() {
                Token::Word(number) => Literal::Number(number.parse().unwrap()),
                Token::Bytes(bytes) => Literal::Bytes(bytes),
                Token::Text(text) if self.is_mark(':') => {
                    self.mark(':');
                    Literal::Pair(text, self.text())
                }
                Token::Text(text) => Literal::Text(text),
                other @ Token::Mark(_) => panic!("{other:?} is no value of {name}"),
            };
            properties.add(&name, &value);
        }
        self.mark('}');
        properties
    }
}

//! A packet as it is written.

use whinchat_codec::{PacketType, Property, ProtocolVersion, SubAck};

use super::value::{Codes, Id, Topic, Value};
use super::{NotationError, vocabulary, words};

/// A packet as it is written: one to send, or what a packet that comes has to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub(super) packet_type: PacketType,
    pub(super) body: Body,
    pub(super) properties: Vec<(Property, Value)>,
    /// `no-assigned`: these must not be there.
    pub(super) absent: Vec<Property>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Connect(Box<Connect>),
    ConnAck {
        present: bool,
        code: Codes,
    },
    Publish {
        qos: u8,
        id: Option<Id>,
        dup: bool,
        retain: bool,
        /// `None` is any.
        topic: Option<Topic>,
        payload: Value,
    },
    /// PUBACK, PUBREC, PUBREL and PUBCOMP.
    Ack {
        id: Id,
        /// `None` is success, in each of its forms.
        code: Option<Codes>,
    },
    Subscribe {
        id: Id,
        filters: Vec<Filter>,
    },
    /// SUBACK and UNSUBACK.
    Reasons {
        id: Id,
        codes: Vec<Codes>,
    },
    Unsubscribe {
        id: Id,
        filters: Vec<Topic>,
    },
    Ping,
    /// DISCONNECT and AUTH.
    Code(Codes),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Connect {
    pub(super) version: Option<ProtocolVersion>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) level: Option<u8>,
    pub(super) client_id: Option<Value>,
    pub(super) clean: bool,
    /// `no-clean`: it must not be.
    pub(super) not_clean: bool,
    pub(super) keep_alive: Option<Value>,
    pub(super) user_name: Option<Value>,
    pub(super) password: Option<Value>,
    pub(super) will: Option<Topic>,
    pub(super) will_payload: Option<Value>,
    pub(super) will_qos: u8,
    pub(super) will_retain: bool,
    pub(super) will_properties: Vec<(Property, Value)>,
}

/// One filter of a SUBSCRIBE with its options byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) topic: Topic,
    pub(super) options: u8,
}

impl Template {
    /// Reads a packet.
    ///
    /// # Errors
    /// If a word is not understood, or one is missing.
    pub fn parse(text: &str) -> Result<Self, NotationError> {
        Self::from_words(&words::split(text)?)
    }

    pub(crate) fn from_words(words: &[String]) -> Result<Self, NotationError> {
        let (name, words) = words
            .split_first()
            .ok_or_else(|| NotationError::new("", "is no packet"))?;
        let packet_type = PacketType::ALL
            .into_iter()
            .find(|packet| packet.name() == name)
            .ok_or_else(|| NotationError::new(name, "is no packet"))?;
        let mut reader = Reader::new(name, packet_type);
        let words = reader.take_properties(words)?;
        let body = reader.body(&words)?;
        Ok(Self {
            packet_type,
            body,
            properties: reader.properties,
            absent: reader.absent,
        })
    }

    /// The packet's type.
    pub fn packet_type(&self) -> PacketType {
        self.packet_type
    }

    /// The version that the packet begins, if it is a CONNECT of another version than the scene's.
    pub fn connect_version(&self) -> Option<ProtocolVersion> {
        match &self.body {
            Body::Connect(connect) => connect.version,
            _ => None,
        }
    }

    /// The code of a packet that has one and is no acknowledgement.
    pub(crate) fn code(&self) -> Option<&Codes> {
        match &self.body {
            Body::ConnAck { code, .. } | Body::Code(code) => Some(code),
            _ => None,
        }
    }

    pub(crate) fn id(&self) -> Option<&Id> {
        match &self.body {
            Body::Publish { id, .. } => id.as_ref(),
            Body::Ack { id, .. }
            | Body::Subscribe { id, .. }
            | Body::Reasons { id, .. }
            | Body::Unsubscribe { id, .. } => Some(id),
            Body::Connect(_) | Body::ConnAck { .. } | Body::Ping | Body::Code(_) => None,
        }
    }

    pub(crate) fn is_connect(&self) -> bool {
        self.packet_type == PacketType::Connect
    }

    /// The client id of a CONNECT as it is written, `default` if none is; `None` if the broker chooses it.
    pub(crate) fn client_id<'a>(&'a self, default: &'a str) -> Option<&'a [u8]> {
        let Body::Connect(connect) = &self.body else {
            return None;
        };
        match &connect.client_id {
            None => Some(default.as_bytes()),
            Some(Value::Text(id)) if !id.is_empty() && id != b"$assigned" => Some(id),
            Some(_) => None,
        }
    }

    /// A CONNECT with this keep alive, if it has none written.
    pub(crate) fn with_keep_alive(mut self, seconds: u16) -> Self {
        if let Body::Connect(connect) = &mut self.body {
            let written = Value::Number(u32::from(seconds)..=u32::from(seconds));
            connect.keep_alive.get_or_insert(written);
        }
        self
    }

    /// The QoS that this SUBACK has and the lower one of `found`, if that differs only by granting less.
    pub(crate) fn granted_less(&self, found: &SubAck) -> Option<(u8, u8)> {
        let Body::Reasons { id, codes } = &self.body else {
            return None;
        };
        let is_other = self.packet_type != PacketType::SubAck
            || !id.is(found.packet_id)
            || codes.len() != found.reasons.len();
        if is_other {
            return None;
        }
        let mut lesser = None;
        for (codes, found) in codes.iter().zip(&found.reasons) {
            let (asked, granted) = (codes.first()?, found.code());
            if codes.have(granted, false, |_| true) {
                continue;
            }
            if asked > 2 || granted >= asked {
                return None;
            }
            lesser.get_or_insert((asked, granted));
        }
        lesser
    }

    /// The QoS of a PUBLISH; 0 for all else.
    pub(crate) fn qos(&self) -> u8 {
        match &self.body {
            Body::Publish { qos, .. } => *qos,
            _ => 0,
        }
    }

    /// Whether it is a PUBLISH to `$t`.
    pub(crate) fn is_to_own_topic(&self) -> bool {
        matches!(&self.body, Body::Publish { topic: Some(topic), .. } if topic.text == b"$t")
    }

    /// A SUBACK or UNSUBACK with as many codes as `granted` has: its last one repeated, or those of `granted`.
    pub(crate) fn with_codes_of(&self, granted: &Self) -> Self {
        let mut filled = self.clone();
        if let (Body::Reasons { codes, .. }, Body::Reasons { codes: granted, .. }) =
            (&mut filled.body, &granted.body)
        {
            match codes.last().cloned() {
                Some(last) => codes.resize(granted.len().max(codes.len()), last),
                None => codes.clone_from(granted),
            }
        }
        filled
    }

    pub(crate) fn is_disconnect(&self) -> bool {
        self.packet_type == PacketType::Disconnect
    }

    /// Whether who sends the packet gives the other side's packet id free.
    pub(crate) fn ends_exchange(&self) -> bool {
        match &self.body {
            Body::Ack { code, .. } => match self.packet_type {
                PacketType::PubAck | PacketType::PubComp => true,
                PacketType::PubRec => {
                    let code = code.as_ref().and_then(Codes::first);
                    code.is_some_and(|code| code >= 0x80)
                }
                _ => false,
            },
            Body::Reasons { .. } => true,
            Body::Connect(_)
            | Body::ConnAck { .. }
            | Body::Publish { .. }
            | Body::Subscribe { .. }
            | Body::Unsubscribe { .. }
            | Body::Ping
            | Body::Code(_) => false,
        }
    }
}

/// Takes the words of one packet apart.
struct Reader<'a> {
    name: &'a str,
    packet_type: PacketType,
    properties: Vec<(Property, Value)>,
    absent: Vec<Property>,
    connect: Connect,
}

impl<'a> Reader<'a> {
    fn new(name: &'a str, packet_type: PacketType) -> Self {
        Self {
            name,
            packet_type,
            properties: Vec::new(),
            absent: Vec::new(),
            connect: Connect::default(),
        }
    }

    fn missing(&self, what: &str) -> NotationError {
        NotationError::new(self.name, format!("has no {what}"))
    }

    /// Takes out what is written `word=value` or `no-word`; gives back the rest.
    fn take_properties<'w>(&mut self, words: &'w [String]) -> Result<Vec<&'w str>, NotationError> {
        let mut rest = Vec::new();
        for word in words {
            let key = word
                .find(|c: char| !c.is_ascii_lowercase() && c != '-')
                .filter(|end| *end > 0 && word[*end..].starts_with('='));
            if let Some(end) = key {
                self.take_value(word, &word[..end], &word[end + 1..])?;
            } else if let Some(property) = word
                .strip_prefix("no-")
                .and_then(|word| vocabulary::property(word, self.packet_type))
            {
                self.absent.push(property);
            } else {
                rest.push(word.as_str());
            }
        }
        Ok(rest)
    }

    fn take_value(&mut self, word: &str, key: &str, value: &str) -> Result<(), NotationError> {
        if self.packet_type == PacketType::Connect && self.take_connect_value(key, value)? {
            return Ok(());
        }
        let property = vocabulary::property(key, self.packet_type).ok_or_else(|| {
            NotationError::new(
                word,
                "is not understood; text with `=` stands between quotes",
            )
        })?;
        let value = Value::of_property(property, value)?;
        self.properties.push((property, value));
        Ok(())
    }

    fn take_connect_value(&mut self, key: &str, value: &str) -> Result<bool, NotationError> {
        let connect = &mut self.connect;
        let byte = |value| match Value::number(value, u32::from(u8::MAX))? {
            Value::Number(range) if range.start() == range.end() => Ok(*range.start() as u8),
            _ => Err(NotationError::new(value, "is no single number")),
        };
        match key {
            "keep" => connect.keep_alive = Some(Value::number(value, u32::from(u16::MAX))?),
            "user" => connect.user_name = Some(Value::text(value)?),
            "password" => connect.password = Some(Value::text(value)?),
            "level" => connect.level = Some(byte(value)?),
            "name" => connect.name = Some(words::text(value)?),
            "will" => connect.will = Some(Topic::parse(value)?),
            "will-payload" => connect.will_payload = Some(Value::text(value)?),
            "will-qos" => connect.will_qos = byte(value)?.min(3),
            _ => {
                let property = key
                    .strip_prefix("will-")
                    .and_then(|key| vocabulary::property(key, PacketType::Publish));
                let Some(property) = property else {
                    return Ok(false);
                };
                let value = Value::of_property(property, value)?;
                connect.will_properties.push((property, value));
            }
        }
        Ok(true)
    }

    fn body(&mut self, words: &[&str]) -> Result<Body, NotationError> {
        let mut words = Words(words);
        let body = match self.packet_type {
            PacketType::Connect => self.connect(&mut words)?,
            PacketType::ConnAck => {
                let present = words.flag("present");
                let code = words.code()?;
                let present = present || words.flag("present");
                Body::ConnAck { present, code }
            }
            PacketType::Publish => self.publish(&mut words)?,
            PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp => {
                Body::Ack {
                    id: self.id(&mut words)?,
                    code: words.next().map(Codes::parse).transpose()?,
                }
            }
            PacketType::Subscribe => Body::Subscribe {
                id: self.id(&mut words)?,
                filters: words.all(Filter::parse)?,
            },
            PacketType::SubAck | PacketType::UnsubAck => Body::Reasons {
                id: self.id(&mut words)?,
                codes: words.all(Codes::parse)?,
            },
            PacketType::Unsubscribe => Body::Unsubscribe {
                id: self.id(&mut words)?,
                filters: words.all(Topic::parse)?,
            },
            PacketType::PingReq | PacketType::PingResp => Body::Ping,
            PacketType::Disconnect | PacketType::Auth => Body::Code(words.code()?),
        };
        match words.next() {
            Some(word) => Err(NotationError::new(
                word,
                format!("is too much for {}", self.name),
            )),
            None => Ok(body),
        }
    }

    fn id(&self, words: &mut Words<'_>) -> Result<Id, NotationError> {
        words
            .id()
            .ok_or_else(|| self.missing("packet id such as id7 or id:m in front"))
    }

    fn connect(&mut self, words: &mut Words<'_>) -> Result<Body, NotationError> {
        let mut connect = core::mem::take(&mut self.connect);
        connect.version = words.0.first().and_then(|word| version(word));
        if connect.version.is_some() {
            words.next();
        }
        while let Some(word) = words.next() {
            match word {
                "clean" => connect.clean = true,
                "no-clean" => connect.not_clean = true,
                "will-retain" => connect.will_retain = true,
                id if connect.client_id.is_none() => {
                    connect.client_id = Some(match id {
                        "-" => Value::Text(Vec::new()),
                        id => Value::text(id)?,
                    });
                }
                other => return Err(NotationError::new(other, "is a second client id")),
            }
        }
        Ok(Body::Connect(Box::new(connect)))
    }

    fn publish(&self, words: &mut Words<'_>) -> Result<Body, NotationError> {
        let (mut qos, mut id, mut dup, mut retain) = (0, None, false, false);
        let topic = loop {
            match words.next().ok_or_else(|| self.missing("topic"))? {
                "q0" => qos = 0,
                "q1" => qos = 1,
                "q2" => qos = 2,
                "q3" => qos = 3,
                "dup" => dup = true,
                "retain" => retain = true,
                "*" => break None,
                word => match Id::parse(word).filter(|_| id.is_none()) {
                    Some(found) => id = Some(found),
                    None => break Some(Topic::parse(word)?),
                },
            }
        };
        match (qos, &id) {
            (0, Some(_)) => return Err(self.missing("packet id with QoS 0")),
            (1.., None) => return Err(self.missing("packet id such as id7 or id:m in front")),
            _ => {}
        }
        let payload = words
            .next()
            .map_or(Ok(Value::Text(Vec::new())), Value::text)?;
        Ok(Body::Publish {
            qos,
            id,
            dup,
            retain,
            topic,
            payload,
        })
    }
}

impl Filter {
    /// Reads `a/b:2,nl,rap,rh1`; QoS 0 need not be written.
    fn parse(word: &str) -> Result<Self, NotationError> {
        let options = words::find_unquoted(word, ':')
            .last()
            .map(|colon| (&word[..*colon], &word[colon + 1..]))
            .filter(|(_, options)| options.starts_with(|c: char| c.is_ascii_digit()));
        let Some((filter, options)) = options else {
            return Ok(Self {
                topic: Topic::parse(word)?,
                options: 0,
            });
        };
        let mut bits = 0;
        for option in options.split(',') {
            bits |= match option {
                "0" => 0,
                "1" => 1,
                "2" => 2,
                "3" => 3,
                "nl" => 0b100,
                "rap" => 0b1000,
                "rh1" => 0b1_0000,
                "rh2" => 0b10_0000,
                "rh3" => 0b11_0000,
                _ => {
                    return Err(NotationError::new(
                        word,
                        "has an option that does not exist",
                    ));
                }
            };
        }
        Ok(Self {
            topic: Topic::parse(filter)?,
            options: bits,
        })
    }
}

/// `v31`, `v311` or `v5`.
pub(crate) fn version(word: &str) -> Option<ProtocolVersion> {
    match word {
        "v31" => Some(ProtocolVersion::V31),
        "v311" => Some(ProtocolVersion::V311),
        "v5" => Some(ProtocolVersion::V5),
        _ => None,
    }
}

/// The words that are no properties, from left to right.
struct Words<'a>(&'a [&'a str]);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn flag(&mut self, flag: &str) -> bool {
        let is_there = self.0.first() == Some(&flag);
        if is_there {
            self.next();
        }
        is_there
    }

    fn id(&mut self) -> Option<Id> {
        let id = Id::parse(self.0.first()?)?;
        self.next();
        Some(id)
    }

    /// The code; 00 if there is none.
    fn code(&mut self) -> Result<Codes, NotationError> {
        match self.0.first() {
            None | Some(&"present") => Ok(Codes::one(0)),
            Some(word) => {
                self.next();
                Codes::parse(word)
            }
        }
    }

    fn all<T>(
        &mut self,
        parse: impl Fn(&str) -> Result<T, NotationError>,
    ) -> Result<Vec<T>, NotationError> {
        core::iter::from_fn(|| self.next()).map(parse).collect()
    }
}

//! Is a packet what is written?

use core::fmt;

use whinchat_codec::{
    AuthReason, ConnAckReason, DisconnectReason, Packet, PacketId, PacketType, Property,
    PropertyValue, ProtocolVersion, PubAckReason, PubCompReason, PubRecReason, PubRelReason,
    Publish, SubAckReason, UnsubAckReason,
};

use super::template::{Body, Connect};
use super::value::{Codes, Topic, Value};
use super::{Id, Names, Template, vocabulary, words};

/// How what is written is read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// How names stand on the wire.
    pub names: &'a Names,
    /// The version of the connection. Properties and codes that it does not have are not looked for.
    pub version: ProtocolVersion,
    /// Asks for the first of several codes.
    pub strict: bool,
    /// Takes no property, and in CONNECT no field, that is not written.
    pub exact: bool,
    /// Takes also a PUBLISH with properties that are not written, and a SUBSCRIBE or UNSUBSCRIBE of more filters, whatever
    /// their options.
    pub partial: bool,
}

/// What is otherwise than written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch(String);

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The packet id of a packet, if it has one.
pub(crate) fn packet_id(packet: &Packet) -> Option<PacketId> {
    match packet {
        Packet::Publish(publish) => publish.guarantee.packet_id(),
        Packet::PubAck(ack) => Some(ack.packet_id),
        Packet::PubRec(ack) => Some(ack.packet_id),
        Packet::PubRel(ack) => Some(ack.packet_id),
        Packet::PubComp(ack) => Some(ack.packet_id),
        Packet::Subscribe(subscribe) => Some(subscribe.packet_id),
        Packet::SubAck(suback) => Some(suback.packet_id),
        Packet::Unsubscribe(unsubscribe) => Some(unsubscribe.packet_id),
        Packet::UnsubAck(unsuback) => Some(unsuback.packet_id),
        Packet::Connect(_)
        | Packet::ConnAck(_)
        | Packet::PingReq
        | Packet::PingResp
        | Packet::Disconnect(_)
        | Packet::Auth(_) => None,
    }
}

/// Whether a packet of this version may have the code.
pub(crate) fn has_code(packet: PacketType, version: ProtocolVersion, code: u8) -> bool {
    match (packet, version) {
        (PacketType::ConnAck, ProtocolVersion::V5) => ConnAckReason::from_code(code).is_some(),
        (PacketType::ConnAck, _) => ConnAckReason::from_return_code(code).is_some(),
        (PacketType::SubAck, ProtocolVersion::V5) => SubAckReason::from_code(code).is_some(),
        (PacketType::SubAck, ProtocolVersion::V311) => matches!(code, 0..=2 | 0x80),
        (PacketType::SubAck, ProtocolVersion::V31) => code <= 2,
        (_, ProtocolVersion::V31 | ProtocolVersion::V311) => code == 0,
        (PacketType::PubAck, _) => PubAckReason::from_code(code).is_some(),
        (PacketType::PubRec, _) => PubRecReason::from_code(code).is_some(),
        (PacketType::PubRel, _) => PubRelReason::from_code(code).is_some(),
        (PacketType::PubComp, _) => PubCompReason::from_code(code).is_some(),
        (PacketType::UnsubAck, _) => UnsubAckReason::from_code(code).is_some(),
        (PacketType::Disconnect, _) => DisconnectReason::from_code(code).is_some(),
        (PacketType::Auth, _) => AuthReason::from_code(code).is_some(),
        (
            PacketType::Connect
            | PacketType::Publish
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::PingReq
            | PacketType::PingResp,
            _,
        ) => false,
    }
}

impl Template {
    /// Whether a packet is what is written. A packet id with a name may be any: see [`Ids`](super::Ids).
    ///
    /// # Errors
    /// If it is not; says what is otherwise.
    pub fn matches(&self, packet: &Packet, reading: &Reading<'_>) -> Result<(), Mismatch> {
        let found = packet.packet_type();
        if found != self.packet_type {
            return Err(Mismatch(format!(
                "{} instead of {}",
                found, self.packet_type
            )));
        }
        if let (Some(id), Some(found)) = (self.id(), packet_id(packet))
            && !id.is(found)
        {
            return Err(differs("packet id", id, Id::Number(found.get())));
        }
        self.matches_body(packet, reading)?;
        if reading.version.is_v5() {
            self.matches_properties(packet, reading)?;
        }
        Ok(())
    }

    fn matches_body(&self, packet: &Packet, reading: &Reading<'_>) -> Result<(), Mismatch> {
        let code = |codes: &Codes, found: u8| {
            let is_known = |code| has_code(self.packet_type, reading.version, code);
            match codes.have(found, reading.strict, is_known) {
                true => Ok(()),
                false => Err(differs("code", codes, Codes::one(found))),
            }
        };
        match (&self.body, packet) {
            (Body::Connect(written), Packet::Connect(found)) => {
                matches_connect(written, found, reading)
            }
            (
                Body::ConnAck {
                    present,
                    code: codes,
                },
                Packet::ConnAck(found),
            ) => {
                let wire_code = match reading.version {
                    ProtocolVersion::V5 => Some(found.reason.code()),
                    ProtocolVersion::V31 | ProtocolVersion::V311 => found.reason.return_code(),
                };
                code(codes, wire_code.unwrap_or(found.reason.code()))?;
                // 3.1 cannot say it.
                if reading.version == ProtocolVersion::V31 {
                    return Ok(());
                }
                same("present", *present, found.session_present)
            }
            (Body::Publish { .. }, Packet::Publish(found)) => self.matches_publish(found, reading),
            (Body::Ack { code: codes, .. }, found) => {
                let found = match found {
                    Packet::PubAck(ack) => ack.reason.code(),
                    Packet::PubRec(ack) => ack.reason.code(),
                    Packet::PubRel(ack) => ack.reason.code(),
                    Packet::PubComp(ack) => ack.reason.code(),
                    _ => 0,
                };
                match codes {
                    Some(codes) => code(codes, found),
                    None if found < 0x80 => Ok(()),
                    None => Err(differs("code", "success", Codes::one(found))),
                }
            }
            (Body::Subscribe { filters, .. }, Packet::Subscribe(found)) if reading.partial => {
                let written = filters.iter().map(|filter| &filter.topic);
                let found = found.subscriptions.iter().map(|found| &*found.filter);
                among(written, found, reading.names)
            }
            (Body::Unsubscribe { filters, .. }, Packet::Unsubscribe(found)) if reading.partial => {
                let found = found.filters.iter().map(|found| &**found);
                among(filters.iter(), found, reading.names)
            }
            (Body::Subscribe { filters, .. }, Packet::Subscribe(found)) => {
                same(
                    "number of filters",
                    filters.len(),
                    found.subscriptions.len(),
                )?;
                for (filter, found) in filters.iter().zip(&found.subscriptions) {
                    same_topic("filter", &filter.topic, &found.filter, reading.names)?;
                    same("options", filter.options, found.options.bits())?;
                }
                Ok(())
            }
            (Body::Reasons { codes, .. }, Packet::SubAck(found)) => {
                same("number of codes", codes.len(), found.reasons.len())?;
                let mut both = codes.iter().zip(&found.reasons);
                both.try_for_each(|(codes, found)| code(codes, found.code()))
            }
            (Body::Reasons { codes, .. }, Packet::UnsubAck(found)) => {
                if !reading.version.is_v5() {
                    return Ok(());
                }
                if codes.is_empty() && !reading.exact {
                    let success = Codes::one(0);
                    let mut all = found.reasons.iter();
                    return all.try_for_each(|found| code(&success, found.code()));
                }
                same("number of codes", codes.len(), found.reasons.len())?;
                let mut both = codes.iter().zip(&found.reasons);
                both.try_for_each(|(codes, found)| code(codes, found.code()))
            }
            (Body::Unsubscribe { filters, .. }, Packet::Unsubscribe(found)) => {
                same("number of filters", filters.len(), found.filters.len())?;
                let mut both = filters.iter().zip(&found.filters);
                both.try_for_each(|(filter, found)| {
                    same_topic("filter", filter, found, reading.names)
                })
            }
            (Body::Code(codes), Packet::Disconnect(found)) => code(codes, found.reason.code()),
            (Body::Code(codes), Packet::Auth(found)) => code(codes, found.reason.code()),
            _ => Ok(()),
        }
    }

    fn matches_publish(&self, found: &Publish, reading: &Reading<'_>) -> Result<(), Mismatch> {
        let Body::Publish {
            qos,
            dup,
            retain,
            topic,
            payload,
            ..
        } = &self.body
        else {
            return Ok(());
        };
        if let Some(topic) = topic {
            same_topic("topic", topic, &found.topic, reading.names)?;
        }
        same_text("payload", payload, &found.payload)?;
        same("QoS", *qos, found.guarantee.qos() as u8)?;
        same("DUP", *dup, found.guarantee.dup())?;
        same("RETAIN", *retain, found.retain)
    }

    fn matches_properties(&self, packet: &Packet, reading: &Reading<'_>) -> Result<(), Mismatch> {
        let found: Vec<_> = match packet {
            Packet::Connect(connect) => connect.properties.iter().collect(),
            Packet::ConnAck(connack) => connack.properties.iter().collect(),
            Packet::Publish(publish) => publish.properties.iter().collect(),
            Packet::PubAck(ack) => ack.properties.iter().collect(),
            Packet::PubRec(ack) => ack.properties.iter().collect(),
            Packet::PubRel(ack) => ack.properties.iter().collect(),
            Packet::PubComp(ack) => ack.properties.iter().collect(),
            Packet::Subscribe(subscribe) => subscribe.properties.iter().collect(),
            Packet::SubAck(suback) => suback.properties.iter().collect(),
            Packet::Unsubscribe(unsubscribe) => unsubscribe.properties.iter().collect(),
            Packet::UnsubAck(unsuback) => unsuback.properties.iter().collect(),
            Packet::Disconnect(disconnect) => disconnect.properties.iter().collect(),
            Packet::Auth(auth) => auth.properties.iter().collect(),
            Packet::PingReq | Packet::PingResp => Vec::new(),
        };
        for property in &self.absent {
            if found.iter().any(|(found, _)| found == property) {
                return Err(Mismatch(format!(
                    "{} is there",
                    vocabulary::word(*property)
                )));
            }
        }
        let is_publish = self.packet_type == PacketType::Publish;
        let exact = reading.exact || (is_publish && !reading.partial);
        same_properties(&self.properties, &found, exact, reading.names)
    }
}

fn matches_connect(
    written: &Connect,
    found: &whinchat_codec::Connect,
    reading: &Reading<'_>,
) -> Result<(), Mismatch> {
    let exact = reading.exact;
    if let Some(version) = written.version {
        same("version", version, found.version)?;
    }
    match &written.client_id {
        Some(Value::Text(id)) => {
            let id = Value::Text(reading.names.client_id(id));
            same_text("client id", &id, found.client_id.as_bytes())?;
        }
        Some(_) => {}
        None if exact => same("client id", "", &*found.client_id)?,
        None => {}
    }
    if exact || written.clean || written.not_clean {
        same("clean", written.clean, found.clean_start)?;
    }
    match &written.keep_alive {
        Some(keep_alive) => same_number("keep", keep_alive, u32::from(found.keep_alive))?,
        None if exact => same("keep", 0, found.keep_alive)?,
        None => {}
    }
    for (what, written, found) in [
        (
            "user",
            &written.user_name,
            found.user_name.as_ref().map(|text| text.as_bytes()),
        ),
        ("password", &written.password, found.password.as_ref()),
    ] {
        match (written, found) {
            (Some(written), Some(found)) => same_text(what, written, found)?,
            (Some(_), None) => return Err(Mismatch(format!("no {what}"))),
            (None, Some(_)) if exact => return Err(Mismatch(format!("{what} is there"))),
            (None, _) => {}
        }
    }
    match (&written.will, &found.will) {
        (Some(topic), Some(will)) => {
            same_topic("will", topic, &will.topic, reading.names)?;
            let empty = Value::Text(Vec::new());
            let payload = written.will_payload.as_ref().unwrap_or(&empty);
            same_text("will-payload", payload, &will.payload)?;
            same("will-qos", written.will_qos, will.qos as u8)?;
            same("will-retain", written.will_retain, will.retain)?;
            let found: Vec<_> = will.properties.iter().collect();
            same_properties(&written.will_properties, &found, true, reading.names)
        }
        (Some(_), None) => Err(Mismatch("no will".to_owned())),
        (None, Some(_)) if exact => Err(Mismatch("will is there".to_owned())),
        (None, _) => Ok(()),
    }
}

fn differs(what: &str, written: impl fmt::Display, found: impl fmt::Display) -> Mismatch {
    Mismatch(format!("{what} {found} instead of {written}"))
}

fn same<T: PartialEq + fmt::Display>(what: &str, written: T, found: T) -> Result<(), Mismatch> {
    if written == found {
        Ok(())
    } else {
        Err(differs(what, written, found))
    }
}

fn same_text(what: &str, written: &Value, found: &[u8]) -> Result<(), Mismatch> {
    match written {
        Value::Text(text) if text != found => {
            Err(differs(what, words::quote(text), words::quote(found)))
        }
        _ => Ok(()),
    }
}

fn same_number(what: &str, written: &Value, found: u32) -> Result<(), Mismatch> {
    match written {
        Value::Number(range) if !range.contains(&found) => {
            let (from, to) = (range.start(), range.end());
            match from == to {
                true => Err(differs(what, from, found)),
                false => Err(differs(what, format!("{from}..{to}"), found)),
            }
        }
        _ => Ok(()),
    }
}

fn same_topic(what: &str, written: &Topic, found: &str, names: &Names) -> Result<(), Mismatch> {
    if written.text == b"*" || names.topic(written) == found.as_bytes() {
        return Ok(());
    }
    let found = words::bare(&names.written_topic(found.as_bytes()));
    Err(differs(what, words::bare(&written.text), found))
}

/// Each filter that is written is among those that came; one that ends with `*` may go on.
fn among<'a>(
    mut written: impl Iterator<Item = &'a Topic>,
    found: impl Iterator<Item = &'a str> + Clone,
    names: &Names,
) -> Result<(), Mismatch> {
    let is_met = |written: &Topic, found: &str| {
        let topic = names.topic(written);
        match topic.strip_suffix(b"*") {
            Some(beginning) => found.as_bytes().starts_with(beginning),
            None => found.as_bytes() == topic,
        }
    };
    match written.find(|written| !found.clone().any(|found| is_met(written, found))) {
        Some(missing) => {
            let missing = words::bare(&missing.text);
            Err(Mismatch(format!("no filter {missing}")))
        }
        None => Ok(()),
    }
}

type Found<'a> = [(Property, PropertyValue<'a>)];

/// All that is written is there; with `exact`, nothing else.
fn same_properties(
    written: &[(Property, Value)],
    found: &Found<'_>,
    exact: bool,
    names: &Names,
) -> Result<(), Mismatch> {
    if exact {
        let is_written = |property| written.iter().any(|(written, _)| *written == property);
        if let Some((property, _)) = found.iter().find(|(property, _)| !is_written(*property)) {
            return Err(Mismatch(format!(
                "{} is there",
                vocabulary::word(*property)
            )));
        }
    }
    same_user_properties(written, found, exact)?;
    same_subscription_identifiers(written, found)?;
    for (property, value) in written {
        if matches!(
            property,
            Property::UserProperty | Property::SubscriptionIdentifier
        ) {
            continue;
        }
        let word = vocabulary::word(*property);
        let found = found.iter().find(|(found, _)| found == property);
        let Some((_, found)) = found else {
            return Err(Mismatch(format!("no {word}")));
        };
        match found {
            PropertyValue::Byte(number) => same_number(word, value, u32::from(*number))?,
            PropertyValue::TwoByteInteger(number) => same_number(word, value, u32::from(*number))?,
            PropertyValue::FourByteInteger(number) | PropertyValue::VariableByteInteger(number) => {
                same_number(word, value, *number)?;
            }
            PropertyValue::Utf8String(found) => match value {
                Value::Topic(topic) => same_topic(word, topic, found, names)?,
                value => same_text(word, value, found.as_bytes())?,
            },
            PropertyValue::BinaryData(found) => same_text(word, value, found)?,
            PropertyValue::Utf8StringPair(..) => {}
        }
    }
    Ok(())
}

/// User properties keep their order.
fn same_user_properties(
    written: &[(Property, Value)],
    found: &Found<'_>,
    exact: bool,
) -> Result<(), Mismatch> {
    let found = found.iter().filter_map(|(_, value)| match value {
        PropertyValue::Utf8StringPair(name, value) => Some((*name, *value)),
        _ => None,
    });
    let mut found = found.peekable();
    let written = written
        .iter()
        .filter(|(property, _)| *property == Property::UserProperty);
    for (_, pair) in written {
        let is_it = |(name, value): &(&str, &str)| match pair {
            Value::Pair(wanted, wanted_value) => {
                wanted == name.as_bytes()
                    && wanted_value
                        .as_ref()
                        .is_none_or(|wanted| wanted == value.as_bytes())
            }
            _ => true,
        };
        if exact {
            match found.next() {
                Some(next) if is_it(&next) => {}
                Some((name, value)) => {
                    return Err(Mismatch(format!(
                        "prop={name}:{value} is there or out of order"
                    )));
                }
                None => return Err(Mismatch("a prop is missing".to_owned())),
            }
        } else if !found.any(|next| is_it(&next)) {
            return Err(Mismatch("a prop is missing or out of order".to_owned()));
        }
    }
    match found.next() {
        Some((name, value)) if exact => Err(Mismatch(format!("prop={name}:{value} is there"))),
        _ => Ok(()),
    }
}

/// Subscription identifiers have no order.
fn same_subscription_identifiers(
    written: &[(Property, Value)],
    found: &Found<'_>,
) -> Result<(), Mismatch> {
    let mut found: Vec<u32> = found
        .iter()
        .filter_map(|(property, value)| match value {
            PropertyValue::VariableByteInteger(id) => {
                (*property == Property::SubscriptionIdentifier).then_some(*id)
            }
            _ => None,
        })
        .collect();
    let mut wanted = 0;
    for (_, value) in written
        .iter()
        .filter(|(property, _)| *property == Property::SubscriptionIdentifier)
    {
        wanted += 1;
        let position = match value {
            Value::Number(range) => found.iter().position(|id| range.contains(id)),
            _ => (!found.is_empty()).then_some(0),
        };
        let Some(position) = position else {
            return Err(Mismatch("a sub is missing".to_owned()));
        };
        found.swap_remove(position);
    }
    match found.first() {
        Some(id) if wanted > 0 => Err(Mismatch(format!("sub={id} is there"))),
        _ => Ok(()),
    }
}

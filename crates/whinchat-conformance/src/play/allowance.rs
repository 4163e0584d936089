//! What our CONNECT or CONNACK allows the other side to send, and whether it keeps to it.
//!
//! Watched in every scene, so that no transcript has to.

use std::collections::HashMap;

use whinchat_codec::{Packet, Publish, Utf8String};

/// Maximum Packet Size and Topic Alias Maximum, and the aliases in use.
#[derive(Debug)]
pub(super) struct Allowance {
    packet_bytes_max: u32,
    alias_max: u16,
    aliases: HashMap<u16, Utf8String>,
}

impl Default for Allowance {
    /// No limit on packets, and no aliases.
    fn default() -> Self {
        Self {
            packet_bytes_max: u32::MAX,
            alias_max: 0,
            aliases: HashMap::new(),
        }
    }
}

impl Allowance {
    /// Follows a packet of ours.
    pub(super) fn note_sent(&mut self, packet: &Packet) {
        let (packet_size, alias_max) = match packet {
            Packet::Connect(connect) => (
                connect.properties.maximum_packet_size(),
                connect.properties.topic_alias_maximum(),
            ),
            Packet::ConnAck(connack) => (
                connack.properties.maximum_packet_size(),
                connack.properties.topic_alias_maximum(),
            ),
            _ => return,
        };
        self.packet_bytes_max = packet_size.unwrap_or(u32::MAX);
        self.alias_max = alias_max.unwrap_or(0);
    }

    /// Whether a packet of this many bytes may come.
    ///
    /// # Errors
    /// If it may not; says why.
    pub(super) fn check_size(&self, len: usize) -> Result<(), String> {
        match u32::try_from(len) {
            Ok(len) if len <= self.packet_bytes_max => Ok(()), // v5 [MQTT-3.1.2-24]
            _ => Err(format!(
                "{len} bytes, above the Maximum Packet Size of {}",
                self.packet_bytes_max
            )),
        }
    }

    /// Puts the topic in the place of its alias, as a receiver does.
    ///
    /// # Errors
    /// If the alias may not be used or stands for nothing; says why.
    pub(super) fn resolve(&mut self, publish: &mut Publish) -> Result<(), String> {
        let Some(alias) = publish.properties.topic_alias() else {
            return Ok(());
        };
        if alias > self.alias_max {
            let max = self.alias_max;
            // v5 [MQTT-3.1.2-26] [MQTT-3.1.2-27]
            return Err(format!("topic alias {alias}, above the maximum of {max}"));
        }
        publish.properties.remove_topic_alias();
        if publish.topic.is_empty() {
            let topic = self.aliases.get(&alias);
            // v5 [MQTT-3.3.2-7]
            publish.topic = topic
                .cloned()
                .ok_or_else(|| format!("topic alias {alias}, which is not set"))?;
        } else {
            self.aliases.insert(alias, publish.topic.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use whinchat_codec::{DecodeLimits, ProtocolVersion};

    use super::*;
    use crate::notation::{Ids, Names, Speaker, Template, format};

    fn packet(text: &str) -> Packet {
        let speaker = Speaker {
            names: &Names::plain(),
            version: ProtocolVersion::V5,
            client_id: "a",
            assigned: None,
            ids: &Ids::default(),
            user_name: None,
            password: None,
        };
        let bytes = Template::parse(text).unwrap().encode(&speaker).unwrap();
        let limits = DecodeLimits::default();
        let decoded = Packet::decode(&bytes, ProtocolVersion::V5, &limits).unwrap();
        decoded.expect("a whole packet").0
    }

    fn resolved(allowance: &mut Allowance, text: &str) -> Result<String, String> {
        let mut publish = match packet(text) {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?}"),
        };
        allowance.resolve(&mut publish)?;
        let packet = Packet::Publish(publish);
        Ok(format(&packet, ProtocolVersion::V5, &Names::plain()))
    }

    #[test]
    fn aliases_are_resolved_within_their_maximum() {
        let mut allowance = Allowance::default();
        assert!(resolved(&mut allowance, "PUBLISH a x alias=1").is_err());
        allowance.note_sent(&packet("CONNECT tam=2"));
        for (text, is) in [
            ("PUBLISH a x alias=1", "PUBLISH a 'x'"),
            (
                "PUBLISH q1 id7 - y alias=1 sub=3",
                "PUBLISH q1 id7 a 'y' sub=3",
            ),
            ("PUBLISH b x alias=1", "PUBLISH b 'x'"),
            ("PUBLISH - z alias=1", "PUBLISH b 'z'"),
            ("PUBLISH c x", "PUBLISH c 'x'"),
        ] {
            assert_eq!(
                resolved(&mut allowance, text).as_deref().map(str::to_owned),
                Ok(is.to_owned())
            );
        }
        assert!(resolved(&mut allowance, "PUBLISH - x alias=2").is_err());
        assert!(resolved(&mut allowance, "PUBLISH a x alias=3").is_err());
    }

    #[test]
    fn a_packet_may_be_as_large_as_was_said() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.check_size(100), Ok(()));
        allowance.note_sent(&packet("CONNECT max=99"));
        assert_eq!(allowance.check_size(99), Ok(()));
        assert!(allowance.check_size(100).is_err());
    }
}

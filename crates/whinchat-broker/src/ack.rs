//! When acks leave: one level for the broker, others for single topics.
//!
//! The level of a topic is that of its PUBLISH: PUBACK and PUBREC, and what becomes of the message at once. Everything that belongs to no
//! single topic waits for the strongest level that is named anywhere: what a client was told of its session holds as long as any of its messages.

use whinchat_store::Durability;
use whinchat_topic::{TopicFilterBuf, TopicName};

use crate::config::{Ack, Config};

/// The levels of a configuration.
#[derive(Clone, Debug)]
pub(crate) struct AckLevels {
    broker: Ack,
    strongest: Option<Durability>,
    /// The strongest first.
    topics: Vec<(TopicFilterBuf, Option<Durability>)>,
}

impl AckLevels {
    /// The levels of a broker with a store (`keeps`), or without one.
    ///
    /// # Errors
    ///
    /// If there is no store and something is to be more than in memory.
    pub(crate) fn new(config: &Config, keeps: bool) -> Result<Self, AckWithoutStore> {
        let usual = if keeps { Ack::Synced } else { Ack::Memory };
        let broker = config.general.ack.or_else(|| usual);
        let acks = &config.acks;
        let topics: Vec<_> = [
            (Ack::Synced, &acks.synced),
            (Ack::Written, &acks.written),
            (Ack::Memory, &acks.memory),
        ]
        .into_iter()
        .flat_map(|(ack, filters)| {
            filters
                .iter()
                .map(move |filter| (filter.clone(), awaited(ack)))
        })
        .collect();
        let first = topics.first().and_then(|(_, level)| *level);
        let strongest = awaited(broker).max(first);
        if strongest.is_some() && !keeps {
            return Err(AckWithoutStore {
                level: if strongest == Some(Durability::Synced) {
                    "synced"
                } else {
                    "written"
                },
            });
        }
        Ok(Self {
            broker,
            strongest,
            topics,
        })
    }

    /// The level of `ack`.
    pub(crate) fn broker(&self) -> Ack {
        self.broker
    }

    /// What answers wait for that are about more than one message; `None` for nothing.
    pub(crate) fn strongest(&self) -> Option<Durability> {
        self.strongest
    }

    /// What the answer to a PUBLISH waits for; `None` for nothing.
    pub(crate) fn of(&self, topic: &str) -> Option<Durability> {
        let name = TopicName::from_validated(topic);
        let own = self.topics.iter().find(|(filter, _)| filter.matches(name));
        own.map_or(awaited(self.broker), |(_, level)| *level)
    }
}

fn awaited(ack: Ack) -> Option<Durability> {
    match ack {
        Ack::Memory => None,
        Ack::Written => Some(Durability::Written),
        Ack::Synced => Some(Durability::Synced),
    }
}

/// An ack is to wait for a disk, and there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "acks cannot wait until something is {level}: there is no data directory (data_dir is \"none\", or --ephemeral was given). \
     Name one, or say ack = \"memory\" and leave [acks] empty"
)]
pub struct AckWithoutStore {
    level: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(text: &str, keeps: bool) -> Result<AckLevels, AckWithoutStore> {
        AckLevels::new(&Config::parse("test", text).unwrap(), keeps)
    }

    #[test]
    fn the_strongest_of_the_lists_that_match_holds() {
        let text = r##"
            ack = "written"
            [acks]
            memory = ["#"]
            written = ["a/+"]
            synced = ["a/b", "c/#"]
        "##;
        let levels = levels(text, true).unwrap();
        assert_eq!(levels.broker(), Ack::Written);
        assert_eq!(levels.strongest(), Some(Durability::Synced));
        for (topic, level) in [
            ("a/b", Some(Durability::Synced)),
            ("c", Some(Durability::Synced)),
            ("a/c", Some(Durability::Written)),
            ("d", None),
        ] {
            assert_eq!(levels.of(topic), level, "{topic}");
        }
    }

    #[test]
    fn a_store_is_synced_unless_it_is_told_otherwise() {
        let synced = levels("", true).unwrap();
        assert_eq!(
            (synced.broker(), synced.of("a")),
            (Ack::Synced, Some(Durability::Synced))
        );
        let memory = levels("", false).unwrap();
        assert_eq!((memory.broker(), memory.of("a")), (Ack::Memory, None));
    }

    #[test]
    fn without_a_store_nothing_can_be_awaited() {
        for (text, level) in [
            ("ack = \"synced\"", "synced"),
            ("ack = \"written\"", "written"),
            ("[acks]\nsynced = [\"a\"]", "synced"),
            ("[acks]\nwritten = [\"a\"]", "written"),
        ] {
            assert_eq!(
                levels(text, false).err(),
                Some(AckWithoutStore { level }),
                "{text}"
            );
        }
        levels("ack = \"memory\"\n[acks]\nmemory = [\"a\"]", false).unwrap();
    }
}

//! Topic aliases in both directions. They end with the connection. // v5 [MQTT-3.3.2-7]
//!
//! Read first: MQTT 5.0 section 3.3.2.3.4.

use alloc::boxed::Box;
use alloc::vec::Vec;

use hashbrown::HashMap;
use whinchat_codec::{PublishRef, Utf8String};

use super::event::Topic;
use crate::{TopicAlias, Violation};

/// What the peer's aliases stand for: position `alias - 1`.
#[derive(Clone, Debug, Default)]
pub(crate) struct AliasesIn {
    topics: Vec<Utf8String>,
}

impl AliasesIn {
    /// The topic name of a 5.0 PUBLISH; learns and resolves its alias.
    ///
    /// # Errors
    /// An alias above `max`, or one without a topic that has not been set.
    pub(crate) fn resolve<'p>(
        &mut self,
        publish: &PublishRef<'p>,
        alias: u16,
        max: u16,
    ) -> Result<Topic<'p>, Violation> {
        // 0 does not come through the decoder, and would be as wrong. // v5 [MQTT-3.3.2-8]
        if alias == 0 || alias > max {
            return Err(Violation::TopicAliasTooHigh { alias, max }); // v5 [MQTT-3.3.2-9]
        }
        let position = usize::from(alias) - 1;
        if publish.topic.is_empty() {
            return match self.topics.get(position) {
                Some(topic) if !topic.as_bytes().is_empty() => Ok(Topic::Aliased(topic.clone())),
                Some(_) | None => Err(Violation::UnknownTopicAlias { alias }),
            };
        }
        if self.topics.len() <= position {
            self.topics.resize(position + 1, Utf8String::new());
        }
        if let Some(known) = self.topics.get_mut(position)
            && *known != *publish.topic
            && let Ok(topic) = Utf8String::try_from(publish.topic)
        {
            *known = topic;
        }
        Ok(Topic::Borrowed(publish.topic))
    }
}

/// The aliases that we have set. The first topics keep them: with more topics than aliases a
/// replacing table would define more often than it reuses.
#[derive(Clone, Debug, Default)]
pub(crate) struct AliasesOut {
    aliases: HashMap<Box<str>, u16>,
}

impl AliasesOut {
    /// How the next PUBLISH of `topic` would use an alias, at most `max` being in use.
    /// // v5 [MQTT-3.1.2-26] [MQTT-3.2.2-17]
    pub(crate) fn choose(&self, topic: &str, max: u16) -> TopicAlias {
        // The property takes three bytes itself.
        if topic.len() <= 3 {
            return TopicAlias::None;
        }
        if let Some(alias) = self.aliases.get(topic) {
            return TopicAlias::Reuse(*alias);
        }
        match u16::try_from(self.aliases.len()) {
            Ok(used) if used < max && planted!(AliasNotSet) => TopicAlias::Reuse(used + 1),
            Ok(used) if used < max => TopicAlias::Define(used + 1),
            Ok(_) | Err(_) => TopicAlias::None,
        }
    }

    /// The PUBLISH that defines `alias` has been written.
    pub(crate) fn define(&mut self, topic: &str, alias: u16) {
        self.aliases.insert(topic.into(), alias);
    }
}

//! How names stand on the wire: the prefix of topics and client ids, and packet ids that the other side chose.

use std::collections::HashMap;

use super::value::Topic;

/// Puts a prefix of the scene's own in front of client ids and topics, and takes it away again.
#[derive(Clone, Debug, Default)]
pub struct Names {
    prefix: Option<Prefix>,
    /// What `$t` stands for, as it is on the wire.
    own_topic: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Prefix {
    run: String,
    scene: String,
}

impl Names {
    /// Names without a prefix.
    pub fn plain() -> Self {
        Self::default()
    }

    /// Topics are below `run/scene`; client ids begin with both. Both are letters and digits, and the scenes of
    /// one run have names of one length, so that no client id of one is one of another.
    pub fn with_prefix(run: &str, scene: &str) -> Self {
        Self {
            prefix: Some(Prefix {
                run: run.to_owned(),
                scene: scene.to_owned(),
            }),
            own_topic: None,
        }
    }

    /// Lets `$t` stand for this topic.
    pub fn set_own_topic(&mut self, topic: &[u8]) {
        self.own_topic = Some(topic.to_owned());
    }

    pub(super) fn topic(&self, topic: &Topic) -> Vec<u8> {
        let text = &topic.text;
        if text == b"$t"
            && let Some(own) = &self.own_topic
        {
            return own.clone();
        }
        if topic.is_verbatim || text.is_empty() {
            return text.clone();
        }
        if let Some(shared) = text.strip_prefix(b"$share/")
            && let Some(slash) = shared.iter().position(|byte| *byte == b'/')
        {
            let (group, filter) = (&text[..b"$share/".len() + slash + 1], &shared[slash + 1..]);
            return [group, &self.below_prefix(filter)].concat();
        }
        self.below_prefix(text)
    }

    fn below_prefix(&self, text: &[u8]) -> Vec<u8> {
        match &self.prefix {
            Some(Prefix { run, scene }) if !text.is_empty() && !text.starts_with(b"$") => {
                [run.as_bytes(), b"/", scene.as_bytes(), b"/", text].concat()
            }
            _ => text.to_owned(),
        }
    }

    pub(super) fn client_id(&self, id: &[u8]) -> Vec<u8> {
        if let Some(verbatim) = id.strip_prefix(b"^") {
            return verbatim.to_owned();
        }
        match &self.prefix {
            Some(Prefix { run, scene }) if !id.is_empty() => {
                [run.as_bytes(), scene.as_bytes(), id].concat()
            }
            _ => id.to_owned(),
        }
    }

    /// A client id of the player's own.
    pub(crate) fn own_client_id(&self, id: &str) -> String {
        String::from_utf8_lossy(&self.client_id(id.as_bytes())).into_owned()
    }

    /// A topic of the wire as a transcript has it.
    pub(super) fn written_topic(&self, topic: &[u8]) -> Vec<u8> {
        let Some(Prefix { run, scene }) = &self.prefix else {
            return topic.to_owned();
        };
        let prefix = format!("{run}/{scene}/");
        if let Some(own) = topic.strip_prefix(prefix.as_bytes()) {
            return own.to_owned();
        }
        if topic.starts_with(b"$share/")
            && let Some(at) = topic
                .windows(prefix.len())
                .position(|part| part == prefix.as_bytes())
        {
            return [&topic[..at], &topic[at + prefix.len()..]].concat();
        }
        match topic.first() {
            None | Some(b'$') => topic.to_owned(),
            Some(_) => [b"^", topic].concat(),
        }
    }

    /// A client id of the wire as a transcript has it.
    pub(super) fn written_client_id<'a>(&self, id: &'a [u8]) -> &'a [u8] {
        let Some(Prefix { run, scene }) = &self.prefix else {
            return id;
        };
        let own = id
            .strip_prefix(run.as_bytes())
            .and_then(|id| id.strip_prefix(scene.as_bytes()));
        own.unwrap_or(id)
    }

    /// Whether a topic of the wire belongs to another scene of the same run.
    pub(crate) fn is_of_another_scene(&self, topic: &str) -> bool {
        let Some(Prefix { run, scene }) = &self.prefix else {
            return false;
        };
        let below = |topic: &str, level: &str| {
            topic
                .strip_prefix(level)
                .and_then(|rest| rest.strip_prefix('/').map(str::to_owned))
        };
        below(topic, run).is_some_and(|rest| below(&rest, scene).is_none())
    }
}

/// The packet ids that the other side chose on one client's session, by the names they have in the scene.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    named: HashMap<String, Named>,
}

#[derive(Clone, Debug)]
struct Named {
    id: u16,
    is_in_flight: bool,
}

impl Ids {
    /// What a name stands for.
    pub fn of(&self, name: &str) -> Option<u16> {
        self.named.get(name).map(|named| named.id)
    }

    /// Whether a packet with this id may be the one that has the name: it is what the name stands for, or the
    /// name is new and no other that is in flight has the id.
    ///
    /// # Errors
    /// If it may not; says why.
    pub fn check(&self, name: &str, id: u16) -> Result<(), String> {
        if let Some(known) = self.of(name) {
            return match known == id {
                true => Ok(()),
                false => Err(format!("id:{name} is {known}, not {id}")),
            };
        }
        let other = self
            .named
            .iter()
            .find(|(_, named)| named.is_in_flight && named.id == id);
        match other {
            Some((other, _)) => Err(format!("id {id} is in flight already, as id:{other}")),
            None => Ok(()),
        }
    }

    /// Whether a name stands for the id, in an exchange that is not over.
    pub(crate) fn has(&self, id: u16) -> bool {
        self.named
            .values()
            .any(|named| named.is_in_flight && named.id == id)
    }

    /// Lets the name stand for the id from here on.
    pub fn bind(&mut self, name: &str, id: u16) {
        let is_in_flight = true;
        self.named
            .insert(name.to_owned(), Named { id, is_in_flight });
    }

    /// The exchange with this id is over: another may have it.
    pub fn release(&mut self, id: u16) {
        for named in self.named.values_mut().filter(|named| named.id == id) {
            named.is_in_flight = false;
        }
    }

    /// The session is over, and so is every exchange.
    pub fn release_all(&mut self) {
        for named in self.named.values_mut() {
            named.is_in_flight = false;
        }
    }
}

//! The QoS 1 and 2 exchanges of a client, in both directions, and what it may not do in them.
//!
//! Owns ids, DUP, order and quota. Read first: MQTT 5.0 sections 4.3, 4.4, 4.6 and 4.9.
//!
//! ```text
//! client to us:  Published --PUBREC of ours--> Received --PUBREL--> Released --PUBCOMP of ours--> Done
//!                Published --PUBACK of ours--> Done
//! ```
//!
//! An answer of ours may be lost with its connection, so that what is Done may come again on the next one.

use std::collections::{BTreeSet, VecDeque};

use whinchat_codec::ProtocolVersion;

use super::watch::{Broken, rule};

/// The messages that a client sends.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// Oldest first, by their first transmission.
    messages: Vec<Message>,
    /// Ids of PUBRECs of ours on this connection that have no PUBREL yet, in their order.
    pubrecs: VecDeque<u16>,
    /// Ids of PUBRECs of ours that belong to no message, and may be answered nevertheless.
    stray: BTreeSet<u16>,
    /// Whether this connection resumes the session: what was sent at the end of the one before may never have come.
    is_resumed: bool,
}

#[derive(Debug)]
struct Message {
    id: u16,
    stage: Stage,
    transmission: Transmission,
}

/// When the PUBLISH of a message was sent last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transmission {
    /// On an earlier connection.
    Earlier,
    /// On this one, for the first time.
    First,
    /// On this one, again.
    Again,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Published,
    Received,
    Released,
    Done,
}

impl Sending {
    /// A new connection of the session, or of none.
    pub(super) fn reconnected(&mut self, is_resumed: bool) {
        self.pubrecs.clear();
        self.is_resumed = is_resumed;
        if is_resumed {
            for message in &mut self.messages {
                message.transmission = Transmission::Earlier;
            }
        } else {
            self.messages.clear();
        }
    }

    /// Whether an exchange with this id is under way.
    pub(super) fn is_in_use(&self, id: u16) -> bool {
        self.messages
            .iter()
            .any(|message| message.id == id && message.stage != Stage::Done)
    }

    /// A PUBLISH of QoS 1 or 2 has come.
    pub(super) fn published(
        &mut self,
        id: u16,
        dup: bool,
        is_qos2: bool,
        quota: u16,
        version: ProtocolVersion,
    ) -> Result<(), Broken> {
        let known = self.messages.iter().position(|message| {
            // What was done before the connection was cut may be new to the client.
            message.id == id
                && (message.stage != Stage::Done || message.transmission == Transmission::Earlier)
        });
        match known {
            None => self.first_published(id, dup, is_qos2, version)?,
            Some(at) if self.messages[at].stage == Stage::Done => {
                self.messages.remove(at);
                self.messages.push(Message::new(id));
            }
            Some(at) => self.published_again(at, dup, version)?,
        }
        let in_flight = self
            .messages
            .iter()
            .filter(|message| {
                message.transmission != Transmission::Earlier && message.stage != Stage::Done
            })
            .count();
        if version.is_v5() && in_flight > usize::from(quota) {
            return Err(Broken::new(
                Some("MQTT-3.3.4-7"),
                format!(
                    "{in_flight} messages are not acknowledged, the Receive Maximum is {quota}"
                ),
            ));
        }
        Ok(())
    }

    fn first_published(
        &mut self,
        id: u16,
        dup: bool,
        is_qos2: bool,
        version: ProtocolVersion,
    ) -> Result<(), Broken> {
        self.messages
            .retain(|message| message.id != id || message.stage != Stage::Done);
        self.messages.push(Message::new(id));
        if dup && !self.is_resumed {
            let (v5, v311) = if is_qos2 {
                ("MQTT-4.3.3-2", "MQTT-4.3.3-1")
            } else {
                ("MQTT-4.3.2-2", "MQTT-4.3.2-1")
            };
            return Err(Broken::new(
                rule(version, v5, v311),
                format!("the first PUBLISH with id{id} has DUP 1"),
            ));
        }
        Ok(())
    }

    fn published_again(
        &mut self,
        at: usize,
        dup: bool,
        version: ProtocolVersion,
    ) -> Result<(), Broken> {
        let Message {
            id,
            stage,
            transmission,
        } = self.messages[at];
        let broken = |v5, v311, what: &str| {
            Err(Broken::new(
                rule(version, v5, v311),
                format!("PUBLISH with id{id} {what}"),
            ))
        };
        if transmission != Transmission::Earlier {
            return match (dup, version) {
                (false, _) => broken("MQTT-2.2.1-3", "MQTT-2.3.1-2", "while the id is in use"),
                (true, ProtocolVersion::V5) => {
                    broken("MQTT-4.4.0-1", "", "again on a live connection")
                }
                // 3.x does not forbid it.
                (true, ProtocolVersion::V31 | ProtocolVersion::V311) => Ok(()),
            };
        }
        if stage == Stage::Released {
            return broken("MQTT-4.3.3-6", "MQTT-4.3.3-1", "behind its PUBREL");
        }
        if !dup {
            return broken("MQTT-3.3.1-1", "MQTT-3.3.1-1", "again, without DUP");
        }
        let is_overtaken = self.messages[at + 1..]
            .iter()
            .any(|later| later.transmission == Transmission::Again);
        if is_overtaken {
            return broken(
                "MQTT-4.6.0-1",
                "MQTT-4.6.0-1",
                "again, behind a later message",
            );
        }
        self.messages[at].transmission = Transmission::Again;
        Ok(())
    }

    /// A PUBREL has come.
    pub(super) fn released(&mut self, id: u16, version: ProtocolVersion) -> Result<(), Broken> {
        if let Some(at) = self.pubrecs.iter().position(|waiting| *waiting == id) {
            self.pubrecs.remove(at);
            self.set(id, Stage::Released);
            if at > 0 {
                return Err(Broken::new(
                    rule(version, "MQTT-4.6.0-4", "MQTT-4.6.0-4"),
                    format!("PUBREL with id{id} is not in the order of the PUBRECs"),
                ));
            }
            return Ok(());
        }
        let message = self.messages.iter_mut().find(|message| message.id == id);
        match message {
            Some(message) if message.stage == Stage::Published => Err(Broken::new(
                rule(version, "MQTT-4.3.3-4", "MQTT-4.3.3-1"),
                format!("PUBREL with id{id} without a PUBREC"),
            )),
            // Again after a reconnect.
            Some(message) => {
                message.stage = Stage::Released;
                Ok(())
            }
            None if self.stray.contains(&id) => Ok(()),
            None => Err(Broken::new(
                rule(version, "MQTT-2.2.1-5", "MQTT-2.3.1-6"),
                format!("PUBREL with id{id}, which belongs to no exchange"),
            )),
        }
    }

    /// We have sent PUBACK, PUBCOMP, or a PUBREC that refuses.
    pub(super) fn ended(&mut self, id: u16) {
        self.set(id, Stage::Done);
    }

    /// We have sent a PUBREC that accepts.
    pub(super) fn received(&mut self, id: u16) {
        let Some(message) = self.messages.iter_mut().find(|message| message.id == id) else {
            self.stray.insert(id);
            return;
        };
        if message.stage == Stage::Published {
            message.stage = Stage::Received;
        }
        self.pubrecs.push_back(id);
    }

    fn set(&mut self, id: u16, stage: Stage) {
        if let Some(message) = self.messages.iter_mut().find(|message| message.id == id) {
            message.stage = stage;
        }
    }
}

impl Message {
    fn new(id: u16) -> Self {
        Self {
            id,
            stage: Stage::Published,
            transmission: Transmission::First,
        }
    }
}

/// The messages that a client receives: what it has to answer.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// Ids of PUBLISHs of QoS 1 on this connection without PUBACK, in their order.
    pubacks: VecDeque<u16>,
    /// Of QoS 2 without PUBREC.
    pubrecs: VecDeque<u16>,
    /// PUBRELs without PUBCOMP.
    pubcomps: VecDeque<u16>,
    /// What was not answered when a connection ended: it may be answered on the next.
    earlier: BTreeSet<u16>,
}

/// The three answers of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// PUBACK.
    Acknowledged,
    /// PUBREC.
    Received,
    /// PUBCOMP.
    Complete,
}

impl Receiving {
    /// A new connection of the session, or of none.
    pub(super) fn reconnected(&mut self, is_resumed: bool) {
        let lists = [&mut self.pubacks, &mut self.pubrecs, &mut self.pubcomps];
        self.earlier
            .extend(lists.into_iter().flat_map(std::mem::take));
        if !is_resumed {
            self.earlier.clear();
        }
    }

    /// We have sent what is to be answered so.
    pub(super) fn sent(&mut self, id: u16, answer: Answer) {
        self.list(answer).push_back(id);
    }

    /// An answer has come.
    pub(super) fn answered(
        &mut self,
        id: u16,
        answer: Answer,
        version: ProtocolVersion,
    ) -> Result<(), Broken> {
        let list = self.list(answer);
        let at = list.iter().position(|waiting| *waiting == id);
        if let Some(at) = at {
            list.remove(at);
        } else if self.earlier.remove(&id) {
            return Ok(());
        }
        let (name, order) = match answer {
            Answer::Acknowledged => ("PUBACK", "MQTT-4.6.0-2"),
            Answer::Received => ("PUBREC", "MQTT-4.6.0-3"),
            Answer::Complete => ("PUBCOMP", ""),
        };
        match at {
            Some(1..) if answer != Answer::Complete => Err(Broken::new(
                rule(version, order, order),
                format!("{name} with id{id} is not in the order of the PUBLISHs"),
            )),
            Some(_) => Ok(()),
            None => Err(Broken::new(
                rule(version, "MQTT-2.2.1-5", "MQTT-2.3.1-6"),
                format!("{name} with id{id}, which waits for none"),
            )),
        }
    }

    fn list(&mut self, answer: Answer) -> &mut VecDeque<u16> {
        match answer {
            Answer::Acknowledged => &mut self.pubacks,
            Answer::Received => &mut self.pubrecs,
            Answer::Complete => &mut self.pubcomps,
        }
    }
}

//! The lines of an [export](super::export) become the records of a new log.
//!
//! Each line is checked as a start would check its records, so that what was imported can be read. Sessions come first: whoever reads the log back then
//! knows at each message that somebody needs it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

use whinchat_session::{SnapshotError, WallTime};
use whinchat_store::{
    Commit, DurableLog, DurableLogOptions, Log as _, LogFailure, LogSegments as _, OpenError,
    disk::Disk,
};

use super::{
    checkpoint::SessionCheckpoint,
    export::{BadField, ExportLine, ExportedMessage, ExportedOrphan, ExportedSession, FORMAT},
    keys::Grant,
    message::Message,
    records::Records,
    replay::{self, ReplayError},
    sessions::Counted,
};
use crate::Clock;

/// Bytes of records that are written and synced together, about.
const BATCH_BYTES: usize = 1 << 20;

/// Writes the lines of an export into a new log.
///
/// Unless [`finish`](Self::finish) has answered that all is there, what is on the disk is of no use.
pub struct Import {
    log: DurableLog,
    records: Records,
    clock: Clock,
    has_header: bool,
    /// Sessions by number and by client id.
    numbers: HashSet<u64>,
    client_ids: HashSet<String>,
    messages: HashSet<u64>,
    topics: HashSet<String>,
    /// Messages that sessions wait for and that have not come yet; one session of each.
    missing: HashMap<u64, String>,
    mark: u64,
    imported: Imported,
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Sessions.
    pub sessions: u64,
    /// Messages, retained ones among them.
    pub messages: u64,
    /// Retained messages.
    pub retained: u64,
    /// Wills of sessions that ended with their connection.
    pub wills: u64,
}

/// Why a line cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The log is not a new one.
    #[error("the log is not empty: import into a new directory")]
    NotEmpty,
    /// The log cannot be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The first line is something else.
    #[error("an export begins with a line of the kind \"export\"")]
    NoHeader,
    /// The header comes again.
    #[error("a second line of the kind \"export\"")]
    SecondHeader,
    /// A later release wrote it.
    #[error("the export has format {found}, and this release reads {FORMAT}")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// Something is there already.
    #[error("{what} {name} comes a second time")]
    Twice {
        /// What it is.
        what: &'static str,
        /// Its name or number.
        name: String,
    },
    /// Sessions come before messages.
    #[error("the session of {client_id:?} comes after the first message: sessions come before")]
    Late {
        /// Whose session it is.
        client_id: String,
    },
    /// A number of 0, which stands for the broker itself.
    #[error("{0} cannot be 0")]
    Zero(&'static str),
    /// A field has an impossible value.
    #[error(transparent)]
    Field(#[from] BadField),
    /// A start would refuse it.
    #[error("a start would refuse it: {0}")]
    Refused(String),
    /// A message is not there.
    #[error("the session of {client_id:?} waits for message {message}, which is not there")]
    Missing {
        /// Its number.
        message: u64,
        /// Who waits.
        client_id: String,
    },
    /// The disk has no room.
    #[error("the disk has no room for the import")]
    Full,
    /// The log has failed.
    #[error(transparent)]
    Log(#[from] LogFailure),
}

impl Import {
    /// Begins a log on this disk, which must be empty. `clock` gives the time.
    ///
    /// # Errors
    /// [`ImportError::NotEmpty`], or if the disk cannot be used.
    pub fn new(
        disk: Arc<dyn Disk>,
        options: DurableLogOptions,
        clock: &Clock,
    ) -> Result<Self, ImportError> {
        let (log, recovered) = DurableLog::open_stepped(disk, options, |_| Ok(()))?;
        if recovered.segments > 0 {
            log.abandon();
            return Err(ImportError::NotEmpty);
        }
        Ok(Self {
            log,
            records: Records::new(true, clock.clone()),
            clock: clock.clone(),
            has_header: false,
            numbers: HashSet::new(),
            client_ids: HashSet::new(),
            messages: HashSet::new(),
            topics: HashSet::new(),
            missing: HashMap::new(),
            mark: 0,
            imported: Imported::default(),
        })
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// [`ImportError`]. The import is over then.
    pub fn line(&mut self, line: ExportLine) -> Result<(), ImportError> {
        let begun = self.records.bytes();
        match line {
            ExportLine::Export(_) if self.has_header => return Err(ImportError::SecondHeader),
            ExportLine::Export(header) => {
                if header.format() != FORMAT {
                    let found = header.format();
                    return Err(ImportError::Newer { found });
                }
                self.has_header = true;
                let (message, session) = header.numbers();
                self.records.numbers(message, session, header.next_mark);
            }
            _ if !self.has_header => return Err(ImportError::NoHeader),
            ExportLine::Session(session) => self.session(*session)?,
            ExportLine::Message(message) => self.message(*message)?,
            ExportLine::Will(orphan) => self.orphan(&orphan)?,
        }
        replay::check(self.records.since(begun)).map_err(|error| match error {
            ReplayError::Record(bad) => ImportError::Refused(bad.to_string()),
            ReplayError::Frame(bad) => ImportError::Refused(bad.to_string()),
        })?;
        if self.records.bytes() >= BATCH_BYTES {
            self.commit()?;
        }
        Ok(())
    }

    /// Makes the log complete, and says what is in it.
    ///
    /// # Errors
    /// [`ImportError::NoHeader`] if no line came, [`ImportError::Missing`] if a message is not there, or if the disk refuses.
    pub fn finish(mut self) -> Result<Imported, ImportError> {
        if !self.has_header {
            return Err(ImportError::NoHeader);
        }
        if let Some((message, client_id)) = self.missing.drain().min() {
            return Err(ImportError::Missing { message, client_id });
        }
        self.commit()?;
        self.log.close();
        match self.log.failure() {
            Some(failure) => Err(failure.into()),
            None => Ok(self.imported),
        }
    }

    fn session(&mut self, session: ExportedSession) -> Result<(), ImportError> {
        if !self.messages.is_empty() {
            let client_id = session.client_id;
            return Err(ImportError::Late { client_id });
        }
        self.take_number(session.number)?;
        if !self.client_ids.insert(session.client_id.clone()) {
            return Err(twice("the session of", format!("{:?}", session.client_id)));
        }
        let mut filters = HashSet::new();
        for subscription in &session.subscriptions {
            if !filters.insert(&subscription.filter) {
                return Err(twice("the filter", format!("{:?}", subscription.filter)));
            }
        }
        for message in session.messages() {
            let client_id = session.client_id.clone();
            self.missing.insert(message, client_id);
        }
        let checkpoint = self.checkpoint(&session)?;
        self.records.session_kept(&checkpoint);
        self.imported.sessions += 1;
        Ok(())
    }

    fn checkpoint(&self, session: &ExportedSession) -> Result<SessionCheckpoint, ImportError> {
        let instant = |ms: Option<u64>| ms.map(|ms| self.clock.instant(WallTime::from_millis(ms)));
        let mut subscriptions = Vec::new();
        for subscription in &session.subscriptions {
            let options = subscription.options()?;
            let grant = Grant::new(&options, subscription.id, true, false);
            subscriptions.push((Box::from(&*subscription.filter), grant, options));
        }
        Ok(SessionCheckpoint {
            number: session.number,
            client_id: Box::from(&*session.client_id),
            identity: session.identity.identity(),
            state: session.state()?,
            subscriptions,
            expiry_interval: session.expiry_interval,
            ends_at: instant(session.ends_at_ms),
            will: match &session.will {
                Some(will) => Some(Box::new(will.will()?)),
                None => None,
            },
            will_at: instant(session.will_at_ms),
            was_connected: session.was_connected,
            counted: if session.anonymous_from_elsewhere {
                Counted::DurableAnonymous
            } else {
                Counted::Durable
            },
        })
    }

    fn message(&mut self, line: ExportedMessage) -> Result<(), ImportError> {
        if line.publisher == 0 {
            return Err(ImportError::Zero("publisher"));
        }
        if !self.messages.insert(line.id) {
            return Err(twice("message", line.id.to_string()));
        }
        let topic = line.topic.as_str();
        let message = Arc::new(Message {
            id: line.id,
            publisher: line.publisher,
            topic: topic
                .try_into()
                .map_err(|_| BadField::new("topic", format_args!("{topic:?}")))?,
            properties: line.properties.clone(),
            payload: line.payload.bytes()?,
            qos: line.qos()?,
            retain: line.retain,
            expires_at: line
                .expires_at_ms
                .map(|ms| self.clock.instant(WallTime::from_millis(ms))),
            segment: AtomicU64::new(0),
            spilled: OnceLock::new(),
        });
        self.records.message(&message);
        self.missing.remove(&line.id);
        self.imported.messages += 1;
        if line.retained {
            if !self.topics.insert(line.topic.clone()) {
                return Err(twice("the retained message of", format!("{topic:?}")));
            }
            self.mark += 1;
            let source = line.source.map(|source| source.source());
            self.records.retain(line.id, self.mark, source.as_deref());
            self.imported.retained += 1;
        }
        Ok(())
    }

    fn orphan(&mut self, orphan: &ExportedOrphan) -> Result<(), ImportError> {
        self.take_number(orphan.session)?;
        let will = orphan.will.will()?;
        let identity = orphan.identity.identity();
        self.records
            .will_of(orphan.session, &orphan.client_id, &identity, &will);
        self.imported.wills += 1;
        Ok(())
    }

    fn take_number(&mut self, number: u64) -> Result<(), ImportError> {
        if number == 0 {
            return Err(ImportError::Zero("the number of a session"));
        }
        if self.numbers.insert(number) {
            Ok(())
        } else {
            Err(twice("session number", number.to_string()))
        }
    }

    fn commit(&mut self) -> Result<(), ImportError> {
        let group = self.records.end_turn();
        self.log.append_placed(group.records, group.durability);
        match self.log.commit() {
            Commit::Done(_) | Commit::Nothing => Ok(()),
            Commit::Full => Err(ImportError::Full),
            Commit::Failed => Err(match self.log.failure() {
                Some(failure) => failure.into(),
                None => ImportError::Full,
            }),
        }
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        // A full disk would be asked again and again.
        self.log.abandon();
    }
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import")
            .field("imported", &self.imported)
            .finish_non_exhaustive()
    }
}

fn twice(what: &'static str, name: String) -> ImportError {
    ImportError::Twice { what, name }
}

/// A snapshot that cannot be made is a field that cannot be.
impl From<SnapshotError> for ImportError {
    fn from(error: SnapshotError) -> Self {
        Self::Refused(error.to_string())
    }
}

//! What a broker did that it must not do, counted by kind, with the first offenders by name.

use std::{collections::BTreeMap, fmt};

/// How many offenders of one kind are named.
const NAMED_MAX: usize = 10;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A message was acknowledged and never delivered, or a retained one is gone.
    Lost,
    /// A QoS 2 message was delivered twice, or a QoS 1 message twice without DUP.
    Duplicated,
    /// A message came after a later one of the same publisher and topic.
    Reordered,
    /// Something that had ended is there again: a cleared retained message, a session, a subscription.
    Resurrected,
    /// Session Present is 0 where there was a session.
    SessionLost,
    /// An answer left before its record was synced.
    Early,
    /// A message, or an answer to one, never came to its end.
    Unanswered,
    /// The broker does not start, or ends otherwise than it should.
    Ended,
    /// A packet that makes no sense at this place, or a message that nobody published.
    Nonsense,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::Reordered => "reordered",
            Self::Resurrected => "resurrected",
            Self::SessionLost => "session lost",
            Self::Early => "early",
            Self::Unanswered => "unanswered",
            Self::Ended => "ended",
            Self::Nonsense => "nonsense",
        })
    }
}

/// All that was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    kinds: BTreeMap<Kind, (u64, Vec<String>)>,
}

impl Findings {
    /// One more of this kind; `who` names message, client and cycle.
    pub fn add(&mut self, kind: Kind, who: impl fmt::Display) {
        let (count, named) = self.kinds.entry(kind).or_default();
        *count += 1;
        if named.len() < NAMED_MAX {
            named.push(who.to_string());
        }
    }

    /// How many of all kinds.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.kinds.values().map(|(count, _)| count).sum()
    }

    /// How many of this kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> u64 {
        self.kinds.get(&kind).map_or(0, |(count, _)| *count)
    }

    /// All kinds and their numbers in one line: `lost 3, duplicated 1`; `none`.
    #[must_use]
    pub fn summary(&self) -> String {
        if self.kinds.is_empty() {
            return "none".to_owned();
        }
        let kinds = self.kinds.iter();
        let kinds: Vec<_> = kinds
            .map(|(kind, (count, _))| format!("{kind} {count}"))
            .collect();
        kinds.join(", ")
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, (count, named)) in &self.kinds {
            writeln!(f, "{kind}: {count}")?;
            for who in named {
                writeln!(f, "  {who}")?;
            }
            let more = count - named.len() as u64;
            if more > 0 {
                writeln!(f, "  and {more} more")?;
            }
        }
        Ok(())
    }
}

//! What a run says about each statement, and the forms in which programs read it.
//!
//! Owns how verdicts of scenes become states of statements, and JSON and JUnit. How it is shown to people is
//! the caller's business.
//!
//! ```text
//! Played, Played, ...  --by scene-->  Row  --by id-->  Judged  --by chapter-->  Count
//! ```

mod json;
mod junit;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use whinchat_codec::ProtocolVersion;

use crate::not_applicable::not_applicable;
use crate::{Actor, Failure, Played, Statement, Verdict, chapters, statements};

/// What was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A broker, by `transcripts/broker/`.
    Broker,
    /// A client, by `transcripts/client/`.
    Client,
}

/// What is known of a statement, or of a scene, after a run. The worst is last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing was played that shows it.
    NotTested,
    /// The other side chose not to have what all its scenes need.
    NotOffered,
    /// A scene passed, and none failed.
    Passed,
    /// A scene failed.
    Failed,
}

/// The states in the order in which tables have them.
pub const STATES: [State; 4] = [
    State::Passed,
    State::Failed,
    State::NotOffered,
    State::NotTested,
];

impl State {
    /// `passed`, `failed`, `not offered` or `not tested`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotOffered => "not offered",
            Self::NotTested => "not tested",
        }
    }

    /// What came of a scene, without its reason.
    pub fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::Passed,
            Verdict::Failed(_) => Self::Failed,
            Verdict::NotOffered(_) => Self::NotOffered,
            Verdict::NotTested(_) => Self::NotTested,
        }
    }
}

/// How many statements are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count([usize; STATES.len()]);

impl Count {
    /// Those in `state`.
    pub fn of(&self, state: State) -> usize {
        self.0[state as usize]
    }

    /// All together.
    pub fn statements(&self) -> usize {
        self.0.iter().sum()
    }
}

impl FromIterator<State> for Count {
    fn from_iter<T: IntoIterator<Item = State>>(states: T) -> Self {
        let mut count = Self::default();
        for state in states {
            count.0[state as usize] += 1;
        }
        count
    }
}

/// A scene in one version, with the verdict of the set-up that says most.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Row {
    /// What was played, and what came of it.
    pub played: Played,
    /// The set-up in which it came out so, if there were several.
    pub setup: Option<&'static str>,
}

impl Row {
    /// What came of it.
    pub fn state(&self) -> State {
        State::of(&self.played.verdict)
    }

    /// How it failed, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.played.verdict {
            Verdict::Failed(failure) => Some(failure),
            Verdict::Passed | Verdict::NotOffered(_) | Verdict::NotTested(_) => None,
        }
    }

    /// Why it was not played to its end, if it was not.
    pub fn why(&self) -> Option<&str> {
        match &self.played.verdict {
            Verdict::NotOffered(why) | Verdict::NotTested(why) => Some(why),
            Verdict::Passed | Verdict::Failed(_) => None,
        }
    }
}

/// A statement and what the run says about it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Judged {
    /// The statement.
    pub statement: &'static Statement,
    /// What is known of it.
    pub state: State,
    /// Why it was neither passed nor failed.
    pub why: Option<String>,
    /// Its scenes: where they stand in [`Report::rows`].
    pub scenes: Vec<usize>,
}

/// All that a run found.
#[derive(Clone, Debug)]
pub struct Report {
    subject: Subject,
    target: String,
    time: Duration,
    rows: Vec<Row>,
    statements: Vec<Judged>,
}

/// What was played in one set-up of what is judged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run {
    /// Its name, if there are several.
    pub setup: Option<&'static str>,
    /// The scenes, in the order of their files.
    pub played: Vec<Played>,
}

impl Run {
    /// A run with the only set-up that there is.
    pub fn new(played: Vec<Played>) -> Self {
        Self {
            setup: None,
            played,
        }
    }

    /// A run with one of several set-ups.
    pub fn with_setup(setup: &'static str, played: Vec<Played>) -> Self {
        Self {
            setup: Some(setup),
            played,
        }
    }
}

impl Report {
    /// Puts together what was played against `target`, in `time`. Statements that `wanted` is false for are left
    /// out.
    ///
    /// A scene that was played in several set-ups counts with its worst verdict; one that was not offered or not
    /// tested counts from where it was.
    pub fn new(
        subject: Subject,
        target: impl Into<String>,
        runs: impl IntoIterator<Item = Run>,
        time: Duration,
        wanted: impl Fn(&Statement) -> bool,
    ) -> Self {
        let rows = merged(runs);
        let statements = ProtocolVersion::ALL
            .into_iter()
            .rev()
            .flat_map(statements)
            .filter(|statement| wanted(statement))
            .map(|statement| judged(statement, subject, &rows))
            .collect();
        Self {
            subject,
            target: target.into(),
            time,
            rows,
            statements,
        }
    }

    /// The scenes, each once per version.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The statements that were asked for: the newest version first, each in the order of its list.
    pub fn statements(&self) -> &[Judged] {
        &self.statements
    }

    /// The scenes that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&Row, &Failure)> {
        self.rows
            .iter()
            .filter_map(|row| Some((row, row.failure()?)))
    }

    /// Whether nothing failed.
    pub fn is_clean(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The counts of a version.
    pub fn count(&self, version: ProtocolVersion) -> Count {
        self.of_version(version).map(|one| one.state).collect()
    }

    /// The counts of each chapter of a version, in order; chapters without a statement that was asked for are left
    /// out.
    pub fn chapters(&self, version: ProtocolVersion) -> Vec<(&'static str, Count)> {
        chapters(version)
            .iter()
            .map(|chapter| {
                let states = self
                    .of_version(version)
                    .filter(|one| one.statement.chapter() == *chapter)
                    .map(|one| one.state);
                (chapter.as_str(), states.collect::<Count>())
            })
            .filter(|(_, count)| count.statements() > 0)
            .collect()
    }

    fn of_version(&self, version: ProtocolVersion) -> impl Iterator<Item = &Judged> {
        self.statements
            .iter()
            .filter(move |one| one.statement.version == version)
    }
}

/// One row for each scene, in the order in which they were first met.
fn merged(runs: impl IntoIterator<Item = Run>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for Run { setup, played } in runs {
        for played in played {
            let row = Row { played, setup };
            match places.get(&row.played.name) {
                Some(place) if rows[*place].state() < row.state() => rows[*place] = row,
                Some(_) => {}
                None => {
                    places.insert(row.played.name.clone(), rows.len());
                    rows.push(row);
                }
            }
        }
    }
    rows
}

fn judged(statement: &'static Statement, subject: Subject, rows: &[Row]) -> Judged {
    let scenes: Vec<usize> = (0..rows.len())
        .filter(|index| {
            let played = &rows[*index].played;
            played.version == statement.version && played.ids.contains(&statement.id)
        })
        .collect();
    let state = scenes
        .iter()
        .map(|index| rows[*index].state())
        .max()
        .unwrap_or(State::NotTested);
    let why = match state {
        State::Passed | State::Failed => None,
        State::NotOffered | State::NotTested => {
            Some(reasons(statement, subject, state, &scenes, rows))
        }
    };
    Judged {
        statement,
        state,
        why,
        scenes,
    }
}

/// The reasons of the scenes that are in the statement's own state, each once.
fn reasons(
    statement: &Statement,
    subject: Subject,
    state: State,
    scenes: &[usize],
    rows: &[Row],
) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for row in scenes.iter().map(|index| &rows[*index]) {
        if let Some(why) = row.why().filter(|why| !reasons.contains(why))
            && row.state() == state
        {
            reasons.push(why);
        }
    }
    if reasons.is_empty() {
        let not_applicable = not_applicable(statement);
        reasons.push(match (subject, statement.actor, not_applicable) {
            (_, _, Some(why)) => why,
            (Subject::Broker, Actor::Client, None) => "about clients, see --client",
            (Subject::Client, Actor::Server, None) => "about servers",
            _ => "no scene shows it",
        });
    }
    reasons.join("; ")
}

//! What comes of a scene.

use std::{fmt, time::Duration};

use whinchat_codec::ProtocolVersion;

/// A scene that was played in one version.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Played {
    /// Version, statement ids and title: `v5 MQTT-4.3.3-10 a repeated ...`.
    pub name: String,
    /// The file of the scene, relative to `transcripts/`, and the line of its title.
    pub place: String,
    /// The version it was played in.
    pub version: ProtocolVersion,
    /// The statements that it shows.
    pub ids: Vec<String>,
    /// What came of it.
    pub verdict: Verdict,
    /// How long it took.
    pub duration: Duration,
}

/// What came of a scene.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Everything came as it is written.
    Passed,
    /// Something else came, or nothing.
    Failed(Box<Failure>),
    /// The other side chose not to have what the scene needs; says what.
    NotOffered(String),
    /// The other side is not set up for the scene; says why.
    NotTested(String),
}

/// How a scene failed.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Failure {
    /// The line of the scene's file.
    pub line: usize,
    /// The step as it is written.
    pub step: String,
    /// What was sent last by the client that the step is about, in the notation; empty if nothing.
    pub sent: String,
    /// What should have come.
    pub expected: String,
    /// What came.
    pub received: String,
    /// All that was sent and received before, in the notation, oldest first.
    pub conversation: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "line {}: {}", self.line, self.step)?;
        for line in &self.conversation {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "  expected  {}", self.expected)?;
        write!(f, "  received  {}", self.received)
    }
}

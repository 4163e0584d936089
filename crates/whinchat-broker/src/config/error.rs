//! What is wrong with a configuration, said so that it can be put right: where, what, what was
//! expected, and what was perhaps meant.

use std::fmt;

use super::foreign::Hint;

/// A configuration that is refused, with everything that is wrong with it.
///
/// `Display` gives one line per problem: `whinchat.toml:7: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// At least one problem, sorted by place.
    pub(super) fn new(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by_key(|problem| problem.line());
        (!problems.is_empty()).then_some(Self { problems })
    }

    /// The problems: those of a file in the order of its lines, then those of the environment.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub(super) place: Place,
    pub(super) what: What,
}

impl Problem {
    /// The line of the file, counted from 1; `None` if it was not a line of a file.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self.place {
            Place::Line { line, .. } => Some(line),
            Place::File { .. } | Place::Variable { .. } | Place::Whole => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Line { file, line } => write!(f, "{file}:{line}: ")?,
            Place::File { file } => write!(f, "{file}: ")?,
            Place::Variable { name } => write!(f, "environment variable {name}: ")?,
            Place::Whole => {}
        }
        self.what.fmt(f)
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Line {
        file: String,
        line: usize,
    },
    File {
        file: String,
    },
    Variable {
        name: String,
    },
    /// From several places taken together.
    Whole,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// What the operating system answered.
    Unreadable(String),
    NotUtf8,
    /// What the TOML parser says.
    Syntax(String),
    Unknown {
        key: String,
        meant: Option<String>,
    },
    /// A limit that only the whole broker has.
    NotOfAListener {
        key: String,
    },
    BadValue {
        key: String,
        value: String,
        expected: String,
    },
    NotPossible {
        key: String,
        value: String,
        reason: &'static str,
    },
    /// A heading that was used as a key, or the other way round.
    BadShape {
        key: String,
        expected: &'static str,
    },
    ListenerWithoutUrl,
    Doubled {
        key: &'static str,
        value: String,
    },
    LoginRequired(crate::access::LoginRequired),
    Mosquitto(Vec<Hint>),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::NotUtf8 => f.write_str("is not UTF-8 text"),
            Self::Syntax(message) => f.write_str(message),
            Self::Unknown {
                key,
                meant: Some(meant),
            } => write!(f, "unknown key {key}; perhaps {meant} is meant"),
            Self::Unknown { key, meant: None } => {
                write!(
                    f,
                    "unknown key {key}; `whinchat config default` lists all there are"
                )
            }
            Self::NotOfAListener { key } => {
                write!(
                    f,
                    "{key} is a limit of the whole broker: it belongs under [limits], not under a listener"
                )
            }
            Self::BadValue {
                key,
                value,
                expected,
            } => write!(f, "{key} = {value}: expected {expected}"),
            Self::NotPossible { key, value, reason } => write!(f, "{key} = {value}: {reason}"),
            Self::BadShape { key, expected } => write!(f, "{key}: expected {expected}"),
            Self::ListenerWithoutUrl => {
                f.write_str("a listener needs a url, such as url = \"mqtt://127.0.0.1:1883\"")
            }
            Self::Doubled { key, value } => write!(f, "two listeners have the {key} {value}"),
            Self::LoginRequired(error) => error.fmt(f),
            Self::Mosquitto(hints) => {
                f.write_str(
                    "this is a configuration file of Mosquitto; Whinchat has its own, in TOML. \
                     `whinchat config default > whinchat.toml` gives one to start from.",
                )?;
                hints
                    .iter()
                    .try_for_each(|hint| write!(f, "\n  line {}: {hint}", hint.line))
            }
        }
    }
}

/// The known word that is nearest to `word`, if it is near enough to have been meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const SIMILAR: f64 = 0.75;
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

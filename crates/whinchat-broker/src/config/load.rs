//! From a file and the environment to a [`Config`].
//!
//! All that is wrong is collected, so that one run of `whinchat config check` is enough. Order:
//! sections of the file, sections of the environment, then the listeners, whose own limits start
//! from those that all have.

use std::{collections::BTreeSet, ffi::OsString, fs, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Config, ListenerConfig,
    error::{ConfigError, Place, Problem, What, nearest},
    foreign,
    row::{Section, Wrong},
    sections::Sections,
    value::Given,
};
use crate::{BrokerLimits, access};

/// What begins the name of every environment variable that is read.
pub const ENVIRONMENT_PREFIX: &str = "WHINCHAT__";

const LISTENER: &str = ListenerConfig::NAME;
const LIMITS: &str = BrokerLimits::NAME;

impl Config {
    /// Reads `file`, if there is one, and then `environment`, over the defaults.
    ///
    /// Of the environment only names that begin with [`ENVIRONMENT_PREFIX`] are looked at:
    /// `WHINCHAT__LIMITS__PACKET_SIZE=1MiB`, `WHINCHAT__LISTENER__NAME__ANONYMOUS=true`. A `URL`
    /// of a name that the file does not have adds a listener; it takes the place of those of the
    /// default.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with file and environment. Whether the listeners may be open is
    /// said by [`check`](Self::check).
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let read = |path: &Path| (path.display().to_string(), fs::read(path));
        let mut loader = Loader::default();
        let source = file
            .map(read)
            .and_then(|(name, read)| loader.text(name, read));
        let variables = loader.variables(environment);
        loader.load(
            source
                .as_ref()
                .map(|(name, text)| (name.as_str(), text.as_str())),
            &variables,
        )
    }

    /// Reads the text of a file, named `name` in errors, over the defaults.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        Loader::default().load(Some((name, text)), &[])
    }

    /// What must hold between options.
    ///
    /// # Errors
    ///
    /// Two listeners with one name or at one place; a listener that other machines reach, without
    /// `anonymous = true` and without an authenticator.
    pub fn check(&self, has_authenticator: bool) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        let mut report = |what| {
            problems.push(Problem {
                place: Place::Whole,
                what,
            })
        };
        let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
        for listener in &self.listeners {
            if let Some(name) = &listener.name
                && !names.insert(name.to_lowercase())
            {
                report(What::Doubled {
                    key: "name",
                    value: name.clone(),
                });
            }
            let url = listener.url.to_string();
            if !url.ends_with(":0") && !places.insert(url.clone()) {
                report(What::Doubled {
                    key: "url",
                    value: url,
                });
            }
            if let Err(error) = access::admits_anonymous(listener, has_authenticator) {
                report(What::LoginRequired(error));
            }
        }
        ConfigError::new(problems).map_or(Ok(()), Err)
    }
}

#[derive(Default)]
struct Loader {
    problems: Vec<Problem>,
}

/// An environment variable of ours: its name, its parts in lower case, its value.
struct Variable {
    name: String,
    path: Vec<String>,
    value: String,
}

/// A file while it is read: for turning a position into a line.
#[derive(Clone, Copy)]
struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn place(self, offset: usize) -> Place {
        let before = self.text.as_bytes().iter().take(offset);
        Place::Line {
            file: self.file.to_owned(),
            line: 1 + before.filter(|byte| **byte == b'\n').count(),
        }
    }
}

impl Loader {
    fn report(&mut self, place: Place, what: What) {
        self.problems.push(Problem { place, what });
    }

    fn text(&mut self, name: String, read: std::io::Result<Vec<u8>>) -> Option<(String, String)> {
        let what = match read.map(String::from_utf8) {
            Ok(Ok(text)) => return Some((name, text)),
            Ok(Err(_)) => What::NotUtf8,
            Err(error) => What::Unreadable(error.to_string()),
        };
        self.report(Place::File { file: name }, what);
        None
    }

    fn variables(
        &mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Vec<Variable> {
        let mut variables = Vec::new();
        for (name, value) in environment {
            let name = name.to_string_lossy().into_owned();
            let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) else {
                continue;
            };
            let path = path.to_lowercase().split("__").map(str::to_owned).collect();
            match value.into_string() {
                Ok(value) => variables.push(Variable { name, path, value }),
                Err(_) => self.report(Place::Variable { name }, What::NotUtf8),
            }
        }
        // A listener's url comes first: it makes the listener that the others change.
        variables.sort_by_key(|variable: &Variable| {
            (
                variable.path.last().is_none_or(|key| key != "url"),
                variable.name.clone(),
            )
        });
        variables
    }

    fn load(
        mut self,
        file: Option<(&str, &str)>,
        variables: &[Variable],
    ) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        let document = file.and_then(|(file, text)| {
            let source = Source { file, text };
            self.document(source).map(|document| (source, document))
        });
        if let Some((source, document)) = &document {
            self.sections(*source, document, &mut config);
        }
        for variable in variables
            .iter()
            .filter(|variable| variable.path[0] != LISTENER)
        {
            self.section_variable(variable, &mut config);
        }
        let listeners = document
            .as_ref()
            .and_then(|(source, document)| Some((*source, document.get(LISTENER)?)));
        if let Some((source, listeners)) = listeners {
            self.listeners(source, listeners, &mut config);
        }
        let of_listeners = || {
            variables
                .iter()
                .filter(|variable| variable.path[0] == LISTENER)
        };
        if listeners.is_none()
            && of_listeners().any(|variable| variable.path.get(2).is_some_and(|key| key == "url"))
        {
            config.listeners.clear();
        }
        for variable in of_listeners() {
            self.listener_variable(variable, &mut config);
        }
        ConfigError::new(self.problems).map_or(Ok(config), Err)
    }

    fn document<'a>(&mut self, source: Source<'a>) -> Option<DeTable<'a>> {
        match DeTable::parse(source.text) {
            Ok(document) => Some(document.into_inner()),
            Err(error) => {
                let (place, what) = match foreign::mosquitto(source.text) {
                    Some(hints) => (
                        Place::File {
                            file: source.file.to_owned(),
                        },
                        What::Mosquitto(hints),
                    ),
                    None => {
                        let offset = error.span().map_or(0, |span| span.start);
                        (
                            source.place(offset),
                            What::Syntax(error.message().to_owned()),
                        )
                    }
                };
                self.report(place, what);
                None
            }
        }
    }

    /// Everything of a file but the listeners.
    fn sections(&mut self, source: Source<'_>, document: &DeTable<'_>, config: &mut Config) {
        for (key, value) in document {
            let name = key.get_ref().as_ref();
            let place = || source.place(key.span().start);
            if name == LISTENER {
                continue;
            }
            if Config::is_section(name) {
                let DeValue::Table(table) = value.get_ref() else {
                    let expected = "a heading: [name]";
                    self.report(
                        place(),
                        What::BadShape {
                            key: name.to_owned(),
                            expected,
                        },
                    );
                    continue;
                };
                self.table(source, name, table, config);
                continue;
            }
            if matches!(value.get_ref(), DeValue::Table(_)) {
                let meant = nearest(name, Config::section_names()).map(|name| format!("[{name}]"));
                self.report(
                    place(),
                    What::Unknown {
                        key: format!("[{name}]"),
                        meant,
                    },
                );
                continue;
            }
            self.set(place(), "", name, Given::Toml(value.get_ref()), config);
        }
    }

    fn table(
        &mut self,
        source: Source<'_>,
        section: &str,
        table: &DeTable<'_>,
        config: &mut Config,
    ) {
        for (key, value) in table {
            let place = source.place(key.span().start);
            self.set(
                place,
                section,
                key.get_ref(),
                Given::Toml(value.get_ref()),
                config,
            );
        }
    }

    /// One option outside the listeners; `section` exists.
    fn set(
        &mut self,
        place: Place,
        section: &str,
        key: &str,
        given: Given<'_>,
        config: &mut Config,
    ) {
        let outcome = config
            .with_named_section(section, &mut Setter { key, given })
            .unwrap_or(Outcome::Unknown);
        let path = path(section, key);
        match outcome {
            Outcome::Set => {}
            Outcome::Wrong(wrong) => self.report(place, wrong_value(path, given, wrong)),
            Outcome::Unknown => {
                let meant = Config::nearest_option(section, key);
                self.report(place, What::Unknown { key: path, meant });
            }
        }
    }

    fn section_variable(&mut self, variable: &Variable, config: &mut Config) {
        let place = Place::Variable {
            name: variable.name.clone(),
        };
        let given = Given::Text(&variable.value);
        match variable.path.as_slice() {
            [key] => self.set_variable(place, "", key, given, config),
            [section, key] if Config::is_section(section) => {
                self.set_variable(place, section, key, given, config)
            }
            path => {
                let meant = nearest_variable(&path.join("__"));
                self.report(
                    place,
                    What::Unknown {
                        key: path.join("."),
                        meant,
                    },
                );
            }
        }
    }

    /// As [`set`](Self::set); what is perhaps meant is the name of a variable.
    fn set_variable(
        &mut self,
        place: Place,
        section: &str,
        key: &str,
        given: Given<'_>,
        config: &mut Config,
    ) {
        let before = self.problems.len();
        self.set(place, section, key, given, config);
        if let Some(Problem {
            what: What::Unknown { meant, .. },
            ..
        }) = self.problems.get_mut(before)
        {
            let words = [section, key];
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            *meant = nearest_variable(&words.join("__"));
        }
    }

    fn listeners(
        &mut self,
        source: Source<'_>,
        listeners: &Spanned<DeValue<'_>>,
        config: &mut Config,
    ) {
        const SHAPE: &str = "a heading in two brackets, one for each listener: [[listener]]";
        let bad = || What::BadShape {
            key: LISTENER.to_owned(),
            expected: SHAPE,
        };
        let DeValue::Array(array) = listeners.get_ref() else {
            self.report(source.place(listeners.span().start), bad());
            return;
        };
        config.listeners.clear();
        for element in array {
            let place = source.place(element.span().start);
            let DeValue::Table(table) = element.get_ref() else {
                self.report(place, bad());
                continue;
            };
            let listener = self.listener(source, table, &config.limits);
            if !table.contains_key("url") {
                self.report(place, What::ListenerWithoutUrl);
            }
            config.listeners.push(listener);
        }
    }

    fn listener(
        &mut self,
        source: Source<'_>,
        table: &DeTable<'_>,
        limits: &BrokerLimits,
    ) -> ListenerConfig {
        let mut listener = ListenerConfig::default();
        for (key, value) in table {
            let place = source.place(key.span().start);
            match (key.get_ref().as_ref(), value.get_ref()) {
                (LIMITS, DeValue::Table(table)) => {
                    let own = listener.limits.get_or_insert_with(|| limits.clone());
                    for (key, value) in table {
                        let place = source.place(key.span().start);
                        self.set_listener_limit(
                            place,
                            key.get_ref(),
                            Given::Toml(value.get_ref()),
                            own,
                        );
                    }
                }
                (LIMITS, _) => {
                    let expected = "a heading below the listener's: [listener.limits]";
                    self.report(
                        place,
                        What::BadShape {
                            key: "listener.limits".to_owned(),
                            expected,
                        },
                    );
                }
                (key, value) => self.set_listener(place, key, Given::Toml(value), &mut listener),
            }
        }
        listener
    }

    fn set_listener(
        &mut self,
        place: Place,
        key: &str,
        given: Given<'_>,
        listener: &mut ListenerConfig,
    ) {
        let what = match set(listener, key, given) {
            Outcome::Set => return,
            Outcome::Wrong(wrong) => wrong_value(path(LISTENER, key), given, wrong),
            Outcome::Unknown => {
                let known = ListenerConfig::ROWS
                    .iter()
                    .map(|row| row.key)
                    .chain([LIMITS]);
                What::Unknown {
                    key: path(LISTENER, key),
                    meant: nearest(key, known).map(str::to_owned),
                }
            }
        };
        self.report(place, what);
    }

    fn set_listener_limit(
        &mut self,
        place: Place,
        key: &str,
        given: Given<'_>,
        limits: &mut BrokerLimits,
    ) {
        let path = format!("listener.limits.{key}");
        let what = if BrokerLimits::ROWS.iter().any(|row| row.key == key)
            && !BrokerLimits::OF_A_LISTENER.contains(&key)
        {
            What::NotOfAListener {
                key: key.to_owned(),
            }
        } else {
            match set(limits, key, given) {
                Outcome::Set => return,
                Outcome::Wrong(wrong) => wrong_value(path, given, wrong),
                Outcome::Unknown => {
                    let meant = nearest(key, BrokerLimits::OF_A_LISTENER.iter().copied())
                        .map(str::to_owned);
                    What::Unknown { key: path, meant }
                }
            }
        };
        self.report(place, what);
    }

    fn listener_variable(&mut self, variable: &Variable, config: &mut Config) {
        let place = Place::Variable {
            name: variable.name.clone(),
        };
        let given = Given::Text(&variable.value);
        let (name, key) = match variable.path.as_slice() {
            [_, name, key] => (name, key),
            [_, name, limits, key] if limits == LIMITS => {
                let limits = config.limits.clone();
                if let Some(listener) = named(&mut config.listeners, name) {
                    let own = listener.limits.get_or_insert(limits);
                    self.set_listener_limit(place, key, given, own);
                } else {
                    self.report(place, What::ListenerWithoutUrl);
                }
                return;
            }
            path => {
                let meant = Some(format!("{ENVIRONMENT_PREFIX}LISTENER__NAME__URL"));
                self.report(
                    place,
                    What::Unknown {
                        key: path.join("."),
                        meant,
                    },
                );
                return;
            }
        };
        if named(&mut config.listeners, name).is_none() && key == "url" {
            config.listeners.push(ListenerConfig {
                name: Some(name.clone()),
                ..ListenerConfig::default()
            });
        }
        match named(&mut config.listeners, name) {
            Some(listener) => self.set_listener(place, key, given, listener),
            None => self.report(place, What::ListenerWithoutUrl),
        }
    }
}

/// The listener with this name, as an environment variable can write it.
fn named<'a>(listeners: &'a mut [ListenerConfig], name: &str) -> Option<&'a mut ListenerConfig> {
    let as_variable = |name: &str| name.to_lowercase().replace('-', "_");
    listeners.iter_mut().find(|listener| {
        listener
            .name
            .as_deref()
            .is_some_and(|own| as_variable(own) == name)
    })
}

fn path(section: &str, key: &str) -> String {
    if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}.{key}")
    }
}

fn wrong_value(key: String, given: Given<'_>, wrong: Wrong) -> What {
    let value = given.to_string();
    match wrong {
        Wrong::Expected(expected) => What::BadValue {
            key,
            value,
            expected,
        },
        Wrong::Because(reason) => What::NotPossible { key, value, reason },
    }
}

/// The variable whose name is nearest to what follows the prefix, in lower case.
fn nearest_variable(path: &str) -> Option<String> {
    let known = Config::option_paths().map(|(section, key)| {
        if section.is_empty() {
            key.to_owned()
        } else {
            format!("{section}__{key}")
        }
    });
    let known: Vec<String> = known.collect();
    nearest(path, known.iter().map(String::as_str))
        .map(|name| format!("{ENVIRONMENT_PREFIX}{}", name.to_uppercase()))
}

/// What became of an attempt to set an option.
pub(super) enum Outcome {
    Set,
    Wrong(Wrong),
    Unknown,
}

/// Sets one option of whichever section it is shown.
pub(super) struct Setter<'a> {
    key: &'a str,
    given: Given<'a>,
}

impl Sections for Setter<'_> {
    type Answer = Outcome;

    fn visit<S: Section>(&mut self, section: &mut S) -> Outcome {
        set(section, self.key, self.given)
    }
}

fn set<S: Section>(section: &mut S, key: &str, given: Given<'_>) -> Outcome {
    let Some(row) = S::ROWS.iter().find(|row| row.key == key) else {
        return Outcome::Unknown;
    };
    match (row.set)(section, given) {
        Ok(()) => Outcome::Set,
        Err(wrong) => Outcome::Wrong(wrong),
    }
}

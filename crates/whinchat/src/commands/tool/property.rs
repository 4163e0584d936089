//! `-D COMMAND NAME VALUE`: properties of 5.0 from the command line.

use clap::{Arg, ArgAction, ArgMatches, Command};
use whinchat_client::{PublishProperties, WillProperties};

use super::Failure;

/// The packet a property goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Connect,
    Publish,
    Subscribe,
    Will,
}

/// All `-D` of one command line, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct PropertyArgs(Vec<Given>);

#[derive(Clone, Debug)]
struct Given {
    stage: Stage,
    name: String,
    /// One value; two for a user property.
    values: Vec<String>,
}

const ID: &str = "property";

const HELP: &str = "Adds a property: COMMAND is connect, publish, subscribe or will, NAME as in the specification \
                    with '-' for blanks, and user-property takes two values";

// By hand: the derived form cannot tell where one -D ends and the next begins.
impl clap::Args for PropertyArgs {
    fn augment_args(command: Command) -> Command {
        command.arg(
            Arg::new(ID)
                .short('D')
                .long("property")
                .num_args(3..=4)
                .value_names(["COMMAND", "NAME", "VALUE", "VALUE"])
                .action(ArgAction::Append)
                .help_heading("Properties")
                .help(HELP),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for PropertyArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = matches.get_occurrences::<String>(ID).into_iter().flatten();
        given
            .map(|words| Given::parse(&words.map(String::as_str).collect::<Vec<_>>()))
            .collect::<Result<_, _>>()
            .map(Self)
            .map_err(|message| {
                clap::Error::raw(clap::error::ErrorKind::ValueValidation, message + "\n")
            })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Given {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let [stage, name, values @ ..] = words else {
            return Err("-D needs a command, a name and a value".into());
        };
        let stage = match stage.to_ascii_lowercase().as_str() {
            "connect" => Stage::Connect,
            "publish" => Stage::Publish,
            "subscribe" => Stage::Subscribe,
            "will" => Stage::Will,
            _ => {
                return Err(format!(
                    "-D {stage}: expected connect, publish, subscribe or will"
                ));
            }
        };
        let expected = if *name == "user-property" { 2 } else { 1 };
        if values.len() != expected {
            return Err(format!(
                "-D {} {name}: expected {expected} value(s), found {}",
                words[0],
                values.len()
            ));
        }
        let names = stage.names();
        if !names.contains(name) {
            return Err(format!(
                "-D {} {name}: expected one of {}",
                words[0],
                names.join(", ")
            ));
        }
        Ok(Self {
            stage,
            name: (*name).to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        })
    }

    fn value(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }

    fn number(&self, min: u32, max: u32) -> Result<u32, Failure> {
        match self.value().parse() {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(self.refused(&format!("expected {min} to {max}"))),
        }
    }

    fn flag(&self) -> Result<bool, Failure> {
        Ok(self.number(0, 1)? == 1)
    }

    fn refused(&self, why: &dyn std::fmt::Display) -> Failure {
        Failure::Usage(format!("property {} {:?}: {why}", self.name, self.value()))
    }
}

impl Stage {
    /// Properties that can be given. What the client decides itself (topic aliases) or does not offer is none of them.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Connect => &[
                "maximum-packet-size",
                "receive-maximum",
                "session-expiry-interval",
                "topic-alias-maximum",
                "user-property",
            ],
            Self::Publish => &[
                "content-type",
                "correlation-data",
                "message-expiry-interval",
                "payload-format-indicator",
                "response-topic",
                "user-property",
            ],
            Self::Subscribe => &["user-property"],
            Self::Will => &[
                "content-type",
                "correlation-data",
                "message-expiry-interval",
                "payload-format-indicator",
                "response-topic",
                "user-property",
                "will-delay-interval",
            ],
        }
    }
}

impl PropertyArgs {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any property is for `stage`.
    pub(crate) fn names(&self, stage: Stage) -> bool {
        self.of(stage).next().is_some()
    }

    pub(crate) fn user_properties(&self, stage: Stage) -> impl Iterator<Item = (&str, &str)> {
        self.of(stage)
            .filter(|given| given.name == "user-property")
            .filter_map(|given| match &*given.values {
                [name, value] => Some((name.as_str(), value.as_str())),
                _ => None,
            })
    }

    /// The last of this name.
    pub(super) fn connect_number(
        &self,
        name: &str,
        min: u32,
        max: u32,
    ) -> Result<Option<u32>, Failure> {
        self.of(Stage::Connect)
            .filter(|given| given.name == name)
            .last()
            .map(|given| given.number(min, max))
            .transpose()
    }

    /// # Errors
    /// A value that its property cannot have.
    pub(crate) fn publish(&self) -> Result<PublishProperties, Failure> {
        let mut properties = PublishProperties::new();
        for given in self.of(Stage::Publish) {
            let set = match given.name.as_str() {
                "content-type" => properties.set_content_type(given.value()),
                "correlation-data" => properties.set_correlation_data(given.value().as_bytes()),
                "message-expiry-interval" => {
                    properties.set_message_expiry_interval(given.number(0, u32::MAX)?);
                    Ok(())
                }
                "payload-format-indicator" => {
                    properties.set_payload_format_indicator(given.flag()?);
                    Ok(())
                }
                "response-topic" => properties.set_response_topic(given.value()),
                _ => Ok(()),
            };
            set.map_err(|error| given.refused(&error))?;
        }
        for (name, value) in self.user_properties(Stage::Publish) {
            properties
                .add_user_property(name, value)
                .map_err(|error| Failure::Usage(format!("user property: {error}")))?;
        }
        Ok(properties)
    }

    /// # Errors
    /// A value that its property cannot have.
    pub(super) fn will(&self) -> Result<WillProperties, Failure> {
        let mut properties = WillProperties::new();
        for given in self.of(Stage::Will) {
            let set = match given.name.as_str() {
                "content-type" => properties.set_content_type(given.value()),
                "correlation-data" => properties.set_correlation_data(given.value().as_bytes()),
                "message-expiry-interval" => {
                    properties.set_message_expiry_interval(given.number(0, u32::MAX)?);
                    Ok(())
                }
                "payload-format-indicator" => {
                    properties.set_payload_format_indicator(given.flag()?);
                    Ok(())
                }
                "response-topic" => properties.set_response_topic(given.value()),
                "will-delay-interval" => {
                    properties.set_will_delay_interval(given.number(0, u32::MAX)?);
                    Ok(())
                }
                _ => Ok(()),
            };
            set.map_err(|error| given.refused(&error))?;
        }
        for (name, value) in self.user_properties(Stage::Will) {
            properties
                .add_user_property(name, value)
                .map_err(|error| Failure::Usage(format!("user property: {error}")))?;
        }
        Ok(properties)
    }

    /// A property that this tool would do nothing with.
    ///
    /// # Errors
    /// There is one.
    pub(crate) fn refuse(&self, stage: Stage, why: &str) -> Result<(), Failure> {
        if self.names(stage) {
            Err(Failure::Usage(why.to_owned()))
        } else {
            Ok(())
        }
    }

    fn of(&self, stage: Stage) -> impl Iterator<Item = &Given> {
        self.0.iter().filter(move |given| given.stage == stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_names_its_packet_and_has_as_many_values_as_it_needs() {
        assert!(Given::parse(&["PUBLISH", "content-type", "text/plain"]).is_ok());
        assert!(Given::parse(&["publish", "user-property", "a", "b"]).is_ok());
        for wrong in [
            &["publish", "user-property", "a"][..],
            &["publish", "content-type", "a", "b"],
            &["publish", "will-delay-interval", "1"],
            &["publish", "topic-alias", "1"],
            &["puback", "user-property", "a", "b"],
        ] {
            assert!(Given::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn values_are_checked_against_their_property() {
        let args = |words: &[&str]| PropertyArgs(vec![Given::parse(words).unwrap()]);
        let expiry = args(&["publish", "message-expiry-interval", "60"])
            .publish()
            .unwrap();
        assert_eq!(expiry.message_expiry_interval(), Some(60));
        assert!(
            args(&["publish", "message-expiry-interval", "-1"])
                .publish()
                .is_err()
        );
        assert!(
            args(&["publish", "payload-format-indicator", "2"])
                .publish()
                .is_err()
        );
        let zero = args(&["connect", "receive-maximum", "0"]);
        assert!(zero.connect_number("receive-maximum", 1, 65_535).is_err());
        assert_eq!(
            args(&["will", "will-delay-interval", "5"])
                .will()
                .unwrap()
                .will_delay_interval(),
            Some(5)
        );
    }
}

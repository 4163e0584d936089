//! Rows against values: every option at its ends, outside them, twice, and as something else.

use proptest::prelude::*;

use super::{
    row::{Section, Wrong},
    sections::Sections,
    value::Given,
    *,
};
use crate::BrokerLimits;

/// One option with all a test wants to know about it.
#[derive(Clone, Debug)]
struct Known {
    section: &'static str,
    key: &'static str,
    default: String,
    /// Smallest and largest value: the number and how it is written.
    bounds: Option<[(u64, String); 2]>,
}

impl Known {
    fn path(&self) -> String {
        if self.section.is_empty() {
            self.key.to_owned()
        } else {
            format!("{}.{}", self.section, self.key)
        }
    }

    /// A file that says only this.
    fn file(&self, value: &str) -> String {
        let heading = if self.section.is_empty() {
            String::new()
        } else {
            format!("[{}]\n", self.section)
        };
        format!("{heading}{} = {value}\n", self.key)
    }
}

struct Collect(Vec<Known>);

impl Sections for Collect {
    type Answer = ();

    fn visit<S: Section>(&mut self, section: &mut S) {
        self.0.extend(S::ROWS.iter().map(|row| Known {
            section: S::NAME,
            key: row.key,
            default: (row.show)(section),
            bounds: (row.bounds)(),
        }));
    }
}

fn known() -> Vec<Known> {
    let mut collect = Collect(Vec::new());
    Config::default().for_each_section(&mut collect);
    collect.0
}

#[test]
fn every_number_has_a_range() {
    struct Check;
    impl Sections for Check {
        type Answer = ();
        fn visit<S: Section>(&mut self, _section: &mut S) {
            for row in S::ROWS {
                let takes_a_number =
                    (row.expected)().contains("whole number") || (row.expected)().contains("unit");
                assert_eq!(takes_a_number, (row.bounds)().is_some(), "{}", row.key);
            }
        }
    }
    Config::default().for_each_section(&mut Check);
}

#[test]
fn each_option_takes_its_default_and_both_ends_of_its_range() {
    for option in known() {
        let config = Config::parse("t", &option.file(&option.default));
        assert_eq!(config.as_ref(), Ok(&Config::default()), "{}", option.path());
        for (_, text) in option.bounds.iter().flatten() {
            let unit = text.ends_with(|c: char| !c.is_ascii_digit());
            let literal = if unit {
                format!("\"{text}\"")
            } else {
                text.clone()
            };
            assert!(
                Config::parse("t", &option.file(&literal)).is_ok(),
                "{} = {literal}",
                option.path()
            );
        }
    }
}

#[test]
fn each_option_refuses_what_lies_beyond_its_range_and_says_where() {
    for option in known() {
        let Some([(min, _), (max, text)]) = &option.bounds else {
            continue;
        };
        // One step beyond, in the smallest unit of the option.
        let unit = match text.trim_start_matches(|c: char| c.is_ascii_digit()) {
            "" => None,
            unit if unit.ends_with('B') => Some("B"),
            _ => Some("ms"),
        };
        let literal =
            |number: u64| unit.map_or(number.to_string(), |unit| format!("\"{number}{unit}\""));
        let beyond = [min.checked_sub(1), max.checked_add(1)];
        for number in beyond.into_iter().flatten() {
            let file = option.file(&literal(number));
            let error = Config::parse("whinchat.toml", &file)
                .expect_err(&file)
                .to_string();
            let line = file.lines().count();
            assert!(
                error.starts_with(&format!("whinchat.toml:{line}: {} = ", option.path())),
                "{error}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever stands on the right, an option takes it with a value that is shown and read back, or
    /// refuses it with the line.
    #[test]
    fn any_value_is_taken_or_refused_with_its_line(
        option in prop::sample::select(known()),
        value in prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_map(|n| format!("{n:?}").replace("NaN", "nan")),
            Just("true".to_owned()),
            Just("[]".to_owned()),
            Just("{}".to_owned()),
            Just("\"\"".to_owned()),
            Just("\"none\"".to_owned()),
            Just("\"auto\"".to_owned()),
            "\"-?[0-9]{1,22}(B|KiB|MiB|TiB|ms|s|m|h|d|)\"",
            "\"[a-z0-9.:/ -]{0,20}\"",
        ],
    ) {
        let file = option.file(&value);
        match Config::parse("t", &file) {
            Ok(mut config) => {
                let shown = known_of(&mut config).into_iter().find(|known| known.path() == option.path()).unwrap();
                prop_assert_eq!(Config::parse("t", &option.file(&shown.default)), Ok(config));
            }
            Err(error) => {
                prop_assert_eq!(error.problems().len(), 1);
                prop_assert_eq!(error.problems()[0].line(), Some(file.lines().count()), "{}", error);
            }
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_with_its_line(option in prop::sample::select(known())) {
        let once = format!("{} = {}\n", option.key, option.default);
        let file = format!("{}{once}", option.file(&option.default));
        let error = Config::parse("t", &file).unwrap_err();
        prop_assert_eq!(error.problems()[0].line(), Some(file.lines().count()), "{}", error);
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_line_and_the_right_one(
        option in prop::sample::select(known()),
        position: prop::sample::Index,
    ) {
        // One letter too many; short words are too far from any other.
        let mut key = option.key.to_owned();
        key.insert(position.index(key.len() + 1), 'x');
        let misspelt = Known { key: Box::leak(key.into_boxed_str()), ..option.clone() };
        let error = Config::parse("t", &misspelt.file(&option.default)).unwrap_err().to_string();
        prop_assert!(error.contains(&format!("unknown key {}", misspelt.path())), "{}", error);
        prop_assert!(error.contains("perhaps") && error.contains(option.key), "{}", error);
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC{0,200}") {
        let _ = Config::parse("t", &text);
    }

    #[test]
    fn the_environment_says_the_same_as_a_file(option in prop::sample::select(known()), high: bool) {
        let Some([low_end, high_end]) = option.bounds.clone() else { return Ok(()) };
        let text = if high { high_end.1 } else { low_end.1 };
        let variable = format!("{ENVIRONMENT_PREFIX}{}", option.path().replace('.', "__").to_uppercase());
        let from_environment = Config::load(None, [(variable.into(), text.clone().into())]);
        let unit = text.ends_with(|c: char| !c.is_ascii_digit());
        let literal = if unit { format!("\"{text}\"") } else { text };
        prop_assert_eq!(from_environment, Config::parse("t", &option.file(&literal)));
    }
}

fn known_of(config: &mut Config) -> Vec<Known> {
    let mut collect = Collect(Vec::new());
    config.for_each_section(&mut collect);
    collect.0
}

#[test]
fn a_listener_row_takes_text_from_the_environment() {
    let mut listener = ListenerConfig::default();
    let row = ListenerConfig::ROWS
        .iter()
        .find(|row| row.key == "anonymous")
        .unwrap();
    assert!(matches!(
        (row.set)(&mut listener, Given::Text("perhaps")),
        Err(Wrong::Expected(_))
    ));
    (row.set)(&mut listener, Given::Text("true")).unwrap();
    assert_eq!(listener.anonymous, Auto::Set(true));
}

#[test]
fn the_listener_limits_start_from_those_of_all() {
    let text = "[limits]\nsend_window = 7\n[[listener]]\nurl = \"127.0.0.1:1\"\nlimits.packet_size = \"1KiB\"\n";
    let config = Config::parse("t", text).unwrap();
    let limits: &BrokerLimits = config.limits_of(&config.listeners[0]);
    assert_eq!(
        (limits.packet_size, limits.send_window),
        (ByteSize::kib(1), 7)
    );
    assert_eq!(config.limits.packet_size, ByteSize::mib(2));
}

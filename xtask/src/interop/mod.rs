//! `cargo xtask interop`: programs that others wrote, against our broker, and our programs against another broker.
//!
//! Owns the order of the suites and the choice of the broker. [`broker`] starts one, [`tools`] runs the command-line
//! clients through [`tool_cases`], [`scripts`] runs the suites written with other people's libraries (in `interop/`),
//! [`conformance`] judges ours by the transcripts, [`report`] counts. A case that cannot pass on one broker stands in `interop/skips.toml` with the reason.

pub(crate) mod broker;
mod conformance;
mod report;
mod scripts;
mod skips;
mod tool_cases;
mod tools;

use std::path::PathBuf;

use crate::{Outcome, workspace};

use broker::{Broker, Kind};
use report::Report;
use tools::Tools;

pub(crate) const USAGE: &str = "
Usage: cargo xtask interop [--broker whinchat|mosquitto] [--suite NAME] [--program PATH]

Suites: mosquitto-tools, paho, mqttjs run against the broker; whinchat-tools runs against Debian's mosquitto; conformance
judges our broker and our tools by the transcripts.
  --broker mosquitto   runs the first three against Debian's mosquitto instead of ours: they judge themselves
  --suite NAME         runs one suite only
  --program PATH       takes this whinchat instead of building one

Each case prints `ok`, `FAIL` or `not run`; the last line counts them. Logs of the brokers: target/interop.
";

/// The suites whose broker can be chosen, and the one that always meets Debian's.
const CLIENT_SUITES: [&str; 3] = ["mosquitto-tools", "paho", "mqttjs"];
const OWN_TOOLS_SUITE: &str = "whinchat-tools";
/// The suite that starts what it judges itself.
const CONFORMANCE_SUITE: &str = "conformance";

pub(crate) fn run(args: &[String]) -> Outcome {
    let options = Options::parse(args)?;
    let mut report = Report::new(skips::load(&workspace::root().join("interop/skips.toml"))?);
    let chosen: Vec<&str> = CLIENT_SUITES
        .into_iter()
        .filter(|suite| options.runs(suite))
        .collect();
    if !chosen.is_empty() {
        let broker = Broker::start(options.broker, options.program.as_deref())?;
        report.against(options.broker.name());
        for suite in chosen {
            report.suite(suite);
            match suite {
                "mosquitto-tools" => {
                    tool_cases::run(&mut report, &Tools::mosquitto()?, broker.port())
                }
                "paho" => scripts::paho(&mut report, broker.port())?,
                _ => scripts::mqttjs(&mut report, broker.port())?,
            }
        }
        report.suite("broker");
        report.case("ends cleanly", || broker.stop());
    }
    if options.runs(OWN_TOOLS_SUITE)
        && (options.broker == Kind::Whinchat || options.suite.is_some())
    {
        let broker = Broker::start(Kind::Mosquitto, None)?;
        let program = broker::program(options.program.as_deref())?;
        report.against(Kind::Mosquitto.name());
        report.suite(OWN_TOOLS_SUITE);
        tool_cases::run(&mut report, &Tools::whinchat(&program), broker.port());
    }
    if options.runs(CONFORMANCE_SUITE) && options.broker == Kind::Whinchat {
        let program = broker::program(options.program.as_deref())?;
        report.against(Kind::Whinchat.name());
        report.suite(CONFORMANCE_SUITE);
        conformance::run(&mut report, &program);
    }
    report.finish()
}

struct Options {
    broker: Kind,
    suite: Option<String>,
    program: Option<PathBuf>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self {
            broker: Kind::Whinchat,
            suite: None,
            program: None,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--broker" => options.broker = Kind::named(value()?)?,
                "--program" => options.program = Some(PathBuf::from(value()?)),
                "--suite" => options.suite = Some(known_suite(value()?)?),
                other => return Err(format!("unexpected argument `{other}`; see --help")),
            }
        }
        Ok(options)
    }

    fn runs(&self, suite: &str) -> bool {
        self.suite.as_deref().is_none_or(|chosen| chosen == suite)
    }
}

fn known_suite(name: &str) -> Result<String, String> {
    let suites: Vec<&str> = CLIENT_SUITES
        .into_iter()
        .chain([OWN_TOOLS_SUITE, CONFORMANCE_SUITE])
        .collect();
    if suites.contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "no suite is called `{name}`; there are: {}",
            suites.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::Options;
    use super::broker::Kind;

    fn parse(args: &[&str]) -> Result<Options, String> {
        Options::parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn all_suites_run_against_our_broker_unless_told_otherwise() {
        let options = parse(&[]).unwrap();
        assert!(
            options.broker == Kind::Whinchat
                && options.runs("paho")
                && options.runs("whinchat-tools")
        );
        let options = parse(&["--broker", "mosquitto", "--suite", "paho"]).unwrap();
        assert!(
            options.broker == Kind::Mosquitto && options.runs("paho") && !options.runs("mqttjs")
        );
    }

    #[test]
    fn unknown_brokers_and_suites_are_refused_by_name() {
        assert_eq!(
            parse(&["--broker", "other"]).err().unwrap(),
            "no broker is called `other`; there are: whinchat, mosquitto"
        );
        assert!(
            parse(&["--suite", "pahoo"])
                .err()
                .unwrap()
                .starts_with("no suite is called `pahoo`")
        );
        assert_eq!(parse(&["--suite"]).err().unwrap(), "--suite needs a value");
    }
}

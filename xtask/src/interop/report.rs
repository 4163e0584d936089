//! What came of each case: a line as it happens, and the count at the end.

use std::collections::BTreeSet;

use crate::Outcome;

use super::skips::Skip;

/// Counts cases and knows which ones are not to be run.
pub(super) struct Report {
    skips: Vec<Skip>,
    broker: &'static str,
    suite: &'static str,
    passed: usize,
    failures: Vec<String>,
    not_run: usize,
    /// Broker and case of everything that ran or was skipped, and broker and suite of what was begun.
    seen: BTreeSet<(&'static str, String)>,
    begun: BTreeSet<(&'static str, &'static str)>,
}

impl Report {
    pub(super) fn new(skips: Vec<Skip>) -> Self {
        Self {
            skips,
            broker: "",
            suite: "",
            passed: 0,
            failures: Vec::new(),
            not_run: 0,
            seen: BTreeSet::new(),
            begun: BTreeSet::new(),
        }
    }

    /// The broker that the next cases run against.
    pub(super) fn against(&mut self, broker: &'static str) {
        self.broker = broker;
    }

    /// The suite that the next cases belong to.
    pub(super) fn suite(&mut self, suite: &'static str) {
        self.suite = suite;
        self.begun.insert((self.broker, suite));
        println!("-- {suite} against {}", self.broker);
    }

    /// Why a case is not run, if so.
    fn skip_reason(&self, name: &str) -> Option<String> {
        let case = format!("{}/{name}", self.suite);
        self.skips
            .iter()
            .find(|skip| skip.broker == self.broker && skip.case == case)
            .map(|skip| skip.reason.clone())
    }

    /// The names of the cases of this suite that are not to be run.
    pub(super) fn skipped_names(&self) -> Vec<String> {
        let of_broker = self.skips.iter().filter(|skip| skip.broker == self.broker);
        of_broker
            .filter_map(|skip| {
                Some(
                    skip.case
                        .strip_prefix(self.suite)?
                        .strip_prefix('/')?
                        .to_owned(),
                )
            })
            .collect()
    }

    /// Runs one case, unless it is skipped.
    pub(super) fn case(&mut self, name: &str, run: impl FnOnce() -> Result<(), String>) {
        match self.skip_reason(name) {
            Some(reason) => self.not_run(name, &reason),
            None => self.result(name, run()),
        }
    }

    /// Notes what came of a case that ran.
    pub(super) fn result(&mut self, name: &str, result: Result<(), String>) {
        let case = self.see(name);
        match result {
            Ok(()) => {
                self.passed += 1;
                println!("ok {case}");
            }
            Err(why) => {
                println!("FAIL {case}: {why}");
                self.failures.push(case);
            }
        }
    }

    /// Notes a case that did not run: with the reason of the skip list, or with the one given.
    pub(super) fn not_run(&mut self, name: &str, reason: &str) {
        self.not_run += 1;
        let case = self.see(name);
        let reason = self.skip_reason(name).unwrap_or_else(|| reason.to_owned());
        println!("not run {case}: {reason}");
    }

    /// The whole name of a case, which is known to exist from now on.
    fn see(&mut self, name: &str) -> String {
        let case = format!("{}/{name}", self.suite);
        self.seen.insert((self.broker, case.clone()));
        case
    }

    /// Entries of the skip list whose suite was run and has no such case.
    fn stale_skips(&self) -> Vec<String> {
        let is_stale = |skip: &&Skip| {
            let suite = skip.case.split('/').next().unwrap_or_default();
            let begun = self
                .begun
                .iter()
                .any(|(broker, name)| *broker == skip.broker && *name == suite);
            begun
                && !self
                    .seen
                    .iter()
                    .any(|(broker, case)| *broker == skip.broker && *case == skip.case)
        };
        self.skips
            .iter()
            .filter(is_stale)
            .map(|skip| skip.case.clone())
            .collect()
    }

    /// Prints the count; a failed case is an error, and so is a run without any.
    pub(super) fn finish(self) -> Outcome {
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failures.len(),
            self.not_run
        );
        if !self.failures.is_empty() {
            return Err(format!("failed: {}", self.failures.join(", ")).into());
        }
        let stale = self.stale_skips();
        if !stale.is_empty() {
            return Err(format!("interop/skips.toml names no case: {}", stale.join(", ")).into());
        }
        if self.passed == 0 {
            Err("no case ran".into())
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Report;
    use crate::interop::skips::Skip;

    fn report() -> Report {
        let skip = Skip {
            broker: "mosquitto".into(),
            case: "paho/odd".into(),
            reason: "it is odd".into(),
        };
        let mut report = Report::new(vec![skip]);
        report.against("mosquitto");
        report.suite("paho");
        report
    }

    #[test]
    fn a_skipped_case_is_not_run_and_only_on_its_broker() {
        let mut report = report();
        assert_eq!(report.skipped_names(), ["odd"]);
        report.case("odd", || Err("was run".to_owned()));
        assert_eq!(
            (report.passed, report.failures.len(), report.not_run),
            (0, 0, 1)
        );
        report.against("whinchat");
        report.case("odd", || Ok(()));
        assert_eq!((report.passed, report.not_run), (1, 1));
        assert!(report.skipped_names().is_empty());
    }

    #[test]
    fn a_skip_of_a_case_that_does_not_exist_is_an_error() {
        let mut stale = report();
        stale.case("even", || Ok(()));
        assert_eq!(
            stale.finish().unwrap_err().to_string(),
            "interop/skips.toml names no case: paho/odd"
        );
        let mut other_suite = report();
        other_suite.begun.clear();
        other_suite.suite("mqttjs");
        other_suite.case("even", || Ok(()));
        assert!(other_suite.finish().is_ok());
    }

    #[test]
    fn a_failure_or_a_run_of_nothing_is_an_error() {
        let mut idle = report();
        idle.case("odd", || Ok(()));
        assert_eq!(idle.finish().unwrap_err().to_string(), "no case ran");
        let mut report = report();
        report.case("fine", || Ok(()));
        report.case("bad", || Err("why".to_owned()));
        assert_eq!(report.finish().unwrap_err().to_string(), "failed: paho/bad");
    }
}

//! `cargo xtask tidy`: house rules that no compiler checks.
//!
//! Each rule is a plain function from text or metadata to findings, tested beside it: [`source`] for one file,
//! [`statements`] for the ids of the specification, [`signatures`] for public items, [`arrows`] for who may depend on
//! whom. This file walks the tree and prints.

mod arrows;
pub(crate) mod files;
mod signatures;
mod source;
mod statements;

use std::fmt;

use crate::statements::Lists;
use crate::{Outcome, no_arguments, workspace};

pub(crate) const USAGE: &str = "
Usage: cargo xtask tidy

Checks: dependency arrows between the crates; a README and the shared lints in each crate; module docs; file names;
file length; unfinished work; `allow` and `expect` without a reason; sleeping tests; dependencies that must stay out of
public signatures; statement ids that no specification has.
";

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    /// Counted from 1; 0 where the whole file is meant.
    line: usize,
    rule: String,
}

impl Finding {
    fn new(file: &str, line: usize, rule: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            rule: rule.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.rule),
            line => write!(f, "{}:{line}: {}", self.file, self.rule),
        }
    }
}

pub(crate) fn run(args: &[String]) -> Outcome {
    no_arguments(args)?;
    let mut findings = findings()?;
    findings.sort();
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => Err("1 house rule is broken".into()),
        broken => Err(format!("{broken} house rules are broken").into()),
    }
}

fn findings() -> Result<Vec<Finding>, Box<dyn std::error::Error>> {
    let metadata = workspace::metadata()?;
    let mut findings = arrows::check(&metadata);
    findings.extend(files::check_crates(&metadata));
    let lists = Lists::load(workspace::root())?;
    for (file, text) in files::texts(workspace::root())? {
        if file.ends_with(".rs") {
            findings.extend(source::check(&file, &text));
            findings.extend(signatures::check(&file, &text));
        }
        findings.extend(statements::check(&file, &text, &lists));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::{Finding, findings};

    #[test]
    fn our_own_tree_is_tidy() {
        let findings: Vec<String> = findings()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }

    #[test]
    fn a_finding_names_the_file_and_the_line() {
        assert_eq!(
            Finding::new("a.rs", 3, "is odd").to_string(),
            "a.rs:3: is odd"
        );
        assert_eq!(
            Finding::new("a.rs", 0, "is odd").to_string(),
            "a.rs: is odd"
        );
    }
}

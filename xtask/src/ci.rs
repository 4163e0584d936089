//! `cargo xtask ci`: every check, in the order that fails fastest, and how long each took.

use std::time::{Duration, Instant};

use crate::process::{cargo, run as run_command};
use crate::{
    Outcome, bench, conformance, docs, features, fuzz, interop, models, no_arguments, no_std,
    package, planted, setup, test, tidy, torture, vectors,
};

pub(crate) const USAGE: &str = "
Usage: cargo xtask ci

Runs all checks, `cargo xtask setup` among them, and prints a table of the steps with their seconds.
Stops at the first failure and names the command that failed.
";

/// One step of the run.
struct Step {
    name: &'static str,
    run: fn() -> Outcome,
}

const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        run: || run_command(&mut cargo(["fmt", "--all", "--check"])),
    },
    Step {
        name: "tidy",
        run: || tidy::run(&[]),
    },
    Step {
        name: "conformance",
        run: || conformance::run(&["--check".to_owned()]),
    },
    Step {
        name: "performance",
        run: || bench::run(&["report", "--check"].map(str::to_owned)),
    },
    Step {
        name: "setup",
        run: || setup::run(&[]),
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "test",
        run: || test::run(&[]),
    },
    Step {
        name: "vectors",
        run: || vectors::run(&[]),
    },
    Step {
        name: "docs",
        run: || docs::run(&[]),
    },
    Step {
        name: "features",
        run: || features::run(&[]),
    },
    Step {
        name: "no-std",
        run: || no_std::run(&[]),
    },
    Step {
        name: "package",
        run: || package::run(&[]),
    },
    Step {
        name: "bench",
        run: || bench::run(&["--check".to_owned()]),
    },
    Step {
        name: "models",
        // The same cases in each run, so that one that fails says something of the change.
        run: || models::run(&["--seed".to_owned(), "1".to_owned()]),
    },
    Step {
        name: "torture",
        run: || torture::run(&["--seed", "1"].map(str::to_owned)),
    },
    Step {
        name: "planted",
        run: || planted::run(&[]),
    },
    Step {
        name: "fuzz",
        run: || fuzz::run(&[]),
    },
    Step {
        name: "interop",
        run: || interop::run(&[]),
    },
];

pub(crate) fn run(args: &[String]) -> Outcome {
    no_arguments(args)?;
    let mut finished = Vec::new();
    let mut result = Ok(());
    for step in STEPS {
        println!("== {}", step.name);
        let start = Instant::now();
        result = (step.run)();
        finished.push((step.name, start.elapsed(), result.is_ok()));
        if result.is_err() {
            break;
        }
    }
    println!("\n{}", table(&finished, STEPS.len()));
    result
}

fn clippy() -> Outcome {
    run_command(&mut cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

/// The steps that ran, one per line, then how many passed.
fn table(finished: &[(&str, Duration, bool)], all: usize) -> String {
    let line = |(name, took, passed): &(&str, Duration, bool)| {
        format!(
            "{name:<11} {:>7.1} s  {}\n",
            took.as_secs_f64(),
            if *passed { "ok" } else { "FAILED" }
        )
    };
    let lines: String = finished.iter().map(line).collect();
    let total: Duration = finished.iter().map(|(_, took, _)| took).sum();
    let passed = finished.iter().filter(|(_, _, passed)| *passed).count();
    let summary = format!("steps: {passed} passed, {} failed", finished.len() - passed);
    let not_run = all - finished.len();
    let rest = if not_run == 0 {
        String::new()
    } else {
        format!(", {not_run} skipped")
    };
    format!(
        "{lines}{:<11} {:>7.1} s\n{summary}{rest}",
        "total",
        total.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::table;

    #[test]
    fn the_table_names_each_step_its_seconds_and_what_was_not_reached() {
        let finished = [
            ("fmt", Duration::from_millis(1_250), true),
            ("tidy", Duration::from_secs(2), false),
        ];
        let expected = "fmt             1.2 s  ok\ntidy            2.0 s  FAILED\ntotal           3.2 s\nsteps: 1 passed, 1 failed, 3 skipped";
        assert_eq!(table(&finished, 5), expected);
    }
}

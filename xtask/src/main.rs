//! `cargo xtask`: the project's own chores, the same for a newcomer and for CI.
//!
//! This file owns the list of subcommands and their help; each one lives in a module of its own name. Programs are
//! started by [`process`], paths come from [`workspace`]. Read `ci` first: it names everything that is checked.

#![expect(clippy::print_stdout, reason = "what a chore prints is its result")]

mod bench;
mod ci;
mod conformance;
mod docs;
mod features;
mod fuzz;
mod interop;
mod models;
mod no_std;
mod others;
mod overload;
mod package;
mod planted;
mod process;
mod setup;
mod statements;
mod test;
mod tidy;
mod torture;
mod vectors;
mod workspace;

use std::process::ExitCode;

/// What a chore returns: an error is printed as it is and ends the program with code 1.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// One chore: its name, a line for the list, the text of its `--help`, and what it does with its arguments.
struct Chore {
    name: &'static str,
    summary: &'static str,
    usage: &'static str,
    run: fn(&[String]) -> Outcome,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "ci",
        summary: "set up, then check everything; stops at the first failure",
        usage: ci::USAGE,
        run: ci::run,
    },
    Chore {
        name: "setup",
        summary: "install what the tests need, only what is missing",
        usage: setup::USAGE,
        run: setup::run,
    },
    Chore {
        name: "test",
        summary: "run all tests and doc examples",
        usage: test::USAGE,
        run: test::run,
    },
    Chore {
        name: "tidy",
        summary: "check the house rules",
        usage: tidy::USAGE,
        run: tidy::run,
    },
    Chore {
        name: "features",
        summary: "check each crate with each feature alone",
        usage: features::USAGE,
        run: features::run,
    },
    Chore {
        name: "no-std",
        summary: "build the three lower crates without std",
        usage: no_std::USAGE,
        run: no_std::run,
    },
    Chore {
        name: "package",
        summary: "package each published crate",
        usage: package::USAGE,
        run: package::run,
    },
    Chore {
        name: "fuzz",
        summary: "a few seconds of every fuzz target, or one for long",
        usage: fuzz::USAGE,
        run: fuzz::run,
    },
    Chore {
        name: "vectors",
        summary: "other people's decoders against the codec's golden vectors",
        usage: vectors::USAGE,
        run: vectors::run,
    },
    Chore {
        name: "models",
        summary: "plain models against the engine and the broker, a million steps",
        usage: models::USAGE,
        run: models::run,
    },
    Chore {
        name: "planted",
        summary: "plant bugs, each of which a model, a transcript or an image of the disk must find",
        usage: planted::USAGE,
        run: planted::run,
    },
    Chore {
        name: "torture",
        summary: "kill brokers under load and look for what they had acknowledged",
        usage: torture::USAGE,
        run: torture::run,
    },
    Chore {
        name: "overload",
        summary: "attack a broker and time those who behave",
        usage: overload::USAGE,
        run: overload::run,
    },
    Chore {
        name: "interop",
        summary: "other people's clients and brokers against ours",
        usage: interop::USAGE,
        run: interop::run,
    },
    Chore {
        name: "bench",
        summary: "count instructions of the hot paths",
        usage: bench::USAGE,
        run: bench::run,
    },
    Chore {
        name: "conformance",
        summary: "write the page of statements and the tests that show them",
        usage: conformance::USAGE,
        run: conformance::run,
    },
    Chore {
        name: "docs",
        summary: "build the API docs and check the commands in the READMEs",
        usage: docs::USAGE,
        run: docs::run,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let asks_for_help = |arg: &String| matches!(arg.as_str(), "--help" | "-h" | "help");
    let Some((name, rest)) = args.split_first().filter(|(name, _)| !asks_for_help(name)) else {
        print_list();
        return ExitCode::SUCCESS;
    };
    let Some(chore) = CHORES.iter().find(|chore| chore.name == name) else {
        eprintln!("no chore is called `{name}`; `cargo xtask` lists them");
        return ExitCode::from(2);
    };
    // What follows `--` belongs to the program that the chore starts.
    if rest
        .iter()
        .take_while(|arg| *arg != "--")
        .any(asks_for_help)
    {
        println!(
            "cargo xtask {}: {}\n\n{}",
            chore.name,
            chore.summary,
            chore.usage.trim()
        );
        return ExitCode::SUCCESS;
    }
    match (chore.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {}: {error}", chore.name);
            ExitCode::FAILURE
        }
    }
}

fn print_list() {
    println!(
        "The project's own chores.\n\nUsage: cargo xtask CHORE [ARGUMENTS]   (cargo xtask CHORE --help explains one)\n"
    );
    for chore in CHORES {
        println!("  {:<11} {}", chore.name, chore.summary);
    }
}

/// Refuses arguments for a chore that takes none.
fn no_arguments(args: &[String]) -> Outcome {
    match args.first() {
        None => Ok(()),
        Some(arg) => Err(format!("unexpected argument `{arg}`; see --help").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::CHORES;

    #[test]
    fn every_chore_explains_itself_and_has_its_own_name() {
        for (position, chore) in CHORES.iter().enumerate() {
            assert!(
                chore.usage.contains(&format!("cargo xtask {}", chore.name)),
                "{} has no usage line",
                chore.name
            );
            assert!(
                CHORES
                    .iter()
                    .skip(position + 1)
                    .all(|other| other.name != chore.name),
                "{} is listed twice",
                chore.name
            );
        }
    }
}

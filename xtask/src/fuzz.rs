//! `cargo xtask fuzz`: the fuzz targets, on the stable toolchain.
//!
//! cargo-fuzz asks for flags that only a nightly compiler takes; `RUSTC_BOOTSTRAP=1` lets the stable one take them.
//! Without the address sanitizer four to six times as many inputs are tried, and safe code gives it little to find:
//! it is the choice of whoever asks for it.

use std::path::Path;

use cargo_metadata::{MetadataCommand, TargetKind};

use crate::process::{cargo, command, find_program, run as run_command};
use crate::{Outcome, setup, workspace};

pub(crate) const USAGE: &str = "
Usage: cargo xtask fuzz [TARGET] [--seconds N] [--asan]

  cargo xtask fuzz                        5 seconds of every target
  cargo xtask fuzz decode                 one target until it is stopped or finds something
  cargo xtask fuzz decode --seconds 600   one target for ten minutes
  --asan                                  with the address sanitizer: slower, sees memory errors of dependencies

Seeds are made from the golden vectors of the codec into fuzz/seeds/TARGET; what is found goes to fuzz/artifacts/TARGET.
";

const SMOKE_SECONDS: u64 = 5;

pub(crate) fn run(args: &[String]) -> Outcome {
    let options = Options::parse(args)?;
    let targets = targets()?;
    make_seeds()?;
    if let Some(target) = &options.target {
        if !targets.contains(target) {
            return Err(format!(
                "no fuzz target is called `{target}`; there are: {}",
                targets.join(", ")
            )
            .into());
        }
        return fuzz(target, options.seconds.unwrap_or(0), options.sanitizer);
    }
    for target in &targets {
        fuzz(
            target,
            options.seconds.unwrap_or(SMOKE_SECONDS),
            options.sanitizer,
        )?;
    }
    println!("{} fuzz targets found nothing", targets.len());
    Ok(())
}

/// The same vectors give the same seeds, so they are made and not kept.
fn make_seeds() -> Outcome {
    run_command(&mut cargo([
        "run",
        "--quiet",
        "--package",
        "whinchat-testkit",
        "--example",
        "fuzz_seeds",
    ]))
}

/// Runs one target; 0 seconds means without end.
fn fuzz(target: &str, seconds: u64, sanitizer: &str) -> Outcome {
    let program = find_program("cargo-fuzz", &[setup::cargo_bin()])
        .ok_or("cargo-fuzz is missing: run `cargo xtask setup`")?;
    let corpus = format!("fuzz/corpus/{target}");
    std::fs::create_dir_all(workspace::root().join(&corpus))?;
    let mut fuzz = command(
        program,
        [
            "fuzz",
            "run",
            "--fuzz-dir",
            "fuzz",
            "--sanitizer",
            sanitizer,
            target,
            &corpus,
        ],
    );
    let seeds = format!("fuzz/seeds/{target}");
    if workspace::root().join(&seeds).is_dir() {
        fuzz.arg(&seeds);
    }
    // A run with an end is one of many: it says what it found and its count. A long one shows its progress.
    let verbosity = if seconds == 0 {
        "-verbosity=1"
    } else {
        "-verbosity=0"
    };
    // One input that runs longer than ten seconds is a finding too.
    fuzz.args(["--", "-timeout=10", "-print_final_stats=1", verbosity])
        .arg(format!("-max_total_time={seconds}"));
    run_command(fuzz.env("RUSTC_BOOTSTRAP", "1"))
}

fn targets() -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let manifest = workspace::root().join(Path::new("fuzz/Cargo.toml"));
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()?;
    let targets = metadata
        .packages
        .iter()
        .flat_map(|package| &package.targets);
    Ok(targets
        .filter(|target| target.kind.contains(&TargetKind::Bin))
        .map(|target| target.name.clone())
        .collect())
}

struct Options {
    target: Option<String>,
    seconds: Option<u64>,
    sanitizer: &'static str,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self {
            target: None,
            seconds: None,
            sanitizer: "none",
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--asan" => options.sanitizer = "address",
                "--seconds" => {
                    let value = args.next().ok_or("--seconds needs a number")?;
                    options.seconds = Some(value.parse().map_err(|_| {
                        format!("--seconds {value}: expected a whole number of seconds")
                    })?);
                }
                target if !target.starts_with('-') && options.target.is_none() => {
                    options.target = Some(target.to_owned())
                }
                other => return Err(format!("unexpected argument `{other}`; see --help")),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(args: &[&str]) -> Result<Options, String> {
        Options::parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_target_a_time_and_the_sanitizer_are_understood_in_any_order() {
        let options = parse(&["--asan", "decode", "--seconds", "60"]).unwrap();
        assert_eq!(
            (
                options.target.as_deref(),
                options.seconds,
                options.sanitizer
            ),
            (Some("decode"), Some(60), "address")
        );
        let options = parse(&[]).unwrap();
        assert_eq!(
            (options.target, options.seconds, options.sanitizer),
            (None, None, "none")
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        assert_eq!(
            parse(&["decode", "split"]).err().unwrap(),
            "unexpected argument `split`; see --help"
        );
        assert_eq!(
            parse(&["--seconds", "soon"]).err().unwrap(),
            "--seconds soon: expected a whole number of seconds"
        );
        assert_eq!(
            parse(&["--seconds"]).err().unwrap(),
            "--seconds needs a number"
        );
    }
}

//! `cargo xtask fuzz`: the fuzz targets, on the stable toolchain.
//!
//! cargo-fuzz builds them, all at once; it asks for flags that only a nightly compiler takes, and `RUSTC_BOOTSTRAP=1`
//! lets the stable one take them. The programs are then run from here, several at a time. Without the address sanitizer
//! four to six times as many inputs are tried, and safe code gives it little to find: it is the choice of whoever asks.

use std::error::Error;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cargo_metadata::{MetadataCommand, TargetKind};

use crate::process::{cargo, command, find_program, read, run as run_command, shown};
use crate::{Outcome, setup, workspace};

pub(crate) const USAGE: &str = "
Usage: cargo xtask fuzz [TARGET ...] [--seconds N | --overnight HOURS] [--jobs N] [--asan]

  cargo xtask fuzz                              5 seconds of every target
  cargo xtask fuzz decode_v5 split              5 seconds of these
  cargo xtask fuzz decode_v5 --seconds 600      one target for ten minutes; 0 is without end
  cargo xtask fuzz --overnight 8                all targets for eight hours together, the first half without the address
                                                sanitizer, the second with it; goes on behind a target that finds something
  --asan                                        with the address sanitizer: slower, sees memory errors of dependencies
  --jobs N                                      so many at a time; one for each core unless told otherwise

Seeds are made into fuzz/seeds/TARGET, inputs worth keeping lie in fuzz/kept/TARGET, new ones go to fuzz/corpus/TARGET.
What is found goes to fuzz/artifacts/TARGET. An input that takes more than ten seconds or 512 MiB is a finding too.
";

const SMOKE_SECONDS: u64 = 5;
const INPUT_SECONDS_MAX: u32 = 10;

/// The sanitizer keeps what was freed for a while, and has a shadow of all memory.
const MEMORY_MIB_MAX: u32 = 512;
const MEMORY_MIB_MAX_ASAN: u32 = 2048;

pub(crate) fn run(args: &[String]) -> Outcome {
    let options = Options::parse(args)?;
    let all = targets()?;
    if let Some(unknown) = options.targets.iter().find(|name| !all.contains(name)) {
        let known = all.join(", ");
        return Err(format!("no fuzz target is called `{unknown}`; there are: {known}").into());
    }
    let chosen = if options.targets.is_empty() {
        &all
    } else {
        &options.targets
    };
    make_seeds()?;
    let mut failed = Vec::new();
    for round in options.rounds(chosen.len()) {
        failed.extend(fuzz(chosen, round, options.jobs)?);
    }
    if failed.is_empty() {
        println!("{} fuzz targets found nothing", chosen.len());
        return Ok(());
    }
    Err(format!("findings in fuzz/artifacts of: {}", failed.join(", ")).into())
}

/// The same data give the same seeds, so they are made and not kept.
fn make_seeds() -> Outcome {
    run_command(&mut cargo([
        "run",
        "--quiet",
        "--package",
        "whinchat-testkit",
        "--features",
        "fuzzing",
        "--example",
        "fuzz_seeds",
    ]))
}

/// All chosen targets with one sanitizer, for so many seconds each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round {
    sanitizer: &'static str,
    seconds: u64,
}

/// Builds and runs the targets; gives the names of those that found something.
fn fuzz(targets: &[String], round: Round, jobs: usize) -> Result<Vec<String>, Box<dyn Error>> {
    let folder = build(targets, round.sanitizer)?;
    println!(
        "{} targets, {} s each, sanitizer: {}",
        targets.len(),
        round.seconds,
        round.sanitizer
    );
    // A single target that is watched shows its progress.
    if let ([target], 0) = (targets, round.seconds) {
        run_command(&mut fuzzer(&folder, target, round)?)?;
        return Ok(Vec::new());
    }
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<String>, String> {
        let mut failed = Vec::new();
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut program = fuzzer(&folder, target, round).map_err(|error| error.to_string())?;
            let output = program
                .output()
                .map_err(|error| format!("`{}`: {error}", shown(&program)))?;
            if !report(target, &output) {
                failed.push(target.clone());
            }
        }
        Ok(failed)
    };
    let found = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let ends = workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker does not panic"));
        ends.collect::<Result<Vec<_>, _>>()
    })?;
    Ok(found.concat())
}

/// One line for a target that found nothing, all it said for one that did.
fn report(target: &str, output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        let number = |name: &str| statistic(&said, name).unwrap_or("?");
        println!(
            "{target:<16} {:>10} inputs, at most {} MiB",
            number("number_of_executed_units"),
            number("peak_rss_mb")
        );
    } else {
        println!("{target}: {}\n{said}", output.status);
    }
    output.status.success()
}

/// A line `stat::NAME: NUMBER` of libFuzzer.
fn statistic<'a>(said: &'a str, name: &str) -> Option<&'a str> {
    let prefix = format!("stat::{name}:");
    said.lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .map(str::trim)
}

/// Builds the targets into a folder of the sanitizer's own; gives the folder with the programs.
fn build(targets: &[String], sanitizer: &str) -> Result<PathBuf, Box<dyn Error>> {
    let program = find_program("cargo-fuzz", &[setup::cargo_bin()])
        .ok_or("cargo-fuzz is missing: run `cargo xtask setup`")?;
    let host = host()?;
    let folder = format!("fuzz/target/{sanitizer}");
    let mut build = command(
        program,
        [
            "fuzz",
            "build",
            "--fuzz-dir",
            "fuzz",
            "--sanitizer",
            sanitizer,
        ],
    );
    build.args(["--target", &host, "--target-dir", &folder]);
    // Without a name all are built.
    if let [target] = targets {
        build.arg(target);
    }
    run_command(build.env("RUSTC_BOOTSTRAP", "1"))?;
    Ok(workspace::root().join(folder).join(host).join("release"))
}

fn host() -> Result<String, Box<dyn Error>> {
    let said = read(&mut command("rustc", ["-vV"]))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc does not name its host")?.to_owned())
}

fn fuzzer(folder: &Path, target: &str, round: Round) -> Result<Command, Box<dyn Error>> {
    let memory = match round.sanitizer {
        "none" => MEMORY_MIB_MAX,
        _ => MEMORY_MIB_MAX_ASAN,
    };
    let corpus = format!("fuzz/corpus/{target}");
    let artifacts = format!("fuzz/artifacts/{target}/");
    for made in [&corpus, &artifacts] {
        fs::create_dir_all(workspace::root().join(made))?;
    }
    let mut fuzzer = command(folder.join(target), [corpus]);
    for more in ["seeds", "kept"] {
        let inputs = format!("fuzz/{more}/{target}");
        if workspace::root().join(&inputs).is_dir() {
            fuzzer.arg(inputs);
        }
    }
    fuzzer
        .arg(format!("-artifact_prefix={artifacts}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={memory}"))
        .arg(format!("-max_total_time={}", round.seconds))
        // The short run of CI begins the same way each time; 0 is a seed of its own for each longer one.
        .arg(format!(
            "-seed={}",
            u8::from(round.seconds == SMOKE_SECONDS)
        ))
        .arg("-print_final_stats=1")
        // A run with an end is one of many: it says what it found and its count. A long one shows its progress.
        .arg(format!("-verbosity={}", u8::from(round.seconds == 0)));
    Ok(fuzzer)
}

fn targets() -> Result<Vec<String>, Box<dyn Error>> {
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
    targets: Vec<String>,
    time: Time,
    jobs: usize,
    sanitizer: &'static str,
}

/// How long.
#[derive(Debug, PartialEq, Eq)]
enum Time {
    /// Seconds of each target.
    Each(u64),
    /// Seconds of all of them together, by the clock.
    Overnight(u64),
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self {
            targets: Vec::new(),
            time: Time::Each(SMOKE_SECONDS),
            jobs: thread::available_parallelism().map_or(1, NonZero::get),
            sanitizer: "none",
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut number = |unit: &str| {
                let value = args.next().ok_or(format!("{arg} needs a number"))?;
                value
                    .parse::<u64>()
                    .map_err(|_| format!("{arg} {value}: expected a whole number of {unit}"))
            };
            match arg.as_str() {
                "--asan" => options.sanitizer = "address",
                "--seconds" => options.time = Time::Each(number("seconds")?),
                "--overnight" => options.time = Time::Overnight(3600 * number("hours")?),
                "--jobs" => {
                    let jobs = usize::try_from(number("programs")?).unwrap_or(usize::MAX);
                    options.jobs = jobs.max(1);
                }
                target if !target.starts_with('-') => options.targets.push(target.to_owned()),
                other => return Err(format!("unexpected argument `{other}`; see --help")),
            }
        }
        Ok(options)
    }

    /// What is done with so many targets.
    fn rounds(&self, targets: usize) -> Vec<Round> {
        let round = |sanitizer, seconds| Round { sanitizer, seconds };
        match self.time {
            Time::Each(seconds) => vec![round(self.sanitizer, seconds)],
            Time::Overnight(seconds) => {
                let half = seconds / 2;
                let at_a_time = u64::try_from(self.jobs.min(targets)).unwrap_or(1);
                let each = half * at_a_time / u64::try_from(targets).unwrap_or(1).max(1);
                vec![round("none", each.max(1)), round("address", each.max(1))]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, Round, Time, statistic};

    fn parse(args: &[&str]) -> Result<Options, String> {
        Options::parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn targets_a_time_and_the_sanitizer_are_understood_in_any_order() {
        let options = parse(&["--asan", "decode_v5", "--seconds", "60", "split"]).unwrap();
        assert_eq!(options.targets, ["decode_v5", "split"]);
        assert_eq!(
            (options.time, options.sanitizer),
            (Time::Each(60), "address")
        );
        let options = parse(&[]).unwrap();
        assert!(options.targets.is_empty() && options.jobs > 0);
        assert_eq!((options.time, options.sanitizer), (Time::Each(5), "none"));
    }

    #[test]
    fn a_night_is_shared_between_the_targets_and_the_two_ways_to_run_them() {
        let mut options = parse(&["--overnight", "8", "--jobs", "2"]).unwrap();
        let each = 4 * 3600 * 2 / 24;
        let expected = ["none", "address"].map(|sanitizer| Round {
            sanitizer,
            seconds: each,
        });
        assert_eq!(options.rounds(24), expected);
        options.jobs = 16;
        assert_eq!(options.rounds(1)[0].seconds, 4 * 3600);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        assert_eq!(
            parse(&["--fast"]).err().unwrap(),
            "unexpected argument `--fast`; see --help"
        );
        assert_eq!(
            parse(&["--seconds", "soon"]).err().unwrap(),
            "--seconds soon: expected a whole number of seconds"
        );
        assert_eq!(
            parse(&["--overnight"]).err().unwrap(),
            "--overnight needs a number"
        );
    }

    #[test]
    fn the_count_of_inputs_is_found_in_what_a_fuzzer_says() {
        let said = "Done 12 runs in 5 second(s)\nstat::number_of_executed_units: 12\nstat::peak_rss_mb:     61\n";
        assert_eq!(statistic(said, "number_of_executed_units"), Some("12"));
        assert_eq!(statistic(said, "peak_rss_mb"), Some("61"));
        assert_eq!(statistic(said, "slowest_unit_time_sec"), None);
    }
}

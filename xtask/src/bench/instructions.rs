//! Instruction counts of the hot paths, the same on every run of one machine, and the file that they are held against.
//!
//! A bench target counts instructions if its source uses gungraun; the others measure time and are started by hand
//! with `cargo bench`, for a figure in seconds means nothing on a machine that does something else besides.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::camino::Utf8PathBuf;
use cargo_metadata::{Message, Metadata, PackageId};
use serde::{Deserialize, Serialize};

use crate::process::{cargo, command, find_program, read};
use crate::{Outcome, setup, workspace};

/// A count may grow by so much, in percent, before somebody has to say that it may.
const GROWTH_MAX_PERCENT: f64 = 3.0;

/// What `xtask/instructions.toml` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Baseline {
    /// `rustc --version`: another compiler makes other code.
    toolchain: String,
    /// `valgrind --version`, which counts.
    valgrind: String,
    /// By bench.
    counts: BTreeMap<String, u64>,
}

/// What to do with the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Show,
    Check,
    Update,
}

/// Counts for every crate, or for one; `--check` and `--update` are about all of them.
pub(super) fn run(arguments: &[String]) -> Outcome {
    let (mode, only) = match arguments {
        [] => (Mode::Show, None),
        [option] if option == "--check" => (Mode::Check, None),
        [option] if option == "--update" => (Mode::Update, None),
        [option] if option.starts_with('-') => {
            return Err(format!("unexpected argument `{option}`; see --help").into());
        }
        [name] => (Mode::Show, Some(name.as_str())),
        [_, extra, ..] => return Err(format!("unexpected argument `{extra}`; see --help").into()),
    };
    let now = Baseline {
        toolchain: read(&mut command("rustc", ["--version"]))?
            .trim()
            .to_owned(),
        valgrind: read(&mut command("valgrind", ["--version"]))
            .map_err(|_| "valgrind is missing: run `cargo xtask setup`")?
            .trim()
            .to_owned(),
        counts: count(only)?,
    };
    let path = path();
    if mode == Mode::Update {
        fs::write(&path, now.to_text())?;
        println!("wrote {}", workspace::relative(&path));
        return Ok(());
    }
    let baseline: Baseline = toml::from_str(&fs::read_to_string(&path)?)
        .map_err(|error| format!("{}: {error}", workspace::relative(&path)))?;
    for (name, count) in &now.counts {
        let change = baseline.counts.get(name).map_or_else(
            || "new".to_owned(),
            |was| format!("{:+.2} %", growth(*was, *count)),
        );
        println!("{count:>10}  {change:>9}  {name}");
    }
    if mode == Mode::Show {
        return Ok(());
    }
    if (&now.toolchain, &now.valgrind) != (&baseline.toolchain, &baseline.valgrind) {
        println!(
            "not judged: the file was taken with {} and {}, here are {} and {}",
            baseline.toolchain, baseline.valgrind, now.toolchain, now.valgrind
        );
        return Ok(());
    }
    let complaints = complaints(&baseline.counts, &now.counts);
    if complaints.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}\nIf that is as it should be, say so: `cargo xtask bench --update` writes {}.",
        complaints.join("\n"),
        workspace::relative(&path)
    )
    .into())
}

impl Baseline {
    fn to_text(&self) -> String {
        let mut text = format!(
            "# Instructions of the hot paths, written by `cargo xtask bench --update`. CI fails when one grows by more than {GROWTH_MAX_PERCENT} %.\n\
             toolchain = {:?}\nvalgrind = {:?}\n\n[counts]\n",
            self.toolchain, self.valgrind
        );
        for (name, count) in &self.counts {
            text += &format!("{name:?} = {count}\n");
        }
        text
    }
}

fn path() -> PathBuf {
    workspace::root().join("xtask/instructions.toml")
}

/// In percent.
fn growth(was: u64, is: u64) -> f64 {
    (is as f64 - was as f64) * 100.0 / was.max(1) as f64
}

/// What is wrong with the counts of now.
fn complaints(baseline: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, count) in now {
        match baseline.get(name) {
            None => complaints.push(format!("{name} is not in the file")),
            Some(was) if growth(*was, *count) > GROWTH_MAX_PERCENT => complaints.push(format!(
                "{name} takes {count} instructions, {:.1} % more than the {was} in the file",
                growth(*was, *count)
            )),
            Some(_) => {}
        }
    }
    for name in baseline.keys().filter(|name| !now.contains_key(*name)) {
        complaints.push(format!("{name} is in the file, and no bench has it"));
    }
    complaints
}

/// Builds the benches, all in one go so that what they share is compiled once, and runs them.
fn count(only: Option<&str>) -> Result<BTreeMap<String, u64>, Box<dyn Error>> {
    let runner = find_program("gungraun-runner", &[setup::cargo_bin()])
        .ok_or("gungraun-runner is missing: run `cargo xtask setup`")?;
    let metadata = workspace::metadata()?;
    let mut counts = BTreeMap::new();
    for (id, program) in build(&instruction_benches(&metadata)?, &runner)? {
        let package = &metadata[&id];
        if only.is_some_and(|only| only != package.name.as_str()) {
            continue;
        }
        let output = read(
            command(&program, ["--bench"])
                .env("CARGO_PKG_NAME", package.name.as_str())
                .env("GUNGRAUN_RUNNER", &runner)
                .env("GUNGRAUN_COLOR", "never"),
        )?;
        let found = parse(&package.name, &output);
        if found.is_empty() {
            return Err(format!("{}: the bench has no counts:\n{output}", package.name).into());
        }
        counts.extend(found);
    }
    match only {
        Some(only) if counts.is_empty() => {
            Err(format!("crate {only} has no instruction-count bench").into())
        }
        _ => Ok(counts),
    }
}

/// Builds these benches, which take up the path of what runs them; gives the package and the program of each.
fn build(
    benches: &[(String, String)],
    runner: &Path,
) -> Result<Vec<(PackageId, Utf8PathBuf)>, Box<dyn Error>> {
    let mut build = cargo(["bench", "--no-run", "--message-format", "json"]);
    build.args(["--profile", workspace::CI_PROFILE]);
    build.env("GUNGRAUN_RUNNER", runner);
    for (package, bench) in benches {
        build.args(["--package", package, "--bench", bench]);
    }
    let said = read(&mut build)?;
    let mut programs = Vec::new();
    for message in Message::parse_stream(said.as_bytes()) {
        if let Message::CompilerArtifact(artifact) = message?
            && let Some(program) = artifact.executable
            && artifact.target.is_bench()
        {
            programs.push((artifact.package_id, program));
        }
    }
    Ok(programs)
}

/// The counts in what gungraun prints: a line with the name of a bench, then its figures.
fn parse(package: &str, output: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let mut name = None;
    for line in output.lines() {
        if let Some(figure) = line.trim_start().strip_prefix("Instructions:") {
            let digits = figure.trim().split('|').next().unwrap_or_default();
            if let (Some(name), Ok(count)) = (name.take(), digits.trim().parse()) {
                counts.insert(name, count);
            }
        } else if line.starts_with("instructions::") {
            // instructions::GROUP::FUNCTION CASE:(ARGUMENTS), of which long arguments take several lines
            let (path, case) = line.split_once(' ').unwrap_or((line, ""));
            let function = path.rsplit("::").next().unwrap_or(path);
            let case = case.split(':').next().unwrap_or_default();
            name = Some(format!("{package} {function} {case}").trim_end().to_owned());
        }
    }
    counts
}

/// Package and bench target of everything that counts instructions.
fn instruction_benches(metadata: &Metadata) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut found = Vec::new();
    for package in metadata.workspace_packages() {
        for target in package.targets.iter().filter(|target| target.is_bench()) {
            if fs::read_to_string(&target.src_path)?.contains("gungraun::") {
                found.push((package.name.to_string(), target.name.clone()));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    #[test]
    fn a_count_may_grow_by_three_percent_and_no_more() {
        let baseline = counts(&[("a", 1_000)]);
        assert!(complaints(&baseline, &counts(&[("a", 1_030)])).is_empty());
        assert!(complaints(&baseline, &counts(&[("a", 500)])).is_empty());
        assert_eq!(
            complaints(&baseline, &counts(&[("a", 1_031)])),
            ["a takes 1031 instructions, 3.1 % more than the 1000 in the file"]
        );
    }

    #[test]
    fn the_file_and_the_benches_have_the_same_names() {
        assert_eq!(
            complaints(&counts(&[("a", 1)]), &counts(&[("b", 1)])),
            [
                "b is not in the file",
                "a is in the file, and no bench has it"
            ]
        );
    }

    #[test]
    fn counts_are_found_behind_the_names_of_their_benches() {
        let output = "instructions::shard_turn::publish qos0_to_1:(ready(QOS0))\n\
                      \x20 Instructions:                  5936|N/A                  (*********)\n\
                      \x20 L1 Hits:                       7000|N/A                  (*********)\n\
                      instructions::engine::receive v5:(connected())\n\
                      \x20 Instructions:                   120|119                  (+0.84034%) [+1.00840x]\n\
                      \n\
                      Gungraun result: Ok. 2 without regressions\n";
        let expected = counts(&[
            ("broker publish qos0_to_1", 5_936),
            ("broker receive v5", 120),
        ]);
        assert_eq!(parse("broker", output), expected);
    }

    #[test]
    fn the_file_is_read_as_it_was_written() {
        let baseline = Baseline {
            toolchain: "rustc 1".into(),
            valgrind: "valgrind-3".into(),
            counts: counts(&[("a b", 1)]),
        };
        assert_eq!(
            toml::from_str::<Baseline>(&baseline.to_text()),
            Ok(baseline)
        );
    }
}

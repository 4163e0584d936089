//! Tortures a broker: `torture PROGRAM [--kills N] [--cuts N] [--images N] [--answers N] [--seed S] [--only METHOD] ...`. `cargo xtask torture` starts it and explains it.
#![expect(clippy::print_stdout, reason = "its output is its result")]

use std::{path::Path, process::ExitCode};

use whinchat_testkit::torture::{Recipe, Row, cuts, faults, full, images, kills, table, trace};

struct Plan {
    recipe: Recipe,
    only: Option<String>,
    seed: u64,
    kills: u64,
    faults: u64,
    rounds: u64,
    cuts: u64,
    images: u64,
    answers: u64,
}

impl Plan {
    fn of(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let program = args.next().ok_or("the path of whinchat is missing")?;
        let mut plan = Self {
            recipe: Recipe::whinchat(Path::new(&program)),
            only: None,
            seed: fastrand::u64(..),
            kills: 20,
            faults: 4,
            rounds: 3,
            cuts: 6,
            images: 5_000,
            answers: 5_000,
        };
        while let Some(arg) = args.next() {
            let value = args.next().ok_or(format!("{arg} takes a value"))?;
            let number = || {
                value
                    .parse()
                    .map_err(|_| format!("{arg} {value}: not a number"))
            };
            match arg.as_str() {
                "--only" => plan.only = Some(value),
                "--seed" => plan.seed = number()?,
                "--answers" => plan.answers = number()?,
                "--cuts" => plan.cuts = number()?,
                "--faults" => plan.faults = number()?,
                "--rounds" => plan.rounds = number()?,
                "--kills" => plan.kills = number()?,
                "--images" => plan.images = number()?,
                "--broker" if value == "mosquitto" => {
                    plan.images = 0;
                    plan.recipe = Recipe::mosquitto();
                }
                "--broker" => {
                    plan.recipe.disk_failed = None;
                    plan.images = 0;
                    plan.recipe.command = value.split_whitespace().map(str::to_owned).collect();
                }
                "--config" => plan.recipe.config = value,
                _ => return Err(format!("{arg} is not known")),
            }
        }
        Ok(plan)
    }

    fn wants(&self, method: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == method)
    }

    fn run(&self, folder: &Path) -> Vec<Row> {
        let mut rows = Vec::new();
        // Another broker is a process, which keeps its disk to itself.
        if self.wants("images") && self.images > 0 {
            let (row, found) = images(self.images, self.seed);
            rows.push(row);
            if let Some(found) = found {
                println!("{found}");
            }
        }
        if self.wants("kills") {
            rows.push(kills(
                &self.recipe,
                &folder.join("kills"),
                self.kills,
                self.seed,
            ));
        }
        if self.wants("cuts") {
            let folder = folder.join("cuts");
            rows.push(cuts(&self.recipe, &folder, self.cuts, self.seed));
        }
        if self.wants("full") {
            rows.push(full(&self.recipe, &folder.join("full"), self.rounds));
        }
        if self.wants("faults") {
            let dir = folder.join("faults");
            rows.push(faults(&self.recipe, &dir, self.faults, self.seed));
        }
        if self.wants("trace") {
            rows.push(trace(&self.recipe, &folder.join("trace"), self.answers));
        }
        rows
    }
}

fn main() -> ExitCode {
    let plan = match Plan::of(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    println!("seed {}", plan.seed);
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("no folder for the broker: {error}");
            return ExitCode::from(2);
        }
    };
    let rows = plan.run(folder.path());
    if rows.is_empty() {
        eprintln!("no method is called that; cargo xtask torture --help lists them");
        return ExitCode::from(2);
    }
    print!("{}", table(&rows));
    // What was asked for by name must run.
    let is_missing = |row: &Row| plan.only.is_some() && row.not_run.is_some();
    if rows
        .iter()
        .any(|row| row.findings.count() > 0 || is_missing(row))
    {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

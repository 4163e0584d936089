//! Overloads a broker: `overload PROGRAM [--only ATTACK] [--seconds N] [--readers N] [--memory MIB]`. `cargo xtask overload` starts it and explains it.
#![expect(clippy::print_stdout, reason = "its output is its result")]

use std::process::ExitCode;

use whinchat_testkit::overload::{Attack, Scene, table};

/// What was asked for.
fn plan(mut args: impl Iterator<Item = String>) -> Result<(Scene, Vec<Attack>), String> {
    let program = args.next().ok_or("the path of whinchat is missing")?;
    let mut scene = Scene {
        program: program.into(),
        folder: std::env::temp_dir(),
        seconds: 5,
        readers: 1_000,
        memory_mib: 256,
    };
    let mut attacks = Attack::ALL.to_vec();
    while let Some(arg) = args.next() {
        let value = args.next().ok_or(format!("{arg} takes a value"))?;
        let number = || {
            let number = value.parse::<u32>().ok().filter(|number| *number > 0);
            number.ok_or(format!("{arg} {value}: not a number of 1 or more"))
        };
        match arg.as_str() {
            "--only" => attacks.retain(|attack| attack.name() == value),
            "--seconds" => scene.seconds = number()?.into(),
            "--readers" => scene.readers = usize::try_from(number()?).unwrap_or(usize::MAX),
            "--memory" => scene.memory_mib = number()?.into(),
            _ => return Err(format!("{arg} is not known")),
        }
        if attacks.is_empty() {
            let known = Attack::ALL.map(Attack::name).join(", ");
            return Err(format!("no attack is called {value}; there are: {known}"));
        }
    }
    Ok((scene, attacks))
}

fn main() -> ExitCode {
    let (mut scene, attacks) = match plan(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("no folder for the broker: {error}");
            return ExitCode::from(2);
        }
    };
    scene.folder = folder.path().to_owned();
    let mut outcomes = Vec::new();
    for attack in attacks {
        match scene.run(attack) {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => {
                print!("{}", table(&outcomes));
                eprintln!("{}: {error}", attack.name());
                return ExitCode::FAILURE;
            }
        }
    }
    print!("{}", table(&outcomes));
    if outcomes.iter().all(|outcome| outcome.findings.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

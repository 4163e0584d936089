//! The Python virtual environment with paho-mqtt.

use std::fs;

use crate::Outcome;
use crate::process::{command, read, run};
use crate::workspace;

use super::python;

const REQUIREMENTS: &str = "interop/requirements.txt";

pub(super) fn install_missing() -> Outcome {
    let wanted = fs::read_to_string(workspace::root().join(REQUIREMENTS))?;
    if installed()
        .is_some_and(|installed| pins(&wanted).all(|pin| installed.lines().any(|line| line == pin)))
    {
        return Ok(());
    }
    let venv = workspace::tools().join("venv");
    run(command("python3", ["-m", "venv"]).arg(venv))?;
    run(&mut command(
        python(),
        [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
            REQUIREMENTS,
        ],
    ))
}

/// `name==version` per line, or nothing if there is no environment.
fn installed() -> Option<String> {
    let list = "import importlib.metadata as m\nfor d in m.distributions(): print(f\"{d.metadata['Name'].lower()}=={d.version}\")";
    read(&mut command(python(), ["-c", list])).ok()
}

/// The pinned packages of a requirements file, without its comments.
fn pins(requirements: &str) -> impl Iterator<Item = &str> {
    requirements
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{REQUIREMENTS, pins};
    use crate::workspace;

    #[test]
    fn every_requirement_is_pinned_to_one_version() {
        let text = std::fs::read_to_string(workspace::root().join(REQUIREMENTS)).unwrap();
        assert!(pins(&text).count() > 0);
        for pin in pins(&text) {
            assert!(
                pin.contains("==") && pin == pin.to_lowercase(),
                "{pin} is not NAME==VERSION in lower case"
            );
        }
    }
}

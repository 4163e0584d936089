//! mqtt.js and mqtt-packet for Node.js, exactly as the lock file in `interop/` says.

use std::fs;

use crate::Outcome;
use crate::process::{command, run};
use crate::workspace;

use super::node_modules;

pub(super) fn install_missing() -> Outcome {
    let source = workspace::root().join("interop");
    let folder = workspace::tools().join("node");
    // The copy of the lock file is written last: it says that everything in it is there.
    let installed = folder.join("installed-lock.json");
    let wanted = fs::read(source.join("package-lock.json"))?;
    if fs::read(&installed).is_ok_and(|lock| lock == wanted) && node_modules().is_dir() {
        return Ok(());
    }
    fs::create_dir_all(&folder)?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(source.join(file), folder.join(file))?;
    }
    run(command(
        "npm",
        [
            "ci",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--loglevel=error",
        ],
    )
    .current_dir(&folder))?;
    fs::write(installed, wanted)?;
    Ok(())
}

//! Plants each bug in turn and says who found it. `cargo xtask planted` starts it.
#![expect(clippy::print_stdout, reason = "its output is its result")]

use std::process::ExitCode;

use whinchat_testkit::planted::{Planted, find};

fn main() -> ExitCode {
    // What finds a bug may panic many times while it is shrunk.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(found) = find(None) {
        println!("without a bug: {found:?}. What finds this has no say in the rest");
        return ExitCode::FAILURE;
    }
    let mut missed = 0;
    println!(
        "{:<24} {:<26} {:<14} {:>6}  what it does",
        "bug", "found by", "after", "ms"
    );
    let mut all = 0;
    for bug in Planted::all() {
        all += 1;
        let name = bug.name();
        let (finder, after, millis) = match find(Some(bug)) {
            Some(found) => (found.finder, found.after, found.millis.to_string()),
            None => {
                missed += 1;
                ("NOBODY", String::new(), String::new())
            }
        };
        println!(
            "{name:<24} {finder:<26} {after:<14} {millis:>6}  {}",
            bug.what()
        );
    }
    println!("planted: {} bugs, {missed} not found", all);
    if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

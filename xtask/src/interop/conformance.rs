//! Our broker and our tools, judged by `whinchat conformance` over real sockets.
//!
//! The tests of the crates play the same transcripts in memory; here the program does, as its users run it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::report::Report;

pub(super) fn run(report: &mut Report, program: &Path) {
    for (name, options) in [
        ("own broker, one thread", &["--threads", "1"][..]),
        (
            "own broker, two threads, byte by byte",
            &["--threads", "2", "--split"],
        ),
    ] {
        report.case(name, || {
            let judged = judge(program, options)?;
            nothing_is_left_out(&judged)
        });
    }
    let quoted = format!("'{}'", program.display());
    let place = "-L {url} -V {version} -i busy -c -k 2 -q 2";
    for (name, command) in [
        (
            "whinchat sub",
            format!("exec {quoted} sub {place} -t 'conformance/#'"),
        ),
        (
            "whinchat pub",
            format!("seq 1000 | {quoted} pub {place} -t conformance/a -l"),
        ),
    ] {
        report.case(name, || {
            judge(program, &["--client", "--strict", "--run", &command]).map(drop)
        });
    }
}

/// Runs it; a statement that failed is an error with what the program says of it.
fn judge(program: &Path, options: &[&str]) -> Result<Value, String> {
    let output = Command::new(program)
        .arg("conformance")
        .args(options)
        .args(["--json", "-"])
        .output()
        .map_err(|error| error.to_string())?;
    let json = String::from_utf8_lossy(&output.stdout);
    if json.is_empty() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let judged: Value = serde_json::from_str(&json).map_err(|error| error.to_string())?;
    let failed = of_state(&judged, "scenes", "verdict", "failed");
    match failed.first() {
        None if output.status.success() => Ok(judged),
        None => Err(format!(
            "nothing failed, and it ended with {}",
            output.status
        )),
        Some(first) => Err(format!(
            "{} scenes failed: {}: expected {}, received {}",
            failed.len(),
            first["name"],
            first["failure"]["expected"],
            first["failure"]["received"]
        )),
    }
}

fn nothing_is_left_out(judged: &Value) -> Result<(), String> {
    let not_offered = of_state(judged, "statements", "state", "not_offered");
    let without_reason = of_state(judged, "statements", "state", "not_tested")
        .into_iter()
        .filter(|statement| statement["why"] == "no scene shows it");
    match not_offered.into_iter().chain(without_reason).next() {
        None => Ok(()),
        Some(statement) => Err(format!(
            "MQTT {} {}: {}",
            statement["version"], statement["id"], statement["why"]
        )),
    }
}

fn of_state<'a>(judged: &'a Value, list: &str, key: &str, state: &str) -> Vec<&'a Value> {
    let rows = judged[list].as_array().into_iter().flatten();
    rows.filter(|row| row[key] == state).collect()
}

#[cfg(test)]
mod tests {
    use super::{nothing_is_left_out, of_state};

    #[test]
    fn what_has_no_reason_is_left_out() {
        let judged = |state: &str, why: &str| {
            serde_json::json!({"statements": [
                {"version": "5.0", "id": "MQTT-3.3.1-2", "state": "passed"},
                {"version": "5.0", "id": "MQTT-3.3.1-3", "state": state, "why": why},
            ]})
        };
        let passed = judged("passed", "");
        assert_eq!(of_state(&passed, "statements", "state", "passed").len(), 2);
        nothing_is_left_out(&passed).unwrap();
        nothing_is_left_out(&judged("not_tested", "there is no WebSocket")).unwrap();
        nothing_is_left_out(&judged("not_tested", "no scene shows it")).unwrap_err();
        nothing_is_left_out(&judged("not_offered", "no QoS 2")).unwrap_err();
    }
}

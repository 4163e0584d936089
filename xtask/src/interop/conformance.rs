//! Our broker and our tools, judged by `whinchat conformance` over real sockets.
//!
//! The tests of the crates play the same transcripts in memory; here the program does, as its users run it.

use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::Value;

use super::report::Report;

/// One run of the program: what it is called, its options, and whether it has to leave no statement out.
struct Judgement {
    name: &'static str,
    options: Vec<String>,
    whole: bool,
}

pub(super) fn run(report: &mut Report, program: &Path) {
    let judgements = judgements(program);
    // Each starts what it judges itself and mostly waits for what must not come: all at once, they take as long as one.
    let results = thread::scope(|scope| {
        let running = judgements
            .iter()
            .map(|judgement| scope.spawn(|| judgement.run(program)));
        let running: Vec<_> = running.collect();
        running
            .into_iter()
            .map(|one| one.join().expect("a judgement does not panic"))
            .collect::<Vec<_>>()
    });
    for (judgement, result) in judgements.iter().zip(results) {
        report.case(judgement.name, || result);
    }
}

fn judgements(program: &Path) -> Vec<Judgement> {
    let broker = |name, options: &[&str]| Judgement {
        name,
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        whole: true,
    };
    let place = "-L {url} -V {version} -i busy -c -k 2 -q 2";
    let quoted = format!("'{}'", program.display());
    let client = |name, command| Judgement {
        name,
        options: ["--client", "--strict", "--run"]
            .map(str::to_owned)
            .into_iter()
            .chain([command])
            .collect(),
        whole: false,
    };
    vec![
        broker("own broker, one thread", &["--threads", "1"]),
        broker(
            "own broker, two threads, byte by byte",
            &["--threads", "2", "--split"],
        ),
        client(
            "whinchat sub",
            format!("exec {quoted} sub {place} -t 'conformance/#'"),
        ),
        client(
            "whinchat pub",
            format!("seq 1000 | {quoted} pub {place} -t conformance/a -l"),
        ),
    ]
}

impl Judgement {
    fn run(&self, program: &Path) -> Result<(), String> {
        let judged = judge(program, &self.options)?;
        if self.whole {
            nothing_is_left_out(&judged)?;
        }
        Ok(())
    }
}

/// Runs it; a statement that failed is an error with what the program says of it.
fn judge(program: &Path, options: &[String]) -> Result<Value, String> {
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

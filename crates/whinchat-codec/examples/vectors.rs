//! Prints the golden vectors for programs that judge them: `cargo run -p whinchat-codec --example vectors`.
//!
//! One a line, with tabs between the fields: where it stands, its version, its bytes in hex, what has to come of them in
//! the words of its file (`value ...`, `error ...` or `incomplete`), then each `differs`.
#![expect(clippy::print_stdout, reason = "what it is for")]
#![expect(
    clippy::unwrap_used,
    reason = "a vector that cannot be read ends the program"
)]

#[expect(dead_code, reason = "the tests read more of a vector")]
#[path = "../tests/it/golden/vector.rs"]
mod vector;

use vector::Outcome;

fn main() {
    for vector in vector::all() {
        let hex: String = vector
            .bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let outcome = match &vector.outcome {
            Outcome::Value { text, .. } => format!("value {text}"),
            Outcome::Error(code) => format!("error {code:#04x}"),
            Outcome::Close => "error close".to_owned(),
            Outcome::Incomplete => "incomplete".to_owned(),
        };
        let (place, version) = (&vector.place, vector.version);
        let mut line = format!("{place}\t{version}\t{hex}\t{outcome}");
        for reason in &vector.differs {
            line.push('\t');
            line.push_str(reason);
        }
        println!("{line}");
    }
}

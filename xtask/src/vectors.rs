//! `cargo xtask vectors`: the golden vectors of the codec, read by two decoders that others wrote.
//!
//! The vectors come from an example of `whinchat-codec`, the decoders are called by scripts in `interop/vectors/`, which
//! write what they understood in the notation of the vectors. Here it is compared with what the vector's file says:
//! every valid vector is agreed on, or its file has a line `differs NAME: REASON`, which has to be needed. An invalid
//! vector that a decoder takes is counted only, for a decoder may check less than the standard asks for.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use crate::process::{cargo, command, find_program, read, shown};
use crate::{Outcome, setup, workspace};

pub(crate) const USAGE: &str = "
Usage: cargo xtask vectors [--list]

Decodes every golden vector of whinchat-codec with mqtt-packet (npm) and tshark (Debian) and compares.
  --list   also names each invalid vector that a decoder takes, and what for

Fails where a decoder reads a valid vector otherwise and the vector's file has no line `differs NAME: REASON`,
and where it has such a line and the decoder agrees.
";

pub(crate) fn run(args: &[String]) -> Outcome {
    let list = match args {
        [] => false,
        [arg] if arg == "--list" => true,
        [arg, ..] => return Err(format!("unexpected argument `{arg}`; see --help").into()),
    };
    let text = read(&mut cargo([
        "run",
        "--quiet",
        "--package",
        "whinchat-codec",
        "--example",
        "vectors",
    ]))?;
    let vectors = text
        .lines()
        .map(Vector::of)
        .collect::<Result<Vec<_>, _>>()?;
    let mut failures = 0;
    for (name, mut decoder) in [("mqtt-packet", mqtt_packet()?), ("tshark", tshark()?)] {
        let said = ask(&mut decoder, &vectors)?;
        let comparison = Comparison::of(name, &vectors, &said)?;
        comparison.print(name, list);
        failures += comparison.failures.len();
    }
    match failures {
        0 => Ok(()),
        _ => Err(format!("{failures} vectors are read otherwise than their files say").into()),
    }
}

fn mqtt_packet() -> Result<Command, Box<dyn Error>> {
    let modules = setup::node_modules();
    if !modules.join("mqtt-packet").is_dir() {
        return Err("mqtt-packet is missing: run `cargo xtask setup`".into());
    }
    let mut node = command("node", [script("mqtt_packet.mjs")]);
    node.env("NODE_MODULES", modules);
    Ok(node)
}

fn tshark() -> Result<Command, Box<dyn Error>> {
    if find_program("tshark", &[]).is_none() {
        return Err("tshark is missing: run `cargo xtask setup`".into());
    }
    Ok(command("python3", ["-B".into(), script("tshark.py")]))
}

fn script(name: &str) -> std::path::PathBuf {
    workspace::root().join("interop/vectors").join(name)
}

/// One line of the example.
struct Vector<'a> {
    place: &'a str,
    /// Place, version and bytes: what a decoder is given.
    input: String,
    /// The value of a valid one.
    value: Option<&'a str>,
    /// Decoders that read it otherwise, each with the reason.
    differs: BTreeMap<&'a str, &'a str>,
}

impl<'a> Vector<'a> {
    fn of(line: &'a str) -> Result<Self, String> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [place, version, hex, outcome, differs @ ..] = fields.as_slice() else {
            return Err(format!("no vector: {line}"));
        };
        Ok(Self {
            place,
            input: format!("{place}\t{version}\t{hex}\n"),
            value: outcome.strip_prefix("value "),
            differs: differs
                .iter()
                .filter_map(|reason| reason.split_once(": "))
                .collect(),
        })
    }
}

/// What a decoder made of a vector.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Value(String),
    Refused(String),
}

/// Gives a decoder all vectors and takes its answers, by place.
fn ask(
    decoder: &mut Command,
    vectors: &[Vector<'_>],
) -> Result<BTreeMap<String, Said>, Box<dyn Error>> {
    let input: String = vectors.iter().map(|vector| vector.input.as_str()).collect();
    let mut child = decoder
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("standard input is piped");
    // It answers while it reads: both pipes have to move.
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    let written = writer.join().expect("writing does not panic");
    if !output.status.success() {
        return Err(format!("`{}` ended with {}", shown(decoder), output.status).into());
    }
    written?;
    String::from_utf8(output.stdout)?
        .lines()
        .map(answer)
        .collect()
}

fn answer(line: &str) -> Result<(String, Said), Box<dyn Error>> {
    let mut fields = line.splitn(3, '\t').map(str::to_owned);
    match (fields.next(), fields.next().as_deref(), fields.next()) {
        (Some(place), Some("value"), Some(text)) => Ok((place, Said::Value(text))),
        (Some(place), Some("refused"), Some(text)) => Ok((place, Said::Refused(text))),
        _ => Err(format!("no answer: {line}").into()),
    }
}

/// One decoder against the files.
#[derive(Default)]
struct Comparison {
    agreed: usize,
    differ: usize,
    failures: Vec<String>,
    refused: usize,
    /// Invalid vectors that it takes.
    taken: Vec<String>,
}

impl Comparison {
    fn of(
        name: &str,
        vectors: &[Vector<'_>],
        said: &BTreeMap<String, Said>,
    ) -> Result<Self, String> {
        let mut comparison = Self::default();
        for vector in vectors {
            let place = vector.place;
            let said = said
                .get(place)
                .ok_or_else(|| format!("{name} says nothing about {place}"))?;
            let Some(value) = vector.value else {
                match said {
                    Said::Refused(_) => comparison.refused += 1,
                    Said::Value(text) => comparison.taken.push(format!("{place}: {text}")),
                }
                continue;
            };
            let agrees = matches!(said, Said::Value(text) if text == value);
            match (agrees, vector.differs.get(name)) {
                (true, None) => comparison.agreed += 1,
                (false, Some(_)) => comparison.differ += 1,
                (true, Some(_)) => comparison
                    .failures
                    .push(format!("{place}: {name} agrees: `differs` is not needed")),
                (false, None) => comparison
                    .failures
                    .push(format!("{place}: {said:?}\n  the file: {value}")),
            }
        }
        Ok(comparison)
    }

    fn print(&self, name: &str, list: bool) {
        for failure in &self.failures {
            println!("FAIL {}", clipped(failure));
        }
        println!(
            "{name}: agrees on {} valid vectors, differs on {} for the reasons in their files, fails on {}; refuses {} invalid ones, takes {}",
            self.agreed,
            self.differ,
            self.failures.len(),
            self.refused,
            self.taken.len()
        );
        for taken in self.taken.iter().filter(|_| list) {
            println!("  takes {}", clipped(taken));
        }
    }
}

/// Values of 64 KiB are not for reading.
fn clipped(text: &str) -> &str {
    text.get(..text.floor_char_boundary(600)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Comparison, Said, Vector, answer};

    const VALID: &str = "v5/a.txt:1\t5.0\tc000\tvalue PINGREQ";
    const DIFFERS: &str = "v5/a.txt:5\t5.0\tf000\tvalue AUTH 0x00\tother: has no such form";
    const INVALID: &str = "v5/a.txt:9\t5.0\tc001\terror 0x81";

    fn compare(said: &[&str]) -> Comparison {
        let vectors: Vec<_> = [VALID, DIFFERS, INVALID]
            .map(|line| Vector::of(line).unwrap())
            .into();
        let said: BTreeMap<String, Said> = said.iter().map(|line| answer(line).unwrap()).collect();
        Comparison::of("other", &vectors, &said).unwrap()
    }

    #[test]
    fn what_is_agreed_on_or_excused_does_not_fail() {
        let found = compare(&[
            "v5/a.txt:1\tvalue\tPINGREQ",
            "v5/a.txt:5\trefused\ttoo short",
            "v5/a.txt:9\tvalue\tPINGREQ",
        ]);
        assert_eq!((found.agreed, found.differ), (1, 1));
        assert_eq!(found.failures, [""; 0]);
        assert_eq!(found.taken, ["v5/a.txt:9: PINGREQ"]);
    }

    #[test]
    fn another_value_and_an_excuse_that_is_not_needed_fail() {
        let found = compare(&[
            "v5/a.txt:1\tvalue\tPINGRESP",
            "v5/a.txt:5\tvalue\tAUTH 0x00",
            "v5/a.txt:9\trefused\tflags",
        ]);
        assert_eq!((found.agreed, found.differ, found.refused), (0, 0, 1));
        assert_eq!(found.failures.len(), 2);
        assert!(
            found.failures[0].starts_with("v5/a.txt:1: Value(\"PINGRESP\")"),
            "{:?}",
            found.failures
        );
        assert!(
            found.failures[1].ends_with("is not needed"),
            "{:?}",
            found.failures
        );
    }

    #[test]
    fn a_decoder_that_leaves_a_vector_out_is_an_error() {
        let vectors = [Vector::of(VALID).unwrap()];
        assert!(Comparison::of("other", &vectors, &BTreeMap::new()).is_err());
        assert!(Vector::of("v5/a.txt:1\t5.0").is_err());
        assert!(answer("v5/a.txt:1\tmaybe\tPINGREQ").is_err());
    }
}

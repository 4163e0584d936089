//! The files under `testdata/`: reads vectors and refuses what their README does not describe.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use whinchat_codec::{DecodeLimits, ProtocolVersion};

/// One case.
pub(crate) struct Vector {
    /// File and line, to find it again.
    pub(crate) place: String,
    pub(crate) version: ProtocolVersion,
    pub(crate) ids: Vec<String>,
    pub(crate) sentence: String,
    pub(crate) limits: DecodeLimits,
    pub(crate) bytes: Vec<u8>,
    pub(crate) outcome: Outcome,
    /// Decoders of others that see a valid vector otherwise, each with the reason: `NAME: REASON`.
    pub(crate) differs: Vec<String>,
}

/// What has to come of the bytes.
pub(crate) enum Outcome {
    Value {
        text: String,
        /// Whether the encoder takes it.
        writable: bool,
        /// What the decoded packet is written as.
        encodes: Vec<u8>,
        /// What the packet built from the text is written as.
        builds: Vec<u8>,
    },
    /// Refused with this reason code.
    Error(u8),
    /// Refused without a code, as in 3.x.
    Close,
    Incomplete,
}

impl Vector {
    /// Place and sentence, for the message of a failed assertion.
    pub(crate) fn name(&self) -> String {
        format!("{}: {}", self.place, self.sentence)
    }
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// All vectors of all files. Panics on two vectors with the same input.
pub(crate) fn all() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for directory in ["v31", "v311", "v5"] {
        let mut files: Vec<_> = fs::read_dir(testdata().join(directory))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for file in files {
            read_file(directory, &file, &mut vectors);
        }
    }
    refuse_duplicates(&vectors);
    vectors
}

fn read_file(directory: &str, file: &Path, out: &mut Vec<Vector>) {
    let text = fs::read_to_string(file).unwrap();
    let name = file.strip_prefix(testdata()).unwrap().display();
    let mut block: Vec<(usize, &str)> = Vec::new();
    for (number, line) in (1..).zip(text.lines().chain([""])) {
        if line.starts_with('#') {
            assert!(
                block.is_empty(),
                "{name}:{number}: a comment inside a vector"
            );
        } else if !line.is_empty() {
            block.push((number, line));
        } else if let Some((first, _)) = block.first() {
            let place = format!("{name}:{first}");
            let vector = read_vector(&place, &block);
            assert_eq!(
                version(directory),
                Some(vector.version),
                "{place}: version of another directory"
            );
            out.push(vector);
            block.clear();
        }
    }
}

fn read_vector(place: &str, block: &[(usize, &str)]) -> Vector {
    let (_, header) = block[0];
    let (names, sentence) = header
        .split_once("  ")
        .unwrap_or_else(|| panic!("{place}: two spaces come before the sentence"));
    let mut names = names.split(' ');
    let version = names.next().and_then(version);
    let mut lines = BTreeMap::new();
    let mut differs = Vec::new();
    for (number, line) in &block[1..] {
        let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
        if keyword == "differs" {
            let rest = rest.trim();
            assert!(rest.contains(": "), "{place}: differs without a reason");
            differs.push(rest.to_owned());
            continue;
        }
        assert!(
            [
                "limits",
                "bytes",
                "value",
                "encodes",
                "builds",
                "error",
                "incomplete",
                "unwritable"
            ]
            .contains(&keyword),
            "{place}: line {number}: unknown keyword {keyword}"
        );
        assert!(
            lines.insert(keyword, rest.trim()).is_none(),
            "{place}: {keyword} twice"
        );
    }
    let bytes = hex(
        place,
        lines
            .get("bytes")
            .unwrap_or_else(|| panic!("{place}: no bytes")),
    );
    assert!(
        differs.is_empty() || lines.contains_key("value"),
        "{place}: only a valid vector is compared"
    );
    let outcome = match (
        lines.get("value"),
        lines.get("error"),
        lines.contains_key("incomplete"),
    ) {
        (Some(text), None, false) => {
            let encodes = lines
                .get("encodes")
                .map_or_else(|| bytes.clone(), |text| hex(place, text));
            let builds = lines
                .get("builds")
                .map_or_else(|| encodes.clone(), |text| hex(place, text));
            Outcome::Value {
                text: (*text).to_owned(),
                writable: !lines.contains_key("unwritable"),
                encodes,
                builds,
            }
        }
        (None, Some(&"close"), false) => Outcome::Close,
        (None, Some(code), false) => {
            let digits = code
                .strip_prefix("0x")
                .unwrap_or_else(|| panic!("{place}: error {code}"));
            Outcome::Error(u8::from_str_radix(digits, 16).unwrap())
        }
        (None, None, true) => Outcome::Incomplete,
        _ => panic!("{place}: one of value, error and incomplete"),
    };
    Vector {
        place: place.to_owned(),
        version: version.unwrap_or_else(|| panic!("{place}: no version")),
        ids: names.map(str::to_owned).collect(),
        sentence: sentence.to_owned(),
        limits: limits(place, lines.get("limits").unwrap_or(&"")),
        bytes,
        outcome,
        differs,
    }
}

fn version(name: &str) -> Option<ProtocolVersion> {
    match name {
        "v31" => Some(ProtocolVersion::V31),
        "v311" => Some(ProtocolVersion::V311),
        "v5" => Some(ProtocolVersion::V5),
        _ => None,
    }
}

fn limits(place: &str, text: &str) -> DecodeLimits {
    let mut limits = DecodeLimits::default();
    for pair in text.split_whitespace() {
        let (name, number) = pair
            .split_once('=')
            .unwrap_or_else(|| panic!("{place}: {pair}"));
        let number: u32 = number.parse().unwrap();
        let short = || u16::try_from(number).unwrap();
        limits = match name {
            "packet_size" => limits.with_packet_size(number),
            "properties_bytes" => limits.with_properties_bytes(number),
            "user_properties" => limits.with_user_properties(short()),
            "string_bytes" => limits.with_string_bytes(short()),
            "topic_levels" => limits.with_topic_levels(short()),
            "filters" => limits.with_filters(short()),
            _ => panic!("{place}: no limit is called {name}"),
        };
    }
    limits
}

fn hex(place: &str, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for token in text.split_whitespace() {
        let (digits, times) = token.split_once('*').unwrap_or((token, "1"));
        let piece: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| {
                let pair = digits.get(at..at + 2);
                let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
                byte.unwrap_or_else(|| panic!("{place}: {digits} is not hex"))
            })
            .collect();
        bytes.extend(piece.repeat(times.parse().unwrap()));
    }
    bytes
}

fn refuse_duplicates(vectors: &[Vector]) {
    let mut seen = BTreeMap::new();
    for vector in vectors {
        let input = (
            vector.version,
            format!("{:?}", vector.limits),
            &vector.bytes,
        );
        if let Some(first) = seen.insert(input, &vector.place) {
            panic!("{} has the input of {first}", vector.place);
        }
    }
}

//! First inputs of the fuzz targets, made from the golden vectors of the codec.

use std::fs;
use std::io;
use std::path::Path;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its file and its directories.
    pub name: &'static str,
    /// Its body.
    pub run: fn(&[u8]),
}

/// All fuzz targets.
pub const TARGETS: [Target; 6] = [
    Target {
        name: "decode",
        run: super::decode,
    },
    Target {
        name: "properties",
        run: super::properties,
    },
    Target {
        name: "roundtrip",
        run: super::roundtrip,
    },
    Target {
        name: "split",
        run: super::split,
    },
    Target {
        name: "topic",
        run: super::topic,
    },
    Target {
        name: "utf8",
        run: super::utf8,
    },
];

/// Longer vectors are left out: mutating them takes long and teaches nothing.
const SEED_BYTES_MAX: usize = 4096;

/// Topic names and filters that are on both sides of a rule (MQTT 5.0 section 4.7).
const TOPICS: [&str; 12] = [
    "a/b/c\na/+/c\n#\n+/b/#\na/b/c/d\n",
    "sport/tennis/player1\nsport/tennis/player1/#\nsport/tennis/player1/ranking\n",
    "/finance\n+/+\n/+\n+\n",
    "$SYS/monitor/Clients\n$SYS/#\n#\n+/monitor/Clients\n",
    "a//b\na/+/b\n/\n//\n+/+/+\n",
    "a\na/#\n-a\n!a\na/b\n",
    "a/b\n-a/b\n\na/b\n-a/b\n",
    "#\n-#\n\n-#\n",
    "x/\nx\nx/+\nx/#\n",
    "é/日本\n+/日本\né/+\n",
    "a\na\na\n!a\n!a\n",
    "+\n+/+\n+/+/+\n+/+/+/+\na\na/b\na/b/c\na/b/c/d\n",
];

/// One seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The name of one of [`TARGETS`].
    pub target: &'static str,
    /// What the target is called with.
    pub input: Vec<u8>,
}

/// Makes the seeds of all targets from `testdata` of the codec crate, always the same and in the same order.
///
/// # Errors
/// If the directory cannot be read.
pub fn seeds(testdata: &Path) -> io::Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for (version, directory) in (0..).zip(["v31", "v311", "v5"]) {
        let mut files: Vec<_> =
            fs::read_dir(testdata.join(directory))?.collect::<Result<_, _>>()?;
        files.sort_by_key(fs::DirEntry::path);
        for file in files {
            let text = fs::read_to_string(file.path())?;
            let vectors = text.lines().filter_map(|line| line.strip_prefix("bytes "));
            for bytes in vectors
                .map(hex)
                .filter(|bytes| bytes.len() <= SEED_BYTES_MAX)
            {
                add_packet(&mut seeds, version, &bytes);
            }
        }
    }
    seeds.extend(TOPICS.map(|topics| Seed {
        target: "topic",
        input: topics.as_bytes().to_vec(),
    }));
    Ok(seeds)
}

fn add_packet(seeds: &mut Vec<Seed>, version: u8, packet: &[u8]) {
    let mut add = |target, prefix: &[u8], bytes: &[u8]| {
        let input = [prefix, bytes].concat();
        seeds.push(Seed { target, input });
    };
    add("decode", &[version], packet);
    add("roundtrip", &[version], packet);
    // Reads of one and of three bytes.
    add("split", &[version, 2, 1, 3], packet);
    if version == 2
        && let Some((place, section)) = super::codec::property_section(packet)
    {
        add("properties", &[place], section);
    }
    // A PUBLISH with QoS 0 and a short body: its topic name.
    if let [0x30, 0..=0x7f, 0, length, rest @ ..] = packet
        && let Some(topic) = rest.get(..usize::from(*length))
    {
        add("utf8", &[], topic);
    }
}

/// The bytes of a line of hex, `61*3` repeating; stops before what is none.
fn hex(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for token in line.split_whitespace() {
        let (digits, times) = token.split_once('*').unwrap_or((token, "1"));
        let piece: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map_while(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
            .collect();
        bytes.extend(piece.repeat(times.parse().unwrap_or(1)));
    }
    bytes
}

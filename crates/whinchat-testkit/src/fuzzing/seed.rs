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
pub const TARGETS: [Target; 7] = [
    Target {
        name: "decode",
        run: super::decode,
    },
    Target {
        name: "engine",
        run: super::engine,
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

/// A CONNECT of each version, with a session that stays.
const CONNECTS: [&str; 3] = [
    "10 0f 0006 4d5149736470 03 00 003c 0001 63",
    "10 0d 0004 4d515454 04 00 003c 0001 63",
    "10 13 0004 4d515454 05 00 003c 05 11 00000e10 0001 63",
];

/// Steps of the engine target behind a CONNECT: flows of all QoS in both directions, with cuts and commits between.
/// `@` stands for the CONNECT again.
const FLOWS: [&str; 7] = [
    // Ours at QoS 1 and 2: deliver, commit, PUBACK, PUBREC, commit, PUBCOMP.
    "08 05 01  08 05 02  0a ff  00 04 40020001  00 04 50020002  0a ff  00 04 70020002",
    // The same with a cut before each answer.
    "08 05 01  08 05 02  0a ff  0d @  00 04 40020001  0d @  00 04 50020002  0d @  0a ff  00 04 70020002",
    // Stray acknowledgements.
    "00 04 40020009  00 04 50020009  00 04 62020009  00 04 70020009  0a ff",
    // A restart with messages in flight and in the queue.
    "08 05 01  08 05 02  08 06 01  08 07 02  08 08 01  0a 01  0e @  0a ff  00 04 50020002",
    // Time: a message expires, the client is silent.
    "08 03 01  0c 10  08 07 00  0c ff",
    // PINGREQ, then the server leaves, and messages for an absent client.
    "00 02 c000  0f 00  08 05 01  08 05 02  0d @  0a ff",
    // DISCONNECT, then the client comes back.
    "00 02 e000  08 05 01  0d @  0a ff",
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
    for (version, connect) in CONNECTS.iter().enumerate() {
        let connect = receive(&hex(connect));
        for flow in FLOWS {
            add_flow(&mut seeds, &connect, flow);
        }
        for flow in incoming_flows(version == 2) {
            add_flow(&mut seeds, &connect, &flow);
        }
    }
    seeds.extend(TOPICS.map(|topics| Seed {
        target: "topic",
        input: topics.as_bytes().to_vec(),
    }));
    Ok(seeds)
}

/// The client's messages at QoS 1 and 2, taken and refused, repeated, released, with commits late and a cut between.
fn incoming_flows(is_v5: bool) -> Vec<String> {
    let publish = |first_byte: &str, id: &str, payload: &str| {
        if is_v5 {
            format!("00 0a {first_byte} 08 0001 61 {id} 00 {payload} 2e")
        } else {
            format!("00 09 {first_byte} 07 0001 61 {id} {payload} 2e")
        }
    };
    let qos1 = publish("32", "0007", "78");
    let qos2 = publish("34", "0008", "78");
    let again = publish("3c", "0008", "78");
    let refused = publish("34", "0009", "21");
    let release = "00 04 62020008";
    vec![
        format!("{qos1} {qos1} 0a 01 0a ff"),
        format!("{qos2} {again} 0a ff {again} {release} 0a ff {release} {qos2}"),
        format!("{qos2} 0d @ {again} 0a ff 0d @ {release} 0a ff"),
        format!("{refused} 0a ff {refused} {qos1} {qos2} 0a 01 0a 01 0a 01"),
        format!("{qos2} {qos1} 0e @ {again} 0a ff {release} 0a ff"),
    ]
}

fn add_flow(seeds: &mut Vec<Seed>, connect: &[u8], flow: &str) {
    // Nothing, small limits, all durable at once, and both.
    for settings in 0..4 {
        let mut input = [&[settings], connect].concat();
        for (number, part) in flow.split('@').enumerate() {
            if number > 0 {
                input.extend_from_slice(connect);
            }
            input.extend(hex(part));
        }
        seeds.push(Seed {
            target: "engine",
            input,
        });
    }
}

/// The step of the engine target that hands in these bytes.
fn receive(bytes: &[u8]) -> Vec<u8> {
    let mut step = vec![0, u8::try_from(bytes.len()).unwrap_or(u8::MAX)];
    step.extend_from_slice(bytes);
    step
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
    if packet.len() <= usize::from(u8::MAX) {
        let connect = receive(&hex(CONNECTS[usize::from(version)]));
        add("engine", &[0], &[connect, receive(packet)].concat());
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

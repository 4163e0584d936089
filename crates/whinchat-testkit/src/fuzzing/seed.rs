//! First inputs of the fuzz targets: made from the golden vectors of the codec, from flows that are written here, and
//! where an input is nothing but choices, from random ones that are always the same.

use std::fs;
use std::io;
use std::path::Path;

use whinchat_broker::config::Config;
use whinchat_codec::{DecodeLimits, Packet, ProtocolVersion};
use whinchat_store::{RecordKind, record};

/// Longer vectors are left out: mutating them takes long and teaches nothing.
const SEED_BYTES_MAX: usize = 4096;

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
    let mut seeds = Seeds(Vec::new());
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
                seeds.packet(version, &bytes);
            }
        }
    }
    seeds.flows();
    seeds.topics();
    seeds.lengths();
    seeds.stored();
    seeds.choices();
    seeds.texts();
    seeds.past();
    Ok(seeds.0)
}

struct Seeds(Vec<Seed>);

impl Seeds {
    fn add(&mut self, target: &'static str, pieces: &[&[u8]]) {
        let input = pieces.concat();
        self.0.push(Seed { target, input });
    }

    /// A packet in the version of this number.
    fn packet(&mut self, version: u8, packet: &[u8]) {
        let number = usize::from(version);
        let decode = ["decode_v31", "decode_v311", "decode_v5"][number];
        self.add(decode, &[&[0], packet]);
        self.add("roundtrip", &[&[version], packet]);
        // Reads of one and of three bytes.
        self.add("split", &[&[version, 2, 1, 3], packet]);
        if version == 2
            && let Some((place, section)) = super::codec::property_section(packet)
        {
            self.add("properties", &[&[place], section]);
        }
        if packet.len() <= usize::from(u8::MAX) {
            let connect = receive(&hex(CONNECTS[number]));
            self.add("server", &[&[0], &connect, &receive(packet)]);
            let connack = receive(&hex(CONNACKS[number]));
            self.add("client", &[&[version << 2], &connack, &receive(packet)]);
        }
        // A PUBLISH with QoS 0 and a short body: its topic name.
        if let [0x30, 0..=0x7f, 0, length, rest @ ..] = packet
            && let Some(topic) = rest.get(..usize::from(*length))
        {
            self.add("utf8", &[topic]);
        }
        self.text(ProtocolVersion::ALL[number], packet);
    }

    /// The JSON of a packet, if it is one and the text is short.
    fn text(&mut self, version: ProtocolVersion, packet: &[u8]) {
        let bytes = bytes::Bytes::copy_from_slice(packet);
        if let Ok(Some((packet, _))) = Packet::decode(&bytes, version, &DecodeLimits::default())
            && let Ok(text) = serde_json::to_vec(&packet)
            && text.len() < 512
        {
            self.add("json", &[&text]);
        }
    }
}

/// A CONNECT of each version, with a session that stays.
const CONNECTS: [&str; 3] = [
    "10 0f 0006 4d5149736470 03 00 003c 0001 63",
    "10 0d 0004 4d515454 04 00 003c 0001 63",
    "10 13 0004 4d515454 05 00 003c 05 11 00000e10 0001 63",
];

/// Steps of the server target behind a CONNECT: flows of all QoS in both directions, with cuts and commits between.
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

/// A CONNACK of each version that finds the session.
const CONNACKS: [&str; 3] = ["20 02 00 00", "20 02 01 00", "20 03 01 00 00"];

/// Steps of the client target behind a CONNACK: flows of all QoS in both directions, requests, time and cuts. `@` stands
/// for the CONNACK again.
const CLIENT_FLOWS: [&str; 6] = [
    // Ours at QoS 1 and 2: publish, commit, PUBACK, PUBREC, commit, PUBCOMP.
    "08 05 01  08 06 02  0a ff  05 00 00  05 02 00  0a ff  05 03 00",
    // The same with a cut before each answer.
    "08 05 01  08 06 02  0a ff  0d @  05 00 00  0d @  05 02 00  0d @  0a ff  05 03 00",
    // The server's at QoS 1 and 2: PUBLISH, again, PUBREL.
    "05 05 07  0a ff  05 06 08  05 06 09  0a ff  05 04 08  0a ff  05 04 08",
    // Requests, answered and not, with messages between.
    "09 00  09 81  08 05 01  05 07 00  05 07 01  0d @  09 02",
    // Refusals, and answers to nothing.
    "08 05 01  08 05 02  0a ff  05 80 00  05 82 00  05 03 63  05 04 63",
    // Time, a restart with messages in flight and in the queue, and the client leaves.
    "08 05 01  08 05 02  08 06 01  0c ff  0c ff  0e @  0a ff  0f 01",
];

impl Seeds {
    fn flows(&mut self) {
        for (version, (connect, connack)) in (0..).zip(CONNECTS.iter().zip(CONNACKS)) {
            let incoming = incoming_flows(version == 2);
            let flows = FLOWS
                .iter()
                .copied()
                .chain(incoming.iter().map(String::as_str));
            // Nothing, small limits, all durable at once, and both.
            for (flow, settings) in
                flows.flat_map(|flow| (0..4).map(move |settings| (flow, settings)))
            {
                self.flow("server", settings, &hex(connect), flow);
            }
            for (flow, settings) in CLIENT_FLOWS
                .iter()
                .flat_map(|flow| (0..4).map(move |settings| (flow, settings)))
            {
                self.flow("client", settings | version << 2, &hex(connack), flow);
            }
        }
    }

    fn flow(&mut self, target: &'static str, settings: u8, first: &[u8], flow: &str) {
        let parts: Vec<_> = flow.split('@').map(hex).collect();
        let steps: Vec<u8> = parts
            .iter()
            .flat_map(|part| [receive(first), part.clone()].concat())
            .collect();
        self.add(target, &[&[settings], &steps]);
    }
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

/// The step that hands in these bytes.
fn receive(bytes: &[u8]) -> Vec<u8> {
    let mut step = vec![0, u8::try_from(bytes.len()).unwrap_or(u8::MAX)];
    step.extend_from_slice(bytes);
    step
}

/// Filters and names on both sides of a rule (MQTT 5.0 sections 4.7 and 4.8.2).
const TOPICS: [&str; 24] = [
    "a/b/c",
    "a/+/c",
    "#",
    "+/b/#",
    "a/#",
    "sport/tennis/player1",
    "sport/tennis/player1/#",
    "/finance",
    "+/+",
    "/+",
    "+",
    "$SYS/monitor/Clients",
    "$SYS/#",
    "a//b",
    "/",
    "a/b#",
    "a/#/b",
    "a+",
    "$share/g/a/#",
    "$share//a",
    "$share/g",
    "$share/g+/a",
    "é/日本",
    "a!/b",
];

/// Lengths around each border of a Variable Byte Integer, and forms that are longer than they must be or too long.
const LENGTHS: [&str; 16] = [
    "00",
    "7f",
    "80 01",
    "ff 7f",
    "80 80 01",
    "ff ff 7f",
    "80 80 80 01",
    "ff ff ff 7f",
    "80 00",
    "80 80 00",
    "ff 80 00",
    "80 80 80 80 01",
    "ff ff ff ff 7f",
    "80",
    "80 80",
    "01",
];

/// Behind the head of a snapshot: an empty one; QoS 1 and 2 in flight, one in the queue, an id held.
const SNAPSHOTS: [&str; 2] = [
    "0000 00000000 00000000 00000000",
    "0003 00000003  01 02 0001 00 00000000 00000009 05 ffffffffffffffff  02 03 0002 00 00000001 00000007 00000009 06 ffffffffffffffff \
     03 00 0003 10 00000000 00000000  00000001 02 02 00000000 00000009 07 0000000000000001  00000002 0007 0008",
];

impl Seeds {
    fn topics(&mut self) {
        for filter in TOPICS {
            for name in TOPICS {
                self.add("matching", &[filter.as_bytes(), b"\n", name.as_bytes()]);
            }
        }
    }

    fn lengths(&mut self) {
        for length in LENGTHS {
            self.add("varint", &[&[0x30], &hex(length), &[0; 4]]);
        }
    }

    fn stored(&mut self) {
        let mut group = Vec::new();
        for number in 0..12_u8 {
            let kind = if number % 2 == 0 {
                RecordKind::required
            } else {
                RecordKind::optional
            };
            record::write(&mut group, kind(number), 1, number.into(), |body| {
                body.extend(std::iter::repeat_n(number, number.into()));
            });
            self.add("record", &[&group]);
            self.add("record", &[&group, &[9, 0, 0, 0, 1]]);
            let snapshot = hex(SNAPSHOTS[usize::from(number % 2)]);
            self.add(
                "snapshot",
                &[&snapshot[..snapshot.len() - usize::from(number / 2)]],
            );
        }
    }

    /// For targets whose input is choices.
    fn choices(&mut self) {
        const TARGETS: [&str; 12] = [
            "broker",
            "recovery",
            "stored",
            "downgrade",
            "encode",
            "filter_index",
            "framed",
            "json",
            "mosquitto_conf",
            "name_index",
            "pair",
            "shared_groups",
        ];
        for target in TARGETS {
            let mut random = fastrand::Rng::with_seed(7);
            for number in 0..32 {
                let len = random.usize(16..256);
                let mut input: Vec<u8> =
                    std::iter::repeat_with(|| random.u8(..)).take(len).collect();
                // Of a packet the first byte is its version, and below any that JSON text begins with.
                input[0] = number % 32;
                self.add(target, &[&input]);
            }
        }
    }
}

/// Places, good and bad.
const PLACES: [&str; 16] = [
    "mqtt://example.org:1883",
    "tcp://h",
    "127.0.0.1:0",
    "localhost",
    "[::1]:1883",
    "mqtt://[fe80::1%eth0]",
    "unix:/run/a?b@c.sock",
    "unix:///run/a.sock",
    "mqtt://ann%40lab:pass@h:1?client_id=a%20b&flag",
    "mqtts://h",
    "http://h",
    "h:65536",
    "h:+1",
    "::1:1883",
    "mqtt://h/topic",
    "a b:1",
];

/// Packets in the notation of transcripts.
const PACKETS: [&str; 16] = [
    "CONNECT clean keep=10 user=u password='p w' expiry=60 rm=2 max=100 tam=5 problem=0 prop=n:v",
    "CONNECT v311 c1 will=w will-payload=x will-qos=1 will-retain",
    "CONNECT will=w will-payload='x' will-delay=5 will-prop=a:b level=6 name=MQTX",
    "CONNACK 00 present expiry=1 rm=2 tam=4 keep=5 qos=1 retain=0 assigned=c",
    "PUBLISH q1 id7 dup retain a/b 'x\\n\\0' expiry=1 alias=2 sub=1 format=1 prop=n:v",
    "PUBLISH - 'x'*20 alias=1",
    "PUBLISH ^$SYS/x '\\u{feff}\\xff'",
    "PUBACK id7 10 reason=r prop=a:b",
    "PUBREC id7",
    "PUBREL id7 92",
    "SUBSCRIBE id1 sub=5 a/b:2,nl,rap,rh1 $share/g/+/#:1",
    "SUBACK id1 00/01 80",
    "UNSUBSCRIBE id1 a ^b",
    "UNSUBACK id1 00 11",
    "DISCONNECT 04 expiry=5 reason=why",
    "AUTH 18 method=m data=d",
];

impl Seeds {
    /// For targets that read what people write.
    fn texts(&mut self) {
        for place in PLACES {
            self.add("endpoint", &[place.as_bytes()]);
        }
        for packet in PACKETS {
            self.add("notation", &[packet.as_bytes()]);
            let scene = format!(
                "scene s\nv5 MQTT-3.1.2-1\nv311\nneeds qos2\nA> CONNECT   A< CONNACK 00\nA> {packet}\nB< {packet} or nothing\nA! silent\nwait 2s\n"
            );
            self.add("scene", &[scene.as_bytes()]);
        }
        let file = Config::default_file();
        self.add("config", &[file.as_bytes()]);
        // Every option by itself, as the file shows it.
        let mut section = "";
        for line in file.lines().map(|line| line.trim_start_matches("# ")) {
            if line.starts_with('[') {
                section = line;
            } else if line.contains(" = ") {
                self.add(
                    "config",
                    &[section.as_bytes(), b"\n", line.as_bytes(), b"\n"],
                );
            }
        }
    }
}

impl Seeds {
    /// What brokers keep of the lives that the `stored` target plays.
    fn past(&mut self) {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..16 {
            let life: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(300).collect();
            let mut input = Vec::new();
            for group in super::broker::kept_of(&life) {
                let length = u16::try_from(group.len()).unwrap_or(u16::MAX);
                input.extend_from_slice(&length.to_be_bytes());
                input.extend_from_slice(&group[..usize::from(length)]);
            }
            self.add("replay", &[&input]);
        }
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

//! Whatever a server sends, a scene ends with a verdict.

use tokio::io::AsyncWriteExt;

use super::*;

/// A server that sends these bytes to whoever connects, and closes or falls silent.
struct Noise {
    bytes: Vec<u8>,
    closes: bool,
}

impl Target for Noise {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, mut theirs) = duplex(100);
        let (bytes, closes) = (self.bytes.clone(), self.closes);
        tokio::spawn(async move {
            let _ = theirs.write_all(&bytes).await;
            if !closes {
                std::future::pending::<()>().await;
            }
        });
        Ok(ours)
    }
}

const STEPS: &str = "
A> CONNECT A< CONNACK *
A< PUBLISH q1 id:m a * or nothing
A< PUBLISH * * ~ PUBLISH q2 id:a * * ~ PUBLISH retain * * or DISCONNECT * or SUBACK id* * * or closed *
A> PUBREC id:a A< PUBREL id:a
A! silent
A< closed * or refused * or nothing
";

/// Packets as servers send them, with any properties and bytes in their texts.
fn packets(random: &mut fastrand::Rng) -> Vec<u8> {
    // Any bytes, ASCII, or bytes that begin no character.
    let text = |random: &mut fastrand::Rng| -> String {
        let (and, or) = [(0xff, 0), (0x7f, 0), (0x3f, 0x80)][random.usize(..3)];
        let bytes = (0..random.usize(0..120)).map(|_| random.u8(..) & and | or);
        bytes.map(|byte| format!("\\x{byte:02x}")).collect()
    };
    let mut bytes = packet("CONNACK 00", V5).to_vec();
    for _ in 0..random.usize(0..6) {
        let (one, other) = (text(random), text(random));
        let id = random.u16(1..4);
        let written = match random.u8(0..7) {
            0 => format!("PUBLISH q1 id{id} a '{one}'"),
            1 => format!("PUBLISH q2 id{id} 'a{other}' '{one}' data='{other}' prop='a':'{one}'"),
            2 => format!("PUBREL id{id} 92 reason='{one}'"),
            3 => format!("DISCONNECT {:02x} reason='{one}'", random.u8(..)),
            4 => "PINGRESP".to_owned(),
            5 => format!(
                "SUBACK id{id} {:02x} 00 prop='{one}':'{other}'",
                random.u8(..)
            ),
            _ => format!("CONNACK 00 assigned='{one}' max={}", random.u32(..)),
        };
        bytes.extend_from_slice(&packet(&written, V5));
    }
    bytes
}

#[tokio::test(start_paused = true)]
async fn no_bytes_keep_a_scene_from_its_verdict() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let scenes = Scene::parse_file("x", &format!("scene s\nv31\nv311\nv5{STEPS}")).unwrap();
    let options = options();
    let mut failed = 0;
    for _ in 0..2_000 {
        let mut bytes = packets(&mut random);
        for _ in 0..random.usize(0..4) {
            let at = random.usize(..bytes.len());
            match random.u8(0..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.truncate(at + 1),
                _ => bytes.insert(at, random.u8(..)),
            }
        }
        let target = Noise {
            bytes,
            closes: random.bool(),
        };
        let version = ProtocolVersion::ALL[random.usize(..3)];
        let mut player = Player::new(&target, &options, version, 0);
        if let Verdict::Failed(failure) = player.play(&scenes[0]).await {
            assert!(!failure.to_string().is_empty());
            failed += 1;
        }
        player.clean_up().await;
    }
    assert!(failed > 0);
}

//! Time per packet: `cargo bench -p whinchat-codec --bench codec`.

mod cases;

use bytes::BytesMut;
use cases::{Case, connect_v5, publish_v5, publish_v311, subscribe_v5};
use divan::{Bencher, black_box};
use whinchat_codec::DecodeLimits;

type Make = fn() -> Case;

const CASES: [(&str, Make); 4] = [
    ("publish_v311", publish_v311),
    ("publish_v5", publish_v5),
    ("connect_v5", connect_v5),
    ("subscribe_v5", subscribe_v5),
];

fn main() {
    divan::main();
}

fn case(name: &str) -> Case {
    let (_, case) = CASES
        .iter()
        .find(|(known, _)| *known == name)
        .expect("one of the cases");
    case()
}

// A sample is long enough for the timer: one packet takes less than its precision.
#[divan::bench(sample_size = 4096, args = CASES.map(|(name, _)| name))]
fn decode(bencher: Bencher<'_, '_>, name: &str) {
    let case = case(name);
    let limits = DecodeLimits::default();
    bencher.bench_local(|| black_box(&case).decode(black_box(&limits)));
}

#[divan::bench(sample_size = 4096, args = CASES.map(|(name, _)| name))]
fn encode(bencher: Bencher<'_, '_>, name: &str) {
    let case = case(name);
    let packet = case.packet.as_packet_ref();
    let mut out = BytesMut::with_capacity(4096);
    bencher.bench_local(|| {
        case.encode(black_box(&packet), &mut out);
        black_box(out.len())
    });
}

//! Instructions per packet, the same on every run: `cargo bench -p whinchat-codec --bench instructions`.
//!
//! Needs valgrind and `gungraun-runner` of the version of the `gungraun` dependency.

#![expect(
    missing_docs,
    unused_qualifications,
    reason = "the macros of gungraun make items of their own"
)]

mod cases;

use std::hint::black_box;

use bytes::BytesMut;
use cases::{Case, connect_v5, publish_v5, publish_v311, subscribe_v5};
use gungraun::{library_benchmark, library_benchmark_group, main};
use whinchat_codec::{DecodeLimits, PacketRef};

/// A case that outlives the bench, so that nothing but the call is counted.
fn leaked(case: Case) -> &'static Case {
    Box::leak(Box::new(case))
}

/// The packet, borrowed, and a buffer with room.
fn with_room(case: Case) -> (&'static Case, PacketRef<'static>, BytesMut) {
    let case = leaked(case);
    let packet = case.packet.as_packet_ref();
    let mut out = BytesMut::with_capacity(4096);
    case.encode(&packet, &mut out);
    (case, packet, out)
}

#[library_benchmark]
#[bench::publish_v311(leaked(publish_v311()))]
#[bench::publish_v5(leaked(publish_v5()))]
#[bench::connect_v5(leaked(connect_v5()))]
#[bench::subscribe_v5(leaked(subscribe_v5()))]
fn decode(case: &'static Case) {
    case.decode(black_box(&DecodeLimits::default()));
}

#[library_benchmark]
#[bench::publish_v311(with_room(publish_v311()))]
#[bench::publish_v5(with_room(publish_v5()))]
#[bench::connect_v5(with_room(connect_v5()))]
#[bench::subscribe_v5(with_room(subscribe_v5()))]
fn encode((case, packet, mut out): (&'static Case, PacketRef<'static>, BytesMut)) -> BytesMut {
    case.encode(&packet, &mut out);
    out
}

library_benchmark_group!(name = codec, benchmarks = [decode, encode]);
main!(library_benchmark_groups = codec);

//! Instructions of a PUBLISH through a shard, from the publisher's pipe to the subscribers' and back with all acks, the
//! same on every run: `cargo bench -p whinchat-broker --bench instructions`.
//!
//! The broker keeps its log in memory and its clients are pipes inside the process: kernel and disk are left out, and what
//! the clients take to read and answer is in. Needs valgrind and `gungraun-runner` of the version of the `gungraun`
//! dependency.

#![expect(
    missing_docs,
    reason = "the macros of gungraun make items of their own"
)]

#[expect(clippy::unwrap_used, reason = "a bench that fails may panic")]
mod shard;

use gungraun::{library_benchmark, library_benchmark_group, main};
use shard::{Bench, Case};
use whinchat_codec::QoS;

/// A broker that outlives the bench, so that nothing but the message is counted.
fn ready(case: Case) -> &'static mut Bench {
    Box::leak(Box::new(Bench::new(case)))
}

const QOS0: Case = Case::new(QoS::AtMostOnce, 1);

#[library_benchmark]
#[bench::qos0_to_nobody(ready(Case::new(QoS::AtMostOnce, 0)))]
#[bench::qos0_to_1(ready(QOS0))]
#[bench::qos1_to_1(ready(Case::new(QoS::AtLeastOnce, 1)))]
#[bench::qos2_to_1(ready(Case::new(QoS::ExactlyOnce, 1)))]
#[bench::qos0_to_100(ready(Case::new(QoS::AtMostOnce, 100)))]
#[bench::qos1_to_100(ready(Case::new(QoS::AtLeastOnce, 100)))]
#[bench::qos0_64_in_one_read(ready(Case { frames: 64, ..QOS0 }))]
#[bench::qos1_64_in_one_read(ready(Case { frames: 64, ..Case::new(QoS::AtLeastOnce, 1) }))]
#[bench::qos1_64_to_a_kept_session(ready(Case { frames: 64, kept: true, ..Case::new(QoS::AtLeastOnce, 1) }))]
#[bench::qos0_retained(ready(Case { retain: true, ..QOS0 }))]
fn publish(bench: &'static mut Bench) {
    bench.publish();
}

library_benchmark_group!(name = shard_turn, benchmarks = publish);
main!(library_benchmark_groups = shard_turn);

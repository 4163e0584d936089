//! Time per step of the engine: `cargo bench -p whinchat-session --bench engine`.

mod steps;

use divan::Bencher;
use steps::Server;
use whinchat_codec::ProtocolVersion::{self, V5, V311};

fn main() {
    divan::main();
}

// A sample is long enough for the timer: one step takes less than its precision.
#[divan::bench(sample_size = 4096, args = [V311, V5])]
fn receive_qos0(bencher: Bencher<'_, '_>, version: ProtocolVersion) {
    let mut server = Server::new(version);
    bencher.bench_local(|| server.receive_qos0());
}

#[divan::bench(sample_size = 4096, args = [V311, V5])]
fn receive_qos1(bencher: Bencher<'_, '_>, version: ProtocolVersion) {
    let mut server = Server::new(version);
    bencher.bench_local(|| server.receive_qos1());
}

#[divan::bench(sample_size = 4096, args = [V311, V5])]
fn deliver_qos0(bencher: Bencher<'_, '_>, version: ProtocolVersion) {
    let mut server = Server::new(version);
    bencher.bench_local(|| server.deliver_qos0());
}

#[divan::bench(sample_size = 4096, args = [V311, V5])]
fn deliver_qos1(bencher: Bencher<'_, '_>, version: ProtocolVersion) {
    let mut server = Server::new(version);
    bencher.bench_local(|| server.deliver_qos1());
}

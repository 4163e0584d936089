//! Instructions per step of the engine, the same on every run:
//! `cargo bench -p whinchat-session --bench instructions`.
//!
//! Needs valgrind and `gungraun-runner` of the version of the `gungraun` dependency.

#![expect(
    missing_docs,
    reason = "the macros of gungraun make items of their own"
)]

mod steps;

use gungraun::{library_benchmark, library_benchmark_group, main};
use steps::Server;
use whinchat_codec::ProtocolVersion::V5;

/// A server that outlives the bench, so that nothing but the step is counted.
fn connected() -> &'static mut Server {
    Box::leak(Box::new(Server::new(V5)))
}

#[library_benchmark]
#[bench::v5(connected())]
fn receive_qos0(server: &'static mut Server) {
    server.receive_qos0();
}

#[library_benchmark]
#[bench::v5(connected())]
fn receive_qos1(server: &'static mut Server) {
    server.receive_qos1();
}

#[library_benchmark]
#[bench::v5(connected())]
fn deliver_qos0(server: &'static mut Server) {
    server.deliver_qos0();
}

#[library_benchmark]
#[bench::v5(connected())]
fn deliver_qos1(server: &'static mut Server) {
    server.deliver_qos1();
}

library_benchmark_group!(
    name = engine,
    benchmarks = [receive_qos0, receive_qos1, deliver_qos0, deliver_qos1]
);
main!(library_benchmark_groups = engine);

//! See `whinchat_testkit::fuzzing::mosquitto_conf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whinchat_testkit::fuzzing::mosquitto_conf(data));

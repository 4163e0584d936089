//! See `whinchat_testkit::fuzzing::endpoint`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whinchat_testkit::fuzzing::endpoint(data));

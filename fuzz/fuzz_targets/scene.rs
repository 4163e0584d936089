//! See `whinchat_testkit::fuzzing::scene`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whinchat_testkit::fuzzing::scene(data));

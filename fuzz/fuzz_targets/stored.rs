//! See `whinchat_testkit::fuzzing::stored`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whinchat_testkit::fuzzing::stored(data));

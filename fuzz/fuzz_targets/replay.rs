//! See `whinchat_testkit::fuzzing::replay`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whinchat_testkit::fuzzing::replay(data));

//! See `whinchat_testkit::fuzzing::utf8`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whinchat_testkit::fuzzing::utf8(data));

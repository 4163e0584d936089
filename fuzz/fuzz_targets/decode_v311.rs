//! See `whinchat_testkit::fuzzing::decode_v311`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whinchat_testkit::fuzzing::decode_v311(data));

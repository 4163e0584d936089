//! See `whinchat_testkit::fuzzing::decode_v31`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whinchat_testkit::fuzzing::decode_v31(data));

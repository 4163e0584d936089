//! See `whinchat_testkit::fuzzing::name_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whinchat_testkit::fuzzing::name_index(data));

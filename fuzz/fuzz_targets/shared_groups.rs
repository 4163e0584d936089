//! See `whinchat_testkit::fuzzing::shared_groups`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whinchat_testkit::fuzzing::shared_groups(data));

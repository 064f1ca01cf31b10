//! Feeds the target `routing` of src/fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| easycluster::fuzz::run("routing", data));

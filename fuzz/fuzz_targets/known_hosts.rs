//! Feeds the target `known_hosts` of src/fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| easycluster::fuzz::run("known_hosts", data));

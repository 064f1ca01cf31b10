//! Feeds the target `ssh_config` of src/fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| easycluster::fuzz::run("ssh_config", data));

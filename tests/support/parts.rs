//! Parts of the tests that not every machine has what they need for; tests/parts.txt lists them. tests/support/parts.py is
//! the same for pytest, and writes the closing line.

use std::io::Write;

const PARTS: &str = include_str!("../parts.txt");

/// What was found of what a part of the tests needs, if it was; noted either way, and told where it was not.
///
/// A test without it returns. With the part's name in EASYCLUSTER_TESTS_REQUIRE it fails instead.
pub fn need<T>(part: &str, found: Option<T>) -> Option<T> {
    let description = PARTS
        .lines()
        .find_map(|line| line.strip_prefix(part)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("tests/parts.txt does not name {part}"));
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    let required = std::env::var("EASYCLUSTER_TESTS_REQUIRE").unwrap_or_default();
    assert!(
        found.is_some() || !required.split(',').any(|name| name == part),
        "not here, and required: {description}"
    );
    let how = if found.is_some() { "tried" } else { "untried" };
    if let Some(record) = std::env::var_os("EASYCLUSTER_TESTS_RECORD") {
        let mut record = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(record)
            .expect("the record can be written");
        // In one write, because others write at the same time.
        let line = format!("{how} {part} {test}\n");
        record.write_all(line.as_bytes()).expect("written");
    }
    if found.is_none() {
        // Not by `eprintln!`, whose words the test program keeps to itself where a test passes.
        let line = format!("{test}: not tried: {description}\n");
        std::io::stderr().write_all(line.as_bytes()).ok();
    }
    found
}

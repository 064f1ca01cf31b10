//! What fuzzers feed to the readers of ssh_config and known_hosts.

use std::path::Path;

use crate::transport::ssh::config::read_bytes;
use crate::transport::ssh::host_key::known_hosts::{
    Finding, entries_in, judge_certificate, judge_key,
};

/// Reads bytes as an ssh_config, on behalf of the host that its first word names.
pub(crate) fn config(data: &[u8]) {
    let lower = data.to_ascii_lowercase();
    let has = |word: &[u8]| lower.windows(word.len()).any(|window| window == word);
    // These run commands and read other files.
    if has(b"exec") || has(b"include") {
        return;
    }
    let host = data.split(|byte| byte.is_ascii_whitespace()).next();
    let host = String::from_utf8_lossy(host.unwrap_or_default());
    let first = read_bytes(&host, data);
    // It depends on nothing else.
    assert_eq!(first, read_bytes(&host, data));
}

/// Looks up in bytes as a known_hosts file the host that its first line names.
pub(crate) fn known_hosts(data: &[u8]) {
    let label = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let label = String::from_utf8_lossy(label);
    let file = Path::new("known_hosts");
    let entries = entries_in(&label, data, file);
    for entry in &entries {
        // What is recorded is never unknown.
        let finding = judge_key(&entries, &entry.blob);
        let plain = entry.marker == crate::transport::ssh::host_key::known_hosts::Marker::Key;
        assert!(!plain || !matches!(finding, Finding::Unknown));
        let _ = judge_certificate(&entries, &entry.blob, &entry.blob);
    }
    // A line more takes no line away.
    let mut more = data.to_vec();
    more.extend_from_slice(b"\nother ssh-ed25519 AAAA\n");
    assert!(entries_in(&label, &more, file).len() >= entries.len());
}

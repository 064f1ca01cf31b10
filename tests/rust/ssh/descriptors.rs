//! Where file descriptors are short, connections wait for each other, and none is let in without its checks.

use std::process::{Command, Stdio};

use crate::support::remote::server_with_lines;
use crate::support::{KeyPair, Sshd};

const HOSTS: usize = 60;

/// Pings the server by many connections at once, with so many descriptors at most.
fn ping(server: &Sshd, limit: u32, options: &str) -> (bool, String) {
    let specs = (1..=HOSTS).map(|number| {
        // Another address to come from makes it another connection.
        format!(
            "{}:name=h{number}:{options}extra=-b 127.0.0.{number}",
            server.spec()
        )
    });
    let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_easycluster"), "ping"])
        .args(["--jobs", &HOSTS.to_string()])
        .args(specs)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

#[test]
fn many_hosts_are_reached_with_few_descriptors() {
    let server = server_with_lines(&["MaxStartups 200"]);
    let (all, said) = ping(&server, 48, "");
    assert!(all, "{said}");
}

#[test]
fn a_soft_limit_is_raised_as_far_as_the_system_allows() {
    let script = "ulimit -S -n 48; exec \"$0\" run -c 'import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])' :local";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_easycluster")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let shown = said.split_whitespace().last().unwrap_or_default();
    assert!(
        shown.parse::<i64>().is_ok_and(|limit| limit > 48),
        "{output:?}"
    );
}

#[test]
fn a_changed_key_is_refused_for_all_of_them() {
    let server = server_with_lines(&["MaxStartups 200"]);
    let folder = tempfile::tempdir().unwrap();
    let stranger = KeyPair::make(&folder.path().join("stranger"), "ed25519", "");
    let line = format!("[127.0.0.1]:{} {}\n", server.port(), stranger.public());
    std::fs::write(server.known_hosts(), &line).unwrap();
    let (all, said) = ping(&server, 48, "hostkey=accept-new:");
    assert!(!all);
    assert_eq!(said.matches("HAS CHANGED").count(), HOSTS, "{said}");
    assert_eq!(std::fs::read_to_string(server.known_hosts()).unwrap(), line);
    assert_eq!(server.logins(), 0);
}

//! Thousands of hosts, and more hosts than there are file descriptors for at once.

use std::fmt::Write;

use crate::cli::scene::{Scene, easycluster, program, said, shell};
use crate::support::{KeyPair, stand_in};

#[tokio::test]
async fn thousands_of_hosts_that_are_not_there_are_a_few_lines_at_the_end() {
    let folder = tempfile::tempdir().expect("folder");
    let hosts = folder.path().join("hosts");
    let mut text = String::new();
    for number in 1..=3000 {
        let _ = writeln!(
            text,
            "me@127.0.0.1:1:config=none:batch=yes:name=web{number:04}"
        );
    }
    std::fs::write(&hosts, text).expect("hosts");
    let hosts = hosts.display().to_string();
    let report = folder.path().join("report.xml").display().to_string();
    let output = easycluster(&[
        "run", "-j", "500", "-f", &hosts, "--junit", &report, "-c", "1",
    ])
    .await;
    assert_eq!((output.stdout.as_str(), output.code), ("", Some(255)));
    let mut end = output.stderr.lines().rev();
    let last = end.next().expect("a line");
    assert!(last.starts_with("3000 hosts: 3000 unreachable, "), "{last}");
    assert_eq!(
        end.next(),
        Some("error: web[0001-3000]: unreachable (connect) (3000 hosts)")
    );
    let report = std::fs::read_to_string(&report).expect("report");
    assert_eq!(report.matches("<testcase ").count(), 3000);
}

/// The server shares no connection among users, so that each of these is a host of its own to the program.
#[tokio::test]
async fn hosts_wait_for_file_descriptors_and_none_fails_for_want_of_them() {
    let scene = Scene::new().await;
    let mut arguments = vec!["run".to_owned(), "-j".to_owned(), "40".to_owned()];
    for number in 1..=40 {
        let spec = scene.spec(&format!("web{number}"));
        arguments.push(spec.replacen("me@", &format!("user{number}@"), 1));
    }
    let out = scene.folder.path().join("out");
    arguments.extend(["--gather", "--out"].map(str::to_owned));
    arguments.push(out.display().to_string());
    arguments.extend(["-c", "print(1)"].map(str::to_owned));
    let own = program(&arguments);
    let mut limited = shell("ulimit -n 72 && exec \"$0\" \"$@\"");
    limited
        .arg(own.as_std().get_program())
        .args(own.as_std().get_args());
    let output = said(limited.spawn().expect("the shell starts")).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stdout.contains("\nweb[1-40] (40 hosts)\n"),
        "{}",
        output.stdout
    );
    assert!(
        output.last_line().starts_with("40 hosts: 40 ok, "),
        "{}",
        output.stderr
    );
    assert_eq!(std::fs::read_dir(&out).expect("folder").count(), 80);
    scene.end().await;
}

/// Each has a connection of its own, and none is answered before all are there.
#[tokio::test]
async fn hundreds_of_hosts_are_served_at_once() {
    const HOSTS: usize = 200;
    let folder = tempfile::tempdir().expect("folder");
    let key = KeyPair::make(&folder.path().join("key"), "ed25519", "");
    let host_key = russh::keys::load_secret_key(&key.private, None).expect("key");
    let port = stand_in::start(host_key, HOSTS).expect("it listens");
    let mut text = String::new();
    for number in 0..HOSTS {
        let _ = writeln!(
            text,
            "me{number}@127.0.0.1:{port}:identity={}:hostkey=off:config=none:batch=yes:timeout=300:name=web{number:03}",
            key.private.display()
        );
    }
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, text).expect("hosts");
    let hosts = hosts.display().to_string();
    let all = HOSTS.to_string();
    let output = easycluster(&["exec", "-j", &all, "-f", &hosts, "--gather", "--", "echo 1"]).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stdout.contains("\nweb[000-199] (200 hosts)\n") && output.stdout.ends_with("\n1\n"),
        "{}",
        output.stdout
    );
    assert!(
        output.last_line().starts_with("200 hosts: 200 ok, "),
        "{}",
        output.stderr
    );
}

//! Ways to a server that is not reached directly: jump hosts in chains, and commands.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use easycluster::transport::ssh::{ConfigSource, Connector, SshTarget, open};
use easycluster::transport::{Process, ReadEvent, TransportOptions};
use easycluster::{ConnectError, Stage};
use tokio::io::AsyncWriteExt;

use super::peers::hostile::{Does, Hostile};
use crate::support::remote::{
    RELAY, answers, cat, comes_back_whole, finish, idle, output, server, server_with_lines, until,
};
use crate::support::{Sshd, within};

/// An ssh_config in which the servers are called s0, s1, ..., with further lines for each.
fn config(folder: &std::path::Path, servers: &[(&Sshd, &str)]) -> ConfigSource {
    let mut text = String::new();
    for (number, (server, lines)) in servers.iter().enumerate() {
        text += &format!(
            "Host s{number}\n HostName 127.0.0.1\n Port {}\n User {}\n IdentityFile {}\n UserKnownHostsFile {}\n{lines}\n",
            server.port(),
            server.user(),
            server.key.private.display(),
            server.known_hosts().display()
        );
    }
    text += "Host *\n IdentitiesOnly yes\n IdentityAgent none\n GlobalKnownHostsFile none\n StrictHostKeyChecking yes\n";
    let file = folder.join("config");
    std::fs::write(&file, text).unwrap();
    ConfigSource::File(file)
}

/// Plain servers, and an ssh_config with these further lines for each. The folder holds the file.
fn plain_hosts<const N: usize>(lines: [&str; N]) -> ([Sshd; N], tempfile::TempDir, ConfigSource) {
    let servers = lines.map(|_| server());
    let folder = tempfile::tempdir().unwrap();
    let hosts: Vec<_> = servers.iter().zip(lines).collect();
    let config = config(folder.path(), &hosts);
    (servers, folder, config)
}

fn target(host: &str, config: &ConfigSource) -> SshTarget {
    SshTarget {
        config: config.clone(),
        ..SshTarget::new(host)
    }
}

async fn run(
    connector: &Connector,
    target: &SshTarget,
    command: &str,
) -> Result<String, ConnectError> {
    Ok(output(open(connector, target, command, &TransportOptions::default()).await?).await)
}

#[tokio::test]
async fn a_chain_of_two_hops_authenticates_at_each() {
    let (servers, _folder, config) = plain_hosts(["", "", " ProxyJump s0,s1\n"]);
    let connector = Connector::new();
    let out = run(&connector, &target("s2", &config), "echo $SSH_CONNECTION")
        .await
        .unwrap();
    assert!(
        out.contains(&format!("127.0.0.1 {}", servers[2].port())),
        "{out}"
    );
    for server in &servers {
        assert_eq!(server.logins(), 1);
    }
    // ssh says the same.
    let ConfigSource::File(file) = &config else {
        unreachable!()
    };
    let output = std::process::Command::new(crate::support::program("ssh"))
        .arg("-F")
        .arg(file)
        .args(["-o", "BatchMode=yes", "s2", "echo in"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "in\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn a_hop_that_has_a_hop_of_its_own() {
    let (servers, _folder, config) = plain_hosts(["", " ProxyJump s0\n", " ProxyJump s1\n"]);
    let out = run(&Connector::new(), &target("s2", &config), "echo in")
        .await
        .unwrap();
    assert_eq!(out, "in\n");
    assert_eq!(servers[0].logins(), 1);
}

#[tokio::test]
async fn hosts_behind_one_jump_host_share_the_connection_to_it() {
    let (servers, _folder, config) = plain_hosts(["", " ProxyJump s0\n", " ProxyJump s0\n"]);
    let connector = Connector::new();
    let options = TransportOptions::default();
    let (first, second) = (target("s1", &config), target("s2", &config));
    let (first, second) = tokio::join!(
        open(&connector, &first, "cat", &options),
        open(&connector, &second, "cat", &options)
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(servers[0].logins(), 1);
    drop(first);
    // The jump connection lives on for the other one.
    let Process {
        mut reader,
        mut writer,
        ..
    } = second;
    writer
        .write(vec![Bytes::from_static(b"still here")])
        .await
        .unwrap();
    assert_eq!(
        reader.next().await,
        Some(ReadEvent::Stdout(Bytes::from_static(b"still here")))
    );
    drop((reader, writer));
    for server in &servers {
        idle(server).await;
    }
}

#[tokio::test]
async fn large_data_passes_through_two_hops_both_ways() {
    let (_servers, _folder, config) = plain_hosts(["", " ProxyJump s0\n"]);
    comes_back_whole(cat(&target("s1", &config)).await, 20_000_000).await;
}

#[tokio::test]
async fn a_machine_behind_a_hop_that_ends_its_side_is_told_at_once() {
    let (_servers, _folder, config) = plain_hosts(["", ""]);
    // It ends what it sends and goes on listening, as a jump host does not close the channel before both sides ended.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"Exceeded MaxStartups\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        std::future::pending::<()>().await;
        drop(stream);
    });
    let behind = target("127.0.0.1", &config)
        .with_option("Port", port.to_string())
        .with_option("ProxyJump", "s0");
    let error = within(run(&Connector::new(), &behind, "true"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.stage, error.timed_out),
        (Stage::KeyExchange, false),
        "{error}"
    );
    assert!(error.message.contains("Exceeded MaxStartups"), "{error}");
}

#[tokio::test]
async fn a_hop_that_is_lost_is_told_by_its_name() {
    let (servers, _folder, config) = plain_hosts(["", " ProxyJump s0\n"]);
    let lost = async |server: &Sshd| {
        let process = cat(&target("s1", &config)).await;
        server.break_sessions();
        within(finish(process)).await.2.to_string()
    };
    let (hop, behind) = (lost(&servers[0]).await, lost(&servers[1]).await);
    assert!(hop.contains("jump host s0:"), "{hop}");
    assert!(!behind.contains("jump host"), "{behind}");
}

#[tokio::test]
async fn a_machine_behind_a_hop_that_takes_nothing_leaves_nothing_on_the_hop() {
    let (servers, _folder, config) = plain_hosts(["", ""]);
    let (_behind, port) = Hostile::start(Does::TakesNothing).await;
    let behind = target("127.0.0.1", &config)
        .with_option("Port", port.to_string())
        .with_option("ProxyJump", "s0")
        .with_option("StrictHostKeyChecking", "no")
        .with_option("UserKnownHostsFile", "none")
        .with_option("ServerAliveInterval", "1")
        .with_option("ServerAliveCountMax", "1");
    let (connector, options) = (Connector::new(), TransportOptions::default());
    let mut process = within(open(&connector, &behind, "x", &options))
        .await
        .unwrap();
    // More than the hop takes for the machine behind, which has said that it would take it all.
    let pieces = vec![Bytes::from(vec![7u8; 1024 * 1024]); 256];
    within(process.writer.write(pieces)).await.unwrap_err();
    drop(process);
    idle(&servers[0]).await;
}

#[tokio::test]
async fn errors_name_the_hop() {
    let servers = [
        server(),
        server_with_lines(&["AllowTcpForwarding no"]),
        server(),
    ];
    let folder = tempfile::tempdir().unwrap();
    let config = config(
        folder.path(),
        &[
            (&servers[0], " IdentityFile /no/such/key\n"),
            (&servers[1], ""),
            (&servers[2], " ProxyJump s1\n"),
        ],
    );
    let error = run(&Connector::new(), &target("s2", &config), "true")
        .await
        .unwrap_err();
    assert!(error.message.contains("s1"), "{error}");
    assert!(
        error.hint.unwrap().contains("AllowTcpForwarding"),
        "{}",
        error.message
    );

    // Nothing listens where the hop is sent to.
    let nowhere = target("127.0.0.1", &config)
        .with_option("Port", "1")
        .with_option("ProxyJump", "s0");
    let error = run(&Connector::new(), &nowhere, "true").await.unwrap_err();
    assert!(
        error.message.contains("cannot reach 127.0.0.1:1"),
        "{error}"
    );

    let unknown = target("s2", &config).with_option("ProxyJump", "wrong@s0:1");
    let error = run(&Connector::new(), &unknown, "true").await.unwrap_err();
    assert!(error.message.contains("jump host s0"), "{error}");
    assert_eq!(error.stage, Stage::Connect);
}

#[tokio::test]
async fn jump_hosts_in_a_circle_are_reported_and_do_not_wait_for_each_other() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let config = config(
        folder.path(),
        &[
            (&server, " ProxyJump s1\n"),
            (&server, " ProxyJump s0\n"),
            (&server, " ProxyJump s2\n"),
        ],
    );
    // Both ends of the circle at once, and a host that jumps through itself.
    let connector = Connector::new();
    let (s0, s1, s2) = (
        target("s0", &config),
        target("s1", &config),
        target("s2", &config),
    );
    let asking = async {
        tokio::join!(
            run(&connector, &s0, "true"),
            run(&connector, &s1, "true"),
            run(&connector, &s2, "true")
        )
    };
    let (first, second, third) = tokio::time::timeout(crate::support::PATIENCE, asking)
        .await
        .expect("no host waits forever");
    for result in [first, second, third] {
        let error = result.unwrap_err();
        assert_eq!(error.stage, Stage::Configure, "{error}");
        assert!(error.message.contains("more than 16 jump hosts"), "{error}");
        assert!(error.hint.unwrap().contains("circle"));
    }
    assert_eq!(server.logins(), 0);
}

#[tokio::test]
async fn a_proxy_command_carries_the_connection_and_ends_with_it() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let relay = folder.path().join("relay.py");
    let marking = "import sys\nopen(sys.argv[3], 'w').write(' '.join(sys.argv[1:3]))\n";
    std::fs::write(&relay, format!("{marking}{RELAY}")).unwrap();
    let python = crate::support::interpreter_at_least((3, 6)).to_str();
    let lines = format!(
        " ProxyCommand {python} {} %h %p {}\n",
        relay.display(),
        mark.display()
    );
    let config = config(folder.path(), &[(&server, &lines)]);
    let connector = Connector::new();
    let stages = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&stages);
    let options = TransportOptions::default()
        .with_observer(Arc::new(move |event| seen.lock().unwrap().push(event)));
    let process = open(&connector, &target("s0", &config), "echo in", &options)
        .await
        .unwrap();
    assert_eq!(output(process).await, "in\n");
    assert_eq!(
        std::fs::read_to_string(&mark).unwrap(),
        format!("127.0.0.1 {}", server.port())
    );
    assert!(
        stages
            .lock()
            .unwrap()
            .iter()
            .any(|event| event.detail.contains("ProxyCommand"))
    );
    let relays = || {
        crate::support::processes::descendants(std::process::id() as i32)
            .into_iter()
            .filter(|process| process.command.contains(&relay.display().to_string()))
            .collect::<Vec<_>>()
    };
    until(|| {
        let left = relays();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;

    // Where somebody may be asked it stays in our process group, for the terminal's sake, but a
    // Ctrl-C there does not end it.
    let (options, _) = answers(&[]);
    let mut process = open(&connector, &target("s0", &config), "cat", &options)
        .await
        .unwrap();
    let running = relays();
    assert!(!running.is_empty());
    for relay in running {
        let pid = rustix::process::Pid::from_raw(relay.pid);
        rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::INT).unwrap();
    }
    process
        .writer
        .write(vec![Bytes::from_static(b"still here")])
        .await
        .unwrap();
    process.writer.finish().await;
    assert_eq!(output(process).await, "still here");

    let broken =
        target("s0", &config).with_option("ProxyCommand", "echo no route to %h >&2; exit 1");
    let error = run(&connector, &broken, "true").await.unwrap_err();
    assert_eq!(error.stage, Stage::KeyExchange);
}

#[tokio::test]
async fn the_stages_tell_the_story_in_order() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[(&server, "")]);
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let options = TransportOptions::default()
        .with_observer(Arc::new(move |event| seen.lock().unwrap().push(event)));
    let process = open(&Connector::new(), &target("s0", &config), "true", &options)
        .await
        .unwrap();
    output(process).await;
    let events = events.lock().unwrap();
    let stages: Vec<Stage> = events.iter().map(|event| event.stage).collect();
    assert_eq!(
        stages,
        [
            Stage::Resolve,
            Stage::Connect,
            Stage::HostKey,
            Stage::KeyExchange,
            Stage::Authentication,
            Stage::Channel
        ]
    );
    assert!(
        events[2]
            .detail
            .contains(&server.host_keys[0].fingerprint()),
        "{:?}",
        events[2]
    );
    assert!(events[4].detail.contains(server.user()), "{:?}", events[4]);
}

#[tokio::test]
async fn a_proxy_command_is_for_the_users_own_shell() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    // A shell of the user's own, which knows a word that no other shell does.
    let shell = folder.path().join("shell");
    let text =
        "#!/bin/sh\nvia() { exec \"$@\"; }\n[ \"$1\" = -c ] || exit 9\neval \"${2#exec }\"\n";
    std::fs::write(&shell, text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&shell, mode).unwrap();
    let relay = folder.path().join("relay.py");
    std::fs::write(&relay, RELAY).unwrap();
    let python = crate::support::interpreter_at_least((3, 6)).to_str();
    let command = format!(" ProxyCommand via {python} {} %h %p\n", relay.display());
    let ConfigSource::File(config) = config(folder.path(), &[(&server, &command)]) else {
        panic!("it is a file");
    };
    let ping = |shell: &std::path::Path| {
        std::process::Command::new(env!("CARGO_BIN_EXE_easycluster"))
            .arg("ping")
            .arg(format!("s0:ssh=yes:batch=yes:config={}", config.display()))
            .env("SHELL", shell)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    };
    let done = ping(&shell);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    assert!(!ping(std::path::Path::new("/bin/sh")).status.success());
}

//! What restricts in a configuration is kept, or the connection is refused by name; never ignored.

use std::collections::BTreeSet;

use easycluster::transport::ssh::{Connector, SshTarget, open};
use easycluster::transport::{TransportOptions, ssh::ConfigSource};
use easycluster::{ConnectError, Stage};

use crate::support::remote::{bare_target, finish, open_spec, server, server_with};
use crate::support::{KeyPair, Sshd, SshdOptions, program};

/// Runs `echo in` on a target whose configuration file has these lines.
async fn with_lines(server: &Sshd, lines: &str) -> Result<String, ConnectError> {
    let file = server.folder().join("restricting_config");
    let text = format!(
        "{lines}\nHost *\n IdentityFile \"{}\"\n UserKnownHostsFile \"{}\"\n GlobalKnownHostsFile none\n IdentityAgent none\n",
        server.key.private.display(),
        server.known_hosts().display()
    );
    std::fs::write(&file, text).unwrap();
    let target = SshTarget {
        port: Some(server.port()),
        user: Some(server.user().to_owned()),
        config: ConfigSource::File(file),
        ..SshTarget::new("127.0.0.1")
    };
    let process = open(
        &Connector::new(),
        &target,
        "echo in",
        &TransportOptions::default(),
    )
    .await?;
    Ok(String::from_utf8(finish(process).await.0).unwrap())
}

fn rsa(folder: &std::path::Path, name: &str, bits: &str) -> KeyPair {
    let private = folder.join(name);
    let status = std::process::Command::new(program("ssh-keygen"))
        .args(["-q", "-t", "rsa", "-b", bits, "-N", "", "-f"])
        .arg(&private)
        .status()
        .unwrap();
    assert!(status.success());
    KeyPair { private }
}

#[tokio::test]
async fn short_rsa_keys_count_neither_for_hosts_nor_for_users() {
    let folder = tempfile::tempdir().unwrap();
    let host = rsa(folder.path(), "host", "2048");
    let server = server_with(SshdOptions {
        host_key_types: Vec::new(),
        log_in: false,
        lines: vec![
            format!("HostKey {}", host.private.display()),
            "RequiredRSASize 1024".into(),
        ],
        ..SshdOptions::default()
    });
    let line = format!("[127.0.0.1]:{} {}", server.port(), host.public());
    std::fs::write(server.known_hosts(), line).unwrap();
    assert_eq!(
        with_lines(&server, "RequiredRSASize 2048").await.unwrap(),
        "in\n"
    );
    let error = with_lines(&server, "RequiredRSASize 3072")
        .await
        .unwrap_err();
    assert_eq!(error.stage, Stage::HostKey, "{error}");
    assert!(
        error
            .message
            .contains("RSA of 2048 bits, RequiredRSASize is 3072"),
        "{error}"
    );

    let server = server_with(SshdOptions {
        lines: vec!["RequiredRSASize 1024".into()],
        ..SshdOptions::default()
    });
    let short = rsa(folder.path(), "short", "1024");
    server.authorize(&short.public());
    let lines = |least: u32| {
        let file = short.private.display();
        format!("IdentityFile {file}\nIdentitiesOnly yes\nRequiredRSASize {least}")
    };
    let tried = |size| {
        bare_target(&server)
            .with_option("IdentityFile", short.private.display().to_string())
            .with_option("RequiredRSASize", size)
    };
    let options = TransportOptions::default();
    let process = open(&Connector::new(), &tried("1024"), "echo in", &options)
        .await
        .unwrap();
    assert_eq!(finish(process).await.0, b"in\n");
    let error = open(&Connector::new(), &tried("2048"), "true", &options)
        .await
        .unwrap_err();
    assert_eq!(error.stage, Stage::Authentication, "{error}");
    assert!(error.message.contains("RSA of 1024 bits"), "{error}");
    // Other keys of the same configuration still let one in.
    assert_eq!(with_lines(&server, &lines(2048)).await.unwrap(), "in\n");
}

#[tokio::test]
async fn what_is_not_kept_refuses_by_name() {
    let server = server();
    for (line, words) in [
        (
            "KnownHostsCommand /bin/echo",
            "KnownHostsCommand in the ssh_config restricts",
        ),
        (
            "BindInterface lo",
            "BindInterface in the ssh_config restricts",
        ),
        (
            "RefuseConnection \"use the other one\"",
            "RefuseConnection in the ssh_config says: use the other one",
        ),
        ("NoSuchRestriction yes", "nosuchrestriction"),
    ] {
        let error = with_lines(&server, line).await.unwrap_err();
        assert_eq!(error.stage, Stage::Configure, "{line}: {error}");
        assert!(error.message.contains(words), "{line}: {error}");
        assert!(
            !error.message.contains('\r') && !error.message.contains("\\r"),
            "{error:?}"
        );
    }
    // Turned off, first or for another host, it is not a restriction.
    for lines in [
        "KnownHostsCommand none\nKnownHostsCommand /bin/echo",
        "Host elsewhere\n KnownHostsCommand /bin/echo",
        "IgnoreUnknown NoSuch*\nNoSuchRestriction yes",
    ] {
        assert_eq!(with_lines(&server, lines).await.unwrap(), "in\n", "{lines}");
    }
    let error = open_spec(
        &format!("{}:extra=-o KnownHostsCommand=/bin/echo", server.spec()),
        "true",
    )
    .await
    .unwrap_err();
    assert!(error.message.contains("KnownHostsCommand"), "{error}");
}

#[test]
fn every_keyword_of_this_machines_ssh_stands_in_the_documentation() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ssh.md");
    let page = std::fs::read_to_string(page).unwrap().to_lowercase();
    let (_, table) = page.split_once("## every keyword").unwrap();
    let documented: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|cell| cell.split(", "))
        .collect();
    let said = std::process::Command::new(program("ssh"))
        .args(["-G", "-F", "none", "host"])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap().to_lowercase();
    let names: BTreeSet<&str> = said
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(names.len() > 60, "{names:?}");
    let missing: Vec<_> = names.difference(&documented).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn names_with_blanks_come_through_what_only_openssh_reads() {
    let server = server();
    let folder = server.folder().join("my files");
    std::fs::create_dir(&folder).unwrap();
    let (key, known) = (folder.join("my key"), folder.join("my hosts"));
    std::fs::copy(&server.key.private, &key).unwrap();
    std::fs::copy(server.known_hosts(), &known).unwrap();
    let more = folder.join("more hosts");
    std::fs::write(&more, "").unwrap();
    for hosts in [
        format!("\"{}\"", known.display()),
        format!("\"{}\" \"{}\"", more.display(), known.display()),
    ] {
        let config = server.folder().join("blanks");
        let text = format!(
            "CanonicalizeHostname yes\nCanonicalizeFallbackLocal yes\nCanonicalDomains no-such-domain.invalid\nHost *\n IdentityFile \"{}\"\n UserKnownHostsFile {hosts}\n GlobalKnownHostsFile none\n IdentityAgent none\n",
            key.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut target = SshTarget::new("127.0.0.1");
        target.port = Some(server.port());
        target.user = Some(server.user().to_owned());
        target.config = ConfigSource::File(config);
        let options = TransportOptions::default();
        let process = open(&Connector::new(), &target, "echo in", &options)
            .await
            .unwrap();
        assert_eq!(finish(process).await.0, b"in\n", "{hosts}");
    }
}

#[test]
fn a_program_answers_where_ssh_askpass_says_so() {
    let server = server();
    let key = KeyPair::make(&server.folder().join("locked"), "ed25519", "open sesame");
    server.authorize(&key.public());
    let askpass = server.folder().join("askpass");
    crate::support::write_program(
        &askpass,
        "#!/bin/sh\necho \"$1\" >>\"$0.asked\"\necho open sesame\n",
    );
    let spec = format!(
        "{}@127.0.0.1:{}:config=none:identity={}:known_hosts={}",
        server.user(),
        server.port(),
        key.private.display(),
        server.known_hosts().display()
    );
    let ping = |require: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_easycluster"))
            .args(["ping", &spec])
            .env("SSH_ASKPASS", &askpass)
            .env("SSH_ASKPASS_REQUIRE", require)
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        output.status.success()
    };
    assert!(!ping("never"));
    assert!(!askpass.with_extension("asked").exists());
    assert!(ping("force"));
    let asked = std::fs::read_to_string(askpass.with_extension("asked")).unwrap();
    assert!(asked.contains("Passphrase for key"), "{asked}");
}

#[tokio::test]
async fn the_tokens_of_a_jump_host_are_those_of_the_host_behind() {
    let (gate, server) = (server(), crate::support::remote::server());
    let config = gate.folder().join("jump_config");
    let text = format!(
        "Host gate.{0}\n HostName 127.0.0.1\n Port {1}\n UserKnownHostsFile {2}\n IdentityFile {3}\nHost box\n HostName 127.0.0.1\n Port {4}\n UserKnownHostsFile {5}\n IdentityFile {6}\n ProxyJump %r@gate.%r\nHost *\n User {0}\n IdentityAgent none\n GlobalKnownHostsFile none\n",
        server.user(),
        gate.port(),
        gate.known_hosts().display(),
        gate.key.private.display(),
        server.port(),
        server.known_hosts().display(),
        server.key.private.display(),
    );
    std::fs::write(&config, text).unwrap();
    let mut target = SshTarget::new("box");
    target.config = ConfigSource::File(config);
    let options = TransportOptions::default();
    let process = open(&Connector::new(), &target, "echo in", &options)
        .await
        .unwrap();
    assert_eq!(finish(process).await.0, b"in\n");
    assert_eq!(gate.logins(), 1);
}

#[tokio::test]
async fn a_cipher_that_authenticates_by_itself_needs_no_mac() {
    let odd = server_with(SshdOptions {
        lines: vec!["MACs umac-128-etm@openssh.com".into()],
        ..SshdOptions::default()
    });
    assert_eq!(with_lines(&odd, "").await.unwrap(), "in\n");
    let lines = "MACs umac-128-etm@openssh.com\nCiphers aes256-gcm@openssh.com,aes256-ctr";
    assert_eq!(with_lines(&odd, lines).await.unwrap(), "in\n");
    let error = with_lines(&odd, "Ciphers aes256-ctr").await.unwrap_err();
    let hint = error.hint.unwrap();
    assert!(
        hint.contains("ssh=/usr/bin/ssh") && !hint.contains("MACs +"),
        "{hint}"
    );
}

#[tokio::test]
async fn keys_are_renewed_as_often_as_the_configuration_says() {
    let server = server();
    let spec = format!("{}:extra=-o 'RekeyLimit 512K 1h'", server.spec());
    let process = open_spec(&spec, "cat").await.unwrap();
    crate::support::remote::comes_back_whole(process, 3_000_000).await;
}

//! What restricts in a configuration is kept, or the connection is refused by name; never passed over.

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
            "knownhostscommand in the ssh_config restricts",
        ),
        (
            "BindInterface lo",
            "bindinterface in the ssh_config restricts",
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
    // Turned off, first or for another host, it is no restriction.
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
    assert!(error.message.contains("knownhostscommand"), "{error}");
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

//! Unknown host keys: what is recorded, and what stands in the way of it.

use easycluster::Stage;
use easycluster::transport::TransportOptions;
use easycluster::transport::ssh::{ConfigSource, Connector, SshTarget, open};

use crate::support::Sshd;
use crate::support::remote::{output, server, with_key};

/// A target at a server that records what it does not know in the first of these files.
fn target(server: &Sshd, files: &str) -> SshTarget {
    let target = SshTarget {
        port: Some(server.port()),
        user: Some(server.user().to_owned()),
        config: ConfigSource::None,
        ..SshTarget::new("127.0.0.1")
    };
    with_key(target, &server.key.private)
        .with_option("UserKnownHostsFile", files)
        .with_option("GlobalKnownHostsFile", "none")
        .with_option("StrictHostKeyChecking", "accept-new")
        .with_option("HostKeyAlias", "one-name")
}

#[tokio::test]
async fn a_file_that_cannot_be_read_refuses_and_nothing_is_recorded() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new");
    // A folder exists and cannot be read as a file, even if root runs the test.
    let files = format!("{} {}", new.display(), folder.path().display());
    let options = TransportOptions::default();
    let error = open(
        &Connector::new(),
        &target(&server, &files),
        "true",
        &options,
    )
    .await
    .unwrap_err();
    assert_eq!(error.stage, Stage::HostKey);
    let unread = folder.path().display().to_string();
    assert!(error.message.contains(&unread), "{error}");
    assert!(error.hint.unwrap().contains("UserKnownHostsFile"));
    assert!(!new.exists());

    // One that is not there says nothing.
    let (connector, target) = (
        Connector::new(),
        target(&server, &new.display().to_string()),
    );
    let process = open(&connector, &target, "echo in", &options)
        .await
        .unwrap();
    assert_eq!(output(process).await, "in\n");
    assert_eq!(std::fs::read_to_string(&new).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn of_servers_that_show_different_keys_at_once_one_is_believed() {
    let servers = [server(), server(), server()];
    let options = TransportOptions::default();
    for _ in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        let shown = file.display().to_string();
        let connector = Connector::new();
        let targets = servers.each_ref().map(|server| target(server, &shown));
        let [one, two, three] = &targets;
        let (one, two, three) = tokio::join!(
            open(&connector, one, "echo in", &options),
            open(&connector, two, "echo in", &options),
            open(&connector, three, "echo in", &options)
        );
        let (mut accepted, mut refused) = (0, 0);
        for result in [one, two, three] {
            match result {
                Ok(process) => {
                    assert_eq!(output(process).await, "in\n");
                    accepted += 1;
                }
                Err(error) => {
                    assert_eq!(error.stage, Stage::HostKey, "{error}");
                    assert!(error.message.contains("HAS CHANGED"), "{error}");
                    refused += 1;
                }
            }
        }
        assert_eq!((accepted, refused), (1, 2));
        assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1);
    }
}

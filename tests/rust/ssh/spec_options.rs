//! What the options of a spec mean by SSH, natively and by an ssh program: file names as they are, fingerprints of host keys.

use std::path::{Path, PathBuf};

use easycluster::{ConnectionSpec, Stage};

use crate::support::Sshd;
use crate::support::remote::{finish, idle, open_spec, server};

/// A spec of the server, from its parts, so that a test can leave some out.
fn spec(server: &Sshd, options: &str) -> String {
    let (user, port) = (server.user(), server.port());
    format!("{user}@127.0.0.1:{port}:batch=yes{options}")
}

/// The server's key and known_hosts in a folder of this name.
fn moved(server: &Sshd, folder: &str) -> (PathBuf, PathBuf) {
    let folder = server.folder().join(folder);
    std::fs::create_dir(&folder).unwrap();
    let (identity, known_hosts) = (folder.join("id"), folder.join("known"));
    // The copy keeps the mode, without which the ssh program refuses the key.
    std::fs::copy(&server.key.private, &identity).unwrap();
    std::fs::copy(server.known_hosts(), &known_hosts).unwrap();
    (identity, known_hosts)
}

fn by_program() -> String {
    format!(":ssh={}", crate::support::program("ssh").display())
}

async fn says(spec: &str) -> String {
    let process = open_spec(spec, "echo in").await;
    let process = process.unwrap_or_else(|error| panic!("{spec}: {error:?}"));
    String::from_utf8(finish(process).await.0).unwrap()
}

fn files(identity: &Path, known_hosts: &Path) -> String {
    let (identity, known_hosts) = (identity.display(), known_hosts.display());
    format!(":identity={identity}:known_hosts={known_hosts}")
}

#[tokio::test]
async fn file_names_are_taken_as_they_are() {
    let server = server();
    let (identity, known_hosts) = moved(&server, "we${ird} %h%d \"x' ~ #1");
    let options = files(&identity, &known_hosts);
    assert_eq!(
        says(&spec(&server, &format!("{options}:config=none"))).await,
        "in\n"
    );

    // A configuration that only OpenSSH interprets: what it says is asked of it, and the files are still those of the spec.
    let config = server.folder().join("beyond");
    std::fs::write(
        &config,
        "CanonicalizeHostname yes\nIdentityFile /no/such/key\n",
    )
    .unwrap();
    let config = format!(":config={}", config.display());
    assert_eq!(
        says(&spec(&server, &format!("{options}{config}"))).await,
        "in\n"
    );

    // No text makes the program take these names, so it is not tried.
    let error = open_spec(
        &spec(&server, &format!("{options}{}", by_program())),
        "true",
    )
    .await
    .unwrap_err();
    assert_eq!(error.stage, Stage::Configure, "{error}");
    assert!(error.message.contains("${"), "{error}");
    assert!(
        error
            .hint
            .as_deref()
            .is_some_and(|hint| hint.contains("ssh=yes"))
    );
}

#[tokio::test]
async fn a_program_gets_the_file_names_of_the_spec_too() {
    let server = server();
    let (identity, known_hosts) = moved(&server, "per%h cent \"q");
    let options = files(&identity, &known_hosts);
    let spec = spec(&server, &format!("{options}:config=none{}", by_program()));
    assert_eq!(says(&spec).await, "in\n");
}

#[tokio::test]
async fn a_fingerprint_is_the_only_key_that_is_accepted() {
    let server = server();
    let empty = server.folder().join("nothing");
    std::fs::write(&empty, "").unwrap();
    let right = server.host_keys[0].fingerprint();
    let wrong = format!("SHA256:{}E", "A".repeat(42));
    let with = |pins: &str| {
        let options = files(&server.key.private, &empty);
        spec(&server, &format!("{options}:config=none:hostkey={pins}"))
    };
    assert_eq!(says(&with(&right)).await, "in\n");
    assert_eq!(says(&with(&format!("{wrong},{right}"))).await, "in\n");
    assert_eq!(
        std::fs::read_to_string(&empty).unwrap(),
        "",
        "nothing is recorded"
    );

    // A key that known_hosts has is refused where the spec names another.
    std::fs::copy(server.known_hosts(), &empty).unwrap();
    let error = open_spec(&with(&wrong), "true").await.unwrap_err();
    assert_eq!(error.stage, Stage::HostKey, "{error}");
    assert!(error.message.contains(&right), "{error}");
    assert!(
        error
            .hint
            .as_deref()
            .is_some_and(|hint| hint.contains("hostkey="))
    );

    // And the one that it names is accepted where known_hosts has another.
    let name = format!("[127.0.0.1]:{}", server.port());
    let other = server.key.public();
    std::fs::write(&empty, format!("{name} {other}\n")).unwrap();
    assert_eq!(says(&with(&right)).await, "in\n");

    // But not where known_hosts revokes it, once the connection that was accepted is gone.
    idle(&server).await;
    let known = server.host_keys[0].public();
    std::fs::write(&empty, format!("@revoked {name} {known}\n")).unwrap();
    let error = open_spec(&with(&right), "true").await.unwrap_err();
    assert!(error.message.contains("revoked"), "{error}");

    let error = open_spec(&format!("{}{}", with(&right), by_program()), "true")
        .await
        .unwrap_err();
    assert_eq!(error.stage, Stage::Configure, "{error}");
    assert!(error.message.contains("fingerprint"), "{error}");
}

#[tokio::test]
async fn an_unknown_key_is_answered_with_words_that_a_spec_takes() {
    let server = server();
    let empty = server.folder().join("none");
    std::fs::write(&empty, "").unwrap();
    let options = files(&server.key.private, &empty);
    let spec = spec(&server, &format!("{options}:config=none"));
    let error = open_spec(&spec, "true").await.unwrap_err();
    let hint = error.hint.unwrap_or_default();
    let offered: Vec<&str> = hint
        .split([' ', ',', ';'])
        .filter(|word| word.contains('='))
        .collect();
    assert_eq!(offered.len(), 3, "{hint}");
    for word in offered {
        let taken = format!("u@h:{word}").parse::<ConnectionSpec>();
        assert!(taken.is_ok(), "{word}: {taken:?}");
    }
    let pin = format!("hostkey={}", server.host_keys[0].fingerprint());
    assert!(hint.contains(&pin), "{hint}");
    assert_eq!(says(&format!("{spec}:{pin}")).await, "in\n");
}

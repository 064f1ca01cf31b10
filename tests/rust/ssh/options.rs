//! What specs and configurations ask of the SSH transport, against a real sshd: algorithms, variables, host keys, the user's own ssh.

use bytes::Bytes;
use easycluster::transport::{self, ExitStatus, TransportOptions};
use easycluster::{ConnectionSpec, Stage};

use crate::support::SshdOptions;
use crate::support::remote::{finish, idle, open_spec, server, server_with};

#[tokio::test]
async fn compression_variables_and_addresses_are_as_configured() {
    let server = server_with(SshdOptions {
        lines: vec!["AcceptEnv GREETING NUMBER".into(), "Compression yes".into()],
        ..SshdOptions::default()
    });
    let spec = format!(
        "{}:extra=-C -4 -b 127.0.0.2 -o 'SetEnv GREETING=\"good day\" NUMBER=7'",
        server.spec()
    );
    let process = open_spec(
        &spec,
        "echo $GREETING $NUMBER; echo $SSH_CONNECTION; head -c 3000000 /dev/zero | tr '\\0' x",
    )
    .await
    .unwrap();
    let (out, ..) = finish(process).await;
    let text = String::from_utf8_lossy(&out);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("good day 7"));
    assert!(
        lines
            .next()
            .is_some_and(|line| line.starts_with("127.0.0.2 ")),
        "{}",
        &text[..200]
    );
    assert_eq!(lines.next().map(str::len), Some(3_000_000));
}

#[tokio::test]
async fn algorithms_are_as_configured() {
    let server = server();
    for (keyword, value) in [
        ("Ciphers", "chacha20-poly1305@openssh.com"),
        ("Ciphers", "aes128-ctr"),
        ("Ciphers", "aes128-gcm@openssh.com"),
        ("KexAlgorithms", "ecdh-sha2-nistp384"),
        ("KexAlgorithms", "diffie-hellman-group14-sha256"),
        ("KexAlgorithms", "diffie-hellman-group-exchange-sha256"),
        ("MACs", "hmac-sha1"),
        ("MACs", "hmac-sha2-512-etm@openssh.com"),
    ] {
        // A cipher that brings its own authentication would leave no MAC to choose.
        let cipher = if keyword == "MACs" {
            " -o Ciphers=aes256-ctr"
        } else {
            ""
        };
        let spec = format!("{}:extra=-o {keyword}={value}{cipher}", server.spec());
        let process = open_spec(&spec, "echo in")
            .await
            .unwrap_or_else(|error| panic!("{value}: {error}"));
        assert_eq!(finish(process).await.0, b"in\n", "{value}");
    }
    let error = open_spec(
        &format!("{}:extra=-o Ciphers=none-such", server.spec()),
        "true",
    )
    .await
    .unwrap_err();
    assert_eq!(error.stage, Stage::Configure);
    assert!(error.message.contains("Ciphers 'none-such'"), "{error}");
    let error = open_spec(
        &format!("{}:extra=-o Ciphers=aes256-cbc", server.spec()),
        "true",
    )
    .await
    .unwrap_err();
    assert!(
        error.message.contains("no common cipher (Ciphers)"),
        "{error}"
    );
}

#[tokio::test]
async fn an_old_server_is_reached_where_the_configuration_says_so() {
    let server = server_with(SshdOptions {
        host_key_types: vec!["rsa"],
        client_key_type: "rsa",
        log_in: false,
        lines: [
            "HostKeyAlgorithms ssh-rsa",
            "PubkeyAcceptedAlgorithms ssh-rsa",
            "KexAlgorithms diffie-hellman-group14-sha1",
            "Ciphers aes128-cbc",
            "MACs hmac-sha1",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..SshdOptions::default()
    });
    // One after the other is found missing, and each error names the keyword and the value to add.
    let mut options = String::new();
    for (keyword, value) in [
        ("KexAlgorithms", "+diffie-hellman-group14-sha1"),
        ("HostKeyAlgorithms", "+ssh-rsa"),
        ("Ciphers", "+aes128-cbc"),
    ] {
        let error = open_spec(&format!("{}{options}", server.spec()), "true")
            .await
            .unwrap_err();
        assert_eq!(error.stage, Stage::KeyExchange, "{error}");
        assert!(
            error
                .hint
                .as_deref()
                .is_some_and(|hint| hint.contains(&format!("{keyword} {value}"))),
            "{error:?}"
        );
        let before = if options.is_empty() { ":extra=" } else { " " };
        options += &format!("{before}-o {keyword}={value}");
    }
    let error = open_spec(&format!("{}{options}", server.spec()), "true")
        .await
        .unwrap_err();
    assert_eq!(error.stage, Stage::Authentication, "{error}");
    options += " -o PubkeyAcceptedAlgorithms=ssh-rsa";
    let process = open_spec(&format!("{}{options}", server.spec()), "echo in")
        .await
        .unwrap();
    assert_eq!(finish(process).await.0, b"in\n");
}

#[tokio::test]
async fn what_only_openssh_interprets_is_asked_of_it() {
    let server = server();
    let config = server.folder().join("beyond_config");
    // Canonical names are looked up by OpenSSH alone.
    let text = format!(
        "CanonicalizeHostname yes\nCanonicalizeFallbackLocal yes\nCanonicalDomains no-such-domain.invalid\nVerifyHostKeyDNS yes\nGSSAPIAuthentication yes\n\
         Match canonical originalhost 127.0.0.1\n Port {}\n\
         Host *\n IdentityFile {}\n UserKnownHostsFile {}\n IdentityAgent none\n",
        server.port(),
        server.key.private.display(),
        server.known_hosts().display()
    );
    std::fs::write(&config, text).unwrap();
    let spec: ConnectionSpec = format!("{}@127.0.0.1:config={}", server.user(), config.display())
        .parse()
        .unwrap();
    let events = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&events);
    let options = TransportOptions::default().with_observer(std::sync::Arc::new(move |event| {
        seen.lock().unwrap().push(event)
    }));
    let process = transport::open(&spec, "echo in", &options).await.unwrap();
    assert_eq!(finish(process).await.0, b"in\n");
    let events = events.lock().unwrap();
    let warnings: Vec<_> = events
        .iter()
        .filter(|event| event.stage == Stage::Configure)
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].detail.contains("VerifyHostKeyDNS"),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn an_unknown_host_is_refused_with_its_fingerprint_and_what_to_do() {
    let server = server();
    let empty = server.folder().join("empty");
    std::fs::write(&empty, "").unwrap();
    let spec = server.spec().replace(
        server.known_hosts().to_str().unwrap(),
        empty.to_str().unwrap(),
    );
    let error = open_spec(&spec, "true").await.unwrap_err();
    assert_eq!(error.stage, Stage::HostKey);
    assert!(
        error.message.contains(&server.host_keys[0].fingerprint()),
        "{error}"
    );
    assert!(
        error
            .hint
            .as_deref()
            .is_some_and(|hint| hint.contains("accept-new")),
        "{error:?}"
    );

    // Accepting new keys records it, and then it is known.
    let accepting = format!("{spec}:hostkey=accept-new");
    let process = open_spec(&accepting, "echo in").await.unwrap();
    assert_eq!(finish(process).await.0, b"in\n");
    let recorded = std::fs::read_to_string(&empty).unwrap();
    assert!(
        recorded.starts_with(&format!("[127.0.0.1]:{} ssh-ed25519 ", server.port())),
        "{recorded}"
    );
    assert_eq!(
        finish(open_spec(&spec, "echo in").await.unwrap()).await.0,
        b"in\n"
    );
}

#[tokio::test]
async fn the_users_own_ssh_program_serves_too() {
    let server = server();
    let spec = format!(
        "{}:ssh={}",
        server.spec(),
        crate::support::program("ssh").display()
    );
    let mut process = open_spec(&spec, "cat; echo oops >&2; exit 7")
        .await
        .unwrap();
    process
        .writer
        .write(vec![Bytes::from_static(b"one")])
        .await
        .unwrap();
    process.writer.finish().await;
    let (out, err, status) = finish(process).await;
    assert_eq!(out, b"one");
    assert!(String::from_utf8_lossy(&err).contains("oops"), "{err:?}");
    assert_eq!(status, ExitStatus::Code(7));
    idle(&server).await;

    let error = open_spec("me@host:ssh=/no/such/ssh", "true")
        .await
        .unwrap_err();
    assert!(error.message.contains("/no/such/ssh"), "{error}");
}

#[tokio::test]
async fn without_an_ssh_program_what_is_beyond_us_is_named() {
    let server = server();
    let config = server.folder().join("newer_config");
    let text = format!(
        "CanonicalizeHostname yes\nHost *\n IdentityFile {}\n UserKnownHostsFile {}\n IdentityAgent none\n",
        server.key.private.display(),
        server.known_hosts().display()
    );
    std::fs::write(&config, text).unwrap();
    let spec = format!(
        "{}@127.0.0.1:{}:config={}",
        server.user(),
        server.port(),
        config.display()
    );
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_easycluster"))
        .args(["ping", "-v", &spec])
        .env("PATH", server.folder())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("CanonicalizeHostname in the ssh_config is skipped"),
        "{said}"
    );
}

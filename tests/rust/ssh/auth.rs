//! Every way of proving who the user is, against a real sshd and a real ssh-agent.

use std::path::Path;
use std::process::{Command, Stdio};

use easycluster::transport::TransportOptions;
use easycluster::transport::ssh::{Connector, SshTarget, open};
use easycluster::{ConnectError, Stage};

use crate::support::remote::{
    answers, bare_target, output, server, server_with, server_with_lines, with_key,
};
use crate::support::{Agent, KeyPair, SshdOptions, program};

async fn run(target: &SshTarget, options: &TransportOptions) -> Result<String, ConnectError> {
    Ok(output(open(&Connector::new(), target, "echo in", options).await?).await)
}

async fn gets_in(target: &SshTarget) {
    assert_eq!(
        run(target, &TransportOptions::default()).await.unwrap(),
        "in\n"
    );
}

async fn refused(target: &SshTarget) -> ConnectError {
    let error = run(target, &TransportOptions::default()).await.unwrap_err();
    assert_eq!(error.stage, Stage::Authentication, "{error}");
    error
}

fn keygen(arguments: &[&str], file: &Path) {
    let output = Command::new(program("ssh-keygen"))
        .args(arguments)
        .arg("-f")
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn every_kind_of_key_file_that_openssh_writes_serves() {
    let server = server();
    let kinds: &[(&str, &[&str])] = &[
        ("ed25519", &["-t", "ed25519"]),
        ("ecdsa256", &["-t", "ecdsa", "-b", "256"]),
        ("ecdsa384", &["-t", "ecdsa", "-b", "384"]),
        ("ecdsa521", &["-t", "ecdsa", "-b", "521"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
        ("rsa-pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("rsa-pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"]),
        ("ecdsa-pem", &["-t", "ecdsa", "-m", "PEM"]),
        ("ecdsa384-pem", &["-t", "ecdsa", "-b", "384", "-m", "PEM"]),
        ("ecdsa-pkcs8", &["-t", "ecdsa", "-m", "PKCS8"]),
    ];
    let mut wrong = Vec::new();
    for passphrase in ["", "open sesame"] {
        for (name, arguments) in kinds {
            let file = server.folder().join(format!("{name}-{}", passphrase.len()));
            let mut all = vec!["-q", "-N", passphrase, "-C", "test"];
            all.extend_from_slice(arguments);
            // The first kind has the usual rounds of what makes guessing slow.
            if *name != "ed25519" {
                all.extend(["-a", "2"]);
            }
            keygen(&all, &file);
            let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
            server.authorize(public.trim());
            // Without the public half beside it the private file has to tell, or ask.
            for without_public in [false, true] {
                if without_public {
                    std::fs::remove_file(file.with_extension("pub")).unwrap();
                }
                let (options, asked) = answers(&[passphrase]);
                let result = run(&with_key(bare_target(&server), &file), &options).await;
                let questions = asked.lock().unwrap().len();
                let expected = usize::from(!passphrase.is_empty());
                if !matches!(&result, Ok(out) if out == "in\n") || questions != expected {
                    wrong.push(format!(
                        "{name}, passphrase {passphrase:?}, {questions} questions: {result:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_passphrase_is_asked_for_once_for_many_hosts_and_three_times_if_wrong() {
    let servers = [server(), server(), server()];
    let file = servers[0].folder().join("locked");
    let pair = KeyPair::make(&file, "ed25519", "right");
    let (options, asked) = answers(&["wrong", "right"]);
    let connector = Connector::new();
    let mut opening = Vec::new();
    for server in &servers {
        server.authorize(&pair.public());
        let (connector, options) = (connector.clone(), options.clone());
        let target = with_key(bare_target(server), &file);
        opening.push(tokio::spawn(async move {
            open(&connector, &target, "cat", &options)
                .await
                .map(|process| process.peer)
        }));
    }
    for opened in opening {
        opened.await.unwrap().unwrap();
    }
    assert_eq!(
        asked.lock().unwrap().len(),
        2,
        "one wrong answer and one right one for three hosts"
    );
    assert!(asked.lock().unwrap().iter().all(|question| !question.echo));
    let wrong = |index: usize| asked.lock().unwrap()[index].text.starts_with("Wrong");
    assert_eq!((wrong(0), wrong(1)), (false, true));

    let (options, asked) = answers(&["a", "b", "c", "d"]);
    let error = run(&with_key(bare_target(&servers[0]), &file), &options)
        .await
        .unwrap_err();
    assert!(error.message.contains("wrong passphrase"), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 3);

    // No terminal to ask on, or asking is turned off: the error names the file and the way out.
    let locked = with_key(bare_target(&servers[0]), &file);
    let (options, asked) = answers(&["right"]);
    let batch = locked.clone().with_option("BatchMode", "yes");
    for (target, options) in [(&locked, &TransportOptions::default()), (&batch, &options)] {
        let error = run(target, options).await.unwrap_err();
        assert_eq!(error.stage, Stage::Authentication);
        assert!(
            error
                .message
                .contains("locked: it has a passphrase and there is no terminal to ask for it on"),
            "{error}"
        );
        assert!(error.hint.unwrap().contains("ssh-add"), "{}", error.message);
    }
    assert!(asked.lock().unwrap().is_empty());
    // Not having asked does not settle it for clients that can ask.
    assert_eq!(run(&locked, &options).await.unwrap(), "in\n");
}

#[tokio::test]
async fn a_key_that_the_server_does_not_take_asks_for_no_passphrase() {
    let server = server();
    let file = server.folder().join("locked");
    KeyPair::make(&file, "ed25519", "secret");
    let (options, asked) = answers(&["secret"]);
    let error = run(&with_key(bare_target(&server), &file), &options)
        .await
        .unwrap_err();
    assert!(error.message.contains("locked: refused"), "{error}");
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_key_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let server = server();
    std::fs::set_permissions(&server.key.private, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = refused(&with_key(bare_target(&server), &server.key.private)).await;
    assert!(error.message.contains("others may read it"), "{error}");
}

#[tokio::test]
async fn an_agent_with_many_keys_does_not_lock_out_the_named_one() {
    let server = server_with(SshdOptions {
        max_auth_tries: 2,
        ..SshdOptions::default()
    });
    let agent = Agent::start();
    for number in 0..5 {
        agent.add(
            &KeyPair::make(
                &server.folder().join(format!("wrong{number}")),
                "ed25519",
                "",
            )
            .private,
        );
    }
    let socket = agent.socket().display().to_string();

    // The named identity goes first, from its file.
    let named = bare_target(&server)
        .with_option("IdentityAgent", socket.clone())
        .with_option("IdentityFile", server.key.private.display().to_string());
    gets_in(&named).await;

    // The same by the agent alone, with only the public half as a file.
    agent.add(&server.key.private);
    let public = server.folder().join("named.pub");
    std::fs::write(&public, server.key.public()).unwrap();
    let by_public = bare_target(&server)
        .with_option("IdentityAgent", socket.clone())
        .with_option("IdentityFile", public.display().to_string());
    gets_in(&by_public).await;
    gets_in(&by_public.clone().with_option("IdentitiesOnly", "yes")).await;

    // Nothing named: the server gives up first, as with ssh, and the error says how to fix it.
    let unnamed = bare_target(&server)
        .with_option("IdentityAgent", socket.clone())
        .with_option("IdentityFile", "none");
    let error = refused(&unnamed).await;
    assert!(
        error.message.contains("Too many authentication failures"),
        "{error}"
    );
    assert!(error.hint.unwrap().contains("IdentityFile"));

    // IdentitiesOnly with another key named: none of the agent's others is offered.
    let other = KeyPair::make(&server.folder().join("other"), "ed25519", "");
    let only = bare_target(&server)
        .with_option("IdentityAgent", socket)
        .with_option("IdentityFile", other.private.display().to_string())
        .with_option("IdentitiesOnly", "yes");
    let error = refused(&only).await;
    assert!(!error.message.contains("agent"), "{error}");
}

#[tokio::test]
async fn an_agent_signs_with_every_kind_of_key() {
    let server = server();
    let agent = Agent::start();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let pair = KeyPair::make(&server.folder().join(format!("agent_{kind}")), kind, "");
        server.authorize(&pair.public());
        agent.add(&pair.private);
        // Only the agent has the private half.
        std::fs::remove_file(&pair.private).unwrap();
        let target = bare_target(&server)
            .with_option("IdentityAgent", agent.socket().display().to_string())
            .with_option("IdentityFile", pair.private.display().to_string())
            .with_option("IdentitiesOnly", "yes");
        gets_in(&target).await;
    }
    let gone = bare_target(&server)
        .with_option("IdentityAgent", "/no/such/agent")
        .with_option("IdentityFile", "none");
    let error = refused(&gone).await;
    assert!(error.message.contains("agent at /no/such/agent"), "{error}");
}

#[tokio::test]
async fn user_certificates_serve_from_files_and_by_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let authority = KeyPair::make(&folder.path().join("ca"), "ed25519", "");
    let trusted = format!("TrustedUserCAKeys {}", authority.public_file().display());
    let server = server_with_lines(&[&trusted]);
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let pair = KeyPair::make(&folder.path().join(format!("user_{kind}")), kind, "");
        let refused_plain = with_key(bare_target(&server), &pair.private);
        refused(&refused_plain).await;
        let certificate = authority.certify(&pair, server.user(), false);
        // Beside the key.
        gets_in(&with_key(bare_target(&server), &pair.private)).await;

        // Named, the key's file elsewhere.
        let moved = folder.path().join(format!("moved_{kind}-cert.pub"));
        std::fs::rename(&certificate, &moved).unwrap();
        gets_in(
            &with_key(bare_target(&server), &pair.private)
                .with_option("CertificateFile", moved.display().to_string()),
        )
        .await;

        // The certificate from its file, signed by the agent that has only the key.
        let agent = Agent::start();
        agent.add(&pair.private);
        let socket = agent.socket().display().to_string();
        gets_in(
            &bare_target(&server)
                .with_option("IdentityAgent", socket.clone())
                .with_option("IdentityFile", "none")
                .with_option("CertificateFile", moved.display().to_string()),
        )
        .await;

        // Key and certificate both in the agent, and no files at all.
        let agent = Agent::start();
        std::fs::rename(&moved, &certificate).unwrap();
        agent.add(&pair.private);
        gets_in(
            &bare_target(&server)
                .with_option("IdentityAgent", agent.socket().display().to_string())
                .with_option("IdentityFile", "none"),
        )
        .await;
    }
}

#[tokio::test]
async fn two_keys_where_the_server_wants_two() {
    let server = server_with(SshdOptions {
        lines: vec!["AuthenticationMethods publickey,publickey".into()],
        // The harness has one key only.
        log_in: false,
        ..SshdOptions::default()
    });
    let second = KeyPair::make(&server.folder().join("second"), "ed25519", "");
    server.authorize(&second.public());
    let both = with_key(bare_target(&server), &server.key.private)
        .with_option("IdentityFile", second.private.display().to_string());
    gets_in(&both).await;
    let error = refused(&with_key(bare_target(&server), &server.key.private)).await;
    assert!(
        error
            .message
            .contains("accepted, and the server wants more"),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_to_try_says_what_the_server_would_take() {
    let server = server();
    let nothing = bare_target(&server)
        .with_option("IdentityFile", "none")
        .with_option("IdentityAgent", "none");
    let error = refused(&nothing).await;
    assert!(
        error.message.contains("the server takes publickey"),
        "{error}"
    );
    assert!(error.message.contains("nothing to try"), "{error}");
}

#[tokio::test]
async fn rsa_signatures_are_never_by_sha1_unless_asked_for() {
    let server = server_with(SshdOptions {
        client_key_type: "rsa",
        ..SshdOptions::default()
    });
    let rsa = with_key(bare_target(&server), &server.key.private);
    gets_in(&rsa).await;
    gets_in(
        &rsa.clone()
            .with_option("PubkeyAcceptedAlgorithms", "rsa-sha2-256"),
    )
    .await;
    let error = refused(
        &rsa.clone()
            .with_option("PubkeyAcceptedAlgorithms", "ssh-ed25519"),
    )
    .await;
    assert!(
        error.message.contains("PubkeyAcceptedAlgorithms"),
        "{error}"
    );
}

#[tokio::test]
async fn a_banner_is_shown_without_its_escapes() {
    let folder = tempfile::tempdir().unwrap();
    let banner = folder.path().join("banner");
    std::fs::write(&banner, "Members only\u{1b}[2J\n").unwrap();
    let server = server_with_lines(&[&format!("Banner {}", banner.display())]);
    let stranger = KeyPair::make(&folder.path().join("stranger"), "ed25519", "");
    let error = refused(&with_key(bare_target(&server), &stranger.private)).await;
    assert!(error.output.contains("Members only"), "{error}");
    assert!(!error.to_string().contains('\u{1b}'), "{error}");
}

#[tokio::test]
async fn the_agent_of_the_environment_serves_a_plain_spec() {
    let server = server();
    let agent = Agent::start();
    agent.add(&server.key.private);
    let spec = format!(
        "{}@127.0.0.1:{}:known_hosts={}:config=none",
        server.user(),
        server.port(),
        server.known_hosts().display()
    );
    let run = |socket: &str| {
        Command::new(env!("CARGO_BIN_EXE_easycluster"))
            .args(["ping", &spec])
            .env("SSH_AUTH_SOCK", socket)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let output = run(agent.socket().to_str().unwrap());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let output = run("");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("the server takes publickey"), "{said}");
}

/// Makes a key file by openssl: its kind, and how it is encrypted.
fn by_openssl(file: &std::path::Path, script: &str) {
    let status = std::process::Command::new("sh")
        .args(["-ec", script])
        .arg(file)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{script}");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn a_passphrase_is_called_wrong_only_where_it_is() {
    crate::support::program("openssl");
    let server = server();
    // One long key for all that have one, and few rounds of what makes guessing slow: neither is what is tried here.
    let long = server.folder().join("long");
    by_openssl(&long, "openssl genrsa -out $0 2048");
    let long = long.display();
    let rsa = format!("openssl rsa -in {long} -traditional -passout pass:right -out $0");
    let ec =
        "openssl ecparam -name prime256v1 -genkey -noout | openssl ec -passout pass:right -out $0";
    let pkcs8 = format!("openssl pkcs8 -in {long} -topk8 -passout pass:right -out $0");
    let openssh = "ssh-keygen -q -t ed25519 -a 2 -N right -f $0";
    let mut kinds: Vec<(String, Option<&str>)> = Vec::new();
    for cipher in ["des3", "aes128", "aes192", "aes256"] {
        kinds.push((format!("{rsa} -{cipher}"), None));
        kinds.push((format!("{ec} -{cipher}"), None));
    }
    for cipher in [
        "aes128-cbc",
        "aes192-cbc",
        "aes256-cbc",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
    ] {
        kinds.push((format!("{openssh} -Z {cipher}"), None));
    }
    kinds.push((format!("{openssh} -Z 3des-cbc"), Some("3des-cbc")));
    kinds.push((format!("{pkcs8} -v2 aes256"), None));
    kinds.push((format!("{pkcs8} -v2 des3"), Some("3DES")));
    kinds.push((format!("{pkcs8} -v2 camellia128"), Some("than AES")));
    kinds.push((
        format!("{pkcs8} -v2 aes256 -v2prf hmacWithSHA1"),
        Some("SHA-1"),
    ));
    kinds.push((format!("{pkcs8} -v2 aes256 -v2prf hmacWithSHA512"), None));
    kinds.push((format!("{pkcs8} -scrypt"), None));
    kinds.push((format!("{pkcs8} -v1 PBE-SHA1-3DES"), Some("PKCS #12")));
    for (index, (script, unread)) in kinds.iter().enumerate() {
        let file = server.folder().join(format!("encrypted{index}"));
        by_openssl(&file, script);
        // ssh-keygen reads what it has written, and makes the public half of it.
        let public = std::process::Command::new(crate::support::program("ssh-keygen"))
            .args(["-y", "-P", "right", "-f"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(public.status.success(), "{script}: {public:?}");
        server.authorize(String::from_utf8_lossy(&public.stdout).trim());
        _ = std::fs::remove_file(file.with_extension("pub"));
        let target = with_key(bare_target(&server), &file);
        let (options, asked) = answers(&["wrong", "right"]);
        let result = run(&target, &options).await;
        let questions = asked.lock().unwrap().len();
        match unread {
            None => {
                assert_eq!(
                    result.unwrap_or_else(|error| panic!("{script}: {error}")),
                    "in\n"
                );
                assert_eq!(questions, 2, "{script}");
            }
            Some(name) => {
                let error = result.unwrap_err();
                assert!(error.message.contains(name), "{script}: {error}");
                assert!(error.message.contains("ssh-keygen -p -f"), "{error}");
                assert_eq!(questions, 0, "{script}");
            }
        }
    }
}

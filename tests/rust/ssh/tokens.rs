//! Keys that no file holds: PKCS#11 tokens and FIDO devices behind OpenSSH's own agent, against a real sshd.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use easycluster::transport::TransportOptions;
use easycluster::transport::ssh::{Connector, SshTarget, open};
use easycluster::{ConnectError, Stage};

use crate::support::remote::{bare_target, output, server, server_with_lines};
use crate::support::{Agent, KeyPair, Sshd, program};

const PIN: &str = "1234";

/// Nothing but what the agent holds, if there is one.
fn target(server: &Sshd, agent: Option<&Agent>) -> SshTarget {
    let agent = agent.map_or_else(
        || "none".to_owned(),
        |agent| agent.socket().display().to_string(),
    );
    bare_target(server).with_option("IdentityAgent", agent)
}

async fn logs_in(target: &SshTarget) -> Result<(), ConnectError> {
    let options = TransportOptions::default();
    let process = open(&Connector::new(), target, "echo in", &options).await?;
    assert_eq!(output(process).await, "in\n");
    Ok(())
}

fn succeeds(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// A PKCS#11 token in software, with one key of each type that OpenSSH takes from tokens.
struct Token {
    folder: tempfile::TempDir,
    public: Vec<String>,
}

impl Token {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = Token {
            public: Vec::new(),
            folder,
        };
        let store = token.folder.path().join("store");
        std::fs::create_dir(&store).unwrap();
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            store.display()
        );
        std::fs::write(token.configuration(), text).unwrap();
        let pins = ["--so-pin", "12345678", "--pin", PIN];
        succeeds(
            token
                .tool()
                .args(["--init-token", "--free", "--label", "test"])
                .args(pins),
        );
        let public = ["rsa", "ecdsa"].iter().zip(["01", "02"]).map(|(kind, id)| {
            let file = token.folder.path().join(kind);
            let pair = KeyPair::make_as(&file, kind, "PKCS8");
            succeeds(
                token
                    .tool()
                    .arg("--import")
                    .arg(&file)
                    .args(["--token", "test", "--label", kind, "--id", id, "--pin", PIN]),
            );
            // From here on the token alone has it.
            std::fs::remove_file(&file).unwrap();
            pair.public()
        });
        let public = public.collect();
        Token { public, ..token }
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    fn tool(&self) -> Command {
        let mut command = Command::new(program("softhsm2-util"));
        command.env("SOFTHSM2_CONF", self.configuration());
        command
    }

    /// The token's driver.
    fn library() -> PathBuf {
        [
            "/usr/lib/softhsm",
            "/usr/lib64/softhsm",
            "/usr/lib64/pkcs11",
            "/usr/local/lib/softhsm",
        ]
        .iter()
        .map(|folder| Path::new(folder).join("libsofthsm2.so"))
        .find(|file| file.exists())
        .expect("libsofthsm2.so is installed with softhsm2-util")
    }
}

#[tokio::test]
async fn keys_in_a_pkcs11_token_sign_through_the_agent() {
    let token = Token::make();
    let configuration = token.configuration();
    let agent = Agent::start_with(&[], &[("SOFTHSM2_CONF", &configuration)]);
    agent.add_token(&Token::library(), PIN);
    assert_eq!(agent.public_keys().len(), 2, "{:?}", agent.public_keys());
    for public in &token.public {
        // One at a time, so that it is this key that gets in.
        let server = server();
        let error = logs_in(&target(&server, Some(&agent))).await.unwrap_err();
        assert_eq!(error.stage, Stage::Authentication, "{error}");
        server.authorize(public);
        logs_in(&target(&server, Some(&agent))).await.unwrap();

        // Named by its public half, as for any key of an agent.
        let half = server.folder().join("token.pub");
        std::fs::write(&half, public).unwrap();
        let named = target(&server, Some(&agent))
            .with_option("IdentityFile", half.display().to_string())
            .with_option("IdentitiesOnly", "yes");
        logs_in(&named).await.unwrap();
    }
}

/// Builds the library that stands for a FIDO device.
fn device(folder: &Path) -> PathBuf {
    let library = folder.join("security_key.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/security_key.c");
    succeeds(
        Command::new(program("cc"))
            .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([&library, &source])
            .arg("-l:libcrypto.so.3"),
    );
    library
}

#[tokio::test]
async fn keys_in_a_fido_device_sign_through_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let library = device(folder.path());
    let allowed = library.display().to_string();
    let authority = KeyPair::make(&folder.path().join("ca"), "ed25519", "");
    for kind in ["ed25519-sk", "ecdsa-sk"] {
        let file = folder.path().join(kind);
        let pair = KeyPair::make_in_device(&file, kind, &library);
        assert!(pair.public().starts_with("sk-"), "{}", pair.public());

        // The plain key. A server that wants the device's touch checks flags and counter with the signature.
        let plain = server_with_lines(&["PubkeyAuthOptions touch-required"]);
        let agent = Agent::start_with(&["-P", &allowed], &[]);
        agent.add_from_device(&library, &pair.private);
        let error = logs_in(&target(&plain, Some(&agent))).await.unwrap_err();
        assert_eq!(error.stage, Stage::Authentication, "{error}");
        plain.authorize(&pair.public());
        logs_in(&target(&plain, Some(&agent))).await.unwrap();

        // Its file is only a handle on the device: the agent signs, and without one the error says so.
        let named = target(&plain, Some(&agent))
            .with_option("IdentityFile", file.display().to_string())
            .with_option("IdentitiesOnly", "yes");
        logs_in(&named).await.unwrap();
        let alone = target(&plain, None).with_option("IdentityFile", file.display().to_string());
        let error = logs_in(&alone).await.unwrap_err();
        assert!(
            error.message.contains("only an agent signs with"),
            "{error}"
        );

        // A certificate of it, and the plain key not known.
        authority.certify(&pair, plain.user(), false);
        let trusted = format!("TrustedUserCAKeys {}", authority.public_file().display());
        let certified = server_with_lines(&[&trusted]);
        let agent = Agent::start_with(&["-P", &allowed], &[]);
        agent.add_from_device(&library, &pair.private);
        logs_in(&target(&certified, Some(&agent))).await.unwrap();
    }
}

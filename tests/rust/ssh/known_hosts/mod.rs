//! What known_hosts files mean, case by case, against the judge of it: `ssh` itself on the same files and the same sshd.

mod cases;
mod revocation;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use self::cases::{Case, case, cases};
use easycluster::transport::ssh::{ConfigSource, Connector, SshTarget, open};
use easycluster::transport::{ExitStatus, ReadEvent, TransportOptions};
use easycluster::{ConnectError, Stage};

use crate::support::{KeyPair, Sshd, SshdOptions, program};

/// One server with three plain keys, and one that has certificates beside them.
struct Servers {
    plain: Sshd,
    certified: Sshd,
    expired: Sshd,
    folder: tempfile::TempDir,
    authority: KeyPair,
    other_authority: KeyPair,
    strangers: Vec<KeyPair>,
}

const TYPES: [&str; 3] = ["ed25519", "ecdsa", "rsa"];

fn start() -> Servers {
    let folder = tempfile::tempdir().unwrap();
    let authority = KeyPair::make(&folder.path().join("ca"), "ed25519", "");
    let other_authority = KeyPair::make(&folder.path().join("ca2"), "ed25519", "");
    let strangers = TYPES
        .iter()
        .map(|kind| KeyPair::make(&folder.path().join(format!("stranger_{kind}")), kind, ""))
        .collect();
    let certificate = folder.path().join("server-cert.pub");
    let options = |lines| SshdOptions {
        host_key_types: TYPES.to_vec(),
        home: vec![(".bashrc", String::new())],
        lines,
        ..SshdOptions::default()
    };
    let plain = Sshd::start_with(&options(Vec::new()));
    // The certificate is for one key, so the server gets a key of ours.
    let own = KeyPair::make(&folder.path().join("server"), "ed25519", "");
    let made = authority.certify(&own, "127.0.0.1,*.example.com", true);
    assert_eq!(made, certificate);
    let certified = Sshd::start_with(&SshdOptions {
        host_key_types: Vec::new(),
        log_in: false,
        ..options(vec![
            format!("HostKey {}", own.private.display()),
            format!("HostCertificate {}", certificate.display()),
        ])
    });
    // The same key under a certificate that was valid once.
    let status = Command::new(program("ssh-keygen"))
        .args([
            "-q",
            "-h",
            "-I",
            "old",
            "-n",
            "127.0.0.1",
            "-V",
            "20200101:20200202",
            "-s",
        ])
        .arg(&authority.private)
        .arg(own.public_file())
        .status()
        .unwrap();
    assert!(status.success());
    let expired = Sshd::start_with(&SshdOptions {
        host_key_types: Vec::new(),
        log_in: false,
        ..options(vec![
            format!("HostKey {}", own.private.display()),
            format!("HostCertificate {}", certificate.display()),
        ])
    });
    Servers {
        plain,
        certified,
        expired,
        folder,
        authority,
        other_authority,
        strangers,
    }
}

impl Servers {
    fn server(&self, case: &Case) -> &Sshd {
        match (case.certified, case.expired) {
            (true, _) => &self.certified,
            (_, true) => &self.expired,
            _ => &self.plain,
        }
    }

    fn fill(&self, case: &Case, text: &str) -> String {
        let port = self.server(case).port();
        let key = |pair: &KeyPair| {
            let line = pair.public();
            line.split_whitespace()
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let mut text = text.to_owned();
        for (index, kind) in TYPES.iter().enumerate() {
            text = text.replace(&format!("{{{kind}}}"), &key(&self.plain.host_keys[index]));
            text = text.replace(&format!("{{other-{kind}}}"), &key(&self.strangers[index]));
        }
        let server = std::fs::read_to_string(self.folder.path().join("server.pub")).unwrap();
        let server = server
            .split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ");
        text = text
            .replace("{server}", &server)
            .replace("{ca}", &key(&self.authority))
            .replace("{ca2}", &key(&self.other_authority))
            .replace("{port}", &port.to_string());
        let label = format!("[127.0.0.1]:{port}");
        for (word, name) in [
            ("{hashed}", label.as_str()),
            ("{hashed-plain}", "127.0.0.1"),
            ("{hashed-elsewhere}", "elsewhere"),
        ] {
            if text.contains(word) {
                text = text.replace(word, &self.hashed(name));
            }
        }
        text.replace("{host}", &label)
    }

    /// A hashed name, made by ssh-keygen.
    fn hashed(&self, name: &str) -> String {
        let file = self.folder.path().join("to-hash");
        std::fs::write(&file, format!("{name} {}\n", self.authority.public())).unwrap();
        let status = Command::new(program("ssh-keygen"))
            .arg("-H")
            .arg("-f")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let text = std::fs::read_to_string(&file).unwrap();
        text.split(' ').next().unwrap().to_owned()
    }

    fn files(&self, case: &Case, who: &str) -> (PathBuf, PathBuf) {
        let user = self.folder.path().join(format!("{who}-user"));
        let global = self.folder.path().join(format!("{who}-global"));
        std::fs::write(&user, self.fill(case, case.user)).unwrap();
        std::fs::write(&global, self.fill(case, case.global)).unwrap();
        (user, global)
    }

    fn options(&self, case: &Case, user: &Path, global: &Path) -> Vec<(String, String)> {
        let mut options = vec![
            ("UserKnownHostsFile".to_owned(), user.display().to_string()),
            (
                "GlobalKnownHostsFile".to_owned(),
                global.display().to_string(),
            ),
            ("StrictHostKeyChecking".to_owned(), case.policy.to_owned()),
            ("BatchMode".to_owned(), "yes".to_owned()),
            (
                "IdentityFile".to_owned(),
                self.server(case).key.private.display().to_string(),
            ),
            ("IdentitiesOnly".to_owned(), "yes".to_owned()),
            ("IdentityAgent".to_owned(), "none".to_owned()),
        ];
        options.extend(
            case.options
                .iter()
                .map(|(keyword, value)| ((*keyword).to_owned(), (*value).to_owned())),
        );
        options
    }

    /// Whether `ssh` gets in, and what it records.
    fn by_openssh(&self, case: &Case) -> (bool, Vec<String>, String) {
        let (user, global) = self.files(case, "ssh");
        let before = std::fs::read_to_string(&user).unwrap();
        let mut command = Command::new(program("ssh"));
        command
            .args(["-F", "none", "-T", "-p"])
            .arg(self.server(case).port().to_string());
        for (keyword, value) in self.options(case, &user, &global) {
            command.arg("-o").arg(format!("{keyword}={value}"));
        }
        let login = format!("{}@{}", self.server(case).user(), case.host);
        let output = command
            .arg(login)
            .arg("true")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), recorded(&before, &user), said)
    }

    async fn by_us(&self, case: &Case) -> (bool, Vec<String>, Option<ConnectError>) {
        let (user, global) = self.files(case, "us");
        let before = std::fs::read_to_string(&user).unwrap();
        let target = SshTarget {
            host: case.host.to_owned(),
            port: Some(self.server(case).port()),
            user: Some(self.server(case).user().to_owned()),
            options: self
                .options(case, &user, &global)
                .into_iter()
                .map(Into::into)
                .collect(),
            config: ConfigSource::None,
            ..SshTarget::default()
        };
        let opened = open(
            &Connector::new(),
            &target,
            "true",
            &TransportOptions::default(),
        )
        .await;
        let error = match opened {
            Ok(mut process) => {
                let mut status = None;
                while let Some(event) = process.reader.next().await {
                    if let ReadEvent::Exit(how) = event {
                        status = Some(how);
                    }
                }
                assert_eq!(status, Some(ExitStatus::Code(0)), "{}", case.name);
                None
            }
            Err(error) => Some(error),
        };
        (error.is_none(), recorded(&before, &user), error)
    }
}

/// The lines that were added; a hashed name is told by its form alone, because its salt is random.
fn recorded(before: &str, file: &Path) -> Vec<String> {
    let after = std::fs::read_to_string(file).unwrap();
    let added = after
        .strip_prefix(before)
        .unwrap_or_else(|| panic!("{} was rewritten: {after}", file.display()));
    added
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| match line.strip_prefix("|1|") {
            Some(rest) => format!("(hashed) {}", rest.split_once(' ').unwrap().1),
            None => line.to_owned(),
        })
        .collect()
}

#[tokio::test]
async fn every_case_comes_out_as_with_openssh() {
    let servers = start();
    let cases = cases();
    let mut wrong = Vec::new();
    let mut accepted = 0;
    for case in &cases {
        let (theirs, their_lines, said) = servers.by_openssh(case);
        let (ours, our_lines, error) = servers.by_us(case).await;
        accepted += usize::from(theirs);
        if (theirs, &their_lines) != (ours, &our_lines) {
            wrong.push(format!(
                "---- {} ({})\nssh: {theirs}, recorded {their_lines:?}\n{said}us: {ours}, recorded {our_lines:?}\n{error:?}\n{}",
                case.name, case.policy, servers.fill(case, case.user)
            ));
        }
        // Whatever fails here fails at the host key, and says what to do.
        if let Some(error) = error {
            assert!(
                matches!(error.stage, Stage::HostKey | Stage::KeyExchange),
                "{}: {error}",
                case.name
            );
            assert!(
                error.message.contains("SHA256:") || error.stage == Stage::KeyExchange,
                "{}: {error}",
                case.name
            );
        }
    }
    println!("{} cases, {accepted} of them let in", cases.len());
    assert!(cases.len() >= 60 && accepted > 20 && accepted < cases.len() - 20);
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn a_changed_key_is_told_with_both_fingerprints_and_its_line() {
    let servers = start();
    let wrong = case("a wrong key", "# first\n{host} {other-ed25519}\n");
    let error = servers.by_us(&wrong).await.2.unwrap();
    let shown = &servers.plain.host_keys[0];
    assert_eq!(error.stage, Stage::HostKey);
    for wanted in [
        shown.fingerprint(),
        servers.strangers[0].fingerprint(),
        "us-user:2".to_owned(),
    ] {
        assert!(error.message.contains(&wanted), "{wanted}: {error}");
    }
    let hint = error.hint.unwrap();
    assert!(
        hint.contains(&format!(
            "ssh-keygen -R '[127.0.0.1]:{}'",
            servers.plain.port()
        )),
        "{hint}"
    );
}

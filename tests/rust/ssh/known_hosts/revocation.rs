//! RevokedHostKeys, each kind of list that `ssh-keygen` makes, against `ssh` on the same files and the same sshd.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use easycluster::transport::TransportOptions;
use easycluster::transport::ssh::{Connector, SshTarget, open};
use easycluster::{ConnectError, Stage};

use crate::support::remote::{bare_target, finish};
use crate::support::{KeyPair, Sshd, SshdOptions, program};

struct Revocation {
    server: Sshd,
    folder: tempfile::TempDir,
    authority: KeyPair,
    host: KeyPair,
    stranger: KeyPair,
}

fn keygen(arguments: &[&str]) {
    let status = Command::new(program("ssh-keygen"))
        .args(arguments)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{arguments:?}");
}

fn start() -> Revocation {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str| KeyPair::make(&folder.path().join(name), "ed25519", "");
    let (authority, host, stranger) = (make("ca"), make("host"), make("stranger"));
    let public = host.public_file();
    let signer = authority.private.display().to_string();
    keygen(&[
        "-q",
        "-h",
        "-I",
        "the box",
        "-z",
        "70",
        "-n",
        "127.0.0.1",
        "-s",
        &signer,
        public.to_str().unwrap(),
    ]);
    let certificate = folder.path().join("host-cert.pub");
    let server = Sshd::start_with(&SshdOptions {
        host_key_types: Vec::new(),
        log_in: false,
        lines: vec![
            format!("HostKey {}", host.private.display()),
            format!("HostCertificate {}", certificate.display()),
        ],
        ..SshdOptions::default()
    });
    Revocation {
        server,
        folder,
        authority,
        host,
        stranger,
    }
}

impl Revocation {
    /// A list that ssh-keygen makes of these lines, for the certificates of `authority`.
    fn binary(&self, lines: &str, authority: Option<&KeyPair>) -> PathBuf {
        let lines = self.fill(lines);
        let (spec, list) = (
            self.folder.path().join("spec"),
            self.folder.path().join("list"),
        );
        std::fs::write(&spec, lines).unwrap();
        let mut arguments = vec!["-k", "-q", "-f", list.to_str().unwrap()];
        let signer = authority.map(|pair| pair.public_file());
        if let Some(signer) = &signer {
            arguments.extend(["-s", signer.to_str().unwrap()]);
        }
        arguments.push(spec.to_str().unwrap());
        keygen(&arguments);
        list
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{host}", &self.host.public())
            .replace("{ca}", &self.authority.public())
            .replace("{other}", &self.stranger.public())
            .replace("{print}", &self.host.fingerprint())
    }

    fn target(&self, known: &Path, list: &Path) -> SshTarget {
        let mut target = bare_target(&self.server);
        target.options.clear();
        target
            .with_option("UserKnownHostsFile", known.display().to_string())
            .with_option("GlobalKnownHostsFile", "none")
            .with_option("StrictHostKeyChecking", "yes")
            .with_option("RevokedHostKeys", list.display().to_string())
            .with_option(
                "IdentityFile",
                self.server.key.private.display().to_string(),
            )
            .with_option("IdentityAgent", "none")
    }

    fn by_openssh(&self, known: &Path, list: &Path) -> bool {
        let option = |keyword: &str, value: &Path| format!("-o{keyword}={}", value.display());
        let output = Command::new(program("ssh"))
            .args([
                "-F",
                "none",
                "-oBatchMode=yes",
                "-oGlobalKnownHostsFile=none",
            ])
            .args(["-oStrictHostKeyChecking=yes", "-oIdentityAgent=none", "-p"])
            .arg(self.server.port().to_string())
            .arg(option("UserKnownHostsFile", known))
            .arg(option("RevokedHostKeys", list))
            .arg(option("IdentityFile", &self.server.key.private))
            .arg(format!("{}@127.0.0.1", self.server.user()))
            .arg("true")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        output.status.success()
    }

    async fn by_us(&self, known: &Path, list: &Path) -> Result<(), ConnectError> {
        let target = self.target(known, list);
        let options = TransportOptions::default();
        let process = open(&Connector::new(), &target, "true", &options).await?;
        finish(process).await;
        Ok(())
    }
}

#[tokio::test]
async fn lists_of_every_kind_revoke_what_they_do_for_openssh() {
    let it = &start();
    let (plain, certified) = (
        it.folder.path().join("plain"),
        it.folder.path().join("certified"),
    );
    let label = format!("[127.0.0.1]:{}", it.server.port());
    std::fs::write(&plain, format!("{label} {}\n", it.host.public())).unwrap();
    std::fs::write(
        &certified,
        format!("@cert-authority {label} {}\n", it.authority.public()),
    )
    .unwrap();
    let text = |content: &[u8]| {
        let file = it.folder.path().join("text");
        std::fs::write(&file, content).unwrap();
        file
    };
    let (ca, other) = (Some(&it.authority), Some(&it.stranger));
    let many: String = (1..200)
        .step_by(3)
        .map(|serial| format!("serial: {serial}\n"))
        .collect();
    let without: String = (2..200)
        .step_by(3)
        .map(|serial| format!("serial: {serial}\n"))
        .collect();
    // What the file is, and whether the host is refused with it, by whatever it is known.
    type Made<'a> = Box<dyn Fn() -> PathBuf + 'a>;
    let binary = |lines: &'static str, authority| -> Made<'_> {
        Box::new(move || it.binary(lines, authority))
    };
    let cases: Vec<(&str, Made<'_>, bool)> = vec![
        ("an empty list", binary("", None), false),
        ("another key", binary("key: {other}", None), false),
        ("the key", binary("key: {host}", None), true),
        ("the key by SHA-1", binary("sha1: {host}", None), true),
        ("the key by SHA-256", binary("sha256: {host}", None), true),
        ("the key's fingerprint", binary("hash: {print}", None), true),
        ("the authority", binary("key: {ca}", None), true),
        (
            "the authority by its hash",
            binary("sha256: {ca}", None),
            true,
        ),
        ("the serial", binary("serial: 70", ca), true),
        ("a range", binary("serial: 60-80", ca), true),
        ("another range", binary("serial: 71-80", ca), false),
        ("many serials", Box::new(|| it.binary(&many, ca)), true),
        (
            "many other serials",
            Box::new(|| it.binary(&without, ca)),
            false,
        ),
        ("the name", binary("id: the box", ca), true),
        ("another name", binary("id: the", ca), false),
        (
            "another authority's serial",
            binary("serial: 70", other),
            false,
        ),
        (
            "keys in text",
            Box::new(|| text(it.fill("# old\n{other}\n{host}\n").as_bytes())),
            true,
        ),
        (
            "the authority in text",
            Box::new(|| text(it.fill("{ca}\n").as_bytes())),
            true,
        ),
        (
            "others in text",
            Box::new(|| text(it.fill("{other}\n\n").as_bytes())),
            false,
        ),
        ("nothing", Box::new(|| text(b"")), false),
        ("no key", Box::new(|| text(b"nonsense\n")), true),
        ("no file", Box::new(|| it.folder.path().join("none")), true),
        (
            "half a list",
            Box::new(|| {
                let whole = std::fs::read(it.binary("key: {other}", None)).unwrap();
                text(&whole[..whole.len() - 3])
            }),
            true,
        ),
    ];
    for (name, made, refused) in cases {
        let list = made();
        for known in [&plain, &certified] {
            let ours = it.by_us(known, &list).await;
            assert_eq!(
                ours.is_err(),
                refused,
                "{name}, {}: {ours:?}",
                known.display()
            );
            assert_eq!(
                !it.by_openssh(known, &list),
                refused,
                "ssh: {name}, {}",
                known.display()
            );
            if let Err(error) = ours {
                assert_eq!(error.stage, Stage::HostKey, "{name}: {error}");
                let file = list.display().to_string();
                assert!(error.message.contains(&file), "{name}: {error}");
            }
        }
    }
}

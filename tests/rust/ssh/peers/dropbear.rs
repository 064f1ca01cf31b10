//! A real dropbear for the tests.

use std::process::{Child, Command, Stdio};

use super::accounts::{As, namespace};
use crate::support::{KeyPair, poll, program};

/// dropbear on a free port, as the current user, with a home directory of its own.
pub struct Dropbear {
    pub folder: tempfile::TempDir,
    pub port: u16,
    pub child: Child,
    pub key: KeyPair,
}

impl Dropbear {
    pub fn start(host_key_type: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let status = Command::new(program("dropbearkey"))
            .args(["-t", host_key_type, "-f"])
            .arg(at.join("host_key"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("dropbearkey starts");
        assert!(status.success());
        let key = KeyPair::make(&at.join("client_key"), "ed25519", "");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        // dropbear reads authorized_keys in the account's own home only. So it runs where /etc/passwd
        // gives the account another one, which a mount namespace does without touching the machine.
        let ssh = at.join(".ssh");
        std::fs::create_dir(&ssh).unwrap();
        let keys = ssh.join("authorized_keys");
        std::fs::write(&keys, format!("{}\n", key.public())).unwrap();
        for (path, mode) in [(at, 0o700), (&ssh, 0o700), (&keys, 0o600)] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(path, mode).unwrap();
        }
        let account = format!("root:x:0:0:root:{}:/bin/sh\n", at.display());
        std::fs::write(at.join("passwd"), account).unwrap();
        let shadow = format!("root:{}:19000:0:99999:7:::\n", super::passwords::SESAME);
        std::fs::write(at.join("shadow"), shadow).unwrap();
        let script = format!(
            "mount --bind {at}/passwd /etc/passwd && mount --bind {at}/shadow /etc/shadow && exec {} -F -E -m -p 127.0.0.1:{port} -r {at}/host_key -P {at}/pid",
            program("dropbear").display(),
            at = at.display()
        );
        let child = namespace(As::Himself, &script)?
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(at.join("log")).unwrap())
            .spawn()
            .expect("unshare starts");
        let dropbear = Dropbear {
            folder,
            port,
            child,
            key,
        };
        poll(crate::support::PATIENCE, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .expect("dropbear listens");
        Some(dropbear)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Dropbear {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

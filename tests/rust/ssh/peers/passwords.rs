//! OpenSSH's sshd with passwords: an account of this machine that has another password for this server alone.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use easycluster::Stage;
use easycluster::transport::ssh::SshTarget;

use super::accounts::{As, namespace};
use super::{run, target};

use crate::support::remote::answers;
use crate::support::{KeyPair, PATIENCE, poll, program};

/// What crypt makes of the password `sesame`.
pub const SESAME: &str = "$6$easyclusterSalt$/2pf4jfjCUS/n77Pb.e.ABeH7dO4i9R9EvXeg5/65.bMlf/mou7.FUAaGNhAMwnAP6CVv1YF5KJsr71H2O7Qs0";

/// Asks for a password by PAM and lets everybody in who has it.
const PAM: &str =
    "auth required pam_unix.so\naccount required pam_permit.so\nsession required pam_permit.so\n";

struct PasswordSshd {
    folder: tempfile::TempDir,
    port: u16,
    user: String,
    key: KeyPair,
    child: Child,
}

impl PasswordSshd {
    /// Changing the account's password for one process takes root, and a mount namespace so that
    /// no other test sees the change.
    fn start(lines: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let host_key = KeyPair::make(&folder.path().join("host_key"), "ed25519", "");
        let key = KeyPair::make(&folder.path().join("client_key"), "ed25519", "");
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text);
        write("authorized_keys", format!("{}\n", key.public())).unwrap();
        write("pam", PAM.to_owned()).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut configuration = lines.join("\n");
        configuration += &format!(
            "\nListenAddress 127.0.0.1:{port}\nHostKey {}\nPidFile none\nAuthorizedKeysFile {at}/authorized_keys\n\
             StrictModes no\nPermitRootLogin yes\nUseDNS no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             SetEnv \"HOME={at}\"\n",
            host_key.private.display()
        );
        write("sshd_config", configuration).unwrap();
        let user = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(user.stdout).unwrap().trim().to_owned();
        // It ends with its input, because one who is not root cannot signal it.
        let script = format!(
            "mkdir -p /run/sshd; sed 's#^{user}:[^:]*:#{user}:{SESAME}:#' /etc/shadow >{at}/shadow && chmod 600 {at}/shadow && \
             mount --bind {at}/shadow /etc/shadow && mount --bind {at}/pam /etc/pam.d/sshd || exit 1\n\
             {} -D -e -f {at}/sshd_config & sshd=$!\nread end\nkill $sshd; wait",
            program("sshd").display()
        );
        let child = namespace(As::Root, &script)?
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .expect("unshare starts");
        let server = PasswordSshd {
            folder,
            port,
            user,
            key,
            child,
        };
        let answers = poll(PATIENCE, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        assert!(answers.is_some(), "sshd does not listen: {}", server.log());
        Some(server)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn target(&self) -> SshTarget {
        let mut target = target(self.port, self.folder.path()).with_option("IdentityFile", "none");
        target.user = Some(self.user.clone());
        target
    }
}

impl Drop for PasswordSshd {
    fn drop(&mut self) {
        if let Some(mut input) = self.child.stdin.take() {
            _ = input.write_all(b"end\n");
        }
        _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_password_of_an_account_lets_in_and_a_wrong_one_is_asked_for_again() {
    for (lines, text) in [
        (&["PasswordAuthentication yes"][..], "'s password: "),
        (
            &["UsePAM yes", "KbdInteractiveAuthentication yes"],
            "Password: ",
        ),
    ] {
        let Some(server) = PasswordSshd::start(lines) else {
            return;
        };
        let (options, asked) = answers(&["wrong", "sesame"]);
        let result = run(&server.target(), "echo in", &options).await;
        let (out, _) = result.unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
        assert_eq!(out, "in\n");
        let asked = asked.lock().unwrap();
        let texts: Vec<&str> = asked
            .iter()
            .map(|question| question.text.as_str())
            .collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts.iter().all(|asked| asked.ends_with(text)), "{texts:?}");
        assert!(!texts[0].contains("try again"), "{texts:?}");
        assert!(texts[1].contains("try again"), "{texts:?}");
        assert!(asked.iter().all(|question| !question.echo));
    }
}

#[tokio::test]
async fn a_key_and_a_password_where_the_server_wants_both() {
    let Some(server) = PasswordSshd::start(&[
        "PasswordAuthentication yes",
        "AuthenticationMethods publickey,password",
    ]) else {
        return;
    };
    let both = server
        .target()
        .with_option("IdentityFile", server.key.private.display().to_string());
    let (options, asked) = answers(&["sesame"]);
    let result = run(&both, "echo in", &options).await;
    let (out, _) = result.unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
    assert_eq!(out, "in\n");
    assert_eq!(asked.lock().unwrap().len(), 1);

    // The password alone is never asked for.
    let (options, asked) = answers(&["sesame"]);
    let error = run(&server.target(), "echo in", &options)
        .await
        .unwrap_err();
    assert_eq!(error.stage, Stage::Authentication, "{error}");
    assert!(asked.lock().unwrap().is_empty());
    // And batch mode says that the key was right and a password is wanted.
    let batch = both.with_option("BatchMode", "yes");
    let error = run(&batch, "echo in", &options).await.unwrap_err();
    assert!(
        error
            .message
            .contains("client_key: accepted, and the server wants more"),
        "{error}"
    );
    assert!(
        error.message.contains("the server takes password"),
        "{error}"
    );
}

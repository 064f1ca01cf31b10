//! The program: `--become` and where the password of sudo comes from.

use std::process::{Command, Output, Stdio};

use super::{SESAME, machine};

async fn easycluster(words: Vec<String>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_easycluster"));
    command.args(words).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn become_is_an_argument_and_its_password_a_file() {
    let Some(machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{SESAME}\n")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, mode).unwrap();
    let file = file.display().to_string();
    let code = "import os, pwd; print(pwd.getpwuid(os.getuid()).pw_name)";
    let run = |user: &str, arguments: &[&str]| {
        let spec = machine.spec(user, "batch=yes:name=box");
        let mut words = vec!["run".to_owned(), spec];
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        words.extend(["-c".to_owned(), code.to_owned()]);
        easycluster(words)
    };
    for (user, arguments, name) in [
        ("nopass", vec!["--become"], "root"),
        ("nopass", vec!["--sudo"], "root"),
        ("nopass", vec!["--become=bob"], "bob"),
        (
            "alice",
            vec!["--become", "--sudo-password-file", &file],
            "root",
        ),
    ] {
        let output = run(user, &arguments).await;
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{stderr}");
        assert!(stdout.contains(name), "{user} {arguments:?}: {stdout}");
        assert!(!stdout.contains(SESAME) && !stderr.contains(SESAME));
    }
    let output = run("alice", &["--become"]).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        stderr.contains("escalation: sudo wants a password")
            && stderr.contains("--ask-sudo-password"),
        "{stderr}"
    );
    machine.idle().await;
}

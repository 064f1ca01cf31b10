//! Shell commands behind steps, without any Python there.

use easycluster::{Command, ConnectionSpec, Error, Stage};

use super::{SESAME, machine, spec, with_password};

async fn output(spec: &ConnectionSpec, line: &str) -> Result<(Vec<u8>, Vec<u8>, String), Error> {
    let command = Command::on(spec, line);
    let output = command.output().await?;
    Ok((
        output.stdout.to_vec(),
        output.stderr.to_vec(),
        output.status.to_string(),
    ))
}

#[tokio::test]
async fn a_command_runs_as_the_user_that_the_steps_become() {
    let Some(machine) = machine() else { return };
    for (user, then, password, name) in [
        ("nopass", "sudo", false, "root"),
        ("nopass", "sudo/bob", true, "bob"),
        ("alice", "sudo,sudo/bob", true, "bob"),
        ("lect", "sudo", true, "root"),
        ("nopass", "doas,run/nice", false, "root"),
    ] {
        let mut spec = spec(&machine, user, then);
        if password {
            spec = with_password(spec, SESAME);
        }
        let (stdout, stderr, status) = output(&spec, "id -un; echo it\\'s >&2; exit 7")
            .await
            .unwrap();
        assert_eq!(stdout, format!("{name}\n").as_bytes(), "{then}");
        assert!(
            stderr.ends_with(b"it's\n"),
            "{}",
            String::from_utf8_lossy(&stderr)
        );
        assert!(!String::from_utf8_lossy(&stderr).contains("%p"));
        assert!(status.contains('7'), "{status}");
        // What it reads is its own, and all of it.
        let sent = vec![b'x'; 300_000];
        let command = Command::on(&spec, "wc -c")
            .stdin(sent)
            .output()
            .await
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&command.stdout).trim(), "300000");
    }
    machine.idle().await;
}

#[tokio::test]
async fn a_step_that_fails_is_no_exit_status_of_the_command() {
    let Some(machine) = machine() else { return };
    for (user, password, message) in [
        ("alice", None, "sudo wants a password, and none was given"),
        ("alice", Some("wrong"), "sudo/root refused the password"),
        (
            "mallory",
            Some(SESAME),
            "the account may not use sudo there",
        ),
    ] {
        let mut spec = spec(&machine, user, "sudo");
        if let Some(password) = password {
            spec = with_password(spec, password);
        }
        let Err(Error::Connect(error)) = output(&spec, "true").await else {
            panic!("it ran");
        };
        assert_eq!(error.stage, Stage::Escalation, "{error}");
        assert!(error.message.starts_with(message), "{error}");
        assert!(!error.to_string().contains("ec_"), "{error}");
    }
    machine.idle().await;
}

#[tokio::test]
async fn on_this_machine_a_quick_command_keeps_its_output_and_status() {
    let spec: ConnectionSpec = ":local:then=run/env,run/env A=1".parse().unwrap();
    for _ in 0..20 {
        let (stdout, _, status) = output(&spec, "echo $A; exit 3").await.unwrap();
        assert_eq!(stdout, b"1\n");
        assert!(status.contains('3'), "{status}");
    }
}

//! The tests' own sshd does what it promises: it is ready, it can be varied, and nothing of it is left behind.

use std::process::Stdio;

use crate::support::{
    Agent, KeyPair, PATIENCE, Sshd, SshdOptions, interpreters, poll, processes, program,
};

fn run(server: &Sshd, command: &str) -> String {
    let output = server.ssh().arg(command).output().unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_plain_server_runs_a_command() {
    let server = Sshd::start();
    assert_eq!(server.logins(), 0);
    assert_eq!(run(&server, "echo $((6 * 7))"), "42\n");
    assert_eq!(server.logins(), 1);
    server.wait_until_idle();
}

#[test]
fn its_end_takes_every_process_along_even_orphans() {
    let mut server = Sshd::start();
    // The background process gets another parent as soon as the session ends.
    run(
        &server,
        "(setsid sleep 1000 >/dev/null 2>&1 </dev/null &) ; true",
    );
    let left = poll(PATIENCE, || {
        Some(server.session_processes())
            .filter(|left| left.len() == 1 && left[0].command == "sleep 1000")
    });
    let left = left.unwrap_or_else(|| panic!("{:?}", server.session_processes()));
    server.stop();
    assert!(!left[0].is_alive());
    assert!(
        processes::descendants(std::process::id() as i32)
            .iter()
            .all(|process| process.pid != server.pid() as i32)
    );
}

#[test]
fn each_shell_gets_the_command_as_a_login_shell_would() {
    for name in ["dash", "bash", "ksh", "zsh", "tcsh", "fish"] {
        let shell = program(name);
        let server = Sshd::start_with(&SshdOptions {
            shell: Some(shell),
            greeting: "Welcome!\n".into(),
            ..SshdOptions::default()
        });
        // A last command would be run in place of the shell by some, so another one follows.
        let own_pid = if name == "fish" { "$fish_pid" } else { "$$" };
        assert_eq!(
            run(&server, &format!("ps -o comm= -p {own_pid}; true")),
            format!("Welcome!\n{name}\n")
        );
    }
}

#[test]
fn environment_home_and_forced_command_are_the_sessions() {
    let server = Sshd::start_with(&SshdOptions {
        environment: vec![
            ("PATH".into(), "/nowhere:/bin".into()),
            ("COLOUR".into(), "dark red".into()),
        ],
        home: vec![
            (".profile", "noise".into()),
            (".config/fish/config.fish", "echo hi".into()),
        ],
        ..SshdOptions::default()
    });
    assert_eq!(
        run(&server, "echo $PATH,$COLOUR; cd; ls -A"),
        "/nowhere:/bin,dark red\n.config\n.profile\n"
    );
    let forced = Sshd::start_with(&SshdOptions {
        force_command: Some("echo forced".into()),
        ..SshdOptions::default()
    });
    assert_eq!(run(&forced, "echo asked"), "forced\n");
}

#[test]
fn a_command_that_never_ends_does_not_keep_the_server_from_being_ready() {
    let server = Sshd::start_with(&SshdOptions {
        force_command: Some("exec sleep 1000".into()),
        ..SshdOptions::default()
    });
    server.wait_until_idle();
}

#[test]
fn host_key_types_and_further_keys_and_certificates_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let authority = KeyPair::make(&folder.path().join("authority"), "ed25519", "");
    let server = Sshd::start_with(&SshdOptions {
        host_key_types: vec!["rsa", "ecdsa"],
        client_key_type: "ecdsa",
        lines: vec![format!(
            "TrustedUserCAKeys {}",
            authority.public_file().display()
        )],
        ..SshdOptions::default()
    });
    assert_eq!(run(&server, "echo yes"), "yes\n");
    let accepted = |key: &KeyPair| {
        server
            .ssh_as(key)
            .arg("true")
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    let [known, certified] =
        ["known", "certified"].map(|name| KeyPair::make(&folder.path().join(name), "ed25519", ""));
    assert!(!accepted(&known) && !accepted(&certified));
    server.authorize(&known.public());
    authority.certify(&certified, server.user(), false);
    assert!(accepted(&known) && accepted(&certified));
}

#[test]
fn the_client_configuration_reaches_the_server() {
    let server = Sshd::start();
    let mut ssh = std::process::Command::new(program("ssh"));
    let output = ssh
        .arg("-F")
        .arg(server.client_config())
        .args(["testhost", "echo", "here"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "here\n");
}

#[test]
fn an_agent_holds_keys() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::make(&folder.path().join("key"), "ed25519", "");
    let agent = Agent::start();
    agent.add(&key.private);
    let listed = std::process::Command::new(program("ssh-add"))
        .arg("-l")
        .env("SSH_AUTH_SOCK", agent.socket())
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains(&key.fingerprint()));
}

#[test]
fn interpreters_are_found_each_once() {
    let found = interpreters();
    for interpreter in found {
        assert!(!interpreter.to_str().contains("/shims/"), "{interpreter:?}");
        assert_eq!(
            found
                .iter()
                .filter(|other| other.path == interpreter.path)
                .count(),
            1
        );
    }
}

//! The program at a terminal: questions, passphrases without echo, colours, Ctrl-C at a question.

use std::path::PathBuf;
use std::process::Stdio;

use easycluster::cli::commands::demo::embedded_sshd::EmbeddedSshd;
use russh::keys::PublicKey;

use crate::cli::scene::{PATIENCE, Scene};
use crate::support::remote::RELAY;
use crate::support::{KeyPair, interpreter_at_least};

/// Runs a command on a terminal of its own; waits for a text and types another, pair by pair.
/// Prints what the terminal showed, then the exit status, then whether echo is on.
const ON_A_TERMINAL: &str = "\
import json, os, pty, select, sys, termios, time
steps = json.loads(sys.argv[1])
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
def echo_of(terminal):
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
shown = b''
seen = 0
end = time.time() + 60
while time.time() < end:
    if steps and steps[0][0].encode() in shown[seen:]:
        seen = len(shown)
        # The question is answered as soon as it is seen.
        assert 'assphrase' not in steps[0][0] or not echo_of(terminal), 'echo is still on'
        os.write(terminal, steps.pop(0)[1].encode())
    if not select.select([terminal], [], [], 0.1)[0]:
        continue
    try:
        data = os.read(terminal, 65536)
    except OSError:
        break
    if not data:
        break
    shown += data
else:
    os.kill(child, 9)
echo = echo_of(terminal)
status = os.waitpid(child, 0)[1]
sys.stdout.write(json.dumps([shown.decode(), os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1, echo]))
";

pub struct Seen {
    pub shown: String,
    pub code: i64,
    pub echo: bool,
}

pub async fn at_a_terminal(arguments: &[&str], steps: &[(&str, &str)]) -> Seen {
    let steps = serde_json::to_string(steps).expect("JSON");
    let run = tokio::process::Command::new(&interpreter_at_least((3, 6)).path)
        .args([
            "-c",
            ON_A_TERMINAL,
            &steps,
            env!("CARGO_BIN_EXE_easycluster"),
        ])
        .args(arguments)
        .env_remove("SSH_AUTH_SOCK")
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE + PATIENCE, run)
        .await
        .expect("in time")
        .expect("Python runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).expect(&stderr);
    Seen {
        shown: seen[0].as_str().expect("text").replace("\r\n", "\n"),
        code: seen[1].as_i64().expect("a status"),
        echo: seen[2].as_bool().expect("a flag"),
    }
}

/// A scene whose key has a passphrase, and a spec that asks for it.
async fn behind_a_passphrase() -> (Scene, String) {
    let folder = tempfile::tempdir().expect("folder");
    let key = KeyPair::make(&folder.path().join("key"), "ed25519", "open sesame");
    let public = PublicKey::from_openssh(&key.public()).expect("public key");
    let server = EmbeddedSshd::start(public).await.expect("server");
    let known_hosts: PathBuf = folder.path().join("known_hosts");
    std::fs::write(&known_hosts, server.known_hosts_line().expect("line")).expect("written");
    let scene = Scene { server, folder };
    let spec = scene.spec("web1").replace(":batch=yes", "");
    (scene, spec)
}

#[tokio::test]
async fn a_passphrase_is_asked_for_and_not_shown() {
    let (scene, spec) = behind_a_passphrase().await;
    let seen = at_a_terminal(
        &["run", &spec, "-c", "print(6 * 7)"],
        &[("assphrase", "open sesame\n")],
    )
    .await;
    assert_eq!(seen.code, 0, "{}", seen.shown);
    assert!(seen.shown.contains(" 42\n"), "{}", seen.shown);
    assert!(!seen.shown.contains("sesame"), "{}", seen.shown);
    assert!(seen.echo);
    scene.end().await;
}

/// What asks by itself can: the `ssh` program, and a ProxyCommand.
#[tokio::test]
async fn programs_on_the_way_ask_on_the_terminal() {
    let (scene, spec) = behind_a_passphrase().await;
    let ssh = crate::support::program("ssh");
    let seen = at_a_terminal(
        &[
            "run",
            &format!("{spec}:ssh={}", ssh.display()),
            "-c",
            "print(6 * 7)",
        ],
        &[("assphrase", "open sesame\n")],
    )
    .await;
    assert_eq!(seen.code, 0, "{}", seen.shown);
    assert!(seen.shown.contains(" 42\n"), "{}", seen.shown);
    scene.end().await;

    let scene = Scene::new().await;
    let command = scene.folder.path().join("ask");
    let relay = format!(
        "import getpass\nassert getpass.getpass('Passphrase for the way: ') == 'through'\n{RELAY}"
    );
    std::fs::write(&command, relay).expect("written");
    let python = interpreter_at_least((3, 6));
    let option = format!(
        "-o 'ProxyCommand={} {} %h %p'",
        python.to_str(),
        command.display()
    );
    let spec = scene.spec("web1").replace(":batch=yes", "");
    let seen = at_a_terminal(
        &[
            "run",
            &format!("{spec}:extra={option}"),
            "-c",
            "print(6 * 7)",
        ],
        &[("assphrase", "through\n")],
    )
    .await;
    assert_eq!(seen.code, 0, "{}", seen.shown);
    assert!(seen.shown.contains(" 42\n"), "{}", seen.shown);
    scene.end().await;
}

#[tokio::test]
async fn ctrl_c_at_a_question_leaves_the_terminal_as_it_was() {
    let (scene, spec) = behind_a_passphrase().await;
    for command in [&["run", &spec, "-c", "print(1)"][..], &["ping", &spec]] {
        let seen = at_a_terminal(command, &[("assphrase", "\u{3}")]).await;
        assert_eq!(seen.code, 130, "{}", seen.shown);
        assert!(seen.echo, "{command:?} leaves the terminal without echo");
    }
    scene.end().await;
}

#[tokio::test]
async fn an_unknown_host_is_asked_about_and_remembered() {
    let scene = Scene::new().await;
    let known_hosts = scene.folder.path().join("known_hosts");
    let line = std::fs::read_to_string(&known_hosts).expect("readable");
    std::fs::write(&known_hosts, "").expect("written");
    let spec = scene.spec("web1").replace(":batch=yes", "");
    let seen = at_a_terminal(&["run", &spec, "-c", "print(6 * 7)"], &[("yes", "yes\n")]).await;
    assert_eq!(seen.code, 0, "{}", seen.shown);
    assert!(seen.shown.contains("SHA256:"), "{}", seen.shown);
    let recorded = std::fs::read_to_string(&known_hosts).expect("readable");
    let key = line.split(' ').nth(2).expect("a key").trim();
    assert!(recorded.contains(key), "{recorded}");
    let seen = at_a_terminal(&["run", &spec, "-c", "print(6 * 7)"], &[]).await;
    assert_eq!(
        (seen.code, seen.shown.contains("SHA256:")),
        (0, false),
        "{}",
        seen.shown
    );
    scene.end().await;
}

#[tokio::test]
async fn colours_are_for_terminals() {
    let scene = Scene::new().await;
    let seen = at_a_terminal(
        &[
            "run",
            "--no-progress",
            &scene.spec("web1"),
            "-c",
            "print('plain')",
        ],
        &[],
    )
    .await;
    assert_eq!(seen.shown, "\u{1b}[36mweb1 |\u{1b}[0m plain\n");
    scene.end().await;
}

//! The examples run as they stand, and say what they promise.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use crate::cli::scene::{PATIENCE, Scene};

/// The example's program. `cargo test` builds the examples too, and puts them beside the folder of the test programs.
fn program(name: &str) -> PathBuf {
    let own_program = std::env::current_exe().expect("a path");
    let profile = own_program.ancestors().nth(2).expect("target/<profile>");
    let program = profile.join("examples").join(name);
    assert!(
        program.is_file(),
        "{} is not built; `cargo build --examples` builds it, as `cargo test` does",
        program.display()
    );
    program
}

async fn example(name: &str, arguments: &[&str]) -> String {
    let run = Command::new(program(name))
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, run)
        .await
        .expect("the example ends in time")
        .expect("the example starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn hello_runs_here_and_over_ssh() {
    let expected = "Hello, world! Hello, world!\n/etc/ssh\n[0, 1, 4, 9, 16]\n";
    assert_eq!(example("hello", &[]).await, expected);
    let scene = Scene::new().await;
    assert_eq!(example("hello", &[&scene.spec("web1")]).await, expected);
    scene.end().await;
}

#[tokio::test]
async fn commands_runs_over_ssh() {
    let scene = Scene::new().await;
    assert_eq!(
        example(
            "commands",
            &[&scene.spec("web1"), "echo one | tr a-z A-Z; exit 3"]
        )
        .await,
        "web1 (Code(3)): ONE\n"
    );
    scene.end().await;
}

#[tokio::test]
async fn many_hosts_runs_here_and_over_ssh() {
    let expected = "local: done\nlocal: done\nlocal: done\nat once: true\n";
    assert_eq!(example("many_hosts", &[]).await, expected);
    let scene = Scene::new().await;
    let (web1, web2) = (scene.spec("web1"), scene.spec("web2"));
    assert_eq!(
        example("many_hosts", &[&web1, &web2]).await,
        "web1: done\nweb2: done\nat once: true\n"
    );
    scene.end().await;
}

#[tokio::test]
async fn objects_runs() {
    assert_eq!(example("objects", &[]).await, "30\nGrace\n42\n");
}

#[tokio::test]
async fn errors_runs() {
    assert_eq!(
        example("errors", &[]).await,
        "ZeroDivisionError; source known: true\ntoo long; stack known: true\n42\nConnection at stage connect\n"
    );
}

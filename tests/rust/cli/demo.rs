//! `easycluster demo`: its output, its exit code, and that it leaves no processes or files.

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::cli::scene::{PATIENCE, easycluster, program, said};
use crate::support::{interpreters, processes};

#[tokio::test]
async fn it_shows_every_act_and_cleans_up() {
    let folder = tempfile::tempdir().expect("folder");
    let mark = folder.path().to_str().expect("path").to_owned();
    let child = program(&["demo"])
        .env("TMPDIR", folder.path())
        // The server hands HOME on to what it starts, which makes it known.
        .env("HOME", folder.path())
        .spawn()
        .expect("the program starts");
    let output = said(child).await;
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(0)));
    for shown in [
        "This program's own SSH server listens on 127.0.0.1:",
        "    -> web1 | hello from process ",
        "web[1-3]",
        "    -> web[1,3]\n",
        "client = easycluster.Client.from_spec(os.environ['SPEC'])",
        "    -> 42\n",
        "    -> [0, 2, 4, 6, 8]\n",
        "    -> 144 from process ",
        "ZeroDivisionError",
        "no result within 0.3 s",
        "    -> \"still here\"\n",
        "easycluster ping you@yourbox",
        "pip install .",
        "cargo run --example hello -- you@yourbox",
    ] {
        assert!(
            output.stdout.contains(shown),
            "{shown:?} in:\n{}",
            output.stdout
        );
    }
    assert!(
        !output.stdout.contains('\u{1b}'),
        "colours without a terminal"
    );
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .expect("folder")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(processes::with_environment("HOME", &mark), []);
}

#[tokio::test]
async fn ctrl_c_ends_it_and_cleans_up() {
    let folder = tempfile::tempdir().expect("folder");
    let mark = folder.path().to_str().expect("path").to_owned();
    let mut child = program(&["demo"])
        .env("TMPDIR", folder.path())
        .env("HOME", folder.path())
        .spawn()
        .expect("the program starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout")).lines();
    loop {
        let line = tokio::time::timeout(PATIENCE, stdout.next_line())
            .await
            .expect("a line in time")
            .expect("read")
            .expect("more lines");
        // Half a second is spent there.
        if line.contains("slow_square\", (12,)") {
            break;
        }
    }
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    kill_process(
        Pid::from_raw(pid.expect("alive")).expect("pid"),
        Signal::INT,
    )
    .expect("signal");
    while let Ok(Some(_)) = stdout.next_line().await {}
    let output = said(child).await;
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(130)));
    let left = std::fs::read_dir(folder.path()).expect("folder").count();
    assert_eq!(
        (left, processes::with_environment("HOME", &mark)),
        (0, vec![])
    );
}

#[tokio::test]
async fn it_runs_under_the_oldest_python_as_well() {
    let python = interpreters().first().expect("an interpreter");
    let output = easycluster(&["demo", "--rpython", python.to_str()]).await;
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(0)));
    let (major, minor) = python.version;
    assert!(
        output
            .stdout
            .contains(&format!("-> Python {major}.{minor}.")),
        "{}",
        output.stdout
    );
}

#[tokio::test]
async fn an_interpreter_that_is_not_there_is_said() {
    let output = easycluster(&["demo", "--rpython", "python9.9"]).await;
    assert_eq!(output.code, Some(255));
    assert!(output.stderr.starts_with("error: "), "{}", output.stderr);
    assert!(output.stderr.contains("python9.9"), "{}", output.stderr);
}

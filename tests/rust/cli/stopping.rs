//! Ctrl-C, signals, and a reader that goes away: the remote programs end too, and clean up.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::cli::scene::{PATIENCE, Scene, program, remote_processes, said, until, until_gone};

const CLEANS_UP: &str = "\
import sys, time
try:
    print('begun')
    sys.stdout.flush()
    time.sleep(600)
finally:
    print('cleaned up')
";

pub fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    kill_process(Pid::from_raw(pid.expect("alive")).expect("pid"), signal).expect("signal");
}

/// Starts a run on two hosts and waits until the program has begun on both.
async fn two_that_sleep(
    scene: &Scene,
    code: &str,
) -> (Child, BufReader<tokio::process::ChildStdout>) {
    let (web1, web2) = (scene.spec("web1"), scene.spec("web2"));
    let mut child = program(&["run", &web1, &web2, "-c", code])
        .spawn()
        .expect("the program starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
    for _ in 0..2 {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, stdout.read_line(&mut line)).await;
        if read.is_err() {
            child.start_kill().expect("kill");
            panic!("no line in time: {:?}", said(child).await);
        }
        assert!(line.ends_with(" | begun\n"), "{line:?}");
    }
    (child, stdout)
}

async fn rest(mut stdout: BufReader<tokio::process::ChildStdout>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    while stdout.read_line(&mut line).await.expect("read") > 0 {
        lines.push(std::mem::take(&mut line));
    }
    lines.sort();
    lines
}

#[tokio::test]
async fn ctrl_c_interrupts_the_remote_programs_and_lets_them_clean_up() {
    let scene = Scene::new().await;
    let (child, stdout) = two_that_sleep(&scene, CLEANS_UP).await;
    signal(&child, Signal::INT);
    let lines = tokio::time::timeout(PATIENCE, rest(stdout))
        .await
        .expect("in time");
    let output = said(child).await;
    assert_eq!(lines, ["web1 | cleaned up\n", "web2 | cleaned up\n"]);
    assert_eq!(output.code, Some(130));
    assert!(
        output
            .stderr
            .starts_with("error: web[1-2]: interrupted (2 hosts)\n2 hosts: 2 interrupted, "),
        "{}",
        output.stderr
    );
    scene.end().await;
}

#[tokio::test]
async fn a_program_that_ignores_ctrl_c_is_ended_all_the_same() {
    let scene = Scene::new().await;
    let code = "\
import sys, time
told = False
while True:
    try:
        if not told:
            told = True
            print('begun')
        time.sleep(600)
    except KeyboardInterrupt:
        print('never mind')
";
    let (child, mut stdout) = two_that_sleep(&scene, code).await;
    signal(&child, Signal::INT);
    // The second one says: at once.
    let mut line = String::new();
    let read = tokio::time::timeout(PATIENCE, stdout.read_line(&mut line)).await;
    read.expect("in time").expect("read");
    assert!(line.ends_with(" | never mind\n"), "{line:?}");
    signal(&child, Signal::INT);
    let output = said(child).await;
    assert_eq!(output.code, Some(130));
    // Held until now, because the other program's line would find no reader.
    drop(stdout);
    scene.end().await;
}

#[tokio::test]
async fn sigterm_ends_the_remote_programs_too() {
    let scene = Scene::new().await;
    let (child, _stdout) = two_that_sleep(&scene, CLEANS_UP).await;
    signal(&child, Signal::TERM);
    assert_eq!(said(child).await.code, Some(128 + 15));
    scene.end().await;
}

#[tokio::test]
async fn a_kill_leaves_nothing_running_on_the_hosts() {
    let scene = Scene::new().await;
    let (mut child, _stdout) = two_that_sleep(&scene, CLEANS_UP).await;
    let remote = remote_processes(scene.server.address().port());
    assert!(remote.len() >= 2, "{remote:?}");
    child.kill().await.expect("kill");
    for pid in remote {
        until_gone(&pid).await;
    }
    scene.end().await;
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_it_quietly() {
    let scene = Scene::new().await;
    let spec = scene.spec("web1");
    let code = "while True: print('x' * 1000)";
    let mut child = program(&["run", &spec, "-c", code])
        .stdin(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
    let mut line = String::new();
    stdout.read_line(&mut line).await.expect("read");
    drop(stdout);
    let output = said(child).await;
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(141)));
    scene.end().await;
}

/// A pipe that is full, whose reader takes nothing: a pager that waits, or a process that is stopped.
async fn stuck(arguments: &[&str], stderr_too: bool) -> (Child, std::io::PipeReader) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = program(arguments);
    if stderr_too {
        command.stderr(writer.try_clone().expect("the same"));
    }
    let child = command.stdout(writer).spawn().expect("the program starts");
    drop(command);
    // As much as says that the hosts have printed; what follows fills the pipe.
    let mut first = [0; 1];
    let read = tokio::task::spawn_blocking(move || {
        std::io::Read::read_exact(&mut reader, &mut first).expect("read");
        reader
    });
    let reader = tokio::time::timeout(PATIENCE, read)
        .await
        .expect("in time")
        .expect("read");
    let pipe = reader.try_clone().expect("the same");
    until(move || match rustix::io::ioctl_fionread(&pipe) {
        Ok(held) if held >= 60_000 => Ok(()),
        held => Err(held),
    })
    .await;
    (child, reader)
}

#[tokio::test]
async fn a_reader_that_takes_nothing_does_not_keep_a_signal_from_ending_it() {
    let scene = Scene::new().await;
    let spec = scene.spec("web1");
    let long = "yes | head -c 3000000";
    let goes_on = format!("{long}; sleep 600");
    for (command, stderr_too, signals) in [
        (goes_on.as_str(), false, 1),
        (&goes_on, true, 1),
        (&goes_on, false, 2),
        (long, false, 1),
        (long, true, 2),
    ] {
        let (child, reader) = stuck(&["exec", &spec, "--", command], stderr_too).await;
        for _ in 0..signals {
            signal(&child, Signal::TERM);
        }
        let output = said(child).await;
        assert_eq!(output.code, Some(128 + 15), "{command} {signals}");
        drop(reader);
    }
    scene.end().await;
}

#[tokio::test]
async fn a_story_that_nobody_reads_does_not_keep_a_signal_from_ending_it() {
    let long = "x".repeat(900);
    let hosts: Vec<String> = (100..180)
        .map(|n| format!("me@127.0.0.1:1:config=none:batch=yes:name=n{n}{long}"))
        .collect();
    let mut arguments = vec!["ping", "-v"];
    arguments.extend(hosts.iter().map(String::as_str));
    let (child, reader) = stuck(&arguments, true).await;
    signal(&child, Signal::TERM);
    assert_eq!(said(child).await.code, Some(128 + 15));
    drop(reader);
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_at_the_end_does_not_keep_a_signal_from_ending_it() {
    let scene = Scene::new().await;
    let spec = scene.spec("web1");
    let fifo = scene.folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo").success());
    for option in ["--failed-to", "--junit"] {
        let fifo = fifo.display().to_string();
        let arguments = ["exec", &spec, option, &fifo, "--", "echo x"];
        let mut child = program(&arguments).spawn().expect("the program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, stdout.read_line(&mut line)).await;
        read.expect("in time").expect("read");
        signal(&child, Signal::TERM);
        assert_eq!(said(child).await.code, Some(128 + 15), "{option}");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_hangup_that_is_ignored_stays_ignored() {
    let scene = Scene::new().await;
    let spec = scene.spec("web1");
    let (go, code) = (
        scene.folder.path().join("go"),
        "import os, sys, time
print('begun')
sys.stdout.flush()
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
print('done')
",
    );
    let line = "trap '' HUP; exec easycluster run \"$0\" -c \"$1\" -- \"$2\"";
    let mut child = crate::cli::scene::shell(line)
        .args([&spec, code, &go.display().to_string()])
        .spawn()
        .expect("the shell starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
    let mut line = String::new();
    let read = tokio::time::timeout(PATIENCE, stdout.read_line(&mut line)).await;
    read.expect("in time").expect("read");
    signal(&child, Signal::HUP);
    std::fs::write(&go, "").expect("written");
    let lines = tokio::time::timeout(PATIENCE, rest(stdout))
        .await
        .expect("in time");
    assert_eq!(
        (lines, said(child).await.code),
        (vec!["web1 | done\n".to_owned()], Some(0))
    );
    scene.end().await;
}

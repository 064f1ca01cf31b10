//! `easycluster run` where something goes wrong: in the program, on the way, or on the other side.

use crate::cli::scene::{Said, Scene, easycluster};
use crate::support::interpreters;

fn said(stdout: &str, stderr: &str, code: i32) -> Said {
    Said {
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
        code: Some(code),
    }
}

#[tokio::test]
async fn an_exception_is_shown_as_python_shows_it() {
    let scene = Scene::new().await;
    let script = scene.file(
        "check.py",
        "def check():\n    raise ValueError('bad')\n\ncheck()\n",
    );
    let script = script.to_str().expect("path");
    for python in interpreters() {
        // The versions differ in how they mark the place within a line.
        let alone = std::process::Command::new(&python.path)
            .arg(script)
            .output()
            .expect("it starts");
        let expected: String = String::from_utf8_lossy(&alone.stderr)
            .lines()
            .map(|line| format!("web1 ! {line}\n"))
            .collect();
        assert!(
            expected.contains("line 2, in check"),
            "{python:?}: {expected}"
        );
        let spec = format!("{}:rpython={}", scene.spec("web1"), python.to_str());
        assert_eq!(
            easycluster(&["run", &spec, "--", script]).await,
            said("", &expected, 1),
            "{python:?}"
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_has_a_code_of_its_own_and_the_others_run() {
    let scene = Scene::new().await;
    // A port that was free a moment ago and is not listened on.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let port = listener.local_addr().expect("address").port();
    drop(listener);
    let closed = format!("me@127.0.0.1:{port}:config=none:batch=yes:name=gone");
    let output = easycluster(&["run", &scene.spec("web1"), &closed, "-c", "print(1)"]).await;
    assert_eq!(
        (output.stdout.as_str(), output.code),
        ("web1 | 1\n", Some(255))
    );
    let lines: Vec<&str> = output.stderr.lines().collect();
    assert!(
        lines[0].starts_with("error: gone: connect: "),
        "{}",
        output.stderr
    );
    assert!(
        lines.contains(&"error: gone: unreachable (connect)"),
        "{lines:?}"
    );
    let last = lines.last().expect("a line");
    assert!(last.starts_with("2 hosts: 1 ok, 1 unreachable, "), "{last}");
    scene.end().await;
}

#[tokio::test]
async fn a_wrong_value_of_ssh_config_is_blamed_on_where_it_stands() {
    let folder = tempfile::tempdir().expect("folder");
    let config = folder.path().join("config");
    std::fs::write(&config, "ConnectTimeout x\n").expect("file");
    for (options, hint) in [
        (
            "config=none:extra=-o ConnectTimeout=x".to_owned(),
            " hint: fix what the spec or an option -o says\n",
        ),
        (
            format!("config={}", config.display()),
            " hint: fix the ssh_config, or leave it out with config=none\n",
        ),
    ] {
        let spec = format!("me@127.0.0.1:1:name=web1:{options}");
        let output = easycluster(&["run", &spec, "-c", "1"]).await;
        let error =
            format!("error: web1: configure: ConnectTimeout does not take the value 'x'\n{hint}");
        assert_eq!(output, said("", &error, 255), "{options}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_from_a_host_that_is_not_there() {
    let scene = Scene::new().await;
    let other = easycluster::cli::commands::demo::embedded_sshd::generate_ed25519().expect("key");
    let text = other
        .to_openssh(russh::keys::ssh_key::LineEnding::LF)
        .expect("text");
    crate::cli::scene::write_private(&scene.key(), &text);
    let output = easycluster(&["run", &scene.spec("web1"), "-c", "print(1)"]).await;
    assert_eq!((output.stdout.as_str(), output.code), ("", Some(255)));
    assert!(
        output.stderr.starts_with("error: web1: authentication: "),
        "{}",
        output.stderr
    );
    scene.end().await;
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_stopped_and_says_where_it_stood() {
    let scene = Scene::new().await;
    let code = "import time\nprint('begun')\ntime.sleep(600)";
    let output = easycluster(&["run", &scene.spec("web1"), "--timeout", "0.5", "-c", code]).await;
    assert_eq!(
        (output.stdout.as_str(), output.code),
        ("web1 | begun\n", Some(124))
    );
    assert!(
        output.stderr.contains("web1 !     time.sleep(600)\n"),
        "{}",
        output.stderr
    );
    assert!(
        output
            .stderr
            .contains("error: web1: no result within 0.5 s\n"),
        "{}",
        output.stderr
    );
    scene.end().await;
}

#[tokio::test]
async fn a_program_that_lets_nothing_else_run_is_given_up_in_time() {
    let scene = Scene::new().await;
    for code in [
        // Stops the whole process, its threads included.
        "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
        // Holds the interpreter's lock for ages.
        "sum(range(10 ** 11))",
    ] {
        let output =
            easycluster(&["run", &scene.spec("web1"), "--timeout", "0.5", "-c", code]).await;
        assert_eq!((output.stdout.as_str(), output.code), ("", Some(124)));
        assert!(
            output
                .stderr
                .contains("error: web1: no result within 0.5 s\n"),
            "{}",
            output.stderr
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn arguments_need_not_be_utf_8() {
    use std::os::unix::ffi::OsStrExt;
    let scene = Scene::new().await;
    let code = "import os, sys; os.write(1, b'-'.join(map(os.fsencode, sys.argv[1:])) + b'\\n')";
    let spec = scene.spec("web1");
    let mut program = crate::cli::scene::program(&["run", &spec, "--no-prefix", "-c", code, "--"]);
    program
        .arg("ä")
        .arg(std::ffi::OsStr::from_bytes(b"\xff/x"))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let output = program.output().await.expect("the program runs");
    assert_eq!(
        (output.stdout.as_slice(), output.status.code()),
        (&b"\xc3\xa4-\xff/x\n"[..], Some(0)),
        "{output:?}"
    );
    scene.end().await;
}

#[tokio::test]
async fn however_a_program_ends_its_status_and_its_output_are_those_of_a_shell() {
    let scene = Scene::new().await;
    for (code, stdout, stderr, status) in [
        ("import os; os._exit(3)", "", "", 3),
        ("import os; os._exit(0)", "", "", 0),
        (
            "import os; print(1); os.kill(os.getpid(), 9)",
            "web1 | 1\n",
            "",
            137,
        ),
        (
            "import os; print(1); os.kill(os.getpid(), 15)",
            "web1 | 1\n",
            "",
            143,
        ),
        (
            "import os; print(1); os.execvp('sh', ['sh', '-c', 'echo 2; echo 3 >&2; exit 4'])",
            "web1 | 1\nweb1 | 2\n",
            "web1 ! 3\n",
            4,
        ),
        ("import sys; sys.exit(10**30)", "", "", 255),
        ("import sys; sys.exit(-1)", "", "", 255),
        ("import sys; sys.exit('why')", "", "web1 ! why\n", 1),
        (
            "raise KeyboardInterrupt",
            "",
            "web1 ! Traceback (most recent call last):\n\
             web1 !   File \"<string>\", line 1, in <module>\n\
             web1 !     raise KeyboardInterrupt\n\
             web1 ! KeyboardInterrupt\n",
            130,
        ),
        (
            "import sys; sys.excepthook = lambda *info: print(info[0].__name__); 1/0",
            "web1 | ZeroDivisionError\n",
            "",
            1,
        ),
        (
            "import sys; sys.stdout.reconfigure(line_buffering=False)\n\
             print(sys.stdout.line_buffering, sys.stdout.buffer.raw.fileno(), sys.stdout.name)\n\
             sys.stdout.detach().write(b'raw\\n')",
            "web1 | False 1 <stdout>\nweb1 | raw\n",
            "",
            0,
        ),
    ] {
        let output = easycluster(&["run", &scene.spec("web1"), "-c", code]).await;
        assert_eq!(output, said(stdout, stderr, status), "{code}");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_host_that_says_nothing_is_given_up() {
    // It takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let port = silent.local_addr().expect("address").port();
    let spec = format!("me@127.0.0.1:{port}:config=none:batch=yes:name=silent");
    for command in [
        &["run", "-c", "print(1)"][..],
        &["ping"],
        &["exec", "--script", "/dev/null"],
    ] {
        let mut arguments = command.to_vec();
        // Reaching the host is part of it, and takes a busy machine its time.
        arguments.extend(["--connect-timeout", "3", &spec]);
        let output = easycluster(&arguments).await;
        assert_eq!(output.code, Some(255), "{command:?}");
        assert!(
            output.stderr.starts_with("error: silent: "),
            "{}",
            output.stderr
        );
        assert!(
            // As it was given, whatever reaching the host took of it.
            output.stderr.contains("no answer within 3 s"),
            "{}",
            output.stderr
        );
    }
}

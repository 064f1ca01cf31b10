//! `easycluster exec`, and scripts, input, environment and secrets of `exec` and `run`, over SSH.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::cli::scene::{
    Said, Scene, easycluster, easycluster_with_input, program, remote_processes, said, until_gone,
};
use crate::cli::stopping::signal;
use crate::support::{Sshd, SshdOptions, within};
use rustix::process::Signal;

fn outcome(stdout: &str, stderr: &str, code: i32) -> Said {
    Said {
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
        code: Some(code),
    }
}

#[tokio::test]
async fn a_command_runs_on_every_host() {
    let scene = Scene::new().await;
    let (web1, web2) = (scene.spec("web1"), scene.spec("web2"));
    let output = easycluster(&["exec", &web1, &web2, "--", "echo hello | tr a-z A-Z"]).await;
    assert_eq!(output.sorted_stdout(), ["web1 | HELLO", "web2 | HELLO"]);
    assert_eq!(output.code, Some(0));
    assert_eq!(
        easycluster(&[
            "exec", &web1, "--", "printf", "%s\n", "a  b", "$HOME", "it's"
        ])
        .await,
        outcome("web1 | a  b\nweb1 | $HOME\nweb1 | it's\n", "", 0)
    );
    assert_eq!(
        easycluster(&["exec", &web1, "--", "echo out; echo err >&2; exit 42"]).await,
        outcome("web1 | out\n", "web1 ! err\n", 42)
    );
    assert_eq!(
        easycluster(&["exec", &web1, "--", "kill -9 $$"]).await,
        outcome("", "", 137)
    );
    let output = easycluster(&["exec", &web1, &web2, "--", "exit 3"]).await;
    assert_eq!(output.code, Some(1));
    let ended = "web[1-2]: exit status 3 (2 hosts)";
    assert!(output.stderr.contains(ended), "{}", output.stderr);
    scene.end().await;
}

#[tokio::test]
async fn a_host_without_any_python_serves() {
    // Nothing is in PATH there but what the test puts into it.
    let tools = tempfile::tempdir().expect("folder");
    for name in ["sh", "echo", "dd", "cat"] {
        let tool = crate::support::program(name);
        std::os::unix::fs::symlink(tool, tools.path().join(name)).expect("link");
    }
    let server = Sshd::start_with(&SshdOptions {
        environment: vec![("PATH".to_owned(), tools.path().display().to_string())],
        shell: Some("/bin/sh".into()),
        ..SshdOptions::default()
    });
    let spec = format!("{}:name=bare", server.spec());
    let refused = easycluster(&["run", &spec, "-c", "print(1)"]).await;
    assert!(refused.stderr.contains("no Python found"), "{refused:?}");
    assert_eq!(refused.code, Some(255));
    let script = tools.path().join("check");
    std::fs::write(&script, "#!/bin/sh\necho \"checked $1\"\n").expect("script");
    let script = script.to_str().expect("path");
    for arguments in [
        &["exec", &spec, "--", "echo", "checked it"][..],
        &["exec", &spec, "--script", script, "--", "it"],
        &["run", &spec, "--", script, "it"],
        &["run", &spec, "--script", script, "--", "it"],
    ] {
        assert_eq!(
            easycluster(arguments).await,
            outcome("bare | checked it\n", "", 0),
            "{arguments:?}"
        );
    }
    server.wait_until_idle();
}

#[tokio::test]
async fn json_and_hosts_that_cannot_be_reached_are_those_of_run() {
    let scene = Scene::new().await;
    let web1 = scene.spec("web1");
    let dead = "me@127.0.0.1:9:config=none:batch=yes:name=dead";
    let output = easycluster(&["exec", &web1, dead, "--json", "--", "echo one"]).await;
    assert_eq!(output.code, Some(255));
    let events: Vec<Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |host: &str| -> Vec<&Value> {
        let events = events.iter();
        events.filter(|event| event["host"] == host).collect()
    };
    assert_eq!(of("web1")[0]["line"], "one");
    assert_eq!(of("web1")[1]["status"], "ok");
    assert_eq!(of("dead")[0]["status"], "unreachable");
    scene.end().await;
}

const SLEEPS: &str = "trap 'echo cleaned up; exit 9' INT; echo begun; sleep 600 & wait";

#[tokio::test]
async fn ctrl_c_and_a_timeout_end_what_was_started() {
    let scene = Scene::new().await;
    let web1 = scene.spec("web1");
    let mut child = program(&["exec", &web1, "--", SLEEPS])
        .spawn()
        .expect("the program starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
    let mut line = String::new();
    within(stdout.read_line(&mut line)).await.expect("line");
    assert_eq!(line, "web1 | begun\n");
    let remote = remote_processes(scene.server.address().port());
    assert!(remote.len() >= 2, "{remote:?}");
    signal(&child, Signal::INT);
    line.clear();
    within(stdout.read_line(&mut line)).await.expect("line");
    assert_eq!(line, "web1 | cleaned up\n");
    assert_eq!(said(child).await.code, Some(130));
    for pid in remote {
        until_gone(&pid).await;
    }
    let output = easycluster(&["exec", &web1, "--timeout", "0.5", "--", "sleep 600; true"]).await;
    assert_eq!(output.code, Some(124));
    assert!(
        output.stderr.contains("web1: no result within 0.5 s"),
        "{output:?}"
    );
    scene.end().await;
}

#[tokio::test]
async fn a_kill_of_ours_leaves_nothing_running_at_a_real_sshd() {
    let server = Sshd::start();
    let spec = format!("{}:name=web1", server.spec());
    // With an input that the command does not take, too.
    for input in [false, true] {
        let mut arguments = vec!["exec", spec.as_str()];
        if input {
            arguments.extend(["--stdin", "all"]);
        }
        arguments.extend(["--", "trap '' HUP; echo begun; sleep 601; true"]);
        let mut child = program(&arguments)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("stdin");
        if input {
            within(stdin.write_all(&vec![b'x'; 1 << 20]))
                .await
                .expect("write");
        }
        drop(stdin);
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
        let mut line = String::new();
        within(stdout.read_line(&mut line)).await.expect("line");
        assert_eq!(line, "web1 | begun\n");
        child.kill().await.expect("kill");
        server.wait_until_idle();
    }
}

#[tokio::test]
async fn stdin_goes_to_one_or_to_all_or_to_nobody() {
    let scene = Scene::new().await;
    let (web1, web2) = (scene.spec("web1"), scene.spec("web2"));
    let reads = "import sys; print(sys.stdin.read().upper())";
    for (command, tail) in [("exec", &["--", "tr a-z A-Z"][..]), ("run", &["-c", reads])] {
        let with = |options: &[&'static str]| -> Vec<String> {
            let words = [command].into_iter().chain(options.iter().copied());
            words
                .chain(tail.iter().copied())
                .map(str::to_owned)
                .collect()
        };
        let run = async |hosts: &[&str], options: &[&'static str]| {
            let mut words = with(options);
            let hosts = hosts.iter().map(|host| (*host).to_owned());
            words.splice(1..1, hosts);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            easycluster_with_input(&words, "text").await
        };
        let output = run(&[&web1, &web2], &["--stdin", "all"]).await;
        assert_eq!(
            output.sorted_stdout(),
            ["web1 | TEXT", "web2 | TEXT"],
            "{output:?}"
        );
        let output = run(&[&web1], &["--stdin", "one"]).await;
        assert_eq!(output.stdout, "web1 | TEXT\n", "{command}");
        for none in [&[][..], &["--stdin", "none"]] {
            let output = run(&[&web1], none).await;
            assert_eq!(
                output.stdout.trim_end(),
                if command == "run" { "web1 |" } else { "" }
            );
            assert_eq!(output.code, Some(0));
        }
        let output = run(&[&web1, &web2], &["--stdin", "one"]).await;
        assert_eq!(output.code, Some(2));
        assert!(output.stderr.contains("--stdin all"), "{}", output.stderr);
    }
    // More than a pipe holds, and as it comes.
    let large = "x".repeat(300_000);
    let count = "import sys; print(len(sys.stdin.read()))";
    let arguments = ["run", &web1, "--stdin", "all", "-c", count];
    let output = easycluster_with_input(&arguments, &large).await;
    assert_eq!(output.stdout, "web1 | 300000\n");
    let mut child = program(&[
        "exec",
        &web1,
        "--stdin",
        "one",
        "--",
        "while read x; do echo $x; done",
    ])
    .stdin(std::process::Stdio::piped())
    .spawn()
    .expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
    for word in ["one", "two"] {
        stdin
            .write_all(format!("{word}\n").as_bytes())
            .await
            .expect("write");
        let mut line = String::new();
        within(stdout.read_line(&mut line)).await.expect("line");
        assert_eq!(line, format!("web1 | {word}\n"));
    }
    drop(stdin);
    assert_eq!(said(child).await.code, Some(0));
    scene.end().await;
}

#[tokio::test]
async fn a_stdin_that_cannot_be_read_is_no_end_of_it() {
    let scene = Scene::new().await;
    let web1 = scene.spec("web1");
    for (command, tail) in [
        ("exec", ["--", "cat; echo all"]),
        ("run", ["-c", "import sys; sys.stdin.read(); print('all')"]),
    ] {
        for which in ["one", "all"] {
            let words = [&[command, &web1, "--stdin", which][..], &tail].concat();
            let folder = std::fs::File::open(scene.folder.path()).expect("a folder");
            let output = said(program(&words).stdin(folder).spawn().expect("it starts")).await;
            assert_eq!(
                (output.stdout.as_str(), output.code),
                ("", Some(1)),
                "{output:?}"
            );
            assert!(output.stderr.contains("cannot read stdin"), "{output:?}");
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn folder_and_place_are_known_there() {
    let scene = Scene::new().await;
    let (web1, web2) = (scene.spec("web1"), scene.spec("web2"));
    let line = "echo $EASYCLUSTER_HOST $EASYCLUSTER_NUMBER $EASYCLUSTER_COUNT; pwd";
    let code = "import os; print(' '.join(os.environ['EASYCLUSTER_' + n] for n in ('HOST', 'NUMBER', 'COUNT'))); print(os.getcwd())";
    for tail in [["--", line], ["-c", code]] {
        let command = if tail[0] == "-c" { "run" } else { "exec" };
        let arguments = [
            &[command, &web1, &web2, "--no-prefix", "--cwd", "/usr"][..],
            &tail,
        ]
        .concat();
        let output = easycluster(&arguments).await;
        assert_eq!(
            output.sorted_stdout(),
            ["/usr", "/usr", "web1 0 2", "web2 1 2"],
            "{output:?}"
        );
        let arguments = [&[command, &web1, "--cwd", "/no/where"][..], &tail].concat();
        let output = easycluster(&arguments).await;
        assert_eq!(output.code, Some(125), "{output:?}");
        assert!(output.stderr.contains("/no/where"), "{}", output.stderr);
    }
    scene.end().await;
}

#[tokio::test]
async fn a_module_of_the_hosts_runs() {
    let scene = Scene::new().await;
    let web1 = scene.spec("web1");
    let folder = tempfile::tempdir().expect("folder");
    let code = "import sys\nprint(__name__, sys.argv[1:])\nsys.exit(4)\n";
    std::fs::write(folder.path().join("own.py"), code).expect("module");
    let folder = folder.path().to_str().expect("path");
    let output = easycluster(&["run", &web1, "--cwd", folder, "-m", "own", "--", "x"]).await;
    assert_eq!(output, outcome("web1 | __main__ ['x']\n", "", 4));
    let output = easycluster(&["run", &web1, "-m", "no_such_module"]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains("no_such_module"),
        "{}",
        output.stderr
    );
    scene.end().await;
}

#[tokio::test]
async fn a_secret_is_seen_by_the_program_alone() {
    let scene = Scene::new().await;
    let web1 = scene.spec("web1");
    let (token, level) = ("s3cret-t0ken", "debug!x");
    // What ps shows of every process while it runs, and the secret in pieces, on both streams and in a traceback.
    let shell = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; done 2>/dev/null | grep -c s3cret-t0k[e]n; \
                 printf s3cre; sleep 0.2; echo t-t0ken; echo $TOKEN $LEVEL >&2; test ${#TOKEN} = 12 && echo right";
    let python = "import os, subprocess, sys, time\n\
                  told = [open('/proc/%s/cmdline' % p).read() for p in os.listdir('/proc') if p.isdigit() and os.path.exists('/proc/%s/cmdline' % p)]\n\
                  print(len([line for line in told if 's3cret-' + 't0ken' in line]))\n\
                  sys.stdout.write('s3cre'); sys.stdout.flush(); time.sleep(0.2); print('t-t0ken')\n\
                  sys.stderr.write('%s %s\\n' % (os.environ['TOKEN'], os.environ['LEVEL']))\n\
                  print('right' if len(os.environ['TOKEN']) == 12 else 'wrong')\n";
    for (command, tail) in [("exec", ["--", shell]), ("run", ["-c", python])] {
        let options = [command, &web1, "--secret", "TOKEN", "--env", "LEVEL"];
        for json in [false, true] {
            let format: &[&str] = if json { &["--json"] } else { &[] };
            let arguments = [&options[..], format, &tail].concat();
            let child = program(&arguments)
                .env("TOKEN", token)
                .env("LEVEL", level)
                .spawn()
                .expect("the program starts");
            let output = said(child).await;
            let all = format!("{}{}", output.stdout, output.stderr);
            assert_eq!(output.code, Some(0), "{all}");
            assert!(!all.contains(token) && !all.contains(level), "{all}");
            assert!(all.contains("right"), "{all}");
            if !json {
                assert_eq!(output.stdout, "web1 | 0\nweb1 | ***\nweb1 | right\n");
                assert_eq!(output.stderr, "web1 ! *** ***\n");
            }
        }
    }
    let fails = "import os; raise ValueError('it is ' + os.environ['TOKEN'])";
    let child = program(&["run", &web1, "--secret", "TOKEN", "-c", fails])
        .env("TOKEN", token)
        .spawn();
    let output = said(child.expect("the program starts")).await;
    assert!(output.stderr.contains("it is ***"), "{}", output.stderr);
    assert!(!output.stderr.contains(token), "{}", output.stderr);
    let given = easycluster(&["exec", &web1, "--env", "A=b c=d", "--", "echo $A"]).await;
    assert_eq!(given.stdout, "web1 | ***\n");
    for (arguments, hint) in [
        (
            ["--env", "NO_SUCH_VARIABLE"],
            "--env NO_SUCH_VARIABLE=VALUE",
        ),
        (["--secret", "NO_SUCH_VARIABLE"], "export NO_SUCH_VARIABLE"),
        (["--secret", "TOKEN=hunter2"], "give its name"),
        (["--env", "A-B=c"], "letters, digits and _"),
    ] {
        let output =
            easycluster(&[&["exec", &web1][..], &arguments, &["--", "true"]].concat()).await;
        assert_eq!(output.code, Some(2));
        assert!(output.stderr.contains(hint), "{}", output.stderr);
        assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    }
    scene.end().await;
}

#[tokio::test]
async fn a_script_on_stdin_and_one_for_another_interpreter_run() {
    let scene = Scene::new().await;
    let web1 = scene.spec("web1");
    let script = "#!/bin/sh\nread x\necho \"$0\" \"$1\" \"$x\"\n";
    for arguments in [
        &["run", &web1, "--", "-", "a b"][..],
        &["exec", &web1, "--script", "-", "--", "a b"],
    ] {
        let output = easycluster_with_input(arguments, script).await;
        assert_eq!(output, outcome("web1 | /dev/fd/9 a b \n", "", 0));
        let arguments = [&arguments[..2], &["--stdin", "all"], &arguments[2..]].concat();
        let output = easycluster_with_input(&arguments, script).await;
        assert_eq!(output.code, Some(2));
        assert!(output.stderr.contains("the script"), "{}", output.stderr);
    }
    let perl = scene.file(
        "sum",
        "#!/usr/bin/env -S perl -w\nprint \"$ARGV[0]!\\n\"; print <STDIN>;",
    );
    let perl = perl.to_str().expect("path");
    let arguments = ["run", &web1, "--stdin", "all", "--", perl, "x"];
    let output = easycluster_with_input(&arguments, "in\n").await;
    assert_eq!(output, outcome("web1 | x!\nweb1 | in\n", "", 0));
    scene.end().await;
}

/// What is typed by habit, and the line that does what was meant, which the error names.
#[tokio::test]
async fn every_other_way_to_type_it_leads_to_the_right_line() {
    let script = tempfile::Builder::new()
        .suffix(".sh")
        .tempfile_in(".")
        .expect("file");
    let script = script
        .path()
        .file_name()
        .expect("name")
        .to_str()
        .expect("text")
        .to_owned();
    for (typed, right) in [
        (
            &["run", "web1", "uptime"][..],
            "easycluster exec web1 -- uptime",
        ),
        (
            &["run", "web1", "web2", "ls", "-a"],
            "easycluster exec web1 web2 -- ls -a",
        ),
        (
            &["run", "web1", "web2", "uptime"],
            "easycluster exec web1 web2 -- uptime",
        ),
        (
            &["run", "web1", "--", "uptime"],
            "easycluster exec web1 -- uptime",
        ),
        (
            &["run", "web1", "--", "df", "-h", "/my dir"],
            "easycluster exec web1 -- df -h '/my dir'",
        ),
        (
            &["run", "web1", "-c", "uptime"],
            "easycluster exec web1 -- uptime",
        ),
        (
            &["run", "web1", "-c", "df -h | tail -1"],
            "easycluster exec web1 -- 'df -h | tail -1'",
        ),
        (&["run", "web1"], "easycluster exec web1 -- COMMAND"),
        (
            &["exec", "web1", "-c", "ps aux"],
            "easycluster exec web1 -- 'ps aux'",
        ),
        (
            &["exec", "web1", "uptime"],
            "easycluster exec web1 -- uptime",
        ),
        (
            &["exec", "web1", "web2", "ps aux"],
            "easycluster exec web1 web2 -- 'ps aux'",
        ),
        (&["exec", "web1"], "easycluster exec web1 -- COMMAND"),
        (&["exec", "--", "uptime"], "no host is given"),
        (
            &["exec", "web1", "--", &script],
            &format!("easycluster exec web1 --script {script}"),
        ),
    ] {
        let output = easycluster(typed).await;
        assert_eq!(
            (output.stdout.as_str(), output.code),
            ("", Some(2)),
            "{typed:?}"
        );
        assert!(
            output.stderr.contains(right),
            "{typed:?}: {}",
            output.stderr
        );
    }
}

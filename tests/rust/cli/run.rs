//! `easycluster run` over real SSH: output, exit codes, errors.

use serde_json::Value;

use crate::cli::scene::{Said, Scene, easycluster, easycluster_with_input, program};
use crate::support::{Sshd, interpreters};

fn said(stdout: &str, stderr: &str, code: i32) -> Said {
    Said {
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
        code: Some(code),
    }
}

#[tokio::test]
async fn output_is_prefixed_and_the_streams_are_told_apart() {
    let scene = Scene::new().await;
    let code = "import sys\nprint('one')\nsys.stderr.write('two\\n')\nprint('three')";
    assert_eq!(
        easycluster(&["run", &scene.spec("web1"), "-c", code]).await,
        said("web1 | one\nweb1 | three\n", "web1 ! two\n", 0)
    );
    scene.end().await;
}

#[tokio::test]
async fn many_hosts_at_once_and_no_line_is_torn() {
    let scene = Scene::new().await;
    let names = ["a", "bb", "ccc", "dddd"];
    let specs: Vec<String> = names.iter().map(|name| scene.spec(name)).collect();
    let code = "\
import sys
for n in range(200):
    sys.stdout.write('%d ' % n)
    sys.stdout.flush()
    sys.stdout.write('x' * 500 + '\\n')
";
    let mut arguments = vec!["run"];
    arguments.extend(specs.iter().map(String::as_str));
    arguments.extend(["-q", "-c", code]);
    let output = easycluster(&arguments).await;
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(0)));
    for name in names {
        let prefix = format!("{name:4} | ");
        let lines: Vec<&str> = output
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix(&prefix))
            .collect();
        let expected: Vec<String> = (0..200)
            .map(|n| format!("{n} {}", "x".repeat(500)))
            .collect();
        assert_eq!(lines, expected, "{name}");
    }
    assert_eq!(output.stdout.lines().count(), 800);
    scene.end().await;
}

#[tokio::test]
async fn one_host_gives_its_exit_status_and_several_give_one() {
    let scene = Scene::new().await;
    let (web1, web2) = (scene.spec("web1"), scene.spec("web2"));
    let exit = "import sys; sys.exit(42)";
    assert_eq!(
        easycluster(&["run", &web1, "-c", exit]).await,
        said("", "", 42)
    );
    assert_eq!(
        easycluster(&["run", &web1, "-c", "import sys; sys.exit('no more')"]).await,
        said("", "web1 ! no more\n", 1)
    );
    assert_eq!(
        easycluster(&["run", "-q", &web1, &web2, "-c", exit]).await,
        said("", "", 1)
    );
    scene.end().await;
}

#[tokio::test]
async fn a_script_gets_its_arguments_and_runs_as_main() {
    let scene = Scene::new().await;
    let script = scene.file(
        "show.py",
        "import sys\nif __name__ == '__main__':\n    print(sys.argv[1:])\n    print(repr(sys.stdin.read()))\n",
    );
    let script = script.to_str().expect("path");
    let spec = scene.spec("web1");
    assert_eq!(
        easycluster(&[
            "run",
            &spec,
            "--no-prefix",
            "--",
            script,
            "--fast",
            "-c",
            "ü"
        ])
        .await,
        said("['--fast', '-c', 'ü']\n''\n", "", 0)
    );
    for arguments in [&["run", &spec, "--", "-"][..], &["run", &spec, "-"]] {
        assert_eq!(
            easycluster_with_input(arguments, "print(6 * 7)\n").await,
            said("web1 | 42\n", "", 0)
        );
    }
    assert_eq!(
        easycluster(&[
            "run",
            &spec,
            "-c",
            "import sys; print(sys.argv)",
            "--",
            "x",
            "-y"
        ])
        .await,
        said("web1 | ['-c', 'x', '-y']\n", "", 0)
    );
    scene.end().await;
}

#[tokio::test]
async fn one_host_without_prefix_gives_the_bytes_as_they_are() {
    let scene = Scene::new().await;
    let code = "import os; os.write(1, b'no end')";
    assert_eq!(
        easycluster(&["run", &scene.spec("web1"), "--no-prefix", "-c", code]).await,
        said("no end", "", 0)
    );
    scene.end().await;
}

#[tokio::test]
async fn what_child_processes_and_exit_handlers_print_is_not_lost() {
    let scene = Scene::new().await;
    let code = "\
import atexit, os, sys, threading, time
atexit.register(lambda: (sys.stdout.write('at exit\\n'), sys.stdout.flush()))
def later():
    time.sleep(0.3)
    print('thread')
threading.Thread(target=later).start()
sys.stdout.flush()
os.system('echo child; echo child error >&2')
";
    let output = easycluster(&["run", &scene.spec("web1"), "-c", code]).await;
    assert_eq!(
        output.sorted_stdout(),
        ["web1 | at exit", "web1 | child", "web1 | thread"]
    );
    assert_eq!(
        (output.stderr.as_str(), output.code),
        ("web1 ! child error\n", Some(0))
    );
    scene.end().await;
}

#[tokio::test]
async fn a_hundred_megabytes_in_one_piece_come_through() {
    let scene = Scene::new().await;
    let code = "import sys; sys.stdout.write(('x' * 999 + '\\n') * 100000)";
    let output = easycluster(&["run", &scene.spec("web1"), "--no-prefix", "-c", code]).await;
    assert_eq!((output.stdout.len(), output.code), (100_000_000, Some(0)));
    scene.end().await;
}

#[tokio::test]
async fn json_has_a_line_for_each_line_and_for_each_end() {
    let scene = Scene::new().await;
    let code = "import sys; print('out'); sys.stderr.write('err\\n'); sys.exit(3)";
    let output = easycluster(&["run", &scene.spec("web1"), "--json", "-c", code]).await;
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(3)));
    let mut events: Vec<Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let end = events.pop().expect("an end");
    assert_eq!(end["event"], "end");
    assert_eq!(end["host"], "web1");
    assert_eq!(end["status"], "failed");
    assert_eq!(end["exit_status"], 3);
    assert_eq!(end["error"], Value::Null);
    assert!(end["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    let mut lines: Vec<_> = events
        .iter()
        .map(|event| (event["stream"].as_str(), event["line"].as_str()))
        .collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [(Some("stderr"), Some("err")), (Some("stdout"), Some("out"))]
    );
    scene.end().await;
}

#[tokio::test]
async fn hosts_come_from_a_file_and_equal_ones_get_numbers() {
    let scene = Scene::new().await;
    let spec = scene.spec("web");
    let hosts = scene.file(
        "hosts",
        &format!("# all\n{spec}\n\n{spec}\n{spec}:compress=yes\n"),
    );
    let output = easycluster(&[
        "run",
        "-f",
        hosts.to_str().expect("path"),
        "-j",
        "1",
        "-c",
        "print(1)",
    ])
    .await;
    assert_eq!(output.sorted_stdout(), ["web   | 1", "web#2 | 1"]);
    assert_eq!(output.code, Some(0));
    let twice = "line 4: web is named more than once, and counts once";
    assert!(output.stderr.contains(twice), "{}", output.stderr);
    scene.end().await;
}

#[tokio::test]
async fn hosts_come_from_stdin() {
    let scene = Scene::new().await;
    let hosts = format!("{}  # one\n{}\n", scene.spec("web1"), scene.spec("web2"));
    let output = easycluster_with_input(&["run", "-f", "-", "-c", "print(1)"], &hosts).await;
    assert_eq!(output.sorted_stdout(), ["web1 | 1", "web2 | 1"]);
    assert_eq!(output.code, Some(0));
    scene.end().await;
}

#[tokio::test]
async fn output_that_cannot_be_written_is_an_error() {
    let scene = Scene::new().await;
    let spec = scene.spec("web1");
    for arguments in [&["run", &spec, "-c", "print(1)"][..], &["ping", &spec]] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .expect("the device that is always full");
        let child = program(arguments)
            .stdin(std::process::Stdio::null())
            .stdout(full)
            .spawn()
            .expect("the program starts");
        let output = crate::cli::scene::said(child).await;
        assert_eq!(
            (output.stderr.as_str(), output.code),
            (
                "error: cannot write the output: No space left on device (os error 28)\n",
                Some(1)
            ),
            "{arguments:?}"
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn a_standard_output_that_is_closed_is_an_error_and_other_closed_streams_are_not() {
    let scene = Scene::new().await;
    let spec = scene.spec("web1");
    let through_shell = |closed: &str, arguments: &[&str]| {
        let mut shell = tokio::process::Command::new("/bin/sh");
        shell
            .arg("-c")
            .arg(format!("exec \"$0\" \"$@\" {closed}"))
            .arg(env!("CARGO_BIN_EXE_easycluster"))
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        shell.spawn().expect("the shell starts")
    };
    let run = ["run", &spec, "-c", "print(1)"];
    for arguments in [
        &run[..],
        &["exec", &spec, "--", "echo 1"],
        &["ping", &spec],
        &["ping", "-v", &spec],
        &["hosts", "web1"],
        &["--help"],
        &["completions", "bash"],
    ] {
        for closed in [">&-", "<&- >&-"] {
            let output = crate::cli::scene::said(through_shell(closed, arguments)).await;
            assert_eq!(
                (output.stderr.as_str(), output.code),
                (
                    "error: cannot write the output: standard output is closed\n hint: redirect it to a file, or to /dev/null where you do not want it\n",
                    Some(1)
                ),
                "{arguments:?} {closed}"
            );
        }
    }
    for closed in ["<&-", "2>&-", "<&- 2>&-"] {
        let output = crate::cli::scene::said(through_shell(closed, &run)).await;
        assert_eq!(
            (output.stdout.as_str(), output.code),
            ("web1 | 1\n", Some(0)),
            "{closed}"
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn no_more_hosts_than_allowed_are_at_work_at_once() {
    let scene = Scene::new().await;
    let (web1, web2) = (scene.spec("web1"), scene.spec("web2"));
    // Each counts those that are there. Two that may be there at once wait for each other.
    let marks = tempfile::tempdir().expect("folder");
    let code = format!(
        "\
import os, sys, time
folder = '{}'
mark = os.path.join(folder, str(os.getpid()))
print(len(os.listdir(folder)))
open(mark, 'w').close()
if 'meet' in sys.argv:
    while len(os.listdir(folder)) < 2:
        time.sleep(0.01)
else:
    time.sleep(0.3)
    os.remove(mark)
",
        marks.path().display()
    );
    let script = scene.file("come.py", &code);
    let script = script.to_str().expect("path");
    let run = ["run", "-q", &web1, &web2, "--no-prefix", "-j"];
    let output = easycluster(&[&run[..], &["1", "--", script]].concat()).await;
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(0)));
    assert_eq!(output.stdout, "0\n0\n");
    let output = easycluster(&[&run[..], &["2", "--", script, "meet"]].concat()).await;
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(0)));
    scene.end().await;
}

#[tokio::test]
async fn every_interpreter_of_this_machine_runs_programs() {
    let scene = Scene::new().await;
    for python in interpreters() {
        let spec = format!("{}:rpython={}", scene.spec("web1"), python.to_str());
        let code = "import sys; print('%d.%d' % sys.version_info[:2]); sys.exit(5)";
        let (major, minor) = python.version;
        assert_eq!(
            easycluster(&["run", &spec, "-c", code]).await,
            said(&format!("web1 | {major}.{minor}\n"), "", 5),
            "{python:?}"
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn an_installed_sshd_serves_as_well() {
    let server = Sshd::start();
    let spec = format!("{}:name=real", server.spec());
    assert_eq!(
        easycluster(&["run", &spec, "-c", "print(1)"]).await,
        said("real | 1\n", "", 0)
    );
    server.wait_until_idle();
}

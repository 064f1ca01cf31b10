//! Reports for continuous integration: JUnit, and the logs of GitHub Actions and GitLab, which nothing that a host prints can command.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::cli::scene::{Said, Scene, easycluster, program, said};
use crate::support::interpreter_at_least;

/// The test cases of a JUnit file, read by a parser that is not ours.
const READ_JUNIT: &str = "\
import json, sys
import xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == 'testsuites', root.tag
suites = [dict(suite.attrib) for suite in root]
cases = []
for case in root.iter('testcase'):
    found = dict(case.attrib)
    for child in case:
        found[child.tag] = [dict(child.attrib), child.text]
    cases.append(found)
json.dump([suites, cases], sys.stdout)
";

fn read_junit(file: &Path) -> Value {
    let output = std::process::Command::new(&interpreter_at_least((3, 6)).path)
        .args(["-c", READ_JUNIT])
        .arg(file)
        .output()
        .expect("Python runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr}"))
}

fn gone() -> String {
    "me@127.0.0.1:1:config=none:batch=yes:name=db".to_owned()
}

#[tokio::test]
async fn junit_has_a_case_for_each_host() {
    let scene = Scene::new().await;
    let (web1, web2, gone) = (scene.spec("web1"), scene.spec("<web&2>"), gone());
    let file = scene.folder.path().join("junit.xml");
    let name = file.display().to_string();
    let mark = scene.folder.path().join("mark").display().to_string();
    let code = "\
import os, sys
sys.stdout.write(']]> <&\\x00\\x1b[31mred\\n')
sys.stderr.write('x' * 200000 + 'the end\\n')
try:
    os.mkdir(sys.argv[1])
except OSError:
    sys.exit(7)
";
    let output = easycluster(&[
        "run", "-j", "1", &web1, &web2, &gone, "--junit", &name, "-c", code, "--", &mark,
    ])
    .await;
    assert_eq!(output.code, Some(255));
    let read = read_junit(&file);
    assert_eq!(read[0][0]["name"], "easycluster run");
    assert_eq!(read[0][0]["tests"], "3");
    assert_eq!(read[0][0]["failures"], "1");
    assert_eq!(read[0][0]["errors"], "1");
    let cases = &read[1];
    assert_eq!(cases[0]["name"], "web1");
    assert_eq!(cases[0].get("failure"), None);
    assert_eq!(cases[0]["system-out"][1], "]]> <&\\u{0}\\u{1b}[31mred\n");
    let long = cases[0]["system-err"][1].as_str().expect("text");
    assert!(long.len() < 66_000, "{}", long.len());
    assert!(long.starts_with("xxx") && long.ends_with("xxthe end\n"));
    assert!(long.contains(" bytes are left out here ...]\n"));
    assert_eq!(cases[1]["name"], "<web&2>");
    assert_eq!(cases[1]["failure"][0]["message"], "exit status 7");
    assert_eq!(cases[2]["name"], "db");
    let error = &cases[2]["error"][0];
    assert_eq!(error["type"], "unreachable");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("db: connect: ")),
        "{error}"
    );
    // For `ping` as well.
    let output = easycluster(&["ping", &web1, &gone, "--junit", &name]).await;
    assert_eq!(output.code, Some(255));
    let read = read_junit(&file);
    assert_eq!(read[0][0]["name"], "easycluster ping");
    assert_eq!(read[1][1]["error"][0]["type"], "unreachable");
    scene.end().await;
}

/// What the program says in the environment of a job.
async fn in_a_job(job: &[(&str, &str)], arguments: &[&str]) -> Said {
    let mut command = program(arguments);
    command.stdin(Stdio::null()).envs(job.iter().copied());
    said(command.spawn().expect("the program starts")).await
}

/// Prints what would command a log, in one piece and cut at every byte, behind everything that may begin a line.
const FORGES: &str = "\
import os, sys, time
marks = [
    b'::error::forged',
    b'::stop-commands::x',
    b'##[error]forged',
    b'\\x1b[0Ksection_start:1:forged\\r\\x1b[0K',
    b'\\x1b[0Ksection_end:1:easycluster_run_0\\r\\x1b[0K',
    b'section_end:1:forged\\r\\n',
]
starts = [b'', b'\\n', b'\\r', b'x\\r', b'x\\r\\n', b'  ', b'\\x1b[0m', b'\\x0b', b'\\x0c', b'\\xc2\\x85', b'\\xe2\\x80\\xa8',
          b'\\xef\\xbb\\xbf', b'\\x00', b'x' * 65536, b'x' * 65535]
for fd in (1, 2):
    for mark in marks:
        for start in starts:
            os.write(fd, start + mark + b'\\n')
        for byte in marks[0]:
            os.write(fd, bytes(bytearray([byte])))
            time.sleep(0.001)
        os.write(fd, b'\\n')
sys.exit(int(sys.argv[1]))
";

/// The lines that a runner reads: .NET, Go and Ruby end them at different characters.
fn runner_lines(text: &str) -> Vec<&str> {
    let ends = [
        '\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}',
    ];
    // One character after the other: the texts are large, and each by itself is searched for much faster than one of several.
    ends.into_iter().fold(vec![text], |lines, end| {
        lines.into_iter().flat_map(|line| line.split(end)).collect()
    })
}

/// The commands of GitHub's runner in a text, as it finds them.
fn github_commands(text: &str) -> Vec<&str> {
    runner_lines(text)
        .into_iter()
        .filter(|line| {
            let start = line.trim_start_matches(|c: char| {
                c.is_whitespace() || c.is_control() || c == '\u{feff}'
            });
            start.starts_with("::") || line.contains("##[")
        })
        .collect()
}

#[tokio::test]
async fn github_folds_each_host_and_hosts_forge_nothing() {
    let scene = Scene::new().await;
    let (web1, web2, gone) = (scene.spec("web1"), scene.spec("web2"), gone());
    let summary = scene.file("summary.md", "before\n");
    let summary = summary.display().to_string();
    let job = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_STEP_SUMMARY", summary.as_str()),
    ];
    let output = in_a_job(
        &job,
        &["run", "-j", "1", &web1, &gone, "-c", FORGES, "--", "3"],
    )
    .await;
    assert_eq!(output.code, Some(255));
    let commands = github_commands(&output.stdout);
    assert_eq!(commands.len(), 6, "{commands:?}");
    assert!(commands[0].starts_with("::group::web1: exit status 3, "));
    assert_eq!(commands[1], "::endgroup::");
    assert_eq!(commands[2], "::error title=web1::web1: exit status 3");
    assert!(commands[3].starts_with("::group::db: unreachable (connect), "));
    assert!(
        commands[5].starts_with("::error title=db::db: connect: ")
            && commands[5].contains("%0Ahint: "),
        "{}",
        commands[5]
    );
    assert_eq!(
        github_commands(&output.stderr),
        Vec::<&str>::new(),
        "{}",
        output.stderr
    );
    let written = std::fs::read_to_string(&summary).expect("there");
    assert!(
        written.starts_with("before\n### easycluster run\n\n2 hosts: 1 failed, 1 unreachable, ")
    );
    assert!(written.contains("\n| web1 | exit status 3 | "), "{written}");
    assert!(
        written.contains("\n| db | db&#58; connect&#58; "),
        "{written}"
    );
    // Everything is there, and can be read.
    assert!(
        output.stdout.contains("web1 | :\\:error::forged")
            || output.stdout.contains("web1 | ::error::forged")
    );
    // The forms that have no parts forge nothing either.
    for form in [
        &["--no-prefix"][..],
        &["--no-prefix", "--gather"],
        &["--gather"],
        &["--json"],
        &["--ci", "off"],
        &["--ci", "gitlab"],
    ] {
        let arguments = [
            &["run", &web1, &web2, "-q"],
            form,
            &["-c", FORGES, "--", "0"],
        ]
        .concat();
        let output = in_a_job(&job, &arguments).await;
        assert_eq!(output.code, Some(0), "{form:?}");
        let found = [&output.stdout, &output.stderr].map(|text| github_commands(text).len());
        assert_eq!(
            found,
            [0, 0],
            "{form:?}: {:?}",
            github_commands(&output.stdout)
        );
        let alone = [&["run", &web1], form, &["-c", FORGES, "--", "0"]].concat();
        let output = in_a_job(&job, &alone).await;
        let found = [&output.stdout, &output.stderr].map(|text| github_commands(text).len());
        assert_eq!(
            found,
            [0, 0],
            "{form:?}: {:?}",
            github_commands(&output.stdout)
        );
    }
    scene.end().await;
}

/// What JSON says is what was printed, also where a log would take commands out of it.
#[tokio::test]
async fn json_in_a_job_reads_as_everywhere() {
    let scene = Scene::new().await;
    let web1 = scene.spec("web1");
    let code = "print('##[error]x section_end:1:y')";
    let output = in_a_job(
        &[("GITLAB_CI", "true")],
        &["run", &web1, "--json", "-c", code],
    )
    .await;
    assert!(!output.stdout.contains("section_end:") && !output.stdout.contains("##["));
    let event: Value =
        serde_json::from_str(output.stdout.lines().next().expect("a line")).expect("JSON");
    assert_eq!(event["line"], "##[error]x section_end:1:y");
    scene.end().await;
}

#[tokio::test]
async fn gitlab_folds_each_host_and_hosts_forge_nothing() {
    let scene = Scene::new().await;
    let (web1, gone) = (scene.spec("web1"), gone());
    let job = [("GITLAB_CI", "true")];
    for (status, folded) in [("0", "[collapsed=true]"), ("3", "")] {
        let arguments = ["run", "-j", "1", &web1, &gone, "-c", FORGES, "--", status];
        let output = in_a_job(&job, &arguments).await;
        assert_eq!(output.code, Some(255));
        let marks: Vec<&str> = output
            .stdout
            .split('\n')
            .filter(|line| line.contains("section_start:") || line.contains("section_end:"))
            .collect();
        assert_eq!(marks.len(), 4, "{marks:?}");
        assert!(marks[0].starts_with("\u{1b}[0Ksection_start:"), "{marks:?}");
        assert!(
            marks[0].contains(&format!(":easycluster_run_0{folded}\r\u{1b}[0Kweb1: ")),
            "{marks:?}"
        );
        assert!(
            marks[1].starts_with("\u{1b}[0Ksection_end:")
                && marks[1].contains(":easycluster_run_0\r")
        );
        assert!(marks[2].contains(":easycluster_run_1\r"));
        for (number, mark) in marks.iter().enumerate() {
            assert_eq!(mark.matches("section_").count(), 1, "{number}: {mark:?}");
        }
        assert!(
            !output.stderr.contains("section_start:") && !output.stderr.contains("section_end:")
        );
    }
    for (colour, error) in [
        ("", "\n\u{1b}[31merror:\u{1b}[0m db: "),
        ("1", "\nerror: db: "),
    ] {
        let job = [("GITLAB_CI", "true"), ("NO_COLOR", colour)];
        let output = in_a_job(&job, &["run", &gone, "-c", "1"]).await;
        assert!(output.stdout.contains(error), "{colour:?}: {output:?}");
    }
    scene.end().await;
}

/// What a server prints before there is a Python stands in an error message, in lines of its own.
#[tokio::test]
async fn what_is_quoted_in_errors_forges_nothing() {
    let scene = Scene::new().await;
    let python = scene.folder.path().join("python");
    crate::support::write_program(
        &python,
        "#!/bin/sh\nprintf 'a\\n::error::forged\\n  ::x::y\\n##[error]z\\nsection_end:1:x\\r\\n' >&2\nexit 1\n",
    );
    let spec = format!("{}:rpython={}", scene.spec("web1"), python.display());
    for job in ["GITHUB_ACTIONS", "GITLAB_CI"] {
        for arguments in [&["ping", &spec][..], &["run", &spec, "--gather", "-c", "1"]] {
            let output = in_a_job(&[(job, "true")], arguments).await;
            assert_eq!(output.code, Some(255));
            assert_eq!(github_commands(&output.stdout), Vec::<&str>::new(), "{job}");
            assert!(
                !output.stdout.contains("section_end:1:x"),
                "{job}: {}",
                output.stdout
            );
            assert!(
                !output.stderr.contains("section_end:1:x"),
                "{job}: {}",
                output.stderr
            );
            // The mark of the failure is ours; with nothing on stdout it goes to stderr.
            let commands = github_commands(&output.stderr);
            let marks = commands
                .iter()
                .all(|line| line.starts_with("::error title=web1::"));
            assert!(marks, "{commands:?}");
        }
    }
    scene.end().await;
}

/// What cannot be written is told before anything runs, and one report that fails takes no other with it.
#[tokio::test]
async fn reports_that_cannot_be_written_are_told_first_and_lose_no_others() {
    let scene = Scene::new().await;
    let (web1, web2) = (scene.spec("web1"), scene.spec("web2"));
    let mark = scene.folder.path().join("mark");
    let touch = format!("echo x; touch {}", mark.display());
    let nowhere = scene.folder.path().join("none/here").display().to_string();
    let job = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_STEP_SUMMARY", nowhere.as_str()),
    ];
    let output = in_a_job(&job, &["exec", &web1, &web2, "--", &touch]).await;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(
        output.stderr.contains(&nowhere) && output.stderr.contains("hint: "),
        "{output:?}"
    );
    assert!(!mark.exists());
    // What is printed is kept in a temporary folder until it is shown.
    let junit = scene.folder.path().join("junit.xml");
    let junit_name = junit.display().to_string();
    for form in [&["--gather"][..], &["--junit", &junit_name]] {
        let arguments = [&["exec", &web1, &web2], form, &["--", &touch]].concat();
        let output = in_a_job(&[("TMPDIR", &nowhere)], &arguments).await;
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(
            output.stderr.contains(&nowhere) && output.stderr.contains("hint: "),
            "{output:?}"
        );
        assert!(!mark.exists(), "{form:?}");
    }
    // Nothing is printed there by what `ping` asks.
    let output = in_a_job(
        &[("TMPDIR", &nowhere)],
        &["ping", &web1, "--junit", &junit_name],
    )
    .await;
    assert_eq!(output.code, Some(0), "{output:?}");
    std::fs::remove_file(&junit).expect("written");
    let job = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_STEP_SUMMARY", "/dev/full"),
    ];
    let arguments = ["exec", &web1, &web2, "--junit", &junit_name, "--", &touch];
    let output = in_a_job(&job, &arguments).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("/dev/full"), "{output:?}");
    let [_, cases] = [0, 1].map(|part| read_junit(&junit)[part].clone());
    assert_eq!(cases.as_array().map(Vec::len), Some(2), "{cases}");
    scene.end().await;
}

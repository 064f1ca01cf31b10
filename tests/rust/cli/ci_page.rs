//! The commands of docs/ci.md, run as the runners of GitHub and GitLab run them: no terminal, no home, an environment of its own.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Sshd, SshdOptions};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md");
    std::fs::read_to_string(path).expect("the page")
}

/// The part of the page under a heading.
fn part<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page
        .split_once(&format!("\n## {heading}\n"))
        .expect("the heading");
    rest.split("\n## ").next().unwrap_or(rest)
}

/// The scripts in a text: the lines behind `run: |` or `- |` that stand further in, with the `if:` of the step before them.
fn scripts(text: &str) -> Vec<(String, String)> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut condition = String::new();
    let mut section = "";
    for (place, line) in lines.iter().enumerate() {
        let word = line.trim_start();
        if word.starts_with("- name:") || word.ends_with("script:") {
            condition.clear();
            section = word;
        } else if let Some(said) = word.strip_prefix("if: ") {
            condition = said.to_owned();
        } else if word == "run: |" || word == "- |" {
            let inside = lines[place + 1..]
                .iter()
                .take_while(|inner| inner.trim().is_empty() || depth(inner) > depth(line));
            let inside: Vec<&str> = inside.copied().collect();
            let margin = inside.iter().map(|inner| depth(inner)).min().unwrap_or(0);
            let script: String = inside
                .iter()
                .map(|inner| format!("{}\n", inner.get(margin..).unwrap_or("")))
                .collect();
            let when = if section == "after_script:" {
                "always()"
            } else {
                &condition
            };
            found.push((when.to_owned(), script));
        }
    }
    found
}

/// The folder of a job's checkout: the hosts file of the page, for these servers, and a script that fails on hosts as it is told to.
fn checkout(server: &Sshd, page: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let (_, hosts) = page.split_once("```text\n").expect("the hosts file");
    let (hosts, _) = hosts.split_once("```").expect("its end");
    let mut text = hosts.to_owned();
    for number in 1..=2 {
        let name = format!("deploy@web{number}.example.com");
        assert!(text.contains(&name), "{text}");
        let address = format!("{}@127.0.0.{number}:{}", server.user(), server.port());
        text = text.replace(&name, &address);
    }
    std::fs::write(folder.path().join("hosts.txt"), text).expect("hosts");
    let check = "\
import os, sys
assert sys.argv[1:] == ['--fast']
print('checked')
sys.exit(int(os.environ.get('CHECK_FAILS', '0')))
";
    std::fs::write(folder.path().join("check.py"), check).expect("script");
    folder
}

/// Runs the scripts one after the other as the steps of a job. The codes, and everything that was printed.
fn job(
    server: &Sshd,
    folder: &Path,
    shell: &[&str],
    scripts: &[(String, String)],
    variables: &[(&str, &str)],
) -> (Vec<(i32, String)>, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_easycluster"));
    let bin = program.parent().expect("a folder").display().to_string();
    let read = |path: &Path| std::fs::read_to_string(path).expect("readable");
    let environment: HashMap<&str, String> = HashMap::from([
        ("PATH", format!("{bin}:/usr/bin:/bin")),
        ("CI", "true".to_owned()),
        ("SSH_KEY", read(&server.key.private)),
        ("SSH_KNOWN_HOSTS", read(&server.known_hosts())),
    ]);
    let mut failed = false;
    let (mut codes, mut log) = (Vec::new(), String::new());
    for (number, (condition, script)) in scripts.iter().enumerate() {
        let due = match condition.as_str() {
            "" => !failed,
            "failure()" => failed,
            "always()" => true,
            other => panic!("{other}"),
        };
        if !due {
            continue;
        }
        let file = folder.join(format!(".step{number}"));
        std::fs::write(&file, script).expect("step");
        // Without a session of its own it would find the terminal of whoever runs the tests.
        let mut command = Command::new("setsid");
        command
            .arg("--wait")
            .args(shell)
            .arg(&file)
            .current_dir(folder)
            .env_clear()
            .envs(&environment)
            .envs(variables.iter().copied())
            .stdin(Stdio::null());
        let output = command.output().expect("the shell runs");
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let code = output.status.code().unwrap_or(-1);
        failed |= code != 0;
        codes.push((code, script.lines().next().unwrap_or("").to_owned()));
        log.push_str(&text);
    }
    (codes, log)
}

fn two_hosts() -> Sshd {
    Sshd::start_with(&SshdOptions {
        addresses: 2,
        ..SshdOptions::default()
    })
}

/// As GitHub's runner starts `run:` where no shell is named for it.
const BASH: [&str; 5] = ["bash", "--noprofile", "--norc", "-eo", "pipefail"];

#[test]
fn the_steps_for_github_run_as_they_stand() {
    let page = page();
    let scripts = scripts(part(&page, "GitHub Actions"));
    assert_eq!(scripts.len(), 5, "{scripts:?}");
    let server = two_hosts();
    let folder = checkout(&server, &page);
    let summary = folder.path().join("summary.md");
    let summary_name = summary.display().to_string();
    let here = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_STEP_SUMMARY", summary_name.as_str()),
    ];
    let (codes, log) = job(&server, folder.path(), &BASH, &scripts, &here);
    assert!(codes.iter().all(|(code, _)| *code == 0), "{codes:?}\n{log}");
    // The step for what failed is left out.
    assert_eq!(codes.len(), 4, "{codes:?}");
    assert_eq!(log.matches("\n::group::web").count(), 2, "{log}");
    assert_eq!(log.matches("2 hosts: 2 ok, ").count(), 2, "{log}");
    assert!(folder.path().join("output/web1.stdout").exists());
    let report = std::fs::read_to_string(folder.path().join("report.xml")).expect("report");
    assert!(report.contains("tests=\"2\""), "{report}");
    let table = std::fs::read_to_string(&summary).expect("summary");
    assert!(table.contains("### easycluster run\n"), "{table}");
    assert!(!folder.path().join("key").exists());
    server.wait_until_idle();
}

#[test]
fn a_step_that_fails_is_run_again_where_it_failed() {
    let page = page();
    let scripts = scripts(part(&page, "GitHub Actions"));
    let server = Sshd::start_with(&SshdOptions {
        addresses: 2,
        environment: vec![("CHECK_FAILS".to_owned(), "3".to_owned())],
        ..SshdOptions::default()
    });
    let folder = checkout(&server, &page);
    let (codes, log) = job(
        &server,
        folder.path(),
        &BASH,
        &scripts,
        &[("GITHUB_ACTIONS", "true")],
    );
    let numbers: Vec<i32> = codes.iter().map(|(code, _)| *code).collect();
    // More than a tenth of two hosts is one; the other is skipped, and both are tried again.
    assert_eq!(numbers, [0, 0, 1, 1, 0], "{log}");
    assert!(
        log.contains("::error title=web1::web1: exit status 3\n"),
        "{log}"
    );
    assert!(log.contains("2 hosts: 1 failed, 1 skipped, "), "{log}");
    assert!(log.contains("2 hosts: 2 failed, "), "{log}");
    server.wait_until_idle();
}

#[test]
fn the_script_for_gitlab_runs_as_it_stands() {
    let page = page();
    let scripts = scripts(part(&page, "GitLab"));
    assert_eq!(scripts.len(), 4, "{scripts:?}");
    let server = two_hosts();
    let folder = checkout(&server, &page);
    let (codes, log) = job(
        &server,
        folder.path(),
        &["sh", "-e"],
        &scripts,
        &[("GITLAB_CI", "true")],
    );
    assert!(codes.iter().all(|(code, _)| *code == 0), "{codes:?}\n{log}");
    assert_eq!(
        log.matches("[collapsed=true]\r\u{1b}[0Kweb").count(),
        2,
        "{log}"
    );
    assert!(folder.path().join("report.xml").exists());
    assert!(!folder.path().join("key").exists());
    server.wait_until_idle();
}

//! Options together, and files that are no ordinary ones: nothing that one option promises is lost where another is given too.

use std::path::Path;

use crate::cli::scene::{Said, Scene, easycluster, easycluster_with_input, program, said, shell};
use crate::support::{PATIENCE, Sshd, SshdOptions, interpreter_at_least, until};

/// A host that nothing listens at.
fn gone(name: &str) -> String {
    format!("me@127.0.0.1:1:config=none:batch=yes:name={name}")
}

fn path(scene: &Scene, name: &str) -> String {
    scene.folder.path().join(name).display().to_string()
}

/// Types a line at a shell, with the program's own folder first in PATH.
async fn typed(scene: &Scene, line: &str, variables: &[(&str, &str)]) -> Said {
    let mut shell = shell(line);
    shell
        .current_dir(scene.folder.path())
        .envs(variables.iter().copied());
    said(shell.spawn().expect("a shell")).await
}

#[tokio::test]
async fn a_secret_hides_itself_and_no_word_about_another_attempt() {
    let scene = Scene::new().await;
    let line = format!(
        "easycluster exec {} --retries 1 --secret WORD -- true",
        gone("db-refused-db")
    );
    let output = typed(&scene, &line, &[("WORD", "refused")]).await;
    let again =
        "warning: db-***-db: connect: 127.0.0.1:1: Connection *** (os error 111); trying again in ";
    assert!(output.stderr.starts_with(again), "{output:?}");
    assert_eq!(output.stderr.matches("refused").count(), 0, "{output:?}");
    scene.end().await;
}

#[tokio::test]
async fn a_host_whose_name_looks_like_a_comment_is_tried_again() {
    let scene = Scene::new().await;
    let specs = [gone("#1"), gone("#2"), scene.spec("web")];
    let failed = path(&scene, "failed");
    let hosts = [&specs[0][..], &specs[1], &specs[2]];
    let write = [
        &["exec"],
        &hosts[..],
        &["--failed-to", &failed, "--", "true"],
    ]
    .concat();
    assert_eq!(easycluster(&write).await.code, Some(255));
    let text = std::fs::read_to_string(&failed).expect("written");
    assert_eq!(text, "#1\n#2\n");
    // A line of a person's is a comment as before.
    std::fs::write(&failed, "# the first of them\n#1\n").expect("written");
    let read = [
        &["exec", "--json"],
        &hosts[..],
        &["--retry-from", &failed, "--", "true"],
    ]
    .concat();
    let output = easycluster(&read).await;
    assert_eq!(output.code, Some(255), "{output:?}");
    assert_eq!(output.stdout.lines().count(), 1, "{output:?}");
    assert!(output.stdout.contains("\"host\":\"#1\""), "{output:?}");
    scene.end().await;
}

#[tokio::test]
async fn hosts_of_the_same_name_have_files_of_their_own_whatever_others_are_called() {
    let scene = Scene::new().await;
    let out = path(&scene, "out");
    let names = ["a", "a", "a#2"];
    let specs: Vec<String> = names
        .iter()
        .zip(["", ":timeout=60", ":timeout=61"])
        .map(|(name, more)| scene.spec(name) + more)
        .collect();
    let output = easycluster(&[
        "exec",
        &specs[0],
        &specs[1],
        &specs[2],
        "--out",
        &out,
        "--",
        "echo $EASYCLUSTER_NUMBER",
    ])
    .await;
    assert_eq!(output.code, Some(0), "{output:?}");
    for (name, number) in [("a", "0\n"), ("a%233", "1\n"), ("a%232", "2\n")] {
        let file = Path::new(&out).join(format!("{name}.stdout"));
        assert_eq!(
            std::fs::read_to_string(file).expect(name),
            number,
            "{output:?}"
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn where_no_host_is_left_nobody_waits_for_input() {
    let scene = Scene::new().await;
    let (spec, empty) = (scene.spec("web"), scene.file("empty", ""));
    for who in ["one", "all"] {
        for subcommand in ["exec", "run"] {
            let what: &[&str] = if subcommand == "exec" {
                &["--", "cat"]
            } else {
                &["-c", "pass"]
            };
            let options = [
                "--stdin",
                who,
                "--retry-from",
                empty.to_str().expect("path"),
            ];
            let arguments = [&[subcommand, &spec], &options[..], what].concat();
            // Nobody writes to it, and it does not end.
            let mut child = program(&arguments)
                .stdin(std::process::Stdio::piped())
                .spawn()
                .expect("the program starts");
            let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
            let status = ended.expect("it does not wait").expect("a status");
            assert_eq!(status.code(), Some(0), "{subcommand} {who}");
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn a_link_in_the_place_of_a_file_leads_to_what_is_written() {
    let scene = Scene::new().await;
    let folder = scene.folder.path();
    let kept = scene.file("kept", "old\n");
    let mode = |file: &Path| {
        std::os::unix::fs::PermissionsExt::mode(&file.metadata().expect("there").permissions())
    };
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&kept, private).expect("mode");
    for (link, target) in [("link", "kept"), ("new-link", "made")] {
        std::os::unix::fs::symlink(target, folder.join(link)).expect("link");
        let output = easycluster(&[
            "exec",
            &gone("db"),
            "--failed-to",
            &path(&scene, link),
            "--",
            "true",
        ])
        .await;
        assert_eq!(output.code, Some(255), "{output:?}");
        assert!(folder.join(link).is_symlink(), "{link} is there no more");
        let text = std::fs::read_to_string(folder.join(target)).expect("the target");
        assert_eq!(text, "db\n", "{link}");
    }
    // Nobody may read it who could not before.
    assert_eq!(mode(&kept) & 0o777, 0o600);
    scene.end().await;
}

#[tokio::test]
async fn a_file_that_is_our_own_output_gets_it_behind_what_is_there() {
    let scene = Scene::new().await;
    let folder = scene.folder.path();
    // As /dev has them, which root would see replaced.
    std::fs::create_dir(folder.join("dev")).expect("folder");
    for (name, number) in [("stdout", 1), ("stderr", 2)] {
        let target = format!("/proc/self/fd/{number}");
        std::os::unix::fs::symlink(target, folder.join("dev").join(name)).expect("link");
    }
    let (web, db) = (scene.spec("web"), gone("db"));
    let run = format!("easycluster exec {web} {db} --no-prefix");
    let line =
        format!("{run} --failed-to dev/stdout -- echo from web > out; echo behind >> out; cat out");
    let output = typed(&scene, &line, &[]).await;
    assert_eq!(output.stdout, "from web\ndb\nbehind\n", "{output:?}");
    let line = format!("{run} --failed-to dev/stdout -- echo from web | cat");
    assert_eq!(typed(&scene, &line, &[]).await.stdout, "from web\ndb\n");
    let line = format!("{run} --junit dev/stderr -- echo from web 2> out; cat out");
    let output = typed(&scene, &line, &[]).await;
    assert!(output.stdout.contains("</testsuites>"), "{output:?}");
    assert!(output.stdout.ends_with(" s\n"), "{output:?}");
    assert!(folder.join("dev/stdout").is_symlink() && folder.join("dev/stderr").is_symlink());
    assert_eq!(
        std::fs::read_dir(folder.join("dev"))
            .expect("folder")
            .count(),
        2
    );
    scene.end().await;
}

#[tokio::test]
async fn how_hosts_ended_is_said_where_their_output_cannot_be_written() {
    let scene = Scene::new().await;
    let (web, db) = (scene.spec("web"), gone("db"));
    let line = format!("easycluster exec {db} {web} -j 1 -- echo x > /dev/full");
    let output = typed(&scene, &line, &[]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    for said in [
        "error: db: unreachable (connect)",
        "2 hosts: 1 ",
        "cannot write the output: No space left",
    ] {
        assert!(output.stderr.contains(said), "{said}: {output:?}");
    }
    // What is said on stderr decides nothing.
    for (line, code) in [
        (
            format!("easycluster exec {db} {web} -- false 2> /dev/full"),
            255,
        ),
        (
            format!("easycluster exec {web} --retry-from /dev/null -- true 2> /dev/full"),
            0,
        ),
    ] {
        let output = typed(&scene, &line, &[]).await;
        assert_eq!(output.code, Some(code), "{line}: {output:?}");
    }
    // Of a file, by its own name.
    std::fs::create_dir(scene.folder.path().join("out")).expect("folder");
    let limited = format!(
        "ulimit -f 8; trap '' XFSZ; easycluster exec {web} --out out -- 'yes | head -c 100000' > /dev/null"
    );
    let output = typed(&scene, &limited, &[]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains("out/web.stdout: File too large"),
        "{output:?}"
    );
    scene.end().await;
}

#[tokio::test]
async fn a_report_can_be_read_whatever_hosts_print_and_its_columns_stay_apart() {
    let scene = Scene::new().await;
    let report = path(&scene, "report.xml");
    let line = "printf 'a\\tb\\357\\267\\220c\\357\\277\\276\\357\\277\\277\\n'";
    let output = easycluster(&["exec", &scene.spec("web"), "--junit", &report, "--", line]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let read = "import sys, xml.etree.ElementTree as tree; print(tree.parse(sys.argv[1]).find('.//system-out').text)";
    let read = std::process::Command::new(&interpreter_at_least((3, 6)).path)
        .args(["-c", read, &report])
        .output()
        .expect("Python runs");
    assert_eq!(
        String::from_utf8_lossy(&read.stdout),
        "a\tb\\u{fdd0}c\\u{fffe}\\u{ffff}\n\n"
    );
    scene.end().await;
}

#[tokio::test]
async fn a_program_that_prints_faster_than_is_shown_comes_to_its_time_limit() {
    let server = Sshd::start();
    let mut child = program(&["exec", &server.spec(), "--timeout", "1", "--", "yes"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the program starts");
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    let status = ended.expect("it comes to its limit").expect("a status");
    assert_eq!(status.code(), Some(124));
    server.wait_until_idle();
}

#[tokio::test]
async fn a_reader_that_takes_nothing_holds_up_no_time_limit() {
    let server = Sshd::start();
    let mut child = program(&["exec", &server.spec(), "--timeout", "1", "--", "yes"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program starts");
    // Held and never read, as by a pager that waits for a key.
    let held = child.stdout.take();
    let is_run = || {
        let all = server.session_processes();
        all.iter().any(|process| process.command == "yes")
    };
    until(|| is_run().then_some(()).ok_or("it has not begun")).await;
    until(|| (!is_run()).then_some(()).ok_or("it has not ended")).await;
    // What it printed is shown all the same, once it is taken, and that it came to its limit.
    let mut held = held.expect("a pipe");
    let taken =
        tokio::spawn(async move { tokio::io::copy(&mut held, &mut tokio::io::sink()).await });
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    let status = ended.expect("it ends with what it has").expect("a status");
    assert_eq!(status.code(), Some(124));
    assert!(taken.await.expect("a task").expect("output") > 0);
    server.wait_until_idle();
}

#[tokio::test]
async fn names_of_our_own_are_no_variables_of_a_command() {
    let scene = Scene::new().await;
    for name in ["ec_h", "ec_i", "ec_s", "ec_k"] {
        let value = format!("{name}=1");
        let output = easycluster(&[
            "exec",
            &scene.spec("web"),
            "--env",
            &value,
            "--",
            "echo ran",
        ])
        .await;
        assert!(output.stderr.contains(name), "{output:?}");
        assert_ne!(output.code, Some(0), "{output:?}");
    }
    // Where the server sets them, they change nothing.
    let server = Sshd::start_with(&SshdOptions {
        environment: ["ec_h", "ec_i", "ec_s", "ec_k", "ec_d"]
            .map(|name| (name.to_owned(), "1".to_owned()))
            .to_vec(),
        ..SshdOptions::default()
    });
    for line in ["echo ran", "echo 'ran!' | tr -d '!'"] {
        let output = easycluster(&["exec", &server.spec(), "--no-prefix", "--", line]).await;
        assert_eq!(output.stdout, "ran\n", "{output:?}");
    }
    server.wait_until_idle();
    scene.end().await;
}

#[tokio::test]
async fn stdin_is_not_read_for_hosts_and_a_script() {
    for subcommand in [
        &["run", "-f", "-", "--", "-"][..],
        &["exec", "-f", "-", "--script", "-"],
        &["run", "-I", "-", "all", "--", "-"],
    ] {
        let output = easycluster_with_input(subcommand, "#!/bin/sh\n").await;
        let wrong = "error: stdin cannot hold the hosts and the script\n";
        assert!(
            output.stderr.starts_with(wrong),
            "{subcommand:?}: {output:?}"
        );
        assert_eq!(output.code, Some(2));
    }
}

#[tokio::test]
async fn a_script_of_an_editor_of_windows_is_run_by_what_its_first_line_names() {
    let scene = Scene::new().await;
    let script = scene.file(
        "count.awk",
        "\u{feff}#!/usr/bin/awk -f\nEND { print NR + 40 }\n",
    );
    let script = script.to_str().expect("path");
    let output = easycluster(&["run", &scene.spec("web"), "--no-prefix", "--", script]).await;
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("40\n", "")
    );
    scene.end().await;
}

#[tokio::test]
async fn a_host_of_several_groups_is_not_warned_about() {
    let scene = Scene::new().await;
    let hosts = scene.file(
        "hosts",
        "db1\n[a]\nweb1\nweb2\n[b]\nweb1\nweb2\nweb2\n[c]\ndb1\n",
    );
    let output = easycluster(&["hosts", "-f", hosts.to_str().expect("path")]).await;
    assert_eq!(output.stdout, "db1\nweb1\nweb2\n");
    let warned: Vec<&str> = output
        .stderr
        .lines()
        .filter_map(|line| line.split(", ").nth(1))
        .collect();
    assert_eq!(
        warned,
        [
            "line 8: web2 is named more than once",
            "line 10: db1 is named more than once"
        ]
    );
    scene.end().await;
}

#[tokio::test]
async fn pieces_of_a_long_line_say_in_json_that_it_goes_on() {
    let scene = Scene::new().await;
    let line = "printf '%200000d\\nshort\\n' 7";
    let output = easycluster(&["exec", &scene.spec("web"), "--json", "--", line]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let (mut lines, mut begun) = (Vec::new(), String::new());
    for event in output.stdout.lines() {
        let event: serde_json::Value = serde_json::from_str(event).expect("JSON");
        begun.push_str(event["line"].as_str().unwrap_or_default());
        if event["goes_on"] != true && event["event"] == "output" {
            lines.push(std::mem::take(&mut begun));
        }
    }
    let lengths: Vec<usize> = lines.iter().map(String::len).collect();
    assert_eq!(lengths, [200_000, 5]);
    scene.end().await;
}

//! Arguments: help, version, and the errors of a wrong command line.

use std::io::Write;

use crate::cli::scene::{Said, easycluster, easycluster_with_input};

fn usage_error(stderr: &str) -> Said {
    Said {
        stdout: String::new(),
        stderr: stderr.to_owned(),
        code: Some(2),
    }
}

#[tokio::test]
async fn version_and_help_go_to_stdout() {
    let said = easycluster(&["--version"]).await;
    let version = format!("easycluster {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((said.stdout, said.code), (version, Some(0)));
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["exec", "--help"],
        &["ping", "--help"],
        &["demo", "--help"],
    ] {
        let said = easycluster(arguments).await;
        assert_eq!((said.stderr.as_str(), said.code), ("", Some(0)));
        assert!(said.stdout.contains("Usage: easycluster"), "{arguments:?}");
        let widest = said.stdout.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{arguments:?}: {widest:?}");
    }
    for command in ["run", "ping"] {
        let said = easycluster(&[command, "--help"]).await;
        assert!(said.stdout.contains("Examples:"), "{command}");
        assert!(said.stdout.contains("Exit status:"), "{command}");
    }
}

#[tokio::test]
async fn help_on_a_short_option_is_that_of_its_subcommand() {
    for (option, subcommand) in [
        (&["-S"][..], &["serve"][..]),
        (&["-k", "key", "--serve"], &["serve"]),
        (&["-g", "key"], &["keygen"]),
        (&["-i"], &["service", "install"]),
        (&["-u"], &["service", "uninstall"]),
    ] {
        for help in ["-h", "--help"] {
            let short = easycluster(&[option, &[help]].concat()).await;
            assert_eq!(short.code, Some(0), "{option:?}: {short:?}");
            assert_eq!(
                short,
                easycluster(&[subcommand, &[help]].concat()).await,
                "{option:?}"
            );
        }
    }
    // There the options are those of the subcommand, and `-i` is a key.
    let run = easycluster(&["run", "-i", "key", "--help"]).await;
    assert!(run.stdout.contains("Usage: easycluster run"), "{run:?}");
}

#[tokio::test]
async fn no_host_and_no_program_are_said() {
    assert_eq!(
        easycluster(&["run", "-c", "1"]).await,
        usage_error(
            "error: no host is given\n \
             hint: give one or more as [user@]host[:port], a file of them with -f, or an inventory with -I\n"
        )
    );
    assert_eq!(
        easycluster(&["run", "me@web1"]).await,
        usage_error(
            "error: no program is given\n \
             hint: give code with -c CODE, a module with -m MODULE, or a script behind `--`; \
             for a shell command: easycluster exec me@web1 -- COMMAND\n"
        )
    );
}

#[tokio::test]
async fn a_script_without_the_separator_is_explained() {
    let file = tempfile::Builder::new()
        .suffix(".py")
        .tempfile()
        .expect("file");
    let script = file.path().to_str().expect("path");
    assert_eq!(
        easycluster(&["run", "me@web1", script]).await,
        usage_error(&format!(
            "error: no program is given\n \
             hint: put `--` before the script: easycluster run me@web1 -- {script}\n"
        ))
    );
}

#[tokio::test]
async fn a_command_that_is_empty_is_said_to_be() {
    for empty in ["", " \t"] {
        assert_eq!(
            easycluster(&["exec", "me@web1", "--", empty]).await,
            usage_error(
                "error: the command behind `--` is empty\n \
                 hint: a variable in it may be unset here\n"
            )
        );
    }
}

#[tokio::test]
async fn files_that_are_not_there_are_named() {
    assert_eq!(
        easycluster(&["run", "me@web1", "--", "/nonexistent/check.py"]).await,
        usage_error(
            "error: cannot read the script /nonexistent/check.py: No such file or directory (os error 2)\n \
             hint: the script is a file of this machine; a shell command is run by: \
             easycluster exec me@web1 -- /nonexistent/check.py\n"
        )
    );
    assert_eq!(
        easycluster(&["run", "me@web1", "--", "-c", "print(1)", "a"]).await,
        usage_error(
            "error: cannot read the script -c: No such file or directory (os error 2)\n \
             hint: -c stands before `--`: easycluster run me@web1 -c 'print(1)' -- a\n"
        )
    );
    assert_eq!(
        easycluster(&["ping", "-f", "/nonexistent/hosts"]).await,
        usage_error(
            "error: cannot read the hosts file /nonexistent/hosts: No such file or directory (os error 2)\n \
             hint: -f takes a text file with one connection spec per line; hosts themselves stand without -f\n"
        )
    );
}

#[tokio::test]
async fn a_file_without_an_end_is_refused_by_name() {
    for words in [
        &["run", "me@web1", "--", "/dev/zero"][..],
        &["exec", "--script", "/dev/zero", "me@web1"],
        &["exec", "-i", "/dev/zero", "me@web1", "--", "true"],
        &["exec", "--retry-from", "/dev/zero", "me@web1", "--", "true"],
    ] {
        let said = easycluster(words).await;
        assert_eq!(said.code, Some(2), "{said:?}");
        let first = said.stderr.lines().next().unwrap_or_default();
        assert!(
            first.contains("/dev/zero: it ") && first.contains(" MiB"),
            "{said:?}"
        );
    }
}

#[tokio::test]
async fn a_wrong_spec_is_shown_with_the_place_marked_and_nothing_runs() {
    let said = easycluster(&[
        "run",
        ":local",
        "web1:key=s3cret:colour=red",
        "-c",
        "print(1)",
    ])
    .await;
    assert_eq!(said.stdout, "");
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.starts_with("error: "), "{}", said.stderr);
    assert!(said.stderr.contains("colour"), "{}", said.stderr);
    assert!(said.stderr.contains('^'), "{}", said.stderr);
    assert!(!said.stderr.contains("s3cret"), "{}", said.stderr);
}

#[tokio::test]
async fn a_wrong_spec_of_a_hosts_file_is_named_by_its_line() {
    let mut hosts = tempfile::NamedTempFile::new().expect("file");
    writeln!(hosts, "# all\nme@web1  # the first\n\nbad host").expect("file");
    let path = hosts.path().to_str().expect("path");
    assert_eq!(
        easycluster(&["ping", "-f", path]).await,
        usage_error(&format!(
            "error: {path}, line 4: this is not a valid host name\n         bad host\n         ^^^^^^^^\n \
             hint: hosts in a line of a file stand with commas between them\n"
        ))
    );
    assert_eq!(
        easycluster_with_input(&["ping", "-f", "-"], "web1:colour=red\n")
            .await
            .stderr
            .split(": ")
            .nth(1),
        Some("stdin, line 1")
    );
}

#[tokio::test]
async fn numbers_are_checked() {
    for arguments in [
        &["run", ":local", "-c", "1", "-j", "0"][..],
        &["run", ":local", "-c", "1", "-j", "-1"],
        &["run", ":local", "-c", "1", "--serial", "-1"],
        &["run", ":local", "-c", "1", "--max-fail", "-1"],
        &["run", ":local", "-c", "1", "--timeout", "-1"],
        &["ping", ":local", "--connect-timeout", "soon"],
    ] {
        let said = easycluster(arguments).await;
        assert_eq!(
            (said.stdout.as_str(), said.code),
            ("", Some(2)),
            "{arguments:?}"
        );
        assert!(said.stderr.contains("it takes a"), "{}", said.stderr);
    }
}

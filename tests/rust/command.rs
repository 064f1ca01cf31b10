//! Shell commands over real SSH, as child processes, by standalone servers and by clients: output, input, environment, and their end.

use std::time::Duration;

use easycluster::spec::KeySource;
use easycluster::{
    Client, Command, CommandEvent, CommandOutput, ConnectionSpec, Error, ExitStatus,
};

use crate::server::harness;
use crate::support::processes;
use crate::support::remote::idle;
use crate::support::{PATIENCE, Sshd, SshdOptions, poll, program, until, within};

fn spec(server: &Sshd) -> ConnectionSpec {
    format!("{}:name=web1", server.spec()).parse().unwrap()
}

async fn output(command: Command) -> CommandOutput {
    within(command.output()).await.unwrap()
}

/// The way that cannot tell a signal: ssh itself says 255 then.
const OPENSSH: &str = "ssh";

/// Each way to run a command on a server's machine, by its name.
async fn ways(spec: &ConnectionSpec) -> Vec<(&'static str, Box<dyn Fn(&[&str]) -> Command>)> {
    fn line(words: &[&str]) -> easycluster::CommandLine {
        match words {
            [line] => (*line).into(),
            words => words.into(),
        }
    }
    let client = Client::connect(spec, Default::default()).await.unwrap();
    let over_ssh = spec.clone();
    let program = program("ssh").display().to_string();
    let by_ssh = spec.clone().with_option("ssh", &program).unwrap();
    let standalone = harness::start(harness::loopback());
    let mut by_tcp: ConnectionSpec = format!("127.0.0.1:{}", standalone.port).parse().unwrap();
    by_tcp.key = Some(KeySource::Given(harness::KEY.into()));
    let local: ConnectionSpec = ":local".parse().unwrap();
    let local_client = Client::connect(&local, Default::default()).await.unwrap();
    vec![
        (
            "sshd",
            Box::new(move |words| Command::on(&over_ssh, line(words))),
        ),
        (
            OPENSSH,
            Box::new(move |words| Command::on(&by_ssh, line(words))),
        ),
        (
            "standalone server",
            Box::new(move |words| {
                // It serves as long as this is there.
                _ = &standalone;
                Command::on(&by_tcp, line(words))
            }),
        ),
        ("client", Box::new(move |words| client.command(line(words)))),
        (
            "child",
            Box::new(move |words| Command::on(&local, line(words))),
        ),
        (
            "local client",
            Box::new(move |words| local_client.command(line(words))),
        ),
    ]
}

#[tokio::test]
async fn a_line_is_the_shells_and_words_are_nobodys() {
    let server = Sshd::start();
    for (name, command) in ways(&spec(&server)).await {
        let said = output(command(&[
            "echo out | tr a-z A-Z; echo \"it's\" >&2; exit 7",
        ]))
        .await;
        assert_eq!(said.stdout_text(), "OUT\n", "{name}");
        assert_eq!(said.stderr_text(), "it's\n", "{name}");
        assert_eq!(said.status, ExitStatus::Code(7), "{name}");
        let words = [
            "printf",
            "%s|",
            "a b",
            "$HOME",
            "it's \\ ! \"",
            "two\nlines",
            "ü",
            "",
        ];
        let said = output(command(&words)).await;
        assert_eq!(
            said.stdout_text(),
            "a b|$HOME|it's \\ ! \"|two\nlines|ü||",
            "{name}"
        );
        assert!(said.success(), "{name}");
        let said = output(command(&["printf 'a\\tb!\\n'\necho second"])).await;
        assert_eq!(said.stdout_text(), "a\tb!\nsecond\n", "{name}");
        let said = output(command(&["kill -9 $$"])).await;
        let signal = match name {
            OPENSSH => ExitStatus::Code(255),
            _ => ExitStatus::Signal("KILL".into()),
        };
        assert_eq!(said.status, signal, "{name}");
        let error = output(command(&["no-such-program", "x"])).await.check();
        let error = error.unwrap_err().to_string();
        assert!(error.contains("exit status 127"), "{name}: {error}");
        assert!(error.contains("no-such-program"), "{name}: {error}");
        // What it reads is empty, not the stream of whoever carries it.
        assert_eq!(
            output(command(&["cat; echo end"])).await.stdout_text(),
            "end\n"
        );
    }
    idle(&server).await;
}

#[tokio::test]
async fn folder_environment_and_input_arrive_as_they_are() {
    let server = Sshd::start();
    let odd = b"a'b\"c\\d!e $HOME\nnew line\xff";
    let large: Vec<u8> = (0..3_000_000u32)
        .map(|n| (n.wrapping_mul(n) / 7) as u8)
        .collect();
    for (name, command) in ways(&spec(&server)).await {
        let asked = command(&["pwd; printf %s \"$ODD\"; printf %s \"$ec_h$ec_s\""])
            .cwd("/usr/bin")
            .env("ODD", odd);
        let said = output(asked).await;
        assert_eq!(
            &said.stdout[..],
            [&b"/usr/bin\n"[..], odd].concat(),
            "{name}"
        );
        let said = output(command(&["echo here"]).cwd("/no/such folder")).await;
        assert_eq!(said.status, ExitStatus::Code(125), "{name}");
        assert!(said.stderr_text().contains("/no/such folder"), "{name}");
        let said = output(command(&["cat"]).stdin(large.clone())).await;
        assert!(said.stdout == large, "{name}: {} bytes", said.stdout.len());
        // What is not read is no error, and what it holds is no order to the shell around it.
        let unread = "KILL\n".repeat(100_000);
        let said = output(command(&["exec <&-; echo done"]).stdin(unread)).await;
        assert_eq!(said.stdout_text(), "done\n", "{name}");
        assert!(said.success(), "{name}: {:?}", said.status);
        let refused = within(command(&["true"]).env("A-B", "x").output()).await;
        assert!(matches!(refused, Err(Error::Convert(_))), "{name}");
    }
    idle(&server).await;
}

#[tokio::test]
async fn a_script_has_no_file_and_its_own_input() {
    let server = Sshd::start();
    let script = "#!/bin/sh\nread line\necho \"$1: $line\"\nexit 3\n";
    for (name, command) in ways(&spec(&server)).await {
        let said = command(&["/bin/sh", "/dev/fd/9", "first"]).script(script);
        let said = output(said.stdin("given\n")).await;
        assert_eq!(said.stdout_text(), "first: given\n", "{name}");
        assert_eq!(said.status, ExitStatus::Code(3), "{name}");
        // Longer than any pipe holds.
        let long = format!("{}echo end\n", "# a comment\n".repeat(20_000));
        let said = command(&["/bin/sh", "/dev/fd/9"]).script(long);
        assert_eq!(output(said).await.stdout_text(), "end\n", "{name}");
        let said = command(&["/bin/sh", "/dev/fd/9"]).script("");
        assert!(output(said).await.success(), "{name}");
    }
    idle(&server).await;
}

#[tokio::test]
async fn streams_flow_both_ways_while_it_runs() {
    let server = Sshd::start();
    for (name, command) in ways(&spec(&server)).await {
        let mut running = command(&["while read line; do echo got $line; done; echo over >&2"])
            .piped_stdin()
            .start()
            .await
            .unwrap();
        let input = running.take_input().unwrap();
        for word in ["one", "two"] {
            input.write(format!("{word}\n")).await.unwrap();
            let event = within(running.next()).await.unwrap();
            let expected = CommandEvent::Stdout(format!("got {word}\n").into());
            assert_eq!(event, Some(expected), "{name}");
        }
        drop(input);
        let event = within(running.next()).await.unwrap();
        assert_eq!(event, Some(CommandEvent::Stderr("over\n".into())), "{name}");
        assert_eq!(within(running.next()).await.unwrap(), None, "{name}");
        assert_eq!(running.status(), Some(&ExitStatus::Code(0)), "{name}");
    }
    idle(&server).await;
}

/// Starts a command that prints a line once it runs, and reads that.
async fn begun(command: Command) -> easycluster::RunningCommand {
    let mut running = command.start().await.unwrap();
    let event = within(running.next()).await.unwrap();
    assert_eq!(event, Some(CommandEvent::Stdout("begun\n".into())));
    running
}

fn sleeping(seconds: u32) -> bool {
    let wanted = format!("sleep {seconds}");
    processes::all()
        .iter()
        .any(|process| process.command == wanted)
}

async fn until_gone(name: &str, seconds: u32) {
    let wanted = format!("sleep {seconds}");
    let mut left = Vec::new();
    until(|| {
        processes::look_again(&mut left, || {
            let mut all = processes::all();
            all.retain(|process| process.command == wanted);
            all
        });
        match left.is_empty() {
            true => Ok(()),
            false => Err(format!("{name}: {wanted} is left running")),
        }
    })
    .await;
}

/// Gives a command up by each way to do so. What it starts sleeps for so many seconds and a few more, by which it is found.
async fn given_up(name: &str, command: impl Fn(&[&str]) -> Command, seconds: u32) {
    let [first, deaf, last] = [seconds, seconds + 1, seconds + 2];
    let line = format!(
        "sleep {first} & (trap '' HUP TERM; exec sleep {deaf}) & echo begun; sleep {last}; true"
    );
    for dropped in [true, false] {
        for input in [true, false] {
            let mut asked = command(&[&line]);
            if input {
                asked = asked.stdin("x");
            }
            if dropped {
                let running = begun(asked).await;
                until(|| match sleeping(first) && sleeping(last) {
                    true => Ok(()),
                    false => Err(format!("{name}: not all of it runs yet")),
                })
                .await;
                drop(running);
            } else {
                let limit = Duration::from_millis(500);
                let error = within(asked.timeout(limit).output()).await.unwrap_err();
                assert!(matches!(error, Error::Timeout { .. }), "{name}: {error}");
                assert!(error.to_string().contains("0.5 s"), "{name}: {error}");
            }
            for seconds in [first, deaf, last] {
                until_gone(name, seconds).await;
            }
        }
    }
}

#[tokio::test]
async fn giving_it_up_ends_all_that_it_started() {
    let server = Sshd::start();
    // All ways at once, because each takes its time before it sends SIGKILL.
    let at_once = tokio::task::LocalSet::new();
    let ways = ways(&spec(&server)).await;
    let tasks: Vec<_> = ways
        .into_iter()
        .zip((4750..).step_by(10))
        .map(|((name, command), seconds)| at_once.spawn_local(given_up(name, command, seconds)))
        .collect();
    at_once.await;
    for task in tasks {
        task.await.unwrap();
    }
    idle(&server).await;
}

#[tokio::test]
async fn an_interrupt_is_the_commands_own_and_its_last_words_are_heard() {
    let server = Sshd::start();
    let line = "trap 'echo cleaned up; exit 9' INT; echo begun; while :; do sleep 0.1; done";
    for (name, command) in ways(&spec(&server)).await {
        for input in [true, false] {
            let asked = command(&[line]);
            let mut running = begun(if input { asked.stdin("x") } else { asked }).await;
            running.interrupt();
            let event = within(running.next()).await.unwrap();
            let expected = CommandEvent::Stdout("cleaned up\n".into());
            assert_eq!(event, Some(expected), "{name}");
            let status = within(running.wait()).await.unwrap();
            assert_eq!(status, ExitStatus::Code(9), "{name}");
        }
    }
    idle(&server).await;
}

#[tokio::test]
async fn an_interrupt_ends_what_the_command_leaves_behind() {
    let server = Sshd::start();
    let line = "trap 'echo cleaned up; exit 9' INT; sleep 4716 & echo begun; wait";
    for (name, command) in ways(&spec(&server)).await {
        for input in [true, false] {
            let asked = command(&[line]);
            let mut running = begun(if input { asked.stdin("x") } else { asked }).await;
            running.interrupt();
            let event = within(running.next()).await.unwrap();
            let expected = CommandEvent::Stdout("cleaned up\n".into());
            assert_eq!(event, Some(expected), "{name}");
            // It has ended, but for what holds its output open.
            drop(running);
            until_gone(name, 4716).await;
        }
    }
    idle(&server).await;
}

#[tokio::test]
async fn what_takes_no_input_is_ended_all_the_same() {
    let server = Sshd::start();
    let spec = spec(&server);
    let asked = Command::on(&spec, "echo begun; sleep 4714; true").stdin(vec![b'x'; 1 << 20]);
    drop(begun(asked).await);
    until_gone("sshd", 4714).await;
    idle(&server).await;
}

#[tokio::test]
async fn what_it_leaves_in_the_background_goes_on() {
    let server = Sshd::start();
    let line = "sleep 4715 >/dev/null 2>&1 & echo $!";
    let pid = output(Command::on(&spec(&server), line)).await;
    assert!(pid.success());
    // The shell may not have become it yet.
    until(|| sleeping(4715).then_some(()).ok_or("it has ended")).await;
    let pid: i32 = pid.stdout_text().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    idle(&server).await;
}

#[tokio::test]
async fn a_command_takes_one_session_and_no_spare_one() {
    let server = Sshd::start_with(&SshdOptions {
        max_sessions: 1,
        ..SshdOptions::default()
    });
    let spec = spec(&server);
    for _ in 0..3 {
        assert!(output(Command::on(&spec, "true")).await.success());
        // The next one may share a connection on which the server has not ended this one yet.
        idle(&server).await;
    }
    // Nobody was refused, so nothing was asked for ahead of need.
    let log = server.log();
    assert!(!log.contains("no more sessions"), "{log}");
}

#[tokio::test]
async fn every_login_shell_passes_it_on() {
    let words = [
        "printf",
        "%s|",
        "it's",
        "a\\b",
        "c!d",
        "$x `y` \"z\"",
        "e\nf",
    ];
    for name in ["dash", "bash", "zsh", "ksh", "fish", "tcsh"] {
        let shell = crate::support::program(name);
        let server = Sshd::start_with(&SshdOptions {
            shell: Some(shell),
            ..SshdOptions::default()
        });
        let said = output(Command::on(&spec(&server), words)).await;
        assert_eq!(
            said.stdout_text(),
            "it's|a\\b|c!d|$x `y` \"z\"|e\nf|",
            "{name}"
        );
        let said = output(Command::on(&spec(&server), ["echo", "it's"])).await;
        assert_eq!(said.stdout_text(), "it's\n", "{name}");
        idle(&server).await;
    }
}

#[tokio::test]
async fn a_lost_connection_is_an_error_that_names_the_host() {
    let server = Sshd::start();
    let mut running = begun(Command::on(&spec(&server), "echo begun; sleep 4716")).await;
    server.break_sessions();
    let error = within(running.wait()).await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    assert!(error.to_string().starts_with("web1: "), "{error}");
    let unreachable = "me@127.0.0.1:9:config=none:batch=yes:name=web2"
        .parse()
        .unwrap();
    let error = within(Command::on(&unreachable, "true").output()).await;
    assert!(matches!(error, Err(Error::Connect(_))), "{error:?}");
}

/// The wrapper in a shell of this name, in a session of its own as sshd has it.
fn wrapped(shell: &[&str], begin: &str) -> std::process::Child {
    let lines = include_str!("../../src/command/wrapper.sh").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let becomes = "x() { exec \"$@\"; }";
    let script = format!("{begin};{becomes};{}", lines.collect::<Vec<_>>().join(" "));
    std::process::Command::new(crate::support::program("setsid"))
        .args(["-w", "--"])
        .arg(crate::support::program(shell[0]))
        .args(&shell[1..])
        .args(["-c", &script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn every_posix_shell_runs_the_wrapper() {
    let shells = [
        &["dash"][..],
        &["bash"],
        &["bash", "--posix"],
        &["busybox", "sh"],
        &["ksh"],
        &["zsh", "--emulate", "sh"],
    ];
    // All at once, because each takes its time before it sends SIGKILL.
    std::thread::scope(|scope| {
        for (shell, seconds) in shells.into_iter().zip((4850..).step_by(10)) {
            scope.spawn(move || runs_the_wrapper(shell, seconds));
        }
    });
}

/// What it starts sleeps for so many seconds and a few more, by which it is found.
fn runs_the_wrapper(shell: &[&str], seconds: u32) {
    use std::io::{BufRead, BufReader, Read, Write};
    // Lines first, then an input in pieces, whose bytes are none of the shell's business.
    let mut child = wrapped(shell, "ec_i=1");
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(b"export A='it is'\nset -- /bin/sh -c 'echo $A; cat; exit 5'\nec_h=1\n5\nKILL\n7\n\0\nTERM\n0\n")
        .unwrap();
    let mut said = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut said).unwrap();
    assert_eq!(said, b"it is\nKILL\n\0\nTERM\n", "{shell:?}");
    assert_eq!(child.wait().unwrap().code(), Some(5), "{shell:?}");
    drop(stdin);
    let [deaf, next, last] = [seconds, seconds + 1, seconds + 2];
    let runs = |seconds| poll(PATIENCE, || sleeping(seconds).then_some(()));
    for input in ["", "ec_i=1;"] {
        // A signal by name, then the end of the stream, of which one process takes no notice but for SIGKILL.
        let line = format!(
            "trap 'echo heard' INT; (trap '' INT TERM; exec sleep {deaf}) & echo begun; sleep {next}; sleep {last}; true"
        );
        let begin = format!("ec_h=1;{input}set -- /bin/sh -c \"{line}\"");
        let mut child = wrapped(shell, &begin);
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        stdout.read_line(&mut said).unwrap();
        runs(next).expect("it has not begun");
        stdin.write_all(b"INT\n").unwrap();
        stdout.read_line(&mut said).unwrap();
        assert_eq!(said, "begun\nheard\n", "{shell:?}");
        runs(last).expect("it has not gone on");
        drop((stdin, stdout));
        for seconds in [deaf, last] {
            let gone = poll(PATIENCE, || (!sleeping(seconds)).then_some(()));
            gone.unwrap_or_else(|| panic!("{shell:?}: sleep {seconds} is left running"));
        }
        child.wait().unwrap();
    }
}

//! Steps that want a terminal: sudo with requiretty, doas and ssh with a password, su that runs on a terminal alone.

use easycluster::spec::{ConnectionSpec, Password, Step};
use easycluster::{Client, Command, Stage, Value};

use super::{SESAME, answering, failure, machine, options, spec, su, who, with_password};
use crate::support::{Machine, program, until};

fn doas(password: &str) -> Step {
    let step: Step = "doas".parse().unwrap();
    step.with_password(Password::given(password))
}

/// Behind `tty` in a spec of the account.
fn on_terminal(machine: &Machine, user: &str, step: Step) -> ConnectionSpec {
    spec(machine, user, "tty").with_step(step)
}

#[tokio::test]
async fn sudo_that_wants_a_terminal_gets_one() {
    let Some(machine) = machine() else { return };
    for (user, then, password, name) in [
        ("wtty", "tty,sudo", None, "root"),
        ("wtty", "tty,sudo", Some(SESAME), "root"),
        ("both", "tty,sudo", Some(SESAME), "root"),
        ("both", "tty,sudo/alice,sudo", Some(SESAME), "root"),
        ("both", "tty,sudo/both,tty,sudo/bob", Some(SESAME), "bob"),
        ("lect", "tty,sudo", Some(SESAME), "root"),
        ("nopass", "sudo/both,tty,sudo", Some(SESAME), "root"),
        ("nopass", "tty", None, "nopass"),
    ] {
        let mut spec = spec(&machine, user, then);
        if let Some(password) = password {
            spec = with_password(spec, password);
        }
        let client = Client::connect(&spec, options()).await.unwrap();
        let found: String = client
            .eval("__import__('pwd').getpwuid(__import__('os').getuid()).pw_name")
            .await
            .unwrap();
        assert_eq!(found, name, "{user} {then}");
        // What goes through is unchanged, in both directions.
        let all: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let back: Vec<u8> = client
            .call("bytes", (Value::Bytes(all.clone()),))
            .await
            .unwrap();
        assert!(back == all, "{user} {then}");
    }
    let become_root = machine
        .spec("wtty", "then=tty:become=root")
        .parse()
        .unwrap();
    assert_eq!(who(&become_root, options()).await.unwrap(), "root");
    for (user, password, message) in [
        ("both", Some("wrong"), "sudo/root refused the password"),
        ("both", None, "sudo wants a password, and none was given"),
        (
            "mallory",
            Some(SESAME),
            "the account may not use sudo there",
        ),
    ] {
        let mut spec = spec(&machine, user, "tty,sudo");
        if let Some(password) = password {
            spec = with_password(spec, password);
        }
        let error = failure(&spec, options()).await;
        assert_eq!(error.stage, Stage::Escalation, "{error}");
        assert!(error.message.starts_with(message), "{error}");
        assert!(!format!("{error:?}").contains(SESAME));
    }
    let error = failure(&spec(&machine, "wtty", "sudo"), options()).await;
    let hint = error.hint.unwrap();
    assert!(
        hint.starts_with("put the step tty in front: then=tty,sudo/root"),
        "{hint}"
    );
    machine.idle().await;
}

#[tokio::test]
async fn doas_asks_on_its_terminal() {
    let Some(machine) = machine() else { return };
    let given = on_terminal(&machine, "alice", doas(SESAME));
    assert_eq!(who(&given, options()).await.unwrap(), "root");
    // Somebody types it.
    let (asking, asked) = answering(&[SESAME]);
    let unanswered = spec(&machine, "alice", "tty,doas");
    assert_eq!(who(&unanswered, asking).await.unwrap(), "root");
    let text = asked.lock().unwrap()[0].text.clone();
    assert!(
        text.contains("doas (alice@") && text.ends_with("password: "),
        "{text}"
    );
    for (spec, message) in [
        (
            on_terminal(&machine, "alice", doas("wrong")),
            "doas refused the password",
        ),
        (
            on_terminal(&machine, "mallory", doas(SESAME)),
            "doas.conf does not let the account",
        ),
        (
            unanswered,
            "something on the way through tty,doas/root asks",
        ),
    ] {
        let error = failure(&spec, options()).await;
        assert_eq!(error.stage, Stage::Escalation, "{error}");
        assert!(error.message.starts_with(message), "{error}");
    }
    let bare = machine.spec("alice", "").parse::<ConnectionSpec>().unwrap();
    let error = failure(&bare.with_step(doas(SESAME)), options()).await;
    assert_eq!(error.stage, Stage::Configure, "{error}");
    assert!(error.hint.unwrap().contains("then=tty,doas/root"));
    machine.idle().await;
}

#[tokio::test]
async fn su_that_runs_on_a_terminal_alone() {
    let Some(machine) = machine() else { return };
    // As that of other systems: it looks at its standard input first.
    machine.run(
        "printf '#!/bin/sh\\n[ -t 0 ] || { echo \"su: must be run from a terminal\" >&2; exit 1; }\\nexec /usr/bin/su \"$@\"\\n' >/usr/local/bin/su; \
         chmod 755 /usr/local/bin/su",
    );
    let error = failure(
        &spec(&machine, "alice", "sudo/bob").with_step(su("bob", "x")),
        options(),
    )
    .await;
    assert!(
        error.message.starts_with("sudo wants a password"),
        "{error}"
    );
    let error = failure(&spec(&machine, "alice", "su/bob"), options()).await;
    assert!(
        error.message.starts_with("su there wants a terminal"),
        "{error}"
    );
    for login in ["bob", "bob/login"] {
        let there = on_terminal(&machine, "alice", su(login, SESAME));
        assert_eq!(who(&there, options()).await.unwrap(), "bob");
    }
    // A chain in which each of three has its own.
    let chain = on_terminal(&machine, "bob", su("alice", SESAME))
        .with_step(Step::Tty)
        .with_step(doas(SESAME))
        .with_step(Step::Tty)
        .with_step(su("both", SESAME))
        .with_step(Step::Tty)
        .with_step(Step::sudo("lect"));
    let chain = with_password(chain, SESAME);
    let client = Client::connect(&chain, options()).await.unwrap();
    let user: String = client
        .eval("__import__('getpass').getuser()")
        .await
        .unwrap();
    assert_eq!(user, "lect");
    let all: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let back: Vec<u8> = client
        .call("bytes", (Value::Bytes(all.clone()),))
        .await
        .unwrap();
    assert!(back == all);
    drop(client);
    let wrong = on_terminal(&machine, "alice", su("bob", "wrong"));
    let error = failure(&wrong, options()).await;
    assert!(
        error.message.starts_with("su refused the password of bob"),
        "{error}"
    );
    machine.idle().await;
}

#[tokio::test]
async fn ssh_asks_on_its_terminal_and_a_terminal_is_given_behind_it() {
    let Some(machine) = machine() else { return };
    let sshd = program("sshd").display().to_string();
    let at = machine.folder().display().to_string();
    // The same machine once more, which takes passwords.
    machine.run(&format!(
        "sed 's/^ListenAddress.*/ListenAddress 127.0.0.2:{port}/;s/^PasswordAuthentication.*/PasswordAuthentication yes/' {at}/sshd_config >/etc/second; \
         {sshd} -f /etc/second </dev/null >/dev/null 2>&1",
        port = machine.port()
    ));
    let behind = format!("ssh/both@127.0.0.2\\:{}", machine.port());
    let (asking, asked) = answering(&["yes", SESAME]);
    let there = with_password(
        spec(&machine, "alice", &format!("tty,{behind},tty,sudo")),
        SESAME,
    );
    assert_eq!(who(&there, asking).await.unwrap(), "root");
    let texts: Vec<String> = asked
        .lock()
        .unwrap()
        .iter()
        .map(|q| q.text.clone())
        .collect();
    assert!(texts[0].contains("continue connecting"), "{texts:?}");
    assert!(
        texts[1].ends_with("both@127.0.0.2's password: "),
        "{texts:?}"
    );
    assert_eq!(texts.len(), 2);
    let error = failure(&spec(&machine, "alice", &behind), options()).await;
    assert!(
        error
            .message
            .ends_with("a key that the machine in between has"),
        "{error}"
    );
    machine.run("pkill -f [/]etc/second || :");
    machine.idle().await;
}

#[tokio::test]
async fn a_shell_command_has_its_own_input_behind_a_terminal() {
    let Some(machine) = machine() else { return };
    let there = with_password(spec(&machine, "both", "tty,sudo"), SESAME);
    let sent = vec![b'x'; 300_000];
    let output = Command::on(&there, "id -un; wc -c; echo it >&2; exit 7")
        .stdin(sent)
        .output()
        .await
        .unwrap();
    let words: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    assert_eq!(words, ["root", "300000"]);
    assert!(output.stderr.ends_with(b"it\n"), "{:?}", output.stderr);
    assert!(output.status.to_string().contains('7'), "{}", output.status);
    machine.idle().await;
}

#[tokio::test]
async fn no_program_behind_a_terminal_reads_the_password() {
    let Some(machine) = machine() else { return };
    super::secrets::install_copier(&machine);
    machine.run("echo 'Defaults:alice timestamp_type=global' >>/etc/sudoers");
    // The second of alice has a ticket: nothing asks.
    let cases = [
        ("wtty", Step::sudo("root")),
        ("alice", Step::sudo("root")),
        ("alice", Step::sudo("root")),
        ("both", Step::sudo("root")),
        ("alice", doas(SESAME)),
        ("nopass", doas(SESAME)),
        ("bob", su("alice", SESAME)),
    ];
    let users = cases.each_ref().map(|(user, _)| *user);
    for (n, (user, step)) in cases.into_iter().enumerate() {
        let there = on_terminal(&machine, user, step.with_password(Password::given(SESAME)))
            .with_step(format!("run/copier {n}").parse().unwrap());
        who(&there, options()).await.unwrap();
    }
    // They read on for seconds after the client has gone: one wait for all of them.
    machine.idle().await;
    for (n, user) in users.into_iter().enumerate() {
        let (bytes, found) = super::secrets::copied(&machine, &n.to_string());
        assert!(bytes > 5000, "{user}: {bytes} bytes");
        assert_eq!(found, 0, "{user}");
    }
}

#[tokio::test]
async fn what_reads_nothing_is_hung_up() {
    let Some(machine) = machine() else { return };
    // All at once, because each of them waits for its limit.
    let all = [
        "tty,run/sh -c 'exec sleep 98765'",
        "tty,sudo,run/sh -c 'exec sleep 98765'",
        "tty,sudo/bob,run/sh -c 'exec sleep 98765'",
    ];
    let connecting = all.map(|then| {
        let spec = machine.spec("nopass", &format!("then={then}:timeout=5"));
        tokio::spawn(async move { failure(&spec.parse().unwrap(), options()).await })
    });
    until(|| {
        let processes = machine.session_processes();
        let sleep = processes
            .iter()
            .filter(|process| process.command.starts_with("sleep 98765"));
        match sleep.count() == all.len() {
            true => Ok(()),
            false => Err(processes),
        }
    })
    .await;
    for connecting in connecting {
        let error = connecting.await.unwrap();
        assert!(
            error.timed_out && error.stage == Stage::Escalation,
            "{error}"
        );
    }
    machine.idle().await;
}

#[tokio::test]
async fn a_machine_without_python_in_front_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let sh = folder.path().join("sh");
    std::os::unix::fs::symlink("/bin/sh", sh).unwrap();
    let spec: ConnectionSpec = format!(
        ":local:then=run/env PATH={},tty,run/env",
        folder.path().display()
    )
    .parse()
    .unwrap();
    let error = failure(&spec, options()).await;
    assert_eq!(error.stage, Stage::Escalation, "{error}");
    if !std::path::Path::new("/usr/libexec/platform-python").exists() {
        assert_eq!(error.message, "the machine has no python", "{error}");
    }
}

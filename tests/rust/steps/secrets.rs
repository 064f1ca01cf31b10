//! Where a password goes: to a prompt that was seen, once, and nowhere else; and what other programs ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use easycluster::{Client, Stage};

use super::{SESAME, answering, failure, machine, options, spec, who, with_password};
use crate::support::Machine;

/// Puts a program on the machine that keeps what it reads, by the name in its first argument, and runs the others on it.
pub fn install_copier(machine: &Machine) {
    machine.run(
        "mkdir -m 1777 /seen; cat >/usr/local/bin/copier <<'END'\n\
         #!/bin/sh\n\
         file=$(mktemp /seen/$1.XXXXXX); shift; chmod 644 $file; tee $file | \"$@\"\n\
         END\n\
         chmod 755 /usr/local/bin/copier",
    );
}

/// Whatever the copiers have read by this name: how many bytes, and how many of them are the password's line.
pub fn copied(machine: &Machine, name: &str) -> (usize, usize) {
    let said = machine.run(&format!(
        "cat /seen/{name}.* | wc -c; cat /seen/{name}.* | grep -ac {SESAME} || :"
    ));
    let numbers: Vec<usize> = said
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    (numbers[0], numbers[1])
}

#[tokio::test]
async fn no_program_behind_reads_the_password() {
    let Some(machine) = machine() else { return };
    install_copier(&machine);
    // A ticket that holds for every session of the account, and a shell that shows what it runs.
    machine.run(
        "echo 'Defaults:alice timestamp_type=global' >>/etc/sudoers; \
         echo 'set -xv' >/home/nopass/.bashrc; echo 'set -xv' >/home/lect/.bashrc",
    );
    // The first of alice is asked, the second has a ticket.
    let cases = ["nopass", "alice", "alice", "lect", "wpty"];
    for (n, user) in cases.iter().enumerate() {
        let spec = spec(&machine, user, &format!("sudo,run/copier {n}"));
        let spec = with_password(spec, SESAME);
        assert_eq!(who(&spec, options()).await.unwrap(), "root", "{user}");
    }
    // A copier reads on to the end of its input, for seconds after the client has gone: one wait for all of them.
    machine.idle().await;
    for (n, user) in cases.iter().enumerate() {
        let (bytes, found) = copied(&machine, &n.to_string());
        assert!(bytes > 5000, "{user}: {bytes} bytes");
        assert_eq!(found, 0, "{user}");
    }
}

#[tokio::test]
async fn no_command_line_and_no_environment_has_the_password() {
    let Some(machine) = machine() else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    // Root sees all of them, and others those that they may see.
    let watching = std::thread::spawn(move || {
        let mut seen = 0;
        while !stopped.load(Ordering::Relaxed) {
            for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                for file in ["cmdline", "environ"] {
                    let text = std::fs::read(entry.path().join(file)).unwrap_or_default();
                    let text = String::from_utf8_lossy(&text).into_owned();
                    assert!(!text.contains(SESAME), "{text}");
                    seen += usize::from(text.contains("sudo\0-S\0-p"));
                }
            }
        }
        seen
    });
    let found = async {
        for then in ["sudo", "sudo,sudo/bob"] {
            let spec = with_password(spec(&machine, "alice", then), SESAME);
            let client = Client::connect(&spec, options()).await.unwrap();
            client.ready().await.unwrap();
            let spec = with_password(spec, "wrong");
            drop((client, spec));
        }
    }
    .await;
    stop.store(true, Ordering::Relaxed);
    assert!(watching.join().unwrap() > 0, "sudo was not seen");
    let () = found;
    assert!(!machine.log().contains(SESAME));
    machine.idle().await;
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let Some(machine) = machine() else { return };
    machine.run("echo 'Defaults logfile=/var/log/sudo.log' >>/etc/sudoers");
    let wrong = with_password(spec(&machine, "alice", "sudo"), "wrong");
    let error = failure(&wrong, options()).await;
    assert_eq!(error.message, "sudo/root refused the password");
    machine.idle().await;
    let log = machine.run("cat /var/log/sudo.log");
    assert_eq!(
        log.matches("1 incorrect password attempt").count(),
        1,
        "{log}"
    );
    // A question that is refused ends it too.
    let (asking, asked) = answering(&[]);
    let asked_for =
        spec(&machine, "alice", "sudo").with_sudo_password(&easycluster::spec::Password::asked());
    let error = failure(&asked_for, asking).await;
    assert!(error.message.contains("was not answered"), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 1);
    let error = failure(&asked_for, options()).await;
    assert!(
        error.message.contains("there is no terminal to ask"),
        "{error}"
    );
    // Batch mode holds here as well.
    let (asking, asked) = answering(&[SESAME]);
    let batch = asked_for.with_option("batch", "yes").unwrap();
    let error = failure(&batch, asking).await;
    assert!(
        error.message.contains("there is no terminal to ask"),
        "{error}"
    );
    assert!(asked.lock().unwrap().is_empty());
    machine.idle().await;
}

#[tokio::test]
async fn what_another_program_asks_is_passed_on() {
    let Some(machine) = machine() else { return };
    machine.run(
        "cat >/usr/local/bin/asker <<'END'\n\
         #!/bin/sh\n\
         printf 'Token\\033[31m code: ' >&2; read code; [ \"$code\" = 123456 ] || exit 9; exec \"$@\"\n\
         END\n\
         chmod 755 /usr/local/bin/asker",
    );
    let through = spec(&machine, "nopass", "run/asker,sudo");
    let (asking, asked) = answering(&["123456"]);
    assert_eq!(who(&through, asking).await.unwrap(), "root");
    let question = asked.lock().unwrap()[0].clone();
    assert!(
        question.text.ends_with("Token\\u{1b}[31m code: "),
        "{question:?}"
    );
    assert!(!question.echo);
    assert_eq!(question.stage, Stage::Escalation);
    let (asking, _) = answering(&["1"]);
    let error = failure(&through, asking).await;
    assert!(error.message.contains("exit status 9"), "{error}");
    let error = failure(&through, options()).await;
    assert_eq!(error.stage, Stage::Escalation);
    assert!(
        error
            .message
            .contains("code:\", and there is no terminal to ask"),
        "{error}"
    );
    // A program that asks on and on is not answered for ever.
    machine.run("printf '#!/bin/sh\\nwhile :; do printf again: >&2; read x || exit; done\\n' >/usr/local/bin/asker");
    let (asking, asked) = answering(&["a"; 50]);
    let error = failure(&through, asking).await;
    assert!(error.message.contains("asks on and on"), "{error}");
    assert!(asked.lock().unwrap().len() < 10);
    machine.idle().await;
}

#[tokio::test]
async fn what_waits_is_ended_by_its_limit_and_says_so() {
    let Some(machine) = machine() else { return };
    machine.run("printf '#!/bin/sh\\necho waiting for the dongle >&2\\ncat >/dev/null\\n' >/usr/local/bin/waiter; chmod 755 /usr/local/bin/waiter");
    // All at once, because each of them waits for its limit.
    let all = ["run/waiter", "sudo,run/waiter", "sudo/bob,run/waiter"];
    let connecting = all.map(|then| {
        let spec = machine.spec("nopass", &format!("then={then}:timeout=5"));
        tokio::spawn(async move { failure(&spec.parse().unwrap(), options()).await })
    });
    for connecting in connecting {
        let error = connecting.await.unwrap();
        assert!(error.timed_out, "{error}");
        assert_eq!(error.stage, Stage::Escalation, "{error}");
        assert!(
            error.to_string().contains("waiting for the dongle"),
            "{error}"
        );
    }
    machine.idle().await;
}

//! The other steps, alone and in chains, on each transport and under old and new interpreters.

use easycluster::spec::{Password, Step};
use easycluster::{Client, Stage};

use super::{SESAME, answering, failure, machine, options, spec, su, who, with_password};
use crate::support::{interpreters, program};

#[tokio::test]
async fn su_asks_and_is_answered() {
    let Some(machine) = machine() else { return };
    let bare = machine
        .spec("alice", "")
        .parse::<easycluster::ConnectionSpec>()
        .unwrap();
    let spec_of = |step: Step| bare.clone().with_step(step);
    assert_eq!(
        who(&spec_of(su("bob", SESAME)), options()).await.unwrap(),
        "bob"
    );
    assert_eq!(
        who(&spec_of(su("bob/login", SESAME)), options())
            .await
            .unwrap(),
        "bob"
    );
    // Somebody types it.
    let (asking, asked) = answering(&[SESAME]);
    let unanswered = spec_of("su/bob".parse().unwrap());
    assert_eq!(who(&unanswered, asking).await.unwrap(), "bob");
    let text = asked.lock().unwrap()[0].text.clone();
    assert!(
        text.ends_with("Password: ") && text.starts_with("(alice@"),
        "{text}"
    );
    // Asked once for the account.
    let (asking, asked) = answering(&[SESAME]);
    let step: Step = "su/bob".parse().unwrap();
    let password = Password::asked();
    for _ in 0..2 {
        let spec = spec_of(step.clone().with_password(password.clone()));
        assert_eq!(who(&spec, asking.clone()).await.unwrap(), "bob");
    }
    let texts: Vec<String> = asked
        .lock()
        .unwrap()
        .iter()
        .map(|q| q.text.clone())
        .collect();
    assert_eq!(texts, ["[su] password for bob: "]);

    for (spec, message) in [
        (
            spec_of(su("bob", "wrong")),
            "su refused the password of bob",
        ),
        (
            spec_of(su("nobody-there", "x")),
            "there is no user nobody-there",
        ),
        (
            unanswered,
            "something on the way through su/bob asks \"Password:\", and there is no terminal to ask on",
        ),
    ] {
        let error = failure(&spec, options()).await;
        assert_eq!(error.stage, Stage::Escalation, "{error}");
        assert!(error.message.starts_with(message), "{error}");
    }
    machine.idle().await;
}

#[tokio::test]
async fn doas_without_a_password() {
    let Some(machine) = machine() else { return };
    assert_eq!(
        who(&spec(&machine, "nopass", "doas"), options())
            .await
            .unwrap(),
        "root"
    );
    assert_eq!(
        who(&spec(&machine, "nopass", "doas/bob"), options())
            .await
            .unwrap(),
        "bob"
    );
    for (user, then, message) in [
        (
            "alice",
            "doas",
            "doas wants a password, which it reads from a terminal alone",
        ),
        (
            "mallory",
            "doas",
            "doas.conf does not let the account become root",
        ),
        (
            "nopass",
            "doas/nobody-there",
            "there is no user nobody-there",
        ),
    ] {
        let error = failure(&spec(&machine, user, then), options()).await;
        assert_eq!(error.stage, Stage::Escalation, "{error}");
        assert!(error.message.starts_with(message), "{error}");
    }
    machine.idle().await;
}

/// The init process of the machine, which is in its namespaces.
const INIT: &str = "1";

#[tokio::test]
async fn roots_namespaces_and_any_command() {
    let Some(machine) = machine() else { return };
    machine.run(
        "mkdir -p /srv/jail && mount --rbind / /srv/jail && touch /in-all && mkdir /srv/empty",
    );
    let unshare = program("unshare").display().to_string();
    for then in [
        "sudo,chroot/srv/jail".to_owned(),
        format!("sudo,nsenter/{INIT}"),
        format!("sudo,nsenter/{INIT}/mu"),
        format!("sudo,run/{unshare} -m -u"),
        "sudo,run/nice -n 5".to_owned(),
    ] {
        let found = who(&spec(&machine, "nopass", &then), options()).await;
        assert_eq!(found.unwrap(), "root", "{then}");
    }
    for (then, message) in [
        ("chroot/srv/jail", "chroot/srv/jail needs root"),
        ("sudo,chroot/srv/none", "there is no directory /srv/none"),
        (
            "sudo,chroot/srv/empty",
            "there is no /bin/sh behind chroot/srv/empty",
        ),
        ("nsenter/1", "nsenter/1 needs root"),
        ("sudo,nsenter/999999", "there is no process 999999"),
        (
            "run/no-such-program",
            "Python did not start behind run/no-such-program",
        ),
        ("lxc/box", "the machine has no lxc"),
        ("incus/box", "the machine has no incus"),
    ] {
        let error = failure(&spec(&machine, "nopass", then), options()).await;
        assert_eq!(error.stage, Stage::Escalation, "{error}");
        assert!(error.message.starts_with(message), "{error}");
    }
    machine.idle().await;
}

#[tokio::test]
async fn a_machine_behind_a_machine_and_chains_of_three() {
    let Some(machine) = machine() else { return };
    // The machine itself is the one behind; it takes the same key.
    let port = machine.port();
    let key = machine.key.private.display();
    machine.run(&format!(
        "for user in nopass bob; do mkdir -p /home/$user/.ssh; cp {key} /home/$user/.ssh/id_ed25519; \
         cp {}/known_hosts /home/$user/.ssh/known_hosts; chown -R $user /home/$user/.ssh; chmod 700 /home/$user/.ssh; \
         chmod 600 /home/$user/.ssh/*; done",
        machine.folder().display()
    ));
    let ssh = |user: &str| format!("ssh/{user}@127.0.0.1\\:{port}");
    for (then, name) in [
        (ssh("bob"), "bob"),
        (
            format!("{},{},{}", ssh("bob"), ssh("nopass"), "sudo"),
            "root",
        ),
        (format!("sudo,sudo/bob,{}", ssh("nopass")), "nopass"),
    ] {
        let found = who(&spec(&machine, "nopass", &then), options()).await;
        assert_eq!(found.unwrap(), name, "{then}");
    }
    // Passwords of different steps, each at its own prompt.
    let chain = spec(&machine, "alice", "sudo/bob")
        .with_step(su("alice", SESAME))
        .with_step(Step::sudo("root"));
    let chain = with_password(chain, SESAME);
    assert_eq!(who(&chain, options()).await.unwrap(), "root");
    for (then, message) in [
        (
            "ssh/mallory@127.0.0.1\\:PORT",
            "mallory@127.0.0.1:PORT does not accept a key",
        ),
        (
            "ssh/bob@no-such-host.invalid",
            "the machine in between cannot look up",
        ),
        (
            "ssh/bob@127.0.0.1\\:1",
            "the machine in between cannot reach",
        ),
        (
            "sudo/alice,ssh/bob@127.0.0.1\\:PORT",
            "the machine in between does not know the host key",
        ),
    ] {
        let then = then.replace("PORT", &port.to_string());
        machine.run("echo none >/home/nopass/.ssh/id_ed25519");
        let error = failure(&spec(&machine, "nopass", &then), options()).await;
        assert_eq!(error.stage, Stage::Escalation, "{error}");
        let message = message.replace("PORT", &port.to_string());
        assert!(error.message.starts_with(&message), "{error}");
    }
    machine.idle().await;
}

#[tokio::test]
async fn steps_go_by_an_ssh_program_too() {
    let Some(machine) = machine() else { return };
    let ssh = program("ssh").display().to_string();
    let spec = |user: &str| {
        machine
            .spec(user, &format!("ssh={ssh}:become=root"))
            .parse::<easycluster::ConnectionSpec>()
            .unwrap()
    };
    assert_eq!(who(&spec("nopass"), options()).await.unwrap(), "root");
    let right = with_password(spec("alice"), SESAME);
    assert_eq!(who(&right, options()).await.unwrap(), "root");
    let error = failure(&with_password(spec("alice"), "wrong"), options()).await;
    assert_eq!(error.message, "sudo/root refused the password");
    machine.idle().await;
}

#[tokio::test]
async fn under_the_oldest_and_the_newest_interpreter() {
    let Some(machine) = machine() else { return };
    let all = interpreters();
    for interpreter in [all.first(), all.last()].into_iter().flatten() {
        let path = interpreter.path.display().to_string();
        let spec = machine.spec("alice", &format!("then=sudo,sudo:rpython={path}"));
        let spec = with_password(spec.parse().unwrap(), SESAME);
        let client = Client::connect(&spec, options()).await.unwrap();
        let found: String = client.eval("__import__('sys').executable").await.unwrap();
        assert_eq!(found, path);
        let uid: i64 = client.call("os.getuid", ()).await.unwrap();
        assert_eq!(uid, 0);
    }
    machine.idle().await;
}

//! sudo: with and without a password, with a ticket, refused for each of its reasons.

use easycluster::Stage;

use crate::support::parts;

use super::{SESAME, answering, failure, machine, options, spec, who, with_password};

#[tokio::test]
async fn sudo_without_a_password() {
    let Some(machine) = machine() else { return };
    let found = who(&spec(&machine, "nopass", "sudo"), options()).await;
    assert_eq!(found.unwrap(), "root");
    let found = who(&spec(&machine, "nopass", "sudo/bob"), options()).await;
    assert_eq!(found.unwrap(), "bob");
    let spec_of = machine.spec("nopass", "become=alice").parse().unwrap();
    assert_eq!(who(&spec_of, options()).await.unwrap(), "alice");
    // A password that is not wanted is not sent.
    let spec = with_password(spec(&machine, "nopass", "sudo"), SESAME);
    assert_eq!(who(&spec, options()).await.unwrap(), "root");
    machine.idle().await;
}

#[tokio::test]
async fn sudo_with_a_password() {
    let Some(machine) = machine() else { return };
    for user in ["alice", "wpty", "lect"] {
        let spec = with_password(spec(&machine, user, "sudo"), SESAME);
        assert_eq!(who(&spec, options()).await.unwrap(), "root", "{user}");
    }
    machine.idle().await;
}

#[tokio::test]
async fn sudo_refuses_for_each_reason() {
    let Some(machine) = machine() else { return };
    for (user, then, password, message) in [
        (
            "alice",
            "sudo",
            None,
            "sudo wants a password, and none was given",
        ),
        (
            "alice",
            "sudo",
            Some("wrong"),
            "sudo/root refused the password",
        ),
        ("mallory", "sudo", None, "sudo wants a password"),
        (
            "mallory",
            "sudo",
            Some(SESAME),
            "the account may not use sudo there",
        ),
        (
            "wtty",
            "sudo",
            None,
            "sudo there wants a terminal (requiretty)",
        ),
        ("one", "sudo", None, "sudo wants a password"),
        (
            "one",
            "sudo",
            Some(SESAME),
            "sudoers does not let the account run a shell as root",
        ),
        (
            "nopass",
            "sudo/no-such-user",
            None,
            "there is no user no-such-user",
        ),
    ] {
        let mut spec = spec(&machine, user, then);
        if let Some(password) = password {
            spec = with_password(spec, password);
        }
        let error = failure(&spec, options()).await;
        println!(
            "{error}\n  hint: {}",
            error.hint.clone().unwrap_or_default()
        );
        assert_eq!(error.stage, Stage::Escalation, "{error}");
        assert!(error.message.starts_with(message), "{user} {then}: {error}");
        assert!(error.hint.is_some());
        let all = format!("{error} {error:?}");
        assert!(
            !all.contains(SESAME) && !all.contains("import sys"),
            "{all}"
        );
    }
    machine.idle().await;
}

#[tokio::test]
async fn a_password_is_asked_for_once_for_all_hosts() {
    let Some(machine) = machine() else { return };
    let (asked_options, asked) = answering(&[SESAME]);
    let password = easycluster::spec::Password::asked();
    let one = spec(&machine, "alice", "sudo").with_sudo_password(&password);
    let two = spec(&machine, "alice", "sudo/bob").with_sudo_password(&password);
    let (first, second) = tokio::join!(who(&one, asked_options.clone()), who(&two, asked_options));
    assert_eq!(
        (first.unwrap().as_str(), second.unwrap().as_str()),
        ("root", "bob")
    );
    let asked = asked.lock().unwrap();
    let texts: Vec<&str> = asked
        .iter()
        .map(|question| question.text.as_str())
        .collect();
    assert_eq!(texts, ["[sudo] password for alice: "]);
    assert!(!asked[0].echo);
}

#[tokio::test]
async fn sudo_written_in_rust_has_prompts_of_its_own() {
    let found = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path)
            .map(|folder| folder.join("sudo-rs"))
            .find(|file| file.exists())
    });
    let Some(program) = parts::need("sudo-rs", found) else {
        return;
    };
    let Some(machine) = machine() else { return };
    machine.run(&format!(
        "cp {} /usr/local/bin/sudo; chmod 4755 /usr/local/bin/sudo; sed -i '/^Defaults/d' /etc/sudoers; cp /etc/pam.d/sudo /etc/pam.d/sudo-i",
        program.display()
    ));
    assert_eq!(
        who(&spec(&machine, "nopass", "sudo"), options())
            .await
            .unwrap(),
        "root"
    );
    let spec_of = |password| with_password(spec(&machine, "alice", "sudo/bob"), password);
    assert_eq!(who(&spec_of(SESAME), options()).await.unwrap(), "bob");
    for (user, password, message) in [
        ("alice", Some("wrong"), "sudo/root refused the password"),
        ("alice", None, "sudo wants a password, and none was given"),
        (
            "mallory",
            Some(SESAME),
            "the account may not use sudo there",
        ),
    ] {
        let mut spec = spec(&machine, user, "sudo");
        if let Some(password) = password {
            spec = with_password(spec, password);
        }
        let error = failure(&spec, options()).await;
        println!("{error}");
        assert_eq!(error.stage, Stage::Escalation, "{error}");
        assert!(error.message.starts_with(message), "{error}");
    }
    machine.idle().await;
}

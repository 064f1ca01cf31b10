//! What is opened ahead of need: a spare channel for the next client, and interpreters where a spec asks for them.

use easycluster::connection::ConnectOptions;
use easycluster::{Client, ConnectionSpec, OutputSink};

use crate::support::remote::{finish, idle, open_spec, server, server_with, until};
use crate::support::{Sshd, SshdOptions, interpreter_at_least};

/// A server that allows so many sessions a connection, and tells in its log of each that is opened.
fn telling(max_sessions: u32) -> Sshd {
    server_with(SshdOptions {
        max_sessions,
        lines: vec!["LogLevel DEBUG1".to_owned()],
        ..SshdOptions::default()
    })
}

/// Sessions that the server has opened and refused since it was ready.
fn sessions(server: &Sshd) -> (usize, usize) {
    let log = server.log();
    let (_, log) = log.split_once("---- ready ----").unwrap();
    let count = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    (count("session_new: session "), count("no more sessions"))
}

async fn until_sessions(server: &Sshd, wanted: (usize, usize)) {
    until(|| match sessions(server) {
        found if found == wanted => Ok(()),
        found => Err((found, "of", wanted)),
    })
    .await;
}

/// Waits until the server has ended so many sessions with a command, whose places are free then.
async fn until_closed(server: &Sshd, wanted: usize) {
    let closed = || {
        let log = server.log();
        let (_, log) = log.split_once("---- ready ----").unwrap();
        log.matches("Close session: ").count()
    };
    until(|| {
        if closed() >= wanted {
            Ok(())
        } else {
            Err((closed(), "of", wanted))
        }
    })
    .await;
}

#[tokio::test]
async fn one_spare_channel_is_there_and_the_next_client_takes_it() {
    let server = telling(10);
    let first = open_spec(&server.spec(), "cat").await.unwrap();
    until_sessions(&server, (2, 0)).await;
    // It runs nothing.
    assert_eq!(server.log().matches("Starting session").count(), 2);
    let second = open_spec(&server.spec(), "echo second").await.unwrap();
    assert_eq!(finish(second).await.0, b"second\n");
    // Its place is taken by another one, and by no more.
    until_sessions(&server, (3, 0)).await;
    assert_eq!(server.logins(), 1);
    // It keeps nothing alive.
    drop(first);
    idle(&server).await;
    assert_eq!(sessions(&server), (3, 0));
}

#[tokio::test]
async fn a_refused_spare_channel_takes_no_place_and_ends_no_use_of_the_connection() {
    let server = telling(2);
    let first = open_spec(&server.spec(), "cat").await.unwrap();
    until_sessions(&server, (2, 0)).await;
    // The spare one had the last place, and it is the second client's.
    let second = open_spec(&server.spec(), "cat").await.unwrap();
    until_sessions(&server, (2, 1)).await;
    assert_eq!(server.logins(), 1);
    // Nothing is asked for again until a place is free, and then the connection serves on.
    drop(second);
    for number in 0..3 {
        until_closed(&server, number + 1).await;
        let next = open_spec(&server.spec(), &format!("echo {number}"))
            .await
            .unwrap();
        assert_eq!(finish(next).await.0, format!("{number}\n").as_bytes());
    }
    assert_eq!(server.logins(), 1);
    drop(first);
    idle(&server).await;
}

#[tokio::test]
async fn where_one_session_is_allowed_a_spare_channel_is_asked_for_once() {
    let server = telling(1);
    let first = open_spec(&server.spec(), "cat").await.unwrap();
    until_sessions(&server, (1, 1)).await;
    // It is the next client that finds the connection full.
    let second = open_spec(&server.spec(), "cat").await.unwrap();
    until_sessions(&server, (2, 3)).await;
    assert_eq!(server.logins(), 2);
    drop((first, second));
    idle(&server).await;
}

async fn connect(spec: &str) -> (Client, i64) {
    let spec: ConnectionSpec = spec.parse().unwrap();
    let options = ConnectOptions::default().with_output(OutputSink::discard());
    let client = Client::connect(&spec, options).await.unwrap();
    let pid = client.ready().await.unwrap().pid;
    let seen: i64 = client.call("os.getpid", ()).await.unwrap();
    assert_eq!(seen, pid);
    (client, pid)
}

/// The interpreters that run, without those already known.
fn others(server: &Sshd, known: &[i64]) -> Vec<i64> {
    server
        .session_processes()
        .iter()
        .filter(|process| process.command.contains("import sys"))
        .map(|process| i64::from(process.pid))
        .filter(|pid| !known.contains(pid))
        .collect()
}

async fn until_others(server: &Sshd, known: &[i64], count: usize) -> Vec<i64> {
    until(|| {
        let found = others(server, known);
        if found.len() == count {
            Ok(())
        } else {
            Err(found)
        }
    })
    .await;
    others(server, known)
}

#[tokio::test]
async fn interpreters_wait_for_clients_and_are_replaced_when_taken() {
    // What the login shell prints first is noise for the client that takes the interpreter over.
    let server = server_with(SshdOptions {
        greeting: "Welcome to the machine\n".to_owned(),
        ..SshdOptions::default()
    });
    let spec = format!("{}:ahead=2", server.spec());
    let (first, mine) = connect(&spec).await;
    let waiting = until_others(&server, &[mine], 2).await;
    let (second, theirs) = connect(&spec).await;
    assert!(waiting.contains(&theirs), "{theirs} of {waiting:?}");
    let waiting = until_others(&server, &[mine, theirs], 2).await;

    // One that dies while it waits is not an error. Its place is filled when the next client has come.
    let killed = waiting[0];
    let pid = rustix::process::Pid::from_raw(i32::try_from(killed).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until_closed(&server, 1).await;
    // What the server said of it has come when the answer to something later has.
    finish(open_spec(&server.spec(), "true").await.unwrap()).await;
    let (third, another) = connect(&spec).await;
    assert_ne!(another, killed);
    until_others(&server, &[mine, theirs, another], 2).await;

    // A client that does not ask for it is on its own, and so is one with another interpreter.
    let waiting = others(&server, &[mine, theirs, another]);
    let (plain, plains) = connect(&server.spec()).await;
    assert!(!waiting.contains(&plains));
    let python = interpreter_at_least((3, 6));
    let (named, nameds) = connect(&format!("{spec}:rpython={}", python.to_str())).await;
    assert!(!waiting.contains(&nameds));

    assert_eq!(server.logins(), 1);
    drop((first, second, third, plain, named));
    idle(&server).await;
}

#[tokio::test]
async fn interpreters_ahead_take_what_places_there_are() {
    let server = telling(2);
    let spec = format!("{}:ahead=5", server.spec());
    let (first, mine) = connect(&spec).await;
    let waiting = until_others(&server, &[mine], 1).await;
    let (second, theirs) = connect(&spec).await;
    assert_eq!(waiting, [theirs]);
    assert_eq!(server.logins(), 1);
    // No place for more: the next one gets a connection of its own.
    let (third, _) = connect(&spec).await;
    assert_eq!(server.logins(), 2);
    drop((first, second, third));
    idle(&server).await;
}

#[tokio::test]
async fn a_full_connection_whose_place_an_interpreter_took_gives_it_to_the_client() {
    let server = telling(2);
    let spec = format!("{}:ahead=1", server.spec());
    let (first, mine) = connect(&spec).await;
    let waiting = until_others(&server, &[mine], 1).await;
    // Somebody else is refused, and the connection counts as full from then on.
    let other = open_spec(&server.spec(), "cat").await.unwrap();
    assert_eq!(server.logins(), 2);
    let (second, theirs) = connect(&spec).await;
    assert_eq!(waiting, [theirs]);
    assert_eq!(server.logins(), 2);
    drop((first, other, second));
    idle(&server).await;
}

#[tokio::test]
async fn many_clients_at_once_are_served_with_or_without_an_interpreter_ready() {
    let server = server();
    let spec = format!("{}:ahead=3", server.spec());
    let mut clients = vec![connect(&spec).await];
    for _ in 0..3 {
        let starting: Vec<_> = (0..6)
            .map(|_| {
                let spec = spec.clone();
                tokio::spawn(async move { connect(&spec).await })
            })
            .collect();
        for started in starting {
            clients.push(started.await.unwrap());
        }
    }
    let mut pids: Vec<i64> = clients.iter().map(|(_, pid)| *pid).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(
        pids.len(),
        clients.len(),
        "two clients have one interpreter"
    );
    drop(clients);
    idle(&server).await;
}

#[tokio::test]
async fn an_interpreter_that_is_not_there_is_told_as_ever() {
    let server = server();
    let spec = format!("{}:ahead=2:rpython=no-such-python", server.spec());
    let spec: ConnectionSpec = spec.parse().unwrap();
    for _ in 0..2 {
        let error = Client::connect(&spec, ConnectOptions::default())
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("no Python found; tried no-such-python"),
            "{error}"
        );
    }
    idle(&server).await;
}

//! The end reaches what runs behind steps: processes are counted, whatever ended the connection.

use easycluster::{Client, ConnectionSpec};

use super::{SESAME, machine, options, spec, su, with_password};
use crate::support::processes::Process;
use crate::support::{Machine, until, within};

fn ways(machine: &Machine) -> Vec<ConnectionSpec> {
    machine.run("mkdir -p /srv/jail && mount --rbind / /srv/jail");
    vec![
        spec(machine, "nopass", "sudo"),
        with_password(spec(machine, "wpty", "sudo"), SESAME),
        with_password(spec(machine, "alice", "sudo,sudo/bob"), SESAME)
            .with_step(su("alice", SESAME)),
        spec(machine, "nopass", "sudo,chroot/srv/jail,run/nice"),
        spec(machine, "nopass", "doas/bob"),
        spec(machine, "nopass", "sudo,nsenter/1/mp"),
    ]
}

/// Connects, starts a call that does not end, and waits until it runs, as this many do with it.
async fn busy(machine: &Machine, spec: &ConnectionSpec, many: usize) -> Client {
    let client = Client::connect(spec, options()).await.unwrap();
    let name = "__import__('subprocess').call(['sleep', '98765'])";
    let call = client.clone();
    tokio::spawn(async move {
        let _: Result<i64, _> = call.eval(name).await;
    });
    until(|| {
        let sleeps = |process: &&Process| process.command == "sleep 98765";
        match machine.session_processes() {
            all if all.iter().filter(sleeps).count() == many => Ok(()),
            all => Err(all),
        }
    })
    .await;
    client
}

/// A client for each way, in a call that does not end.
async fn all_busy(machine: &Machine, ways: &[ConnectionSpec]) -> Vec<Client> {
    let mut clients = Vec::new();
    for (spec, many) in ways.iter().zip(1..) {
        clients.push(busy(machine, spec, many).await);
    }
    clients
}

#[tokio::test]
async fn closing_ends_all_of_it() {
    let Some(machine) = machine() else { return };
    // One wait for all of them, because what is behind steps is given its time to end.
    let ways = ways(&machine);
    for client in all_busy(&machine, &ways).await {
        within(client.close()).await;
    }
    machine.idle().await;
    // Idle ones.
    let mut clients = Vec::new();
    for spec in &ways {
        let client = Client::connect(spec, options()).await.unwrap();
        client.ready().await.unwrap();
        clients.push(client);
    }
    drop(clients);
    machine.idle().await;
}

#[tokio::test]
async fn a_lost_connection_ends_all_of_it() {
    let Some(machine) = machine() else { return };
    let clients = all_busy(&machine, &ways(&machine)).await;
    machine.break_sessions();
    machine.idle().await;
    for client in clients {
        let lost: Result<i64, _> = within(client.call("os.getpid", ()).into_future()).await;
        lost.unwrap_err();
    }
}

#[tokio::test]
async fn giving_up_while_something_asks_ends_all_of_it() {
    let Some(machine) = machine() else { return };
    let spec =
        spec(&machine, "alice", "sudo").with_sudo_password(&easycluster::spec::Password::asked());
    let (send, asked) = std::sync::mpsc::channel();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let prompter: easycluster::Prompter = std::sync::Arc::new(move |question| {
        send.send(question.text.clone()).unwrap();
        let _ = wait.lock().unwrap().recv();
        None
    });
    let options =
        options().with_transport(easycluster::TransportOptions::default().with_prompter(prompter));
    let connecting = tokio::spawn(async move { Client::connect(&spec, options).await.map(drop) });
    until(|| asked.try_recv().map(drop)).await;
    connecting.abort();
    let _ = connecting.await;
    machine.idle().await;
    drop(release);
}

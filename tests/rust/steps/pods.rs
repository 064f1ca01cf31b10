//! Pods by a real kubectl, whose cluster is played by tests/support/pods.py; and the containers of LXD, Incus and systemd by
//! programs that take the place of theirs, check their arguments and run the command for real.

use easycluster::{Client, Stage, Value};

use super::{failure, machine, options, spec, who};
use crate::support::processes::Process;
use crate::support::{Machine, parts, until, within};

/// Starts the cluster on the machine, for the account `nopass`; PORT is to be filled in.
const CLUSTER: &str = r#"
cp SERVER /srv/pods.py; chmod 644 /srv/pods.py; mkdir /home/nopass/.kube
cat >/home/nopass/.kube/config <<'END'
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:PORT"}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
END
chown -R nopass /home/nopass/.kube
su bob -c 'exec /usr/bin/python3 /srv/pods.py PORT' </dev/null >/dev/null 2>&1 &
tries=0
until /usr/bin/python3 -c 'import socket; socket.create_connection(("127.0.0.1", PORT))' 2>/dev/null; do
    tries=$((tries + 1)); [ $tries -lt 300 ] || exit 1; sleep 0.1
done
"#;

fn cluster(machine: &Machine) {
    let server = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/pods.py");
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let script = CLUSTER.replace("SERVER", server);
    machine.run(&script.replace("PORT", &port.to_string()));
}

/// Waits until no interpreter runs our stub there.
async fn ended(machine: &Machine) {
    let is_stub = |process: &Process| process.command.contains("import sys;exec");
    until(|| match machine.session_processes() {
        all if all.iter().any(is_stub) => Err(all),
        _ => Ok(()),
    })
    .await;
}

#[tokio::test]
async fn pods_by_kubectl() {
    let Some(machine) = machine() else { return };
    let found = machine.run("command -v kubectl || :");
    let found = Some(()).filter(|()| !found.trim().is_empty());
    if parts::need("kubectl", found).is_none() {
        return;
    }
    cluster(&machine);
    let connect = async |then: &str| {
        let spec = spec(&machine, "nopass", then);
        Client::connect(&spec, options()).await.unwrap()
    };
    for (then, container) in [
        ("kubectl/shop/app", "main"),
        ("kubectl/shop/app/side", "side"),
    ] {
        let client = connect(then).await;
        let found: String = client
            .eval("__import__('os').environ['CONTAINER']")
            .await
            .unwrap();
        assert_eq!(found, container);
        let all: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
        let back: Vec<u8> = client
            .call("bytes", (Value::Bytes(all.clone()),))
            .await
            .unwrap();
        assert!(back == all);
        within(client.close()).await;
        ended(&machine).await;
    }
    let client = connect("kubectl/shop/app").await;
    client.ready().await.unwrap();
    machine.break_sessions();
    ended(&machine).await;
    drop(client);
    for (then, message) in [
        (
            "kubectl/shop/none",
            "there is no such pod or namespace: none",
        ),
        ("kubectl/shop/app/other", "the pod has no such container"),
        (
            "kubectl/secret/app",
            "the cluster does not let the account run commands in pods",
        ),
        (
            "sudo,kubectl/shop/app",
            "kubectl does not reach its cluster",
        ),
    ] {
        let error = failure(&spec(&machine, "nopass", then), options()).await;
        assert_eq!(error.stage, Stage::Escalation, "{error}");
        assert!(error.message.starts_with(message), "{then}: {error}");
    }
}

/// Programs in the place of those of LXD, Incus and systemd: they know one container.
const PLAYED: &str = r#"
for name in lxc incus; do cat >/usr/local/bin/$name <<'END'
#!/bin/sh
[ "$1 $2 $4" = 'exec --mode=non-interactive --' ] || { echo "unknown arguments: $*" >&2; exit 9; }
case $3 in
box) ;;
ended) echo 'Error: Instance is not running' >&2; exit 1 ;;
*) echo 'Error: Instance not found' >&2; exit 1 ;;
esac
shift 4; exec "$@"
END
done
cat >/usr/local/bin/systemd-run <<'END'
#!/bin/sh
[ "$1 $2 $3 $4 $5 $6" = '--quiet --pipe --wait --collect -M box' ] || exec /usr/bin/systemd-run "$@"
shift 6; user=root; if [ "$1" = --uid ]; then user=$2; shift 2; fi
[ "$1" = -- ] || exit 9; shift
exec sudo -n -u $user -- "$@"
END
chmod 755 /usr/local/bin/lxc /usr/local/bin/incus /usr/local/bin/systemd-run
"#;

#[tokio::test]
async fn containers_whose_programs_are_played() {
    let Some(machine) = machine() else { return };
    machine.run(PLAYED);
    for (then, name) in [
        ("lxc/box", "nopass"),
        ("sudo,incus/box", "root"),
        ("sudo,machinectl/box", "root"),
        ("sudo,machinectl/box/bob", "bob"),
        ("sudo,lxc/box,machinectl/box/bob,incus/box", "bob"),
    ] {
        let spec = spec(&machine, "nopass", then);
        assert_eq!(who(&spec, options()).await.unwrap(), name, "{then}");
        let client = Client::connect(&spec, options()).await.unwrap();
        let all: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let back: Vec<u8> = client
            .call("bytes", (Value::Bytes(all.clone()),))
            .await
            .unwrap();
        assert!(back == all);
    }
    // The last one is systemd's own program, without a systemd.
    for (then, message) in [
        ("lxc/none", "there is no container none"),
        ("incus/ended", "the container ended does not run"),
        (
            "sudo,machinectl/none",
            "systemd does not run on the machine, or its bus does not answer",
        ),
    ] {
        let error = failure(&spec(&machine, "nopass", then), options()).await;
        assert_eq!(error.stage, Stage::Escalation, "{error}");
        assert!(error.message.starts_with(message), "{then}: {error}");
    }
    machine.idle().await;
}

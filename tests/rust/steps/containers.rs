//! Containers: those of podman and docker, on a machine of its own where one starts.

use easycluster::{Stage, Value};

use super::{failure, machine, options, spec, who};
use crate::support::{Machine, parts};

/// What podman needs where it may make no control groups, and where file systems cannot be stacked any further.
const PODMAN: &str = "
mount -t tmpfs tmpfs /sys/fs/cgroup || exit 1
mkdir -p /etc/containers /srv/box
printf '[storage]\ndriver = \"vfs\"\nrunroot = \"/run/containers/storage\"\ngraphroot = \"/var/lib/containers/storage\"\n' >/etc/containers/storage.conf
printf '[containers]\ncgroups = \"disabled\"\nnetns = \"host\"\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n[engine]\ncgroup_manager = \"cgroupfs\"\n' >/etc/containers/containers.conf
mount --bind / /srv/box
for name in box ended; do
    podman run -d --name $name --security-opt seccomp=unconfined --rootfs /srv/box sleep 100000 || exit 1
done
podman stop -t 0 ended
";

/// A daemon of the machine's own, without networks, and an image that has its users and shares its programs.
const DOCKER: &str = "
command -v dockerd >/dev/null || exit 1
mkdir /run/dockerd /srv/image /srv/image/etc
dockerd --data-root /var/lib/dockerd --exec-root /run/dockerd --pidfile /run/dockerd.pid --storage-driver vfs \\
    --iptables=false --ip6tables=false --bridge=none >/var/log/dockerd 2>&1 </dev/null &
tries=0
until docker ps >/dev/null 2>&1; do
    tries=$((tries + 1)); [ $tries -lt 300 ] || { tail /var/log/dockerd; exit 1; }; sleep 0.1
done
for name in bin sbin lib lib64; do ln -s usr/$name /srv/image/$name; done
cp /etc/passwd /etc/group /etc/ld.so.cache /srv/image/etc
tar -C /srv/image -c . | docker import - links || exit 1
for name in box ended; do
    docker run -d --name $name --network none -v /usr:/usr:ro links sleep 100000 || exit 1
done
docker exec box true || exit 1
docker stop -t 0 ended
";

/// Starts two containers, one of which has ended.
fn started(machine: &Machine, script: &str) -> Option<()> {
    let said = machine.run(&format!("({script}) 2>&1 && echo STARTED || :"));
    println!("{said}");
    said.trim_end().ends_with("STARTED").then_some(())
}

async fn enters(machine: &Machine, engine: &str) {
    let spec = |then: &str| spec(machine, "nopass", &then.replace("ENGINE", engine));
    for (then, name) in [
        ("sudo,ENGINE/box", "root"),
        ("sudo,ENGINE/box/nobody", "nobody"),
        ("sudo,ENGINE/box,run/nice -n 1", "root"),
        ("sudo/alice,sudo,ENGINE/box", "root"),
    ] {
        if then.starts_with("sudo/alice") {
            machine.run("sed -i 's/^alice .*/alice ALL=(ALL) NOPASSWD: ALL/' /etc/sudoers");
        }
        let found = who(&spec(then), options()).await;
        assert_eq!(found.unwrap(), name, "{then}");
    }
    // It is another machine in there: its process numbers are its own, and what is sent comes back unchanged.
    let client = easycluster::Client::connect(&spec("sudo,ENGINE/box"), options())
        .await
        .unwrap();
    let pid: i64 = client.eval("__import__('os').getpid()").await.unwrap();
    assert!(pid < 100, "{pid}");
    let all: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let back: Vec<u8> = client
        .call("bytes", (Value::Bytes(all.clone()),))
        .await
        .unwrap();
    assert!(back == all);
    drop(client);
    let inside = || {
        machine.run(&format!(
            "{engine} exec box /bin/sh -c 'ps -e -o args | grep -c [i]mport || :'"
        ))
    };
    crate::support::until(|| match inside().trim() {
        "0" => Ok(()),
        left => Err(left.to_owned()),
    })
    .await;
    for (then, message) in [
        ("sudo,ENGINE/none", "there is no container none"),
        ("sudo,ENGINE/ended", "the container ended does not run"),
        (
            "sudo,ENGINE/box/nobody-there",
            "the container has no such user",
        ),
    ] {
        let error = failure(&spec(then), options()).await;
        assert_eq!(error.stage, Stage::Escalation, "{error}");
        assert!(error.message.starts_with(message), "{error}");
    }
}

#[tokio::test]
async fn containers_of_podman() {
    let Some(machine) = machine() else { return };
    if parts::need("podman", started(&machine, PODMAN)).is_some() {
        enters(&machine, "podman").await;
        machine.run("podman rm -fa");
    }
}

#[tokio::test]
async fn containers_of_docker() {
    let Some(machine) = machine() else { return };
    if parts::need("docker", started(&machine, DOCKER)).is_some() {
        enters(&machine, "docker").await;
        machine.run("docker rm -f box ended; kill $(cat /run/dockerd.pid); rmdir /sys/fs/cgroup/*/docker 2>/dev/null || :");
    }
}

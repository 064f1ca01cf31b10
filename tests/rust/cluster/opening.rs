//! Connecting to many hosts of which some fail, each in its own way.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use easycluster::transport::StageLimits;
use easycluster::{
    Cluster, ClusterOptions, ConnectionSpec, Error, HostOutcome, HostReport, Quorum, Retry, Slots,
    Stage,
};

use crate::support::{PATIENCE, Sshd, poll, within};

fn specs(texts: &[String]) -> Vec<ConnectionSpec> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A listener that accepts and says nothing, and one whose port nobody listens on any more.
fn silent() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn closed_port() -> u16 {
    silent().local_addr().unwrap().port()
}

/// Passes on what comes in to that port, and back.
fn pass_on(from: TcpStream, to: u16) {
    let to = TcpStream::connect(("127.0.0.1", to)).unwrap();
    let pairs = [
        (from.try_clone().unwrap(), to.try_clone().unwrap()),
        (to, from),
    ];
    for (mut reader, mut writer) in pairs {
        std::thread::spawn(move || {
            let _ended = std::io::copy(&mut reader, &mut writer);
            let _closed = writer.shutdown(std::net::Shutdown::Write);
        });
    }
}

fn quick() -> ClusterOptions {
    let retry = Retry::default().with_first(Duration::from_millis(20));
    ClusterOptions::default().with_retry(retry)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failure_is_reported_and_costs_only_its_host() {
    let server = Sshd::start();
    let other = Sshd::start();
    let hanging = silent();
    let mut texts: Vec<String> = (0..12)
        .map(|n| format!("{}:name=good{n}", server.spec()))
        .collect();
    texts.push(format!(
        "{}:name=refused",
        server.spec_at("127.0.0.1", closed_port())
    ));
    let port = hanging.local_addr().unwrap().port();
    texts.push(format!(
        "{}:timeout=3:name=hanging",
        server.spec_at("127.0.0.1", port)
    ));
    // It has another key than what is known at its address.
    server.is_known_at(other.port());
    texts.push(format!(
        "{}:name=stranger",
        server.spec_at("127.0.0.1", other.port())
    ));
    texts.push(format!(
        "{}:rpython=/nowhere/python:name=pythonless",
        server.spec()
    ));
    let options = quick().with_quorum(Quorum::AtLeast(12));
    let start = Instant::now();
    let cluster = Cluster::open(specs(&texts), &options).await.unwrap();
    assert!(start.elapsed() < PATIENCE);
    let report = cluster.report();
    println!("{report}");
    assert_eq!(report.connected(), 12);
    let of = |name: &str| report.hosts.iter().find(|host| host.host == name).unwrap();
    let stage = |name: &str| match of(name).error() {
        Some(Error::Connect(error)) => error.stage,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(
        (stage("refused"), of("refused").attempts),
        (Stage::Connect, 3)
    );
    assert_eq!(
        (stage("hanging"), of("hanging").attempts),
        (Stage::KeyExchange, 3)
    );
    assert_eq!(
        (stage("stranger"), of("stranger").attempts),
        (Stage::HostKey, 1)
    );
    assert_eq!(
        (stage("pythonless"), of("pythonless").attempts),
        (Stage::Interpreter, 1)
    );
    let text = report.to_string();
    for name in ["refused", "hanging", "stranger", "pythonless"] {
        assert!(text.contains(&format!("\n  {name}: ")), "{text}");
    }
    let values = cluster.call::<i64>("abs", (-3,)).await;
    assert!(values.into_iter().all(|value| value.unwrap() == 3));
    let half = cluster.select(|host| host.ends_with('1'));
    let names: Vec<String> = half.members().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["good1", "good11"]);
    let mut each = cluster.each::<i64>("abs", (-1,));
    let mut seen = 0;
    while let Some((host, value)) = each.next().await {
        assert!(host.starts_with("good"));
        assert_eq!(value.unwrap(), 1);
        seen += 1;
    }
    assert_eq!(seen, 12);
    drop(half);
    cluster.close().await;
    server.wait_until_idle();
}

#[tokio::test]
async fn too_few_hosts_close_those_that_came() {
    let server = Sshd::start();
    let texts = [
        server.spec(),
        server.spec(),
        server.spec_at("127.0.0.1", closed_port()),
    ];
    let options = quick().with_quorum("80%".parse().unwrap());
    let report = Cluster::open(specs(&texts), &options).await.unwrap_err();
    assert_eq!((report.connected(), report.needed), (2, 3));
    assert!(
        report
            .to_string()
            .starts_with("2 of 3 hosts connected, 3 needed\n"),
        "{report}"
    );
    server.wait_until_idle();
}

#[tokio::test]
async fn a_quorum_above_the_number_of_hosts_is_told_at_once() {
    let server = Sshd::start();
    let texts = [server.spec(), server.spec()];
    for hosts in [0, 2] {
        let options = quick().with_quorum(Quorum::AtLeast(5));
        let report = Cluster::open(specs(&texts[..hosts]), &options).await;
        let report = report.unwrap_err();
        assert_eq!((report.connected(), report.needed), (0, 5));
        assert!(!report.has_quorum());
        let tried = |host: &HostReport| !matches!(host.outcome, HostOutcome::NotTried);
        assert!(!report.hosts.iter().any(tried), "{report:?}");
        let text = format!("a quorum of 5 is more than the number of hosts, {hosts}");
        assert_eq!(report.to_string(), text);
    }
    assert_eq!(server.logins(), 0);
}

#[tokio::test]
async fn a_wrong_key_is_tried_once() {
    let server = Sshd::start();
    let stranger = Sshd::start();
    // The other server's client has a key that this one does not take.
    let ours = server.folder().display().to_string();
    let theirs = stranger.folder().display().to_string();
    let text = server
        .spec()
        .replace(&format!("identity={ours}/"), &format!("identity={theirs}/"));
    let report = Cluster::open(specs(&[text]), &quick()).await.unwrap_err();
    let stage = match report.hosts[0].error() {
        Some(Error::Connect(error)) => error.stage,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (stage, report.hosts[0].attempts),
        (Stage::Authentication, 1)
    );
    assert_eq!(server.logins(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_hosts_join_behind_the_deadline() {
    let server = Sshd::start();
    let late = silent();
    let port = late.local_addr().unwrap().port();
    server.is_known_at(port);
    let texts = [
        format!("{}:name=early", server.spec()),
        format!("{}:name=late", server.spec_at("127.0.0.1", port)),
    ];
    let options = quick()
        .with_quorum(Quorum::Any)
        .with_deadline(Duration::from_millis(1500));
    let opening = tokio::spawn({
        let specs = specs(&texts);
        async move { Cluster::open(specs, &options).await }
    });
    let cluster = opening.await.unwrap().unwrap();
    let report = cluster.report();
    assert!(
        matches!(report.hosts[1].outcome, HostOutcome::Connecting),
        "{report}"
    );
    assert!(report.to_string().contains("late: still connecting"));
    assert_eq!(cluster.clients().len(), 1);
    // From now on what comes in there is passed on.
    let to = server.port();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = late.accept() {
            pass_on(stream, to);
        }
    });
    let mut joined = cluster.joined();
    let two = tokio::time::timeout(PATIENCE, joined.wait_for(|count| *count == 2)).await;
    two.expect("the late host joins").unwrap();
    let values = cluster.eval::<i64>("1 + 1").await;
    assert_eq!(values.len(), 2);
    let pid: i32 = cluster
        .client("late")
        .unwrap()
        .call("os.getpid", ())
        .await
        .unwrap();
    let mut lost = cluster.lost();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let ended = tokio::time::timeout(PATIENCE, lost.wait_for(|hosts| !hosts.is_empty())).await;
    assert_eq!(*ended.expect("the loss is told").unwrap(), ["late"]);
    cluster.close().await;
    assert!(
        poll(PATIENCE, || server
            .session_processes()
            .is_empty()
            .then_some(()))
        .is_some()
    );
}

#[tokio::test]
async fn a_host_that_does_not_say_how_many_processors_it_has_holds_up_no_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let server = crate::connection::hostile::server(folder.path(), "greet()\nuntil_closed()");
    let specs = specs(&[":local:".to_owned(), server]);
    let mut options = quick().with_slots(Slots::Processors);
    options.connect.transport.limits = StageLimits::default().with_stub(Duration::from_secs(1));
    let cluster = within(Cluster::open(specs, &options)).await.unwrap();
    assert_eq!(cluster.report().hosts[1].processes, 1);
    drop(cluster);
}

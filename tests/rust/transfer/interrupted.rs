//! Several hosts at once, and links that are cut.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use easycluster::{Change, Client, Cluster, CopyOptions, Error, Progress, Skip};

use crate::support::{Sshd, within};

#[tokio::test]
async fn several_hosts_get_it_from_one_read_and_say_how_far_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("here");
    std::fs::write(&here, vec![7; 5 << 20]).unwrap();
    let specs: Vec<_> = (0..3)
        .map(|n| format!(":local:name=host{n}").parse().unwrap())
        .collect();
    let cluster = within(Cluster::connect(&specs, &Default::default()))
        .await
        .unwrap();
    let told: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let sink = Arc::clone(&told);
    let mut options = CopyOptions::default();
    options.progress = Some(Arc::new(move |progress| {
        sink.lock().unwrap().push(progress.clone())
    }));
    // All of them write the same file; one that begins last finds it there.
    options.skip = Skip::Never;
    let there = folder.path().join("there/");
    let outcomes = within(cluster.put(&here, there.to_str().unwrap(), &options))
        .await
        .unwrap();
    let hosts: Vec<_> = outcomes.iter().map(|(host, _)| host.as_str()).collect();
    assert_eq!(hosts, ["host0", "host1", "host2"]);
    assert!(outcomes.iter().all(|(_, it)| it.is_ok()), "{outcomes:?}");
    assert_eq!(there.join("here").metadata().unwrap().len(), 5 << 20);
    let told = told.lock().unwrap().clone();
    for host in hosts {
        let last = told.iter().rfind(|it| it.host == host).unwrap();
        assert_eq!(
            (last.files, last.all_files, last.bytes, last.all_bytes),
            (1, 1, 5 << 20, 5 << 20)
        );
    }
    within(cluster.close()).await;
}

#[tokio::test]
async fn many_hosts_are_compared_with_and_copied_from() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("here");
    std::fs::write(&here, "some").unwrap();
    let specs = [":local:name=a/b", ":local:name=c"].map(|spec| spec.parse().unwrap());
    let cluster = within(Cluster::connect(&specs, &Default::default()))
        .await
        .unwrap();
    let (here_text, there) = (here.to_str().unwrap(), folder.path().join("there/"));
    let options = CopyOptions::default();
    let compared = within(cluster.compare(&here, there.to_str().unwrap(), &options)).await;
    for (host, differences) in compared.unwrap() {
        let differences = differences.unwrap();
        assert_eq!(differences.len(), 1, "{host}");
        assert_eq!(differences[0].change, Change::New);
    }
    assert!(!there.exists());
    let error = within(cluster.get(here_text, &there, &options)).await;
    assert!(error.unwrap_err().to_string().contains("/there/{host}/"));
    let place = there.join("{host}/");
    let outcomes = within(cluster.get(here_text, &place, &options)).await;
    assert!(outcomes.unwrap().iter().all(|(_, it)| it.is_ok()));
    // However a host is called, it stays one name.
    for name in ["a%2fb", "c"] {
        let content = std::fs::read_to_string(there.join(name).join("here"));
        assert_eq!(content.unwrap(), "some");
    }
    within(cluster.close()).await;
}

#[tokio::test]
async fn two_hosts_of_one_name_do_not_write_to_one_place() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    std::fs::write(&from, "some").unwrap();
    let specs = [":local:", ":local:"].map(|spec| spec.parse().unwrap());
    let cluster = within(Cluster::connect(&specs, &Default::default()))
        .await
        .unwrap();
    let to = folder.path().join("to/{host}/");
    let options = CopyOptions::default();
    let got = cluster.get(from.to_str().unwrap(), &to, &options);
    let error = within(got).await.unwrap_err().to_string();
    assert!(error.contains("two hosts are called local"), "{error}");
    assert!(!folder.path().join("to").exists());
    within(cluster.close()).await;
}

#[tokio::test]
async fn a_large_file_goes_on_where_its_link_was_cut() {
    let server = Arc::new(Sshd::start());
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..40_000_000_u32).map(|n| (n / 3 % 253) as u8).collect();
    let spec = server.spec();
    for get in [false, true] {
        let (here, there) = (
            folder.path().join(format!("here{get}")),
            folder.path().join(format!("there{get}")),
        );
        let (from, to) = if get {
            (&there, &here)
        } else {
            (&here, &there)
        };
        std::fs::write(from, &content).unwrap();
        let there_text = there.to_str().unwrap().to_owned();
        let mut options = CopyOptions::default();
        // From within the copy, which goes on only then: it may be at its end before a task beside it runs. It is told of ten
        // times a second at most, and so held up until the next time while it is not far enough.
        let (breaking, broken) = (server.clone(), AtomicBool::new(false));
        options.progress = Some(Arc::new(move |progress: &Progress| {
            if progress.bytes < 2 << 20 {
                std::thread::park_timeout(Duration::from_millis(110));
            } else if !broken.swap(true, Ordering::Relaxed) {
                breaking.break_sessions();
            }
        }));
        let client = within(Client::from_spec(&spec)).await.unwrap();
        let copied = if get {
            within(client.get(&there_text, &here, &options)).await
        } else {
            within(client.put(&here, &there_text, &options)).await
        };
        let error = copied.unwrap_err();
        assert!(matches!(error, Error::Lost { .. }), "{error}");
        assert!(!to.exists());
        drop(client);
        let client = within(Client::from_spec(&spec)).await.unwrap();
        let copied = if get {
            within(client.get(&there_text, &here, &options))
                .await
                .unwrap()
        } else {
            within(client.put(&here, &there_text, &options))
                .await
                .unwrap()
        };
        assert!(copied.resumed >= 1 << 20, "{copied:?}");
        assert_eq!(copied.resumed + copied.bytes, content.len() as u64);
        assert!(std::fs::read(to).unwrap() == content);
        within(client.close()).await;
    }
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 4);
}

//! Files to and from other machines, under every interpreter and over real SSH.

mod hostile;
mod interrupted;
mod obstacles;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use easycluster::{Change, Client, CopyOptions, Error, Links, Modes, Skip};

use crate::support::{interpreters, within};

async fn local() -> Client {
    within(Client::from_spec(":local")).await.unwrap()
}

/// Every file, folder and link beneath: path, kind or content, mode, seconds of its time.
fn tree(top: &Path) -> Vec<(String, String, u32, i64)> {
    let mut found = Vec::new();
    let mut waiting = vec![top.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let status = path.symlink_metadata().unwrap();
            let content = if status.is_dir() {
                waiting.push(path.clone());
                "folder".to_owned()
            } else if status.is_symlink() {
                format!("-> {}", std::fs::read_link(&path).unwrap().display())
            } else {
                let content = std::fs::read(&path).unwrap();
                format!("{} {:x}", content.len(), flate2_crc(&content))
            };
            let name = path
                .strip_prefix(top)
                .unwrap()
                .to_string_lossy()
                .into_owned();
            let mode = if status.is_symlink() {
                0
            } else {
                status.mode() & 0o7777
            };
            found.push((name, content, mode, status.mtime()));
        }
    }
    found.sort();
    found
}

fn flate2_crc(content: &[u8]) -> u64 {
    // A sum that tells different contents apart.
    content.iter().fold(1469598103934665603, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(1099511628211)
    })
}

fn set_time(path: &Path, seconds: i64) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 123_456_789,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A tree with what makes trouble.
fn sample(folder: &Path) {
    std::fs::create_dir_all(folder.join("sub/deep")).unwrap();
    std::fs::create_dir_all(folder.join("empty")).unwrap();
    std::fs::write(folder.join("a"), "hello\n").unwrap();
    std::fs::write(folder.join("nothing"), "").unwrap();
    std::fs::write(folder.join("sub/\u{e4} name with spaces\n"), "x").unwrap();
    std::fs::write(folder.join("sub/deep/run"), "#!/bin/sh\n").unwrap();
    let large: Vec<u8> = (0..700_001_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(folder.join("large"), &large).unwrap();
    let mut holes = vec![0; 3 << 20];
    holes[1 << 20] = 7;
    std::fs::write(folder.join("holes"), &holes).unwrap();
    symlink("sub/deep", folder.join("link")).unwrap();
    symlink("nowhere", folder.join("sub/broken")).unwrap();
    let mode = |name: &str, mode| {
        std::fs::set_permissions(folder.join(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    mode("sub/deep/run", 0o750);
    mode("a", 0o444);
    mode("empty", 0o500);
    for name in [
        "sub/deep/run",
        "a",
        "large",
        "holes",
        "link",
        "sub/broken",
        "sub/deep",
        "sub",
        "empty",
    ] {
        set_time(&folder.join(name), 1_234_567_890);
    }
}

#[tokio::test]
async fn a_tree_goes_there_and_comes_back_under_every_interpreter() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("here");
    std::fs::create_dir(&here).unwrap();
    sample(&here);
    for (number, interpreter) in interpreters().iter().enumerate() {
        let spec = format!(":local:rpython={}", interpreter.to_str());
        let client = within(Client::from_spec(&spec)).await.unwrap();
        let there = folder.path().join(format!("there{number}"));
        let back = folder.path().join(format!("back{number}"));
        let options = CopyOptions::default();
        let there_text = there.to_str().unwrap();
        let copied = within(client.put(here.join(""), there_text, &options))
            .await
            .unwrap();
        assert_eq!(
            (copied.files, copied.folders, copied.links),
            (6, 4, 2),
            "{spec}"
        );
        let compare = |left: &Path, right: &Path| {
            // Old versions cannot set the time of a link.
            let of = |top| {
                let mut all = tree(top);
                all.iter_mut()
                    .filter(|it| it.1.starts_with("->"))
                    .for_each(|it| it.3 = 0);
                all
            };
            assert_eq!(of(left), of(right), "{spec}");
        };
        compare(&here, &there);
        assert!(
            there.join("holes").metadata().unwrap().blocks() < 1000,
            "{spec}"
        );
        let again = within(client.put(here.join(""), there_text, &options))
            .await
            .unwrap();
        assert_eq!(
            (again.files, again.bytes, again.folders),
            (0, 0, 0),
            "{spec}"
        );
        let differences = within(client.compare(here.join(""), there_text, &options))
            .await
            .unwrap();
        assert_eq!(differences, [], "{spec}");
        let copied = within(client.get(&format!("{there_text}/"), &back, &options))
            .await
            .unwrap();
        assert_eq!(
            (copied.files, copied.folders, copied.links),
            (6, 3, 2),
            "{spec}"
        );
        compare(&there, &back);
        assert!(
            back.join("holes").metadata().unwrap().blocks() < 1000,
            "{spec}"
        );
        let again = within(client.get(&format!("{there_text}/"), &back, &options))
            .await
            .unwrap();
        assert_eq!((again.files, again.bytes, again.links), (0, 0, 0), "{spec}");
    }
}

#[tokio::test]
async fn names_are_those_of_rsync() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let text = |name: &str| at(name).to_str().unwrap().to_owned();
    std::fs::create_dir_all(at("dist/sub")).unwrap();
    std::fs::write(at("dist/sub/file"), "x").unwrap();
    std::fs::write(at("one"), "y").unwrap();
    let client = local().await;
    let options = CopyOptions::default();
    for (source, dest, made) in [
        ("dist/", "a", "a/sub/file"),
        ("dist", "b", "b/dist/sub/file"),
        ("one", "c/new", "c/new"),
        ("one", "d/", "d/one"),
        ("one", "a", "a/one"),
    ] {
        client
            .put(text(source), &text(dest), &options)
            .await
            .unwrap();
        assert!(at(made).is_file(), "{made}");
        client
            .get(&text(source), text(&format!("back/{dest}")), &options)
            .await
            .unwrap();
        assert!(at(&format!("back/{made}")).is_file(), "{made}");
    }
    let error = client.put(text("no"), "/tmp", &options).await.unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
    let error = client
        .get(&text("no"), text("back"), &options)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no such file"), "{error}");
    let error = client
        .put(text("one"), &text("one/x/y"), &options)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Files { .. }), "{error}");
}

#[tokio::test]
async fn what_is_not_here_is_removed_there_only_if_that_is_wanted_and_not_excluded() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    std::fs::create_dir_all(here.join("sub")).unwrap();
    std::fs::create_dir_all(there.join("old/deep")).unwrap();
    std::fs::create_dir_all(there.join("cache")).unwrap();
    for (top, name) in [
        (&here, "a"),
        (&here, "skip.o"),
        (&there, "old/deep/x"),
        (&there, "old/y"),
        (&there, "cache/kept"),
        (&there, "extra"),
        (&there, "skip.o"),
        (&there, "dir.o"),
    ] {
        std::fs::write(top.join(name), name).unwrap();
    }
    let names = |top: &Path| -> Vec<String> { tree(top).into_iter().map(|it| it.0).collect() };
    let client = local().await;
    let mut options = CopyOptions::default();
    options.exclude = vec!["*.o".into(), "cache/".into()];
    let (source, dest) = (here.join(""), there.to_str().unwrap());
    let differences = client.compare(&source, dest, &options).await.unwrap();
    let mut shown: Vec<_> = differences
        .iter()
        .map(|it| (it.path.as_str(), it.change))
        .collect();
    shown.sort_by_key(|it| it.0);
    let extra = |path| (path, Change::Leftover);
    assert_eq!(
        shown,
        [
            ("a", Change::New),
            extra("extra"),
            extra("old"),
            extra("old/deep"),
            extra("old/deep/x"),
            extra("old/y"),
            ("sub", Change::New)
        ]
    );
    client.put(&source, dest, &options).await.unwrap();
    assert!(there.join("old/deep/x").exists());
    options.delete = true;
    let copied = client.put(&source, dest, &options).await.unwrap();
    assert_eq!(copied.deleted, 5);
    let kept = ["a", "cache", "cache/kept", "dir.o", "skip.o", "sub"];
    assert_eq!(names(&there), kept);
    // Nothing is removed where something here could not be read: it might be what is there.
    std::fs::write(there.join("again"), "x").unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, here.join("pipe"), fifo, 0o600.into(), 0).unwrap();
    assert!(client.put(&source, dest, &options).await.is_err());
    assert!(there.join("again").exists());
    std::fs::remove_file(here.join("pipe")).unwrap();
    assert_eq!(
        client.put(&source, dest, &options).await.unwrap().deleted,
        1
    );
    // And the other way round.
    std::fs::create_dir(here.join("gone")).unwrap();
    std::fs::write(here.join("gone/x"), "x").unwrap();
    std::fs::write(here.join("a"), "changed").unwrap();
    let copied = client
        .get(&format!("{dest}/"), &here, &options)
        .await
        .unwrap();
    assert_eq!((copied.deleted, copied.files), (2, 1));
    assert_eq!(names(&here), ["a", "skip.o", "sub"]);
    assert_eq!(std::fs::read_to_string(here.join("a")).unwrap(), "a");
}

#[tokio::test]
async fn what_is_sent_again_is_for_size_and_time_or_content_to_say() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    let (source, dest) = (
        here.to_str().unwrap().to_owned(),
        there.to_str().unwrap().to_owned(),
    );
    let client = local().await;
    let mut options = CopyOptions::default();
    for get in [false, true] {
        let (from, to) = if get {
            (&there, &here)
        } else {
            (&here, &there)
        };
        let copy = async |options: &CopyOptions| {
            let copied = if get {
                client.get(&dest, &here, options).await
            } else {
                client.put(&here, &dest, options).await
            };
            let copied = copied.unwrap();
            (copied.files, copied.unchanged)
        };
        options.skip = Skip::Same;
        std::fs::write(from, if get { "two" } else { "one" }).unwrap();
        set_time(from, 1_000_000_000);
        assert_eq!(copy(&options).await, (1, 0));
        assert_eq!(copy(&options).await, (0, 1));
        set_time(from, 1_100_000_000);
        options.skip = Skip::Content;
        assert_eq!(copy(&options).await, (0, 0));
        assert_eq!(to.metadata().unwrap().mtime(), 1_100_000_000);
        assert_eq!(copy(&options).await, (0, 1));
        std::fs::write(to, "xxx").unwrap();
        set_time(to, 1_100_000_000);
        options.skip = Skip::Same;
        assert_eq!(copy(&options).await, (0, 1));
        options.skip = Skip::Content;
        assert_eq!(copy(&options).await, (1, 0));
        options.skip = Skip::Never;
        assert_eq!(copy(&options).await, (1, 0));
        options.modes = Modes::Set(0o640);
        copy(&options).await;
        assert_eq!(to.metadata().unwrap().permissions().mode() & 0o7777, 0o640);
        options.modes = Modes::Permissions;
    }
    _ = source;
}

#[tokio::test]
async fn links_are_followed_or_left_out_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("here");
    std::fs::create_dir_all(here.join("real")).unwrap();
    std::fs::write(here.join("real/file"), "x").unwrap();
    symlink("real", here.join("link")).unwrap();
    symlink("..", here.join("real/circle")).unwrap();
    let client = local().await;
    let mut options = CopyOptions::default();
    for (links, put, get) in [(Links::Skip, 0, 0), (Links::Follow, 1, 1)] {
        options.links = links;
        let there = folder.path().join(format!("there{put}{get}{links:?}"));
        let copied = client
            .put(here.join(""), there.to_str().unwrap(), &options)
            .await;
        // What leads in a circle is said, and the rest copied.
        assert_eq!(copied.is_err(), links == Links::Follow, "{copied:?}");
        assert_eq!(there.join("link/file").is_file(), put == 1, "{links:?}");
        assert!(there.join("real/file").is_file());
        let back = folder.path().join(format!("back{put}{get}{links:?}"));
        let copied = client
            .get(&format!("{}/", here.to_str().unwrap()), &back, &options)
            .await;
        assert_eq!(copied.is_err(), links == Links::Follow, "{copied:?}");
        assert_eq!(back.join("link/file").is_file(), get == 1, "{links:?}");
    }
}

#[tokio::test]
async fn what_fails_is_named_and_the_rest_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    std::fs::create_dir_all(&here).unwrap();
    std::fs::create_dir_all(there.join("file")).unwrap();
    for name in ["file", "other"] {
        std::fs::write(here.join(name), name).unwrap();
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        here.join("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let client = local().await;
    let options = CopyOptions::default();
    let error = client
        .put(here.join(""), there.to_str().unwrap(), &options)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("local: not everything was copied: "),
        "{text}"
    );
    assert!(
        text.contains("pipe: it is a device") && text.contains("file: it is there"),
        "{text}"
    );
    assert_eq!(
        std::fs::read_to_string(there.join("other")).unwrap(),
        "other"
    );
    std::fs::remove_dir(there.join("file")).unwrap();
    std::fs::write(there.join("file"), "x").unwrap();
    let back = folder.path().join("back");
    std::fs::create_dir_all(back.join("file")).unwrap();
    let error = client
        .get(&format!("{}/", there.display()), &back, &options)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("file: it is there"), "{error}");
    assert_eq!(
        std::fs::read_to_string(back.join("other")).unwrap(),
        "other"
    );
}

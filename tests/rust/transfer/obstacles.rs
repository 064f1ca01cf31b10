//! What is in the way of a copy: links in the place of folders, paths that cannot be looked at, files that cannot be written to their end.

use std::os::unix::fs::symlink;
use std::path::Path;

use easycluster::{Change, Client, CopyOptions, Error};
use rustix::fs::{Mode, OFlags};

use super::local;
use crate::support::{interpreter_at_least, within, write_program};

fn problems(error: &Error) -> Vec<(&str, &str)> {
    let Error::Files { problems, .. } = error else {
        panic!("{error}");
    };
    let problems = problems.iter();
    problems
        .map(|it| (it.path.as_str(), it.reason.as_str()))
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let names = names.map(|name| name.unwrap().file_name().to_string_lossy().into_owned());
    names.collect()
}

#[tokio::test]
async fn nothing_is_written_through_a_link_in_the_place_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to, outside] = ["from", "to", "outside"].map(|name| folder.path().join(name));
    for inner in ["sub/inner", "good"] {
        std::fs::create_dir_all(from.join(inner)).unwrap();
        std::fs::write(from.join(inner).join("small"), "x").unwrap();
    }
    std::fs::write(from.join("sub/large"), vec![7; 200_000]).unwrap();
    symlink("small", from.join("sub/link")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::create_dir(&to).unwrap();
    symlink(&outside, to.join("sub")).unwrap();
    let client = local().await;
    let options = CopyOptions::default();
    let there = to.to_str().unwrap();
    let differences = client
        .compare(from.join(""), there, &options)
        .await
        .unwrap();
    let differences: Vec<_> = differences
        .iter()
        .map(|it| (it.path.as_str(), it.change))
        .collect();
    let new = Change::New;
    assert_eq!(
        differences,
        [("good", new), ("good/small", new), ("sub", Change::Kind)]
    );
    let put = client.put(from.join(""), there, &options).await;
    assert_eq!(names(&outside), [""; 0]);
    assert!(to.join("good/small").exists());
    // Said once, for the folder.
    let said = [("sub", "it is there and is not a folder; remove it first")];
    assert_eq!(problems(&put.unwrap_err()), said);
    std::fs::remove_dir_all(to.join("good")).unwrap();
    let source = format!("{}/", from.display());
    let got = client.get(&source, &to, &options).await;
    assert_eq!(names(&outside), [""; 0]);
    assert!(to.join("good/small").exists());
    assert_eq!(problems(&got.unwrap_err()), said);
    within(client.close()).await;
}

/// Nobody makes anything in /proc.
#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named_and_not_all_that_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    std::fs::create_dir_all(from.join("sub/inner")).unwrap();
    for name in ["sub/small", "sub/inner/small"] {
        std::fs::write(from.join(name), "x").unwrap();
    }
    std::fs::write(from.join("sub/large"), vec![7; 200_000]).unwrap();
    symlink("small", from.join("sub/link")).unwrap();
    let client = local().await;
    let options = CopyOptions::default();
    let reason = "No such file or directory";
    let sub = from.join("sub");
    for (what, dest, named) in [
        (from.clone(), "/proc/none", "/proc/none"),
        (from.join(""), "/proc/none", "/proc/none"),
        (sub.clone(), "/proc", "sub"),
    ] {
        let error = client.put(what, dest, &options).await.unwrap_err();
        assert_eq!(problems(&error), [(named, reason)]);
    }
    let got = client
        .get(sub.to_str().unwrap(), "/proc", &options)
        .await
        .unwrap_err();
    let got = problems(&got);
    assert!(
        matches!(got[..], [("sub", said)] if said.starts_with(reason)),
        "{got:?}"
    );
    within(client.close()).await;
}

#[tokio::test]
async fn what_cannot_be_looked_at_there_is_named_and_not_removed_here() {
    let folder = tempfile::tempdir().unwrap();
    let (there, here) = (folder.path().join("there"), folder.path().join("here"));
    std::fs::create_dir(&there).unwrap();
    // What is at the end of it has a path that is too long for the system.
    let name = "d".repeat(200);
    let mut place = rustix::fs::open(&there, OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..25 {
        rustix::fs::mkdirat(&place, &*name, Mode::RWXU).unwrap();
        place = rustix::fs::openat(&place, &*name, OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    std::fs::write(there.join("good"), "x").unwrap();
    std::fs::create_dir(&here).unwrap();
    std::fs::write(here.join("only here"), "x").unwrap();
    let client = local().await;
    let mut options = CopyOptions::default();
    options.delete = true;
    let source = format!("{}/", there.display());
    let error = client.get(&source, &here, &options).await.unwrap_err();
    let problems = problems(&error);
    assert!(
        problems.len() == 1 && problems[0].1.contains("name too long"),
        "{error}"
    );
    assert!(here.join("good").exists() && here.join("only here").exists());
    within(client.close()).await;
}

#[tokio::test]
async fn what_is_said_to_be_empty_and_is_not_is_no_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("empty"), "").unwrap();
    let client = local().await;
    let options = CopyOptions::default();
    let empty = folder.path().join("empty");
    let to = folder.path().join("to");
    let copied = client.get(empty.to_str().unwrap(), &to, &options).await;
    assert_eq!(copied.unwrap().files, 1);
    // The system makes it up while it is read.
    let source = "/proc/self/status";
    if Path::new(source).exists() {
        let to = folder.path().join("status");
        let error = client.get(source, &to, &options).await.unwrap_err();
        assert!(
            problems(&error)[0].1.contains("said to be empty"),
            "{error}"
        );
        assert!(!to.exists());
        let put = client.put(source, to.to_str().unwrap(), &options).await;
        assert_eq!(put.unwrap().files, 1);
        assert!(std::fs::read_to_string(&to).unwrap().contains("Pid:"));
    }
    let error = client.get(empty.to_str().unwrap(), empty.join("x"), &options);
    assert!(error.await.is_err());
    let error = client.get(folder.path().to_str().unwrap(), &empty, &options);
    let error = error.await.unwrap_err();
    assert_eq!(problems(&error)[0].1, "it is there and is not a folder");
    within(client.close()).await;
}

#[tokio::test]
async fn several_sources_go_to_one_folder_where_they_differ() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    for (top, name) in [("one", "a"), ("two", "b")] {
        std::fs::create_dir_all(place(top).join("x")).unwrap();
        std::fs::write(place(top).join("x").join(name), name).unwrap();
    }
    let copy = |sources: [&str; 2], from_there: bool, to: &str| {
        let colon = |there: bool, path: &str| {
            let colon = if there { ":" } else { "" };
            format!("{colon}{}/{path}", folder.path().display())
        };
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_easycluster"));
        command.args(["copy", ":local:", "--"]);
        command.args(sources.map(|source| colon(from_there, source)));
        let output = command.arg(colon(!from_there, to)).output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for (from_there, to) in [(false, "put"), (true, "got")] {
        let (good, said) = copy(["one/", "two/"], from_there, &format!("{to}/"));
        assert!(good, "{said}");
        assert!(place(to).join("x/a").exists() && place(to).join("x/b").exists());
        let (good, said) = copy(["one/x", "two/x"], from_there, &format!("{to}2/"));
        assert!(!good && said.contains("two sources are called x"), "{said}");
        assert!(!place(&format!("{to}2")).exists());
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_written_to_its_end_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    std::fs::create_dir(&from).unwrap();
    std::fs::write(from.join("large"), vec![7; 3_000_000]).unwrap();
    std::fs::write(from.join("small"), "x").unwrap();
    // A shell's limit on files is one of a full disk.
    let limited = folder.path().join("limited");
    let python = interpreter_at_least((3, 6)).to_str();
    write_program(
        &limited,
        &format!("#!/bin/sh\nulimit -f 2000\nexec {python} \"$@\"\n"),
    );
    let spec = format!(":local:rpython={}", limited.display());
    let client = within(Client::from_spec(&spec)).await.unwrap();
    let options = CopyOptions::default();
    let put = client.put(from.join(""), to.to_str().unwrap(), &options);
    let error = within(put).await.unwrap_err();
    assert_eq!(problems(&error).len(), 1, "{error}");
    assert_eq!(problems(&error)[0].0, "large");
    assert_eq!(names(&to), ["small"]);
    within(client.close()).await;
}

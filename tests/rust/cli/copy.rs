//! `easycluster copy` over SSH: to hosts and from them, what it says, how it fails.

use std::path::Path;

use crate::cli::scene::{Scene, easycluster, said};

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

#[tokio::test]
async fn files_go_to_every_host_and_come_back_into_a_folder_for_each() {
    let scene = Scene::new().await;
    let (web1, web2) = (scene.spec("web1"), scene.spec("web2"));
    let folder = tempfile::tempdir().expect("folder");
    let dist = folder.path().join("dist");
    std::fs::create_dir_all(dist.join("sub")).expect("folder");
    std::fs::write(dist.join("index.html"), "hello").expect("file");
    std::fs::write(dist.join("sub/skip.pyc"), "x").expect("file");
    let there = folder.path().join("srv/app");
    let (source, dest) = (
        format!("{}/", dist.display()),
        format!(":{}", there.display()),
    );
    let copy = ["copy", &web1, "--exclude", "*.pyc", "--", &source, &dest];
    let output = easycluster(&copy).await;
    assert_eq!(
        (output.stdout.as_str(), output.code),
        ("web1 | 1 file copied (5 bytes), 2 folders made\n", Some(0)),
        "{output:?}"
    );
    assert_eq!(
        std::fs::read_to_string(there.join("index.html")).expect("file"),
        "hello"
    );
    assert!(!there.join("sub/skip.pyc").exists());
    // Again, to both; nothing is left to do.
    let output = easycluster(&[
        "copy",
        &web1,
        &web2,
        "--exclude",
        "*.pyc",
        "--",
        &source,
        &dest,
    ])
    .await;
    let unchanged = "0 files copied (0 bytes), 3 unchanged";
    assert_eq!(
        output.sorted_stdout(),
        [format!("web1 | {unchanged}"), format!("web2 | {unchanged}")]
    );
    std::fs::write(there.join("extra"), "x").expect("file");
    std::fs::write(dist.join("index.html"), "hello!").expect("file");
    let output = easycluster(&[
        "copy",
        &web1,
        "-n",
        "--delete",
        "--exclude",
        "*.pyc",
        "--",
        &source,
        &dest,
    ])
    .await;
    assert_eq!(
        output.sorted_stdout(),
        ["web1 | content index.html", "web1 | leftover extra"]
    );
    assert_eq!(
        std::fs::read_to_string(there.join("index.html")).expect("file"),
        "hello"
    );
    let output = easycluster(&[
        "copy",
        &web1,
        "--delete",
        "--exclude",
        "*.pyc",
        "--",
        &source,
        &dest,
    ])
    .await;
    assert!(output.stdout.contains("1 removed"), "{output:?}");
    assert!(!there.join("extra").exists());
    let back = format!("{}/back/{{host}}/", folder.path().display());
    let output = easycluster(&[
        "copy",
        &web1,
        &web2,
        "--",
        &format!("{dest}/index.html"),
        &back,
    ])
    .await;
    assert_eq!(output.code, Some(0), "{output:?}");
    for host in ["web1", "web2"] {
        let file = folder.path().join("back").join(host).join("index.html");
        assert_eq!(std::fs::read_to_string(file).expect("file"), "hello!");
    }
    scene.end().await;
}

#[tokio::test]
async fn what_cannot_be_copied_is_said_with_its_reason() {
    let scene = Scene::new().await;
    let (web1, web2) = (scene.spec("web1"), scene.spec("web2"));
    let folder = tempfile::tempdir().expect("folder");
    std::fs::create_dir_all(folder.path().join("there/file")).expect("folder");
    std::fs::write(folder.path().join("file"), "x").expect("file");
    let file = folder.path().join("file");
    let dest = format!(":{}/there/", folder.path().display());
    let output = easycluster(&["copy", &web1, "--", text(&file), &dest]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output
            .stderr
            .contains("web1: not everything was copied: file: it is there"),
        "{output:?}"
    );
    for (arguments, says) in [
        (vec!["copy", &web1], "what is copied and where to"),
        (vec!["copy", &web1, "--", "a", "b"], "begins with a colon"),
        (
            vec!["copy", &web1, "--", "/no/such", ":/tmp"],
            "/no/such: No such file",
        ),
        (
            vec!["copy", &web1, &web2, "--", ":/etc/hostname", "here"],
            "'here/{host}/'",
        ),
        (
            vec!["copy", &web1, "--exclude", "[", "--", text(&file), ":/tmp"],
            "the pattern [",
        ),
    ] {
        let output = easycluster(&arguments).await;
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains(says), "{says}: {output:?}");
    }
    let output = easycluster(&[
        "copy",
        &web1,
        "--",
        ":/no/such",
        text(&folder.path().join("x")),
    ])
    .await;
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("/no/such: there is no such file"),
        "{output:?}"
    );
    _ = said;
    let (from, to) = (folder.path().join("one"), folder.path().join("two"));
    std::fs::create_dir(&from).expect("folder");
    std::fs::write(from.join("file"), "hello").expect("file");
    std::os::unix::fs::symlink("file", from.join("link")).expect("link");
    let (dest, source) = (format!(":{}/", text(&to)), format!(":{}/file", text(&from)));
    let output = easycluster(&["copy", &web1, "--", text(&from), &dest]).await;
    let made = "web1 | 1 file copied (5 bytes), 1 folder made, 1 link made\n";
    assert_eq!(output.stdout, made, "{output:?}");
    let here = folder.path().join("three");
    let output = easycluster(&[
        "copy",
        &web1,
        "--max-bytes",
        "4",
        "--",
        &source,
        text(&here),
    ])
    .await;
    let limit = "not everything was copied: there are more than 4 bytes, the limit that";
    assert!(output.stderr.contains(limit), "{output:?}");
    scene.end().await;
}

#[tokio::test]
async fn paths_that_are_hardly_meant_are_refused_with_what_is() {
    let scene = Scene::new().await;
    let web1 = scene.spec("web1");
    let file = scene.file("file", "hello");
    let file = text(&file);
    let copied = async |paths: &[&str]| {
        let output = easycluster(&[&["copy", web1.as_str(), "--"], paths].concat()).await;
        assert!(
            output.code.is_some_and(|code| code > 0),
            "{paths:?}: {output:?}"
        );
        output.stderr
    };
    for (paths, words) in [
        (
            &[file, ":/tmp/x", "--exclude", "*.pyc", "-n"][..],
            "--exclude '*.pyc' -n -- ",
        ),
        (&["", ":/tmp"], "a path is empty"),
        (&[":", "here"], "a path is empty"),
        (&[file, ":/tmp/{host}/x"], "leave it out"),
        (
            &[file, ":~nobody-of-this-name/x"],
            "~nobody-of-this-name/x: there is no such user",
        ),
        (&[":/nonexistent/*.log", "here"], "without wildcards"),
    ] {
        let said = copied(paths).await;
        assert!(said.contains(words), "{paths:?}: {said}");
    }
    scene.end().await;
}

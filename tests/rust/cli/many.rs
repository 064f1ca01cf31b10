//! Work on many hosts: what is said at the end, equal outputs together, files a host, batches, failures that stop it, trying again.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};

use crate::cli::scene::{Scene, easycluster, program};

/// Ends well the first time it runs with this folder as its argument, and with status 3 from then on.
const ONCE: &str = "\
import os, sys
try:
    os.mkdir(sys.argv[1])
except OSError:
    print('late')
    sys.exit(3)
print('first')
";

/// A host that nothing listens at.
fn gone(name: &str) -> String {
    format!("me@127.0.0.1:1:config=none:batch=yes:name={name}")
}

fn path(scene: &Scene, name: &str) -> String {
    scene.folder.path().join(name).display().to_string()
}

#[tokio::test]
async fn the_end_names_those_to_look_at_and_counts_all() {
    let scene = Scene::new().await;
    let specs: Vec<String> = (1..=4).map(|n| scene.spec(&format!("web{n}"))).collect();
    let mut arguments = vec!["run", "-j", "1"];
    arguments.extend(specs.iter().map(String::as_str));
    let gone = gone("db");
    let mark = path(&scene, "mark");
    arguments.extend([&gone, "-c", ONCE, "--", &mark]);
    let output = easycluster(&arguments).await;
    assert_eq!(output.code, Some(255));
    let lines: Vec<&str> = output.stderr.lines().collect();
    assert!(
        lines.contains(&"error: web[2-4]: exit status 3 (3 hosts)"),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"error: db: unreachable (connect)"),
        "{lines:?}"
    );
    let last = output.last_line();
    assert!(
        last.starts_with("5 hosts: 1 ok, 3 failed, 1 unreachable, ") && last.ends_with(" s"),
        "{last}"
    );
    // All well is said too, and not where somebody wants it quiet.
    let good = ["run", &specs[0], &specs[1], "-c", "pass"];
    let output = easycluster(&good).await;
    assert!(output.stderr.starts_with("2 hosts: 2 ok, "), "{output:?}");
    let output = easycluster(&[&good[..], &["--quiet"]].concat()).await;
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(0)));
    scene.end().await;
}

#[tokio::test]
async fn equal_outputs_are_printed_once_with_their_hosts() {
    let scene = Scene::new().await;
    let specs: Vec<String> = (8..=11)
        .map(|n| scene.spec(&format!("web{n:02}")))
        .collect();
    let mark = path(&scene, "mark");
    let mut arguments = vec!["run", "--gather", "-q", "-j", "1"];
    arguments.extend(specs.iter().map(String::as_str));
    let code = ONCE.replace("print('late')", "print('late'); sys.stderr.write('why\\n')");
    arguments.extend(["-c", &code, "--", &mark]);
    let output = easycluster(&arguments).await;
    assert_eq!(
        output.stdout,
        "\
---------------
web08 (1 host)
---------------
first
---------------
web[09-11] (3 hosts): exit status 3
---------------
late
"
    );
    assert_eq!(output.stderr, "web[09-11] ! why\n");
    assert_eq!(output.code, Some(1));
    scene.end().await;
}

/// Output is kept in a file while it is gathered, so that it may be longer than what is held in memory.
#[tokio::test]
async fn long_outputs_are_gathered_whole() {
    let scene = Scene::new().await;
    let (web1, web2) = (scene.spec("web1"), scene.spec("web2"));
    let code = "import sys; sys.stdout.write(('x' * 999 + '\\n') * 20000)";
    let output = easycluster(&["run", "--gather", "-q", &web1, &web2, "-c", code]).await;
    assert_eq!(output.stdout.lines().skip(3).count(), 20_000);
    assert!(output.stdout.contains("\nweb[1-2] (2 hosts)\n"));
    scene.end().await;
}

#[tokio::test]
async fn each_host_has_files_of_its_own() {
    let scene = Scene::new().await;
    let (web1, odd) = (scene.spec("web1"), scene.spec("../odd/.name"));
    let gone = gone("db");
    let folder = path(&scene, "new/out");
    let code = "import os; os.write(1, b'no end\\xff'); os.write(2, b'two\\n')";
    let output = easycluster(&["run", &web1, &odd, &gone, "--out", &folder, "-c", code]).await;
    assert_eq!(output.code, Some(255));
    let file = |name: &str| {
        std::fs::read(std::path::Path::new(&folder).join(name)).unwrap_or_else(|_| panic!("{name}"))
    };
    assert_eq!(file("web1.stdout"), b"no end\xff");
    assert_eq!(file("web1.stderr"), b"two\n");
    assert_eq!(file("%2e.%2fodd%2f.name.stdout"), b"no end\xff");
    assert_eq!(file("db.stdout"), b"");
    assert!(file("db.stderr").starts_with(b"easycluster: db: connect: "));
    // What is there is overwritten, but a link is not followed.
    let elsewhere = scene.file("elsewhere", "precious");
    let link = std::path::Path::new(&folder).join("web1.stdout");
    std::fs::remove_file(&link).expect("removed");
    symlink(&elsewhere, &link).expect("link");
    let output = easycluster(&["run", &web1, "--out", &folder, "-c", code]).await;
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("cannot write the output: ")
            && output.stderr.contains("web1.stdout: "),
        "{}",
        output.stderr
    );
    assert_eq!(std::fs::read(&elsewhere).expect("there"), b"precious");
    // Nothing runs where the folder cannot be made.
    let below = format!("{}/out", elsewhere.display());
    let output = easycluster(&["run", &web1, "--out", &below, "-c", "print(1)"]).await;
    assert_eq!((output.stdout.as_str(), output.code), ("", Some(2)));
    // Nor where nothing can be made in one that is there.
    let output = easycluster(&["run", &web1, "--out", "/proc", "-c", "print(1)"]).await;
    assert_eq!((output.stdout.as_str(), output.code), ("", Some(2)));
    assert!(output.stderr.contains("cannot write to /proc: "));
    scene.end().await;
}

#[tokio::test]
async fn hosts_that_failed_are_tried_again_by_a_file() {
    let scene = Scene::new().await;
    let specs: Vec<String> = (1..=3).map(|n| scene.spec(&format!("web{n}"))).collect();
    let hosts = scene.file("hosts", &specs.join("\n"));
    let (hosts, mark, failed) = (
        hosts.display().to_string(),
        path(&scene, "mark"),
        path(&scene, "failed"),
    );
    let run = ["run", "-f", &hosts, "-j", "1", "--failed-to", &failed];
    let once = ["-c", ONCE, "--", &mark];
    let output = easycluster(&[&run[..], &once].concat()).await;
    assert_eq!(output.code, Some(1));
    let names = || std::fs::read_to_string(&failed).expect("the file");
    assert_eq!(names(), "web2\nweb3\n");
    // The same file is read first and written afterwards.
    let again = ["--retry-from", &failed, "-c", "print(1)"];
    let output = easycluster(&[&run[..], &again].concat()).await;
    assert_eq!(output.sorted_stdout(), ["web2 | 1", "web3 | 1"]);
    assert_eq!((output.code, names()), (Some(0), String::new()));
    // With nothing left there is nothing to do.
    let output = easycluster(&[&run[..], &again].concat()).await;
    assert_eq!((output.stdout.as_str(), output.code), ("", Some(0)));
    assert!(output.stderr.contains("nothing to do"), "{}", output.stderr);
    // A name of another run is an error, and so is a place that cannot be written to, before anything runs.
    std::fs::write(&failed, "\u{feff}web2\r\nweb9\r\n").expect("written");
    let output = easycluster(&[&run[..], &again].concat()).await;
    assert_eq!(output.code, Some(2));
    assert!(
        output.stderr.contains("web9 is not among the hosts"),
        "{}",
        output.stderr
    );
    for option in ["--failed-to", "--junit"] {
        let output =
            easycluster(&["run", &specs[0], option, "/nonexistent/x", "-c", "print(1)"]).await;
        assert_eq!(
            (output.stdout.as_str(), output.code),
            ("", Some(2)),
            "{option}"
        );
        assert!(
            output
                .stderr
                .contains("cannot write /nonexistent/x: No such file"),
            "{}",
            output.stderr
        );
    }
    scene.end().await;
}

/// Closes the first connections at once, and passes the later ones on. Its port, and how many have come.
async fn closes_first(count: usize, port: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    let come = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&come);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            if counted.fetch_add(1, Ordering::SeqCst) < count {
                continue;
            }
            tokio::spawn(async move {
                let mut far = TcpStream::connect(("127.0.0.1", port))
                    .await
                    .expect("server");
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address.port(), come)
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_nothing_else_is() {
    let scene = Scene::new().await;
    let port = scene.server.address().port();
    let by = |relay: u16| {
        let spec = scene
            .spec("web1")
            .replace(&format!(":{port}:"), &format!(":{relay}:"));
        spec.replace("known_hosts=", "hostkey=off:known_hosts=")
    };
    // A server that has too many connections closes new ones before a word is said.
    let (relay, come) = closes_first(2, port).await;
    let output = easycluster(&["run", "--retries", "3", &by(relay), "-c", "print(1)"]).await;
    assert_eq!(
        (output.stdout.as_str(), output.code),
        ("web1 | 1\n", Some(0)),
        "{}",
        output.stderr
    );
    assert_eq!(come.load(Ordering::SeqCst), 3);
    assert_eq!(
        output.stderr.matches("; trying again in ").count(),
        2,
        "{}",
        output.stderr
    );
    // Without being asked to, nothing is tried again.
    let (relay, come) = closes_first(9, port).await;
    let output = easycluster(&["run", &by(relay), "-c", "print(1)"]).await;
    assert_eq!((output.code, come.load(Ordering::SeqCst)), (Some(255), 1));
    // A key that is refused is refused again, and the account may be locked.
    let other = easycluster::cli::commands::demo::embedded_sshd::generate_ed25519().expect("key");
    let text = other
        .to_openssh(russh::keys::ssh_key::LineEnding::LF)
        .expect("text");
    crate::cli::scene::write_private(&scene.key(), &text);
    let (relay, come) = closes_first(0, port).await;
    let output = easycluster(&["run", "--retries", "3", &by(relay), "-c", "print(1)"]).await;
    assert_eq!((output.code, come.load(Ordering::SeqCst)), (Some(255), 1));
    assert!(
        output.stderr.contains("web1: authentication: "),
        "{}",
        output.stderr
    );
    scene.end().await;
}

#[tokio::test]
async fn a_batch_ends_before_the_next_begins() {
    let scene = Scene::new().await;
    let specs: Vec<String> = (1..=4).map(|n| scene.spec(&format!("web{n}"))).collect();
    // Each says how many are there; the two of a batch wait for each other, so that they are there at once.
    let code = "\
import os, sys, time
folder = sys.argv[1]
open(os.path.join(folder, str(os.getpid())), 'w').close()
wanted = 2 if len(os.listdir(folder)) <= 2 else 4
while len(os.listdir(folder)) < wanted:
    time.sleep(0.01)
print(len(os.listdir(folder)))
";
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path().display().to_string();
    let mut arguments = vec!["run", "-q", "--no-prefix", "--serial", "50%"];
    arguments.extend(specs.iter().map(String::as_str));
    arguments.extend(["-c", code, "--", &folder]);
    let output = easycluster(&arguments).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.sorted_stdout(), ["2", "2", "4", "4"]);
    scene.end().await;
}

#[tokio::test]
async fn too_many_failures_leave_the_rest_alone() {
    let scene = Scene::new().await;
    let specs: Vec<String> = (1..=6).map(|n| scene.spec(&format!("web{n}"))).collect();
    let mut hosts: Vec<&str> = specs.iter().map(String::as_str).collect();
    hosts.extend(["-c", "import sys; print('run'); sys.exit(4)"]);
    for (limit, run) in [
        (&["--fail-fast"][..], 1),
        (&["--max-fail", "1"], 2),
        (&["--max-fail", "34%"], 3),
        (&["--max-fail", "6"], 6),
    ] {
        let output = easycluster(&[&["run", "-j", "1"], limit, &hosts].concat()).await;
        assert_eq!(output.stdout.lines().count(), run, "{limit:?}");
        assert_eq!(output.code, Some(1));
        let skipped = 6 - run;
        if skipped > 0 {
            let last = output.last_line();
            assert!(
                last.starts_with(&format!("6 hosts: {run} failed, {skipped} skipped, ")),
                "{last}"
            );
        }
    }
    // Whoever reads JSON hears of them too.
    let output =
        easycluster(&[&["run", "-j", "1", "--json", "--fail-fast"], &hosts[..]].concat()).await;
    assert_eq!(
        output.stdout.matches("\"status\":\"skipped\"").count(),
        5,
        "{}",
        output.stdout
    );
    let wrong = easycluster(&[&["run", "--max-fail", "x"], &hosts[..]].concat()).await;
    assert_eq!(wrong.code, Some(2));
    scene.end().await;
}

/// Reads the log of a program up to the first line that is wanted. What is read from is to be kept while the program writes.
async fn read_until(
    child: &mut tokio::process::Child,
    wanted: impl Fn(&str) -> bool,
) -> tokio::io::BufReader<tokio::process::ChildStderr> {
    let mut stderr = tokio::io::BufReader::new(child.stderr.take().expect("stderr"));
    loop {
        let mut line = String::new();
        let read = tokio::io::AsyncBufReadExt::read_line(&mut stderr, &mut line);
        let count = tokio::time::timeout(crate::cli::scene::PATIENCE, read).await;
        assert!(count.expect("in time").expect("read") > 0);
        if wanted(&line) {
            return stderr;
        }
    }
}

#[tokio::test]
async fn a_log_gets_a_line_of_progress_now_and_then() {
    let scene = Scene::new().await;
    let (web1, web2) = (scene.spec("web1"), scene.spec("web2"));
    let mark = path(&scene, "mark");
    let code = "\
import os, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
";
    let mut child = program(&[
        "run",
        "--progress-every",
        "0.2",
        &web1,
        &web2,
        "-c",
        code,
        "--",
        &mark,
    ])
    .spawn()
    .expect("the program starts");
    // Connecting takes its time; a later line has both at work.
    let stderr = read_until(&mut child, |line| {
        assert!(line.starts_with("0 of 2 hosts done; 2 running, "), "{line}");
        line.contains("web1 (running, ") && line.contains("web2 (running, ")
    })
    .await;
    std::fs::create_dir(&mark).expect("made");
    let status = tokio::time::timeout(crate::cli::scene::PATIENCE, child.wait()).await;
    assert!(status.expect("in time").expect("ended").success());
    drop(stderr);
    scene.end().await;
}

/// Shell commands are shown as Python programs are.
#[tokio::test]
async fn shell_commands_have_the_same_end() {
    let scene = Scene::new().await;
    let (web1, web2) = (scene.spec("web1"), scene.spec("web2"));
    let (failed, out) = (path(&scene, "failed"), path(&scene, "out"));
    let options = ["--gather", "--failed-to", &failed, "--out", &out];
    let exec = [&["exec", &web1, &web2], &options[..]].concat();
    let output =
        easycluster(&[&exec[..], &["--", "echo one; echo two >&2; exit 3"]].concat()).await;
    assert_eq!(output.code, Some(1));
    assert!(
        output
            .stdout
            .contains("\nweb[1-2] (2 hosts): exit status 3\n---------------\none\n"),
        "{}",
        output.stdout
    );
    assert!(
        output.stderr.contains("web[1-2] ! two\n")
            && output
                .stderr
                .contains("error: web[1-2]: exit status 3 (2 hosts)\n"),
        "{}",
        output.stderr
    );
    assert_eq!(
        std::fs::read_to_string(&failed).expect("there"),
        "web1\nweb2\n"
    );
    let file = std::path::Path::new(&out).join("web2.stderr");
    assert_eq!(std::fs::read_to_string(file).expect("there"), "two\n");
    // Who is tried again counts anew.
    let again = [
        "exec",
        &web1,
        &web2,
        "-q",
        "--retry-from",
        &failed,
        "--no-prefix",
        "-j",
        "1",
    ];
    std::fs::write(&failed, "web2\n").expect("written");
    let count = [
        "--",
        "echo $EASYCLUSTER_HOST $EASYCLUSTER_NUMBER $EASYCLUSTER_COUNT",
    ];
    let output = easycluster(&[&again[..], &count].concat()).await;
    assert_eq!(
        (output.stdout.as_str(), output.code),
        ("web2 0 1\n", Some(0))
    );
    scene.end().await;
}

#[tokio::test]
async fn how_far_programs_are_stands_among_the_progress() {
    let scene = Scene::new().await;
    let mark = path(&scene, "mark");
    let code = "\
import os, sys, time
from easycluster import progress
for row in progress(range(3), desc='rows of TOKEN'):
    while row == 1 and not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
";
    let mut command = program(&[
        "run",
        "--progress-every",
        "0.2",
        "--secret",
        "HIDDEN",
        ":local:name=web1",
        "-c",
        code,
        "--",
        &mark,
    ]);
    let mut child = command
        .env("HIDDEN", "TOKEN")
        .spawn()
        .expect("the program starts");
    let stderr = read_until(&mut child, |line| {
        assert!(!line.contains("TOKEN"), "{line}");
        line.contains("web1 (rows of ***: 1 of 3, ")
    })
    .await;
    std::fs::create_dir(&mark).expect("made");
    let status = tokio::time::timeout(crate::cli::scene::PATIENCE, child.wait()).await;
    assert!(status.expect("in time").expect("ended").success());
    drop(stderr);
    scene.end().await;
}

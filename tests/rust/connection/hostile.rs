//! Servers that answer the bootstrap as they should and then do what they please: each ends in an error that says what it was,
//! within its time, and takes no memory to speak of.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use easycluster::transport::StageLimits;
use easycluster::{Client, ConnectOptions, Error, OutputSink, Stage, Value};

use crate::support::processes::peak_memory;
use crate::support::{alone, interpreter_at_least, until, within, write_program};

/// What the programs below have in common: the marker, HELLO, frames, and the requests as they come.
const COMMON: &str = r#"
import os, pickle, struct, sys, time, zlib
at = sys.argv.index('-c')
marker = (sys.argv[at + 4] + sys.argv[at + 5]).encode()
length = int(sys.argv[at + 6])
def out(data):
    while data:
        data = data[os.write(1, data):]
def frame(kind, payload=b'', flags=0, request=0, thread=0):
    return struct.pack('>HBBIIi', 0x4543, kind, flags, len(payload), request, thread) + payload
HELLO = frame(0x41, pickle.dumps({'protocol': 1, 'python': (3, 11, 7), 'implementation': 'cpython', 'platform': 'linux',
                                  'pid': 1, 'pickle': 5, 'executable': 'fake', 'features': []}, 2))
def exactly(size):
    data = b''
    while len(data) < size:
        some = os.read(0, size - len(data))
        if not some:
            sys.exit(0)
        data += some
    return data
def running():
    out(marker + b'l\n' + marker + b'r\n')
    exactly(length)
def greet():
    running()
    out(HELLO)
def requests(count):
    numbers = []
    while len(numbers) < count:
        magic, kind, flags, size, request, thread = struct.unpack('>HBBIIi', exactly(16))
        exactly(size)
        if 1 < kind < 8:
            numbers.append(request)
    return numbers
def until_closed():
    while os.read(0, 65536):
        pass
"#;

/// The spec of a server that runs this behind what all have in common.
pub fn server(folder: &Path, body: &str) -> String {
    let interpreter = interpreter_at_least((3, 6));
    let path = folder.join("server");
    write_program(
        &path,
        &format!("#!{}\n{COMMON}{body}\n", interpreter.to_str()),
    );
    format!(":local:rpython={}", path.to_str().unwrap())
}

fn options() -> ConnectOptions {
    let mut options = ConnectOptions::default().with_output(OutputSink::discard());
    options.transport.limits = StageLimits::default().with_stub(Duration::from_secs(2));
    options
}

/// How connecting to such a server ends.
async fn connecting(spec: &str) -> Error {
    let started = Instant::now();
    let spec = spec.parse().unwrap();
    let error = within(Client::connect(&spec, options()))
        .await
        .expect_err("no stub runs there");
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    error
}

#[tokio::test]
async fn the_stub_has_greeted_within_its_limit() {
    let bodies = [
        // Nothing, and noise before it.
        "out(b'noise')\nrunning()\nuntil_closed()",
        // A byte at a time.
        "running()\nfor byte in HELLO * 1000:\n    out(bytes([byte]))\n    time.sleep(0.1)",
        // A HELLO that never ends.
        "running()\nout(HELLO[:4] + b'\\x00\\x0f\\xff\\xff' + bytes(8))\nwhile True:\n    out(b'x')\n    time.sleep(0.05)",
        // The first stage, over and over.
        "while True:\n    out(marker + b'l\\n')\n    time.sleep(0.1)",
    ];
    let folder = tempfile::tempdir().unwrap();
    for body in bodies {
        let error = connecting(&server(folder.path(), body)).await;
        let Error::Connect(inner) = &error else {
            panic!("{body}: {error:?}")
        };
        assert_eq!(inner.stage, Stage::Stub, "{body}: {error}");
        assert!(
            inner.timed_out && error.to_string().contains("within 2 s"),
            "{body}: {error}"
        );
    }
    let spec = server(folder.path(), bodies[0]);
    let error = connecting(&format!("{spec}:timeout=1")).await.to_string();
    assert!(
        error.contains("within 1 s") && error.contains("noise"),
        "{error}"
    );
}

#[tokio::test]
async fn a_stub_that_ends_before_its_hello_says_how() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("running()\nsys.exit(3)", "exit status 3"),
        ("running()\nout(HELLO[:20])\nsys.exit(4)", "inside a frame"),
        (
            "running()\nout(frame(0x44, b'too soon'))\nuntil_closed()",
            "the first frame is not HELLO",
        ),
        (
            "running()\nout(frame(0x47, b'internal: no more threads'))\nuntil_closed()",
            "internal: no more threads",
        ),
        (
            "running()\nout(frame(0x41, b'no pickle'))\nuntil_closed()",
            "protocol error",
        ),
        (
            "running()\nout(frame(0x41, pickle.dumps({'protocol': 2}, 2)))\nuntil_closed()",
            "version",
        ),
    ];
    for (body, reason) in cases {
        let error = connecting(&server(folder.path(), body)).await;
        assert!(error.to_string().contains(reason), "{body}: {error}");
    }
}

#[tokio::test]
async fn what_ended_the_connection_is_what_every_call_says() {
    let folder = tempfile::tempdir().unwrap();
    // With three calls on their way: what the server does, what they say, and how many of them were answered before.
    let cases = [
        (
            "out(frame(0x47, b'internal: no more threads'))",
            "internal: no more threads",
            0,
        ),
        (
            "out(frame(0x47, b'internal: no more threads'))\nuntil_closed()",
            "internal: no more threads",
            0,
        ),
        (
            "out(frame(0x42, b'N.', request=n[0]) + frame(0x47, b'internal: full'))",
            "internal: full",
            1,
        ),
        (
            "out(frame(0x42, b'N.', request=n[0]) + frame(0x46, b'?'))",
            "malformed: PONG",
            1,
        ),
        ("out(b'Segmentation fault')", "garbled", 0),
        (
            "out(frame(0x42, b'N.', request=77))\nuntil_closed()",
            "unknown-request",
            0,
        ),
        (
            "out(frame(0x11, bytes([9, 9, 9, 9])))\nuntil_closed()",
            "malformed: more window",
            0,
        ),
        ("sys.exit(9)", "exit status 9", 0),
        (
            "out(frame(0x42, b'N.', request=n[0]))\nos.close(1)\ntime.sleep(1000)",
            "has closed its output and goes on",
            1,
        ),
        (
            "out(frame(0x42, b'N.', request=n[0]))\nos.kill(os.getpid(), 9)",
            "signal KILL",
            1,
        ),
        (
            "out(frame(0x42, b'N' * 50, request=n[0])[:40])\nsys.exit(9)",
            "exit status 9; the stream ended inside a frame",
            0,
        ),
    ];
    for (body, reason, answered) in cases {
        let spec = server(folder.path(), &format!("greet()\nn = requests(3)\n{body}"));
        let client = within(Client::connect(&spec.parse().unwrap(), options()))
            .await
            .unwrap();
        let calls: Vec<_> = (0..3)
            .map(|_| tokio::spawn(client.call::<Value>("f", ()).into_future()))
            .collect();
        let mut lost = 0;
        for call in calls {
            if let Err(error) = within(call).await.unwrap() {
                assert!(error.to_string().contains(reason), "{body}: {error}");
                lost += 1;
            }
        }
        assert_eq!(lost, 3 - answered, "{body}");
        let later = client
            .eval::<Value>("1")
            .await
            .expect_err("it is over")
            .to_string();
        assert!(later.contains(reason), "{body}: {later}");
        let ping = client.ping().await.expect_err("it is over").to_string();
        assert!(ping.contains(reason), "{body}: {ping}");
        let end = within(client.connection().closed()).await;
        let end = end.into_error("host").to_string();
        assert!(end.contains(reason), "{body}: {end}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_abandoned_ends_the_process_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let body = format!(
        "greet()\nopen({:?}, 'w').write(str(os.getpid()))\nrequests(1)\nout(frame(0x44, b'there'))\ntime.sleep(1000)",
        file.to_str().unwrap()
    );
    let spec = server(folder.path(), &body);
    let client = within(Client::connect(&spec.parse().unwrap(), options()))
        .await
        .unwrap();
    let call = tokio::spawn(client.eval::<Value>("1").into_future());
    let pid = waited(|| {
        std::fs::read_to_string(&file)
            .ok()
            .filter(|pid| !pid.is_empty())
    });
    client.connection().abandon("given up");
    for error in [within(call).await.unwrap(), client.eval::<Value>("1").await] {
        let error = error.expect_err("it is over").to_string();
        assert!(error.contains("given up"), "{error}");
    }
    waited(|| {
        std::fs::read_link(format!("/proc/{pid}/cwd"))
            .is_err()
            .then_some(())
    });
}

/// What the process that runs this may have at most: some MiB above what a client takes.
const LITTLE: u64 = 120 << 20;

#[test]
fn classes_without_end_end_the_connection() {
    alone(
        module_path!(),
        "classes_without_end_end_the_connection",
        async {
            let folder = tempfile::tempdir().unwrap();
            let body =
                "greet()\nn = requests(1)\nwhile True:\n    out(frame(0x45, bytes(1 << 20)))";
            let spec = server(folder.path(), body);
            let mut options = options();
            // As a Python client does it, which keeps them until a reference names one.
            let kept = Arc::new(Mutex::new(Vec::new()));
            let keep = Arc::clone(&kept);
            options.classes = Some(Arc::new(move |class| keep.lock().unwrap().push(class)));
            let client = within(Client::connect(&spec.parse().unwrap(), options))
                .await
                .unwrap();
            let error = within(client.eval::<Value>("1").into_future())
                .await
                .expect_err("it is over");
            assert!(
                error
                    .to_string()
                    .contains("malformed: the server describes more classes"),
                "{error}"
            );
            assert!(peak_memory(std::process::id()) < LITTLE);
        },
    );
}

#[test]
fn a_result_without_end_is_that_calls_error() {
    alone(
        module_path!(),
        "a_result_without_end_is_that_calls_error",
        async {
            let folder = tempfile::tempdir().unwrap();
            // As it is, and a thousand times smaller on the wire.
            for (spec, flags, chunk) in [
                (":max_result=20M", "1", "bytes(1 << 20)"),
                (
                    ":max_result=20M:compress=yes",
                    "3",
                    "zlib.compress(bytes(1 << 20))",
                ),
            ] {
                let body = format!(
                    "greet()\na, b = requests(2)\nchunk = {chunk}\nout(frame(0x42, chunk, {flags}, a))\n\
                 for n in range(400):\n    out(frame(0x10, chunk, {flags}, a))\n    if n == 100:\n        out(frame(0x42, b'K\\x05.', 0, b))\n\
                 out(frame(0x10, b'', 0, a))\nc, = requests(1)\nout(frame(0x42, b'K\\x06.', 0, c))\nuntil_closed()"
                );
                let spec = format!("{}{spec}", server(folder.path(), &body));
                let client = within(Client::connect(&spec.parse().unwrap(), options()))
                    .await
                    .unwrap();
                let (endless, other) = tokio::join!(
                    within(client.eval::<Value>("a").into_future()),
                    within(client.eval::<i64>("b").into_future())
                );
                let error = endless.expect_err("it has no end");
                assert!(
                    matches!(error, Error::TooLarge { limit, .. } if limit == 20 << 20),
                    "{error}"
                );
                assert!(error.hint().unwrap().contains("max_result="), "{error:?}");
                assert_eq!(other.unwrap(), 5);
                assert_eq!(
                    within(client.eval::<i64>("c").into_future()).await.unwrap(),
                    6
                );
            }
            assert!(peak_memory(std::process::id()) < LITTLE);
        },
    );
}

#[test]
fn standard_error_beside_the_frames_is_dropped_past_its_bound() {
    let name = "standard_error_beside_the_frames_is_dropped_past_its_bound";
    alone(module_path!(), name, async {
        let folder = tempfile::tempdir().unwrap();
        let body = "greet()\na, = requests(1)\nfor n in range(1024):\n    os.write(2, bytes(1 << 16))\n\
                    out(frame(0x42, b'K\\x05.', 0, a))\nb, = requests(1)\nos.write(2, b'last')\n\
                    out(frame(0x42, b'K\\x06.', 0, b))\nuntil_closed()";
        let spec = server(folder.path(), body);
        let mut options = options();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        options.output = OutputSink::new(move |output| keep.lock().unwrap().push(output));
        let client = within(Client::connect(&spec.parse().unwrap(), options))
            .await
            .unwrap();
        assert_eq!(
            within(client.eval::<i64>("a").into_future()).await.unwrap(),
            5
        );
        let held: usize = kept
            .lock()
            .unwrap()
            .iter()
            .map(|output| output.data.len())
            .sum();
        assert!(held <= 1 << 20, "{held}");
        assert!(peak_memory(std::process::id()) < LITTLE);
        kept.lock().unwrap().clear();
        assert_eq!(
            within(client.eval::<i64>("b").into_future()).await.unwrap(),
            6
        );
        until(|| {
            let kept = kept.lock().unwrap();
            let last = kept.last().is_some_and(|output| &*output.data == b"last");
            last.then_some(()).ok_or("the last word has not come")
        })
        .await;
        let noted = kept.lock().unwrap().iter().any(|output| {
            String::from_utf8_lossy(&output.data)
                .contains("bytes of standard error were dropped here")
        });
        assert!(noted);
    });
}

/// What this gives, once it gives something.
fn waited<T>(ready: impl FnMut() -> Option<T>) -> T {
    crate::support::poll(crate::support::PATIENCE, ready).expect("it comes in time")
}

#[tokio::test]
async fn the_end_of_a_channel_within_an_item_is_no_orderly_end() {
    let folder = tempfile::tempdir().unwrap();
    let body = r#"greet()
kind = 0
while kind != 26:
    magic, kind, flags, size, number, thread = struct.unpack('>HBBIIi', exactly(16))
    exactly(size)
out(frame(24, pickle.dumps('whole', 2), 0, number))
out(frame(24, pickle.dumps('a part', 2)[:6], 1, number))
out(frame(24, b'', 128, number))
until_closed()"#;
    let spec = server(folder.path(), body).parse().unwrap();
    let client = within(Client::connect(&spec, options())).await.unwrap();
    let (_sender, mut receiver) = client.channel::<i64, String>(None).unwrap().split();
    let first = within(receiver.next()).await.unwrap();
    assert_eq!(first.as_deref(), Some("whole"));
    for _ in 0..2 {
        let error = within(receiver.next()).await.expect_err("it was cut");
        assert!(
            error.to_string().contains("in the middle of an item"),
            "{error}"
        );
    }
}

//! What every connection must be able to do, whatever the transport and the interpreter: one suite for all of them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use easycluster::{Client, ConnectOptions, Error, Output, OutputSink, Plain, RemoteObject, Value};

const DEFINITIONS: &str = r#"
import sys, os, time, threading

def addvals(a, b):
    return a + b

def fail(text):
    raise ValueError(text, 42)

def echo(value):
    return value

def doze(seconds):
    end = time.time() + seconds
    while time.time() < end:
        time.sleep(0.05)
    return 'woke'

def thread_name():
    return threading.current_thread().ident

class Counter(ServerObject):
    def __init__(self, start):
        self.value = start

    def add(self, n=1):
        self.value += n
        return self.value

    def twin(self):
        return Counter(self.value)

    def broken(self):
        raise KeyError('broken')

def total(counters):
    return sum([c.value for c in counters])

def countdown(n):
    while n:
        yield n
        n -= 1

def children():
    import subprocess
    process = subprocess.Popen(['sleep', '1000'])
    return process.pid
"#;

/// What was printed, by stream.
#[derive(Clone, Default)]
pub struct Printed(Arc<Mutex<(Vec<u8>, Vec<u8>)>>);

impl Printed {
    /// Options whose output is collected here.
    pub fn options(&self) -> ConnectOptions {
        let printed = self.clone();
        ConnectOptions::default().with_output(OutputSink::new(move |output: Output| {
            let mut streams = printed.0.lock().unwrap();
            let stream = if output.stderr {
                &mut streams.1
            } else {
                &mut streams.0
            };
            stream.extend_from_slice(&output.data);
        }))
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap().0).into_owned()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap().1).into_owned()
    }
}

/// Connects by the spec and tries everything.
pub async fn run(spec: &str, version: (u32, u32)) {
    let printed = Printed::default();
    let parsed = spec.parse().expect("the test's own spec is well-formed");
    let client = Client::connect(&parsed, printed.options())
        .await
        .unwrap_or_else(|e| panic!("{spec}: {e}"));
    let hello = client.ready().await.unwrap();
    assert_eq!((hello.python.0, hello.python.1), version, "{spec}");
    client.define(DEFINITIONS).await.unwrap();

    values(&client).await;
    calls(&client).await;
    errors(&client).await;
    objects(&client).await;
    threads(&client).await;
    time_limits(&client).await;
    large(&client).await;
    output(&client, &printed).await;

    let pid: i64 = client.eval("os.getpid()").await.unwrap();
    let child: i64 = client.call("children", ()).await.unwrap();
    drop(client);
    for process in [pid, child] {
        // A process that is gone, or a zombie that has not been waited for yet, has no working directory.
        let gone = || std::fs::read_link(format!("/proc/{process}/cwd")).is_err();
        super::until(|| gone().then_some(()).ok_or((spec, process, "is left"))).await;
    }
}

async fn values(client: &Client) {
    let plain = [
        Value::None,
        Value::Bool(true),
        Value::Int(-7),
        Value::Int(1 << 40),
        Value::Float(2.5),
        Value::Str("gr\u{fc}n \u{1f40d}".to_owned()),
        Value::List(vec![Value::Int(1), Value::Str("a".to_owned())]),
        Value::Tuple(vec![Value::Int(1), Value::Tuple(vec![])]),
        Value::Dict(vec![(Value::Str("k".to_owned()), Value::None)]),
    ];
    for value in plain {
        let back: Value = client.call("echo", (value.clone(),)).await.unwrap();
        assert_eq!(back, value);
    }
    let bytes: Value = client
        .call("echo", (Value::Bytes(vec![0, 255, 128]),))
        .await
        .unwrap();
    assert_eq!(bytes.as_bytes(), Some(&[0, 255, 128][..]), "{bytes}");
    let big: Value = client.eval("2 ** 70").await.unwrap();
    assert_eq!(big.to_string(), "1180591620717411303424");
    let set: Value = client.eval("set([2, 1])").await.unwrap();
    assert_eq!(set, Value::Set(vec![Value::Int(1), Value::Int(2)]));
    let bytes: Vec<u8> = client.eval("b'abc'").await.unwrap();
    assert_eq!(bytes, b"abc");
    let bytes: Vec<u8> = client
        .call("echo", (Value::Bytes(vec![0, 255]),))
        .await
        .unwrap();
    assert_eq!(bytes, [0, 255]);
    let listed: Vec<u8> = client.eval("[1, 255]").await.unwrap();
    assert_eq!(listed, [1, 255]);
    let large: u64 = client.eval("2 ** 64 - 1").await.unwrap();
    assert_eq!(large, u64::MAX);
    let larger: i128 = client.eval("-2 ** 100").await.unwrap();
    assert_eq!(larger, -(1 << 100));
    let error = client.eval::<u64>("-1").await.unwrap_err();
    assert!(matches!(&error, Error::Convert(_)), "{error}");
    let typed: (i64, Vec<f64>, Option<String>) = client.eval("(1, [0.5, 2], None)").await.unwrap();
    assert_eq!(typed, (1, vec![0.5, 2.0], None));
}

async fn calls(client: &Client) {
    let sum: i64 = client.call("addvals", (3, 4)).await.unwrap();
    assert_eq!(sum, 7);
    let sum: i64 = client.call("addvals", (3,)).kwarg("b", 5).await.unwrap();
    assert_eq!(sum, 8);
    let path: String = client.call("os.path.join", ("a", "b")).await.unwrap();
    assert_eq!(path, "a/b");
    let imported: String = client
        .call("xml.sax.saxutils.escape", ("a<b",))
        .await
        .unwrap();
    assert_eq!(imported, "a&lt;b");
    let nothing = client.exec("x = 1").await.unwrap();
    assert!(nothing.is_none());
    let returned = client.exec("exec_return(x + 1)").await.unwrap();
    assert_eq!(returned, Value::Int(2));

    // Many in flight at once, answered in full.
    let calls: Vec<_> = (0..500i64)
        .map(|n| client.call::<i64>("addvals", (n, n)))
        .collect();
    let tasks: Vec<_> = calls
        .into_iter()
        .map(|call| tokio::spawn(call.into_future()))
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().unwrap(), 2 * n as i64);
    }
}

async fn errors(client: &Client) {
    let error = client
        .call::<Value>("fail", ("gone wrong",))
        .await
        .unwrap_err();
    let Error::Remote(remote) = &error else {
        panic!("{error}")
    };
    assert_eq!(remote.type_name, "ValueError");
    assert_eq!(
        remote.args,
        Some(vec![Plain::Str("gone wrong".to_owned()), Plain::Int(42)])
    );
    let traceback = remote.traceback.concat();
    assert!(
        traceback.contains("raise ValueError(text, 42)"),
        "the source line is missing: {traceback}"
    );
    for (code, name) in [
        ("import sys; sys.exit(3)", "SystemExit"),
        ("raise KeyboardInterrupt()", "KeyboardInterrupt"),
    ] {
        let error = client.exec(code).await.unwrap_err();
        assert!(
            matches!(&error, Error::Remote(e) if e.type_name == name),
            "{error}"
        );
    }
    let error = client.call::<Value>("no_such_name", ()).await.unwrap_err();
    assert!(error.to_string().contains("no_such_name"), "{error}");
    let error = client.define("def broken(:\n").await.unwrap_err();
    assert!(
        matches!(&error, Error::Remote(e) if e.type_name == "SyntaxError"),
        "{error}"
    );
    let error = client.eval::<Value>("lambda: 1").await.unwrap_err();
    assert!(
        matches!(&error, Error::Remote(e) if e.kind == "pickle"),
        "{error}"
    );
    let error = client.eval::<String>("[1]").await.unwrap_err();
    assert!(matches!(&error, Error::Convert(_)), "{error}");
    // None of it cost the connection.
    assert_eq!(client.eval::<i64>("1 + 1").await.unwrap(), 2);
}

async fn objects(client: &Client) {
    let counter: RemoteObject = client.call("Counter", (10,)).await.unwrap();
    assert_eq!(counter.class_name(), "Counter");
    assert_eq!(counter.call::<i64>("add", (5,)).await.unwrap(), 15);
    assert_eq!(
        counter.call::<i64>("add", ()).kwarg("n", 2).await.unwrap(),
        17
    );
    assert_eq!(counter.get::<i64>("value").await.unwrap(), 17);
    counter.set("value", 20).await.unwrap();
    let twin: RemoteObject = counter.call("twin", ()).await.unwrap();
    assert_ne!(twin, counter);
    let total: i64 = client
        .call("total", (vec![counter.clone(), twin.clone()],))
        .await
        .unwrap();
    assert_eq!(total, 40);
    let error = counter.call::<Value>("broken", ()).await.unwrap_err();
    assert!(
        matches!(&error, Error::Remote(e) if e.type_name == "KeyError"),
        "{error}"
    );
    // The same object twice in one answer is one handle's worth of references.
    let pair: Vec<RemoteObject> = client
        .call("echo", ((counter.clone(), counter.clone()),))
        .await
        .unwrap();
    assert!(pair[0] == counter && pair[1] == counter);
    drop(pair);
    assert_eq!(counter.get::<i64>("value").await.unwrap(), 20);
    let generator: RemoteObject = client.call("countdown", (2,)).await.unwrap();
    let next: i64 = client.call("next", (generator.clone(),)).await.unwrap();
    assert_eq!(next, 2);
    assert_eq!(generator.next::<i64>().await.unwrap(), Some(1));
    assert_eq!(generator.next::<i64>().await.unwrap(), None);
    let error = counter.next::<Value>().await.unwrap_err();
    assert!(
        matches!(&error, Error::Remote(e) if e.type_name == "TypeError"),
        "{error}"
    );
}

async fn threads(client: &Client) {
    let main: i64 = client.call("thread_name", ()).await.unwrap();
    let one: i64 = client.call("thread_name", ()).thread(1).await.unwrap();
    let again: i64 = client.call("thread_name", ()).thread(1).await.unwrap();
    assert!(main != one && one == again);
    // A busy thread does not delay the others.
    let busy = tokio::spawn(
        client
            .call::<String>("doze", (1.0,))
            .thread(1)
            .into_future(),
    );
    let started = Instant::now();
    let free: i64 = client.call("addvals", (1, 1)).one_shot().await.unwrap();
    assert_eq!(free, 2);
    assert!(
        !busy.is_finished(),
        "the small call waited {:?} for the busy thread",
        started.elapsed()
    );
    assert_eq!(busy.await.unwrap().unwrap(), "woke");
    client.stop_thread(1);
    // Definitions are seen by calls on other threads at once.
    let defined = client.define("def fresh():\n    return 'new'\n");
    let (defined, fresh) = tokio::join!(
        defined.into_future(),
        client.call::<String>("fresh", ()).thread(2).into_future()
    );
    defined.unwrap();
    assert_eq!(fresh.unwrap(), "new");
}

async fn time_limits(client: &Client) {
    for thread in [0, 3] {
        let mut stack = String::new();
        // The stack comes if the interrupted thread answers within the grace time, which a busy machine may miss.
        for _ in 0..20 {
            let call = client
                .call::<String>("doze", (60,))
                .thread(thread)
                .timeout(Duration::from_millis(300));
            let started = Instant::now();
            let error = call.await.unwrap_err();
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "thread {thread}: {:?}",
                started.elapsed()
            );
            let Error::Timeout { stack: lines, .. } = &error else {
                panic!("{error}")
            };
            stack = lines.concat();
            // The thread is free again.
            let sum: i64 = client.call("addvals", (1, 2)).thread(thread).await.unwrap();
            assert_eq!(sum, 3);
            if !stack.is_empty() {
                break;
            }
        }
        assert!(
            stack.contains("doze"),
            "thread {thread}: the remote stack is missing: {stack}"
        );
    }
    // Not awaited to the end: dropped, and the remote call with it.
    let abandoned = client.call::<String>("doze", (60,)).into_future();
    assert!(
        tokio::time::timeout(Duration::from_millis(200), abandoned)
            .await
            .is_err()
    );
    assert_eq!(client.call::<i64>("addvals", (1, 2)).await.unwrap(), 3);
}

async fn large(client: &Client) {
    // 1 MiB both ways, many at once.
    let mut payload = Vec::from_iter(0..251u8).repeat((1 << 20) / 251 + 1);
    payload.truncate(1 << 20);
    let payload = Value::Bytes(payload);
    let calls: Vec<_> = (0..16)
        .map(|n| {
            client
                .call::<Value>("echo", (payload.clone(),))
                .thread(n % 4)
        })
        .collect();
    let tasks: Vec<_> = calls
        .into_iter()
        .map(|call| tokio::spawn(call.into_future()))
        .collect();
    for task in tasks {
        assert!(
            task.await.unwrap().unwrap() == payload,
            "a payload came back changed"
        );
    }
}

async fn output(client: &Client, printed: &Printed) {
    client
        .exec(
            "import sys, subprocess\nprint('from print')\nsubprocess.call(['echo', 'from a child'])\n\
             print('again')\nsys.stderr.write('to stderr\\n')\n",
        )
        .await
        .unwrap();
    // The answer comes after the output.
    assert_eq!(printed.stdout(), "from print\nfrom a child\nagain\n");
    assert!(
        printed.stderr().contains("to stderr\n"),
        "{:?}",
        printed.stderr()
    );
}

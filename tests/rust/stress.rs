//! Everything at once, at random: threads, sizes, cancellations, time limits, objects, output. Every call ends exactly once.

use std::future::IntoFuture;
use std::time::Duration;

use easycluster::{Client, ConnectOptions, Error, OutputSink, Plain, RemoteObject, Value};

use crate::support::{Interpreter, few_interpreters, interpreters};

const DEFINITIONS: &str = r#"
import time

def echo(value):
    return value

def nap(seconds):
    end = time.time() + seconds
    while time.time() < end:
        time.sleep(0.002)
    return 'woke'

def fail(n):
    raise ValueError(n)

def chat(n):
    print('line %d' % n)
    return n

class Box(ServerObject):
    def __init__(self, value):
        self.value = value

    def get(self):
        return self.value

def unbox(boxes):
    return [box.get() for box in boxes]
"#;

/// A small generator: a failure is seen again with the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

async fn one_call(client: Client, seed: u64) -> Result<(), String> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..3 {
        random.below(2);
    }
    let thread = i32::try_from(random.below(6)).unwrap();
    let n = i64::try_from(random.below(1 << 40)).unwrap();
    let say = |what: &str, error: Error| {
        Err(format!(
            "seed {seed}: {what}: {error} {}",
            error.traceback().concat()
        ))
    };
    match random.below(10) {
        0..=3 => match client.call::<i64>("echo", (n,)).thread(thread).await {
            Ok(back) if back == n => Ok(()),
            Ok(back) => Err(format!("seed {seed}: {n} came back as {back}")),
            Err(error) => say("echo", error),
        },
        4 => {
            let size = usize::try_from(random.below(600_000)).unwrap();
            let period: Vec<u8> = (0..251).map(|i| i ^ (n as u8)).collect();
            let mut payload = period.repeat(size / period.len() + 1);
            payload.truncate(size);
            let payload = Value::Bytes(payload);
            match client
                .call::<Value>("echo", (payload.clone(),))
                .thread(thread)
                .await
            {
                Ok(back) if back == payload => Ok(()),
                Ok(_) => Err(format!("seed {seed}: {size} bytes came back changed")),
                Err(error) => say("payload", error),
            }
        }
        5 => {
            let limit = Duration::from_millis(random.below(30));
            let call = client
                .call::<String>("nap", (0.015,))
                .thread(thread)
                .timeout(limit);
            match call.await {
                Ok(_) | Err(Error::Timeout { .. }) => Ok(()),
                Err(error) => say("nap", error),
            }
        }
        6 => {
            // Given up by its caller at any moment: on its way out, running, on its way back.
            let size = usize::try_from(random.below(400_000)).unwrap();
            let call = client
                .call::<Value>("echo", (Value::Bytes(vec![7; size]),))
                .thread(thread);
            let patience = Duration::from_micros(random.below(20_000));
            match tokio::time::timeout(patience, call.into_future()).await {
                Err(_) | Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => say("given up", error),
            }
        }
        7 => match client.call::<i64>("fail", (n,)).one_shot().await {
            Err(Error::Remote(error)) if error.args == Some(vec![Plain::Int(n)]) => Ok(()),
            Err(error) => say(&format!("fail {error:?}"), error),
            Ok(_) => Err(format!("seed {seed}: no error came")),
        },
        8 => match client.call::<i64>("chat", (n,)).thread(thread).await {
            Ok(_) => Ok(()),
            Err(error) => say("chat", error),
        },
        _ => {
            let boxed = client
                .call::<RemoteObject>("Box", (n,))
                .thread(thread)
                .await;
            let object = boxed.map_err(|error| format!("seed {seed}: Box: {error}"))?;
            match client
                .call::<Vec<i64>>("unbox", (vec![object.clone(), object],))
                .one_shot()
                .await
            {
                Ok(values) if values == [n, n] => Ok(()),
                Ok(values) => Err(format!("seed {seed}: {n} came back as {values:?}")),
                Err(error) => say("unbox", error),
            }
        }
    }
}

async fn stress(interpreter: &Interpreter, calls: u64, seed: u64) {
    let options = ConnectOptions::default().with_output(OutputSink::discard());
    let spec = format!(":local:rpython={}", interpreter.to_str());
    let client = Client::connect(&spec.parse().unwrap(), options)
        .await
        .unwrap();
    client.define(DEFINITIONS).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..calls {
        tasks.spawn(one_call(client.clone(), seed + n));
        if tasks.len() >= 200 {
            end(interpreter, &client, tasks.join_next()).await;
        }
    }
    while !tasks.is_empty() {
        end(interpreter, &client, tasks.join_next()).await;
    }
    // Nothing is left in flight, and each thread still answers.
    for thread in 0..6 {
        assert_eq!(
            client
                .call::<i64>("echo", (1,))
                .thread(thread)
                .await
                .unwrap(),
            1
        );
    }
}

async fn end(
    interpreter: &Interpreter,
    client: &Client,
    next: impl Future<Output = Option<Result<Result<(), String>, tokio::task::JoinError>>>,
) {
    let ended = tokio::time::timeout(Duration::from_secs(60), next).await;
    let Ok(Some(Ok(result))) = ended else {
        panic!(
            "{}: {} calls hang",
            interpreter.path.display(),
            client.connection().in_flight()
        );
    };
    if let Err(text) = result {
        panic!("{}: {text}", interpreter.path.display());
    }
}

fn seed() -> u64 {
    std::env::var("EASYCLUSTER_STRESS_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1)
}

fn calls() -> u64 {
    std::env::var("EASYCLUSTER_STRESS_CALLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(500)
}

#[tokio::test]
async fn every_interpreter_stands_it() {
    for interpreter in interpreters() {
        stress(interpreter, calls(), seed()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_does_a_runtime_of_several_threads() {
    for interpreter in few_interpreters() {
        stress(interpreter, calls(), seed() + 1_000_000).await;
    }
}

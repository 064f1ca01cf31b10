//! Functions of this program that remote code calls, under every interpreter of this machine.

use std::future::IntoFuture;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use easycluster::{CallbackError, Client, Error, RemoteObject, Value};

use crate::support::{Interpreter, few_interpreters, interpreters, within};

const DEFINITIONS: &str = "
import errno, sys, threading

def apply(function, args):
    return function(*args)

def first_of(held, args):
    return held['functions'][0](*args)

def caught(function, *args, **keywords):
    try:
        return 'gave %r' % (function(*args, **keywords),)
    except Exception:
        error = sys.exc_info()[1]
        return '%s: %s' % (type(error).__name__, error)

def number_of(function):
    try:
        function()
    except EnvironmentError:
        return sys.exc_info()[1].errno

def timed_out(function):
    return number_of(function) == errno.ETIMEDOUT

def note(function, count):
    return [function(n) for n in range(count)]

def kept(function):
    global keep
    keep = function

def again(n):
    return keep(n)

def deeper(function, n):
    return function(n)

class Held(ServerObject):
    def get(self):
        return 5

def held(function):
    return function(Held())
";

async fn client(interpreter: &Interpreter) -> Client {
    println!("{}", interpreter.path.display());
    let spec = format!(":local:rpython={}", interpreter.to_str());
    let client = Client::from_spec(&spec).await.unwrap();
    client.define(DEFINITIONS).await.unwrap();
    client
}

#[tokio::test]
async fn values_go_there_and_back_under_every_interpreter() {
    for interpreter in interpreters() {
        let client = client(interpreter).await;
        let add = client
            .callback(|(a, b): (i64, i64)| async move { Ok(a + b) })
            .unwrap();
        for thread in [0, 3] {
            let sum = client.call::<i64>("apply", (&add, (3, 4))).thread(thread);
            assert_eq!(within(sum.into_future()).await.unwrap(), 7);
        }
        let greet = client
            .callback(|(name,): (String,)| async move { Ok(format!("héllo {name}")) })
            .unwrap();
        let greeted: String = client.call("apply", (&greet, ("you",))).await.unwrap();
        assert_eq!(greeted, "héllo you");
        // Inside of others, without arguments, and with whatever arguments there are.
        let held = std::collections::BTreeMap::from([("functions", vec![&add])]);
        let sum: i64 = client.call("first_of", (held, (1, 2))).await.unwrap();
        assert_eq!(sum, 3);
        let none = client.callback(|(): ()| async { Ok(()) }).unwrap();
        client.call::<()>("apply", (&none, [0; 0])).await.unwrap();
        let any = client
            .callback(|value: Value| async move { Ok(value.as_slice().map(<[_]>::len)) })
            .unwrap();
        let count: usize = client.call("apply", (&any, (1, "x", 2.5))).await.unwrap();
        assert_eq!(count, 3);
        // An object that stays there.
        let get = client
            .callback(
                |(held,): (RemoteObject,)| async move { Ok(held.call::<i64>("get", ()).await?) },
            )
            .unwrap();
        let got = client.call::<i64>("held", (&get,)).into_future();
        assert_eq!(within(got).await.unwrap(), 5);
        // A large one, in several pieces.
        let long = client
            .callback(|(text,): (String,)| async move { Ok(text) })
            .unwrap();
        let text = "x".repeat(3 << 20);
        let same: String = client
            .call("apply", (&long, (text.clone(),)))
            .await
            .unwrap();
        assert!(same == text);
    }
}

#[tokio::test]
async fn failures_are_exceptions_under_every_interpreter() {
    for interpreter in interpreters() {
        let client = client(interpreter).await;
        let fail = client
            .callback(|(kind,): (String,)| async move {
                match kind.as_str() {
                    "value" => return Err(CallbackError::new("ValueError", "no")),
                    "unknown" => return Err(CallbackError::new("some.where.Odd", "what")),
                    "parse" => drop("x".parse::<i64>()?),
                    "panic" => panic!("on purpose"),
                    _ => {}
                }
                Ok(1)
            })
            .unwrap();
        let caught = async |args: &[&str]| {
            let values: Vec<Value> = args.iter().map(|arg| Value::from(*arg)).collect();
            let call = client.call::<String>("apply_caught", (&fail, values));
            within(call.into_future()).await.unwrap()
        };
        client
            .define("def apply_caught(function, args):\n    return caught(function, *args)\n")
            .await
            .unwrap();
        assert_eq!(caught(&["fine"]).await, "gave 1");
        assert_eq!(caught(&["value"]).await, "ValueError: no");
        let unknown = caught(&["unknown"]).await;
        assert_eq!(unknown, "RuntimeError: some.where.Odd: what");
        assert!(
            caught(&["parse"])
                .await
                .starts_with("RuntimeError: invalid digit")
        );
        assert_eq!(
            caught(&["panic"]).await,
            "RuntimeError: the callback panicked"
        );
        assert!(caught(&[]).await.starts_with("TypeError: "));
        assert!(caught(&["a", "b"]).await.starts_with("TypeError: "));
        let keyword = client
            .call::<String>("caught", (&fail, "fine"))
            .kwarg("more", 1);
        let keyword = within(keyword.into_future()).await.unwrap();
        assert!(keyword.contains("takes no keyword arguments"), "{keyword}");
        // What the system refuses keeps its number, and what another call raised its class.
        let missing = client
            .callback(|(): ()| async { Ok(std::fs::read_to_string("/nothing/here")?) })
            .unwrap();
        let number: i64 = client.call("number_of", (&missing,)).await.unwrap();
        assert_eq!(number, 2);
        let again = client.clone();
        let passed = client
            .callback(move |(): ()| {
                let again = again.clone();
                async move { Ok(again.call::<i64>("int", ("x",)).await?) }
            })
            .unwrap();
        let passed = client.call::<String>("caught", (&passed,)).into_future();
        assert!(
            within(passed)
                .await
                .unwrap()
                .starts_with("ValueError: invalid literal")
        );
    }
}

#[tokio::test]
async fn nobody_waits_for_some_and_none_for_ever() {
    for interpreter in few_interpreters() {
        let client = client(interpreter).await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let again = client.clone();
        let note = client
            .callback(move |(n,): (usize,)| {
                let (noted, again) = (Arc::clone(&noted), again.clone());
                async move {
                    tokio::task::yield_now().await;
                    if n == 7 {
                        // It would wait for what waits for it.
                        let refused = again.call::<i64>("abs", (n,)).await;
                        assert!(matches!(refused, Err(Error::Convert(_))), "{refused:?}");
                    }
                    noted.lock().unwrap().push(n);
                    Ok(())
                }
            })
            .unwrap()
            .without_answer();
        let call = client.call::<Vec<()>>("note", (&note, 200)).into_future();
        assert_eq!(within(call).await.unwrap().len(), 200);
        // In the order in which they were made, the last also behind the answer.
        within(async {
            while seen.lock().unwrap().len() < 200 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(*seen.lock().unwrap(), (0..200).collect::<Vec<_>>());

        let slow = client
            .callback(|(): ()| async {
                std::future::pending::<()>().await;
                Ok(())
            })
            .unwrap()
            .timeout(Duration::from_millis(50));
        let call = client.call::<bool>("timed_out", (&slow,)).into_future();
        assert!(within(call).await.unwrap());
    }
}

#[tokio::test]
async fn a_function_ends_with_its_handle_and_with_the_client() {
    for interpreter in few_interpreters() {
        let client = client(interpreter).await;
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        // It keeps its own client, which is no cycle.
        let own = client.clone();
        let function = client
            .callback(move |(n,): (i64,)| {
                let _ = (&held, &own);
                async move { Ok(n + 1) }
            })
            .unwrap();
        client.call::<()>("kept", (&function,)).await.unwrap();
        let next: i64 = client.call("again", (1,)).await.unwrap();
        assert_eq!(next, 2);
        drop(function);
        assert_eq!(Arc::strong_count(&alive), 1);
        let refused = client.call::<i64>("again", (1,)).await;
        assert!(
            matches!(&refused, Err(Error::Remote(error)) if error.type_name == "LookupError"),
            "{refused:?}"
        );

        // One that runs does not keep the connection, and ends with it.
        let (began, begun) = tokio::sync::mpsc::unbounded_channel();
        let mut begun = begun;
        let running = Arc::clone(&alive);
        let stuck = client
            .callback(move |(): ()| {
                let (running, began) = (Arc::clone(&running), began.clone());
                async move {
                    began.send(()).unwrap();
                    std::future::pending::<()>().await;
                    drop(running);
                    Ok(())
                }
            })
            .unwrap();
        let call = tokio::spawn(
            client
                .call::<Value>("apply", (&stuck, [0; 0]))
                .into_future(),
        );
        within(begun.recv()).await.unwrap();
        call.abort();
        let _ = call.await;
        let closed = client.connection().downgrade();
        drop(stuck);
        drop(client);
        within(async {
            while closed.upgrade().is_some() || Arc::strong_count(&alive) > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn so_many_run_at_once_and_no_more() {
    for interpreter in few_interpreters() {
        let client = client(interpreter).await;
        let at_once = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let counted = Arc::clone(&at_once);
        let slow = client
            .callback(move |(n,): (usize,)| {
                let counted = Arc::clone(&counted);
                async move {
                    let [now, most] = &*counted;
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // The first one stays until there is another.
                    while n == 0 && most.load(Ordering::SeqCst) < 2 {
                        tokio::task::yield_now().await;
                    }
                    tokio::task::yield_now().await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok(n)
                }
            })
            .unwrap();
        let calls: Vec<_> = (0..128)
            .map(|n| {
                tokio::spawn(
                    client
                        .call::<usize>("apply", (&slow, (n,)))
                        .one_shot()
                        .into_future(),
                )
            })
            .collect();
        for (n, call) in calls.into_iter().enumerate() {
            assert_eq!(within(call).await.unwrap().unwrap(), n);
        }
        let most = at_once[1].load(Ordering::SeqCst);
        assert!((2..=63).contains(&most), "{most}");

        // Those that call each other without end are told.
        let again = client.clone();
        let handle: Arc<Mutex<Option<easycluster::Callback>>> = Arc::default();
        let own = Arc::clone(&handle);
        let deep = client
            .callback(move |(n,): (i64,)| {
                let (again, own) = (again.clone(), own.lock().unwrap().clone().unwrap());
                async move {
                    if n == 0 {
                        return Ok(0);
                    }
                    Ok(again.call::<i64>("deeper", (&own, n - 1)).await? + 1)
                }
            })
            .unwrap();
        *handle.lock().unwrap() = Some(deep.clone());
        let call = client.call::<i64>("deeper", (&deep, 40)).into_future();
        assert_eq!(within(call).await.unwrap(), 40);
        let call = client.call::<i64>("deeper", (&deep, 1000)).into_future();
        let refused = within(call).await;
        assert!(
            matches!(&refused, Err(Error::Remote(error)) if error.message.contains("wait for each other")),
            "{refused:?}"
        );
        // What keeps itself is let go of by hand.
        handle.lock().unwrap().take();
    }
}

#[tokio::test]
async fn a_callback_is_an_argument_of_its_own_client_alone() {
    let interpreter = interpreters().last().unwrap();
    let (client, other) = (client(interpreter).await, client(interpreter).await);
    let function = client.callback(|(): ()| async { Ok(()) }).unwrap();
    let refused = other
        .call::<()>("apply", (&function, [0; 0]))
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("another connection"),
        "{refused}"
    );
    client.clone().close().await;
    assert!(matches!(
        client.callback(|(): ()| async { Ok(()) }).map(drop),
        Ok(())
    ));
    assert!(matches!(
        client.call::<()>("apply", (&function, [0; 0])).await,
        Err(Error::Lost { .. })
    ));
}

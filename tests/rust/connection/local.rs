//! The whole suite over a child process, under every interpreter of this machine.

use std::time::{Duration, Instant};

use easycluster::{Client, Error, Value};

use crate::support::{interpreters, suite};

#[tokio::test]
async fn every_interpreter_passes_the_suite() {
    for interpreter in interpreters() {
        println!("{}", interpreter.path.display());
        suite::run(
            &format!(":local:rpython={}", interpreter.to_str()),
            interpreter.version,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_of_several_threads_passes_the_suite() {
    let interpreter = crate::support::interpreter_at_least((3, 8));
    suite::run(
        &format!(":local:rpython={}", interpreter.to_str()),
        interpreter.version,
    )
    .await;
}

#[test]
fn a_connection_whose_runtime_is_gone_is_lost() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (first, second) = (runtime(), runtime());
    let client = first.block_on(Client::from_spec(":local")).unwrap();
    let pending = client
        .call::<Value>("time.sleep", (600,))
        .thread(1)
        .into_future();
    drop(first);
    for call in [pending, client.eval("1").into_future()] {
        let error = second
            .block_on(async { tokio::time::timeout(crate::support::PATIENCE, call).await })
            .expect("it does not wait for a runtime that is gone")
            .unwrap_err();
        assert!(
            matches!(&error, Error::Lost { reason, .. } if reason.contains("runtime")),
            "{error}"
        );
    }
}

/// Preparing a result cannot be interrupted, and takes its time here.
#[tokio::test]
async fn the_time_limit_holds_while_a_result_is_pickled() {
    let found = interpreters();
    for interpreter in [&found[0], &found[found.len() - 1]] {
        let client = Client::from_spec(&format!(":local:rpython={}", interpreter.to_str()))
            .await
            .unwrap();
        client
            .define(
                "import time\nclass Slow(dict):\n    def items(self):\n        time.sleep(2)\n        return dict.items(self)\n",
            )
            .await
            .unwrap();
        let limit = Duration::from_millis(50);
        let large = client.eval::<Value>("Slow(a=1)").thread(1).timeout(limit);
        let small = client
            .eval::<i64>("1 + 1")
            .timeout(crate::support::PATIENCE);
        let started = Instant::now();
        let (large, small) = tokio::join!(
            async { (large.await, started.elapsed()) },
            small.into_future()
        );
        let (error, time) = (large.0.unwrap_err(), large.1);
        assert!(matches!(&error, Error::Timeout { .. }), "{error}");
        assert!(time < Duration::from_secs(20), "it took {time:?}");
        assert_eq!(small.unwrap(), 2);
        // The thread and the connection serve on.
        let next: i64 = client.eval("2 + 2").thread(1).await.unwrap();
        assert_eq!(next, 4);
    }
}

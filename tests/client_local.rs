//! The whole suite over a child process, under every interpreter of this machine.

mod support;

use support::{interpreters, suite};

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
    let interpreter = support::interpreter_at_least((3, 8));
    suite::run(
        &format!(":local:rpython={}", interpreter.to_str()),
        interpreter.version,
    )
    .await;
}

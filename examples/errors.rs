//! What can go wrong, and how to tell the cases apart: remote exceptions, time limits, connections.
//!
//!     cargo run --example errors you@yourbox

// An example prints, and ends where it cannot go on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub
)]

use std::time::Duration;

use easycluster::{Client, Error, Fault};

const SOURCE: &str = "\
import time

def average(numbers):
    return sum(numbers) / len(numbers)

def wait():
    time.sleep(600)
";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let spec = std::env::args()
        .nth(1)
        .unwrap_or_else(|| ":local".to_owned());
    let client = Client::from_spec(&spec).await?;
    client.define(SOURCE).await?;

    let none: Vec<f64> = Vec::new();
    match client.call::<f64>("average", (none,)).await {
        // The remote traceback has the source lines too.
        Err(Error::Remote(error)) => {
            let text = error.traceback.concat();
            let source = text.contains("return sum(numbers) / len(numbers)");
            println!("{}; source known: {source}", error.type_name);
        }
        other => println!("unexpected: {other:?}"),
    }

    let waiting = client
        .call::<()>("wait", ())
        .timeout(Duration::from_millis(300));
    match waiting.await {
        // The call was interrupted on the server, and this is where it was.
        Err(Error::Timeout { stack, .. }) => {
            let stood = stack.iter().any(|entry| entry.contains("time.sleep(600)"));
            println!("too long; stack known: {stood}");
        }
        other => println!("unexpected: {other:?}"),
    }

    // None of that harms the connection.
    let sum: i64 = client.call("sum", ([20, 22],)).await?;
    println!("{sum}");
    client.close().await;

    // Nothing listens on port 1. Such an error names the stage and says what to do.
    if let Err(error) = Client::from_spec("me@127.0.0.1:1:config=none:batch=yes").await {
        let stage = match &error {
            Error::Connect(error) => error.stage.to_string(),
            _ => "none".to_owned(),
        };
        println!("{:?} at stage {stage}", error.fault());
        assert_eq!(error.fault(), Fault::Connection);
    }
    Ok(())
}

//! One machine: define a function there, call it, use what its Python has.
//!
//!     cargo run --example hello you@yourbox
//!
//! Without an argument the server is a process on this machine.

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

use easycluster::{Client, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let spec = std::env::args()
        .nth(1)
        .unwrap_or_else(|| ":local".to_owned());
    let client = Client::from_spec(&spec).await?;

    client
        .define("def greet(name, times=1):\n    return ' '.join(['Hello, %s!' % name] * times)\n")
        .await?;
    let greeting: String = client.call("greet", ("world",)).kwarg("times", 2).await?;
    println!("{greeting}");

    // Modules of the remote Python are imported on the way.
    let path: String = client.call("os.path.join", ("/etc", "ssh")).await?;
    println!("{path}");

    let squares: Vec<i64> = client.eval("[n * n for n in range(5)]").await?;
    println!("{squares:?}");

    client.close().await;
    Ok(())
}

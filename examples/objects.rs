//! Objects that stay on their server, and handles to them here.
//!
//!     cargo run --example objects you@yourbox

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

use easycluster::{Client, Error, RemoteObject};

const SOURCE: &str = "\
class Account(ServerObject):
    def __init__(self, owner):
        self.owner = owner
        self.balance = 0

    def deposit(self, amount):
        self.balance += amount
        return self.balance

def total(accounts):
    return sum([account.balance for account in accounts])
";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let spec = std::env::args()
        .nth(1)
        .unwrap_or_else(|| ":local".to_owned());
    let client = Client::from_spec(&spec).await?;
    client.define(SOURCE).await?;

    let first: RemoteObject = client.call("Account", ("Ada",)).await?;
    let second: RemoteObject = client.call("Account", ("Grace",)).await?;

    let balance: i64 = first.call("deposit", (30,)).await?;
    println!("{balance}");
    second.set("balance", 12).await?;
    let owner: String = second.get("owner").await?;
    println!("{owner}");

    // As an argument a handle is the object itself again.
    let total: i64 = client.call("total", (vec![first, second],)).await?;
    println!("{total}");

    client.close().await;
    Ok(())
}

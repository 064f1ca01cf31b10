//! Serves thousands of hosts by a stand-in, for `many_hosts_program.py --stand-in`: prints its port, and ends with its input.
//! `cargo bench --bench stand_in -- HOST_KEY TOGETHER`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    unreachable_pub
)]

#[path = "../tests/support/stand_in.rs"]
mod stand_in;

use std::io::Read;

fn main() {
    // Cargo adds words of its own that begin with dashes.
    let mut words = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"));
    let (Some(key), Some(together)) = (words.next(), words.next()) else {
        println!("stand_in: a part of many_hosts_program.py");
        return;
    };
    let key = russh::keys::load_secret_key(key, None).expect("a host key");
    let together = together.parse().expect("a number of hosts");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    std::thread::spawn(|| {
        _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    runtime.block_on(async {
        let port = stand_in::start(key, together).expect("it listens");
        println!("{port}");
        std::future::pending::<()>().await;
    });
}

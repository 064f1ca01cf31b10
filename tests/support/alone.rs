//! A process of its own for a test that measures its process: all other tests run in the same one, at the same time.

use std::process::{Command, Stdio};

/// In the process started below: the test that it is for.
const VARIABLE: &str = "EASYCLUSTER_TEST_ALONE";

/// Runs the body of the test of this name in a process of its own, which has no other threads and whose memory is its own.
///
/// `module` is `module_path!()`, and `name` the function's. The body runs in this test program started once more.
pub fn alone(module: &str, name: &str, body: impl Future<Output = ()>) {
    let (_, module) = module.split_once("::").unwrap_or_default();
    let test = format!("{module}::{name}");
    if std::env::var(VARIABLE).is_ok_and(|wanted| wanted == test) {
        return tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(body);
    }
    let own_program = std::env::current_exe().expect("a path");
    let output = Command::new(own_program)
        .args([&test, "--exact", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, &test)
        .stdin(Stdio::null())
        .output()
        .expect("this program starts once more");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{said}");
    assert!(
        output.status.success() && said.contains("test result: ok. 1 passed"),
        "{test} in a process of its own: {}",
        output.status
    );
}

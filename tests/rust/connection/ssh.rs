//! The whole suite over native SSH and a real sshd, under a few interpreters, and with the login shells people have.

// A runtime with a thread of its own, because the harness blocks the test's thread while it waits.

use crate::support::{Sshd, SshdOptions, few_interpreters, suite};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_few_interpreters_pass_the_suite_over_ssh() {
    let server = Sshd::start();
    for interpreter in few_interpreters() {
        println!("{}", interpreter.path.display());
        suite::run(
            &format!("{}:rpython={}", server.spec(), interpreter.to_str()),
            interpreter.version,
        )
        .await;
    }
    server.wait_until_idle();
}

/// Everything passes under each login shell, with start-up files that print.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_login_shell_passes_the_suite() {
    let interpreter = crate::support::interpreter_at_least((3, 6));
    for shell in ["sh", "bash", "dash", "ksh", "zsh", "tcsh", "csh", "fish"] {
        println!("{shell}");
        let server = Sshd::start_with(&SshdOptions {
            shell: Some(crate::support::program(shell)),
            greeting: "Welcome!\n0123456789abcdef l r n v\n\u{1b}[31mEC\u{1b}[0m\n".to_owned(),
            ..SshdOptions::default()
        });
        suite::run(
            &format!("{}:rpython={}", server.spec(), interpreter.to_str()),
            interpreter.version,
        )
        .await;
        server.wait_until_idle();
    }
}

/// Without `rpython` one is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_interpreter_is_searched_for() {
    let folder = tempfile::tempdir().unwrap();
    let interpreter = crate::support::interpreter_at_least((3, 6));
    std::os::unix::fs::symlink(&interpreter.path, folder.path().join("python3.9")).unwrap();
    for name in ["echo", "sleep"] {
        std::os::unix::fs::symlink(crate::support::program(name), folder.path().join(name))
            .unwrap();
    }
    let path = folder.path().to_str().unwrap().to_owned();
    let server = Sshd::start_with(&SshdOptions {
        environment: vec![("PATH".to_owned(), path)],
        // A home of its own, because start-up files may put more on PATH.
        home: vec![(".profile", String::new())],
        ..SshdOptions::default()
    });
    suite::run(&server.spec(), interpreter.version).await;
    server.wait_until_idle();
}

//! Options at a wrong place of the command line are answered with the whole line that was meant, and that line works.

use crate::cli::first_hour::desk;

#[tokio::test]
async fn the_line_that_was_meant_is_said_and_works() {
    let desk = desk();
    let user = desk.servers[0].user().to_owned();
    for (typed, meant) in [
        // An inventory, where `-i` of Ansible has it.
        ("-i hosts.ini web", "ping -I hosts.ini web"),
        (
            "-i hosts.ini web uname -m",
            "exec -I hosts.ini web -- uname -m",
        ),
        (
            "-i hosts.ini web -m command -a uname",
            "exec -I hosts.ini web -- uname",
        ),
        (
            "exec -i hosts.ini web -- uname",
            "exec -I hosts.ini web -- uname",
        ),
        (
            "exec web -i hosts.ini uname",
            "exec web -I hosts.ini -- uname",
        ),
        ("ping -i hosts.ini web", "ping -I hosts.ini web"),
        // No subcommand, or one behind its options.
        (
            "-I hosts.ini web -- uname",
            "exec -I hosts.ini web -- uname",
        ),
        ("-f hosts.txt uname -m", "exec -f hosts.txt -- uname -m"),
        ("-l USER web1 uname", "exec -l USER web1 -- uname"),
        (
            "-l USER -j 2 exec --gather web1 -- uname",
            "exec -l USER -j 2 --gather web1 -- uname",
        ),
        ("-I hosts.ini ping web", "ping -I hosts.ini web"),
    ] {
        let (typed, meant) = (typed.replace("USER", &user), meant.replace("USER", &user));
        let said = desk.typed(&format!("easycluster {typed}")).await;
        assert_eq!(said.code, Some(2), "{typed}: {said:?}");
        let line = format!("easycluster {meant}");
        let hint = said.last_line();
        assert!(
            hint.ends_with(&line) || hint.starts_with(&format!(" hint: {line}, or ")),
            "{typed}: {said:?}"
        );
        let said = desk.typed(&line).await;
        assert_eq!(said.code, Some(0), "{line}: {said:?}");
    }
    desk.end();
}

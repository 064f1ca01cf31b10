//! The command line that runs a command behind steps: each turns an argument vector into one that runs it.

use super::terminal;
use super::tokens::Tokens;
use crate::spec::Step;

/// The command for the login shell: `innermost` behind all of the steps.
pub(super) fn through(steps: &[Step], tokens: &Tokens, innermost: Vec<String>) -> String {
    let wrap = |argv, index| behind(steps, index, tokens, argv);
    line(&(0..steps.len()).rev().fold(innermost, wrap))
}

/// Whether a step may ask for something that is typed, so that its input must be held back.
pub(super) fn may_ask(steps: &[Step], index: usize) -> bool {
    match steps.get(index) {
        Some(Step::Sudo { password, .. }) => password.is_some(),
        // What such a command does is not known.
        Some(Step::Su { .. } | Step::Run { .. }) => true,
        Some(Step::Doas { .. } | Step::Ssh { .. }) => has_terminal(steps, index),
        _ => false,
    }
}

/// Whether a step has a terminal, on which it asks.
pub(super) fn has_terminal(steps: &[Step], index: usize) -> bool {
    let before = index.checked_sub(1).and_then(|before| steps.get(before));
    matches!(before, Some(Step::Tty))
}

/// Whether a step says in front of its command that it has been reached, because its prompt is not known.
pub(super) fn is_announced(steps: &[Step], index: usize) -> bool {
    match steps.get(index) {
        Some(Step::Su { .. }) => true,
        Some(Step::Doas { .. }) => has_terminal(steps, index),
        _ => false,
    }
}

/// The words that run `inner` behind a step.
fn behind(steps: &[Step], index: usize, tokens: &Tokens, mut inner: Vec<String>) -> Vec<String> {
    let Some(step) = steps.get(index) else {
        return inner;
    };
    let mut words: Vec<String> = Vec::new();
    let on_terminal = has_terminal(steps, index);
    if on_terminal && may_ask(steps, index) {
        let script = terminal::left(tokens, index - 1, needs_terminal_input(step));
        inner.splice(..0, ["/bin/sh", "-c", &script, "sh"].map(str::to_owned));
    }
    if is_announced(steps, index) {
        // What is asked from here on is this step's.
        let script = tokens.announcing(index);
        words.extend(["/bin/sh", "-c", &script, "sh"].map(str::to_owned));
    }
    let mut add = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
    match step {
        Step::Sudo { user, password } => {
            match password {
                // It reads from its terminal then, and the rest of its input is another's.
                Some(_) if on_terminal => add(&["sudo", "-p", &tokens.prompt(index)]),
                Some(_) => add(&["sudo", "-S", "-p", &tokens.prompt(index)]),
                None => add(&["sudo", "-n"]),
            }
            add(&["-H", "-u", user, "--"]);
        }
        Step::Su { user, login, .. } => {
            add(&["su"]);
            if *login {
                add(&["-"]);
            }
            add(&[user, "-c", &line(&inner)]);
            return words;
        }
        Step::Doas { user, .. } if on_terminal => add(&["doas", "-u", user, "--"]),
        Step::Doas { user, .. } => add(&["doas", "-n", "-u", user, "--"]),
        Step::Docker { container, user } | Step::Podman { container, user } => {
            add(&[step.name(), "exec", "-i"]);
            if let Some(user) = user {
                add(&["-u", user]);
            }
            add(&[container]);
        }
        Step::Kubectl {
            namespace,
            pod,
            container,
        } => {
            add(&["kubectl", "exec", "-i"]);
            if let Some(namespace) = namespace {
                add(&["-n", namespace]);
            }
            add(&[pod]);
            if let Some(container) = container {
                add(&["-c", container]);
            }
            add(&["--"]);
        }
        Step::Nsenter { pid, namespaces } => {
            add(&["nsenter", "-t", &pid.to_string()]);
            if namespaces.is_empty() {
                add(&["-a"]);
            }
            for letter in namespaces.chars() {
                add(&[&format!("-{letter}")]);
            }
            add(&["--"]);
        }
        // Only root's PATH leads to it on some systems.
        Step::Chroot { directory } => add(&[
            "/bin/sh",
            "-c",
            "PATH=$PATH:/usr/sbin:/sbin;exec chroot \"$@\"",
            "sh",
            directory,
        ]),
        Step::Lxc { container } | Step::Incus { container } => {
            add(&[
                step.name(),
                "exec",
                "--mode=non-interactive",
                container,
                "--",
            ]);
        }
        // `machinectl shell` makes a terminal, which changes bytes.
        Step::Machinectl { machine, user } => {
            add(&[
                "systemd-run",
                "--quiet",
                "--pipe",
                "--wait",
                "--collect",
                "-M",
                machine,
            ]);
            if let Some(user) = user {
                add(&["--uid", user]);
            }
            add(&["--"]);
        }
        Step::Ssh { host } => {
            add(&["ssh", "-T", "-e", "none"]);
            if !on_terminal {
                add(&["-o", "BatchMode=yes"]);
            }
            add(&["-o", "ClearAllForwardings=yes"]);
            if let Some(port) = host.port {
                add(&["-p", &port.to_string()]);
            }
            if let Some(user) = &host.user {
                add(&["-l", user]);
            }
            add(&["--", &host.host.to_plain(), &line(&inner)]);
            return words;
        }
        Step::Tty => {
            let next = steps.get(index + 1);
            let (input, asks) = (
                next.is_some_and(needs_terminal_input),
                may_ask(steps, index + 1),
            );
            words.extend(terminal::words(tokens, index, input, asks));
        }
        Step::Run { words: own } => {
            words.clone_from(own);
        }
    }
    words.extend(inner);
    words
}

/// Whether some of the programs of this name run only where their standard input is a terminal.
fn needs_terminal_input(step: &Step) -> bool {
    matches!(step, Step::Su { .. })
}

/// A command line for any shell.
fn line(argv: &[String]) -> String {
    let words: Vec<String> = argv.iter().map(|word| quoted(word)).collect();
    format!("exec {}", words.join(" "))
}

/// A word that sh, bash, dash, ksh, zsh, csh, tcsh and fish take as it is: in single quotes, but for what some of them change
/// within those, which stands outside behind a backslash.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    let mut out = String::new();
    for run in word.split_inclusive(['\'', '\\', '!']) {
        let special = run
            .chars()
            .next_back()
            .filter(|last| "'\\!".contains(*last));
        let plain = special.map_or(run, |last| run.strip_suffix(last).unwrap_or(run));
        if !plain.is_empty() {
            out.push_str(&format!("'{plain}'"));
        }
        if let Some(special) = special {
            out.extend(['\\', special]);
        }
    }
    if out.is_empty() { "''".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(steps: &str, innermost: &[&str]) -> String {
        let spec: crate::spec::ConnectionSpec = format!("u@h:then={steps}").parse().unwrap();
        let tokens = Tokens::new("0123456789abcdef");
        let innermost = innermost.iter().map(|word| (*word).to_owned()).collect();
        through(&spec.then, &tokens, innermost)
    }

    #[test]
    fn a_step_stands_in_front() {
        for (steps, expected) in [
            ("sudo", "exec sudo -n -H -u root -- x"),
            ("doas/bob", "exec doas -n -u bob -- x"),
            ("docker/app", "exec docker exec -i app x"),
            ("podman/app/www", "exec podman exec -i -u www app x"),
            ("kubectl/pod", "exec kubectl exec -i pod -- x"),
            (
                "kubectl/ns/pod/c",
                "exec kubectl exec -i -n ns pod -c c -- x",
            ),
            ("nsenter/7", "exec nsenter -t 7 -a -- x"),
            ("nsenter/7/mn", "exec nsenter -t 7 -m -n -- x"),
            (
                "chroot/srv/a b",
                r#"exec /bin/sh -c 'PATH=$PATH:/usr/sbin:/sbin;exec chroot "$@"' sh '/srv/a b' x"#,
            ),
            ("lxc/a", "exec lxc exec '--mode=non-interactive' a -- x"),
            ("incus/a", "exec incus exec '--mode=non-interactive' a -- x"),
            (
                "machinectl/m/bob",
                "exec systemd-run --quiet --pipe --wait --collect -M m --uid bob -- x",
            ),
            ("run/nice -n 5", "exec nice -n 5 x"),
            (
                "sudo/a,docker/b,sudo",
                "exec sudo -n -H -u a -- docker exec -i b sudo -n -H -u root -- x",
            ),
            (
                "ssh/me@box\\:22",
                "exec ssh -T -e none -o 'BatchMode=yes' -o 'ClearAllForwardings=yes' -p 22 -l me -- box 'exec x'",
            ),
        ] {
            assert_eq!(command(steps, &["x"]), expected);
        }
    }

    #[test]
    fn a_terminal_is_given_to_the_next_step_alone() {
        let helper = quoted(&data_encoding::BASE64.encode(crate::stub::terminal()));
        let behind = |steps: &str| {
            let line = command(steps, &["x"]);
            assert!(line.starts_with("exec /bin/sh -c 'for p in "), "{line}");
            let (_, behind) = line.split_once(&helper).unwrap();
            behind.to_owned()
        };
        // Nothing asks, so nothing is read from what is the data's.
        assert_eq!(
            behind("tty,sudo,sudo"),
            " 0 0 89abcdef.0. .01234567 sudo -n -H -u root -- sudo -n -H -u root -- x"
        );
        assert_eq!(
            behind("tty,docker/a"),
            " 0 0 89abcdef.0. .01234567 docker exec -i a x"
        );
        assert_eq!(behind("tty"), " 0 0 89abcdef.0. .01234567 x");
        let left = r#"/bin/sh -c 'echo 89abcdef.0.""01234567 >&2;exec "$@"' sh x"#
            .replace("0123", ".0123");
        assert_eq!(
            behind("tty,run/nice"),
            format!(" 0 1 89abcdef.0. .01234567 nice {left}")
        );
        assert!(
            behind("tty,ssh/a").starts_with(" 0 1 89abcdef.0. .01234567 ssh -T -e none -o 'Clear")
        );
        let doas = behind("tty,doas");
        assert!(
            doas.ends_with(&format!(" doas -u root -- {left}")),
            "{doas}"
        );
        assert!(doas.contains(r#" /bin/sh -c 'echo 89abcdef.1.""#), "{doas}");
        // Its standard input is the terminal, until the command behind it has what is the data's.
        let su = behind("tty,su/bob");
        assert!(
            su.starts_with(" 1 1 89abcdef.0. .01234567 /bin/sh -c 'echo 89abcdef.1."),
            "{su}"
        );
        assert!(su.contains("0<&3 3<&-"), "{su}");
    }

    /// Prints its arguments, each with a line end.
    const PRINT: &str = "printf '%s\\n' \"$@\"";

    #[test]
    fn every_shell_passes_the_words_on_however_deep_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let words = [
            "a b", "it's", "\\", "!x!", "$HOME", "`id`", "%p=~", "", "\"", "{a,b}", "*", "\\'\\",
            "#;&|",
        ];
        let mut innermost = vec!["/bin/sh", "-c", PRINT, "sh"];
        innermost.extend(words);
        let expected: String = words.iter().map(|word| format!("{word}\n")).collect();
        // In the place of `ssh`: hands its last argument to a shell, as a login shell gets it.
        for shell in ["sh", "bash", "dash", "ksh", "zsh", "csh", "tcsh", "fish"] {
            let Some(path) = ["/bin", "/usr/bin"]
                .map(|folder| format!("{folder}/{shell}"))
                .into_iter()
                .find(|path| std::path::Path::new(path).exists())
            else {
                continue;
            };
            let ssh = folder.path().join("ssh");
            std::fs::write(
                &ssh,
                format!("#!/bin/sh\nfor last do :; done\nexec {path} -c \"$last\"\n"),
            )
            .unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&ssh, mode).unwrap();
            for steps in [
                "run/env",
                "ssh/a",
                "ssh/a,ssh/b",
                "ssh/a,run/env,ssh/b,ssh/c",
            ] {
                let output = std::process::Command::new(&path)
                    .arg("-c")
                    .arg(command(steps, &innermost))
                    .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
                    .env("HOME", folder.path())
                    .output()
                    .unwrap();
                let said = String::from_utf8_lossy(&output.stdout);
                let error = String::from_utf8_lossy(&output.stderr);
                assert_eq!(said, expected, "{shell}, {steps}: {error}");
            }
        }
    }
}

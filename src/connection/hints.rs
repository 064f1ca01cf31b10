//! What to do about a Python that did not come up, as what was printed there suggests.

/// Words that are printed, in lower case, and what helps then. The first row of which all words occur is taken.
const BY_WORDS: &[(&[&str], &str)] = &[
    (
        &["password", "expired"],
        "the password has expired: log in by hand once and change it",
    ),
    (
        &["password", "must be changed"],
        "the password has to be changed: log in by hand once and do so",
    ),
    (
        &["required to change your password"],
        "the password has to be changed: log in by hand once and do so",
    ),
    (
        &["account", "expired"],
        "the account has expired: have its administrator extend it",
    ),
    (
        &["zlib.error"],
        "a login script there has read a part of what was sent to Python: have it read standard input at a terminal only, as with `[ -t 0 ]`",
    ),
    (
        &["no module named", "encodings"],
        "the environment there keeps Python from starting: look for PYTHONHOME and PYTHONPATH in the account's login scripts, or name another interpreter with rpython=",
    ),
    (
        &["no module named", "site"],
        "the environment there keeps Python from starting: look for PYTHONHOME and PYTHONPATH in the account's login scripts, or name another interpreter with rpython=",
    ),
    (
        &["fatal python error"],
        "that Python cannot start: look for PYTHONHOME and PYTHONPATH in the account's login scripts, or name another interpreter with rpython=",
    ),
    (
        &["error while loading shared libraries"],
        "that Python lacks a library: try it by hand, or name another interpreter with rpython=",
    ),
    (
        &["cannot allocate memory"],
        "the machine or the account there is short of memory: look at `free` and `ulimit -a`",
    ),
    (
        &["resource temporarily unavailable"],
        "the account there may start no more processes: look at `ulimit -u`",
    ),
    // Of an ssh program, which may be the transport or a step.
    (
        &["could not resolve hostname"],
        "check the spelling, the HostName in your ssh_config and your name server",
    ),
    (
        &["host key verification failed"],
        "compare the host's key with what is recorded; hostkey=accept-new records a new one",
    ),
    (
        &["permission denied ("],
        "no key or password was taken: name the key with identity=FILE, or see `ssh-add -l`",
    ),
    (
        &["connection refused"],
        "nothing listens there: check that sshd runs and the port is right",
    ),
    (
        &["connection timed out"],
        "nothing answers there: check the address, the route and firewalls on the way",
    ),
    (
        &["no route to host"],
        "nothing answers there: check the address, the route and firewalls on the way",
    ),
    (
        &["bad configuration option"],
        "fix the ssh_config, or leave it out with config=none",
    ),
    (
        &["unknown option --"],
        "that ssh program does not take an argument of ours or one of extra=: see what it says to `ssh -V`",
    ),
];

/// What to do, as far as the text suggests it.
pub(crate) fn for_printed(printed: &[u8]) -> Option<&'static str> {
    let printed = String::from_utf8_lossy(printed).to_lowercase();
    BY_WORDS
        .iter()
        .find(|(words, _)| words.iter().all(|word| printed.contains(word)))
        .map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::for_printed;

    #[test]
    fn the_hint_follows_what_was_printed() {
        for (printed, word) in [
            (
                "WARNING: Your password has expired.\nPassword change required but no TTY available.",
                "change it",
            ),
            (
                "You are required to change your password immediately (administrator enforced).",
                "do so",
            ),
            (
                "Your account has expired; please contact your system administrator.",
                "administrator",
            ),
            (
                "Fatal Python error: init_fs_encoding: failed to get the Python codec\nModuleNotFoundError: No module named 'encodings'",
                "PYTHONHOME",
            ),
            ("ImportError: No module named site", "PYTHONHOME"),
            (
                "zlib.error: Error -3 while decompressing data: invalid stored block lengths",
                "standard input",
            ),
            (
                "ssh: Could not resolve hostname web1: Name or service not known\r\n",
                "spelling",
            ),
            (
                "root@web1: Permission denied (publickey,password).\r\n",
                "identity=",
            ),
            ("Host key verification failed.\r\n", "hostkey="),
        ] {
            let hint = for_printed(printed.as_bytes()).unwrap_or_default();
            assert!(hint.contains(word), "{printed}: {hint}");
        }
        assert_eq!(for_printed(b"Welcome to this machine\n"), None);
    }
}

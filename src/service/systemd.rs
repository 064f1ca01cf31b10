//! The unit file for systemd.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;

/// What remote code rarely needs and a guest never should have. `systemctl edit easycluster` is
/// the place for exceptions; the unit says so.
const HARDENING: &str = "\
# Remote code runs under these as well. Where it needs more, `systemctl edit easycluster`
# and set the line again, such as ProtectSystem=no to install packages.
NoNewPrivileges=yes
ProtectSystem=full
ProtectClock=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
";

/// The unit file. A user's service has neither an account to choose nor rights to give up.
pub(super) fn unit(
    program: &OsStr,
    arguments: &[OsString],
    run_as: Option<&str>,
    user: bool,
) -> String {
    let mut line = quote(program);
    for argument in arguments {
        line.push(' ');
        line.push_str(&quote(argument));
    }
    let mut text = format!(
        "[Unit]\n\
         Description=Standalone server of easycluster\n\
         After=network.target\n\
         \n\
         [Service]\n\
         # It says when it listens, and that it ends.\n\
         Type=notify\n\
         ExecStart={line}\n\
         # Reads the key again; open connections stay.\n\
         ExecReload=/bin/kill -HUP $MAINPID\n\
         Restart=on-failure\n\
         RestartSec=2\n\
         # Each connection takes a few descriptors.\n\
         LimitNOFILE=65536\n\
         # One greedy remote process must not take the others with it.\n\
         OOMPolicy=continue\n\
         # What remote code left behind ends with the service.\n\
         KillMode=control-group\n\
         TimeoutStopSec=15\n"
    );
    if let (Some(name), false) = (run_as, user) {
        let _ = writeln!(text, "User={name}");
    }
    if !user {
        text.push_str(HARDENING);
    }
    let target = if user { "default" } else { "multi-user" };
    let _ = write!(text, "\n[Install]\nWantedBy={target}.target\n");
    text
}

/// One word of a command line as systemd reads it: quoted, with its specifiers and variables
/// turned off.
fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=,+@".contains(c);
    let mut text = String::new();
    for c in word.chars() {
        match c {
            '%' => text.push_str("%%"),
            '$' => text.push_str("$$"),
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    if word.is_empty() || !word.chars().all(plain) {
        text = format!("\"{text}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(text: &str) -> std::process::Output {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("easycluster.service");
        std::fs::write(&file, text).unwrap();
        std::process::Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&file)
            .output()
            .expect("systemd-analyze is one of the tools that the tests need")
    }

    #[test]
    fn systemd_finds_no_fault_with_the_unit() {
        let arguments: Vec<OsString> = ["-S", "-k", "/etc/a key", "--profile", "/tmp/p%d\"$X\\"]
            .map(Into::into)
            .to_vec();
        for (run_as, user) in [(None, false), (Some("daemon"), false), (None, true)] {
            let text = unit(OsStr::new("/bin/true"), &arguments, run_as, user);
            let done = verify(&text);
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(
                done.status.success() && !said.contains("easycluster"),
                "{said}\n{text}"
            );
        }
        // What is wrong in a unit file is found by this program.
        let done = verify("[Service]\nExecStart=nowhere\nNonsense=1\n");
        assert!(!done.stderr.is_empty());
    }

    #[test]
    fn words_reach_the_program_as_they_are() {
        for (word, quoted) in [
            ("/usr/bin/x", "/usr/bin/x"),
            ("a b", "\"a b\""),
            ("50%", "\"50%%\""),
            ("$HOME", "\"$$HOME\""),
            ("", "\"\""),
            ("say \"x\"", "\"say \\\"x\\\"\""),
        ] {
            assert_eq!(quote(OsStr::new(word)), quoted);
        }
    }
}

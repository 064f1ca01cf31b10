//! Our reading of ssh_config against the judge of it: `ssh -G` on several hundred generated files.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use easycluster::transport::ssh::{ConfigSource, SshTarget, explain};

use super::config_cases::{AWKWARD, PORT_NAMES};
use crate::support::parts;

/// A small generator of numbers, so that every run sees the same files.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.roll(choices.len())]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.roll(n) == 0
    }
}

const HOSTS: &[&str] = &[
    "box",
    "web1",
    "web2.example.com",
    "db.example.com",
    "DB.example.com",
    "10.0.0.7",
    "gate",
    "a-b_c",
    "::1",
];
const PATTERNS: &[&str] = &[
    "*",
    "box",
    "web?",
    "web*",
    "*.example.com",
    "!db.example.com",
    "!web1",
    "10.0.*",
    "gate",
    "d?.*",
    "BOX",
    "a-b_c",
    "::1",
    "?",
];
const USERS: &[&str] = &["alice", "bob", "root"];

fn setting(dice: &mut Dice) -> String {
    let (keyword, value): (&str, String) = match dice.roll(31) {
        0 => (
            "HostName",
            dice.pick(&[
                "real.example.org",
                "%h.example.net",
                "10.1.2.3",
                "Upper.Example",
                "100%%h",
            ])
            .into(),
        ),
        1 => ("User", dice.pick(USERS).into()),
        2 => ("Port", dice.pick(&["22", "2222", "65535"]).into()),
        3 => (
            "IdentityFile",
            dice.pick(&[
                "/k/one",
                "/k/two",
                "~/.ssh/three",
                "\"/k/with blank\"",
                "none",
            ])
            .into(),
        ),
        4 => ("IdentitiesOnly", dice.pick(&["yes", "no", "YES"]).into()),
        5 => (
            "IdentityAgent",
            dice.pick(&["none", "/run/agent.sock", "SSH_AUTH_SOCK"])
                .into(),
        ),
        6 => (
            "CertificateFile",
            dice.pick(&["/k/one-cert.pub", "/k/two-cert.pub"]).into(),
        ),
        7 => (
            "ProxyJump",
            dice.pick(&["none", "gate", "alice@gate:2200", "one,two", "[::1]:22"])
                .into(),
        ),
        8 => (
            "ProxyCommand",
            dice.pick(&["none", "nc x 22", "corkscrew \"a b\" y 22 # no comment"])
                .into(),
        ),
        9 => (
            "UserKnownHostsFile",
            dice.pick(&["/k/kh", "/k/kh /k/kh2", "~/.ssh/other"]).into(),
        ),
        10 => (
            "GlobalKnownHostsFile",
            dice.pick(&["/etc/kh", "/etc/kh /etc/kh2"]).into(),
        ),
        11 => (
            "StrictHostKeyChecking",
            dice.pick(&["yes", "no", "ask", "accept-new", "off", "Yes"])
                .into(),
        ),
        12 => ("HostKeyAlias", dice.pick(&["alias1", "alias2"]).into()),
        13 => ("HashKnownHosts", dice.pick(&["yes", "no"]).into()),
        14 => (
            "KexAlgorithms",
            "curve25519-sha256,ecdh-sha2-nistp256".into(),
        ),
        15 => (
            "Ciphers",
            dice.pick(&["aes128-ctr,aes256-ctr", "aes256-gcm@openssh.com"])
                .into(),
        ),
        16 => ("MACs", "hmac-sha2-256,hmac-sha2-512".into()),
        17 => ("HostKeyAlgorithms", "rsa-sha2-512,ssh-ed25519".into()),
        18 => ("ConnectTimeout", dice.pick(&["5", "1m", "none"]).into()),
        19 => ("ConnectionAttempts", dice.pick(&["1", "4"]).into()),
        20 => (
            "ServerAliveInterval",
            dice.pick(&["0", "15", "1m30s"]).into(),
        ),
        21 => ("ServerAliveCountMax", dice.pick(&["1", "9"]).into()),
        22 => ("Compression", dice.pick(&["yes", "no"]).into()),
        23 => ("AddressFamily", dice.pick(&["any", "inet", "inet6"]).into()),
        24 => ("BindAddress", dice.pick(&["127.0.0.1", "10.0.0.1"]).into()),
        25 => ("BatchMode", dice.pick(&["yes", "no"]).into()),
        26 => (
            "PreferredAuthentications",
            dice.pick(&["publickey", "password,publickey"]).into(),
        ),
        27 => ("NumberOfPasswordPrompts", dice.pick(&["1", "5"]).into()),
        28 => ("PasswordAuthentication", dice.pick(&["yes", "no"]).into()),
        29 => (
            dice.pick(&[
                "ForwardAgent",
                "ControlMaster",
                "VisualHostKey",
                "ForwardX11",
            ]),
            dice.pick(&["yes", "no"]).into(),
        ),
        _ => ("PubkeyAuthentication", dice.pick(&["yes", "no"]).into()),
    };
    // The same thing is written in many ways.
    let keyword = match dice.roll(4) {
        0 => keyword.to_lowercase(),
        1 => keyword.to_uppercase(),
        _ => keyword.to_owned(),
    };
    let between = dice.pick(&[" ", "=", " = ", "\t", "   "]);
    let before = dice.pick(&["", "  ", "\t"]);
    // OpenSSH takes quotes around a ProxyJump for a part of it.
    let quotable = !value.contains(['"', ' ', '#']) && !keyword.eq_ignore_ascii_case("proxyjump");
    let value = if quotable && dice.one_in(6) {
        format!("\"{value}\"")
    } else {
        value
    };
    let behind = if quotable && dice.one_in(8) {
        "   # a comment"
    } else if dice.one_in(8) {
        "  "
    } else {
        ""
    };
    format!("{before}{keyword}{between}{value}{behind}\n")
}

fn block(dice: &mut Dice, local_user: &str) -> String {
    let patterns = |dice: &mut Dice, between: &str| {
        let count = 1 + dice.roll(3);
        (0..count)
            .map(|_| dice.pick(PATTERNS))
            .collect::<Vec<_>>()
            .join(between)
    };
    if dice.one_in(2) {
        return format!("Host {}\n", patterns(dice, " "));
    }
    let mut line = "Match".to_owned();
    let count = 1 + dice.roll(2);
    for _ in 0..count {
        let negated = if dice.one_in(5) { "!" } else { "" };
        _ = match dice.roll(8) {
            0 => write!(line, " {negated}host {}", patterns(dice, ",")),
            1 => write!(line, " {negated}originalhost {}", patterns(dice, ",")),
            2 => write!(
                line,
                " {negated}user {}",
                dice.pick(&["alice", "bob,root", "*", "!alice,*"])
            ),
            3 => write!(line, " {negated}localuser {local_user}"),
            4 => write!(
                line,
                " {negated}exec {}",
                dice.pick(&[
                    "true",
                    "false",
                    "\"test %h = box\"",
                    "\"test %p = 22\"",
                    "\"test %r = alice\""
                ])
            ),
            5 => write!(line, " {negated}final"),
            6 => write!(line, " {negated}host={}", patterns(dice, ",")),
            _ => write!(line, " {negated}canonical"),
        };
    }
    if dice.one_in(6) {
        line = dice.pick(&["Match all", "Match final all"]).to_owned();
    }
    line + "\n"
}

fn file(dice: &mut Dice, local_user: &str, folder: &Path, depth: usize) -> String {
    let mut text = String::new();
    let lines = 4 + dice.roll(14);
    for number in 0..lines {
        match dice.roll(10) {
            0..=2 => text += &block(dice, local_user),
            3 => text += dice.pick(&["\n", "# comment\n", "   \n", "\t# Port 99\n"]),
            4 if depth < 2 && dice.one_in(2) => {
                let inner = file(dice, local_user, folder, depth + 1);
                let name = format!("include-{depth}-{number}-{}.conf", dice.roll(1000));
                std::fs::write(folder.join(&name), inner).unwrap();
                let pattern = if dice.one_in(2) {
                    name
                } else {
                    format!("{}*", &name[..name.len() - 5])
                };
                _ = writeln!(text, "Include {}/{pattern}", folder.display());
            }
            _ => text += &setting(dice),
        }
    }
    text
}

/// The home directory by the account, which is where ssh looks, whatever HOME is.
fn home() -> String {
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    let id = String::from_utf8(id).unwrap();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let account = passwd
        .lines()
        .find(|line| line.split(':').nth(2) == Some(id.trim()));
    account
        .and_then(|line| line.split(':').nth(5))
        .expect("an account in /etc/passwd")
        .to_owned()
}

type Said = BTreeMap<String, Vec<String>>;

fn openssh(config: &Path, host: &str, user: Option<&str>) -> Result<Said, String> {
    let mut command = Command::new(crate::support::program("ssh"));
    command.arg("-G").arg("-F").arg(config).stdin(Stdio::null());
    if let Some(user) = user {
        command.args(["-l", user]);
    }
    let output = command.arg("--").arg(host).output().expect("ssh starts");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let home = home();
    let mut said = Said::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
        let value = value
            .split(' ')
            .map(|word| {
                word.strip_prefix("~/")
                    .map_or(word.to_owned(), |rest| format!("{home}/{rest}"))
            })
            .collect::<Vec<_>>()
            .join(" ");
        said.entry(keyword.to_owned()).or_default().push(value);
    }
    Ok(said)
}

fn ours(config: &Path, host: &str, user: Option<&str>) -> Result<Said, String> {
    let target = SshTarget {
        user: user.map(str::to_owned),
        config: ConfigSource::File(config.to_path_buf()),
        ..SshTarget::new(host)
    };
    let mut said = Said::new();
    for (keyword, value) in explain(&target).map_err(|error| error.to_string())? {
        said.entry(keyword).or_default().push(value);
    }
    Ok(said)
}

/// What ssh prints only where it is set, so that its absence counts too.
const ONLY_IF_SET: &[&str] = &[
    "proxyjump",
    "proxycommand",
    "bindaddress",
    "hostkeyalias",
    "certificatefile",
    "preferredauthentications",
];

fn differences(theirs: &Said, ours: &Said) -> Vec<String> {
    let mut found = Vec::new();
    let nothing = Vec::new();
    let is_none = |values: &Vec<String>| values.is_empty() || values == &["none"];
    for (keyword, values) in ours {
        if keyword == "environment" || keyword == "host" {
            continue;
        }
        let mut expected = theirs.get(keyword).unwrap_or(&nothing).clone();
        if keyword == "identityfile" && expected.len() > 4 && expected[0].ends_with("/.ssh/id_rsa")
        {
            // The usual ones: ssh has types that no current build supports.
            continue;
        }
        if keyword == "preferredauthentications" && expected.is_empty() {
            continue;
        }
        if keyword == "serveraliveinterval" && theirs["batchmode"] == ["yes"] && expected == ["300"]
        {
            // Some systems' ssh has a default of its own in batch mode; ours is the same in every mode.
            continue;
        }
        if keyword == "proxycommand" {
            // ssh -G shows it with its tokens.
            for value in &mut expected {
                *value = value
                    .replace("%h", &theirs["hostname"][0])
                    .replace("%p", &theirs["port"][0]);
            }
        }
        expected.retain(|value| {
            value != "none" || keyword == "connecttimeout" || keyword == "identityagent"
        });
        if &expected != values && !(is_none(&expected) && is_none(values)) {
            found.push(format!(
                "{keyword}: ssh says {expected:?}, we say {values:?}"
            ));
        }
    }
    for keyword in ONLY_IF_SET
        .iter()
        .filter(|keyword| !ours.contains_key(**keyword))
    {
        let expected = theirs.get(*keyword).unwrap_or(&nothing);
        if !is_none(expected) {
            found.push(format!("{keyword}: ssh says {expected:?}, we say nothing"));
        }
    }
    if !ours.contains_key("identityfile")
        && theirs
            .get("identityfile")
            .is_some_and(|files| files != &["none"])
    {
        found.push(format!(
            "identityfile: ssh says {:?}, we say nothing",
            theirs["identityfile"]
        ));
    }
    found
}

fn compare(folder: &Path, text: &str, host: &str, user: Option<&str>) -> Option<String> {
    let config = folder.join("config");
    std::fs::write(&config, text).unwrap();
    let problem = match (openssh(&config, host, user), ours(&config, host, user)) {
        (Ok(theirs), Ok(ours)) => {
            let found = differences(&theirs, &ours);
            if found.is_empty() {
                return None;
            }
            found.join("\n")
        }
        (Err(_), Err(_)) => return None,
        (Ok(_), Err(error)) => format!("ssh takes it, we say: {error}"),
        // A keyword that this ssh is too old for, or one in a block that does not apply, does no harm.
        (Err(error), Ok(_)) if error.contains("Bad configuration option") => return None,
        (Err(error), Ok(_)) => format!("we take it, ssh says: {error}"),
    };
    let mut all = format!("---- host {host}, user {user:?}\n{problem}\n{text}");
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("include") && text.contains("Include") {
            _ = writeln!(
                all,
                "-- {name}\n{}",
                std::fs::read_to_string(entry.path()).unwrap()
            );
        }
    }
    Some(all)
}

#[test]
fn generated_files_mean_what_openssh_says_they_mean() {
    let local_user =
        String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let mut dice = Dice(7);
    let mut wrong = Vec::new();
    const FILES: usize = 400;
    for _ in 0..FILES {
        let folder = tempfile::tempdir().unwrap();
        let text = file(&mut dice, local_user.trim(), folder.path(), 0);
        let host = dice.pick(HOSTS);
        let user = dice.one_in(3).then(|| dice.pick(USERS));
        wrong.extend(compare(folder.path(), &text, host, user));
    }
    assert!(
        wrong.is_empty(),
        "{} of {FILES} differ:\n{}",
        wrong.len(),
        wrong.iter().take(4).cloned().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn awkward_files_mean_what_openssh_says_they_mean() {
    let folder = tempfile::tempdir().unwrap();
    let services = Path::new("/etc/services").exists().then_some(());
    let names = parts::need("services", services).map_or(&[][..], |()| PORT_NAMES);
    let wrong: Vec<String> = AWKWARD
        .iter()
        .chain(names)
        .filter_map(|text| compare(folder.path(), text, "box", None))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        AWKWARD.len(),
        wrong.join("\n")
    );
}

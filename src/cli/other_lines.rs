//! Whole command lines of other programs that work on many hosts, and the line of ours that does the same.

use crate::cli::programs::habits::{line, named};

/// What an option of theirs is here.
#[derive(Clone, Copy)]
enum Means {
    /// What is so here anyway; and the same with a value behind it.
    Nothing,
    NothingWith,
    /// An option that stands alone, and one with a value behind it.
    Flag(&'static str),
    Valued(&'static str),
    /// Hosts, a group of them, and all.
    Hosts,
    Group,
    All,
    /// The command, and the module of Ansible that has it.
    Command,
    Module,
}

use Means::{All, Command, Flag, Group, Hosts, Module, Nothing, NothingWith, Valued};

type Options = &'static [(&'static [&'static str], Means)];

const ANSIBLE: Options = &[
    (&["-i", "--inventory", "--inventory-file"], Valued("-I")),
    (&["-m", "--module-name"], Module),
    (&["-a", "--args"], Command),
    (&["-b", "--become"], Flag("--become")),
    (&["-K", "--ask-become-pass"], Flag("--ask-sudo-password")),
    (&["-u", "--user"], Valued("-l")),
    (&["-f", "--forks"], Valued("-j")),
    (&["--private-key", "--key-file"], Valued("-i")),
    (&["-T", "--timeout"], Valued("--connect-timeout")),
    (&["-o", "--one-line", "-v", "-vv", "-vvv"], Nothing),
];

const PSSH: Options = &[
    (&["-h", "--hosts"], Valued("-f")),
    (&["-H", "--host"], Hosts),
    (&["-l", "--user"], Valued("-l")),
    (&["-p", "--par"], Valued("-j")),
    (&["-t", "--timeout"], Valued("--timeout")),
    (&["-o", "--outdir"], Valued("--out")),
    (&["-e", "--errdir"], NothingWith),
    (&["-O", "--option"], Valued("-o")),
    (
        &["-i", "--inline", "-P", "--print", "-A", "--askpass", "-v"],
        Nothing,
    ),
];

const CLUSH: Options = &[
    (&["-w", "--nodes"], Hosts),
    (&["-g", "--group"], Group),
    (&["-a", "--all"], All),
    (&["-x"], Valued("-x")),
    (&["-l", "--user"], Valued("-l")),
    (&["-b", "-B"], Flag("--gather")),
    (&["-f", "--fanout"], Valued("-j")),
    (&["-t"], Valued("--connect-timeout")),
    (&["-u"], Valued("--timeout")),
    (&["-R"], NothingWith),
    (&["-L", "-S", "-q", "-v", "-N", "-n"], Nothing),
];

const DSH: Options = &[
    (&["-m", "--machine"], Hosts),
    (&["-g", "--group"], Group),
    (&["-a", "--all"], All),
    (&["-f", "--file"], Valued("-f")),
    (&["-F", "--forklimit"], Valued("-j")),
    (&["-r", "--remoteshell"], NothingWith),
    (
        &[
            "-M",
            "--show-machine-names",
            "-c",
            "--concurrent-shell",
            "-v",
        ],
        Nothing,
    ),
];

const FABRIC: Options = &[
    (&["-H", "--hosts"], Hosts),
    (&["-i", "--identity"], Valued("-i")),
];

const PARALLEL: Options = &[
    (&["-S", "--sshlogin"], Hosts),
    (&["--slf", "--sshloginfile"], Valued("-f")),
    (&["-j", "--jobs"], Valued("-j")),
    (
        &["--nonall", "--onall", "--tag", "--line-buffer", "--lb"],
        Nothing,
    ),
];

/// The programs by the names that are typed in place of a subcommand.
const PROGRAMS: &[(&[&str], Options)] = &[
    (&["ansible"], ANSIBLE),
    (&["pssh", "parallel-ssh"], PSSH),
    (&["clush", "pdsh"], CLUSH),
    (&["dsh"], DSH),
    (&["fab"], FABRIC),
    (&["parallel"], PARALLEL),
];

/// Modules of Ansible whose arguments are a command.
const COMMANDS: [&str; 3] = ["shell", "command", "raw"];

/// Whether a word is one of those programs.
pub(crate) fn is_program(word: &str) -> bool {
    PROGRAMS.iter().any(|(names, _)| names.contains(&word))
}

/// The line that does what was meant, where all of it is understood. `words` are those behind the name of this program.
pub(crate) fn ours(words: &[String]) -> Option<String> {
    let (first, behind) = words.split_first()?;
    let known = PROGRAMS
        .iter()
        .find(|(names, _)| names.contains(&first.as_str()));
    if let Some((_, options)) = known {
        return translated(behind, options);
    }
    // `ansible` left out.
    let is_ansible =
        |word: &String| ["-m", "-a", "--args", "--module-name"].contains(&word.as_str());
    if words.iter().any(is_ansible) && !words.iter().any(|word| word == "--") {
        return translated(words, ANSIBLE);
    }
    None
}

/// The same for words behind `-h FILE`, as pssh has them, where help was not what was meant.
pub(crate) fn ours_of_pssh(words: &[String]) -> Option<String> {
    translated(words, PSSH)
}

fn translated(words: &[String], options: Options) -> Option<String> {
    // There every word by itself is a pattern of hosts.
    let of_ansible = options.iter().any(|(_, means)| matches!(means, Module));
    let (mut flags, mut hosts, mut command) = (Vec::new(), Vec::new(), Vec::new());
    let mut module = None;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            command.extend(rest.by_ref().cloned());
        } else if !word.starts_with('-') || word == "-" {
            if of_ansible {
                hosts.push(word.clone());
            } else {
                command.push(word.clone());
                command.extend(rest.by_ref().cloned());
            }
        } else {
            let (name, joined) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            let (_, means) = options.iter().find(|(theirs, _)| theirs.contains(&name))?;
            let mut value = || joined.clone().or_else(|| rest.next().cloned());
            match means {
                Nothing => {}
                NothingWith => drop(value()?),
                Flag(ours) => flags.push((*ours).to_owned()),
                Valued(ours) => flags.extend([(*ours).to_owned(), value()?]),
                Hosts => hosts.extend(value()?.split_whitespace().map(str::to_owned)),
                Group => hosts.extend(value()?.split(',').map(|group| format!("@{group}"))),
                All => hosts.push("all".to_owned()),
                Command => command.push(value()?),
                Module => module = Some(value()?),
            }
        }
    }
    let hosts = match flags.iter().any(|flag| flag == "-f") {
        true => hosts,
        false => named(&hosts),
    };
    let subcommand = match module.as_deref() {
        Some("ping") if command.is_empty() => "ping",
        Some(other) if !COMMANDS.contains(&other) => return None,
        _ if command.is_empty() => return None,
        _ => "exec",
    };
    let mut typed = vec!["easycluster".to_owned(), subcommand.to_owned()];
    typed.extend(flags);
    typed.extend(hosts);
    if subcommand == "exec" {
        typed.push("--".to_owned());
        typed.extend(command);
    }
    Some(line(typed.iter().map(String::as_str)))
}

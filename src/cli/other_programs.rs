//! What a command line that cannot be read meant, as other programs have it: their options and their subcommands by our names.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::misplaced::before_subcommand;
use crate::cli::other_lines::{is_program, ours, ours_of_pssh};
use crate::cli::programs::habits::{
    COPY_LINES, command_among, command_from, copy_line, exec_line, is_file, texts, with_separator,
    with_subcommand,
};
use crate::cli::terminal::failure::Failure;

/// Options of ssh, Ansible, pssh, pdsh and clush that have another name here, and what to type in their place.
const OPTIONS: &[(&[&str], &str)] = &[
    (
        &["-b", "-B"],
        "--become makes you root (-b of ansible), --gather puts equal outputs together (-b of clush)",
    ),
    (
        &["--become-user", "--sudo-user"],
        "--become=USER, as in --become=postgres",
    ),
    (
        &["-K", "--ask-become-pass"],
        "--ask-sudo-password asks for the password that sudo wants",
    ),
    (
        &["-u", "--remote-user", "--login"],
        "-l USER is the user to log in as",
    ),
    (
        &[
            "-w",
            "-H",
            "-S",
            "--host",
            "--hostlist",
            "--nodes",
            "--sshlogin",
            "--machine",
        ],
        "hosts stand by themselves: easycluster exec 'web[01-20]' -- COMMAND",
    ),
    (
        &[
            "--hostfile",
            "--hosts-file",
            "--machinefile",
            "--slf",
            "--sshloginfile",
        ],
        "-f FILE takes the hosts from a file, one a line",
    ),
    (
        &["--list-hosts"],
        "easycluster hosts HOST... prints which hosts are meant, and connects to none",
    ),
    (
        &[
            "-M",
            "--inline",
            "--print",
            "--tag",
            "--nonall",
            "--onall",
            "--one-line",
        ],
        "leave it out: each host runs the command, and what it prints has its name in front",
    ),
    (
        &["--become-method"],
        "--become is by sudo; for others a spec has steps, as in web1:then=su/root",
    ),
    (
        &["--gateway", "--bastion"],
        "-J HOST goes through a jump host",
    ),
    (
        &["--ssh-common-args", "--ssh-extra-args", "--ssh-options"],
        "-o KEYWORD=VALUE is an option of ssh",
    ),
    (
        &["-g", "--group"],
        "a group is named by @GROUP, of the file behind -f or the inventory behind -I",
    ),
    (
        &["-a", "--all", "--args"],
        "a command stands behind `--` (-a of ansible); `all` means every host of an inventory, and -f FILE all of a file (-a of clush)",
    ),
    (
        &["--limit"],
        "hosts are chosen by patterns, as in `easycluster exec -I FILE 'web:&prod' -- COMMAND`, and left out by -x",
    ),
    (
        &[
            "-P",
            "-n",
            "--forks",
            "--par",
            "--parallel",
            "--fanout",
            "--workers",
        ],
        "-j N is how many hosts are worked on at the same time",
    ),
    (
        &["-t", "--max-time"],
        "--timeout SECONDS ends what takes longer; a terminal is not made there",
    ),
    (
        &["-T", "-tt"],
        "a terminal is not made there, as for ssh -T",
    ),
    (
        &["-A", "-X", "-Y", "-L", "-R", "-D", "-N", "-W"],
        "nothing is forwarded: neither ports nor your agent nor X11. For a port: ssh -N -L 8080:localhost:80 HOST",
    ),
    (
        &["-4", "-6"],
        "-o AddressFamily=inet is IPv4 alone, and inet6 IPv6",
    ),
    (
        &["-v", "-vv", "-vvv", "--verbose", "--debug"],
        "easycluster ping -v HOST tells how a connection is established",
    ),
    (
        &["-e", "--extra-vars"],
        "--env NAME=VALUE sets a variable there",
    ),
    (
        &["--key", "--private-key", "--key-file"],
        "-i FILE is a private key, as for ssh",
    ),
    (
        &["--password", "--ask-pass"],
        "a password is asked for at a terminal where the server wants one; a key or an agent is better",
    ),
    (
        &["-m", "--module-name"],
        "a module of Python runs by `easycluster run HOST... -m MODULE`; a shell command stands behind `--` of `easycluster exec`",
    ),
    (
        &["-F"],
        "a spec names the ssh_config: web1:config=FILE; none is config=none",
    ),
    (
        &["--chdir", "--directory", "-C"],
        "--cwd DIR is where it runs",
    ),
    (
        &["--input", "--stdin-file"],
        "--stdin all gives every host our standard input",
    ),
    (
        &["--output", "--outdir", "--errdir"],
        "--out DIR has a file for each host and stream",
    ),
];

/// Other words for `exec`.
const EXEC: [&str; 6] = ["ssh", "shell", "sh", "cmd", "command", "execute"];

/// Other words for `copy`.
const COPY: [&str; 13] = [
    "cp", "scp", "sftp", "rsync", "pscp", "put", "get", "push", "pull", "upload", "download",
    "fetch", "sync",
];

/// The command line that was meant, where that is known. `command` is what reads them.
pub(crate) fn meant(
    error: &clap::Error,
    arguments: &[OsString],
    command: impl FnOnce() -> clap::Command,
) -> Option<Failure> {
    let words = texts(arguments.get(1..)?);
    let given = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand if words.first()? == "help" => {
            Some(help_on(words.get(1)?, command()))
        }
        ErrorKind::UnknownArgument | ErrorKind::ArgumentConflict | ErrorKind::InvalidSubcommand
            if words.first()?.starts_with('-') =>
        {
            before_subcommand(&words, &command())
                .or_else(|| option(given(ContextKind::InvalidArg)?, &words))
        }
        ErrorKind::UnknownArgument => option(given(ContextKind::InvalidArg)?, &words),
        ErrorKind::InvalidSubcommand
            if error.get(ContextKind::SuggestedSubcommand).is_none()
                || [&EXEC[..], &COPY]
                    .concat()
                    .contains(&words.first()?.as_str()) =>
        {
            subcommand(&words)
        }
        ErrorKind::DisplayHelp => help(&words),
        _ => None,
    }
}

fn option(option: &str, words: &[String]) -> Option<Failure> {
    let failure = Failure::usage(format!("there is no option {option}"));
    let place = words.iter().position(|word| word.starts_with(option));
    if let Some(typed) = without_separator(words, place?) {
        return Some(failure.with_hint(format!("put `--` before the command: {typed}")));
    }
    let (_, ours) = OPTIONS
        .iter()
        .find(|(theirs, _)| theirs.contains(&option))?;
    Some(failure.with_hint(*ours))
}

/// What was typed with the `--` that is missing before the command to which the option at `place` belongs.
fn without_separator(words: &[String], place: usize) -> Option<String> {
    let before = words.get(1..place)?;
    let hosts = before.iter().filter(|word| !word.starts_with('-'));
    let hosts: Vec<String> = hosts.cloned().collect();
    let command = hosts.get(command_among(&hosts)?)?;
    let separated = before.iter().any(|word| word == "--");
    let mut typed = [&["easycluster".to_owned()], words].concat();
    if typed.get(1).is_some_and(|word| word == "run") && !is_file(OsStr::new(command)) {
        typed = with_subcommand(&typed, "exec");
    }
    (!separated).then(|| with_separator(&typed, command))
}

/// Help was asked for, or the command was to have this option.
fn help(words: &[String]) -> Option<Failure> {
    let place = words.iter().position(|word| word == "-h")?;
    let file = words.get(place + 1);
    if place <= 1 && file.is_some_and(|word| is_file(OsStr::new(word))) {
        // The first word may be ours.
        let typed = ours_of_pssh(words.get(place..)?)?;
        return Some(Failure::usage("-h asks for help; -f takes a file of hosts").with_hint(typed));
    }
    let typed = without_separator(words, place)?;
    Some(
        Failure::usage("-h asks for help on exec itself")
            .with_hint(format!("put `--` before the command: {typed}")),
    )
}

/// Help was asked for on a command that there is not.
fn help_on(name: &str, command: clap::Command) -> Failure {
    let meant = if EXEC.contains(&name) {
        Some("exec".to_owned())
    } else if COPY.contains(&name) {
        Some("copy".to_owned())
    } else {
        let wrong = command.try_get_matches_from(["easycluster", name]).err();
        match wrong.and_then(|error| error.get(ContextKind::SuggestedSubcommand).cloned()) {
            Some(ContextValue::Strings(similar)) => similar.into_iter().next(),
            _ => None,
        }
    };
    let failure = Failure::usage(format!("there is no command {name}"));
    failure.with_hint(match meant {
        Some(meant) => format!("did you mean: easycluster help {meant}"),
        None => "easycluster -h names them".to_owned(),
    })
}

/// Where a program is an option and its arguments were to stand behind it, as for `sh -c` and `python -m`: they would count as hosts.
pub(crate) fn arguments_taken_for_hosts(
    matches: &clap::ArgMatches,
    typed: &[OsString],
) -> Option<Failure> {
    let (name, given) = matches.subcommand()?;
    let programs: &[&str] = match name {
        "run" => &["code", "module", "FILE"],
        "exec" => &["script"],
        _ => return None,
    };
    let (program, place) = programs
        .iter()
        .find_map(|id| Some((*id, given.indices_of(id)?.next()?)))?;
    // Beside an inventory they are its patterns, which stand anywhere.
    let of_files = given.indices_of("files").is_some();
    let hosts = given.indices_of("specs")?;
    let behind = hosts.clone().position(|host| host > place)?;
    if behind == 0 && !of_files {
        // No host stands before it, so the words behind it are the hosts.
        return None;
    }
    let word = given.get_many::<String>("specs")?.nth(behind)?;
    let option = match program {
        "code" => "-c CODE",
        "module" => "-m MODULE",
        _ => "--script FILE",
    };
    let line = with_separator(&typed_as_ours(typed), word);
    Some(
        Failure::usage(format!(
            "{word} stands behind {option}: is it an argument, or a host?"
        ))
        .with_hint(format!(
            "arguments stand behind `--`: {line}; hosts stand before {option}"
        )),
    )
}

/// The words of the command line for a hint, by the name of this program.
pub(crate) fn typed_as_ours(words: &[OsString]) -> Vec<String> {
    let mut typed = texts(words);
    if let Some(program) = typed.first_mut() {
        "easycluster".clone_into(program);
    }
    typed
}

fn subcommand(words: &[String]) -> Option<Failure> {
    let first = words.first()?;
    let failure = Failure::usage(format!("there is no command {first}"));
    if let Some(typed) = ours(words) {
        return Some(failure.with_hint(typed));
    }
    if is_program(first) {
        return Some(failure.with_hint(
            "a shell command is run by: easycluster exec HOST... -- COMMAND; files are copied by: easycluster copy",
        ));
    }
    if COPY.contains(&first.as_str()) {
        // Options of scp or rsync mean nothing to `easycluster copy`.
        let words = words.iter().filter(|word| !word.starts_with('-')).cloned();
        let words: Vec<String> = words.collect();
        let typed = [&["easycluster".to_owned()], &words[..]].concat();
        let line = copy_line(&typed, words.get(1..)?);
        let line = line.unwrap_or_else(|| COPY_LINES.to_owned());
        return Some(failure.with_hint(format!("files are copied by: {line}")));
    }
    let words = if EXEC.contains(&first.as_str()) {
        words.get(1..)?
    } else if first.contains(['@', '.', ':', ',', '[']) || command_among(words).is_some() {
        // The hosts, as for ssh.
        words
    } else if command_from(words, 0) == Some(0) {
        return Some(failure.with_hint(format!("for a shell command: {}", exec_line(&[], words))));
    } else if let [host] = words {
        return Some(failure.with_hint(format!(
            "easycluster -h names them; if {host} is a host: easycluster ping {host}, or easycluster exec {host} -- COMMAND"
        )));
    } else {
        return None;
    };
    let separator = words.iter().position(|word| word == "--");
    let (hosts, command) = match separator {
        Some(place) => (words.get(..place)?, words.get(place + 1..)?),
        None => words.split_at(command_among(words).unwrap_or(words.len())),
    };
    let command = match command {
        [] => &["COMMAND".to_owned()],
        command => command,
    };
    Some(failure.with_hint(format!(
        "for a shell command: {}",
        exec_line(hosts, command)
    )))
}

//! Who may do what: the order within the SSH transport, the one place that starts processes and the one that connects.

use super::{assert_none, sources};

/// The parts of `transport/ssh`, in the order in which a connection goes through them (`error::Stage`). A part imports
/// from those before it, and no others. A file of a folder that others need by itself is a part of its own.
const SSH_ORDER: [&str; 16] = [
    "prompt",
    "timing",
    "config",
    "stream",
    "algorithms",
    "host_key",
    "channel::queue",
    "describe",
    "handler",
    "auth",
    "channel",
    "connection",
    "stream::proxy",
    "connect",
    "pool",
    "fuzz",
];
const SSH: &str = "crate::transport::ssh::";

/// The paths that a text begins with: one, or those in braces behind what they share.
fn paths(text: &str) -> Vec<Vec<&str>> {
    fn plain(path: &str) -> Vec<&str> {
        let end = path
            .find(|character: char| !character.is_alphanumeric() && !"_:".contains(character))
            .unwrap_or(path.len());
        path[..end]
            .split("::")
            .filter(|it| !it.is_empty())
            .collect()
    }
    let shared = plain(text);
    let length: usize = shared.iter().map(|name| name.len() + 2).sum();
    match text.get(length..).and_then(|rest| rest.strip_prefix('{')) {
        None => vec![shared],
        // Groups in groups are cut at the first brace; none of ours are.
        Some(group) => {
            let group = group.split('}').next().unwrap_or(group);
            let items = group.split(',').map(str::trim).filter(|it| !it.is_empty());
            items
                .map(|item| [shared.clone(), plain(item)].concat())
                .collect()
        }
    }
}

/// The part that a path within `transport/ssh` belongs to, and its place.
fn part(path: &[&str]) -> Option<(usize, &'static str)> {
    let two = path.get(..2).map(|two| two.join("::"));
    let is = |wanted: &str| SSH_ORDER.iter().position(|part| *part == wanted);
    let place = two.and_then(|two| is(&two)).or_else(|| is(path.first()?))?;
    Some((place, SSH_ORDER[place]))
}

/// What a text of the module `own` within `transport/ssh` imports from there, whichever way it is written.
fn inner_imports<'a>(text: &'a str, own: &[&'a str]) -> Vec<Vec<&'a str>> {
    const SUPER: &str = "super::";
    let mut found: Vec<Vec<&str>> = text.split(SSH).skip(1).flat_map(paths).collect();
    for (at, _) in text.match_indices(SUPER) {
        if text[..at].ends_with(SUPER) {
            continue;
        }
        let (mut rest, mut supers) = (&text[at..], 0);
        while let Some(behind) = rest.strip_prefix(SUPER) {
            (rest, supers) = (behind, supers + 1);
        }
        if let Some(above) = own.len().checked_sub(supers) {
            found.extend(
                paths(rest)
                    .iter()
                    .map(|path| [&own[..above], path].concat()),
            );
        }
    }
    found
}

#[test]
fn the_ssh_transport_imports_one_way() {
    let mut findings = Vec::new();
    let mut seen = 0;
    for source in sources(&["src/transport/ssh"], &["rs"]) {
        let inside = source.path.strip_prefix("src/transport/ssh").unwrap();
        let name = inside.with_extension("").display().to_string();
        let own: Vec<&str> = name.split('/').filter(|part| *part != "mod").collect();
        // The folder's own file is what the rest of the program sees, and stands above all.
        if own.is_empty() || source.is_test() {
            continue;
        }
        let Some((own_place, own_part)) = part(&own) else {
            findings.push(format!("{} has no place in the order", source.name()));
            continue;
        };
        let lines: Vec<&str> = source.code().map(|(_, line)| line.trim()).collect();
        let text = lines.join(" ");
        for path in inner_imports(&text, &own) {
            if let Some((place, imported)) = part(&path) {
                seen += 1;
                if place > own_place {
                    let name = source.name();
                    findings.push(format!("{name}: {own_part} imports {imported}"));
                }
            }
        }
    }
    assert!(seen > 50, "only {seen} imports found");
    assert_none("imports against the order of the stages", findings);
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::transport::ssh::stream::{ServerStream, proxy}; use super::queue::Outlet; \
                let x = super::super::pool::new();";
    let found = inner_imports(text, &["channel", "opening"]);
    let found: Vec<String> = found.iter().map(|path| path.join("::")).collect();
    assert_eq!(
        found,
        [
            "stream::ServerStream",
            "stream::proxy",
            "channel::queue::Outlet",
            "pool::new"
        ]
    );
    assert_eq!(part(&["stream", "proxy"]), Some((12, "stream::proxy")));
    assert_eq!(part(&["stream", "ServerStream"]), Some((3, "stream")));
    assert_eq!(part(&["Reader"]), None);
}

/// Lines of `src` outside `owner` that hold one of `words`, but for what is only spelt like it.
fn lines_with(words: &[&str], owner: &str, spelt_alike: &[&str]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources(&["src"], &["rs"]) {
        if source.is_test() || source.module() == Some(owner) {
            continue;
        }
        for (number, line) in source.code() {
            let rest = spelt_alike
                .iter()
                .fold(line.to_owned(), |line, alike| line.replace(alike, ""));
            if words.iter().any(|word| rest.contains(word)) {
                findings.push(format!("{}:{}: {}", source.name(), number + 1, line.trim()));
            }
        }
    }
    findings
}

#[test]
fn one_module_starts_processes() {
    let words = ["Command::new(", "process_group(", "kill_process_group"];
    let found = lines_with(
        &words,
        "process",
        &["clap::Command::new(", "RunningCommand::new("],
    );
    assert_none("started outside of process", found);
}

#[test]
fn one_module_connects_by_tcp() {
    let words = ["TcpStream::connect", "TcpSocket::", "lookup_host"];
    let found = lines_with(&words, "dial", &[]);
    assert_none("connected outside of dial", found);
}

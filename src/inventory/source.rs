//! Where an inventory comes from: a file, a folder, a program, standard input, a list in the argument; and which form it has.

use std::io::{self, Read};
use std::path::Path;

use super::groups::{Groups, UNGROUPED};
use super::ranges::expand;
use super::vars_files::FOLDERS;
use super::{InventoryError, ini, json, lines, tree, yaml};
use crate::files::rest_at_most;
use crate::process;
use crate::system::rights::is_executable;

/// The longest inventory, in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// How deep folders are read.
const MAX_FOLDERS: usize = 20;

/// Endings of files in a folder that are no inventories, as Ansible has them.
const PASSED_OVER: [&str; 12] = [
    ".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry",
];
const PLUGINS: &str = "vars_plugins";

pub(super) fn read(path: &Path, groups: &mut Groups) -> Result<(), InventoryError> {
    let name = path.display().to_string();
    if path == Path::new("-") {
        let text = text_within(std::io::stdin())
            .map_err(|error| InventoryError::new(format!("cannot read stdin: {error}")))?;
        return parse(&text, "stdin", groups);
    }
    if name.contains(',') && !path.exists() {
        let group = groups.group(UNGROUPED, "");
        for host in expand(&name)? {
            ini::add_hosts(&host, &Default::default(), "-I", group, groups)?;
        }
        return Ok(());
    }
    at_path(path, 0, groups)?;
    let beside = match path.is_dir() {
        true => path,
        false => path.parent().unwrap_or(Path::new("")),
    };
    if !groups.beside.iter().any(|known| known == beside) {
        groups.beside.push(beside.to_owned());
    }
    Ok(())
}

fn at_path(path: &Path, depth: usize, groups: &mut Groups) -> Result<(), InventoryError> {
    let name = path.display().to_string();
    let cannot = |error: std::io::Error| {
        let found = InventoryError::new(format!("cannot read the inventory {name}: {error}"));
        match error.kind() {
            std::io::ErrorKind::NotFound => found.with_hint(
                "-I takes a file or a folder; to name hosts themselves, put a comma behind: -I web1,",
            ),
            _ => found,
        }
    };
    let about = std::fs::metadata(path).map_err(cannot)?;
    if about.is_dir() {
        return folder(path, depth, groups);
    }
    if is_executable(&about) {
        return program(path, &name, groups);
    }
    let text = read_text(path, &name)?;
    parse(&text, &name, groups)
}

/// The text of an inventory or of variables beside one.
pub(super) fn read_text(path: &Path, name: &str) -> Result<String, InventoryError> {
    let read = std::fs::File::open(path).and_then(text_within);
    read.map_err(|error| InventoryError::new(format!("cannot read {name}: {error}")))
}

/// The text of what names hosts, which ends: a device, or a pipe, may never.
pub(crate) fn text_within(from: impl Read) -> io::Result<String> {
    let wrong = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason);
    let mut bytes = Vec::new();
    rest_at_most(from, MAX_BYTES, &mut bytes).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => wrong("it is longer than 256 MiB"),
        _ => error,
    })?;
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(wrong("it is text in UTF-16; save it as UTF-8"));
    }
    String::from_utf8(bytes).map_err(|_| wrong("it is no text in UTF-8"))
}

/// Every file of a folder, in the order of their names.
fn folder(path: &Path, depth: usize, groups: &mut Groups) -> Result<(), InventoryError> {
    let name = path.display().to_string();
    let cannot = |error| InventoryError::new(format!("cannot read the folder {name}: {error}"));
    if depth > MAX_FOLDERS {
        return Err(InventoryError::new(format!(
            "{name}: too many folders in each other"
        )));
    }
    let entries = std::fs::read_dir(path).map_err(cannot)?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(cannot)?;
    files.sort();
    for file in files {
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let wanted = !name.starts_with('.')
            && !PASSED_OVER.iter().any(|ending| name.ends_with(ending))
            && !FOLDERS.contains(&name.as_str())
            && name != PLUGINS;
        if wanted {
            at_path(&file, depth + 1, groups)?;
        }
    }
    Ok(())
}

/// A program that prints JSON when it is run with `--list`.
fn program(path: &Path, name: &str, groups: &mut Groups) -> Result<(), InventoryError> {
    let hint = format!("it must print JSON for --list; if it is a plain file: chmod -x {name}");
    let wrong = |reason: String| {
        InventoryError::new(format!("the inventory {name} is executable, and {reason}"))
            .with_hint(hint.clone())
    };
    // By its place and not by PATH.
    let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut command = process::program(file);
    command.arg("--list");
    let output = process::run(command)
        .map_err(|error| wrong(format!("cannot be run to its end: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.trim().lines().last().unwrap_or_default();
        let colon = if last.is_empty() { "" } else { ": " };
        return Err(wrong(format!("failed ({}){colon}{last}", output.status)));
    }
    let text = String::from_utf8(output.stdout)
        .map_err(|_| wrong("its output is not UTF-8".to_owned()))?;
    let root = json::parse(&text, &format!("{name} --list"))
        .map_err(|error| error.with_hint(hint.clone()))?;
    tree::read(&root, name, true, groups)
}

/// The text of a file without the mark that editors of Windows begin files of UTF-8 with.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Reads a text in the form that its name or its content tells.
pub(super) fn parse(text: &str, name: &str, groups: &mut Groups) -> Result<(), InventoryError> {
    let text = without_mark(text);
    if text.starts_with("$ANSIBLE_VAULT;") {
        return Err(
            InventoryError::new("the whole file is encrypted by Ansible Vault")
                .with_hint("`ansible-vault view FILE | easycluster ... -I -` gives it in clear")
                .at(name),
        );
    }
    if text.starts_with("-----BEGIN ") {
        return Err(InventoryError::new("this is a key and no inventory")
            .with_hint("-i takes the key file, -I the inventory")
            .at(name));
    }
    let ending = Path::new(name)
        .extension()
        .and_then(|ending| ending.to_str());
    match ending.map(str::to_lowercase).as_deref() {
        Some("yml" | "yaml") => of_yaml(text, name, groups),
        Some("json") => of_json(text, name, groups),
        Some("ini" | "cfg") => ini::read(text, name, groups),
        _ if text.trim_start().starts_with('{') => of_json(text, name, groups),
        _ if looks_like_yaml(text) => of_yaml(text, name, groups),
        _ if lines::is_list(text) => lines::read(text, name, groups),
        _ => ini::read(text, name, groups),
    }
}

fn of_json(text: &str, name: &str, groups: &mut Groups) -> Result<(), InventoryError> {
    tree::read_json(&json::parse(text, name)?, name, groups)
}

fn of_yaml(text: &str, name: &str, groups: &mut Groups) -> Result<(), InventoryError> {
    let root = yaml::parse(text, name, &mut groups.warnings)?;
    tree::read(&root, name, false, groups)
}

/// The first line that says something begins a document or a mapping.
fn looks_like_yaml(text: &str) -> bool {
    let lines = text.lines().map(lines::without_comment).map(str::trim_end);
    let first = lines
        .into_iter()
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    first == "---" || first.starts_with("--- ") || (first.ends_with(':') && !first.contains(' '))
}

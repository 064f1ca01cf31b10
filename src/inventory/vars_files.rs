//! Variables in files of their own beside an inventory, `group_vars/` and `host_vars/`, as Ansible finds and reads them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::groups::{Groups, Variables};
use super::source::{read_text, without_mark};
use super::{InventoryError, json, tree, yaml};

/// Folders that hold the variables of groups and of hosts.
pub(super) const FOLDERS: [&str; 2] = [GROUP_VARS, HOST_VARS];
const GROUP_VARS: &str = "group_vars";
const HOST_VARS: &str = "host_vars";

/// What may stand behind the name of a group or a host, in the order in which Ansible looks; the first that is there counts.
const ENDINGS: [&str; 4] = ["", ".yml", ".yaml", ".json"];

/// How deep folders of files for one name are read.
const MAX_FOLDERS: usize = 20;

/// Reads what is beside all inventories that were read into `groups`. Of several, the later ones count more.
///
/// # Errors
/// A file that cannot be read, or is no mapping.
pub(super) fn load(groups: &mut Groups) -> Result<(), InventoryError> {
    groups.forget_files();
    for beside in groups.beside.clone() {
        let folder = beside.join(GROUP_VARS);
        for (name, files) in named(&folder, |name| groups.find_group(name).is_some())? {
            let variables = read_all(&files, groups)?;
            if let Some(group) = groups.find_group(&name) {
                groups.add_files_of_group(group, variables);
            }
        }
        let folder = beside.join(HOST_VARS);
        for (name, files) in named(&folder, |name| groups.find_host(name).is_some())? {
            let variables = read_all(&files, groups)?;
            if let Some(host) = groups.find_host(&name) {
                groups.add_files_of_host(host, variables);
            }
        }
    }
    Ok(())
}

/// The known names of which the folder has files, and those.
fn named(
    folder: &Path,
    is_known: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Vec<PathBuf>)>, InventoryError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let there: BTreeSet<String> = list(folder)?.into_iter().collect();
    let mut names = BTreeSet::new();
    for entry in &there {
        let possible = ENDINGS.iter().filter_map(|end| entry.strip_suffix(end));
        names.extend(possible.filter(|name| is_known(name)));
    }
    let mut found = Vec::new();
    for name in names {
        let entries = ENDINGS.iter().map(|end| format!("{name}{end}"));
        let Some(entry) = entries.into_iter().find(|entry| there.contains(entry)) else {
            continue;
        };
        let path = folder.join(entry);
        let mut files = Vec::new();
        if path.is_dir() {
            in_folder(&path, 0, &mut files)?;
        } else {
            files.push(path);
        }
        found.push((name.to_owned(), files));
    }
    Ok(found)
}

/// All files of a folder that is for one name, those in its folders too.
fn in_folder(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), InventoryError> {
    if depth > MAX_FOLDERS {
        let reason = format!("{}: too many folders in each other", folder.display());
        return Err(InventoryError::new(reason));
    }
    for entry in list(folder)? {
        if entry.starts_with('.') || entry.ends_with('~') {
            continue;
        }
        let path = folder.join(&entry);
        let ending = path.extension().and_then(|ending| ending.to_str());
        let ending = ending
            .map(|ending| format!(".{ending}"))
            .unwrap_or_default();
        if path.is_dir() {
            if ending.is_empty() {
                in_folder(&path, depth + 1, files)?;
            }
        } else if ENDINGS.contains(&ending.as_str()) {
            files.push(path);
        }
    }
    Ok(())
}

/// The names in a folder, sorted. One that is no text names nothing here.
fn list(folder: &Path) -> Result<Vec<String>, InventoryError> {
    let cannot = |error: std::io::Error| {
        InventoryError::new(format!(
            "cannot read the folder {}: {error}",
            folder.display()
        ))
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        names.extend(entry.map_err(cannot)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

fn read_all(files: &[PathBuf], groups: &mut Groups) -> Result<Variables, InventoryError> {
    let mut found = Variables::new();
    for file in files {
        found.extend(read(file, &mut groups.warnings)?);
    }
    Ok(found)
}

fn read(file: &Path, warnings: &mut Vec<String>) -> Result<Variables, InventoryError> {
    let name = file.display().to_string();
    let text = read_text(file, &name)?;
    let text = without_mark(&text);
    if text.starts_with("$ANSIBLE_VAULT;") {
        // Most often it holds what is for playbooks alone; a password that is missing is asked for.
        let warning =
            format!("{name} is encrypted by Ansible Vault, and its variables are not known");
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
        return Ok(Variables::new());
    }
    let root = match file.extension().and_then(|ending| ending.to_str()) {
        Some("json") => Some(json::parse(text, &name)?),
        _ => yaml::parse_file(text, &name, warnings)?,
    };
    match root {
        Some(root) => tree::read_variables(&root, &name),
        None => Ok(Variables::new()),
    }
}

//! The rules of this code base that no compiler knows, as failures: who may import whom, file sizes, first lines, reasons.

mod how_to_add;
mod owners;

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of `src`, from the bottom of the data's path to the top. A module imports from those before it, and no others.
const ORDER: [&str; 30] = [
    "visible",
    "system",
    "files",
    "deferred_free",
    "retry",
    "wire",
    "pickle",
    "session",
    "routing",
    "keys",
    "spec",
    "error",
    "stub",
    "descriptors",
    "process",
    "inventory",
    "progress",
    "dial",
    "transport",
    "connection",
    "client",
    "command",
    "cluster",
    "transfer",
    "fuzz",
    "packages",
    "server",
    "service",
    "cli",
    "python",
];

/// What the crate's root gives again under a short name, and where it comes from.
const SHORT_NAMES: [(&str, &str); 14] = [
    ("Client", "client"),
    ("Cluster", "cluster"),
    ("ConnectError", "error"),
    ("Error", "error"),
    ("Fault", "error"),
    ("RemoteError", "error"),
    ("Stage", "error"),
    ("ConnectionSpec", "spec"),
    ("RemoteObject", "client"),
    ("Value", "client"),
    ("Call", "client"),
    ("fan_out", "cluster"),
    ("Arguments", "pickle"),
    ("Plain", "pickle"),
];

/// The lints that hold for the whole crate, and the only places that allow what each denies.
const LINTS: [(&str, &[&str]); 9] = [
    ("unsafe_code", &["src/python/mod.rs"]),
    ("missing_docs", &[]),
    ("unwrap_used", &[]),
    ("expect_used", &[]),
    ("panic", &[]),
    (
        "indexing_slicing",
        &["src/cli/mod.rs", "src/pickle/opcodes.rs"],
    ),
    ("print_stdout", &["src/cli/mod.rs"]),
    ("print_stderr", &["src/cli/mod.rs"]),
    ("self_named_module_files", &[]),
];

const MAX_LINES: usize = 500;

struct Source {
    /// Relative to the repository.
    path: PathBuf,
    text: String,
}

impl Source {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The module of `src` that it belongs to.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src").ok()?;
        let first = inside.components().next()?.as_os_str().to_str()?;
        Some(first.trim_end_matches(".rs")).filter(|name| !["lib", "main"].contains(name))
    }

    fn is_test(&self) -> bool {
        let name = self.name();
        name.starts_with("tests/") || name.contains("/tests/") || name.ends_with("/tests.rs")
    }

    /// The lines that are compiled into the library: without comments and without the unit tests at the end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let all = self.text.lines().enumerate();
        let before_tests = all.take_while(|(_, line)| *line != "mod tests {");
        before_tests.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folders: &[&str], endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = folders
        .iter()
        .map(|folder| root().join(folder))
        .filter(|folder| folder.is_dir())
        .collect();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("__pycache__") {
                waiting.push(path);
            } else if path
                .extension()
                .is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted))
            {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source {
                    path: path.strip_prefix(root()).unwrap().to_path_buf(),
                    text,
                });
            }
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

fn all_code() -> Vec<Source> {
    sources(
        &[
            "src",
            "tests",
            "examples",
            "benches",
            "bootstrap_py",
            "python",
            "fuzz/fuzz_targets",
        ],
        &["rs", "py", "pyi"],
    )
}

/// Every finding is shown, not only the first.
fn assert_none(what: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{what}:\n  {}", findings.join("\n  "));
}

/// The names that follow `crate::` in a line, also those in braces.
fn crate_names(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for rest in line.split("crate::").skip(1) {
        let names = rest
            .strip_prefix('{')
            .map_or(rest, |group| group.split('}').next().unwrap_or(group));
        let grouped = rest.starts_with('{');
        for name in names.split(',').take(if grouped { usize::MAX } else { 1 }) {
            let end = name
                .trim_start()
                .find(|character: char| !character.is_alphanumeric() && character != '_');
            let name = name.trim_start();
            found.push(end.map_or(name, |end| &name[..end]));
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn imports_go_one_way() {
    let place = |module: &str| ORDER.iter().position(|known| *known == module);
    let mut findings = Vec::new();
    for source in sources(&["src"], &["rs"]) {
        let Some(module) = source.module() else {
            continue;
        };
        let Some(own_place) = place(module) else {
            findings.push(format!(
                "{}: module {module} has no place in the order",
                source.name()
            ));
            continue;
        };
        if source.is_test() {
            continue;
        }
        for (number, line) in source.code() {
            for name in crate_names(line) {
                let target = SHORT_NAMES
                    .iter()
                    .find(|(short, _)| *short == name)
                    .map_or(name, |(_, module)| module);
                // What has no place is a macro or an item of the root itself.
                if place(target).is_some_and(|there| there > own_place) {
                    findings.push(format!(
                        "{}:{}: {module} imports {target}",
                        source.name(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert_none("imports against the order", findings);
}

#[test]
fn the_table_of_the_architecture_has_the_same_order() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, table) = page.split_once("| module | owns |").unwrap();
    let listed: Vec<&str> = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| `src/")?.split(['/', '.']).next())
        .collect();
    assert_eq!(listed, ORDER);
}

#[test]
fn names_after_crate_are_found() {
    assert_eq!(
        crate_names("use crate::{Client, error::Stage, wire};"),
        ["Client", "error", "wire"]
    );
    assert_eq!(
        crate_names("let x: crate::Value = crate::error::printable(y);"),
        ["Value", "error"]
    );
    assert!(crate_names("use std::fmt;").is_empty());
}

#[test]
fn only_one_module_knows_what_a_pickle_holds() {
    let mut findings = Vec::new();
    for source in sources(&["src"], &["rs"]) {
        if source.is_test() || source.module() == Some("pickle") {
            continue;
        }
        // Where a pickle is written or read by hand, its first instruction is.
        let by_hand = |line: &str| {
            ["b\"\\x80\\x0", "[0x80, ", "0x80 =>", "serde_pickle"]
                .iter()
                .any(|sign| line.contains(sign))
        };
        findings.extend(
            source
                .code()
                .filter(|(_, line)| by_hand(line))
                .map(|(number, _)| format!("{}:{}", source.name(), number + 1)),
        );
    }
    assert_none("pickles outside of src/pickle", findings);
}

#[test]
fn the_first_line_says_what_a_file_owns() {
    let mut findings = Vec::new();
    for source in all_code() {
        let mut lines = source.text.lines().filter(|line| !line.starts_with("#!"));
        let first = lines.next().unwrap_or_default();
        let ending = source.path.extension().unwrap_or_default();
        let good = if ending == "rs" {
            first.starts_with("//! ")
        } else {
            first.starts_with("\"\"\"") || first.starts_with("# ")
        };
        if !good || first.len() < 12 {
            findings.push(format!("{}: {first:?}", source.name()));
        }
    }
    assert_none("files whose first line says nothing", findings);
}

#[test]
fn no_file_is_too_long() {
    let too_long = |source: &Source| source.text.lines().count() > MAX_LINES;
    let found = all_code().into_iter().filter(too_long);
    assert_none(
        "files to split",
        found
            .map(|source| format!("{}: {} lines", source.name(), source.text.lines().count()))
            .collect(),
    );
}

#[test]
fn modules_are_named_after_what_they_own() {
    let empty = [
        "utils", "util", "helpers", "helper", "misc", "common", "stuff",
    ];
    let stem = |source: &Source| {
        source
            .path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    // The helpers for old Pythons are a kind of file by their place, and each has a name that says what it does.
    let agreed = Path::new("bootstrap_py/helpers");
    let bad = |source: &Source| {
        empty.contains(&stem(source).as_str())
            || source
                .path
                .strip_prefix(agreed)
                .unwrap_or(&source.path)
                .components()
                .any(|part| empty.iter().any(|name| part.as_os_str() == *name))
    };
    assert_none(
        "names that say nothing",
        all_code()
            .iter()
            .filter(|source| bad(source))
            .map(Source::name)
            .collect(),
    );
}

#[test]
fn lints_hold_for_the_whole_crate() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut findings = Vec::new();
    for (lint, places) in LINTS {
        if !manifest
            .lines()
            .any(|line| line.starts_with(&format!("{lint} = ")))
        {
            findings.push(format!("Cargo.toml does not set {lint}"));
        }
        for source in sources(&["src"], &["rs"]) {
            let allowed = source.is_test() || places.iter().any(|it| source.path.ends_with(it));
            // Attributes only: a lint's name may stand in a comment.
            let text: String = source.code().map(|(_, line)| line).collect();
            let allows = text
                .split("allow(")
                .skip(1)
                .filter_map(|rest| rest.split(')').next())
                .any(|list| list.contains(lint));
            if allows && !allowed {
                findings.push(format!("{} allows {lint}", source.name()));
            }
        }
    }
    assert_none("exceptions from the lints", findings);
}

#[test]
fn every_dependency_has_its_reason_beside_it() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut findings = Vec::new();
    let mut in_dependencies = false;
    let mut reason = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
            reason = false;
        } else if line.starts_with('#') {
            reason = true;
        } else if line.trim().is_empty() {
            reason = false;
        } else if in_dependencies && !line.starts_with([' ', ']']) && !reason {
            findings.push(line.to_string());
        }
    }
    assert_none("dependencies without a reason", findings);
}

#[test]
fn no_test_is_left_out_and_no_note_to_self_stays() {
    // Pieced together, so that this file is not its own finding.
    let words = [
        ["#[ign", "ore"],
        ["pytest.mark.sk", "ip"],
        ["pytest.sk", "ip"],
        ["unittest.sk", "ip"],
        ["TO", "DO"],
        ["FIX", "ME"],
        ["XX", "X:"],
    ];
    let words = words.map(|pieces| pieces.concat());
    let mut findings = Vec::new();
    for source in all_code() {
        // The one place where a part that a machine lacks is skipped, and reported at the end.
        if source.path.ends_with("support/parts.py") {
            continue;
        }
        for (number, line) in source.text.lines().enumerate() {
            // What only measures checks nothing, so nothing is left out with it.
            if line.contains("= \"a measurement") {
                continue;
            }
            findings.extend(
                words
                    .iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{}:{}: {word}", source.name(), number + 1)),
            );
        }
    }
    assert_none("left for later", findings);
}

/// What is slept for is either too long for a quiet machine or too short for a busy one.
#[test]
fn tests_wait_for_what_they_want() {
    let words = ["thread::sleep", "time::sleep"];
    let mut findings = Vec::new();
    for source in sources(&["tests"], &["rs"]) {
        if source.path.ends_with("support/waiting.rs") || source.path.starts_with("tests/rust/tidy")
        {
            continue;
        }
        for (number, line) in source.code() {
            // A relay that delays what it passes on waits for a moment, not for a condition.
            if words.iter().any(|word| line.contains(word)) && !line.contains("sleep_until(") {
                findings.push(format!("{}:{}", source.name(), number + 1));
            }
        }
    }
    assert_none("sleeps outside of tests/support/waiting.rs", findings);
}

#[test]
fn rule_numbers_are_used_once_and_pages_are_listed() {
    let readme = fs::read_to_string(root().join("spec/README.md")).unwrap();
    let mut findings = Vec::new();
    let mut seen = std::collections::BTreeMap::new();
    for entry in fs::read_dir(root().join("spec")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".md") || name == "README.md" {
            continue;
        }
        if !readme.contains(&format!("`{name}`")) {
            findings.push(format!("spec/README.md does not list {name}"));
        }
        let page = fs::read_to_string(&path).unwrap();
        for rule in page
            .lines()
            .filter_map(|line| line.strip_prefix("- **")?.split("**").next())
        {
            if let Some(other) = seen.insert(rule.to_string(), name.clone()) {
                findings.push(format!("{rule} stands in {name} and in {other}"));
            }
        }
    }
    assert!(seen.len() > 50, "only {} rules found", seen.len());
    assert_none("the contract's numbers", findings);
}

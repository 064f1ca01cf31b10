//! What docs/how-to-add.md says about where things stand, held to the tree.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, assert_none, root, sources};

const TABLE: &str = "src/spec/options.rs";

/// Names of options that are words of other things too, and so stand elsewhere in quotes.
const OTHER_MEANINGS: [(&str, &str); 7] = [
    ("ssh", "the program, and the transport of that name"),
    ("key", "a file's name, an argument of the program"),
    ("become", "an argument of the program"),
    (
        "user",
        "a criterion of `Match` in ssh_config, an argument of the program",
    ),
    ("timeout", "how a host of `run` ended"),
    ("name", "a host's or a function's, in maps and inventories"),
    ("known_hosts", "a file's name"),
];

/// The names, aliases and keywords in the table: what its rows have in quotes.
fn option_names() -> BTreeSet<String> {
    let table = std::fs::read_to_string(root().join(TABLE)).unwrap();
    let rows = table.split_once("static OPTIONS").unwrap().1;
    let mut names = BTreeSet::new();
    for line in rows.lines().take_while(|line| *line != "];") {
        let line = line.trim();
        if ["name: ", "aliases: ", "keyword: "]
            .iter()
            .any(|field| line.starts_with(field))
        {
            names.extend(line.split('"').skip(1).step_by(2).map(str::to_string));
        }
    }
    names
}

#[test]
fn an_options_name_stands_in_one_file() {
    let names = option_names();
    assert!(names.len() >= 18, "{names:?}");
    let mut findings = Vec::new();
    for source in sources(&["src"], &["rs"]) {
        // Variables of an inventory and arguments of the program set options by name, as a program does from outside.
        let from_outside = source.name() == "src/inventory/variables.rs"
            || source.name() == "src/cli/mod.rs"
            || source.name().starts_with("src/cli/terminal/");
        if source.name() == TABLE || source.is_test() || from_outside {
            continue;
        }
        let of_specs = source.name().starts_with("src/spec/");
        for (number, line) in source.code() {
            for name in &names {
                let other = OTHER_MEANINGS.iter().any(|(word, _)| word == name) && !of_specs;
                // The step through another machine has the name of its program.
                let other = other || name == "ssh" && source.name() == "src/spec/step.rs";
                if line.contains(&format!("\"{name}\"")) && !other {
                    findings.push(format!("{}:{}: {name}", source.name(), number + 1));
                }
            }
        }
    }
    assert_none("names of options outside of their table", findings);
}

#[test]
fn every_option_has_its_rule() {
    let page = std::fs::read_to_string(root().join("spec/connection-spec.md")).unwrap();
    // Keywords of Python's that are not names in a spec.
    let keywords = ["enable_compression", "extra_args"];
    let lacking = option_names()
        .into_iter()
        .filter(|name| !keywords.contains(&name.as_str()))
        .filter(|name| !page.contains(&format!("`{name}`")) && !page.contains(&format!("`{name}=")))
        .collect();
    assert_none("options without a rule", lacking);
}

#[test]
fn a_transport_is_named_in_the_files_of_the_page() {
    let page = std::fs::read_to_string(root().join("docs/how-to-add.md")).unwrap();
    let (_, section) = page.split_once("## A transport\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut findings = Vec::new();
    for source in sources(&["src"], &["rs"]) {
        // What parses a spec knows that this machine has no port.
        if source.is_test() || source.name() == "src/spec/parse.rs" {
            continue;
        }
        let named = source
            .code()
            .any(|(_, line)| line.contains("Transport::Local"));
        if named && !section.contains(&format!("`{}`", source.name())) {
            findings.push(source.name().to_string());
        }
    }
    assert_none(
        "files with a row of each transport that the page lacks",
        findings,
    );
}

/// The files that the code of a module of `src/spec` imports from beside it.
fn neighbours(source: &Source, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, line) in source.code() {
        for rest in line.split("crate::spec::").skip(1) {
            let name: String = rest
                .chars()
                .take_while(|character| character.is_alphanumeric() || *character == '_')
                .collect();
            if modules.contains(&name) {
                found.insert(name);
            }
        }
    }
    found
}

#[test]
fn the_modules_of_specs_go_one_way() {
    let files = sources(&["src/spec"], &["rs"]);
    let name = |source: &Source| {
        source
            .path
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .to_string()
    };
    let modules: BTreeSet<String> = files.iter().map(name).collect();
    let mut waiting: BTreeMap<String, BTreeSet<String>> = files
        .iter()
        .filter(|source| name(source) != "mod")
        .map(|source| (name(source), neighbours(source, &modules)))
        .collect();
    // What imports nothing that is left is taken away, until nothing is left or a circle is.
    while let Some(free) = waiting
        .iter()
        .find(|(_, wanted)| wanted.iter().all(|other| !waiting.contains_key(other)))
        .map(|(module, _)| module.clone())
    {
        waiting.remove(&free);
    }
    let circle = waiting
        .iter()
        .map(|(module, wanted)| format!("{module} imports from {wanted:?}"))
        .collect();
    assert_none("circles in src/spec", circle);
}

#[test]
fn the_files_that_the_page_names_exist() {
    let page = std::fs::read_to_string(root().join("docs/how-to-add.md")).unwrap();
    let mut named = 0;
    let mut findings = Vec::new();
    for path in page.split('`').skip(1).step_by(2) {
        if !path.contains('/') || path.contains(' ') || path.starts_with('/') {
            continue;
        }
        named += 1;
        // Of a file that is yet to be made the folder is there.
        let known = match path.split_once("NAME") {
            Some((before, _)) => before.rsplit_once('/').map_or("", |(folder, _)| folder),
            None => path,
        };
        if !root().join(known).exists() {
            findings.push(path.to_string());
        }
    }
    assert!(named >= 20, "only {named} files found in the page");
    assert_none("files of docs/how-to-add.md that are not there", findings);
}

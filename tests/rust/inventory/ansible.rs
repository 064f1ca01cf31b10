//! Inventories and patterns against Ansible's own reading of them, on a thousand generated files.

use std::collections::BTreeSet;

use easycluster::Plain;
use easycluster::inventory::{Inventory, InventoryHost};
use serde_json::{Value, json};

use super::judge::{Dice, ask, python_with};
use crate::support::parts;

const GROUPS: &[&str] = &["web", "db", "prod", "old", "web_eu", "g1"];
const HOSTS: &[&str] = &[
    "web1",
    "web2",
    "web3",
    "db1",
    "db-2",
    "a.example.com",
    "10.0.0.7",
    "web[1:3]",
    "n[01:04]",
    "db-[a:c]",
    "n[1:9:4]",
    "x[1:2]y[1:2]",
    "[::1]:2222",
    "fe80::1",
    "web1:2200",
    "n[01:02]:22",
];
const NAMES: &[&str] = &[
    "ansible_user",
    "ansible_port",
    "ansible_host",
    "rank",
    "flag",
    "ansible_python_interpreter",
];
const INI_VALUES: &[&str] = &[
    "deploy",
    "22",
    "010",
    "True",
    "true",
    "'a b'",
    "\"x\"",
    "[1,2]",
    "\"['a', 'b']\"",
    "{'a':1}",
    "1.5",
    "1e3",
    "None",
    "0x1f",
    "a=b",
    "'it''s'",
    "\"'quoted'\"",
    "10.0.0.1",
    "yes",
    "-5",
    "1_000",
    "/usr/bin/python3",
    "a\\ b",
    "'#x'",
    "()",
    "(1,)",
    "é",
];
const YAML_VALUES: &[&str] = &[
    "deploy",
    "22",
    "010",
    "yes",
    "True",
    "'a b'",
    "\"x\\ty\"",
    "[1, 2]",
    "{a: 1, b: [x]}",
    "1.5",
    "1e3",
    "~",
    "0x1f",
    "1:30",
    "10.0.0.1",
    "off",
    "-5",
    "1_000",
    "'010'",
    "!!str 5",
    "!unsafe '{{ x }}'",
    "\"\"",
    "n",
    "0o17",
    ".5",
    "08",
    "é",
    "*shared",
    "{<<: *map, z: 2}",
];
const PATTERNS: &[&str] = &[
    "all",
    "web",
    "db",
    "web:db",
    "web,db",
    "all:!web",
    "web:&prod",
    "web:&prod:!web1",
    "web*",
    "~web[12]",
    "~(db|n)",
    "w?b1",
    "*.com",
    "web[0]",
    "web[-1]",
    "web[0:1]",
    "web[1:]",
    "n0[12]",
    "n0[!1]",
    "!web",
    "&prod",
    "ungrouped",
    "prod:!old:&web",
    "10.0.*",
    "*",
    "all[0]",
    "db-?",
    "n*:!n01",
    "web1,n01",
    "fe80::1",
    "[a-w]*1",
    "web[5]",
    "x?y?",
    "web1:2200",
];

/// A group to be below another: seldom one that leads back.
fn below(dice: &mut Dice, group: &str) -> &'static str {
    let place = GROUPS.iter().position(|known| *known == group).unwrap_or(0);
    match GROUPS.get(place + 1..).filter(|rest| !rest.is_empty()) {
        Some(rest) if !dice.one_in(60) => dice.pick(rest),
        _ => GROUPS[GROUPS.len() - 1],
    }
}

fn ini(dice: &mut Dice) -> String {
    let mut text = String::new();
    let host = |dice: &mut Dice, text: &mut String| {
        text.push_str(dice.pick(HOSTS));
        for _ in 0..dice.roll(3) {
            let (name, value) = (dice.pick(NAMES), dice.pick(INI_VALUES));
            text.push_str(&format!(" {name}={value}"));
        }
        text.push_str(dice.pick(&["", "", "", "  # a note", " "]));
        text.push('\n');
    };
    for _ in 0..dice.roll(3) {
        host(dice, &mut text);
    }
    for _ in 0..dice.roll(6) {
        let group = dice.pick(GROUPS);
        text.push_str(dice.pick(&["", "\n", "# above\n", "; above\n"]));
        match dice.roll(4) {
            0 => {
                text.push_str(&format!("[{group}:vars]\n"));
                for _ in 0..dice.roll(4) {
                    let (name, value) = (dice.pick(NAMES), dice.pick(INI_VALUES));
                    let equals = dice.pick(&["=", " = "]);
                    text.push_str(&format!(
                        "{name}{equals}{value}{}\n",
                        dice.pick(&["", "", " # note"])
                    ));
                }
            }
            1 => {
                text.push_str(&format!("[{group}:children]\n"));
                for _ in 0..dice.roll(3) {
                    text.push_str(&format!(
                        "{}{}\n",
                        below(dice, group),
                        dice.pick(&["", "", " # note"])
                    ));
                }
            }
            _ => {
                text.push_str(&format!("[{group}]{}\n", dice.pick(&["", "", " # note"])));
                for _ in 0..dice.roll(4) {
                    host(dice, &mut text);
                }
            }
        }
    }
    if dice.one_in(40) {
        text.push_str(dice.pick(&[
            "web1 alone\n",
            "web1 'open\n",
            "[a b]\n",
            "[web:things]\n",
            "web1:\n",
        ]));
    }
    // What is only declared here is no error.
    if !dice.one_in(12) {
        for group in GROUPS {
            text.push_str(&format!("[{group}]\n"));
        }
    }
    text
}

fn yaml_variables(dice: &mut Dice, indent: usize, text: &mut String) {
    let mut seen = BTreeSet::new();
    for _ in 0..dice.roll(4) {
        let (name, value) = (dice.pick(NAMES), dice.pick(YAML_VALUES));
        if seen.insert(name) {
            text.push_str(&format!("{:indent$}{name}: {value}\n", ""));
        }
    }
}

fn yaml_group(dice: &mut Dice, name: &str, indent: usize, depth: usize, text: &mut String) {
    if dice.one_in(3) {
        text.push_str(&format!("{:indent$}vars:\n", ""));
        yaml_variables(dice, indent + 2, text);
    }
    if dice.one_in(20) {
        text.push_str(&format!("{:indent$}hosts: web9\n", ""));
    } else if !dice.one_in(3) {
        text.push_str(&format!("{:indent$}hosts:\n", ""));
        let mut seen = BTreeSet::new();
        for _ in 0..dice.roll(4) {
            let host = dice.pick(HOSTS);
            if seen.insert(host) {
                let quote = if host.starts_with('[') { "'" } else { "" };
                text.push_str(&format!("{:1$}{quote}{host}{quote}:\n", "", indent + 2));
                yaml_variables(dice, indent + 4, text);
            }
        }
    }
    if depth > 0 && dice.one_in(2) {
        text.push_str(&format!("{:indent$}children:\n", ""));
        let mut seen = BTreeSet::new();
        for _ in 0..dice.roll(4) {
            let group = if name == "all" {
                dice.pick(GROUPS)
            } else {
                below(dice, name)
            };
            if group != name && seen.insert(group) {
                text.push_str(&format!("{:1$}{group}:\n", "", indent + 2));
                yaml_group(dice, group, indent + 4, depth - 1, text);
            }
        }
    }
}

fn yaml(dice: &mut Dice) -> String {
    let mut text = String::from(
        "---\nx_anchors:\n  vars:\n    a: &shared [1, two]\n    b: &map {x: 1, z: 0}\nall:\n",
    );
    yaml_group(dice, "all", 2, 3, &mut text);
    if dice.one_in(3) {
        let group = dice.pick(GROUPS);
        text.push_str(&format!("{group}:\n"));
        yaml_group(dice, group, 2, 1, &mut text);
    }
    text
}

fn json_text(dice: &mut Dice) -> String {
    let names = ["web1", "web2", "n01", "db1"];
    let mut hostvars = serde_json::Map::new();
    for name in names {
        if dice.one_in(2) {
            let value = [
                json!("deploy"),
                json!(22),
                json!(1.5),
                json!(null),
                json!([1, {"a": true}]),
                json!("\u{1f600}"),
            ];
            hostvars.insert(
                name.to_owned(),
                json!({dice.pick(NAMES): value[dice.roll(value.len())]}),
            );
        }
    }
    let mut root = serde_json::Map::new();
    root.insert("_meta".to_owned(), json!({"hostvars": hostvars}));
    for group in GROUPS {
        let hosts: Vec<&str> = names.into_iter().filter(|_| dice.one_in(2)).collect();
        let content = match dice.roll(4) {
            0 => json!(hosts),
            1 => json!({"hosts": hosts, "vars": {dice.pick(NAMES): dice.roll(9)}}),
            2 => json!({"hosts": hosts, "children": [dice.pick(GROUPS)]}),
            _ => json!({"hosts": hosts}),
        };
        root.insert((*group).to_owned(), content);
    }
    serde_json::to_string(&root).expect("text")
}

/// As Python's `json` writes it, for comparison: keys are texts, and what JSON lacks is text too.
fn to_json(value: &Plain) -> Value {
    match value {
        Plain::None => Value::Null,
        Plain::Bool(value) => json!(value),
        Plain::Int(value) => json!(value),
        Plain::Float(value) => json!(value),
        Plain::Str(text) => json!(text),
        Plain::List(items) => items.iter().map(to_json).collect(),
        Plain::Dict(pairs) => {
            let pair = |(key, value): &(Plain, Plain)| {
                let key = match to_json(key) {
                    Value::String(text) => text,
                    Value::Null => "None".to_owned(),
                    other => other.to_string(),
                };
                (key, to_json(value))
            };
            Value::Object(pairs.iter().map(pair).collect())
        }
        other => json!(format!("{other:?}")),
    }
}

fn names(hosts: &[InventoryHost]) -> BTreeSet<&str> {
    hosts.iter().map(InventoryHost::name).collect()
}

fn names_of(list: &Value) -> BTreeSet<&str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).collect()
}

pub(super) fn variables(host: &InventoryHost) -> Value {
    let found = host.variables().into_iter();
    Value::Object(
        found
            .map(|(name, value)| (name.to_owned(), to_json(value)))
            .collect(),
    )
}

fn compare(kind: &str, count: usize, seed: u64, make: fn(&mut Dice) -> String) {
    let Some(python) = parts::need("ansible", python_with("ansible")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("folder");
    let mut dice = Dice(seed);
    let mut texts = Vec::new();
    let mut questions = Vec::new();
    for number in 0..count {
        let path = folder.path().join(format!("{number}.{kind}"));
        let text = make(&mut dice);
        std::fs::write(&path, &text).expect("file");
        if kind == "json" {
            // As an inventory program.
            std::fs::rename(&path, path.with_extension("data")).expect("moved");
            let script = format!(
                "#!/bin/sh\nexec cat {}\n",
                path.with_extension("data").display()
            );
            crate::support::write_program(&path, &script);
        }
        let patterns: Vec<&str> = (0..4).map(|_| dice.pick(PATTERNS)).collect();
        questions.push(json!({"path": path, "patterns": patterns}));
        texts.push(text);
    }
    let (mut good, mut chosen) = (0, 0);
    for ((question, text), answer) in questions
        .iter()
        .zip(&texts)
        .zip(ask(python, "ansible", &questions))
    {
        let ours = Inventory::read(question["path"].as_str().expect("path"));
        if answer.get("error").is_some() {
            let empty = ours.as_ref().is_ok_and(|ours| ours.hosts().is_empty());
            assert!(ours.is_err() || empty, "{text}\nAnsible: {answer}");
            continue;
        }
        let ours = ours.unwrap_or_else(|error| panic!("{text}\n{error}"));
        good += 1;
        let hosts = ours.hosts();
        let theirs = answer["hosts"].as_object().expect("hosts");
        assert_eq!(
            names(&hosts),
            theirs.keys().map(String::as_str).collect(),
            "{text}"
        );
        for host in &hosts {
            assert_eq!(
                variables(host),
                theirs[host.name()],
                "{}\n{text}",
                host.name()
            );
        }
        for group in ours.groups() {
            let found = ours.select(&[&format!("@{group}")]).unwrap_or_default();
            assert_eq!(
                names(&found),
                names_of(&answer["groups"][group]),
                "{group}\n{text}"
            );
        }
        let patterns = question["patterns"].as_array().expect("patterns");
        for (pattern, theirs) in patterns
            .iter()
            .zip(answer["selected"].as_array().expect("selected"))
        {
            let pattern = pattern.as_str().expect("pattern");
            let found = ours.select(&[pattern]);
            let empty = theirs.get("error").is_some() || names_of(theirs).is_empty();
            match found {
                // A name that is not there is an error here, and a warning there.
                Err(error) => assert!(
                    empty
                        || error.to_string().contains("the inventory has no")
                        || error.to_string().contains("matches"),
                    "{pattern}: {error}\n{text}\nAnsible: {theirs}"
                ),
                // A range of hosts, which Ansible has only in inventories.
                Ok(_) if empty && pattern.contains('[') => {}
                // Ansible's own order of groups in groups is that of a set.
                Ok(found) if pattern.ends_with(']') && text.contains("children") => {
                    assert_eq!(found.len(), names_of(theirs).len(), "{pattern}\n{text}");
                }
                Ok(found) => {
                    assert_eq!(names(&found), names_of(theirs), "{pattern}\n{text}");
                    chosen += 1;
                }
            }
        }
    }
    assert!(
        good * 10 > count * 6,
        "only {good} of {count} were inventories"
    );
    assert!(chosen * 2 > count, "only {chosen} patterns chose hosts");
}

#[test]
fn ini_is_read_as_ansible_reads_it() {
    compare("ini", 500, 1, ini);
}

#[test]
fn yaml_is_read_as_ansible_reads_it() {
    compare("yml", 400, 2, yaml);
}

#[test]
fn inventory_programs_are_read_as_ansible_reads_them() {
    compare("json", 100, 3, json_text);
}

//! Variables in `group_vars` and `host_vars`, against Ansible's own reading of them, on generated folders; and what is said of those
//! that cannot be read.

use std::path::Path;

use easycluster::inventory::Inventory;
use serde_json::{Value, json};

use super::ansible::variables;
use super::judge::{Dice, ask, python_with};
use crate::support::parts;

const INVENTORY: &str = "lone a=own\n[web]\nweb1 a=own b=own\nweb2\n[db]\ndb1 c=own\n[prod:children]\nweb\ndb\n[old]\nweb2\n\
    [all:vars]\na=all\nb=all\n[web:vars]\nb=web\nc=web\nd=web\n[old:vars]\nd=old\nansible_group_priority=5\n";
const NAMES: &[&str] = &["all", "web", "db", "prod", "old", "ungrouped", "other"];
const HOSTS: &[&str] = &["web1", "web2", "db1", "lone", "other"];
const ENDINGS: &[&str] = &["", "", ".yml", ".yaml", ".json", ".txt", ".yml~"];
const IN_FOLDER: &[&str] = &[
    "1",
    "2.yml",
    "b.yaml",
    "c.json",
    ".hidden",
    "x.yml~",
    "n.txt",
    "more/x.yml",
    "more.d/x.yml",
    ".git/x",
];

fn put(path: &Path, dice: &mut Dice) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
    if path.is_dir() {
        return;
    }
    let name = |dice: &mut Dice| dice.pick(&["a", "b", "c", "d", "e"]).to_owned();
    let (one, two) = (name(dice), name(dice));
    let number = dice.roll(1000);
    let is_json = path.extension().is_some_and(|ending| ending == "json");
    let text = match (is_json, dice.roll(8)) {
        (true, _) => format!("{{\"{one}\": {number}, \"{two}x\": [1, \"y\"]}}"),
        (_, 0) => "# nothing\n".to_owned(),
        (_, 1) => "---\n".to_owned(),
        (_, 2) => format!("---\n{one}: {{x: {number}}}\n"),
        _ => format!("{one}: {number}\n{two}y: yes\n"),
    };
    std::fs::write(path, text).expect("file");
}

fn make(folder: &Path, dice: &mut Dice) {
    std::fs::create_dir(folder).expect("folder");
    std::fs::write(folder.join("hosts.ini"), INVENTORY).expect("file");
    for (of, names) in [("group_vars", NAMES), ("host_vars", HOSTS)] {
        for _ in 0..dice.roll(9) {
            let name = dice.pick(names).to_owned();
            if dice.one_in(3) {
                let inner = dice.pick(IN_FOLDER);
                let path = folder.join(of).join(name);
                if !path.is_file() {
                    put(&path.join(inner), dice);
                }
            } else {
                let ending = dice.pick(ENDINGS);
                put(&folder.join(of).join(name + ending), dice);
            }
        }
    }
}

#[test]
fn files_of_variables_are_read_as_ansible_reads_them() {
    let Some(python) = parts::need("ansible", python_with("ansible")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("folder");
    let mut dice = Dice(7);
    let mut questions = Vec::new();
    for number in 0..300 {
        let place = folder.path().join(number.to_string());
        make(&place, &mut dice);
        // The file, or the folder in which it is.
        let path = match dice.one_in(2) {
            true => place.join("hosts.ini"),
            false => place,
        };
        questions.push(json!({"path": path, "patterns": [], "files": true}));
    }
    let mut from_files = 0;
    for (question, answer) in questions.iter().zip(ask(python, "ansible", &questions)) {
        let path = question["path"].as_str().expect("path");
        let ours = Inventory::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(answer.get("error").is_none(), "{path}: {answer}");
        for host in ours.hosts() {
            let found = variables(&host);
            assert_eq!(
                found,
                answer["hosts"][host.name()],
                "{}: {path}",
                host.name()
            );
            from_files += usize::from(found["a"].is_i64());
        }
        let _: &Value = &answer;
    }
    assert!(from_files > 50, "{from_files}");
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let folder = tempfile::tempdir().expect("folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        std::fs::write(path, text).expect("file");
    };
    write("hosts.ini", "[web]\nweb1\n");
    write(
        "group_vars/web/vault.yml",
        "$ANSIBLE_VAULT;1.1;AES256\n3132\n",
    );
    write(
        "group_vars/web/connect.yml",
        "ansible_user: deploy\nansible_port: 2222\n",
    );
    let inventory = Inventory::read(folder.path().join("hosts.ini")).expect("read");
    let spec = inventory.hosts()[0].spec().expect("spec").to_string();
    assert_eq!(spec, "deploy@web1:2222:ssh=yes:name=web1");
    let warning = &inventory.warnings()[0];
    assert!(
        warning.contains("vault.yml is encrypted by Ansible Vault"),
        "{warning}"
    );
    write("host_vars/web1.yml", "ansible_user: '{{ user }}'\n");
    let inventory = Inventory::read(folder.path().join("hosts.ini")).expect("read");
    let error = inventory.hosts()[0].spec().expect_err("a template");
    assert!(
        error
            .place()
            .is_some_and(|place| place.ends_with("host_vars/web1.yml, line 1")),
        "{error}"
    );
    for (text, reason) in [
        ("- a\n", "a file of variables is a mapping"),
        ("a: [\n", "this is not YAML"),
    ] {
        write("host_vars/web1.yml", text);
        let error = Inventory::read(folder.path()).map(|_| ()).expect_err(text);
        assert!(
            error.to_string().contains(reason) && error.to_string().contains("web1.yml"),
            "{error}"
        );
    }
}

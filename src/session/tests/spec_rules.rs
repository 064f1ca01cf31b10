//! Holds bootstrap.md, framing.md, messages.md and errors.md against the code: rules, numbers, kinds, flags, codes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::session::{
    CANCEL_GRACE, CHANNEL_WINDOW, MAX_ASK, MAX_ASKS, MAX_CHANNEL_WINDOW, MAX_CLASS_BYTES,
    MAX_CLASSES, MAX_ERROR, MAX_FATAL, MAX_HELLO, MAX_ONE_SHOT, MAX_REASON, MIN_CHANNEL_WINDOW,
    OUTPUT_WINDOW, PROTOCOL, RAW_STDERR, SMALL_ANSWER, THREAD_WINDOW,
};
use crate::wire::tests::vector::load;
use crate::wire::{
    CHUNK, COMPRESS_MIN, Flags, HEADER, Kind, MAGIC, MAX_BUFFERS, MAX_MESSAGE, MAX_PAYLOAD,
    MAX_PING, ProtocolError, RELEASE_ENTRY, Sender,
};

const PAGES: [(&str, &str); 4] = [
    ("bootstrap.md", "BS-"),
    ("framing.md", "FR-"),
    ("messages.md", "ME-"),
    ("errors.md", "ER-"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("spec").join(name)).unwrap()
}

/// The cells of every table row on a page.
fn rows(page: &str) -> Vec<Vec<&str>> {
    page.lines()
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect()
}

/// The rows of the tables whose head begins with these cells.
fn table<'a>(page: &'a str, head: &[&str]) -> Vec<Vec<&'a str>> {
    let mut inside = false;
    let mut found = Vec::new();
    for row in rows(page) {
        let is_head = row.len() >= head.len() && row[..head.len()] == *head;
        let other_head = [
            "constant", "kind", "kinds", "rule", "code", "limit", "queue",
        ]
        .contains(&row[0]);
        if is_head {
            inside = true;
        } else if other_head {
            inside = false;
        } else if inside && !row[0].starts_with("---") {
            found.push(row);
        }
    }
    assert!(!found.is_empty(), "no table {head:?}");
    found
}

fn rules(page: &str) -> Vec<String> {
    page.lines()
        .filter_map(|line| line.strip_prefix("- **")?.split_once("**"))
        .map(|(rule, _)| rule.to_owned())
        .collect()
}

fn sources(folder: &Path, found: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if path.is_dir() {
            sources(&path, found);
        } else if matches!(kind, Some("rs" | "py")) {
            found.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// Holds a page to it that the tests of a cell are there.
fn exist(page: &str, tests: &str, code: &str) {
    for test in tests.split(',') {
        let test = test.trim().trim_matches('`');
        let exists = [format!("fn {test}("), format!("def {test}(")]
            .iter()
            .any(|head| code.contains(head));
        assert!(exists, "{page}: no test {test}");
    }
}

#[test]
fn every_queue_that_a_peer_can_fill_has_a_bound_and_a_test() {
    let mut code = String::new();
    sources(&root().join("src"), &mut code);
    sources(&root().join("tests"), &mut code);
    let errors = page("errors.md");
    let queues = table(
        &errors,
        &["queue", "who fills it", "bound", "past it", "tests"],
    );
    assert!(queues.len() > 12, "{queues:?}");
    for row in &queues {
        assert!(!row[1].is_empty() && row.len() == 5, "{row:?}");
        let by_callers = row[1].contains("callers") || row[0].contains("cancelled");
        assert!(!row[2].is_empty() || by_callers, "no bound: {row:?}");
        exist("errors.md", row[4], &code);
    }
    // What a stub may send is in the table.
    for code in 0..=255 {
        if let Some(kind) = Kind::from_code(code, Sender::Stub) {
            let name = match kind {
                Kind::Result | Kind::Error | Kind::Data => "answer",
                Kind::Pong => "PING",
                kind => kind.name(),
            };
            assert!(queues.iter().any(|row| row[0].contains(name)), "{name}");
        }
    }
}

#[test]
fn every_rule_has_a_vector_or_a_test() {
    let mut shown: BTreeSet<String> = BTreeSet::new();
    for area in ["framing", "messages"] {
        for vector in load(area) {
            assert!(
                !vector.rules().is_empty(),
                "{}: no rule",
                vector.path.display()
            );
            shown.extend(vector.rules().iter().map(ToString::to_string));
        }
    }
    let mut code = String::new();
    sources(&root().join("src"), &mut code);
    sources(&root().join("tests"), &mut code);
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (name, prefix) in PAGES {
        let page = page(name);
        for rule in rules(&page) {
            assert!(rule.starts_with(prefix), "{rule} is on {name}");
            assert!(known.insert(rule.clone()), "{rule} stands twice");
        }
        for row in table(&page, &["rule", "tests"]) {
            exist(name, row[1], &code);
            shown.insert(row[0].to_owned());
        }
    }
    assert!(known.len() > 35, "only {} rules were found", known.len());
    let missing: Vec<_> = known.difference(&shown).collect();
    assert!(missing.is_empty(), "neither vector nor test: {missing:?}");
    let strange: Vec<_> = shown.difference(&known).collect();
    assert!(strange.is_empty(), "not on any page: {strange:?}");
}

#[test]
fn the_numbers_of_the_pages_are_those_of_the_code() {
    let code: BTreeMap<&str, u64> = BTreeMap::from([
        ("MAGIC", u64::from(MAGIC)),
        ("HEADER", HEADER as u64),
        ("MAX_PAYLOAD", MAX_PAYLOAD as u64),
        ("CHUNK", CHUNK as u64),
        ("COMPRESS_MIN", COMPRESS_MIN as u64),
        ("MAX_BUFFERS", MAX_BUFFERS as u64),
        ("MAX_MESSAGE", MAX_MESSAGE),
        ("RELEASE_ENTRY", RELEASE_ENTRY as u64),
        ("MAX_PING", MAX_PING as u64),
        ("PROTOCOL", u64::from(PROTOCOL)),
        ("THREAD_WINDOW", THREAD_WINDOW),
        ("OUTPUT_WINDOW", u64::from(OUTPUT_WINDOW)),
        ("MAX_ONE_SHOT", MAX_ONE_SHOT as u64),
        ("CANCEL_GRACE_MS", CANCEL_GRACE.as_millis() as u64),
        ("MAX_CLASSES", u64::from(MAX_CLASSES)),
        ("MAX_CLASS_BYTES", MAX_CLASS_BYTES),
        ("MAX_HELLO", MAX_HELLO as u64),
        ("MAX_ERROR", MAX_ERROR),
        ("SMALL_ANSWER", SMALL_ANSWER),
        ("MAX_FATAL", MAX_FATAL as u64),
        ("RAW_STDERR", RAW_STDERR as u64),
        ("CHANNEL_WINDOW", u64::from(CHANNEL_WINDOW)),
        ("MIN_CHANNEL_WINDOW", u64::from(MIN_CHANNEL_WINDOW)),
        ("MAX_CHANNEL_WINDOW", u64::from(MAX_CHANNEL_WINDOW)),
        ("MAX_REASON", MAX_REASON as u64),
        ("MAX_ASKS", MAX_ASKS as u64),
        ("MAX_ASK", MAX_ASK),
    ]);
    let mut seen = BTreeSet::new();
    let errors = page("errors.md");
    let limits = table(&errors, &["limit", "value"]);
    let framing = page("framing.md");
    let messages = page("messages.md");
    let constants = [&framing, &messages]
        .into_iter()
        .flat_map(|page| table(page, &["constant", "value"]));
    for row in constants.chain(limits.clone()) {
        let value = match row[1].strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
            None => row[1].parse().unwrap(),
        };
        assert_eq!(code.get(row[0]), Some(&value), "{}", row[0]);
        seen.insert(row[0].to_owned());
    }
    for name in code.keys() {
        assert!(seen.contains(*name), "{name} is on no page");
    }
    for page in [framing, messages] {
        check_prose(&page, &code);
    }
    for name in code
        .keys()
        .filter(|name| !["MAGIC", "PROTOCOL"].contains(name))
    {
        assert!(
            limits.iter().any(|row| row[0] == *name),
            "{name} is not a limit"
        );
    }
}

/// A number that stands in front of its constant's name in a sentence, as `1048576 (MAX_PAYLOAD)`.
fn check_prose(page: &str, code: &BTreeMap<&str, u64>) {
    let numbers_of = |text: &str| -> Option<u64> {
        let word = text
            .trim_end()
            .rsplit([' ', '('])
            .find(|w| w.starts_with(|c: char| c.is_ascii_digit()))?;
        match word.split_once('^') {
            Some((base, power)) => Some(base.parse::<u64>().ok()?.pow(power.parse().ok()?)),
            None => word.parse().ok(),
        }
    };
    let mut found = 0;
    for (name, value) in code {
        for (at, _) in page.match_indices(&format!("({name})")) {
            let before = &page[at.saturating_sub(40)..at];
            assert_eq!(numbers_of(before), Some(*value), "{before:?} ({name})");
            found += 1;
        }
    }
    assert!(found >= 3, "only {found} numbers were checked");
}

#[test]
fn the_kinds_of_the_page_are_those_of_the_code() {
    let page = page("messages.md");
    let mut listed = BTreeSet::new();
    for row in table(&page, &["kind", "name", "from", "payload"]) {
        let code = u8::from_str_radix(row[0].trim_start_matches("0x"), 16).unwrap();
        for from in row[2].split(", ") {
            let sender = match from {
                "C" => Sender::Client,
                "S" => Sender::Stub,
                other => panic!("from {other:?}"),
            };
            let kind = Kind::from_code(code, sender).unwrap_or_else(|| panic!("{row:?}"));
            assert_eq!((kind.name(), kind.code()), (row[1], code));
            listed.insert((code, from.to_owned()));
        }
    }
    for code in 0..=255 {
        for (sender, from) in [(Sender::Client, "C"), (Sender::Stub, "S")] {
            let known = Kind::from_code(code, sender).is_some();
            assert_eq!(
                known,
                listed.contains(&(code, from.to_owned())),
                "{code:#04x} {from}"
            );
        }
    }
}

#[test]
fn the_flags_of_the_page_are_those_of_the_code() {
    let page = page("framing.md");
    let bits: BTreeMap<&str, Flags> = BTreeMap::from([
        ("MORE", Flags::MORE),
        ("DEFLATED", Flags::DEFLATED),
        ("BUFFERS", Flags::BUFFERS),
        ("NO_REPLY", Flags::NO_REPLY),
        ("ONE_SHOT", Flags::ONE_SHOT),
        ("STDERR", Flags::STDERR),
        ("REFERENCES", Flags::REFERENCES),
        ("END", Flags::END),
    ]);
    for (name, flag) in &bits {
        let text = format!("{name} 0x{:02x}", flag.bits());
        assert!(page.contains(&text), "{text} is not on the page");
    }
    let mut listed: BTreeMap<&str, Flags> = BTreeMap::new();
    for row in table(&page, &["kinds", "flags defined"]) {
        let flags = row[1]
            .split_whitespace()
            .filter(|name| *name != "none")
            .fold(Flags::NONE, |sum, name| sum | bits[name]);
        for kind in row[0].split_whitespace() {
            listed.insert(kind, flags);
        }
    }
    for code in 0..=255 {
        for sender in [Sender::Client, Sender::Stub] {
            if let Some(kind) = Kind::from_code(code, sender) {
                let expected = listed.get(kind.name()).copied().unwrap_or_default();
                assert_eq!(kind.allowed_flags(), expected, "{}", kind.name());
            }
        }
    }
}

#[test]
fn the_codes_of_the_page_are_those_of_the_code() {
    let page = page("errors.md");
    let listed: BTreeSet<&str> = table(&page, &["code", "raised by"])
        .iter()
        .map(|row| row[0].trim_matches('`'))
        .collect();
    let raised = [
        ProtocolError::Garbled(0),
        ProtocolError::TooLarge {
            what: "a frame",
            size: 1,
            limit: 0,
        },
        ProtocolError::UnknownKind(0),
        ProtocolError::UnknownFlag {
            kind: "CALL",
            flags: 0,
        },
        ProtocolError::Truncated { missing: 1 },
        ProtocolError::Malformed(""),
        ProtocolError::UnknownRequest(1),
        ProtocolError::Window {
            excess: 1,
            window: 0,
        },
    ];
    let mut codes: BTreeSet<&str> = raised.iter().map(ProtocolError::code).collect();
    // The layer above the session raises this one, where it unpickles HELLO.
    codes.insert("version");
    assert_eq!(listed, codes);
    for area in ["framing", "messages"] {
        for vector in load(area) {
            if let Some(code) = vector.fault() {
                assert!(listed.contains(code), "{}: {code}", vector.path.display());
            }
        }
    }
}

//! Texts that nobody means well with: nothing panics, nothing grows without bound, nothing takes long.

use easycluster::inventory::{Inventory, expand, fold};
use proptest::prelude::*;

use super::judge::Dice;

/// Pieces that mean something in one of the forms.
const PIECES: &[&str] = &[
    "[",
    "]",
    ":",
    ",",
    "-",
    "=",
    "\n",
    " ",
    "web",
    "1",
    "01",
    "99",
    "[a:children]",
    "[a:vars]",
    "{",
    "}",
    "\"",
    "'",
    "\\",
    "#",
    "all:",
    "  hosts:",
    "&x",
    "*x",
    "<<:",
    "!vault",
    "!!",
    "|",
    ">",
    "- ",
    "? ",
    "~",
    "&",
    "!",
    "*",
    "?",
    "/",
    "@",
    "é",
    "\u{0}",
    "\t",
    "---",
    "...",
    "%",
    "{{",
    "ansible_host",
    "children:",
    "\r",
    "'a'",
    "1:30",
    "0x",
    "1e",
    "-",
    "[[",
    "]]",
    "a.b",
    "::1",
];

#[test]
fn no_text_makes_any_reader_panic() {
    let mut dice = Dice(11);
    for _ in 0..4000 {
        let text: String = (0..dice.roll(40)).map(|_| dice.pick(PIECES)).collect();
        let pattern: String = (0..dice.roll(8)).map(|_| dice.pick(PIECES)).collect();
        for name in ["h.ini", "h.yml", "h.json", "h"] {
            let Ok(inventory) = Inventory::parse(&text, name) else {
                continue;
            };
            for host in inventory.hosts() {
                let _ = (host.spec(), host.password());
            }
            let _ = inventory.select(&[&pattern]);
        }
        if let Ok(names) = expand(&text) {
            fold(&names);
        }
    }
}

#[test]
fn large_and_deep_texts_are_refused_or_read_in_time_that_grows_with_them() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for name in ["h.yml", "h.json", "h.ini"] {
        assert!(Inventory::parse(&deep, name).is_err(), "{name}");
    }
    let laughs: String = (1..40)
        .map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1))
        .collect();
    let error = Inventory::parse(&format!("a0: &a0 x\n{laughs}"), "h.yml")
        .map(|_| ())
        .expect_err("too many");
    assert!(error.to_string().contains("more than"), "{error}");
    // Many groups in each other, and as many hosts as may be.
    let mut chain: String = (0..50_000)
        .map(|n| format!("[g{n}:children]\ng{}\n", n + 1))
        .collect();
    chain.push_str("[g50000]\nweb[1:100000]\n");
    let inventory = Inventory::parse(&chain, "h.ini").expect("long, but right");
    let hosts = inventory.select(&["g0:!g50000[3]:&g*"]).expect("hosts");
    assert_eq!(hosts.len(), 99_999);
    assert_eq!(hosts[0].groups().count(), 50_001);
    let error = Inventory::parse("web[1:100000]\none\n", "h.ini")
        .map(|_| ())
        .expect_err("too many");
    assert!(
        error.to_string().contains("more than 100000 hosts"),
        "{error}"
    );
    // Each host in a combination of groups of its own, all of them below all others.
    let mut chain: String = (0..1000)
        .map(|n| format!("[g{n}:children]\ng{}\n", n + 1))
        .collect();
    chain.push_str("[g1000]\nweb[1:5000]\n");
    for host in 1..5000 {
        chain.push_str(&format!("[h{host}]\nweb{host}\n[g900:children]\nh{host}\n"));
    }
    let error = Inventory::parse(&chain, "h.ini")
        .map(|_| ())
        .expect_err("too much work");
    assert!(error.to_string().contains("too many groups"), "{error}");
    // Matching takes no time that grows faster than the text.
    let stars = "*a".repeat(200);
    let name = "a".repeat(5000);
    let inventory = Inventory::parse(&format!("{name}b\n"), "h.ini").expect("a long name");
    assert!(inventory.select(&[&stars]).is_err());
    assert!(
        inventory
            .select(&[&format!("~({})*$", "a*".repeat(50))])
            .is_err()
    );
}

proptest! {
    #[test]
    fn what_is_named_is_found(count in 1_usize..200, width in 1_usize..5) {
        let last = format!("{count:0width$}");
        let first = format!("{:0width$}", 1, width = last.len());
        let names = expand(&format!("web[{first}-{last}]")).unwrap();
        prop_assert_eq!(names.len(), count);
        let inventory = Inventory::parse(&names.join("\n"), "h.ini").unwrap();
        prop_assert_eq!(inventory.select(&[&fold(&names)]).unwrap().len(), count);
    }
}

//! Ranges and their folding against ClusterShell's, on a thousand generated texts.

use easycluster::inventory::{expand, fold};
use serde_json::json;

use super::judge::{Dice, ask, python_with};
use crate::support::parts;

fn item(dice: &mut Dice) -> String {
    let width = dice.roll(3);
    let number = |value: usize| format!("{value:0width$}");
    let low = dice.roll(12);
    match dice.roll(4) {
        0 => number(low),
        1 => format!("{}-{}", number(low), number(low + dice.roll(15))),
        2 => format!(
            "{}-{}/{}",
            number(low),
            number(low + dice.roll(30)),
            1 + dice.roll(4)
        ),
        // Backwards, or with an end that is shorter.
        _ if dice.one_in(8) => format!("{}-{}", number(low), dice.roll(9)),
        _ => number(low + 90),
    }
}

fn word(dice: &mut Dice) -> String {
    let mut word = dice.pick(&["web", "db-", "n", "rack"]).to_owned();
    for _ in 0..dice.roll(3) {
        if dice.one_in(3) {
            word.push_str(&dice.roll(20).to_string());
        } else {
            let items: Vec<String> = (0..=dice.roll(3)).map(|_| item(dice)).collect();
            word.push_str(&format!("[{}]", items.join(",")));
        }
        word.push_str(dice.pick(&["-", "x", ".lan"]));
    }
    word
}

#[test]
fn ranges_are_those_of_clustershell() {
    let Some(python) = parts::need("clustershell", python_with("ClusterShell")) else {
        return;
    };
    let mut dice = Dice(7);
    let texts: Vec<String> = (0..1000)
        .map(|_| {
            let words: Vec<String> = (0..=dice.roll(3)).map(|_| word(&mut dice)).collect();
            words.join(",")
        })
        .collect();
    let questions: Vec<_> = texts.iter().map(|text| json!({"text": text})).collect();
    let (mut agreed, mut folded_alike) = (0, 0);
    for (text, answer) in texts.iter().zip(ask(python, "clustershell", &questions)) {
        let ours = expand(text);
        let Some(names) = answer["names"].as_array() else {
            // It refuses ends of another width, which we take by the width of the lower one.
            let padding = answer["error"]
                .as_str()
                .is_some_and(|error| error.contains("padding"));
            assert!(ours.is_err() || padding, "{text}: {answer}, ours {ours:?}");
            continue;
        };
        let mut theirs: Vec<&str> = names.iter().filter_map(|name| name.as_str()).collect();
        let ours = ours.unwrap_or_else(|error| panic!("{text}: {error}"));
        let folded = fold(&ours);
        let mut again = expand(&folded).expect("our own ranges");
        let mut ours = ours;
        ours.sort();
        ours.dedup();
        theirs.sort();
        again.sort();
        assert_eq!(ours, theirs, "{text}");
        assert_eq!(again, theirs, "{text}: {folded}");
        agreed += 1;
        // Where it has several dimensions to choose from, either may be shorter.
        let theirs_folded = answer["folded"].as_str().unwrap_or_default();
        folded_alike += usize::from(theirs_folded == folded);
        let one_dimension =
            !text.contains("][") && text.matches('[').count() <= 1 && !text.contains(',');
        if one_dimension && text.matches(|letter: char| letter.is_ascii_digit()).count() <= 3 {
            assert_eq!(folded, theirs_folded, "{text}");
        }
    }
    assert!(agreed > 850, "only {agreed} of the texts were ranges");
    assert!(
        folded_alike > 600,
        "only {folded_alike} of {agreed} were folded alike"
    );
}

//! Names back into ranges, as people read them: `web[01-03,07]`.

use std::collections::BTreeMap;

use super::ranges::number;

/// A name taken apart: its texts, and the digits between them. There is one more text than there are numbers.
type Texts = Vec<String>;
type Numbers = Vec<String>;

/// Names as one text, with ranges for those that differ in a number: `web01 web02 db1` become `db1,web[01-02]`.
///
/// Each name counts once. The result is sorted, by text and then by number, and [`super::expand`] gives the same names again. What
/// cannot be part of a range, such as an IPv6 address or a spec with options, stands by itself.
///
/// ```
/// let names = ["web07", "web02", "web01", "web03"];
/// assert_eq!(easycluster::inventory::fold(names), "web[01-03,07]");
/// ```
pub fn fold<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let mut by_texts: BTreeMap<Texts, Vec<Numbers>> = BTreeMap::new();
    for name in names {
        let (texts, numbers) = take_apart(name.as_ref());
        by_texts.entry(texts).or_default().push(numbers);
    }
    let mut words = Vec::new();
    for (texts, names) in by_texts {
        words.extend(
            merged(names)
                .iter()
                .map(|columns| put_together(&texts, columns)),
        );
    }
    words.join(",")
}

fn take_apart(name: &str) -> (Texts, Numbers) {
    if name.contains(['[', ']', ',', '=']) {
        return (vec![name.to_owned()], Vec::new());
    }
    let mut texts = vec![String::new()];
    let mut numbers = Vec::new();
    let mut rest = name;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (before, from) = rest.split_at_checked(start).unwrap_or((rest, ""));
        let end = from
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(from.len());
        let (digits, after) = from.split_at_checked(end).unwrap_or((from, ""));
        push_to_last(&mut texts, before);
        if number(digits).is_some() {
            numbers.push(digits.to_owned());
            texts.push(String::new());
        } else {
            push_to_last(&mut texts, digits);
        }
        rest = after;
    }
    push_to_last(&mut texts, rest);
    (texts, numbers)
}

fn push_to_last(texts: &mut [String], more: &str) {
    if let Some(last) = texts.last_mut() {
        last.push_str(more);
    }
}

fn put_together(texts: &Texts, columns: &[String]) -> String {
    let mut word = String::new();
    for (place, text) in texts.iter().enumerate() {
        word.push_str(text);
        match columns.get(place) {
            Some(column) if column.contains(['-', ',']) => {
                word.push('[');
                word.push_str(column);
                word.push(']');
            }
            Some(column) => word.push_str(column),
            None => {}
        }
    }
    word
}

/// Sorts by length and then by value, so that `9`, `10` and `01`, `02` each stand together.
fn order(digits: &str) -> (usize, u64) {
    (digits.len(), number(digits).unwrap_or(u64::MAX))
}

/// The rows with what differs in one column alone put together, from the last column to the first.
fn merged(names: Vec<Numbers>) -> Vec<Vec<String>> {
    let columns = names.first().map_or(0, Vec::len);
    let mut rows = names;
    rows.sort_by_key(|row| row.iter().map(|digits| order(digits)).collect::<Vec<_>>());
    rows.dedup();
    for column in (0..columns).rev() {
        // By the other columns; in the order in which those appear first.
        let mut groups: BTreeMap<Vec<String>, usize> = BTreeMap::new();
        let mut found: Vec<(Vec<String>, Vec<String>)> = Vec::new();
        for mut row in rows {
            let value = row.remove(column);
            let next = found.len();
            let place = *groups.entry(row.clone()).or_insert(next);
            match found.get_mut(place) {
                Some((_, values)) => values.push(value),
                None => found.push((row, vec![value])),
            }
        }
        rows = found
            .into_iter()
            .map(|(mut row, values)| {
                row.insert(column, ranges(values));
                row
            })
            .collect();
    }
    rows
}

/// Sorted values as ranges: `01-03,07`. Each of them is one number still.
fn ranges(mut values: Vec<String>) -> String {
    values.sort_by_key(|digits| order(digits));
    values.dedup();
    let mut out: Vec<(String, String)> = Vec::new();
    for value in values {
        if let Some((first, last)) = out.last_mut()
            && follows(first, last, &value)
        {
            *last = value;
        } else {
            out.push((value.clone(), value));
        }
    }
    let texts: Vec<String> = out
        .into_iter()
        .map(|(first, last)| match first == last {
            true => first,
            false => format!("{first}-{last}"),
        })
        .collect();
    texts.join(",")
}

/// Whether `next` continues the run from `first` to `last`: one more, and written as a range of `first` writes it.
fn follows(first: &str, last: &str, next: &str) -> bool {
    let one_more = match (number(last), number(next)) {
        (Some(last), Some(next)) => last.checked_add(1) == Some(next),
        _ => false,
    };
    let padded = |digits: &str| digits.len() > 1 && digits.starts_with('0');
    one_more
        && !(padded(next) && next.len() != first.len())
        && !(padded(first) && next.len() != first.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fold;
    use crate::inventory::expand;

    #[test]
    fn names_become_ranges() {
        for (names, expected) in [
            ("web1", "web1"),
            ("web01 web03 web02 web07", "web[01-03,07]"),
            ("web9 web10 web9", "web[9-10]"),
            ("web09 web10 web99 web100", "web[09-10,99-100]"),
            ("web1 web01 web2 web02", "web[1-2,01-02]"),
            ("p0 p00 p000 p1", "p[0-1,00,000]"),
            ("db2 web db web1", "db,db2,web,web1"),
            ("a1b1 a1b2 a2b1 a2b2", "a[1-2]b[1-2]"),
            ("a1b1 a1b2 a2b1", "a1b[1-2],a2b1"),
            ("10.0.0.1 10.0.0.2 10.0.1.1", "10.0.0.[1-2],10.0.1.1"),
            ("u@[::1] u@[::2]", "u@[::1],u@[::2]"),
            ("u@web1:2201 u@web1:2202", "u@web1:[2201-2202]"),
            ("", ""),
        ] {
            assert_eq!(fold(names.split_whitespace()), expected, "{names}");
        }
    }

    #[test]
    fn many_names_are_folded_in_no_time_worth_mentioning() {
        let names = expand("rack[001-100]-node[0001-1000]").unwrap();
        assert_eq!(fold(&names), "rack[001-100]-node[0001-1000]");
    }

    proptest! {
        #[test]
        fn what_is_folded_expands_again(names in proptest::collection::vec("[ab]{1,2}[0-9]{1,3}(-[x][0-9]{1,2})?", 0..40)) {
            let mut expected = names.clone();
            expected.sort();
            expected.dedup();
            let mut again = expand(&fold(&names)).unwrap();
            again.sort();
            prop_assert_eq!(again, expected);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[a-c0-9\\[\\],:=/@ \\-\\\\é%]{0,40}") {
            if let Ok(names) = expand(&text) {
                fold(&names);
            }
        }
    }
}

//! Ranges in host names: `web[01-32,40]`, `[1-10/3]`, `[a:f]`, `[1:9:4]`, and lists of names with commas between.

use std::net::Ipv6Addr;

use super::{InventoryError, MAX_HOSTS};

/// One part of a name: text, or one of several texts.
enum Part {
    Text(String),
    Choice(Vec<Run>),
}

/// A stretch of values in brackets.
enum Run {
    /// From, to, step, and the least number of digits.
    Numbers(u64, u64, u64, usize),
    /// Places in [`LETTERS`]: from, to, step.
    Letters(usize, usize, usize),
}

/// The order of letters in ranges of letters, which is Ansible's.
const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

impl Run {
    fn count(&self) -> u64 {
        match *self {
            Run::Numbers(first, last, step, _) => (last - first) / step + 1,
            Run::Letters(first, last, step) => ((last - first) / step + 1) as u64,
        }
    }

    /// Its texts, in order.
    fn texts(&self) -> Vec<String> {
        match *self {
            Run::Numbers(first, last, step, width) => (0..self.count())
                .map(|turn| first + turn * step)
                .inspect(|value| debug_assert!(*value <= last))
                .map(|value| format!("{value:0width$}"))
                .collect(),
            Run::Letters(first, last, step) => LETTERS
                .get(first..=last)
                .unwrap_or_default()
                .iter()
                .step_by(step)
                .map(|letter| char::from(*letter).to_string())
                .collect(),
        }
    }
}

/// The connection specs, or names of hosts, that a text with ranges and commas stands for, in order.
///
/// Ranges are in brackets, in the host or the port: `web[01-32,40]` is `web01` to `web32` and `web40`, `[1-10/3]` has the step 3,
/// and Ansible's `[01:32]`, `[a:f]`, `[1:9:4]` are read too. The digits of the lower end say how many there are at least. An IPv6
/// address in brackets stays as it is. A comma separates hosts, but one behind the `=` of an option belongs to the option.
///
/// ```
/// use easycluster::inventory::expand;
///
/// assert_eq!(expand("me@web[09-10],db1:2222")?, ["me@web09", "me@web10", "db1:2222"]);
/// # Ok::<(), easycluster::inventory::InventoryError>(())
/// ```
///
/// # Errors
/// A range that cannot be read, and more than [`MAX_HOSTS`] hosts.
pub fn expand(text: &str) -> Result<Vec<String>, InventoryError> {
    let mut names = Vec::new();
    for word in split_commas(text) {
        expand_word(word, &mut names)?;
    }
    Ok(names)
}

/// Adds what one name with ranges stands for.
pub(super) fn expand_word(word: &str, names: &mut Vec<String>) -> Result<(), InventoryError> {
    let (ranged, options) = word
        .split_at_checked(options_at(word))
        .unwrap_or((word, ""));
    let parts = parts(ranged, word)?;
    let mut count: u64 = 1;
    for part in &parts {
        if let Part::Choice(runs) = part {
            let values = runs
                .iter()
                .fold(0_u64, |sum, run| sum.saturating_add(run.count()));
            count = count.saturating_mul(values);
        }
    }
    check_count(names.len() as u64, count, word)?;
    let mut made = vec![String::new()];
    for part in &parts {
        match part {
            Part::Text(text) => made.iter_mut().for_each(|name| name.push_str(text)),
            Part::Choice(runs) => {
                let values: Vec<String> = runs.iter().flat_map(Run::texts).collect();
                made = made
                    .iter()
                    .flat_map(|name| values.iter().map(move |value| format!("{name}{value}")))
                    .collect();
            }
        }
    }
    names.extend(made.into_iter().map(|name| name + options));
    Ok(())
}

/// Refuses more hosts than are taken.
pub(super) fn check_count(have: u64, more: u64, what: &str) -> Result<(), InventoryError> {
    if have.saturating_add(more) <= MAX_HOSTS as u64 {
        return Ok(());
    }
    Err(
        InventoryError::new(format!("{what}: more than {MAX_HOSTS} hosts")).with_hint(format!(
            "at most {MAX_HOSTS} hosts are taken at once; is a digit too many in the range?"
        )),
    )
}

/// Whether this text, the inside of brackets, is an IPv6 address, with or without a zone.
fn is_ipv6(inside: &str) -> bool {
    let address = inside.split('%').next().unwrap_or_default();
    address.parse::<Ipv6Addr>().is_ok()
}

/// Where the options of a spec begin: at the colon in front of the first `name=`. Brackets hide colons.
fn options_at(word: &str) -> usize {
    let mut inside = false;
    let mut item_at = None;
    for (at, letter) in word.char_indices() {
        match letter {
            '[' => inside = true,
            ']' => inside = false,
            ':' if !inside => item_at = Some(at),
            '=' if !inside => return item_at.unwrap_or(at),
            _ => {}
        }
    }
    word.len()
}

/// The words between commas that separate hosts: none in brackets, none behind the `=` of an option.
pub(super) fn split_commas(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut inside = false;
    let mut in_options = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => inside = true,
            ']' => inside = false,
            '=' if !inside => in_options = true,
            ',' if !inside && !in_options => {
                words.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(text.get(start..).unwrap_or_default());
    let words = words.into_iter().map(str::trim);
    words.filter(|word| !word.is_empty()).collect()
}

fn parts(ranged: &str, word: &str) -> Result<Vec<Part>, InventoryError> {
    let wrong = |reason: String| {
        InventoryError::new(format!("{word:?}: {reason}"))
            .with_hint("ranges are written web[01-32,40], web[1-10/3] or web[a:f]")
    };
    let mut parts = Vec::new();
    let mut rest = ranged;
    while let Some((text, behind)) = rest.split_once('[') {
        parts.push(Part::Text(text.to_owned()));
        let (inside, after) = behind
            .split_once(']')
            .ok_or_else(|| wrong("a bracket is not closed".to_owned()))?;
        let begins_host = text.is_empty() || text.ends_with(['@', '/']);
        if begins_host && parts.len() == 1 && is_ipv6(inside) {
            parts.push(Part::Text(format!("[{inside}]")));
        } else {
            parts.push(Part::Choice(choice(inside).map_err(&wrong)?));
        }
        rest = after;
    }
    if rest.contains(']') {
        return Err(wrong("a bracket is closed that was not opened".to_owned()));
    }
    parts.push(Part::Text(rest.to_owned()));
    Ok(parts)
}

/// What stands in brackets: runs with commas between.
fn choice(inside: &str) -> Result<Vec<Run>, String> {
    inside.split(',').map(|item| run(item.trim())).collect()
}

fn run(item: &str) -> Result<Run, String> {
    let wrong = || {
        if item.contains("::") || item.matches(':').count() > 2 {
            format!("[{item}] is neither an IPv6 address nor a range")
        } else {
            format!("{item:?} is not a range")
        }
    };
    // `1-10/3`, or Ansible's `1:10:3`.
    let (ends, step) = match item.split_once('/') {
        Some((ends, step)) => (ends, Some(step)),
        None => match item
            .split_once(':')
            .and_then(|(_, rest)| rest.split_once(':'))
        {
            Some((_, step)) => (
                item.get(..item.len() - step.len() - 1).unwrap_or(item),
                Some(step),
            ),
            None => (item, None),
        },
    };
    let (low, high) = ends.split_once(['-', ':']).unwrap_or((ends, ends));
    let step = match step {
        None => 1,
        Some(text) => number(text).filter(|step| *step > 0).ok_or_else(wrong)?,
    };
    let letter = |text: &str| match text.as_bytes() {
        [byte] => LETTERS.iter().position(|known| known == byte),
        _ => None,
    };
    let run = match (number(low), number(high), letter(low), letter(high)) {
        (Some(first), Some(last), ..) => {
            let width = if low.starts_with('0') { low.len() } else { 0 };
            (first <= last).then_some(Run::Numbers(first, last, step, width))
        }
        (_, _, Some(first), Some(last)) => {
            let step = usize::try_from(step).unwrap_or(usize::MAX);
            (first <= last).then_some(Run::Letters(first, last, step))
        }
        _ => return Err(wrong()),
    };
    run.ok_or_else(|| format!("{item:?} runs backwards"))
}

/// Digits only, and not too many.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn ranges_become_names() {
        for (text, expected) in [
            ("web1", "web1"),
            ("web[1-3]", "web1 web2 web3"),
            ("web[08-11]", "web08 web09 web10 web11"),
            ("web[1-3,08]", "web1 web2 web3 web08"),
            ("web[1-10/3]", "web1 web4 web7 web10"),
            ("web[1:9:4]", "web1 web5 web9"),
            ("web[01:03]x", "web01x web02x web03x"),
            ("db-[a:c]", "db-a db-b db-c"),
            ("db-[a-e/2]", "db-a db-c db-e"),
            ("r[1-2]n[1-2]", "r1n1 r1n2 r2n1 r2n2"),
            ("10.0.0.[9-11]", "10.0.0.9 10.0.0.10 10.0.0.11"),
            ("h:[2201-2202]", "h:2201 h:2202"),
            ("web1, web2,,web3", "web1 web2 web3"),
            ("web1:22,web2", "web1:22 web2"),
            ("u@[::1],[fe80::1%eth0]:22", "u@[::1] [fe80::1%eth0]:22"),
            ("ssh://u@[::1]:22/", "ssh://u@[::1]:22/"),
            ("ssh://web[1-2]:22/", "ssh://web1:22/ ssh://web2:22/"),
            (":local", ":local"),
            (
                "w[1-2]:22:jump=a,b:allow=x[1-2]",
                "w1:22:jump=a,b:allow=x[1-2] w2:22:jump=a,b:allow=x[1-2]",
            ),
        ] {
            assert_eq!(expand(text).unwrap().join(" "), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused_at_once() {
        for (text, reason) in [
            ("h[1-99999999]", "more than 100000 hosts"),
            ("h[1-999][1-999]", "more than 100000 hosts"),
            ("h[1-60000],i[1-60000]", "more than 100000 hosts"),
            (
                "h[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]",
                "more than",
            ),
            ("h[3-1]", "runs backwards"),
            ("h[]", "is not a range"),
            ("h[1-]", "is not a range"),
            ("h[1-2", "not closed"),
            ("h1-2]", "not opened"),
            ("h[1-9/0]", "is not a range"),
            ("h[1-99999999999999999999]", "is not a range"),
            ("h[a-9]", "is not a range"),
            ("[fe80::zz]", "neither an IPv6 address nor a range"),
        ] {
            let error = expand(text).unwrap_err();
            assert!(error.to_string().contains(reason), "{text}: {error}");
            assert!(error.hint().is_some(), "{text}");
        }
        assert_eq!(expand("h[00000-99999]").unwrap().len(), 100_000);
    }
}

//! What to say about an option that does not exist: the one that was probably meant.

use crate::spec::options::{OPTIONS, SpecOption};

/// What to say about an option that does not exist (CS-9).
pub(super) fn unknown(name: &str) -> String {
    let plain = |name: &str| name.to_lowercase().replace(['_', '-', ' '], "");
    let wanted = plain(name);
    if wanted == "port" || wanted == "p" {
        return "a port is not an option: it follows the host directly, as in host:2222"
            .to_string();
    }
    if wanted == "password" || wanted == "passwd" {
        return "a password has no place in a connection spec; use a key or an agent".to_string();
    }
    if wanted == "tty" || wanted == "terminal" {
        return "a terminal is a step in front of the one that wants it: then=tty,sudo/root"
            .to_string();
    }
    let same = OPTIONS.iter().find_map(|option| {
        let known = option.names().find(|known| plain(known) == wanted);
        let elsewhere =
            || option.elsewhere.contains(&wanted.as_str()) || plain(option.keyword()) == wanted;
        known.or_else(|| elsewhere().then_some(option.name))
    });
    let near = || nearest(&wanted, OPTIONS.iter().flat_map(SpecOption::names));
    match same.or_else(near) {
        Some(known) => format!("unknown option {name:?}; did you mean {known:?}?"),
        None => {
            let known: Vec<&str> = OPTIONS.iter().flat_map(SpecOption::names).collect();
            format!("unknown option {name:?}; there are {}", known.join(", "))
        }
    }
}

/// The one of these words that was probably meant: it differs by a slip, or by two if it is long.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(known, word), known))
        // One slip in a short name makes another word of it, two in a long one do not.
        .filter(|(slips, known)| *slips <= (known.len() / 3).min(2))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, known)| known)
}

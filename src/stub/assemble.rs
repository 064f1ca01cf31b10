//! Puts the stub's files together as the first stage takes them apart; the build script compresses the result.

use super::shorten::shorten;
use super::strip::strip;

/// The files in the order that makes them shortest when they are deflated; `tests/stub/short_names.py` finds it.
const ORDER: &str = include_str!("../../bootstrap_py/order.txt");

/// The stub's text: the file that starts first, then the names and texts of the others, with NUL between them all.
///
/// `files` are the paths inside `bootstrap_py` and the sources of all that lies in its folders `stub` and `shared`.
pub fn assemble<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut files: Vec<_> = files
        .filter_map(|(path, source)| {
            let (_, name) = path.split_once('/')?;
            let sent = name.ends_with(".py") && !["first_stage.py", "objects.py"].contains(&name);
            sent.then(|| (name, shorten(&strip(source))))
        })
        .collect();
    let place = |name: &str| ORDER.lines().position(|listed| listed == name);
    files.sort_by_key(|(name, _)| (place(name).unwrap_or(usize::MAX), *name));
    let mut stub = String::new();
    for (name, text) in &files {
        if *name != "main.py" {
            stub.push('\0');
            stub.push_str(name);
            stub.push('\0');
        }
        stub.push_str(text);
    }
    stub
}

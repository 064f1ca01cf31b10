//! Puts the stub's files together as the first stage takes them apart; the build script compresses the result.

use super::strip::strip;

/// A part's name and its files a line, in the order in which they are sent (BS-9).
const PARTS: &str = include_str!("../../bootstrap_py/stub/parts.txt");

/// The file that the first stage runs, with which what is sent with the command begins.
pub const START: &str = "start.py";

/// The parts: name and files. The first is sent with the command, and its first file starts the others.
pub fn parts() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    PARTS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.collect()))
        })
}

/// The text of a part: the names and stripped texts of its files, with NUL between them all. `read` gives a file's source.
///
/// What is sent with the command begins with the text of [`START`], without a name.
pub fn assemble<'a>(files: &[&str], read: impl Fn(&str) -> &'a str) -> String {
    let mut text = String::new();
    for (place, name) in files.iter().enumerate() {
        if place > 0 {
            text.push('\0');
        }
        if *name != START {
            text.push_str(name);
            text.push('\0');
        }
        text.push_str(&strip(read(name)));
    }
    text
}

//! Puts the stub's files together as the first stage takes them apart; the build script compresses the result.

/// The stub's text: a line of names and sizes, then the stripped files, the one that starts first first.
///
/// `files` are the names and sources of all that lies in `bootstrap_py`.
pub fn assemble<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut files: Vec<_> = files
        .filter(|(name, _)| {
            name.ends_with(".py") && !["first_stage.py", "objects.py"].contains(name)
        })
        .map(|(name, source)| (name, super::strip::strip(source)))
        .collect();
    files.sort_by_key(|(name, _)| (*name != "main.py", *name));
    let index: Vec<_> = files
        .iter()
        .map(|(name, text)| format!("{name} {}", text.len()))
        .collect();
    let mut stub = index.join(" ");
    stub.push('\n');
    for (_, text) in &files {
        stub.push_str(text);
    }
    stub
}

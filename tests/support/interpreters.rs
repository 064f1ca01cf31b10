//! The Python interpreters of this machine. tests/support/interpreters.py finds the same ones.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// One interpreter that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    pub path: PathBuf,
    /// Major and minor.
    pub version: (u32, u32),
    /// `python`, which is CPython, or `pypy`.
    pub kind: String,
}

impl Interpreter {
    pub fn to_str(&self) -> &str {
        self.path.to_str().expect("a path of text")
    }
}

/// An interpreter of each version that this project serves (2.6, 2.7, 3.2 and newer), oldest first: the first found of each.
/// Finding none is a failure.
///
/// Looked for: what is called `python` with a version or without on PATH and in `versions/*/bin` of pyenv's folder, and the
/// paths in EASYCLUSTER_TEST_PYTHONS, with colons between. pyenv's shims are slow wrappers of the same and left out. PyPy,
/// of which docs/platforms.md says what works, is tested only where it is named.
pub fn interpreters() -> &'static [Interpreter] {
    static FOUND: OnceLock<Vec<Interpreter>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found: Vec<Interpreter> = Vec::new();
        let mut real_paths = Vec::new();
        for path in candidates() {
            let Ok(real) = path.canonicalize() else {
                continue;
            };
            if real_paths.contains(&real) {
                continue;
            }
            real_paths.push(real);
            found.extend(asked(path).filter(|interpreter| serves(interpreter.version)));
        }
        assert!(
            !found.is_empty(),
            "no Python interpreter found; name some in EASYCLUSTER_TEST_PYTHONS"
        );
        // The sort is stable, so of a version and kind the first one found comes first.
        found.sort_by_key(|interpreter| (interpreter.version, interpreter.kind != "python"));
        found.dedup_by(|next, kept| next.version == kept.version && next.kind == kept.kind);
        found
    })
}

/// The oldest Python 2, the oldest Python 3 and the newest: enough where what is tried is on this side.
pub fn few_interpreters() -> impl Iterator<Item = &'static Interpreter> {
    let (second, third): (Vec<_>, Vec<_>) = interpreters()
        .iter()
        .partition(|interpreter| interpreter.version < (3, 0));
    let newest = third.last().copied().filter(|_| third.len() > 1);
    let oldest = [second.first().copied(), third.first().copied()];
    oldest.into_iter().chain([newest]).flatten()
}

/// The first interpreter of at least this version; there has to be one.
pub fn interpreter_at_least(version: (u32, u32)) -> &'static Interpreter {
    let found = interpreters()
        .iter()
        .find(|interpreter| interpreter.version >= version);
    found.unwrap_or_else(|| panic!("no Python of version {version:?} or newer found"))
}

fn serves(version: (u32, u32)) -> bool {
    matches!(version, (2, 6 | 7)) || (3, 2) <= version
}

fn candidates() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let list = |name: &str| std::env::var(name).unwrap_or_default();
    found.extend(
        list("EASYCLUSTER_TEST_PYTHONS")
            .split(':')
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
    );
    let shims = |folder: &&str| folder.trim_end_matches('/').ends_with("/shims");
    let path = list("PATH");
    let mut folders: Vec<PathBuf> = path
        .split(':')
        .filter(|folder| !folder.is_empty() && !shims(folder))
        .map(PathBuf::from)
        .collect();
    let pyenv = match list("PYENV_ROOT") {
        folder if folder.is_empty() => std::env::home_dir().unwrap_or_default().join(".pyenv"),
        folder => folder.into(),
    };
    let versions = entries(&pyenv.join("versions"));
    folders.extend(versions.iter().map(|folder| folder.join("bin")));
    for folder in folders {
        found.extend(entries(&folder).into_iter().filter(|path| is_called(path)));
    }
    found
}

/// What is in a folder, in order; nothing where there is no folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Whether a file is called as an interpreter is: `python3`, `python2.7`, or a version that is not out yet.
fn is_called(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix("python").is_some_and(|version| {
        version
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}

/// The interpreter at a path, by what it says of itself.
fn asked(path: PathBuf) -> Option<Interpreter> {
    let print = "import sys; sys.stdout.write('%s %d %d' % ((hasattr(sys, 'pypy_version_info') and 'pypy' or 'python',) \
                 + sys.version_info[:2]))";
    let output = Command::new(&path)
        .args(["-S", "-E", "-c", print])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut words = text.split(' ');
    let kind = words.next()?.to_owned();
    let version = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Interpreter {
        path,
        version,
        kind,
    })
}

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
}

impl Interpreter {
    pub fn to_str(&self) -> &str {
        self.path.to_str().expect("a path of text")
    }
}

/// Every interpreter that this project serves (2.6, 2.7, 3.2 and newer), oldest first, each once. Finding none is a failure.
///
/// Looked for: `python2.6` to `python3.14` and `python3` on PATH, `versions/*/bin/python` in pyenv's folder,
/// and the paths in EASYCLUSTER_TEST_PYTHONS, with colons between. pyenv's shims are slow wrappers of the same and left out.
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
            let version = version(&path).filter(|version| serves(*version));
            found.extend(version.map(|version| Interpreter { path, version }));
        }
        assert!(
            !found.is_empty(),
            "no Python interpreter found; name some in EASYCLUSTER_TEST_PYTHONS"
        );
        found.sort_by_key(|interpreter| interpreter.version);
        found
    })
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
    let names: Vec<String> = (6..=7)
        .map(|minor| format!("python2.{minor}"))
        .chain((2..=14).map(|minor| format!("python3.{minor}")))
        .collect();
    for folder in list("PATH")
        .split(':')
        .filter(|folder| !folder.is_empty() && !folder.trim_end_matches('/').ends_with("/shims"))
    {
        found.extend(
            names
                .iter()
                .map(String::as_str)
                .chain(["python3"])
                .map(|name| Path::new(folder).join(name)),
        );
    }
    let pyenv = match list("PYENV_ROOT") {
        folder if folder.is_empty() => std::env::home_dir().unwrap_or_default().join(".pyenv"),
        folder => folder.into(),
    };
    let versions = std::fs::read_dir(pyenv.join("versions"))
        .into_iter()
        .flatten()
        .flatten();
    let mut versions: Vec<_> = versions
        .map(|entry| entry.path().join("bin/python"))
        .collect();
    versions.sort();
    found.extend(versions);
    found
}

fn version(path: &Path) -> Option<(u32, u32)> {
    let print = "import sys; sys.stdout.write('%d %d' % sys.version_info[:2])";
    let output = Command::new(path)
        .args(["-S", "-E", "-c", print])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

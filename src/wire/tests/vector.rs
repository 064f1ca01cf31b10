//! Reads the vector files of spec/vectors, in the format that spec/README.md gives.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::wire::Sender;

/// One vector file.
pub struct Vector {
    pub path: PathBuf,
    pub head: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// All vectors of an area, in order of their names; there must be some.
pub fn load(area: &str) -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("spec/vectors")
        .join(area);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no vectors in {}", folder.display());
    paths.into_iter().map(Vector::read).collect()
}

impl Vector {
    fn read(path: PathBuf) -> Vector {
        let text = fs::read_to_string(&path).unwrap();
        let (head, body) = text
            .split_once("\n\n")
            .unwrap_or_else(|| panic!("{}: no empty line behind the head", path.display()));
        let head = head
            .lines()
            .map(|line| {
                let (key, value) = line
                    .split_once(':')
                    .unwrap_or_else(|| panic!("{}: {line:?} is no `key: value`", path.display()));
                (key.to_owned(), value.trim().to_owned())
            })
            .collect();
        let mut bytes = Vec::new();
        for line in body.lines() {
            let code = line.split('#').next().unwrap();
            for token in code.split_whitespace() {
                let (hex, times) = match token.split_once('*') {
                    Some((hex, times)) => (hex, times.parse().unwrap()),
                    None => (token, 1),
                };
                bytes.extend(unhex(hex).repeat(times));
            }
        }
        Vector {
            path,
            head,
            body: bytes,
        }
    }

    /// The value of a key, or an empty text.
    pub fn get(&self, key: &str) -> &str {
        self.head.get(key).map_or("", String::as_str)
    }

    /// The items of a list separated by `; `.
    pub fn list(&self, key: &str) -> Vec<&str> {
        self.get(key)
            .split(';')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect()
    }

    /// The code that is expected, or none where the body is in order.
    pub fn fault(&self) -> Option<&str> {
        match self.get("expect") {
            "accepted" | "incomplete" => None,
            "" => panic!("{}: expects nothing", self.path.display()),
            code => Some(code),
        }
    }

    /// Who sends the body.
    pub fn sender(&self) -> Sender {
        match self.get("direction") {
            "client" => Sender::Client,
            "server" => Sender::Stub,
            other => panic!("{}: direction {other:?}", self.path.display()),
        }
    }

    /// The rules that it shows.
    pub fn rules(&self) -> Vec<&str> {
        self.get("rule").split_whitespace().collect()
    }

    /// Panics where the head has a key that is not in the list.
    pub fn allow_keys(&self, keys: &[&str]) {
        for key in self.head.keys() {
            assert!(
                keys.contains(&key.as_str()),
                "{}: unknown key {key:?}",
                self.path.display()
            );
        }
    }

    /// The body in pieces of at most `size` bytes; large bodies in larger ones, so that the test ends in time.
    pub fn pieces(&self, size: usize) -> impl Iterator<Item = bytes::Bytes> + '_ {
        let size = size.max(self.body.len() / 4096);
        self.body.chunks(size).map(bytes::Bytes::copy_from_slice)
    }
}

/// The bytes of hex digits.
pub fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "odd number of digits: {hex}");
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

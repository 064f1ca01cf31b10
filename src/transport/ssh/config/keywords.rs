//! The values of `ssh_config` keywords collected for one host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::transport::ssh::config::table::{Kind, is_on, of_kind};

/// The values that apply to one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    values: BTreeMap<String, Vec<Vec<String>>>,
    /// File names that are taken as they are; they stand before those of `values`.
    paths: BTreeMap<String, Vec<PathBuf>>,
}

/// A file name among the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File<'a> {
    /// Nothing in it is expanded.
    AsItIs(&'a Path),
    /// Tokens, variables and `~` in it are expanded.
    Text(&'a str),
}

impl Collected {
    /// Adds a line that applies.
    pub(crate) fn add(&mut self, name: &str, kind: Kind, values: Vec<String>) {
        match kind {
            Kind::Ignored | Kind::OpenSsh => {}
            Kind::Every => {
                let lines = self.values.entry(name.to_owned()).or_default();
                // A file named twice is one identity, as in OpenSSH.
                if name == "SendEnv" || !lines.contains(&values) {
                    lines.push(values);
                }
            }
            _ if self.paths.contains_key(name) => {}
            _ => {
                self.values
                    .entry(name.to_owned())
                    .or_insert_with(|| vec![values]);
            }
        }
    }

    /// Adds a file name that is taken as it is.
    pub(crate) fn add_path(&mut self, name: &str, kind: Kind, path: PathBuf) {
        if kind == Kind::Every || !self.has(name) {
            self.paths.entry(name.to_owned()).or_default().push(path);
        }
    }

    /// Whether ProxyJump or ProxyCommand comes too late, because the other one stood first.
    /// A `ProxyJump none` does not keep a ProxyCommand away, as OpenSSH has it.
    pub(crate) fn is_late(&self, name: &str) -> bool {
        match name {
            "ProxyJump" => self.has("ProxyCommand"),
            "ProxyCommand" => self.first("ProxyJump").is_some_and(|jump| jump != "none"),
            _ => false,
        }
    }

    /// Whether a keyword has a value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.paths.contains_key(name)
    }

    /// The first word of a keyword's winning line.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All words of a keyword, in order.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.values
            .get(name)
            .into_iter()
            .flatten()
            .flatten()
            .map(String::as_str)
    }

    /// All file names of a keyword, in order.
    pub(crate) fn files<'a>(&'a self, name: &str) -> impl Iterator<Item = File<'a>> + use<'a> {
        let paths = self.paths.get(name).into_iter().flatten();
        paths
            .map(|path| File::AsItIs(path))
            .chain(self.all(name).map(File::Text))
    }

    /// The keywords of a kind that are turned on.
    pub(crate) fn turned_on(&self, kind: Kind) -> Vec<&'static str> {
        of_kind(kind)
            .filter(|name| self.first(name).is_some_and(is_on))
            .collect()
    }

    /// Forgets the winning value, where a later stage of OpenSSH's own rules overrides it.
    pub(crate) fn remove(&mut self, name: &str) {
        self.values.remove(name);
    }
}

//! `ssh_config`: what the user's and the machine's files say about a host.

mod assemble;
mod keywords;
mod pattern;
mod tokens;
mod words;

pub(super) use pattern::{Verdict, matches, matches_host, matches_list};

use super::settings::{Settings, SshTarget};
use crate::error::{ConnectError, Stage};
use keywords::{Collected, Kind, lookup};
use tokens::Local;

/// Finds out everything that a connection to `target` is made with.
pub(super) async fn resolve(target: &SshTarget) -> Result<Settings, ConnectError> {
    let fail = |message: String| ConnectError::new(&target.host, Stage::Configure, message);
    let collected = from_options(target).map_err(fail)?;
    assemble::assemble(target, &collected, &Local::current()).map_err(fail)
}

/// What the target itself says; it stands before every file.
fn from_options(target: &SshTarget) -> Result<Collected, String> {
    let mut collected = Collected::default();
    for (keyword, value) in &target.options {
        let Some((name, kind)) = lookup(&keyword.to_lowercase()).map(|(n, k)| (n.to_owned(), k))
        else {
            return Err(format!("unknown SSH option '{keyword}'"));
        };
        let values = if kind == Kind::FirstRaw {
            vec![value.clone()]
        } else {
            words::words(value).map_err(|error| format!("option {keyword}: {error}"))?
        };
        collected.add(&name, kind, values);
    }
    Ok(collected)
}

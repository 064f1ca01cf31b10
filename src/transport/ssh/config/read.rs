//! Reading `ssh_config` files: which lines apply to a host, and what is beyond this reader.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::files::read_at_most;
use crate::system::account;
use crate::system::rights::Rights;
use crate::transport::ssh::config::keywords::Collected;
use crate::transport::ssh::config::match_block::{Facts, Outcome, evaluate};
use crate::transport::ssh::config::pattern::{matches, matches_list};
use crate::transport::ssh::config::settings::{ConfigSource, SshTarget};
use crate::transport::ssh::config::table::{Kind, is_on, lookup};
use crate::transport::ssh::config::tokens::{Local, Tokens};
use crate::transport::ssh::config::words::{keyword, words};
use crate::transport::ssh::config::{Verdict, values};

/// Files that include each other end here, as in OpenSSH.
const MAX_DEPTH: usize = 16;
/// A file of ssh_config holds no more than this.
const MAX_FILE: u64 = 16 << 20;

/// What the files say about a host.
pub(crate) struct Reading {
    pub(crate) collected: Collected,
    /// What only OpenSSH itself can interpret, with its place.
    pub(crate) beyond: BTreeSet<String>,
    /// Keywords that apply and that we do not know; they are among `beyond` too.
    pub(crate) unknown: BTreeSet<String>,
}

/// A file and how it was reached.
#[derive(Clone, Copy)]
struct From {
    /// Relative includes are looked for beside the user's file and not the machine's.
    user: bool,
    /// Others must not be able to write it.
    guarded: bool,
    /// Inside a block that does not apply, so that nothing in here does.
    never: bool,
    depth: usize,
}

struct Reader<'a> {
    target: &'a SshTarget,
    local: &'a Local,
    collected: Collected,
    beyond: BTreeSet<String>,
    unknown: BTreeSet<String>,
    /// The name that `Host` lines are about: as typed, and in the last pass the real one.
    host: String,
    last_pass: bool,
    wants_last_pass: bool,
}

/// Reads the files that `target` names, on top of what it says itself.
pub(crate) fn read(
    target: &SshTarget,
    local: &Local,
    collected: Collected,
) -> Result<Reading, String> {
    let mut reader = Reader::new(target, local, collected);
    reader.pass()?;
    if reader.wants_last_pass {
        let hostname = reader.hostname()?.to_lowercase();
        reader.collected.remove("HostName");
        reader
            .collected
            .add("HostName", Kind::First, vec![hostname.replace('%', "%%")]);
        reader.host = hostname;
        reader.last_pass = true;
        reader.pass()?;
    }
    Ok(Reading {
        collected: reader.collected,
        beyond: reader.beyond,
        unknown: reader.unknown,
    })
}

/// Reads bytes as a file of the user's, once; they include no other. For fuzzers.
#[cfg(feature = "internals")]
pub(crate) fn read_bytes(
    target: &SshTarget,
    local: &Local,
    bytes: &[u8],
) -> Result<Reading, String> {
    let mut reader = Reader::new(target, local, Collected::default());
    let from = From {
        user: true,
        guarded: false,
        never: false,
        depth: 0,
    };
    reader.lines(bytes, Path::new("bytes"), from, &mut true)?;
    Ok(Reading {
        collected: reader.collected,
        beyond: reader.beyond,
        unknown: reader.unknown,
    })
}

impl<'a> Reader<'a> {
    fn new(target: &'a SshTarget, local: &'a Local, collected: Collected) -> Self {
        Reader {
            target,
            local,
            collected,
            beyond: BTreeSet::new(),
            unknown: BTreeSet::new(),
            host: target.host.clone(),
            last_pass: false,
            wants_last_pass: false,
        }
    }
}

impl Reader<'_> {
    fn pass(&mut self) -> Result<(), String> {
        let file = |user, guarded| From {
            user,
            guarded,
            never: false,
            depth: 0,
        };
        match &self.target.config {
            ConfigSource::None => Ok(()),
            ConfigSource::File(path) => {
                let path = self.local.expand_home(&path.to_string_lossy());
                std::fs::metadata(&path).map_err(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => {
                        format!("{}: there is no such file", path.display())
                    }
                    _ => format!("{}: {error}", path.display()),
                })?;
                self.file(&path, file(true, false), &mut true)
            }
            ConfigSource::Standard => {
                let own = self.local.home.join(".ssh/config");
                self.file(&own, file(true, true), &mut true)?;
                self.file(
                    &account::ssh_folder().join("ssh_config"),
                    file(false, false),
                    &mut true,
                )
            }
        }
    }

    /// Reads one file. One that is not there says nothing.
    fn file(&mut self, path: &Path, from: From, active: &mut bool) -> Result<(), String> {
        if from.depth > MAX_DEPTH {
            return Err(format!(
                "{}: too many files include each other",
                path.display()
            ));
        }
        let bytes = match read_at_most(path, MAX_FILE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        if from.guarded {
            check_owner(path)?;
        }
        self.lines(&bytes, path, from, active)
    }

    fn lines(
        &mut self,
        bytes: &[u8],
        path: &Path,
        from: From,
        active: &mut bool,
    ) -> Result<(), String> {
        for (index, line) in String::from_utf8_lossy(bytes).lines().enumerate() {
            self.line(line, path, from, active)
                .map_err(|error| format!("{}:{}: {error}", path.display(), index + 1))?;
        }
        Ok(())
    }

    fn line(
        &mut self,
        line: &str,
        path: &Path,
        from: From,
        active: &mut bool,
    ) -> Result<(), String> {
        let Some((name, rest)) = keyword(line)? else {
            return Ok(());
        };
        if rest.is_empty() {
            return Err(format!("{name} lacks its value"));
        }
        match name.as_str() {
            "host" => {
                *active = !from.never && self.host_matches(&words(rest)?)?;
                return Ok(());
            }
            "match" => {
                *active = self.match_applies(rest)? && !from.never;
                return Ok(());
            }
            "include" => return self.include(&words(rest)?, path, from, active),
            _ => {}
        }
        let Some((known, kind)) = lookup(&name) else {
            if self.ignores(&name) {
                return Ok(());
            }
            // It may be newer than this reader, and then it counts only where it applies.
            if *active {
                self.unknown.insert(name.clone());
                self.beyond.insert(name);
            }
            return Ok(());
        };
        let values = if kind.is_raw() {
            vec![raw_value(known, rest)]
        } else {
            words(rest)?
        };
        if values.is_empty() {
            return Err(format!("{known} lacks its value"));
        }
        if !*active {
            return Ok(());
        }
        // Canonical names are looked up by OpenSSH alone, where they are asked for.
        if known == "CanonicalizeHostname" && values.first().is_some_and(|value| is_on(value)) {
            self.beyond.insert(known.to_owned());
        }
        if !kind.counts() {
            return Ok(());
        }
        if one_value(known) && values.len() > 1 {
            return Err(format!("{known} takes one value"));
        }
        if values.iter().any(String::is_empty) && !kind.is_raw() {
            return Err(format!("{known} lacks its value"));
        }
        let values = with_none(known, values);
        if values.len() > 1 && takes_none(known) && values.iter().any(|value| value == NONE) {
            return Err(format!("{known}: {NONE} stands alone"));
        }
        if matches!(known, "User" | "SetEnv")
            && values.iter().any(|value| value.contains(['%', '$']))
        {
            // Releases from 10.0 on expand them.
            self.beyond.insert(known.to_owned());
        }
        self.apply(known, kind, values);
        Ok(())
    }

    fn apply(&mut self, known: &str, kind: Kind, values: Vec<String>) {
        // `none` for a time is as good as no line, so a later line may still set it.
        let unset = matches!(known, "ConnectTimeout" | "ServerAliveInterval") && values == ["none"];
        if !unset && !self.collected.is_late(known) && self.fits(known) {
            self.collected.add(known, kind, values);
        }
    }

    /// An identity that the spec names is the only one.
    fn fits(&self, known: &str) -> bool {
        !(self.target.only_identity && known == "IdentityFile")
    }

    fn ignores(&self, name: &str) -> bool {
        self.collected
            .all("IgnoreUnknown")
            .any(|list| matches_list(name, &list.to_lowercase()) == Verdict::Match)
    }

    fn host_matches(&self, patterns: &[String]) -> Result<bool, String> {
        let mut found = false;
        for pattern in patterns {
            let (negated, pattern) = match pattern.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, pattern.as_str()),
            };
            if pattern.is_empty() && !negated {
                return Err("an empty pattern".to_owned());
            }
            if matches(&self.host, pattern) {
                if negated {
                    return Ok(false);
                }
                found = true;
            }
        }
        Ok(found)
    }

    fn match_applies(&mut self, criteria: &str) -> Result<bool, String> {
        let tokens = self.tokens()?;
        let facts = Facts {
            host: if self.last_pass {
                self.host.clone()
            } else {
                tokens.hostname.clone()
            },
            original: &self.target.host,
            user: &tokens.user,
            last_pass: self.last_pass,
            tokens: &tokens,
        };
        let Outcome {
            applies,
            wants_last_pass,
            beyond,
        } = evaluate(criteria, &facts)?;
        self.wants_last_pass |= wants_last_pass;
        self.beyond.extend(beyond);
        Ok(applies)
    }

    /// The host name as the lines so far have it.
    fn hostname(&self) -> Result<String, String> {
        let tokens = Tokens {
            hostname: self.target.host.clone(),
            ..Tokens::default()
        };
        match self.collected.first("HostName") {
            Some(pattern) => tokens.expand_for("HostName", pattern),
            None => Ok(self.target.host.clone()),
        }
    }

    /// The tokens as the lines so far have them.
    fn tokens(&self) -> Result<Tokens, String> {
        let port = match (self.target.port, self.collected.first("Port")) {
            (Some(port), _) => port,
            (None, Some(text)) => values::parse_port(text)?,
            (None, None) => 22,
        };
        Ok(Tokens {
            hostname: self.hostname()?,
            original: self.target.host.clone(),
            port,
            user: self
                .target
                .user
                .clone()
                .or_else(|| self.collected.first("User").map(str::to_owned))
                .unwrap_or_else(|| self.local.user.clone()),
            jump: self
                .collected
                .first("ProxyJump")
                .unwrap_or_default()
                .to_owned(),
            key_alias: self.collected.first("HostKeyAlias").map(str::to_owned),
            local: self.local.clone(),
        })
    }

    fn include(
        &mut self,
        patterns: &[String],
        path: &Path,
        from: From,
        active: &mut bool,
    ) -> Result<(), String> {
        let before = *active;
        for pattern in patterns {
            if before && !from.never && (pattern.contains('%') || pattern.contains("${")) {
                // Newer releases expand them, and what they name may restrict.
                self.beyond.insert("include".to_owned());
            }
            if pattern.is_empty() || pattern.starts_with('~') && !from.user {
                return Err(format!(
                    "Include '{pattern}' is not a path that can be used here"
                ));
            }
            for file in self.included(pattern, from)? {
                let inner = From {
                    guarded: true,
                    never: from.never || !before,
                    depth: from.depth + 1,
                    ..from
                };
                self.file(&file, inner, active)
                    .map_err(|error| format!("included from {}: {error}", path.display()))?;
                // A Host or Match in there ends with its file.
                *active = before;
            }
        }
        Ok(())
    }

    fn included(&self, pattern: &str, from: From) -> Result<Vec<PathBuf>, String> {
        let base = if pattern.starts_with(['/', '~']) {
            self.local.expand_home(pattern)
        } else if from.user {
            self.local.home.join(".ssh").join(pattern)
        } else {
            account::ssh_folder().join(pattern)
        };
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let found = glob::glob_with(&base.to_string_lossy(), options)
            .map_err(|error| format!("Include '{pattern}': {error}"))?;
        let mut files = Vec::new();
        for file in found {
            // What cannot be looked at may restrict.
            let file = file.map_err(|error| format!("Include '{pattern}': {error}"))?;
            match std::fs::metadata(&file) {
                Ok(it) if it.is_file() => files.push(file),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{}: {error}", file.display())),
            }
        }
        Ok(files)
    }
}

/// The rest of a line as it stands; a comment ends it for ProxyJump and is part of a command.
pub(crate) fn raw_value(name: &str, rest: &str) -> String {
    let rest = rest.trim_start_matches('=');
    let value = match (name, rest.split_once('#')) {
        ("ProxyJump", Some((value, _))) => value,
        _ => rest,
    };
    value.trim().to_owned()
}

/// In place of a file, command or host: there is none.
const NONE: &str = "none";

/// The keywords that take [`NONE`], in whatever case.
fn takes_none(name: &str) -> bool {
    matches!(
        name,
        "CertificateFile"
            | "GlobalKnownHostsFile"
            | "IdentityAgent"
            | "IdentityFile"
            | "KnownHostsCommand"
            | "PKCS11Provider"
            | "ProxyCommand"
            | "ProxyJump"
            | "RevokedHostKeys"
            | "UserKnownHostsFile"
    )
}

fn with_none(name: &str, mut values: Vec<String>) -> Vec<String> {
    if takes_none(name) {
        for value in &mut values {
            if value.eq_ignore_ascii_case(NONE) {
                NONE.clone_into(value);
            }
        }
    }
    values
}

/// Whether more than one word on the line is an error.
fn one_value(name: &str) -> bool {
    !matches!(
        name,
        "SendEnv"
            | "SetEnv"
            | "UserKnownHostsFile"
            | "GlobalKnownHostsFile"
            | "IgnoreUnknown"
            | "RekeyLimit"
            | "ChannelTimeout"
    )
}

/// Others who can write the file could make us run their commands.
fn check_owner(path: &Path) -> Result<(), String> {
    let metadata =
        std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let Some(rights) = Rights::of(&metadata) else {
        return Ok(());
    };
    if !(rights.mine || rights.of_root) || rights.mode & 0o022 != 0 {
        return Err(format!(
            "{}: it must belong to you and only you may write it; chmod 600 it",
            path.display()
        ));
    }
    Ok(())
}

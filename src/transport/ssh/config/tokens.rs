//! Expansion of `%` tokens, `${VARIABLE}` and `~` in configuration values.

use std::fmt::Write;
use std::path::PathBuf;

use sha1::{Digest, Sha1};

use crate::system::account;

/// What the tokens stand for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens {
    /// `%h`: the host name to connect to.
    pub(crate) hostname: String,
    /// `%n`: the name as the user gave it.
    pub(crate) original: String,
    /// `%p`: the port.
    pub(crate) port: u16,
    /// `%r`: the remote user.
    pub(crate) user: String,
    /// `%j`: the ProxyJump value, or nothing.
    pub(crate) jump: String,
    /// `%k`: the host key alias, or the original name.
    pub(crate) key_alias: Option<String>,
    /// Facts of this machine.
    pub(crate) local: Local,
}

/// Who and where we are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Local {
    /// `%u`: the local user's name.
    pub(crate) user: String,
    /// `%i`: the local user's number.
    pub(crate) uid: u32,
    /// `%d` and `~`: the home directory.
    pub(crate) home: PathBuf,
    /// `%l`: this machine's name with its domain.
    pub(crate) hostname: String,
}

impl Local {
    /// Asks the system, by our number and not by `HOME` and `USER`, as OpenSSH does; the environment
    /// only where the system does not know us.
    pub(crate) fn current() -> Self {
        let uid = account::number();
        let (user, home) = match account::own() {
            Some(account) => (Some(account.name), Some(account.home)),
            None => (None, std::env::home_dir()),
        };
        Local {
            user: user
                .or_else(|| std::env::var("USER").ok())
                .or_else(|| std::env::var("LOGNAME").ok())
                .unwrap_or_else(|| uid.to_string()),
            uid,
            home: home.unwrap_or_else(|| PathBuf::from("/")),
            hostname: account::machine_name(),
        }
    }
}

/// The tokens of names of files, of agents and of commands that know the host.
const OF_PATHS: &str = "CdhijkLlnpru";

/// The tokens that a keyword takes, beside `%%`, as ssh_config(5) lists them.
const OF_KEYWORDS: &[(&str, &str)] = &[
    ("CertificateFile", OF_PATHS),
    ("GlobalKnownHostsFile", OF_PATHS),
    ("HostName", "h"),
    ("IdentityAgent", OF_PATHS),
    ("IdentityFile", OF_PATHS),
    ("match exec", OF_PATHS),
    ("ProxyCommand", "hnpr"),
    ("ProxyJump", "hnpr"),
    ("RevokedHostKeys", OF_PATHS),
    ("UserKnownHostsFile", OF_PATHS),
];

impl Tokens {
    /// Expands the tokens that `keyword` takes.
    pub(crate) fn expand_for(&self, keyword: &str, text: &str) -> Result<String, String> {
        let known = OF_KEYWORDS.iter().find(|(name, _)| *name == keyword);
        self.expand(text, known.map_or("", |(_, tokens)| tokens))
    }

    /// Expands the tokens in `text` that `allowed` lists; `%%` always is. An unknown token is an error, as in OpenSSH.
    fn expand(&self, text: &str, allowed: &str) -> Result<String, String> {
        let mut expanded = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                expanded.push(c);
                continue;
            }
            let token = rest
                .next()
                .ok_or_else(|| format!("'{text}' ends in a lone %"))?;
            if token == '%' {
                expanded.push('%');
                continue;
            }
            if !allowed.contains(token) {
                return Err(format!("'{text}' has the unknown token %{token}"));
            }
            let local = &self.local;
            match token {
                'h' => expanded.push_str(&self.hostname),
                'n' => expanded.push_str(&self.original),
                'p' => _ = write!(expanded, "{}", self.port),
                'r' => expanded.push_str(&self.user),
                'j' => expanded.push_str(&self.jump),
                'k' => expanded.push_str(self.key_alias.as_deref().unwrap_or(&self.original)),
                'u' => expanded.push_str(&local.user),
                'i' => _ = write!(expanded, "{}", local.uid),
                'd' => expanded.push_str(&local.home.to_string_lossy()),
                'l' => expanded.push_str(&local.hostname),
                'L' => {
                    expanded.push_str(local.hostname.split('.').next().unwrap_or_default());
                }
                'C' => expanded.push_str(&self.connection_hash()),
                other => return Err(format!("'{text}' has the unknown token %{other}")),
            }
        }
        Ok(expanded)
    }

    /// `%C`: the hash that names control sockets.
    fn connection_hash(&self) -> String {
        let mut hash = Sha1::new();
        hash.update(&self.local.hostname);
        hash.update(&self.hostname);
        hash.update(self.port.to_string());
        hash.update(&self.user);
        hash.update(&self.jump);
        data_encoding::HEXLOWER.encode(&hash.finalize())
    }

    /// Expands `~`, `${VARIABLE}` and the tokens of a keyword that names files.
    pub(crate) fn expand_path(&self, keyword: &str, text: &str) -> Result<PathBuf, String> {
        let expanded = self.expand_for(keyword, &expand_variables(text)?)?;
        Ok(self.local.expand_home(&expanded))
    }
}

impl Local {
    /// Puts the home directory in place of a leading `~`.
    pub(crate) fn expand_home(&self, path: &str) -> PathBuf {
        match path.strip_prefix('~') {
            Some("") => self.home.clone(),
            Some(rest) if rest.starts_with('/') => self.home.join(rest.trim_start_matches('/')),
            Some(rest) => {
                let (name, below) = rest.split_once('/').unwrap_or((rest, ""));
                match account::named(name) {
                    Some(account) => account.home.join(below),
                    None => PathBuf::from(path),
                }
            }
            None => PathBuf::from(path),
        }
    }
}

/// Puts the values of `${VARIABLE}`s in; one that is not set is an error, as in OpenSSH.
pub(crate) fn expand_variables(text: &str) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        let (name, behind) = after
            .split_once('}')
            .ok_or_else(|| format!("'{text}' has ${{ without an end"))?;
        let value = std::env::var(name)
            .map_err(|_| format!("'{text}' names the variable {name}, which is not set"))?;
        expanded.push_str(&value);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens {
            hostname: "box.example.com".into(),
            original: "box".into(),
            port: 2222,
            user: "alice".into(),
            jump: String::new(),
            key_alias: None,
            local: Local {
                user: "me".into(),
                uid: 7,
                home: "/home/me".into(),
                hostname: "here.example.com".into(),
            },
        }
    }

    #[test]
    fn every_token_stands_for_its_fact() {
        let expanded = tokens().expand("%h %n %p %r %u %i %d %l %L %k %%", "hnpruidlLk");
        assert_eq!(
            expanded.unwrap(),
            "box.example.com box 2222 alice me 7 /home/me here.example.com here box %"
        );
        assert!(tokens().expand("%q", "hq").is_err());
        assert!(tokens().expand("%p", "h").is_err());
        assert!(tokens().expand("100%", "h").is_err());
        assert_eq!(
            tokens().expand_for("ProxyJump", "%r@%h:%p%%").unwrap(),
            "alice@box.example.com:2222%"
        );
        assert!(tokens().expand_for("ProxyJump", "%u").is_err());
        assert!(tokens().expand_for("HostName", "%p").is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn accounts_are_those_that_the_system_names() {
        // Both of these know of directory services.
        let asked = |program: &str, arguments: &[&str]| {
            let mut command = crate::process::program(program);
            command.args(arguments);
            let said = crate::process::run(command).unwrap().stdout;
            String::from_utf8(said).unwrap().trim().to_owned()
        };
        let local = Local::current();
        assert_eq!(local.user, asked("id", &["-un"]));
        for name in ["root", "daemon", &local.user] {
            let entry = asked("getent", &["passwd", name]);
            let home = entry.split(':').nth(5).unwrap();
            let file = local.expand_home(&format!("~{name}/file"));
            assert_eq!(file, PathBuf::from(home).join("file"));
        }
        let unknown = "~no-such-account-here/file";
        assert_eq!(local.expand_home(unknown), PathBuf::from(unknown));
    }

    #[test]
    fn home_and_variables_are_expanded_in_paths() {
        let path = tokens()
            .expand_path("IdentityFile", "~/.ssh/%r@%h")
            .unwrap();
        assert_eq!(path, PathBuf::from("/home/me/.ssh/alice@box.example.com"));
        assert!(expand_variables("${EASYCLUSTER_NO_SUCH_VARIABLE}/x").is_err());
        assert!(expand_variables("${OPEN").is_err());
        let home = std::env::var("PATH").unwrap();
        assert_eq!(expand_variables("a${PATH}b").unwrap(), format!("a{home}b"));
    }
}

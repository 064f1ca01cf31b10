//! Who this user is to the system: name, number and home directory, those of others, and this machine's name.

use std::path::PathBuf;

/// An account as far as the system knows it.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) home: PathBuf,
}

/// Our number; 0 on Windows, which has names for it.
#[cfg(unix)]
pub(crate) fn number() -> u32 {
    nix::unistd::Uid::current().as_raw()
}

#[cfg(not(unix))]
pub(crate) fn number() -> u32 {
    0
}

/// Our account, by our number and not by the environment. A directory service that does not answer is as good as one that does
/// not know us.
#[cfg(unix)]
pub(crate) fn own() -> Option<Account> {
    let found = nix::unistd::User::from_uid(nix::unistd::Uid::current());
    found.ok().flatten().map(Account::from)
}

/// Our account. Windows keeps what a program may know of it in the environment.
#[cfg(not(unix))]
pub(crate) fn own() -> Option<Account> {
    Some(Account {
        name: std::env::var("USERNAME").ok()?,
        home: std::env::home_dir()?,
    })
}

/// The account of this name.
#[cfg(unix)]
pub(crate) fn named(name: &str) -> Option<Account> {
    nix::unistd::User::from_name(name)
        .ok()
        .flatten()
        .map(Account::from)
}

#[cfg(not(unix))]
pub(crate) fn named(_: &str) -> Option<Account> {
    None
}

#[cfg(unix)]
impl From<nix::unistd::User> for Account {
    fn from(user: nix::unistd::User) -> Account {
        Account {
            name: user.name,
            home: user.dir,
        }
    }
}

/// This machine's name, with its domain if it is set so.
#[cfg(unix)]
pub(crate) fn machine_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(not(unix))]
pub(crate) fn machine_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// Where the machine's own configuration of SSH is. On Windows everybody may make `C:\etc`, so it must not be there.
#[cfg(unix)]
pub(crate) fn ssh_folder() -> PathBuf {
    PathBuf::from("/etc/ssh")
}

#[cfg(not(unix))]
pub(crate) fn ssh_folder() -> PathBuf {
    let data = std::env::var_os("ProgramData").map(PathBuf::from);
    data.unwrap_or_else(|| PathBuf::from(r"C:\ProgramData"))
        .join("ssh")
}

/// The agent to ask where the environment names none.
#[cfg(unix)]
pub(crate) fn usual_agent() -> Option<PathBuf> {
    None
}

/// The pipe of the agent that comes with Windows.
#[cfg(not(unix))]
pub(crate) fn usual_agent() -> Option<PathBuf> {
    Some(PathBuf::from(r"\\.\pipe\openssh-ssh-agent"))
}

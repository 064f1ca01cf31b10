//! Steps between the login and the interpreter (`then`, `become`): root by sudo, another user, a container, a machine behind.

use std::fmt;
use std::str::FromStr;

use crate::spec::JumpHost;
use crate::spec::head::{parse_jump_host, parse_user};
use crate::spec::password::Password;
use crate::spec::separators::{cut, escape_separator};
use crate::spec::values::words;

/// One step from the login towards the interpreter (CS-34). Text such as `sudo/postgres` is parsed to one:
///
/// ```
/// use easycluster::spec::{ConnectionSpec, Password, Step};
///
/// let spec: ConnectionSpec = "admin@web1:then=sudo/postgres,podman/db".parse()?;
/// assert_eq!(spec.steps().count(), 2);
/// let spec = "admin@web1".parse::<ConnectionSpec>()?
///     .with_step(Step::sudo("root").with_password(Password::given("s3cret")));
/// assert_eq!(spec.to_string(), "admin@web1:then=sudo/root");
/// # Ok::<(), easycluster::spec::SpecError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// `sudo[/USER]`: another user of the machine, root if none is named.
    #[non_exhaustive]
    Sudo {
        /// Whom to become.
        user: String,
        /// Without one, sudo must not ask for any.
        password: Option<Password>,
    },
    /// `su[/USER[/login]]`: the same by su.
    #[non_exhaustive]
    Su {
        /// Whom to become.
        user: String,
        /// With that user's environment, as `su -` does.
        login: bool,
        /// That user's password; without one the prompter is asked.
        password: Option<Password>,
    },
    /// `doas[/USER]`: the same by doas, which must not ask for a password, unless `tty` stands in front of it.
    #[non_exhaustive]
    Doas {
        /// Whom to become.
        user: String,
        /// The password of the account that becomes the user, behind `tty`; without one the prompter is asked.
        password: Option<Password>,
    },
    /// `docker/CONTAINER[/USER]`: a running container.
    #[non_exhaustive]
    Docker {
        /// Its name or id.
        container: String,
        /// A user within it, instead of its own.
        user: Option<String>,
    },
    /// `podman/CONTAINER[/USER]`: a running container.
    #[non_exhaustive]
    Podman {
        /// Its name or id.
        container: String,
        /// A user within it, instead of its own.
        user: Option<String>,
    },
    /// `kubectl/[NAMESPACE/]POD[/CONTAINER]`: a container of a pod.
    #[non_exhaustive]
    Kubectl {
        /// The namespace, where it is not the default one.
        namespace: Option<String>,
        /// The pod.
        pod: String,
        /// One of its containers, instead of the default one.
        container: Option<String>,
    },
    /// `nsenter/PID[/LETTERS]`: the namespaces of a process.
    #[non_exhaustive]
    Nsenter {
        /// The process.
        pid: u32,
        /// Which namespaces, by nsenter's own option letters; all if empty.
        namespaces: String,
    },
    /// `chroot/DIRECTORY`: another root directory.
    #[non_exhaustive]
    Chroot {
        /// Its absolute path.
        directory: String,
    },
    /// `lxc/CONTAINER`: a container of LXD.
    #[non_exhaustive]
    Lxc {
        /// Its name.
        container: String,
    },
    /// `incus/CONTAINER`: a container of Incus.
    #[non_exhaustive]
    Incus {
        /// Its name.
        container: String,
    },
    /// `machinectl/MACHINE[/USER]`: a container of systemd.
    #[non_exhaustive]
    Machinectl {
        /// Its name.
        machine: String,
        /// A user within it, instead of root.
        user: Option<String>,
    },
    /// `ssh/[USER@]HOST[:PORT]`: another machine, by the ssh program of this one.
    #[non_exhaustive]
    Ssh {
        /// The machine.
        host: JumpHost,
    },
    /// `tty`: a terminal for the step behind it, which may ask on it; data does not go through it.
    Tty,
    /// `run/WORDS`: any command that runs the command behind it on its own standard input and output.
    #[non_exhaustive]
    Run {
        /// The command and its arguments.
        words: Vec<String>,
    },
}

/// How a step is written, for the errors.
const FORMS: [(&str, &str); 14] = [
    ("sudo", "sudo/USER"),
    ("su", "su/USER or su/USER/login"),
    ("doas", "doas/USER"),
    ("docker", "docker/CONTAINER or docker/CONTAINER/USER"),
    ("podman", "podman/CONTAINER or podman/CONTAINER/USER"),
    (
        "kubectl",
        "kubectl/NAMESPACE/POD or kubectl/NAMESPACE/POD/CONTAINER",
    ),
    ("nsenter", "nsenter/PID or nsenter/PID/LETTERS"),
    ("chroot", "chroot/DIRECTORY"),
    ("lxc", "lxc/CONTAINER"),
    ("incus", "incus/CONTAINER"),
    (
        "machinectl",
        "machinectl/MACHINE or machinectl/MACHINE/USER",
    ),
    ("ssh", "ssh/USER@HOST"),
    ("tty", "tty, with the step that it is for behind it"),
    ("run", "run/COMMAND"),
];

/// The letters of nsenter's options for namespaces.
const NAMESPACES: &str = "muinpCUT";

impl Step {
    /// Another user by sudo, which must not ask for a password unless one is added.
    pub fn sudo(user: impl Into<String>) -> Self {
        Step::Sudo {
            user: user.into(),
            password: None,
        }
    }

    /// The same step with a password, where it is one that takes a password: sudo, su and doas.
    #[must_use]
    pub fn with_password(mut self, given: Password) -> Self {
        if let Step::Sudo { password, .. }
        | Step::Su { password, .. }
        | Step::Doas { password, .. } = &mut self
        {
            *password = Some(given);
        }
        self
    }

    /// The password that a program has given it.
    pub(crate) fn password(&self) -> Option<&Password> {
        match self {
            Step::Sudo { password, .. }
            | Step::Su { password, .. }
            | Step::Doas { password, .. } => password.as_ref(),
            _ => None,
        }
    }

    /// The command that this step runs, as its error calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Step::Sudo { .. } => "sudo",
            Step::Su { .. } => "su",
            Step::Doas { .. } => "doas",
            Step::Docker { .. } => "docker",
            Step::Podman { .. } => "podman",
            Step::Kubectl { .. } => "kubectl",
            Step::Nsenter { .. } => "nsenter",
            Step::Chroot { .. } => "chroot",
            Step::Lxc { .. } => "lxc",
            Step::Incus { .. } => "incus",
            Step::Machinectl { .. } => "machinectl",
            Step::Ssh { .. } => "ssh",
            Step::Tty => "tty",
            Step::Run { .. } => "run",
        }
    }

    /// What stands behind the name; empty if nothing does.
    fn argument(&self) -> String {
        let with = |first: &str, second: Option<&str>| match second {
            Some(second) => format!("{first}/{second}"),
            None => first.to_owned(),
        };
        match self {
            Step::Sudo { user, .. } | Step::Doas { user, .. } => user.clone(),
            Step::Su { user, login, .. } => with(user, login.then_some(LOGIN)),
            Step::Docker { container, user } | Step::Podman { container, user } => {
                with(container, user.as_deref())
            }
            Step::Kubectl {
                namespace,
                pod,
                container,
            } => match (namespace, container) {
                (None, _) => pod.clone(),
                (Some(namespace), container) => {
                    with(&format!("{namespace}/{pod}"), container.as_deref())
                }
            },
            Step::Nsenter { pid, namespaces } => with(
                &pid.to_string(),
                (!namespaces.is_empty()).then_some(namespaces),
            ),
            Step::Chroot { directory } => directory.trim_start_matches('/').to_owned(),
            Step::Lxc { container } | Step::Incus { container } => container.clone(),
            Step::Machinectl { machine, user } => with(machine, user.as_deref()),
            Step::Ssh { host } => host.to_string(),
            Step::Tty => String::new(),
            // Joining fails only on a NUL, which parsing refuses.
            Step::Run { words } => {
                shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default()
            }
        }
    }
}

const LOGIN: &str = "login";

/// As a list of steps writes it, but for the backslash in front of a comma.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.argument() {
            argument if argument.is_empty() => f.write_str(self.name()),
            argument => write!(f, "{}/{argument}", self.name()),
        }
    }
}

impl FromStr for Step {
    type Err = String;

    /// Reads one step; a comma in it has no meaning of its own. The error is a reason alone.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, argument) = text.split_once('/').unwrap_or((text, ""));
        let Some((_, form)) = FORMS.iter().find(|(known, _)| *known == name) else {
            let names = FORMS.map(|(name, _)| name).join(", ");
            return Err(if text.is_empty() {
                format!("a step is empty: it begins with one of {names}")
            } else {
                format!("unknown step {name:?}: it begins with one of {names}")
            });
        };
        let wrong = || format!("step {text:?}: it is written {form}");
        if argument.chars().any(char::is_control) {
            return Err(format!("step {name:?} has a control character"));
        }
        let parts: Vec<&str> = argument.split('/').collect();
        let user =
            |user: &str| parse_user(user).map_err(|reason| format!("step {text:?}: {reason}"));
        let user_or_root = |text: &str| {
            if text.is_empty() {
                Ok("root".to_owned())
            } else {
                user(text)
            }
        };
        let named = |text: &str| is_name(text).then(|| text.to_owned()).ok_or_else(wrong);
        match (name, parts.as_slice()) {
            ("sudo", [one]) => Ok(Step::sudo(user_or_root(one)?)),
            ("doas", [one]) => Ok(Step::Doas {
                user: user_or_root(one)?,
                password: None,
            }),
            ("tty", [""]) => Ok(Step::Tty),
            ("su", [one, rest @ ..]) if rest.is_empty() || rest == [LOGIN] => Ok(Step::Su {
                user: user_or_root(one)?,
                login: !rest.is_empty(),
                password: None,
            }),
            ("docker" | "podman" | "machinectl", [first, rest @ ..]) if rest.len() <= 1 => {
                let container = named(first)?;
                let user = rest.first().map(|name| user(name)).transpose()?;
                Ok(match name {
                    "docker" => Step::Docker { container, user },
                    "podman" => Step::Podman { container, user },
                    _ => Step::Machinectl {
                        machine: container,
                        user,
                    },
                })
            }
            ("kubectl", [pod]) => Ok(Step::Kubectl {
                namespace: None,
                pod: named(pod)?,
                container: None,
            }),
            ("kubectl", [namespace, pod, rest @ ..]) if rest.len() <= 1 => Ok(Step::Kubectl {
                namespace: Some(named(namespace)?),
                pod: named(pod)?,
                container: rest.first().map(|name| named(name)).transpose()?,
            }),
            ("nsenter", [pid, rest @ ..]) if rest.len() <= 1 => {
                let letters = rest.first().copied().unwrap_or_default();
                let known = letters.chars().all(|letter| NAMESPACES.contains(letter));
                let pid = pid.parse().ok().filter(|pid| *pid > 0);
                match pid.filter(|_| known && (rest.is_empty() || !letters.is_empty())) {
                    Some(pid) => Ok(Step::Nsenter {
                        pid,
                        namespaces: letters.to_owned(),
                    }),
                    None => Err(format!("{}, the letters among {NAMESPACES}", wrong())),
                }
            }
            ("chroot", _) if !argument.trim_matches('/').is_empty() => Ok(Step::Chroot {
                directory: format!("/{}", argument.trim_start_matches('/')),
            }),
            ("lxc", [one]) => Ok(Step::Lxc {
                container: named(one)?,
            }),
            ("incus", [one]) => Ok(Step::Incus {
                container: named(one)?,
            }),
            ("ssh", [_]) => Ok(Step::Ssh {
                host: parse_jump_host(argument)
                    .map_err(|reason| format!("step {text:?}: {reason}"))?,
            }),
            ("run", _) => match words(argument) {
                Ok(words) if words.first().is_some_and(|first| !first.is_empty()) => {
                    Ok(Step::Run { words })
                }
                Ok(_) => Err(wrong()),
                Err(reason) => Err(format!("step {text:?}: {reason}")),
            },
            _ => Err(wrong()),
        }
    }
}

/// Whether a program takes it for a name and not for an option or for several words.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_whitespace)
}

/// Steps with commas between them (CS-34).
pub(super) fn steps(value: &str) -> Result<Vec<Step>, String> {
    cut(value, ',', |_| false)
        .iter()
        .map(|piece| piece.text.parse())
        .collect()
}

/// The other way.
pub(super) fn show_steps(steps: &[Step]) -> String {
    let count = steps.len();
    let texts: Vec<String> = steps
        .iter()
        .enumerate()
        .map(|(at, step)| escape_separator(&step.to_string(), ',', at + 1 == count, |_| false))
        .collect();
    texts.join(",")
}

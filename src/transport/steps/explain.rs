//! Why a step failed, from what its program printed: a sentence and what to do next.
//!
//! Programs speak the language of the account, so all of it is a help where it fits, and what was printed is always shown.

use crate::error::{ConnectError, Stage};
use crate::spec::Step;
use crate::transport::ExitStatus;

/// What a program prints, what it means, what to do next. `{0}` is the step's user or container, `{1}` the step as it is written.
struct Sign {
    steps: &'static [&'static str],
    /// One of these, in lower case.
    printed: &'static [&'static str],
    means: &'static str,
    hint: &'static str,
}

const BY_HAND: &str = "try by hand what the step does there";
const PASSWORD: &str = "give one by --ask-sudo-password, --sudo-password-file or, in a program, the step's password; or allow it without one (NOPASSWD in sudoers)";
const NEEDS_ROOT: &str = "put a step that makes you root in front of it: then=sudo/root,{1}";
const CONTAINERS: &[&str] = &["docker", "podman"];

// The first that fits counts, so that particular ones stand before general ones.
const SIGNS: &[Sign] = &[
    Sign {
        steps: &["sudo"],
        printed: &[
            "sorry, you must have a tty",
            "a terminal is required to run",
        ],
        means: "sudo there wants a terminal (requiretty), and the step has none",
        hint: "put the step tty in front: then=tty,{1}; or switch it off for this account in sudoers: Defaults:ACCOUNT !requiretty",
    },
    Sign {
        steps: &["sudo"],
        printed: &[
            "incorrect password attempt",
            "incorrect authentication attempt",
            "sorry, try again",
            "authentication failed, try again",
            "maximum 3 incorrect",
        ],
        means: "sudo refused the password",
        hint: "sudo wants the password of the account that logs in, unless its configuration says otherwise",
    },
    Sign {
        steps: &["sudo"],
        printed: &[
            "a password is required",
            "a terminal is required",
            "no password was provided",
            "interactive authentication is required",
            "no askpass program",
        ],
        means: "sudo wants a password, and none was given",
        hint: PASSWORD,
    },
    Sign {
        steps: &["sudo"],
        printed: &[
            "not in the sudoers file",
            "may not run sudo",
            "i'm sorry ",
            "is not allowed to run sudo",
        ],
        means: "the account may not use sudo there",
        hint: "add it to sudoers, or log in as an account that may",
    },
    Sign {
        steps: &["sudo"],
        printed: &["is not allowed to execute", "is not allowed to run"],
        means: "sudoers does not let the account run a shell as {0}",
        hint: "it has to allow /bin/sh, or ALL, for that user: ACCOUNT ALL=({0}) ALL",
    },
    Sign {
        steps: &["sudo", "doas"],
        printed: &["unknown user", "user not found"],
        means: "there is no user {0}",
        hint: "correct the step {1}",
    },
    Sign {
        steps: &["sudo"],
        printed: &[
            "effective uid is not 0",
            "must be owned by uid 0",
            "no new privileges",
        ],
        means: "sudo cannot become another user there: it lacks its setuid bit, or setuid programs are switched off",
        hint: "a container or service with no_new_privs, or a file system mounted nosuid, has no sudo; log in as that user",
    },
    Sign {
        steps: &["sudo"],
        printed: &[
            "syntax error",
            "parse error",
            "no valid sudoers sources",
            "unable to initialize policy",
            "is world writable",
        ],
        means: "sudo's own configuration is broken there",
        hint: "look at it with visudo -c",
    },
    Sign {
        steps: &["su"],
        printed: &["must be run from a terminal"],
        means: "su there wants a terminal, and the step has none",
        hint: "put the step tty in front: then=tty,{1}; or take sudo/{0} in its place",
    },
    Sign {
        steps: &["su"],
        printed: &[
            "authentication failure",
            "incorrect password",
            "authentication token manipulation",
        ],
        means: "su refused the password of {0}",
        hint: "su wants the password of the user that is become, not that of the login; sudo/{0} wants the login's",
    },
    Sign {
        steps: &["su"],
        printed: &[
            "does not exist",
            "unknown id",
            "no passwd entry",
            "unknown user",
        ],
        means: "there is no user {0}",
        hint: "correct the step {1}",
    },
    Sign {
        steps: &["su"],
        printed: &["account is currently not available", "permission denied"],
        means: "su does not let the account become {0}, or {0} has no login shell",
        hint: "take sudo/{0}, which needs no login shell",
    },
    Sign {
        steps: &["doas"],
        printed: &[
            "authentication required",
            "authorization required",
            "a tty is required",
        ],
        means: "doas wants a password, which it reads from a terminal alone, and the step has none",
        hint: "put the step tty in front: then=tty,{1}; or add nopass to the account's rule in doas.conf, or take sudo/{0}",
    },
    Sign {
        steps: &["doas"],
        printed: &["authentication failed", "authentication failure"],
        means: "doas refused the password",
        hint: "doas wants the password of the account that becomes {0}; it was tried once, because accounts are locked after several times",
    },
    Sign {
        steps: &["doas"],
        printed: &["operation not permitted", "not permitted"],
        means: "doas.conf does not let the account become {0}",
        hint: "add a rule: permit nopass ACCOUNT as {0}",
    },
    Sign {
        steps: &["doas"],
        printed: &[
            "doas is not enabled",
            "doas.conf",
            "not installed setuid",
            "syntax error",
        ],
        means: "doas is not set up there",
        hint: "write its configuration, or take sudo/{0}",
    },
    Sign {
        steps: CONTAINERS,
        printed: &[
            "no such container",
            "no container with name",
            "no such object",
        ],
        means: "there is no container {0}",
        hint: "look with `docker ps -a` or `podman ps -a` whose it is: containers of podman belong to the user that made them",
    },
    Sign {
        steps: CONTAINERS,
        printed: &["is not running", "container state improper", "is paused"],
        means: "the container {0} does not run",
        hint: "start it, then connect",
    },
    Sign {
        steps: CONTAINERS,
        printed: &["unable to find user", "no matching entries in passwd"],
        means: "the container has no such user",
        hint: "correct the step {1}",
    },
    Sign {
        steps: CONTAINERS,
        printed: &["permission denied", "dial unix", "got permission denied"],
        means: "the account may not use {1}'s program",
        hint: NEEDS_ROOT,
    },
    Sign {
        steps: CONTAINERS,
        printed: &[
            "cannot connect to the docker daemon",
            "is the docker daemon running",
        ],
        means: "the docker daemon does not run there",
        hint: "start it, then connect",
    },
    Sign {
        steps: &[
            "docker", "podman", "chroot", "kubectl", "nsenter", "lxc", "incus",
        ],
        printed: &[
            "/bin/sh: no such file",
            "\"/bin/sh\": no such file",
            "'/bin/sh': no such file",
            "stat /bin/sh",
            "\"/bin/sh\": executable file not found",
            "failed to execute /bin/sh",
            "failed to run command",
            "failed to exec",
        ],
        means: "there is no /bin/sh behind {1}",
        hint: "the stub needs a shell and a Python there; an image without them cannot be entered",
    },
    Sign {
        steps: &["kubectl"],
        printed: &["not found"],
        means: "there is no such pod or namespace: {0}",
        hint: "it is written kubectl/NAMESPACE/POD; look with `kubectl get pods -A`",
    },
    Sign {
        steps: &["kubectl"],
        printed: &["is not valid for pod", "container not found"],
        means: "the pod has no such container",
        hint: "it is written kubectl/NAMESPACE/POD/CONTAINER",
    },
    Sign {
        steps: &["kubectl"],
        printed: &["forbidden", "unauthorized", "must be logged in"],
        means: "the cluster does not let the account run commands in pods",
        hint: "look at `kubectl auth can-i create pods/exec`",
    },
    Sign {
        steps: &["kubectl"],
        printed: &[
            "connection to the server",
            "unable to connect",
            "no configuration",
        ],
        means: "kubectl does not reach its cluster",
        hint: "look at the kubeconfig of the account there",
    },
    Sign {
        steps: &["nsenter"],
        printed: &["no such file or directory", "no such process"],
        means: "there is no process {0}",
        hint: "the number is that of the machine where the step runs",
    },
    Sign {
        steps: &["nsenter", "chroot"],
        printed: &["operation not permitted", "permission denied"],
        means: "{1} needs root",
        hint: NEEDS_ROOT,
    },
    Sign {
        steps: &["chroot"],
        printed: &["no such file or directory", "not a directory"],
        means: "there is no directory {0}",
        hint: "correct the step {1}; its directory is absolute",
    },
    Sign {
        steps: &["lxc", "incus"],
        printed: &["not found", "instance not found", "no such object"],
        means: "there is no container {0}",
        hint: "correct the step {1}",
    },
    Sign {
        steps: &["lxc", "incus"],
        printed: &["is not running", "not running"],
        means: "the container {0} does not run",
        hint: "start it, then connect",
    },
    Sign {
        steps: &["machinectl"],
        printed: &[
            "booted with systemd",
            "bus: no such file or directory",
            "transport: no such file or directory",
            "host is down",
        ],
        means: "systemd does not run on the machine, or its bus does not answer",
        hint: "look at `systemctl status systemd-machined` there",
    },
    Sign {
        steps: &["machinectl"],
        printed: &[
            "no machine",
            "not known",
            "interactive authentication required",
            "access denied",
        ],
        means: "systemd does not let the account into {0}, or there is no such machine",
        hint: NEEDS_ROOT,
    },
    Sign {
        steps: &["ssh"],
        printed: &[
            "host key verification failed",
            "host key is known",
            "identification has changed",
        ],
        means: "the machine in between does not know the host key of {0}",
        hint: "log in once by hand from there, or use jump= in the place of the step: then the key is checked here",
    },
    Sign {
        steps: &["ssh"],
        printed: &["permission denied"],
        means: "{0} does not accept a key that the machine in between has",
        hint: "nothing can be typed there; put a key or an agent on it, or use jump= in the place of the step, which logs in from here",
    },
    Sign {
        steps: &["ssh"],
        printed: &["could not resolve", "name or service not known"],
        means: "the machine in between cannot look up {0}",
        hint: "correct the step {1}",
    },
    Sign {
        steps: &["ssh"],
        printed: &[
            "connection refused",
            "timed out",
            "no route",
            "unreachable",
            "connection closed",
        ],
        means: "the machine in between cannot reach {0}",
        hint: "try the same from there",
    },
];

/// Why the way through the steps ended before the first stage said a word; `None` where it was the connection that ended.
pub(crate) fn explain(
    host: &str,
    steps: &[Step],
    status: Option<&ExitStatus>,
    printed: &str,
) -> Option<ConnectError> {
    let last = steps.last()?;
    let text = printed.to_lowercase();
    if text.trim().is_empty()
        && !matches!(status, Some(ExitStatus::Code(_) | ExitStatus::Signal(_)))
    {
        return None;
    }
    let fill = |text: &str, step: &Step| {
        text.replace("{0}", &place(step))
            .replace("{1}", &step.to_string())
    };
    let error = |step: &Step, means: &str, hint: &str| {
        ConnectError::new(host, Stage::Escalation, fill(means, step)).with_hint(fill(hint, step))
    };
    let fits = |sign: &Sign, step: &Step| {
        sign.steps.contains(&step.name()) && sign.printed.iter().any(|words| text.contains(words))
    };
    // A program calls itself by its name; where several steps are of one kind, their places tell.
    let speaks = |step: &Step| text.contains(&format!("{}:", program(step)));
    for step in steps.iter().filter(|step| speaks(step)).chain(steps) {
        let missing = [
            ": not found",
            ": command not found",
            "unknown command",
            "no such file or directory",
        ]
        .iter()
        .any(|words| text.contains(&format!("{}{words}", program(step))));
        if missing && !matches!(step, Step::Run { .. }) {
            let means = format!("the machine has no {}", program(step));
            return Some(error(
                step,
                &means,
                "install it there, or take another step",
            ));
        }
        let named = SIGNS.iter().find(|sign| {
            fits(sign, step)
                && sign
                    .printed
                    .iter()
                    .any(|words| text.contains(words) && is_about(&text, words, step))
        });
        if let Some(sign) = named.or_else(|| SIGNS.iter().find(|sign| fits(sign, step))) {
            return Some(error(step, sign.means, sign.hint));
        }
    }
    let status = status.map_or_else(
        || "the connection ended without an exit status".to_owned(),
        ToString::to_string,
    );
    let means = format!("Python did not start behind {{1}}: {status}");
    Some(error(last, &means, BY_HAND))
}

/// Whether the line with these words names what the step is about.
fn is_about(text: &str, words: &str, step: &Step) -> bool {
    let place = place(step).to_lowercase();
    text.lines()
        .any(|line| line.contains(words) && line.contains(&place))
}

/// The program that a step runs.
fn program(step: &Step) -> &str {
    match step {
        Step::Machinectl { .. } => "systemd-run",
        Step::Tty => "python",
        Step::Run { words } => words.first().map_or("", String::as_str),
        _ => step.name(),
    }
}

/// Whom a step becomes, or where it leads.
fn place(step: &Step) -> String {
    match step {
        Step::Sudo { user, .. } | Step::Su { user, .. } | Step::Doas { user, .. } => user.clone(),
        Step::Docker { container, .. }
        | Step::Podman { container, .. }
        | Step::Lxc { container }
        | Step::Incus { container } => container.clone(),
        Step::Kubectl { pod, .. } => pod.clone(),
        Step::Nsenter { pid, .. } => pid.to_string(),
        Step::Chroot { directory } => directory.clone(),
        Step::Machinectl { machine, .. } => machine.clone(),
        Step::Ssh { host } => host.to_string(),
        Step::Tty => String::new(),
        Step::Run { words } => words.join(" "),
    }
}

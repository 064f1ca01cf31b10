//! The variables of Ansible that say how to connect, as a connection spec.

use super::InventoryError;
use super::groups::{Host, Share, Variable};
use crate::Plain;
use crate::spec::{ConnectionSpec, Host as SpecHost, Password, SshChoice, Step};

/// A host of an inventory, and what it takes from its groups.
pub(super) struct Wanted<'a> {
    pub(super) host: &'a Host,
    pub(super) share: &'a Share,
}

/// Names of each variable, those that count more first.
const HOST: &[&str] = &["ansible_ssh_host", "ansible_host"];
const PORT: &[&str] = &["ansible_ssh_port", "ansible_port"];
const USER: &[&str] = &["ansible_ssh_user", "ansible_user"];
const KEY_FILE: &[&str] = &["ansible_ssh_private_key_file", "ansible_private_key_file"];
const PYTHON: &[&str] = &["ansible_python_interpreter"];
const CONNECTION: &[&str] = &["ansible_connection"];
const PASSWORD: &[&str] = &[
    "ansible_ssh_password",
    "ansible_ssh_pass",
    "ansible_password",
];
const BECOME: &[&str] = &["ansible_become"];
const BECOME_PASSWORD: &[&str] = &["ansible_become_password", "ansible_become_pass"];
const BECOME_USER: &[&str] = &["ansible_become_user"];
const BECOME_METHOD: &[&str] = &["ansible_become_method"];
/// In the order in which Ansible gives them to ssh.
const SSH_ARGUMENTS: &[&str] = &[
    "ansible_ssh_args",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
];

/// What Ansible's choice of an interpreter is called.
const AUTOMATIC: &[&str] = &["auto", "auto_legacy", "auto_silent", "auto_legacy_silent"];
/// The interpreter that Ansible itself runs on, which is written for this machine.
const OWN_PYTHON: &str = "ansible_playbook_python";

impl Wanted<'_> {
    /// A variable of the host, or else of its groups.
    fn variable(&self, name: &str) -> Option<&Variable> {
        let own = self.host.in_files.get(name);
        own.or_else(|| self.host.variables.get(name))
            .or_else(|| self.share.variables.get(name))
            .map(|found| &**found)
    }

    pub(super) fn wrong(&self, variable: &str, reason: impl std::fmt::Display) -> InventoryError {
        let place = self
            .variable(variable)
            .map_or(&self.host.place, |found| &found.place);
        InventoryError::new(format!("{}: {variable}: {reason}", self.host.name)).at(place.as_str())
    }

    /// The first of these variables that is set, and its name. What is empty counts as not set.
    pub(super) fn find<'n>(
        &self,
        names: &[&'n str],
    ) -> Result<Option<(&'n str, String)>, InventoryError> {
        for name in names {
            if let Some(variable) = self.variable(name)
                && let Some(text) = self.text(name, variable)?
            {
                return Ok(Some((*name, text)));
            }
        }
        Ok(None)
    }

    fn text(&self, name: &str, variable: &Variable) -> Result<Option<String>, InventoryError> {
        let text = match &variable.value {
            None => {
                return Err(self
                    .wrong(name, "the value is encrypted by Ansible Vault")
                    .with_hint("write the value itself, or use a key or an agent in its place"));
            }
            Some(Plain::None) => return Ok(None),
            Some(Plain::Str(text)) => text.clone(),
            Some(Plain::Int(number)) => number.to_string(),
            Some(Plain::BigInt(number)) => number.to_string(),
            Some(Plain::Bool(true)) => "true".to_owned(),
            Some(Plain::Bool(false)) => "false".to_owned(),
            Some(_) => return Err(self.wrong(name, "the value is not text")),
        };
        if text.contains("{{") || text.contains("{%") {
            return Err(self
                .wrong(
                    name,
                    format!("{text:?} is a template, which Ansible alone can fill in"),
                )
                .with_hint(format!(
                    "write the value itself; `ansible -i FILE {} -m debug -a var={name}` prints it",
                    self.host.name
                )));
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn truth(&self, names: &[&str]) -> Result<bool, InventoryError> {
        let Some((name, text)) = self.find(names)? else {
            return Ok(false);
        };
        match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" | "y" | "t" => Ok(true),
            "false" | "no" | "off" | "0" | "n" | "f" => Ok(false),
            _ => Err(self.wrong(name, format!("{text:?} is neither yes nor no"))),
        }
    }

    /// The password to log in with, if there is one.
    pub(super) fn password(&self) -> Result<Option<String>, InventoryError> {
        Ok(self.find(PASSWORD)?.map(|(_, text)| text))
    }

    /// Sets what the variables say in a spec that says nothing yet.
    pub(super) fn spec(&self) -> Result<ConnectionSpec, InventoryError> {
        let mut is_local = false;
        let mut spec = match self.find(CONNECTION)? {
            None => self.remote()?,
            Some((name, kind)) => {
                let here = || ConnectionSpec::for_host(SpecHost::Local);
                let plugin = kind.rsplit('.').next().unwrap_or_default();
                match plugin {
                    "ssh" | "smart" | "paramiko" | "paramiko_ssh" | "libssh" => self.remote()?,
                    "local" => {
                        is_local = true;
                        here()
                    }
                    _ => match self.container(plugin)? {
                        Some(step) => here().with_step(step),
                        None => {
                            return Err(self
                                .wrong(name, format!("{kind:?} is not a way of connecting here"))
                                .with_hint("hosts are connected by ssh, are local, or are containers of docker, podman, kubectl, chroot, lxd, incus or lxc; leave others out with -x"));
                        }
                    },
                }
            }
        };
        self.interpreter(is_local, &mut spec)?;
        self.rights(&mut spec)?;
        spec.name = Some(self.host.name.to_owned());
        Ok(spec)
    }

    /// The address or name that a connection is made by.
    pub(super) fn address(&self) -> Result<String, InventoryError> {
        let found = self.find(HOST)?;
        Ok(found.map_or_else(|| self.host.name.to_owned(), |(_, host)| host))
    }

    /// The user to log in as, where one is said.
    pub(super) fn login(&self) -> Result<Option<String>, InventoryError> {
        Ok(self.find(USER)?.map(|(_, user)| user))
    }

    fn remote(&self) -> Result<ConnectionSpec, InventoryError> {
        let (variable, host) = match self.find(HOST)? {
            Some((variable, host)) => (variable, host),
            None => ("name", self.host.name.to_owned()),
        };
        let mut spec = ConnectionSpec::for_head(&host)
            .map_err(|reason| self.wrong(variable, format!("{host:?}: {reason}")))?;
        spec.ssh = Some(SshChoice::Yes);
        spec.port = match self.find(PORT)? {
            None => None,
            Some((variable, text)) => {
                let port = text.parse().ok().filter(|port| *port != 0);
                let wrong = || self.wrong(variable, format!("{text:?} is not a port: 1 to 65535"));
                Some(port.ok_or_else(wrong)?)
            }
        };
        self.option(USER, "user", &mut spec)?;
        self.option(KEY_FILE, "identity", &mut spec)?;
        for names in SSH_ARGUMENTS {
            if let Some((variable, text)) = self.find(std::slice::from_ref(names))? {
                let words = shlex::split(&text)
                    .ok_or_else(|| self.wrong(variable, "a quote is not closed"))?;
                spec.extra.extend(words);
            }
        }
        Ok(spec)
    }

    /// Sets an option of the spec to the first of these variables.
    fn option(
        &self,
        names: &[&str],
        option: &str,
        spec: &mut ConnectionSpec,
    ) -> Result<(), InventoryError> {
        if let Some((variable, text)) = self.find(names)? {
            *spec = spec
                .clone()
                .with_option(option, &text)
                .map_err(|error| self.wrong(variable, error.reason()))?;
        }
        Ok(())
    }

    fn interpreter(&self, is_local: bool, spec: &mut ConnectionSpec) -> Result<(), InventoryError> {
        let text = self
            .variable("ansible_python_interpreter")
            .and_then(|found| found.value.as_ref());
        let text = text.and_then(Plain::as_str).unwrap_or_default();
        if AUTOMATIC.contains(&text) || (is_local && text.contains(OWN_PYTHON)) {
            return Ok(());
        }
        self.option(PYTHON, "rpython", spec)
    }

    /// Whose rights the code has: `ansible_become`.
    fn rights(&self, spec: &mut ConnectionSpec) -> Result<(), InventoryError> {
        if !self.truth(BECOME)? {
            return Ok(());
        }
        let user = self.find(BECOME_USER)?;
        let user = user.map_or_else(|| "root".to_owned(), |(_, user)| user);
        let method = self.find(BECOME_METHOD)?;
        let method = method.map_or_else(|| "sudo".to_owned(), |(_, method)| method);
        let method = method.rsplit('.').next().unwrap_or_default();
        if !["sudo", "su", "doas"].contains(&method) {
            return Err(self
                .wrong(
                    "ansible_become_method",
                    format!("{method:?} is not a way of becoming a user here"),
                )
                .with_hint("there are sudo, su and doas"));
        }
        let step: Step = format!("{method}/{user}")
            .parse()
            .map_err(|reason| self.wrong("ansible_become_user", reason))?;
        let step = match self.find(BECOME_PASSWORD)? {
            Some((_, password)) => step.with_password(Password::given(password)),
            None => step,
        };
        if let Step::Sudo { .. } = step {
            spec.become_step = Some(step);
            return Ok(());
        }
        if matches!(step, Step::Doas { .. }) && step.password().is_some() {
            // It asks on a terminal alone.
            *spec = spec.clone().with_step(Step::Tty);
        }
        *spec = spec.clone().with_step(step);
        Ok(())
    }

    /// Whether a password is among what is used.
    pub(super) fn has_password(&self) -> bool {
        let known = |name: &&str| {
            self.variable(name)
                .is_some_and(|found| found.value.is_some())
        };
        PASSWORD.iter().chain(BECOME_PASSWORD).any(known)
    }
}

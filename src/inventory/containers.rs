//! Ansible's connections that begin on this machine: containers and other roots, as steps behind a child process.

use super::InventoryError;
use super::variables::Wanted;
use crate::spec::Step;

/// Ansible's connection plugins by the last part of their names, and the step that each of them is.
const STEPS: &[(&str, &str)] = &[
    ("docker", "docker"),
    ("docker_api", "docker"),
    ("podman", "podman"),
    ("kubectl", "kubectl"),
    ("oc", "kubectl"),
    ("chroot", "chroot"),
    ("lxd", "lxc"),
    ("incus", "incus"),
    ("lxc", "run/lxc-attach -n"),
    ("nsenter", "nsenter"),
];

const POD: &[&str] = &["ansible_kubectl_pod"];
const NAMESPACE: &[&str] = &["ansible_kubectl_namespace"];
const CONTAINER: &[&str] = &["ansible_kubectl_container"];
const PID: &[&str] = &["ansible_nsenter_pid"];

impl Wanted<'_> {
    /// The step that a connection of this kind is, if it is one that begins on this machine.
    pub(super) fn container(&self, kind: &str) -> Result<Option<Step>, InventoryError> {
        let Some((_, step)) = STEPS.iter().find(|(known, _)| *known == kind) else {
            return Ok(None);
        };
        let place = self.address()?;
        let text = match *step {
            "docker" | "podman" => match self.login()? {
                Some(user) => format!("{step}/{place}/{user}"),
                None => format!("{step}/{place}"),
            },
            "kubectl" => {
                let pod = self.found(POD)?.unwrap_or(place);
                let namespace = self.found(NAMESPACE)?;
                match (namespace, self.found(CONTAINER)?) {
                    (None, None) => format!("{step}/{pod}"),
                    (namespace, container) => {
                        let namespace = namespace.unwrap_or_else(|| "default".to_owned());
                        let container = container.map(|name| format!("/{name}"));
                        format!("{step}/{namespace}/{pod}{}", container.unwrap_or_default())
                    }
                }
            }
            "nsenter" => format!(
                "{step}/{}",
                self.found(PID)?.unwrap_or_else(|| "1".to_owned())
            ),
            "chroot" | "lxc" | "incus" => format!("{step}/{place}"),
            attach => {
                let name = shlex::try_quote(&place).unwrap_or_default().into_owned();
                format!("{attach} {name} --")
            }
        };
        let step = text
            .parse()
            .map_err(|reason| self.wrong("ansible_connection", reason))?;
        Ok(Some(step))
    }

    fn found(&self, names: &[&str]) -> Result<Option<String>, InventoryError> {
        Ok(self.find(names)?.map(|(_, text)| text))
    }
}

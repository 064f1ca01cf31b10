//! Which hosts are meant: ranges of names, groups, patterns, and the inventories of Ansible.
//!
//! [`expand`] turns `web[01-20]` into names and [`fold`] turns names into `web[01-20]`. An [`Inventory`] holds hosts in groups, and
//! [`Inventory::select`] chooses among them by patterns:
//!
//! ```
//! use easycluster::inventory::Inventory;
//!
//! let text = "[web]\nweb[01:03] ansible_user=deploy\n[old]\nweb03\n";
//! let inventory = Inventory::parse(text, "hosts.ini")?;
//! let hosts = inventory.select(&["web:!old"])?;
//! let names: Vec<&str> = hosts.iter().map(|host| host.name()).collect();
//! assert_eq!(names, ["web01", "web02"]);
//! assert_eq!(hosts[0].spec()?.to_string(), "deploy@web01:ssh=yes:name=web01");
//! # Ok::<(), easycluster::inventory::InventoryError>(())
//! ```

mod containers;
mod error;
mod folding;
mod groups;
mod ini;
mod json;
mod lines;
mod literal;
mod pattern;
mod ranges;
mod source;
mod tree;
mod variables;
mod vars_files;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use groups::{Groups, Host, Share};
use variables::Wanted;

use crate::Plain;
use crate::spec::{ConnectionSpec, ParseOptions};

pub use error::InventoryError;
pub use folding::fold;
pub use ranges::expand;
#[cfg(feature = "cli")]
pub(crate) use source::text_within;
pub(crate) use source::without_mark;

/// The most hosts that a text or an inventory may name.
pub const MAX_HOSTS: usize = 100_000;

/// Hosts and the groups that they are in, with the variables of both.
#[derive(Clone, Default)]
pub struct Inventory {
    groups: Groups,
}

impl Inventory {
    /// Reads a file, whose form its content tells: INI, YAML or JSON as Ansible has them, or a list of connection specs. An
    /// executable file is run with `--list` and gives JSON, `-` is standard input, and of a folder every file is read. A text with a
    /// comma is a list of hosts itself. Variables in `group_vars` and `host_vars` beside it are read too.
    ///
    /// # Errors
    /// What cannot be read or understood, with the file and the line.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, InventoryError> {
        let mut inventory = Inventory::default();
        inventory.add(path)?;
        Ok(inventory)
    }

    /// Adds what another file says, as [`Inventory::read`] reads it. Where both set a variable, the later one counts.
    ///
    /// # Errors
    /// As [`Inventory::read`].
    pub fn add(&mut self, path: impl AsRef<Path>) -> Result<(), InventoryError> {
        source::read(path.as_ref(), &mut self.groups)?;
        vars_files::load(&mut self.groups)?;
        self.groups.finish()
    }

    /// Reads a text, whose form it tells itself. Errors call it `name`; where that ends in `.yml`, `.yaml`, `.json` or `.ini`, that
    /// is the form.
    ///
    /// # Errors
    /// As [`Inventory::read`].
    pub fn parse(text: &str, name: &str) -> Result<Self, InventoryError> {
        let mut inventory = Inventory::default();
        source::parse(text, name, &mut inventory.groups)?;
        inventory.groups.finish()?;
        Ok(inventory)
    }

    /// Reads a list of connection specs, in which a line has one or more with commas between them, ranges, or `@group`; `[group]`
    /// stands above those of a group, and `#` begins a comment. Errors call it `name`.
    ///
    /// # Errors
    /// A line that is wrong, by its number.
    pub fn parse_list(text: &str, name: &str) -> Result<Self, InventoryError> {
        let mut inventory = Inventory::default();
        lines::read(text, name, &mut inventory.groups)?;
        inventory.groups.finish()?;
        Ok(inventory)
    }

    /// Hosts of which only their names and groups are known.
    pub(crate) fn of_groups<'a>(
        hosts: impl IntoIterator<Item = (&'a str, &'a [String])>,
    ) -> Result<Self, InventoryError> {
        let mut inventory = Inventory::default();
        let all = inventory.groups.group(groups::ALL, "");
        for (host, names) in hosts {
            inventory.groups.host(host, all, "")?;
            for name in names {
                let group = inventory.groups.group(name, "");
                inventory.groups.host(host, group, "")?;
            }
        }
        inventory.groups.finish()?;
        Ok(inventory)
    }

    /// The hosts that a command line names: its words in order and then the hosts of the lists (name and text), or only those of
    /// the groups of the lists that its words name (`@group`); without those that match `excluded`.
    pub(crate) fn of_command_line(
        words: &[String],
        lists: &[(String, String)],
        excluded: &[&str],
    ) -> Result<(Vec<InventoryHost>, Vec<String>), InventoryError> {
        let mut inventory = Inventory::default();
        inventory.groups.given = true;
        let (mut hosts, named) = lines::add_words(words, &mut inventory.groups)?;
        for (name, text) in lists {
            lines::read(text, name, &mut inventory.groups)?;
        }
        inventory.groups.finish()?;
        if named.is_empty() {
            hosts.extend(0..inventory.groups.hosts.len());
        }
        for name in named {
            if lists.is_empty() {
                return Err(
                    InventoryError::new(format!("there is no group {name}")).with_hint(
                        "groups are those of a file of hosts, -f FILE, or of an inventory, -I FILE",
                    ),
                );
            }
            hosts.extend(pattern::select(&inventory.groups, &[&format!("@{name}")])?);
        }
        let mut there = std::collections::HashSet::new();
        hosts.retain(|host| there.insert(*host));
        inventory.exclude(excluded, &mut hosts)?;
        Ok((inventory.chosen(&hosts), inventory.groups.warnings))
    }

    /// Leaves out the hosts that one of these patterns matches.
    fn exclude(&self, excluded: &[&str], hosts: &mut Vec<usize>) -> Result<(), InventoryError> {
        if !excluded.is_empty() {
            let out = pattern::select(&self.groups, excluded)?;
            let out: std::collections::HashSet<usize> = out.into_iter().collect();
            hosts.retain(|host| !out.contains(host));
        }
        Ok(())
    }

    /// The hosts that patterns choose but others do not.
    pub(crate) fn select_without(
        &self,
        patterns: &[&str],
        excluded: &[&str],
    ) -> Result<Vec<InventoryHost>, InventoryError> {
        let mut hosts = pattern::select(&self.groups, patterns)?;
        self.exclude(excluded, &mut hosts)?;
        Ok(self.chosen(&hosts))
    }

    /// What should be known about what was read, such as a key that stands twice.
    pub fn warnings(&self) -> &[String] {
        &self.groups.warnings
    }

    /// The names of the groups, `all` and `ungrouped` first.
    pub fn groups(&self) -> Vec<&str> {
        let groups = self.groups.groups.iter();
        groups.map(|group| group.name.as_str()).collect()
    }

    /// All hosts, in the order of the groups, as the pattern `all` gives them.
    pub fn hosts(&self) -> Vec<InventoryHost> {
        let all = self.groups.find_group(groups::ALL);
        self.chosen(&self.groups.hosts_of(all.as_slice()))
    }

    /// The hosts that patterns choose, as Ansible does: a group, a host, a glob or `~regex`, several with colons or commas between,
    /// `&` for hosts that must also match, `!` for those to leave out, `group[0:3]` for some of a group. `@group` is a group too, and
    /// `web[01-20]` the hosts of those names, also where `web` is a group.
    ///
    /// # Errors
    /// A name that is neither a group nor a host, and patterns that choose no host.
    pub fn select(&self, patterns: &[&str]) -> Result<Vec<InventoryHost>, InventoryError> {
        Ok(self.chosen(&pattern::select(&self.groups, patterns)?))
    }

    fn chosen(&self, numbers: &[usize]) -> Vec<InventoryHost> {
        let hosts = numbers.iter().filter_map(|number| {
            let host = self.groups.hosts.get(*number)?;
            Some(InventoryHost {
                host: Arc::clone(host),
                share: self.groups.share_of(*number),
            })
        });
        hosts.collect()
    }
}

/// A host that an [`Inventory`] has chosen, with all variables that are valid for it.
#[derive(Clone)]
pub struct InventoryHost {
    host: Arc<Host>,
    share: Arc<Share>,
}

impl InventoryHost {
    /// What the inventory calls it.
    pub fn name(&self) -> &str {
        &self.host.name
    }

    /// The groups that it is in, sorted; `all` is not named.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.share.groups.iter().map(|name| &**name)
    }

    /// The file and the line that first named it.
    pub fn place(&self) -> &str {
        &self.host.place
    }

    /// Its variables and those of its groups. Those that Ansible Vault has encrypted are left out.
    pub fn variables(&self) -> BTreeMap<&str, &Plain> {
        let known = self.share.variables.iter().chain(&self.host.variables);
        known
            .chain(&self.host.in_files)
            .filter_map(|(name, variable)| Some((&**name, variable.value.as_ref()?)))
            .collect()
    }

    /// How to connect to it: by SSH, as `ansible_host`, `ansible_port`, `ansible_user`, `ansible_ssh_private_key_file`,
    /// `ansible_python_interpreter`, `ansible_ssh_common_args` and their like say, or as a child process where `ansible_connection` is
    /// `local`. In a list of specs, what its spec says.
    ///
    /// # Errors
    /// A variable that has no meaning here, is a template, or is encrypted.
    pub fn spec(&self) -> Result<ConnectionSpec, InventoryError> {
        let options = ParseOptions {
            ssh_without_key: true,
            ..ParseOptions::default()
        };
        self.spec_with(&options)
    }

    /// The same with a program's defaults, which are for lists of specs.
    ///
    /// # Errors
    /// As [`InventoryHost::spec`].
    pub fn spec_with(&self, options: &ParseOptions<'_>) -> Result<ConnectionSpec, InventoryError> {
        match &self.host.spec {
            Some(text) => ConnectionSpec::parse_with(text, options)
                .map_err(|error| InventoryError::new(error.to_string()).at(self.place())),
            None => self.wanted().spec(),
        }
    }

    /// The password that the inventory has for logging in. It should be a key or an agent.
    ///
    /// # Errors
    /// A password that is a template or encrypted.
    pub fn password(&self) -> Result<Option<String>, InventoryError> {
        self.wanted().password()
    }

    /// Whether the inventory has a password for it.
    pub(crate) fn has_password(&self) -> bool {
        self.wanted().has_password()
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            host: &self.host,
            share: &self.share,
        }
    }
}

/// Leaves the variables out, which may be secrets.
impl fmt::Debug for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inventory")
            .field("hosts", &self.groups.hosts.len())
            .field("groups", &self.groups.groups.len())
            .finish()
    }
}

/// Leaves the variables out, which may be secrets.
impl fmt::Debug for InventoryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InventoryHost").field(&self.name()).finish()
    }
}

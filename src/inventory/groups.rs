//! What an inventory holds while it is read: hosts, groups of hosts and of groups, and the variables of both.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::ranges::check_count;
use super::{InventoryError, MAX_HOSTS};
use crate::Plain;

/// The group of every host, and that of the hosts which are in no other.
pub(super) const ALL: &str = "all";
pub(super) const UNGROUPED: &str = "ungrouped";

/// A variable, and where it was set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Variable {
    /// None: it is encrypted by Ansible Vault.
    pub(super) value: Option<Plain>,
    pub(super) place: String,
}

pub(super) type Variables = BTreeMap<String, Variable>;

#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    pub(super) name: String,
    /// The port behind its name.
    pub(super) port: Option<u16>,
    /// The connection spec, where the inventory is a list of specs.
    pub(super) spec: Option<String>,
    pub(super) variables: Variables,
    pub(super) place: String,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) hosts: Vec<usize>,
    pub(super) children: Vec<usize>,
    pub(super) variables: Variables,
    /// `ansible_group_priority`.
    pub(super) priority: i64,
    place: String,
}

/// Hosts and groups, in the order in which they came.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    pub(super) hosts: Vec<Host>,
    pub(super) groups: Vec<Group>,
    host_places: HashMap<String, usize>,
    group_places: HashMap<String, usize>,
    members: std::collections::HashSet<(usize, usize)>,
    links: std::collections::HashSet<(usize, usize)>,
    /// What the reader wants to be known.
    pub(super) warnings: Vec<String>,
}

impl Default for Groups {
    fn default() -> Self {
        let mut new = Groups {
            hosts: Vec::new(),
            groups: Vec::new(),
            host_places: HashMap::new(),
            group_places: HashMap::new(),
            members: Default::default(),
            links: Default::default(),
            warnings: Vec::new(),
        };
        new.group(ALL, "");
        new.group(UNGROUPED, "");
        new
    }
}

impl Groups {
    /// The number of the group, which is made where there is none.
    pub(super) fn group(&mut self, name: &str, place: &str) -> usize {
        let next = self.groups.len();
        let number = *self.group_places.entry(name.to_owned()).or_insert(next);
        if number == next {
            self.groups.push(Group {
                name: name.to_owned(),
                priority: 1,
                place: place.to_owned(),
                ..Group::default()
            });
        }
        number
    }

    pub(super) fn find_group(&self, name: &str) -> Option<usize> {
        self.group_places.get(name).copied()
    }

    pub(super) fn find_host(&self, name: &str) -> Option<usize> {
        self.host_places.get(name).copied()
    }

    /// The number of the host, which is made where there is none, in this group.
    pub(super) fn host(
        &mut self,
        name: &str,
        group: usize,
        place: &str,
    ) -> Result<usize, InventoryError> {
        if name.is_empty() {
            return Err(InventoryError::new("a host's name is empty").at(place));
        }
        let next = self.hosts.len();
        let number = match self.host_places.get(name) {
            Some(number) => *number,
            None => {
                check_count(next as u64, 1, "the inventory")?;
                self.host_places.insert(name.to_owned(), next);
                self.hosts.push(Host {
                    name: name.to_owned(),
                    place: place.to_owned(),
                    ..Host::default()
                });
                next
            }
        };
        if self.members.insert((group, number))
            && let Some(group) = self.groups.get_mut(group)
        {
            group.hosts.push(number);
        }
        Ok(number)
    }

    /// Sets a host's variables.
    pub(super) fn set_of_host(&mut self, host: usize, variables: &Variables) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.variables.extend(
                variables
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
        }
    }

    pub(super) fn set_of_group(&mut self, group: usize, name: String, variable: Variable) {
        let Some(group) = self.groups.get_mut(group) else {
            return;
        };
        if name == "ansible_group_priority" {
            let number = match &variable.value {
                Some(Plain::Str(text)) => text.trim().parse().ok(),
                Some(value) => value.as_i64(),
                None => None,
            };
            group.priority = number.unwrap_or(1);
        } else {
            group.variables.insert(name, variable);
        }
    }

    pub(super) fn add_child(&mut self, parent: usize, child: usize) {
        if self.links.insert((parent, child))
            && let Some(parent) = self.groups.get_mut(parent)
        {
            parent.children.push(child);
        }
    }

    /// The hosts of a group and of the groups below it, each once, in order.
    pub(super) fn hosts_of(&self, group: usize) -> Vec<usize> {
        if self
            .groups
            .get(group)
            .is_some_and(|group| group.name == ALL)
        {
            return (0..self.hosts.len()).collect();
        }
        let mut seen_groups = vec![false; self.groups.len()];
        let mut seen_hosts = vec![false; self.hosts.len()];
        let mut waiting = VecDeque::from([group]);
        let mut found = Vec::new();
        while let Some(number) = waiting.pop_front() {
            let (Some(seen), Some(group)) = (seen_groups.get_mut(number), self.groups.get(number))
            else {
                continue;
            };
            if std::mem::replace(seen, true) {
                continue;
            }
            for host in &group.hosts {
                if let Some(seen) = seen_hosts.get_mut(*host)
                    && !std::mem::replace(seen, true)
                {
                    found.push(*host);
                }
            }
            waiting.extend(&group.children);
        }
        found
    }

    /// Checks what holds for the whole, and puts hosts that are in no group of their own where they belong.
    ///
    /// # Errors
    /// A group that is its own descendant, and too many groups.
    pub(super) fn finish(&mut self) -> Result<(), InventoryError> {
        if self.groups.len() > MAX_HOSTS {
            return Err(InventoryError::new(format!("more than {MAX_HOSTS} groups")));
        }
        if let Some(number) = self.depths().iter().position(Option::is_none) {
            let group = self.groups.get(number).cloned().unwrap_or_default();
            let reason = format!("the group {} is below itself", group.name);
            let hint = "a group's children may not lead back to it";
            return Err(InventoryError::new(reason).with_hint(hint).at(group.place));
        }
        let of_itself = |group: &Group| group.name != ALL && group.name != UNGROUPED;
        let mut grouped = vec![false; self.hosts.len()];
        for group in self.groups.iter().filter(|group| of_itself(group)) {
            for host in &group.hosts {
                if let Some(there) = grouped.get_mut(*host) {
                    *there = true;
                }
            }
        }
        let rest = (0..self.hosts.len()).filter(|host| grouped.get(*host) == Some(&false));
        let rest: Vec<usize> = rest.collect();
        let ungrouped = self.group(UNGROUPED, "");
        if let Some(ungrouped) = self.groups.get_mut(ungrouped) {
            ungrouped.hosts = rest;
        }
        Ok(())
    }

    /// How far each group is below those that are in no other; None for one that is below itself.
    fn depths(&self) -> Vec<Option<usize>> {
        let mut parents = vec![0_usize; self.groups.len()];
        for child in self.groups.iter().flat_map(|group| &group.children) {
            if let Some(count) = parents.get_mut(*child) {
                *count += 1;
            }
        }
        let top = |number: &usize| parents.get(*number) == Some(&0);
        let mut waiting: VecDeque<usize> = (0..parents.len()).filter(top).collect();
        let mut depths = vec![0; self.groups.len()];
        let mut found = vec![None; self.groups.len()];
        while let Some(number) = waiting.pop_front() {
            let depth: usize = depths.get(number).copied().unwrap_or_default();
            if let Some(place) = found.get_mut(number) {
                *place = Some(depth);
            }
            for child in self
                .groups
                .get(number)
                .into_iter()
                .flat_map(|group| &group.children)
            {
                if let (Some(below), Some(count)) =
                    (depths.get_mut(*child), parents.get_mut(*child))
                {
                    *below = (*below).max(depth + 1);
                    *count -= 1;
                    if *count == 0 {
                        waiting.push_back(*child);
                    }
                }
            }
        }
        found
    }

    /// For each of these hosts the groups that it is in, `all` first, those nearest to it last: in the order in which
    /// their variables count.
    pub(super) fn groups_of(&self, hosts: &[usize]) -> Vec<Vec<usize>> {
        let mut parents: Vec<Vec<usize>> = vec![Vec::new(); self.groups.len()];
        let mut direct: Vec<Vec<usize>> = vec![Vec::new(); self.hosts.len()];
        for (number, group) in self.groups.iter().enumerate() {
            for child in &group.children {
                if let Some(list) = parents.get_mut(*child) {
                    list.push(number);
                }
            }
            for host in &group.hosts {
                if let Some(list) = direct.get_mut(*host) {
                    list.push(number);
                }
            }
        }
        let depths = self.depths();
        let all = self.find_group(ALL);
        let rank = |number: &usize| {
            let group = self.groups.get(*number);
            (
                Some(*number) != all,
                depths.get(*number).copied().flatten(),
                group.map(|group| group.priority),
                group.map(|group| group.name.as_str()),
            )
        };
        let of_host = |host: &usize| {
            let mut found: std::collections::BTreeSet<usize> = all.into_iter().collect();
            let mut waiting = direct.get(*host).cloned().unwrap_or_default();
            while let Some(number) = waiting.pop() {
                if found.insert(number) {
                    waiting.extend(parents.get(number).into_iter().flatten());
                }
            }
            let mut found: Vec<usize> = found.into_iter().collect();
            found.sort_by_key(rank);
            found
        };
        hosts.iter().map(of_host).collect()
    }
}

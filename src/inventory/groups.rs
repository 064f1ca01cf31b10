//! What an inventory holds while it is read: hosts, groups of hosts and of groups, and the variables of both.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

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

pub(super) type Variables = BTreeMap<Arc<str>, Arc<Variable>>;

#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    pub(super) name: String,
    /// Other names that patterns know it by.
    pub(super) aliases: Vec<String>,
    /// The connection spec, where the inventory is a list of specs.
    pub(super) spec: Option<String>,
    pub(super) variables: Variables,
    /// Those of files in `host_vars`, which count more.
    pub(super) in_files: Variables,
    pub(super) place: String,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) hosts: Vec<usize>,
    pub(super) children: Vec<usize>,
    pub(super) variables: Variables,
    /// Those of files in `group_vars`, which count more than what an inventory says of any group.
    in_files: Variables,
    /// `ansible_group_priority`.
    pub(super) priority: i64,
    place: String,
}

/// What hosts take from the groups that they are in.
#[derive(Debug, Clone, Default)]
pub(super) struct Share {
    /// The names of the groups but `all`, sorted.
    pub(super) groups: Vec<Arc<str>>,
    pub(super) variables: Variables,
}

/// The most steps from hosts to the groups above them, and variables taken from those, of a whole inventory.
const MAX_WORK: usize = 3_000_000;

/// Hosts and groups, in the order in which they came.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    pub(super) hosts: Vec<Arc<Host>>,
    pub(super) groups: Vec<Group>,
    host_places: HashMap<String, usize>,
    group_places: HashMap<String, usize>,
    members: HashSet<(usize, usize)>,
    links: HashSet<(usize, usize)>,
    shares: Vec<Arc<Share>>,
    share_of_host: Vec<usize>,
    /// Whether they are hosts that a user has named, and not those of an inventory.
    pub(super) given: bool,
    /// The folders in which the inventories are, once each.
    pub(super) beside: Vec<PathBuf>,
    /// What the reader wants to be known.
    pub(super) warnings: Vec<String>,
}

impl Default for Groups {
    fn default() -> Self {
        let mut new = Groups {
            hosts: Vec::new(),
            groups: Vec::new(),
            given: false,
            host_places: HashMap::new(),
            group_places: HashMap::new(),
            members: Default::default(),
            links: Default::default(),
            shares: Vec::new(),
            share_of_host: Vec::new(),
            beside: Vec::new(),
            warnings: Vec::new(),
        };
        let all = new.group(ALL, "");
        let ungrouped = new.group(UNGROUPED, "");
        new.add_child(all, ungrouped);
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
                self.hosts.push(Arc::new(Host {
                    name: name.to_owned(),
                    place: place.to_owned(),
                    ..Host::default()
                }));
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

    /// Whether the group itself has the host.
    pub(super) fn is_in(&self, group: usize, host: usize) -> bool {
        self.members.contains(&(group, host))
    }

    /// A host, to be changed.
    pub(super) fn host_mut(&mut self, number: usize) -> Option<&mut Host> {
        self.hosts.get_mut(number).map(Arc::make_mut)
    }

    /// Sets a host's variables.
    pub(super) fn set_of_host(&mut self, host: usize, variables: &Variables) {
        if let Some(host) = self.host_mut(host) {
            host.variables.extend(variables.clone());
        }
    }

    pub(super) fn set_of_group(&mut self, group: usize, name: &str, variable: Arc<Variable>) {
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
            group.variables.insert(name.into(), variable);
        }
    }

    /// Forgets the variables of files, to read them anew.
    pub(super) fn forget_files(&mut self) {
        for group in &mut self.groups {
            group.in_files.clear();
        }
        for host in &mut self.hosts {
            if !host.in_files.is_empty() {
                Arc::make_mut(host).in_files.clear();
            }
        }
    }

    pub(super) fn add_files_of_group(&mut self, group: usize, variables: Variables) {
        if let Some(group) = self.groups.get_mut(group) {
            group.in_files.extend(variables);
        }
    }

    pub(super) fn add_files_of_host(&mut self, host: usize, variables: Variables) {
        if let Some(host) = self.host_mut(host) {
            host.in_files.extend(variables);
        }
    }

    pub(super) fn add_child(&mut self, parent: usize, child: usize) {
        if self.links.insert((parent, child))
            && let Some(parent) = self.groups.get_mut(parent)
        {
            parent.children.push(child);
        }
    }

    /// The hosts of these groups and of the groups below them, each once, in order.
    pub(super) fn hosts_of(&self, groups: &[usize]) -> Vec<usize> {
        let mut seen_groups = vec![false; self.groups.len()];
        let mut seen_hosts = vec![false; self.hosts.len()];
        let mut found = Vec::new();
        for group in groups {
            let mut waiting = VecDeque::from([*group]);
            while let Some(number) = waiting.pop_front() {
                let (Some(seen), Some(group)) =
                    (seen_groups.get_mut(number), self.groups.get(number))
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
        self.put_below_all();
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
        (self.shares, self.share_of_host) = self.shares()?;
        Ok(())
    }

    /// Puts the groups that are in no other into `all`.
    fn put_below_all(&mut self) {
        let all = self.group(ALL, "");
        let mut is_top = vec![true; self.groups.len()];
        for child in self.groups.iter().flat_map(|group| &group.children) {
            if let Some(top) = is_top.get_mut(*child) {
                *top = false;
            }
        }
        for (number, is_top) in is_top.into_iter().enumerate() {
            if is_top && number != all {
                self.add_child(all, number);
            }
        }
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

    /// What the hosts take from the groups that they are in, for each combination of groups once.
    fn shares(&self) -> Result<(Vec<Arc<Share>>, Vec<usize>), InventoryError> {
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
        // The order in which variables count: `all` first, the nearest group last.
        let rank = |number: &usize| {
            let group = self.groups.get(*number);
            (
                Some(*number) != all,
                depths.get(*number).copied().flatten(),
                group.map(|group| group.priority),
                group.map(|group| group.name.as_str()),
            )
        };
        let names: Vec<Arc<str>> = self
            .groups
            .iter()
            .map(|group| group.name.as_str().into())
            .collect();
        let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
        let mut shares = Vec::new();
        let mut of_hosts = Vec::new();
        let mut work = 0;
        for direct in direct {
            if let Some(share) = known.get(&direct) {
                of_hosts.push(*share);
                continue;
            }
            let mut found: HashSet<usize> = all.into_iter().collect();
            let mut waiting = direct.clone();
            while let Some(number) = waiting.pop() {
                if found.insert(number) {
                    waiting.extend(parents.get(number).into_iter().flatten());
                    work += 1 + parents.get(number).map_or(0, Vec::len);
                    work += self
                        .groups
                        .get(number)
                        .map_or(0, |group| group.variables.len() + group.in_files.len());
                }
                if work > MAX_WORK {
                    return Err(InventoryError::new("the hosts are in too many groups")
                        .with_hint("leave out groups of groups that are not needed"));
                }
            }
            let mut found: Vec<usize> = found.into_iter().collect();
            found.sort_by_key(rank);
            let mut share = Share::default();
            let of = |number: &usize| self.groups.get(*number);
            for group in found.iter().filter_map(of) {
                share.variables.extend(group.variables.clone());
            }
            for group in found.iter().filter_map(of) {
                share.variables.extend(group.in_files.clone());
            }
            let named = found.into_iter().filter(|number| Some(*number) != all);
            share
                .groups
                .extend(named.filter_map(|number| names.get(number).cloned()));
            share.groups.sort();
            known.insert(direct, shares.len());
            of_hosts.push(shares.len());
            shares.push(Arc::new(share));
        }
        Ok((shares, of_hosts))
    }

    /// What this host takes from its groups.
    pub(super) fn share_of(&self, host: usize) -> Arc<Share> {
        let share = self
            .share_of_host
            .get(host)
            .and_then(|share| self.shares.get(*share));
        share.cloned().unwrap_or_default()
    }
}

//! Inventories that are trees, in YAML or JSON: the nodes with their lines, and the groups that they describe.

use super::InventoryError;
use super::groups::{Groups, Variable, Variables};
use super::ini::add_hosts;
use crate::Plain;

/// How deep a tree may be.
pub(super) const MAX_DEPTH: usize = 100;

/// A value and the line where it begins; 0 where that is not known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Scalar(Plain),
    /// Encrypted by Ansible Vault.
    Vault,
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(Plain::Str(text)) => Some(text),
            _ => None,
        }
    }

    fn is_none(&self) -> bool {
        self.kind == Kind::Scalar(Plain::None)
    }

    fn get(&self, name: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(pairs) => pairs
                .iter()
                .find(|(key, _)| key.text() == Some(name))
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The value; None where a part of it is encrypted.
    fn plain(&self) -> Option<Plain> {
        match &self.kind {
            Kind::Scalar(value) => Some(value.clone()),
            Kind::Vault => None,
            Kind::List(items) => items
                .iter()
                .map(Node::plain)
                .collect::<Option<_>>()
                .map(Plain::List),
            Kind::Map(pairs) => {
                let pair = |(key, value): &(Node, Node)| Some((key.plain()?, value.plain()?));
                pairs
                    .iter()
                    .map(pair)
                    .collect::<Option<_>>()
                    .map(Plain::Dict)
            }
        }
    }
}

/// Reads the groups of a tree of JSON, whose form its content tells: `hosts` is a list in inventories that programs write, and a
/// mapping in those that people write.
pub(super) fn read_json(
    root: &Node,
    file: &str,
    groups: &mut Groups,
) -> Result<(), InventoryError> {
    let lists = |group: &Node| {
        let list = |name| {
            matches!(
                group.get(name),
                Some(Node {
                    kind: Kind::List(_),
                    ..
                })
            )
        };
        matches!(group.kind, Kind::List(_)) || list("hosts") || list("children")
    };
    let written_by_program = match &root.kind {
        Kind::Map(pairs) => {
            root.get("_meta").is_some() || pairs.iter().any(|(_, group)| lists(group))
        }
        _ => false,
    };
    read(root, file, written_by_program, groups)
}

/// Reads the groups of a tree that people write, or else of one that a program does.
pub(super) fn read(
    root: &Node,
    file: &str,
    written_by_program: bool,
    groups: &mut Groups,
) -> Result<(), InventoryError> {
    let reader = Reader { file };
    let Kind::Map(pairs) = &root.kind else {
        return Err(reader.wrong(root, "an inventory is a mapping of groups"));
    };
    if root.get("plugin").is_some() {
        return Err(reader
            .wrong(
                root,
                "this configures a plugin of Ansible, which alone can run it",
            )
            .with_hint(format!(
                "let Ansible write the hosts down: ansible-inventory -i {file} --list > hosts.json"
            )));
    }
    for (name, group) in pairs {
        if written_by_program {
            reader.listed_group(name, group, groups)?;
        } else {
            reader.group(name, group, groups)?;
        }
    }
    if written_by_program {
        reader.meta(root, groups)?;
    }
    Ok(())
}

/// Reads variables that stand in a file of their own.
pub(super) fn read_variables(root: &Node, file: &str) -> Result<Variables, InventoryError> {
    let reader = Reader { file };
    match &root.kind {
        Kind::Map(_) => reader.variables(root),
        _ if root.is_none() => Ok(Variables::new()),
        _ => Err(reader
            .wrong(root, "a file of variables is a mapping")
            .with_hint("each variable stands in a line of its own, with a colon behind its name")),
    }
}

struct Reader<'a> {
    file: &'a str,
}

impl Reader<'_> {
    fn place(&self, node: &Node) -> String {
        match node.line {
            0 => self.file.to_owned(),
            line => format!("{}, line {line}", self.file),
        }
    }

    fn wrong(&self, node: &Node, reason: impl Into<String>) -> InventoryError {
        InventoryError::new(reason).at(self.place(node))
    }

    fn name<'n>(&self, node: &'n Node, what: &str) -> Result<&'n str, InventoryError> {
        node.text().filter(|text| !text.is_empty()).ok_or_else(|| {
            self.wrong(node, format!("the name of a {what} is not text"))
                .with_hint("put a name of digits into quotes")
        })
    }

    /// The pairs of a mapping; none where there is nothing, one without a value for a text.
    fn pairs(&self, node: &Node, what: &str) -> Result<Vec<(Node, Node)>, InventoryError> {
        match &node.kind {
            Kind::Map(pairs) => Ok(pairs.clone()),
            Kind::Scalar(Plain::None) => Ok(Vec::new()),
            Kind::Scalar(Plain::Str(_)) => {
                let nothing = Node {
                    line: node.line,
                    kind: Kind::Scalar(Plain::None),
                };
                Ok(vec![(node.clone(), nothing)])
            }
            _ => Err(self
                .wrong(node, format!("{what} is not a mapping"))
                .with_hint("each name stands in a line of its own, with a colon behind it")),
        }
    }

    fn variables(&self, node: &Node) -> Result<Variables, InventoryError> {
        let mut found = Variables::new();
        for (name, value) in self.pairs(node, "what belongs to a host or to `vars`")? {
            let name = match &name.kind {
                Kind::Scalar(Plain::Str(text)) => text.clone(),
                Kind::Scalar(Plain::Int(number)) => number.to_string(),
                _ => return Err(self.wrong(&name, "the name of a variable is not text")),
            };
            let variable = Variable {
                value: value.plain(),
                place: self.place(&value),
            };
            found.insert(name.into(), variable.into());
        }
        Ok(found)
    }

    /// A group as people write it.
    fn group(
        &self,
        name: &Node,
        group: &Node,
        groups: &mut Groups,
    ) -> Result<usize, InventoryError> {
        let number = groups.group(self.name(name, "group")?, &self.place(name));
        if group.is_none() {
            return Ok(number);
        }
        let Kind::Map(sections) = &group.kind else {
            let reason = format!(
                "the group {} is not a mapping",
                name.text().unwrap_or_default()
            );
            return Err(self
                .wrong(group, reason)
                .with_hint("a group has `hosts`, `children` and `vars`, each a mapping"));
        };
        for (section, content) in sections {
            match section.text() {
                Some("vars") => {
                    for (name, variable) in self.variables(content)? {
                        groups.set_of_group(number, &name, variable);
                    }
                }
                Some("children") => {
                    for (name, child) in self.pairs(content, "`children`")? {
                        let child = self.group(&name, &child, groups)?;
                        groups.add_child(number, child);
                    }
                }
                Some("hosts") => {
                    for (name, variables) in self.pairs(content, "`hosts`")? {
                        let variables = self.variables(&variables)?;
                        let pattern = self.name(&name, "host")?;
                        add_hosts(pattern, &variables, &self.place(&name), number, groups)?;
                    }
                }
                _ => {
                    let other = section.plain();
                    let other = other.as_ref().and_then(Plain::as_str).unwrap_or("?");
                    groups.warnings.push(format!(
                        "{}: {other:?} is not hosts, children or vars, and is not read",
                        self.place(section)
                    ));
                }
            }
        }
        Ok(number)
    }

    /// A group as programs write it.
    fn listed_group(
        &self,
        name: &Node,
        group: &Node,
        groups: &mut Groups,
    ) -> Result<(), InventoryError> {
        let text = self.name(name, "group")?;
        if text == "_meta" {
            return Ok(());
        }
        let number = groups.group(text, &self.place(name));
        let list = |node: &Node, what: &str| match &node.kind {
            Kind::List(items) => Ok(items.clone()),
            _ => Err(self.wrong(
                node,
                format!("the {what} of the group {text} are not a list"),
            )),
        };
        let sections = ["hosts", "children", "vars"].map(|section| group.get(section));
        let (hosts, children, variables) = match sections {
            // Nothing but a list is the hosts; a mapping without any of the three is the variables of a host.
            [None, None, None] if matches!(group.kind, Kind::Map(_)) => {
                (vec![name.clone()], Vec::new(), Some(group))
            }
            [None, None, None] => (list(group, "hosts")?, Vec::new(), None),
            [hosts, children, variables] => (
                hosts
                    .map(|hosts| list(hosts, "hosts"))
                    .transpose()?
                    .unwrap_or_default(),
                children
                    .map(|children| list(children, "children"))
                    .transpose()?
                    .unwrap_or_default(),
                variables,
            ),
        };
        for host in &hosts {
            groups.host(self.name(host, "host")?, number, &self.place(host))?;
        }
        for child in &children {
            let child = groups.group(self.name(child, "group")?, &self.place(child));
            groups.add_child(number, child);
        }
        for (name, variable) in variables
            .map(|node| self.variables(node))
            .transpose()?
            .unwrap_or_default()
        {
            groups.set_of_group(number, &name, variable);
        }
        Ok(())
    }

    /// The variables of hosts that a program gives all at once.
    fn meta(&self, root: &Node, groups: &mut Groups) -> Result<(), InventoryError> {
        let Some(hosts) = root.get("_meta").and_then(|meta| meta.get("hostvars")) else {
            return Ok(());
        };
        for (name, variables) in self.pairs(hosts, "`hostvars`")? {
            // What is in no group is not a host of the inventory.
            if let Some(number) = groups.find_host(self.name(&name, "host")?) {
                groups.set_of_host(number, &self.variables(&variables)?);
            }
        }
        Ok(())
    }
}

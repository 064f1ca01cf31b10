//! Inventories in JSON, as `ansible-inventory --list` and inventory programs write them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::InventoryError;
use super::tree::{Kind, Node};
use crate::Plain;

/// Reads a text of JSON. How deep it may be is limited by the reader of JSON.
pub(super) fn parse(text: &str, file: &str) -> Result<Node, InventoryError> {
    serde_json::from_str(text).map_err(|error| {
        // The position stands in front, as in all errors about files.
        let reason = error.to_string();
        let reason = reason
            .split(" at line ")
            .next()
            .unwrap_or(&reason)
            .to_owned();
        InventoryError::new(format!("this is not JSON: {reason}")).at_line(file, error.line())
    })
}

fn node(kind: Kind) -> Node {
    Node { line: 0, kind }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(node(Kind::Scalar(Plain::None)))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(node(Kind::Scalar(Plain::Bool(value))))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(node(Kind::Scalar(Plain::Int(value))))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        let value = match i64::try_from(value) {
            Ok(small) => Plain::Int(small),
            Err(_) => Plain::BigInt(value.into()),
        };
        Ok(node(Kind::Scalar(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(node(Kind::Scalar(Plain::Float(value))))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(node(Kind::Scalar(Plain::Str(value.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(node(Kind::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut pairs: Vec<(Node, Node)> = Vec::new();
        while let Some((key, value)) = entries.next_entry::<String, Node>()? {
            pairs.push((node(Kind::Scalar(Plain::Str(key))), value));
        }
        // Ansible marks what is encrypted, or must not be rendered, by a single member.
        if let [(key, value)] = pairs.as_slice() {
            match &key.kind {
                Kind::Scalar(Plain::Str(name)) if name == "__ansible_vault" => {
                    return Ok(node(Kind::Vault));
                }
                Kind::Scalar(Plain::Str(name)) if name == "__ansible_unsafe" => {
                    return Ok(value.clone());
                }
                _ => {}
            }
        }
        Ok(node(Kind::Map(pairs)))
    }
}

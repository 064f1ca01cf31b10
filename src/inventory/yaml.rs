//! YAML as Ansible reads it, which is YAML 1.1: `010` is 8 and `yes` is true; encrypted values are told apart by their tag.

use std::borrow::Cow;
use std::collections::HashMap;

use num_bigint::BigInt;
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::InventoryError;
use super::tree::{Kind, MAX_DEPTH, Node};
use crate::Plain;

/// The most values in a file, those counted again that an alias repeats.
const MAX_NODES: usize = 2_000_000;

/// Reads a text of one document. Warnings go to `warnings`.
pub(super) fn parse(
    text: &str,
    file: &str,
    warnings: &mut Vec<String>,
) -> Result<Node, InventoryError> {
    parse_file(text, file, warnings)?
        .ok_or_else(|| InventoryError::new("the file is empty").at(file))
}

/// The same of a file that may be empty.
pub(super) fn parse_file(
    text: &str,
    file: &str,
    warnings: &mut Vec<String>,
) -> Result<Option<Node>, InventoryError> {
    let mut builder = Builder {
        file,
        warnings,
        open: Vec::new(),
        anchors: HashMap::new(),
        count: 0,
        root: None,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            InventoryError::new(format!("this is not YAML: {}", error.info()))
                .at_line(file, error.marker().line())
        })?;
        builder.take(event, span.start.line())?;
    }
    Ok(builder.root)
}

/// A list or mapping that has begun.
struct Open {
    line: usize,
    anchor: usize,
    is_map: bool,
    items: Vec<Node>,
    /// Values that an alias would repeat.
    count_before: usize,
}

struct Builder<'a> {
    file: &'a str,
    warnings: &'a mut Vec<String>,
    open: Vec<Open>,
    /// By anchor: the value, and how many values it is made of.
    anchors: HashMap<usize, (Node, usize)>,
    count: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    fn wrong(&self, line: usize, reason: impl Into<String>) -> InventoryError {
        InventoryError::new(reason).at_line(self.file, line)
    }

    fn counted(&mut self, line: usize, more: usize) -> Result<(), InventoryError> {
        self.count = self.count.saturating_add(more);
        if self.count > MAX_NODES {
            return Err(self.wrong(line, format!("more than {MAX_NODES} values")));
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), InventoryError> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(self.wrong(line, "a second document begins; an inventory is one"))
            }
            Event::Alias(anchor) => {
                let Some((node, count)) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.wrong(line, "an alias stands in what it names"));
                };
                self.counted(line, count)?;
                self.put(node, line)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.counted(line, 1)?;
                let kind = self.scalar(&text, style, tag, line)?;
                let node = Node { line, kind };
                if anchor > 0 {
                    self.anchors.insert(anchor, (node.clone(), 1));
                }
                self.put(node, line)
            }
            Event::SequenceStart(anchor, tag) => self.begin(anchor, tag, line, false),
            Event::MappingStart(anchor, tag) => self.begin(anchor, tag, line, true),
            Event::SequenceEnd | Event::MappingEnd => self.end(line),
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        line: usize,
        is_map: bool,
    ) -> Result<(), InventoryError> {
        self.counted(line, 1)?;
        if let Some(tag) = tag
            && !is_unsafe(&tag)
            && !(tag.is_yaml_core_schema() && ["map", "seq"].contains(&tag.suffix.as_str()))
        {
            return Err(self.unknown_tag(&tag, line));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.wrong(line, format!("more than {MAX_DEPTH} levels")));
        }
        self.open.push(Open {
            line,
            anchor,
            is_map,
            items: Vec::new(),
            count_before: self.count,
        });
        Ok(())
    }

    fn end(&mut self, line: usize) -> Result<(), InventoryError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let kind = if open.is_map {
            Kind::Map(self.pairs(open.items)?)
        } else {
            Kind::List(open.items)
        };
        let node = Node {
            line: open.line,
            kind,
        };
        if open.anchor > 0 {
            let count = self.count - open.count_before + 1;
            self.anchors.insert(open.anchor, (node.clone(), count));
        }
        self.put(node, line)
    }

    fn put(&mut self, node: Node, _line: usize) -> Result<(), InventoryError> {
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }

    /// Keys and values in turn as pairs, with what `<<` takes in; of equal keys the last counts.
    fn pairs(&mut self, items: Vec<Node>) -> Result<Vec<(Node, Node)>, InventoryError> {
        let mut own: Vec<(Node, Node)> = Vec::new();
        let mut merged: Vec<(Node, Node)> = Vec::new();
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            if key.kind == Kind::Scalar(Plain::Str("<<".to_owned())) {
                let line = value.line;
                let maps = match value.kind {
                    Kind::List(maps) => maps,
                    other => vec![Node { line, kind: other }],
                };
                // The first of several counts.
                for map in maps.into_iter().rev() {
                    let Kind::Map(pairs) = map.kind else {
                        return Err(self.wrong(line, "`<<` takes in mappings only"));
                    };
                    self.counted(line, pairs.len())?;
                    merged.extend(pairs);
                }
            } else {
                own.push((key, value));
            }
        }
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut pairs: Vec<(Node, Node)> = Vec::new();
        let merged_count = merged.len();
        for (turn, (key, value)) in merged.into_iter().chain(own).enumerate() {
            // The text of a key's value: two keys of one text are one.
            let text = format!("{:?}", key.kind);
            let next = pairs.len();
            let place = *places.entry(text).or_insert(next);
            match pairs.get_mut(place) {
                Some(pair) => {
                    // Line 0 marks what came by `<<`, which is there to be replaced.
                    if pair.0.line > 0 && turn >= merged_count {
                        self.warnings.push(format!(
                            "{}, line {}: a key stands here a second time; this one counts",
                            self.file, key.line
                        ));
                    }
                    pair.1 = value;
                }
                None => {
                    let line = if turn < merged_count { 0 } else { key.line };
                    pairs.push((Node { line, ..key }, value));
                }
            }
        }
        Ok(pairs)
    }

    fn unknown_tag(&self, tag: &Tag, line: usize) -> InventoryError {
        let reason = format!("the tag {}{} is not known", tag.handle, tag.suffix);
        self.wrong(line, reason)
            .with_hint("inventories have !vault and !unsafe")
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<Cow<'_, Tag>>,
        line: usize,
    ) -> Result<Kind, InventoryError> {
        let as_text = || Plain::Str(text.to_owned());
        let value = match tag.as_deref() {
            None if style == ScalarStyle::Plain => resolve(text),
            None => as_text(),
            Some(tag) if is_vault(tag) => return Ok(Kind::Vault),
            Some(tag) if is_unsafe(tag) => as_text(),
            Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
                "str" => as_text(),
                "int" | "float" | "bool" | "null" => resolve(text),
                _ => return Err(self.unknown_tag(tag, line)),
            },
            // `!` alone says that this is text.
            Some(tag) if tag.suffix.is_empty() => as_text(),
            Some(tag) => return Err(self.unknown_tag(tag, line)),
        };
        Ok(Kind::Scalar(value))
    }
}

fn is_vault(tag: &Tag) -> bool {
    tag.handle == "!" && ["vault", "vault-encrypted"].contains(&tag.suffix.as_str())
}

fn is_unsafe(tag: &Tag) -> bool {
    tag.handle == "!" && tag.suffix == "unsafe"
}

/// What a text without quotes means in YAML 1.1.
fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Plain::None,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Plain::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Plain::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" => Plain::Float(f64::NAN),
        _ => integer(text)
            .or_else(|| float(text))
            .unwrap_or_else(|| Plain::Str(text.to_owned())),
    }
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn of_digits(text: &str, digits: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| digits.contains(letter))
}

fn integer(text: &str) -> Option<Plain> {
    let (negative, rest) = signed(text);
    let first = rest.chars().next().filter(char::is_ascii_digit)?;
    let number = if let Some(digits) = rest.strip_prefix("0b") {
        of_digits(digits, "01_").then(|| radix(digits, 2))??
    } else if let Some(digits) = rest.strip_prefix("0x") {
        of_digits(digits, "0123456789abcdefABCDEF_").then(|| radix(digits, 16))??
    } else if rest == "0" {
        BigInt::default()
    } else if let Some(digits) = rest.strip_prefix('0') {
        of_digits(digits, "01234567_").then(|| radix(digits, 8))??
    } else if of_digits(rest, "0123456789_") {
        radix(rest, 10)?
    } else {
        // Hours, minutes and seconds: `1:30` is 90.
        let (first_part, minutes) = rest.split_once(':')?;
        if first == '0' || !of_digits(first_part, "0123456789_") {
            return None;
        }
        minutes
            .split(':')
            .try_fold(radix(first_part, 10)?, |sum, part| {
                sixtieth(part).map(|part| sum * 60 + part)
            })?
    };
    let number = if negative { -number } else { number };
    Some(match i64::try_from(&number) {
        Ok(small) => Plain::Int(small),
        Err(_) => Plain::BigInt(number),
    })
}

fn sixtieth(part: &str) -> Option<u32> {
    let good = of_digits(part, "0123456789") && part.len() <= 2;
    good.then(|| part.parse().ok())
        .flatten()
        .filter(|part| *part < 60)
}

fn radix(digits: &str, radix: u32) -> Option<BigInt> {
    BigInt::parse_bytes(digits.replace('_', "").as_bytes(), radix)
}

/// A number with a point; an exponent needs a sign.
fn float(text: &str) -> Option<Plain> {
    let (negative, rest) = signed(text);
    let sign = if negative { -1.0 } else { 1.0 };
    if [".inf", ".Inf", ".INF"].contains(&rest) {
        return Some(Plain::Float(sign * f64::INFINITY));
    }
    let (whole, behind) = rest.split_once('.')?;
    if let Some((hours, minutes)) = whole.split_once(':') {
        let good = hours.starts_with(|first: char| first.is_ascii_digit())
            && of_digits(hours, "0123456789_")
            && (behind.is_empty() || of_digits(behind, "0123456789_"));
        let hours: f64 = good
            .then(|| hours.replace('_', "").parse().ok())
            .flatten()?;
        let sum = minutes.split(':').try_fold(hours, |sum, part| {
            sixtieth(part).map(|part| sum * 60.0 + f64::from(part))
        })?;
        let fraction: f64 = format!("0.{}0", behind.replace('_', "")).parse().ok()?;
        return Some(Plain::Float(sign * (sum + fraction)));
    }
    let (fraction, exponent) = match behind.split_once(['e', 'E']) {
        Some((fraction, exponent)) => (fraction, Some(exponent)),
        None => (behind, None),
    };
    let whole_good = if whole.is_empty() {
        // `.5`, without a sign in front of it.
        text.starts_with('.') && fraction.starts_with(|first: char| first.is_ascii_digit())
    } else {
        whole.starts_with(|first: char| first.is_ascii_digit()) && of_digits(whole, "0123456789_")
    };
    let fraction_good = fraction.is_empty() || of_digits(fraction, "0123456789_");
    let exponent_good = exponent.is_none_or(|exponent| {
        exponent
            .strip_prefix(['-', '+'])
            .is_some_and(|digits| of_digits(digits, "0123456789"))
    });
    if !whole_good || !fraction_good || !exponent_good {
        return None;
    }
    let plain = rest.replace('_', "");
    plain
        .parse::<f64>()
        .ok()
        .map(|number| Plain::Float(sign * number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_those_of_yaml_1_1() {
        let text = |text: &str| Plain::Str(text.to_owned());
        for (source, expected) in [
            ("010", Plain::Int(8)),
            ("08", text("08")),
            ("0o10", text("0o10")),
            ("0x1F", Plain::Int(31)),
            ("1_000", Plain::Int(1000)),
            ("1:30", Plain::Int(90)),
            ("22", Plain::Int(22)),
            ("-5", Plain::Int(-5)),
            ("yes", Plain::Bool(true)),
            ("off", Plain::Bool(false)),
            ("y", text("y")),
            ("1e3", text("1e3")),
            ("1.5", Plain::Float(1.5)),
            ("1.e+3", Plain::Float(1000.0)),
            ("-.5", text("-.5")),
            (".5", Plain::Float(0.5)),
            ("10.0.0.1", text("10.0.0.1")),
            ("~", Plain::None),
            ("2001-01-01", text("2001-01-01")),
        ] {
            assert_eq!(resolve(source), expected, "{source}");
        }
    }
}

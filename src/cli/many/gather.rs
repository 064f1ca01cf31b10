//! `--gather`: what hosts have printed, once for all hosts that printed the same.

use std::collections::HashMap;
use std::io;

use super::record::{Reader, Record};
use super::tally::hosts;
use crate::cli::terminal::lines::{Format, LineCutter, Stream};
use crate::cli::terminal::screen::Screen;
use crate::inventory::fold;

const RULE: &str = "---------------";

pub(super) struct Gather {
    pub(super) screen: Screen,
    /// How the lines of each are shown.
    pub(super) format: Format,
}

impl Reader for Gather {
    fn finished(&mut self, all: &mut Record) -> io::Result<()> {
        for group in groups(all) {
            self.print(&group, all)?;
        }
        Ok(())
    }
}

/// Hosts that ended in the same way and printed the same, by the first of each. Those that printed nothing are in none.
fn groups(all: &Record) -> Vec<Vec<usize>> {
    let mut places: HashMap<([u8; 64], Option<String>), usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for host in 0..all.labels().len() {
        if all.length(host, Stream::Stdout) + all.length(host, Stream::Stderr) == 0 {
            continue;
        }
        let reason = all.report(host).and_then(|report| report.reason());
        let place = *places
            .entry((all.digest(host), reason))
            .or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(host),
            None => groups.push(vec![host]),
        }
    }
    groups
}

impl Gather {
    fn print(&self, group: &[usize], all: &mut Record) -> io::Result<()> {
        let Some(&first) = group.first() else {
            return Ok(());
        };
        let folded = fold(group.iter().map(|host| all.labels()[*host].as_str()));
        let reason = all.report(first).and_then(|report| report.reason());
        let how = reason.map_or(String::new(), |reason| format!(": {reason}"));
        let heading = format!("{RULE}\n{folded} ({}){how}\n{RULE}\n", hosts(group.len()));
        self.screen
            .write(Format::Plain, Stream::Stdout, heading.as_bytes())?;
        let cutter = |format, stream| LineCutter::new(format, &folded, stream, false);
        let mut cutters = [
            cutter(self.format, Stream::Stdout),
            cutter(Format::Prefixed { width: 0 }, Stream::Stderr),
        ];
        let mut shown = Vec::new();
        all.read(first, |stream, data| {
            shown.clear();
            cutters[stream as usize].push(data, &mut shown);
            self.screen.write(Format::Plain, stream, &shown)
        })?;
        for (cutter, stream) in cutters.iter_mut().zip([Stream::Stdout, Stream::Stderr]) {
            shown.clear();
            cutter.finish(&mut shown);
            self.screen.write(Format::Plain, stream, &shown)?;
        }
        Ok(())
    }
}

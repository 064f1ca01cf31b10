//! What fuzzers feed: functions of bytes that nothing may make panic. fuzz/README.md says how they are run.

mod frames;
mod pickles;
mod routing;
mod session;

use crate::spec::ConnectionSpec;

/// A target's name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("frames", frames::run),
    ("session", session::run),
    ("routing", routing::run),
    ("pickle", pickles::run),
    ("spec", spec),
    ("ssh_config", crate::transport::ssh::fuzz::config),
    ("known_hosts", crate::transport::ssh::fuzz::known_hosts),
    ("output", output),
    #[cfg(unix)]
    ("files", crate::transfer::fuzz::files),
];

/// Feeds the target of that name.
pub fn run(name: &str, data: &[u8]) {
    for (target, run) in TARGETS {
        if *target == name {
            run(data);
        }
    }
}

/// A spec that is accepted means the same in its canonical form.
fn spec(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match text.parse::<ConnectionSpec>() {
        Ok(spec) => {
            let canonical = spec.to_canonical();
            let again = canonical.parse::<ConnectionSpec>();
            assert_eq!(again.as_ref().ok(), Some(&spec), "{text:?}: {canonical:?}");
        }
        Err(error) => drop(error.to_string()),
    }
}

/// Output that was made safe is safe, and is the same however it was cut.
fn output(data: &[u8]) {
    let mut whole = crate::visible::Filter::default();
    let mut shown = Vec::new();
    whole.push(data, &mut shown);
    whole.finish_line(&mut shown);
    let mut single = crate::visible::Filter::default();
    let mut pieces = Vec::new();
    for byte in data {
        single.push(&[*byte], &mut pieces);
    }
    single.finish_line(&mut pieces);
    assert_eq!(shown, pieces);
    let mut again = crate::visible::Filter::default();
    let mut twice = Vec::new();
    again.push(&shown, &mut twice);
    again.finish_line(&mut twice);
    assert_eq!(twice, shown);
}

/// Takes values off the front of an input; past its end they are 0.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

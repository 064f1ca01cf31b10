//! Which hosts a command is about: the specs of the command line and of files, and the names they are shown by.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::terminal::failure::Failure;
use crate::cli::terminal::steps::BecomeOptions;
use crate::keys::{Key, read_key_file};
use crate::spec::{ConnectionSpec, ParseOptions};

/// The arguments by which every command names its hosts.
#[derive(clap::Args)]
pub(crate) struct HostOptions {
    /// The hosts, each as [user@]host[:port][:option=value]...
    #[arg(value_name = "SPEC")]
    pub(crate) specs: Vec<String>,
    /// Take hosts from this file too, `-` being stdin: one spec per line, `#` begins a comment
    #[arg(short = 'f', long = "hosts", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The key file of hosts that run the standalone server and name no key
    #[arg(short = 'k', long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The same key, given here; other users of this machine can see it
    #[arg(short = 'K', long, value_name = "KEY", conflicts_with = "key_file")]
    pub(crate) key: Option<String>,
    /// Give up connecting to a host after this long
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) connect_timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) become_options: BecomeOptions,
}

/// One host of a command.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) spec: ConnectionSpec,
    /// What output calls it; different for each target of a command.
    pub(crate) label: String,
}

impl HostOptions {
    /// All hosts, `specs` (which may be fewer than were given) first and then those of the files, in order.
    ///
    /// # Errors
    ///
    /// Where there is no host, a spec is wrong, or a file cannot be read.
    pub(crate) fn targets(&self, specs: &[String]) -> Result<Vec<Target>, Failure> {
        let default_key = self.default_key()?;
        let mut parsed = Vec::new();
        for Named { text, place } in collect(specs, &self.files)? {
            let spec = self.parse(&text, default_key.as_ref());
            parsed.push(spec.map_err(|failure| failure.at(place.as_deref()))?);
        }
        // What all hosts are to become is no part of what they are called.
        let mut labels: Vec<String> = parsed.iter().map(ConnectionSpec::label).collect();
        number_duplicates(&mut labels);
        self.become_options.apply(parsed.iter_mut())?;
        Ok(parsed
            .into_iter()
            .zip(labels)
            .map(|(mut spec, label)| {
                // Errors call it by the same name as output does.
                spec.name = Some(label.clone());
                Target { spec, label }
            })
            .collect())
    }

    fn default_key(&self) -> Result<Option<Key>, Failure> {
        if let Some(text) = &self.key {
            let key = Key::decode(text).map_err(|error| Failure::usage(error.to_string()))?;
            return Ok(Some(key));
        }
        let Some(path) = &self.key_file else {
            return Ok(None);
        };
        let loaded = read_key_file(path).map_err(|error| Failure::usage(error.to_string()))?;
        for warning in &loaded.warnings {
            crate::cli::terminal::failure::print_warning(&warning.to_string());
        }
        Ok(Some(loaded.key))
    }

    fn parse(&self, text: &str, default_key: Option<&Key>) -> Result<ConnectionSpec, Failure> {
        let options = ParseOptions {
            default_key: default_key.cloned(),
            ssh_without_key: true,
            ..ParseOptions::default()
        };
        let mut spec = ConnectionSpec::parse_with(text, &options).map_err(crate::Error::from)?;
        spec.timeout = spec.timeout.or(self.connect_timeout);
        Ok(spec)
    }
}

/// A spec as the user wrote it.
#[derive(Debug)]
struct Named {
    text: String,
    /// The file and the line, where it is from a file.
    place: Option<String>,
}

/// The specs of a hosts file, or of stdin for `-`: one per line; empty lines are ignored, and so is what follows a `#`
/// at the beginning of a line or after white space.
///
/// # Errors
///
/// Where the file cannot be read.
fn read_hosts_file(path: &Path) -> Result<Vec<Named>, Failure> {
    let (name, text) = if path == Path::new("-") {
        (
            "stdin".to_owned(),
            std::io::read_to_string(std::io::stdin()),
        )
    } else {
        (path.display().to_string(), std::fs::read_to_string(path))
    };
    let text = text.map_err(|error| {
        Failure::usage(format!("cannot read the hosts file {name}: {error}"))
            .with_hint("-f takes a text file with one connection spec per line")
    })?;
    Ok(text
        .lines()
        .zip(1..)
        .map(|(line, number)| (without_comment(line).trim(), number))
        .filter(|(line, _)| !line.is_empty())
        .map(|(line, number)| Named {
            text: line.to_owned(),
            place: Some(format!("{name}, line {number}")),
        })
        .collect())
}

fn without_comment(line: &str) -> &str {
    let begins = |(place, _): &(usize, &str)| {
        line[..*place]
            .chars()
            .next_back()
            .is_none_or(char::is_whitespace)
    };
    match line.match_indices('#').find(begins) {
        Some((place, _)) => &line[..place],
        None => line,
    }
}

/// Specs of the command line first, then those of the files, in order.
fn collect(specs: &[String], files: &[PathBuf]) -> Result<Vec<Named>, Failure> {
    let mut all: Vec<Named> = specs
        .iter()
        .map(|text| Named {
            text: text.clone(),
            place: None,
        })
        .collect();
    for file in files {
        all.extend(read_hosts_file(file)?);
    }
    if all.is_empty() {
        return Err(Failure::usage("no host is given")
            .with_hint("give one or more as [user@]host[:port], or give a file of them with -f"));
    }
    Ok(all)
}

/// Makes labels differ: the second and later of equal ones get a number.
fn number_duplicates(labels: &mut [String]) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for label in labels {
        let count = seen.entry(label.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            label.push_str(&format!("#{count}"));
        }
    }
}

/// A number of seconds, decimals allowed, more than none.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "it takes a number of seconds, such as 30 or 0.5".to_owned())
}

/// A count that is not zero.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| "it takes a whole number from 1 on".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{HostOptions, collect, number_duplicates, read_hosts_file, seconds};
    use crate::spec::Transport;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        hosts: HostOptions,
    }

    fn targets(line: &[&str]) -> Result<Vec<super::Target>, super::Failure> {
        let words = std::iter::once("x").chain(line.iter().copied());
        let hosts = Line::try_parse_from(words).expect("arguments").hosts;
        hosts.targets(&hosts.specs)
    }

    #[test]
    fn a_hosts_file_holds_specs_and_comments() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hosts");
        std::fs::write(
            &path,
            "# web\nuser@web1\n\n  user@web2:2222  \r\n#user@old\nweb3:name=#3\t# new\n \t# end",
        )
        .expect("file");
        let read = read_hosts_file(&path).expect("specs");
        let texts: Vec<&str> = read.iter().map(|named| named.text.as_str()).collect();
        assert_eq!(texts, ["user@web1", "user@web2:2222", "web3:name=#3"]);
        let place = format!("{}, line 6", path.display());
        assert_eq!(read[2].place.as_deref(), Some(place.as_str()));
        let all = collect(&["first".to_owned()], &[path]).expect("specs");
        assert_eq!((all.len(), all[0].text.as_str()), (4, "first"));
    }

    #[test]
    fn no_host_is_an_error_with_a_way_out() {
        let failure = collect(&[], &[]).expect_err("no host");
        assert_eq!(failure.code, crate::cli::terminal::failure::USAGE);
        assert!(failure.hint.is_some());
    }

    #[test]
    fn equal_labels_get_numbers() {
        let mut labels = ["a", "b", "a", "a"].map(str::to_owned);
        number_duplicates(&mut labels);
        assert_eq!(labels, ["a", "b", "a#2", "a#3"]);
    }

    #[test]
    fn a_bare_name_means_ssh_unless_there_is_a_key() {
        let found = targets(&["web1", "me@web2"]).expect("targets");
        assert!(
            found
                .iter()
                .all(|target| target.spec.transport() == Transport::Ssh)
        );
        let found = targets(&["web1", "me@web2", "-K", "secret"]).expect("targets");
        assert_eq!(found[0].spec.transport(), Transport::Tcp);
        assert_eq!(found[1].spec.transport(), Transport::Ssh);
    }

    #[test]
    fn how_a_bare_host_is_taken_does_not_hang_on_its_options() {
        for text in ["web2", "web2:hostkey=off", "web2:2222:batch=yes"] {
            let found = targets(&[text]).expect(text);
            assert_eq!(found[0].spec.transport(), Transport::Ssh, "{text}");
        }
        let failure = targets(&["web2:hostkey=off", "-K", "secret"]).expect_err("by TCP");
        assert!(
            failure.message.contains("for SSH only"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn a_wrong_spec_is_a_usage_error_that_hides_the_key() {
        let failure = targets(&["me@web1", "web2:key=s3cret:nonsense=1"]).expect_err("wrong");
        assert_eq!(failure.code, crate::cli::terminal::failure::USAGE);
        assert!(failure.message.contains("nonsense"), "{}", failure.message);
        assert!(!failure.message.contains("s3cret"), "{}", failure.message);
    }

    #[test]
    fn seconds_are_positive_numbers() {
        assert_eq!(seconds("0.5"), Ok(std::time::Duration::from_millis(500)));
        for wrong in ["0", "-1", "x", "", "inf", "nan", "1e300"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}

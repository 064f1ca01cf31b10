//! Which hosts a command is about: specs, ranges, lists and inventories; and the names they are shown by.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::Plain;
use crate::cli::terminal::failure::{Failure, print_warning};
use crate::cli::terminal::hosts_file;
use crate::cli::terminal::ssh_options::SshOptions;
use crate::cli::terminal::steps::BecomeOptions;
use crate::error::Stage;
use crate::inventory::{Inventory, InventoryError, InventoryHost};
use crate::keys::{Key, read_key_file};
use crate::spec::{ConnectionSpec, ParseOptions};
use crate::transport::{Prompter, Question};

/// The hosts, where the command line names none.
const HOSTS: &str = "EASYCLUSTER_HOSTS";
/// The inventory, where the command line names none.
const INVENTORY: &str = "EASYCLUSTER_INVENTORY";

/// The arguments by which every command names its hosts.
#[derive(clap::Args)]
pub(crate) struct HostOptions {
    /// The hosts: [user@]host[:port], web[01-20], web1,web2; with -I patterns of it
    ///
    /// A host is a connection spec, [user@]host[:port][:option=value]... Ranges are in brackets: web[01-32,40], web[1-10/3],
    /// web[a:f]. Commas separate hosts. @GROUP is a group of the file that -f names.
    ///
    /// With an inventory these are patterns of it, as Ansible has them: web:&prod:!web03, web*, ~regex, group[0:3], @group, all.
    /// Where no host is given, EASYCLUSTER_HOSTS has them, separated by spaces.
    #[arg(value_name = "HOST")]
    pub(crate) specs: Vec<String>,
    /// Take hosts from this file too; `-` is stdin
    ///
    /// A line has a host as on the command line, or several with commas between. `[GROUP]` begins a group, `@GROUP` means those of another, `#` begins a
    /// comment.
    #[arg(short = 'f', long = "hosts", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Choose hosts from this inventory of Ansible
    ///
    /// INI, YAML, JSON, a program that prints JSON for --list, a folder of those, `-` for stdin, or names with a comma behind. Where
    /// it is not given, and -f is not either, EASYCLUSTER_INVENTORY names it.
    #[arg(short = 'I', long, value_name = "FILE", conflicts_with = "files")]
    pub(crate) inventory: Vec<PathBuf>,
    /// Leave out the hosts that this pattern matches
    #[arg(short = 'x', long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,
    #[command(flatten)]
    pub(crate) ssh: SshOptions,
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
    /// What the inventory says of it.
    pub(crate) host: InventoryHost,
}

impl Target {
    /// Who answers the questions of its connection: the inventory once, where it has the password and the login to this very host
    /// asks for it; then whoever else is there.
    pub(crate) fn prompter(&self, other: Option<Prompter>) -> Option<Prompter> {
        let Ok(Some(password)) = self.host.password() else {
            return other;
        };
        let given = AtomicBool::new(false);
        let host = self.spec.host.to_plain();
        Some(Arc::new(move |question: &Question| {
            // Neither a host on the way nor sudo is told it. What a server says stands behind our words, or further in.
            let asks = question.stage == Stage::Authentication
                && !question.echo
                && question.text.lines().any(|line| asks_password(line, &host));
            if asks && !given.swap(true, Ordering::Relaxed) {
                return Some(password.clone());
            }
            other.as_ref().and_then(|other| other(question))
        }))
    }

    /// The variables of the inventory, without those that are passwords.
    pub(crate) fn variables(&self) -> BTreeMap<&str, &Plain> {
        let mut found = self.host.variables();
        found.retain(|name, _| !name.contains("pass"));
        found
    }
}

/// Whether a line of a question is that of the login to this host, for a password.
fn asks_password(line: &str, host: &str) -> bool {
    match line.strip_prefix('(') {
        // Keyboard-interactive, `(user@host) Password: `.
        Some(rest) => rest.split_once(") ").is_some_and(|(login, prompt)| {
            login.ends_with(&format!("@{host}")) && prompt.to_lowercase().contains("password")
        }),
        None => !line.starts_with(' ') && line.ends_with(&format!("@{host}'s password: ")),
    }
}

impl From<InventoryError> for Failure {
    fn from(error: InventoryError) -> Self {
        let failure = Failure::usage(error.to_string());
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

impl HostOptions {
    /// All hosts, `specs` (which may be fewer than were given) first and then those of the files, in order; or those that
    /// `specs` choose from the inventory.
    ///
    /// # Errors
    ///
    /// Where there is no host, a spec or a pattern is wrong, or a file cannot be read.
    pub(crate) fn targets(&self, specs: &[String]) -> Result<Vec<Target>, Failure> {
        self.ssh.check()?;
        let default_key = self.default_key()?;
        let options = ParseOptions {
            default_key,
            ssh_without_key: true,
            ..ParseOptions::default()
        };
        let mut targets = Vec::new();
        let hosts = self.hosts(specs)?;
        if hosts.iter().any(InventoryHost::has_password) {
            print_warning("the inventory has passwords in clear; a key or an agent is safer");
        }
        for host in hosts {
            let mut spec = host.spec_with(&options)?;
            // As the user calls it, without the defaults of all hosts.
            let label = spec.label();
            self.ssh.apply(&mut spec);
            spec.timeout = spec.timeout.or(self.connect_timeout);
            targets.push(Target { spec, label, host });
        }
        number_duplicates(&mut targets);
        // What all hosts are to become is no part of what they are called.
        let specs = targets.iter_mut().map(|target| &mut target.spec);
        self.become_options.apply(specs)?;
        for target in &mut targets {
            // Errors call it by the same name as output does.
            target.spec.name = Some(target.label.clone());
        }
        Ok(targets)
    }

    /// Whether the hosts are read from stdin, which then holds nothing else.
    pub(crate) fn read_stdin(&self) -> bool {
        let mut files = self.files.iter().chain(&self.inventory);
        files.any(|file| file == Path::new("-"))
    }

    fn hosts(&self, specs: &[String]) -> Result<Vec<InventoryHost>, Failure> {
        let mut words = specs.to_vec();
        if words.is_empty() && self.files.is_empty() {
            let hosts = std::env::var(HOSTS).unwrap_or_default();
            words = hosts.split_whitespace().map(str::to_owned).collect();
        }
        if self.exclude.iter().any(|pattern| pattern.trim().is_empty()) {
            // Nothing would be left out, and all hosts worked on.
            return Err(Failure::usage("the pattern behind -x is empty")
                .with_hint("a variable in it may be unset here"));
        }
        let excluded: Vec<&str> = self.exclude.iter().map(String::as_str).collect();
        let from_environment = std::env::var_os(INVENTORY).filter(|path| !path.is_empty());
        let from_environment = from_environment
            .filter(|_| self.inventory.is_empty() && self.files.is_empty())
            .map(PathBuf::from);
        if self.inventory.is_empty() && from_environment.is_none() {
            return self.listed(&words, &excluded);
        }
        let chosen = match &from_environment {
            Some(path) => choose(std::slice::from_ref(path), &words, &excluded),
            None => choose(&self.inventory, &words, &excluded),
        };
        chosen.map_err(|mut failure| {
            if let Some(path) = &from_environment {
                failure.message += &format!(" (the inventory is {INVENTORY}, {})", path.display());
            }
            failure
        })
    }

    /// The hosts of specs and of files of specs.
    fn listed(&self, words: &[String], excluded: &[&str]) -> Result<Vec<InventoryHost>, Failure> {
        let files = self.files.iter().map(|path| hosts_file::read(path));
        let lists = files.collect::<Result<Vec<_>, Failure>>()?;
        let (hosts, warnings) = Inventory::of_command_line(words, &lists, excluded)?;
        for warning in warnings {
            print_warning(&warning);
        }
        if hosts.is_empty() {
            return Err(if words.is_empty() && self.files.is_empty() {
                Failure::usage("no host is given").with_hint(
                    "give one or more as [user@]host[:port], a file of them with -f, or an inventory with -I",
                )
            } else {
                Failure::usage("no host is left")
                    .with_hint("names and files given are empty, or -x leaves all out")
            });
        }
        Ok(hosts)
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
            print_warning(&warning.to_string());
        }
        Ok(Some(loaded.key))
    }
}

/// The hosts of inventories that patterns choose.
fn choose(
    paths: &[PathBuf],
    words: &[String],
    excluded: &[&str],
) -> Result<Vec<InventoryHost>, Failure> {
    let mut inventory = Inventory::default();
    for path in paths {
        let name = path.display();
        hosts_file::said_when_slow(&format!("the inventory {name}"), || inventory.add(path))?;
    }
    for warning in inventory.warnings() {
        print_warning(warning);
    }
    let patterns: Vec<&str> = words.iter().map(String::as_str).collect();
    let hosts = inventory.select_without(&patterns, excluded)?;
    if hosts.is_empty() {
        return Err(Failure::usage("no host is left").with_hint("-x leaves all out"));
    }
    Ok(hosts)
}

/// Makes labels differ: the second and later of equal ones get a number.
fn number_duplicates(targets: &mut [Target]) {
    // What a number makes of a label may be what another target is called.
    let mut taken: HashSet<String> = targets.iter().map(|target| target.label.clone()).collect();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for target in targets {
        let count = seen.entry(target.label.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            while !taken.insert(format!("{}#{count}", target.label)) {
                *count += 1;
            }
            target.label.push_str(&format!("#{count}"));
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

    use super::{HostOptions, seconds};
    use crate::Stage;
    use crate::spec::Transport;
    use crate::transport::Question;

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

    fn labels(line: &[&str]) -> Vec<String> {
        let targets = targets(line).expect("targets");
        targets.into_iter().map(|target| target.label).collect()
    }

    #[test]
    fn a_hosts_file_holds_specs_and_comments() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hosts");
        std::fs::write(
            &path,
            "# web\nuser@web1\n\n  user@web2:2222  \r\n#user@old\nweb3:name=#3\t# new\n[db]\ndb[1-2]\n \t# end",
        )
        .expect("file");
        let path = path.to_str().expect("path");
        assert_eq!(
            labels(&["-f", path]),
            ["user@web1", "user@web2:2222", "#3", "db1", "db2"]
        );
        assert_eq!(
            labels(&["first", "@db", "-f", path]),
            ["first", "db1", "db2"]
        );
        assert_eq!(
            labels(&["-f", path, "-x", "db2,user@web1", "-x", "web2"]),
            ["#3", "db1"]
        );
        let failure = targets(&["-f", path, "-x", "web9"]).expect_err("no such host");
        assert!(
            failure.message.contains("no host or group \"web9\""),
            "{}",
            failure.message
        );
    }

    #[test]
    fn a_host_that_is_named_twice_is_one_and_equal_labels_get_numbers() {
        assert_eq!(labels(&["web1", "web[1-2]", "web1"]), ["web1", "web2"]);
        assert_eq!(
            labels(&["web1:name=a", "web2:name=a", "web3"]),
            ["a", "a#2", "web3"]
        );
    }

    #[test]
    fn a_password_of_the_inventory_is_for_the_login_of_its_host_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hosts.ini");
        std::fs::write(&path, "web1 ansible_password=s3cret\nweb2\n").expect("file");
        let found = targets(&["all", "-I", path.to_str().expect("path")]).expect("targets");
        assert!(found[1].prompter(None).is_none());
        let prompter = found[0].prompter(None).expect("a password");
        let question = |text: &str, stage: Stage, echo: bool| {
            prompter(&Question {
                host: "web1".to_owned(),
                text: text.to_owned(),
                echo,
                stage,
            })
        };
        let login = Stage::Authentication;
        for other in [
            "me@gate's password: ",
            "(me@gate) web1 password: ",
            "(me@gate) x@web1's password: ",
            "  (me@web1) password: ",
            "Passphrase for key x: ",
        ] {
            assert_eq!(question(other, login, false), None, "{other}");
        }
        assert_eq!(
            question("(me@web1) Password: ", Stage::Escalation, false),
            None
        );
        assert_eq!(question("(me@web1) Password: ", login, true), None);
        let password = Some("s3cret".to_owned());
        assert_eq!(
            question("  Welcome\n(me@web1) Password: ", login, false),
            password
        );
        // One that is refused is not given again.
        assert_eq!(question("me@web1's password: ", login, false), None);
    }

    #[test]
    fn the_options_of_ssh_are_defaults() {
        let text = |line: &[&str]| -> Vec<String> {
            let found = targets(line).expect("targets").into_iter();
            found.map(|target| target.spec.to_string()).collect()
        };
        assert_eq!(
            text(&[
                "web1",
                "me@web2:22",
                "-l",
                "deploy",
                "-p",
                "2222",
                "-J",
                "gate",
                "-o",
                "ConnectTimeout=5",
                ":local",
            ]),
            [
                "deploy@web1:2222:ssh=yes:extra=-J gate -o 'ConnectTimeout=5':name=web1",
                "me@web2:22:extra=-J gate -o 'ConnectTimeout=5':name=me@web2\\:22",
                ":local:name=local",
            ]
        );
        for (line, expected) in [
            (["-o", "ConectTimeout=5"], "did you mean ConnectTimeout?"),
            (["-o", "Colour=red"], "ssh_config has no keyword \"Colour\""),
            (["-o", "Port"], "KEY=VALUE"),
            (["-p", "0"], "a number from 1 to 65535"),
            (["-J", "a b"], "not a valid host name"),
        ] {
            let words = ["x", "web1"].into_iter().chain(line);
            let error = Line::try_parse_from(words)
                .err()
                .expect("refused")
                .to_string();
            assert!(error.contains(expected), "{line:?}: {error}");
        }
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

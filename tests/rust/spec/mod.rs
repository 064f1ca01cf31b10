//! The rules of spec/connection-spec.md: every vector, the numbers in the page, labels, and that keys are shown nowhere.

mod properties;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use easycluster::keys::{KEY_SIZE, Key};
use easycluster::spec::{
    ConfigChoice, ConnectionSpec, CustomOptions, DEFAULT_PORT, Host, KeySource, MAX_AHEAD,
    MAX_RESULT, MAX_SPEC, MAX_TIMEOUT, ParseOptions, SpecError, SpecErrorKind, SshChoice,
    Transport,
};

const PAGE: &str = include_str!("../../../spec/connection-spec.md");

struct Vector {
    case: String,
    headers: BTreeMap<String, String>,
    spec: String,
}

impl Vector {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn list(&self, name: &str) -> Vec<&str> {
        self.header(name)
            .map(|text| text.split(", ").collect())
            .unwrap_or_default()
    }

    fn parse(&self) -> Result<ConnectionSpec, SpecError> {
        let names = self.list("custom");
        let custom = match names.as_slice() {
            [] => CustomOptions::None,
            ["*"] => CustomOptions::Any,
            names => CustomOptions::Names(names),
        };
        let default_port = self
            .header("default_port")
            .map(|text| text.parse().unwrap());
        ConnectionSpec::parse_with(
            &self.spec,
            &ParseOptions {
                custom,
                default_port,
                ssh_without_key: self.header("ssh_without_key") == Some("yes"),
                ..ParseOptions::default()
            },
        )
    }
}

fn vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/vectors/connection-spec");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| read_vector(path)).collect()
}

fn read_vector(path: &Path) -> Vector {
    let case = path.file_stem().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let (head, body) = text
        .split_once("\n\n")
        .unwrap_or_else(|| panic!("{case}: no empty line behind the headers"));
    let mut headers = BTreeMap::new();
    for line in head.lines() {
        let (name, value) = line
            .split_once(": ")
            .unwrap_or_else(|| panic!("{case}: {line:?} is not a header"));
        assert!(
            headers
                .insert(name.to_string(), value.to_string())
                .is_none(),
            "{case}: {name} stands twice"
        );
    }
    let spec = body
        .strip_suffix('\n')
        .unwrap_or_else(|| panic!("{case}: no newline at the end"))
        .to_string();
    Vector {
        case,
        headers,
        spec,
    }
}

/// Every field that is set, by the names of the vectors.
fn fields(spec: &ConnectionSpec) -> BTreeMap<String, String> {
    let switch = |value: bool| if value { "yes" } else { "no" }.to_string();
    let path = |path: &PathBuf| path.display().to_string();
    let key = |key: &KeySource| match key {
        KeySource::File(file) => format!("file {}", file.display()),
        KeySource::Text(text) => format!("text {text}"),
        KeySource::Given(_) => "given".into(),
    };
    let ssh = |ssh: &SshChoice| match ssh {
        SshChoice::Yes => "yes".into(),
        SshChoice::No => "no".into(),
        SshChoice::Program(path) => format!("program {}", path.display()),
    };
    let config = |config: &ConfigChoice| match config {
        ConfigChoice::None => "none".into(),
        ConfigChoice::File(file) => format!("file {}", file.display()),
    };
    let jump = |hosts: &Vec<_>| match hosts.as_slice() {
        [] => "none".into(),
        hosts => hosts
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(","),
    };
    let host = if spec.host == Host::Local {
        ":local".to_string()
    } else {
        spec.host.to_plain()
    };
    let own = [
        ("host", Some(host)),
        ("user", spec.user.clone()),
        ("port", spec.port.map(|port| port.to_string())),
        ("key", spec.key.as_ref().map(key)),
        ("ssh", spec.ssh.as_ref().map(ssh)),
        ("compress", spec.compress.map(switch)),
        (
            "extra",
            (!spec.extra.is_empty()).then(|| format!("{:?}", spec.extra)),
        ),
        ("rpython", spec.rpython.clone()),
        ("timeout", spec.timeout.map(|time| seconds(time.as_nanos()))),
        ("identity", spec.identity.as_ref().map(path)),
        ("known_hosts", spec.known_hosts.as_ref().map(path)),
        ("config", spec.config.as_ref().map(config)),
        ("hostkey", spec.hostkey.as_ref().map(ToString::to_string)),
        ("batch", spec.batch.map(switch)),
        ("jump", spec.jump.as_ref().map(jump)),
        (
            "allow",
            (!spec.allow.is_empty()).then(|| spec.allow.join(",")),
        ),
        (
            "forward",
            (!spec.forward.is_empty()).then(|| spec.forward.join(",")),
        ),
        ("name", spec.name.clone()),
        ("ahead", spec.ahead.map(|count| count.to_string())),
        ("max_result", spec.max_result.map(|bytes| bytes.to_string())),
        (
            "then",
            (!spec.then.is_empty()).then(|| {
                format!(
                    "{:?}",
                    spec.then
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                )
            }),
        ),
        ("become", spec.become_step.as_ref().map(ToString::to_string)),
        ("label", spec.steps().next().map(|_| spec.label())),
    ];
    let own = own
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_string(), value?)));
    own.chain(
        spec.custom
            .iter()
            .map(|(name, value)| (format!("custom.{name}"), value.clone())),
    )
    .collect()
}

fn seconds(nanoseconds: u128) -> String {
    let text = format!(
        "{}.{:09}",
        nanoseconds / 1_000_000_000,
        nanoseconds % 1_000_000_000
    );
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn transport(spec: &ConnectionSpec) -> String {
    match spec.transport() {
        Transport::Ssh => "ssh".into(),
        Transport::OpenSsh(path) => format!("openssh {}", path.display()),
        Transport::Tcp => "tcp".into(),
        Transport::Local => "local".into(),
    }
}

#[test]
fn every_vector_holds() {
    let vectors = vectors();
    assert!(vectors.len() >= 60, "only {} vectors found", vectors.len());
    for vector in &vectors {
        let case = &vector.case;
        match (vector.header("expect").unwrap_or_default(), vector.parse()) {
            ("accepted", Ok(spec)) => check_accepted(vector, &spec),
            ("accepted", Err(error)) => panic!("{case}: refused: {error}"),
            (grade, Ok(spec)) => panic!("{case}: accepted instead of {grade}: {spec:?}"),
            (grade, Err(error)) => check_refused(vector, grade, &error),
        }
    }
}

fn check_accepted(vector: &Vector, spec: &ConnectionSpec) {
    let case = &vector.case;
    let about_the_case = [
        "rule",
        "expect",
        "custom",
        "default_port",
        "ssh_without_key",
        "transport",
        "canonical",
    ];
    let mut expected = vector.headers.clone();
    expected.retain(|name, _| !about_the_case.contains(&name.as_str()));
    assert_eq!(fields(spec), expected, "{case}: fields");
    assert_eq!(
        Some(transport(spec).as_str()),
        vector.header("transport"),
        "{case}: transport"
    );
    let canonical = spec.to_canonical();
    assert_eq!(
        Some(canonical.as_str()),
        vector.header("canonical"),
        "{case}: canonical"
    );
    let again = Vector {
        case: case.clone(),
        headers: vector.headers.clone(),
        spec: canonical,
    }
    .parse();
    assert_eq!(
        again.as_ref(),
        Ok(spec),
        "{case}: the canonical spec reads back"
    );
}

fn check_refused(vector: &Vector, grade: &str, error: &SpecError) {
    let case = &vector.case;
    let kind = match error.kind() {
        SpecErrorKind::Malformed => "malformed",
        SpecErrorKind::Unknown => "unknown",
        SpecErrorKind::Duplicate => "duplicate",
        SpecErrorKind::Conflict => "conflict",
    };
    assert_eq!(kind, grade, "{case}: {error}");
    let columns = error.columns();
    assert_eq!(
        Some(format!("{}..{}", columns.start, columns.end).as_str()),
        vector.header("at"),
        "{case}: {error}"
    );
    assert_eq!(
        error.shown(),
        vector.header("shown").unwrap_or(&vector.spec),
        "{case}: {error}"
    );
    if let Some(reason) = vector.header("reason") {
        assert_eq!(error.reason(), reason, "{case}");
    }
    let carets = format!(
        "{}{}",
        " ".repeat(2 + columns.start),
        "^".repeat(columns.len().max(1))
    );
    assert_eq!(
        error.to_string(),
        format!("{}\n  {}\n{carets}", error.reason(), error.shown()),
        "{case}"
    );
}

#[test]
fn every_rule_has_a_vector_and_every_vector_a_rule() {
    let rule = |line: &str| Some(line.strip_prefix("- **")?.split_once("**")?.0.to_string());
    let rules: BTreeSet<String> = PAGE.lines().filter_map(rule).collect();
    assert!(rules.len() >= 20, "{rules:?}");
    let vectors = vectors();
    let shown: BTreeSet<String> = vectors
        .iter()
        .flat_map(|vector| vector.list("rule"))
        .map(str::to_string)
        .collect();
    assert_eq!(rules, shown);
}

#[test]
fn the_numbers_in_the_page_are_those_of_the_code() {
    let row = |line: &'static str| {
        line.strip_prefix("| ")?
            .strip_suffix(" |")?
            .split_once(" | ")
    };
    let table: BTreeMap<&str, u64> = PAGE
        .lines()
        .filter_map(row)
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect();
    let code = [
        ("MAX_SPEC", MAX_SPEC as u64),
        ("DEFAULT_PORT", u64::from(DEFAULT_PORT)),
        ("KEY_SIZE", KEY_SIZE as u64),
        ("MAX_TIMEOUT", MAX_TIMEOUT),
        ("MAX_AHEAD", MAX_AHEAD as u64),
        ("MAX_RESULT", MAX_RESULT),
    ];
    assert_eq!(table, code.into_iter().collect());
}

#[test]
fn the_default_port_is_for_tcp_alone() {
    let tcp: ConnectionSpec = "example.com:kf=k".parse().unwrap();
    assert_eq!((tcp.port, tcp.tcp_port()), (None, 11998));
    let other: ConnectionSpec = "example.com:9999:kf=k".parse().unwrap();
    assert_eq!(other.tcp_port(), 9999);
}

#[test]
fn a_programs_defaults_give_way_to_the_spec() {
    let key = Key::decode("from the program").unwrap();
    let options = ParseOptions {
        default_key: Some(key.clone()),
        default_compress: Some(true),
        ..ParseOptions::default()
    };
    let plain = ConnectionSpec::parse_with("example.com", &options).unwrap();
    assert_eq!(
        (plain.key.as_ref(), plain.compress),
        (Some(&KeySource::Given(key.clone())), Some(true))
    );
    assert_eq!(plain.key.unwrap().load().unwrap().key, key);
    let own = ConnectionSpec::parse_with("example.com:key=own:compress=0", &options).unwrap();
    assert_eq!(
        (own.key, own.compress),
        (Some(KeySource::Text("own".into())), Some(false))
    );
    let local = ConnectionSpec::parse_with(":local", &options).unwrap();
    assert_eq!(local.key, None);
}

#[test]
fn a_key_is_shown_nowhere() {
    let secret = "s3cret-PASSPHRASE";
    let spec: ConnectionSpec = format!("example.com:key={secret}:name=n").parse().unwrap();
    assert_eq!(spec.to_string(), "example.com:key=(hidden):name=n");
    assert!(!format!("{spec:?}").contains(secret));
    let wrong = [
        "example.com:key=S:nonsense",
        "example.com:kye=S",
        "example.com:KEY=S",
        "example.com: key=S",
        "h[:key=S",
        "[h:key=S]",
        "u:S@example.com",
        ":22:key=S",
        "h:key:S",
        "h:key=a\\:S:x",
        "h:ssh=no:batch=1:key=S",
        "h:key=S\n",
        "ssh://u:S@h",
        "ssh://[h:key=S",
        "h:password=S",
    ];
    for wrong in wrong {
        let error = wrong
            .replace('S', secret)
            .parse::<ConnectionSpec>()
            .unwrap_err();
        assert!(!error.to_string().contains(secret), "{wrong}: {error}");
        assert!(!format!("{error:?}").contains(secret), "{wrong}: {error:?}");
    }
}

#[test]
fn labels_name_the_connection_without_its_options() {
    for (text, label) in [
        ("u@h:22:key=x", "u@h:22"),
        ("[::1]:9", "[::1]:9"),
        ("h:name=left", "left"),
        (":local", "local"),
    ] {
        assert_eq!(text.parse::<ConnectionSpec>().unwrap().label(), label);
    }
}

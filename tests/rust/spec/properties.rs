//! What holds for every spec: what is written comes back, and no text makes the parser fail badly.

use easycluster::spec::{
    ConfigChoice, ConnectionSpec, CustomOptions, Host, KeySource, ParseOptions, SshChoice, Step,
    Transport,
};
use proptest::prelude::*;

/// A value of any characters, with those that matter to the grammar often.
fn value() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        ':', '\\', '=', '@', '[', ']', '\'', '"', '#', ' ', ',',
    ]);
    let letter = prop_oneof![3 => special, 2 => any::<char>()];
    prop::collection::vec(letter, 1..12)
        .prop_map(|letters| {
            letters
                .into_iter()
                .filter(|letter| !letter.is_control())
                .collect::<String>()
        })
        .prop_filter("an empty value is refused, the hidden key too", |text| {
            !text.is_empty() && text != "(hidden)"
        })
}

fn any_host() -> impl Strategy<Value = Host> {
    let zone = prop::option::of("[a-z0-9._-]{1,8}");
    let text = prop_oneof![
        "[a-z0-9][a-zA-Z0-9._-]{0,20}",
        any::<[u8; 4]>().prop_map(|parts| std::net::Ipv4Addr::from(parts).to_string()),
        (any::<[u8; 16]>(), zone)
            .prop_map(|(parts, zone)| Host::V6(parts.into(), zone).to_string()),
        Just(":local".to_string()),
    ];
    text.prop_filter_map("four numbers that are no address", |text| {
        Some(text.parse::<ConnectionSpec>().ok()?.host)
    })
}

fn step(words: &[String]) -> Result<Step, String> {
    let words = shlex::try_join(words.iter().map(String::as_str));
    format!("run/{}", words.map_err(|error| error.to_string())?).parse()
}

fn any_spec() -> impl Strategy<Value = ConnectionSpec> {
    let texts = prop::collection::vec(prop::option::of(value()), 8);
    let words = prop::collection::vec(value(), 0..4);
    let user = prop::option::of("[a-z][a-z@.\\\\]{0,8}");
    let rest = (
        prop::option::of(1u16..),
        prop::option::of(any::<bool>()),
        prop::option::of(1..604_800_000_000_000u64),
        0..4u8,
    );
    (any_host(), user, texts, words, rest).prop_map(
        |(host, user, mut texts, words, (port, switch, time, choice))| {
            let local = host == Host::Local;
            let mut spec = ConnectionSpec::for_host(host);
            let mut text = || texts.pop().flatten();
            // Words of any characters, and what follows them.
            if let Some(Ok(step)) = words.first().map(|_| step(&words)) {
                spec.then = vec![step.clone(), Step::sudo("root"), step];
            }
            spec.become_step = switch.map(|_| Step::sudo("bob"));
            spec.rpython = text();
            spec.name = text();
            spec.custom
                .extend(text().map(|value| ("own".to_string(), value)));
            spec.compress = switch;
            spec.timeout = time.map(std::time::Duration::from_nanos);
            if local {
                return spec;
            }
            spec.user = user;
            spec.port = port;
            spec.extra = words;
            spec.key = text().map(|value| {
                if switch.is_some() {
                    KeySource::File(value.into())
                } else {
                    KeySource::Text(value)
                }
            });
            spec.ssh = match choice {
                0 => None,
                1 => Some(SshChoice::Yes),
                2 => Some(SshChoice::No),
                // The slash keeps a word for yes or no from being read as one.
                _ => Some(SshChoice::Program(
                    format!("/{}", text().unwrap_or_default()).into(),
                )),
            };
            if spec.transport() != Transport::Tcp {
                spec.identity = text().map(Into::into);
                spec.known_hosts = text().map(Into::into);
                spec.config = text().map(|value| {
                    if value == "none" {
                        ConfigChoice::None
                    } else {
                        ConfigChoice::File(value.into())
                    }
                });
                spec.batch = switch;
            }
            spec
        },
    )
}

/// Text made of the pieces that matter, in any order.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        2 => prop::sample::select(vec![":", "\\", "[", "]", "@", "key=", ":local", "ssh=yes", "jump=", "then=run/", "sudo/", "22", "::1", "ssh://", "/",
            "hostkey=SHA256:uNiVztksCsDhcc0u9e8BrrQXVUpKZIDTMczCvj3tD2s"]).prop_map(str::to_string),
        1 => "[a-z0-9=.,%]{1,3}",
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_written_reads_back(spec in any_spec()) {
        let options = ParseOptions { custom: CustomOptions::Names(&["own"]), ..ParseOptions::default() };
        let text = spec.to_canonical();
        prop_assert_eq!(ConnectionSpec::parse_with(&text, &options), Ok(spec), "{}", text);
    }

    #[test]
    fn any_text_is_a_spec_or_an_error_with_a_place(text in any_text()) {
        match text.parse::<ConnectionSpec>() {
            Ok(spec) => prop_assert_eq!(spec.to_canonical().parse::<ConnectionSpec>(), Ok(spec)),
            Err(error) => prop_assert!(error.columns().end <= error.shown().chars().count()),
        }
    }
}

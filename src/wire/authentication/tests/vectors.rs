//! The vectors of spec/authentication.md, written by an implementation that shares nothing with this one.

use super::*;
use std::collections::HashMap;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn grade(error: &AuthenticationError) -> &'static str {
    match error {
        AuthenticationError::NotOurs => "not-ours",
        AuthenticationError::Version { .. } => "version",
        AuthenticationError::Reflected => "reflected",
        AuthenticationError::WeakPublic => "weak-public",
        AuthenticationError::Proof => "proof",
        AuthenticationError::Refused(_) => "refused",
        AuthenticationError::Tampered => "tampered",
        AuthenticationError::TooLarge(_) => "too-large",
        AuthenticationError::Malformed(_) => "malformed",
        AuthenticationError::Exhausted => "exhausted",
    }
}

/// Plays one recorded session: each side is given the other's messages, and what it answers
/// must be what stands in the file.
fn play(
    headers: &HashMap<&str, &str>,
    messages: &[(&str, Vec<u8>)],
) -> Result<usize, AuthenticationError> {
    let bytes = |name: &str| -> [u8; 32] { hex(headers[name]).as_slice().try_into().unwrap() };
    let key = hex(headers["key"]);
    let (client, hello) = Client::start(
        &key,
        Fresh {
            nonce: bytes("client-nonce"),
            secret: bytes("client-secret"),
        },
    );
    let unchanged = messages[0].1 == hello;
    let (server, answer) = Server::answer(
        &key,
        Fresh {
            nonce: bytes("server-nonce"),
            secret: bytes("server-secret"),
        },
        messages[0].1.as_slice().try_into().unwrap(),
    )?;
    let (proved, proof, mut client_seal) =
        client.server_hello(messages[1].1.as_slice().try_into().unwrap())?;
    assert_eq!(messages[1].1, answer);
    let (answer, mut server_seal, mut server_open) =
        server.client_proof(messages[2].1.as_slice().try_into().unwrap())?;
    assert!(unchanged);
    assert_eq!(messages[2].1, proof);
    let mut client_open = proved.server_proof(messages[3].1.as_slice().try_into().unwrap())?;
    assert_eq!(messages[3].1, answer);
    for (way, frame) in &messages[4..] {
        let (seal, opener) = match *way {
            "C" => (&mut client_seal, &mut server_open),
            _ => (&mut server_seal, &mut client_open),
        };
        let content = open(opener, frame)?;
        let message = Message::decode(&content)?;
        let mut again = Vec::new();
        seal.seal(&[&message.head(), message.body()], &mut again)
            .unwrap();
        assert_eq!(&again, frame, "sealed differently");
    }
    Ok(messages.len())
}

#[test]
fn every_vector_ends_as_it_says() {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/vectors/authentication");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "txt") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, body) = text.split_once("\n\n").unwrap();
        let headers: HashMap<_, _> = head
            .lines()
            .map(|line| {
                line.split_once(": ")
                    .unwrap_or((line.trim_end_matches(':'), ""))
            })
            .collect();
        let messages: Vec<_> = body
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(way, bytes)| (way, hex(bytes)))
            .collect();
        let result = play(&headers, &messages);
        let got = result.as_ref().err().map_or("accepted", grade);
        assert_eq!(got, headers["expect"].trim(), "{}", path.display());
        seen += 1;
    }
    println!("{seen} vectors");
    assert!(seen >= 20);
}

/// Every rule has a vector, or stands in the list of those that only live code can show.
#[test]
fn every_rule_has_a_vector_and_every_number_is_the_codes() {
    let spec = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("spec");
    let page = std::fs::read_to_string(spec.join("authentication.md")).unwrap();
    let mut shown = String::new();
    for entry in std::fs::read_dir(spec.join("vectors/authentication")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        shown.push_str(text.lines().next().unwrap_or_default());
        shown.push(' ');
    }
    let shown: Vec<_> = shown.split_whitespace().collect();
    let mut rules = 0;
    for line in page.lines() {
        if let Some(rule) = line.strip_prefix("- **AU-") {
            let rule = format!("AU-{}", rule.split('*').next().unwrap());
            assert!(shown.contains(&rule.as_str()), "{rule} has no vector");
            rules += 1;
        }
    }
    assert_eq!(rules, 17);
    for (name, value) in [
        ("VERSION", VERSION as usize),
        ("HELLO", HELLO),
        ("PROOF", PROOF),
        ("REFUSAL", REFUSAL),
        ("SEALED_MAX", SEALED_MAX),
        ("COMMAND_MAX", COMMAND_MAX),
        ("WINDOW", WINDOW as usize),
        ("KEY_MIN", KEY_MIN),
    ] {
        assert!(
            page.contains(&format!("| {name} | {value} |")),
            "{name} differs from the page"
        );
    }
}

//! Feeds a stranger's bytes to everything that reads them before they are authenticated, and to
//! the decoder right behind it. Nothing may panic, and no stranger may get through.
#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../src/wire/authentication/mod.rs"]
mod authentication;

use authentication::{
    Client, Direction, Fresh, HELLO, Message, Opener, PROOF, REFUSAL, Refusal, SEALED_TAG, Server,
    Step,
};
use libfuzzer_sys::fuzz_target;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

fn fresh() -> Fresh {
    Fresh {
        nonce: [1; 32],
        secret: [2; 32],
    }
}

/// Takes one handshake message off the front, as the socket's reader does: the tag says how long
/// it is.
fn message<'a>(data: &mut &'a [u8]) -> Option<(Step, &'a [u8])> {
    let tag = *data.first_chunk::<4>()?;
    let step = Step::from_tag(tag).ok()?;
    let (message, rest) = data.split_at_checked(step.length())?;
    *data = rest;
    Some((step, message))
}

fn to_server(mut data: &[u8]) -> Option<()> {
    let (_, hello) = message(&mut data)?;
    let hello: &[u8; HELLO] = hello.try_into().ok()?;
    let (server, answer) = Server::answer(KEY, fresh(), hello).ok()?;
    assert_eq!(answer.len(), HELLO);
    let (_, proof) = message(&mut data)?;
    let proof: &[u8; PROOF] = proof.try_into().ok()?;
    assert!(server.client_proof(proof).is_err(), "a stranger got in");
    None
}

fn to_client(mut data: &[u8]) -> Option<()> {
    let (client, _) = Client::start(KEY, fresh());
    let (step, hello) = message(&mut data)?;
    if step == Step::Refusal {
        let refusal: &[u8; REFUSAL] = hello.try_into().ok()?;
        let refusal = Refusal::decode(refusal).ok()?;
        assert_eq!(Refusal::from_code(refusal.code()), refusal);
        return None;
    }
    let hello: &[u8; HELLO] = hello.try_into().ok()?;
    let (proved, _, _) = client.server_hello(hello).ok()?;
    let (_, proof) = message(&mut data)?;
    let proof: &[u8; PROOF] = proof.try_into().ok()?;
    assert!(proved.server_proof(proof).is_err(), "a stranger's server was believed");
    None
}

fn sealed(mut data: &[u8]) -> Option<()> {
    let mut opener = Opener::new(&[3; 32], Direction::ClientToServer).ok()?;
    loop {
        let header = *data.first_chunk::<4>()?;
        let length = Opener::announced(header).ok()?;
        assert!((1..=authentication::SEALED_MAX).contains(&length));
        let mut body = data.get(4..)?.get(..length + SEALED_TAG)?.to_vec();
        assert!(opener.open(&mut body).is_err(), "a stranger's frame opened");
        data = data.get(4 + length + SEALED_TAG..)?;
    }
}

fn content(data: &[u8]) {
    if let Ok(message) = Message::decode(data) {
        let again = [message.head().as_slice(), message.body()].concat();
        // What was understood is understood the same way when it is said again.
        assert_eq!(Message::decode(&again), Ok(message));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else {
        return;
    };
    match which % 4 {
        0 => drop(to_server(data)),
        1 => drop(to_client(data)),
        2 => drop(sealed(data)),
        _ => content(data),
    }
});

//! Channels between a program and a remote function, under every interpreter of this machine.

use std::future::IntoFuture;

use easycluster::{Client, Error, Value};

use crate::support::{Interpreter, interpreters, within};

const DEFINITIONS: &str = "
import time

def swallow(channel):
    total = 0
    for piece in channel:
        total += len(piece)
    return total

def echo(channel):
    while True:
        try:
            channel.send(channel.receive())
        except EOFError:
            break
    return 'over'

def pour(channel, size, times):
    for number in range(times):
        channel.send(size * b'x')

def first(channel, count):
    return channel.read(count)

def wait(channel):
    channel.receive()

def fail(channel):
    raise ValueError('no')

def fill(channel):
    try:
        while True:
            channel.send(b'x' * 10000)
    except EnvironmentError:
        import sys
        return sys.exc_info()[1].errno

def broken(channel):
    try:
        channel.read()
    except EnvironmentError:
        import sys
        return str(sys.exc_info()[1])

def lines(channel):
    for number in range(1000):
        channel.send([number, {'text': 'x' * number}, None])
";

async fn client(interpreter: &Interpreter) -> Client {
    let client = Client::from_spec(&format!(":local:rpython={}", interpreter.to_str()))
        .await
        .unwrap();
    client.define(DEFINITIONS).await.unwrap();
    client
}

#[tokio::test]
async fn bytes_go_both_ways_under_every_interpreter() {
    for interpreter in interpreters() {
        println!("{}", interpreter.path.display());
        let client = client(interpreter).await;
        for thread in [0, 3] {
            let channel = client.byte_channel(None).unwrap();
            let call = client.call::<u64>("swallow", (&channel,)).thread(thread);
            let (mut sender, _receiver) = channel.split();
            let call = tokio::spawn(call.into_future());
            for size in [1, 100_000, 5_000_000] {
                within(sender.send(vec![7; size])).await.unwrap();
            }
            within(sender.end()).await.unwrap();
            assert_eq!(within(call).await.unwrap().unwrap(), 5_100_001);

            let channel = client.byte_channel(Some(20_000)).unwrap();
            let call = client
                .call::<Value>("pour", (&channel, 100_001, 30))
                .thread(thread);
            let (_, mut receiver) = channel.split();
            let call = tokio::spawn(call.into_future());
            let mut total = 0;
            while let Some(some) = within(receiver.next()).await.unwrap() {
                assert!(!some.is_empty());
                total += some.len();
            }
            assert_eq!(total, 3_000_030);
            within(call).await.unwrap().unwrap();
        }
        assert_eq!(client.eval::<i64>("1 + 1").await.unwrap(), 2);
    }
}

#[tokio::test]
async fn items_go_both_ways_under_every_interpreter() {
    for interpreter in interpreters() {
        println!("{}", interpreter.path.display());
        let client = client(interpreter).await;
        let channel = client.channel::<Vec<String>, Vec<String>>(None).unwrap();
        let call = client.call::<String>("echo", (&channel,)).one_shot();
        let (mut sender, mut receiver) = channel.split();
        let call = tokio::spawn(call.into_future());
        for size in [0, 3, 500_000, 3_000_000] {
            let item = vec!["a".to_owned(), "\u{e9}".repeat(size)];
            within(sender.send(&item)).await.unwrap();
            assert_eq!(within(receiver.next()).await.unwrap(), Some(item));
        }
        within(sender.end()).await.unwrap();
        assert_eq!(within(receiver.next()).await.unwrap(), None);
        assert_eq!(within(call).await.unwrap().unwrap(), "over");
    }
}

#[tokio::test]
async fn an_end_of_either_side_is_known_to_the_other_at_once() {
    for interpreter in interpreters() {
        println!("{}", interpreter.path.display());
        let client = client(interpreter).await;
        // A reader that is dropped.
        let channel = client.byte_channel(None).unwrap();
        let call = client.call::<i64>("fill", (&channel,)).one_shot();
        let call = tokio::spawn(call.into_future());
        let (_sender, mut receiver) = channel.split();
        within(receiver.next()).await.unwrap();
        drop(receiver);
        assert_eq!(within(call).await.unwrap().unwrap(), 32);
        // A sender that is dropped, and one that says why.
        for reason in [None, Some("the disk is full")] {
            let channel = client.byte_channel(None).unwrap();
            let call = client.call::<String>("broken", (&channel,)).one_shot();
            let call = tokio::spawn(call.into_future());
            let (mut sender, _receiver) = channel.split();
            within(sender.send("x")).await.unwrap();
            match reason {
                Some(reason) => sender.fail(reason),
                None => drop(sender),
            }
            let text = within(call).await.unwrap().unwrap();
            assert!(text.contains(reason.unwrap_or("dropped")), "{text}");
        }
        // A function that raises.
        let channel = client.byte_channel(None).unwrap();
        let call = client.call::<Value>("fail", (&channel,)).thread(1);
        let (mut sender, mut receiver) = channel.split();
        assert!(matches!(
            within(call.into_future()).await,
            Err(Error::Remote(_))
        ));
        let error = within(receiver.next()).await.unwrap_err();
        assert!(error.to_string().contains("failed"), "{error}");
        let error = loop {
            if let Err(error) = within(sender.send(vec![1; 100_000])).await {
                break error;
            }
        };
        assert!(matches!(error, Error::Channel { .. }), "{error:?}");
        // A call that is given up while it waits.
        for thread in [0, 1] {
            let channel = client.byte_channel(None).unwrap();
            let call = client.call::<Value>("wait", (&channel,)).thread(thread);
            let (_sender, mut receiver) = channel.split();
            let error = within(
                call.timeout(std::time::Duration::from_millis(200))
                    .into_future(),
            )
            .await
            .unwrap_err();
            let Error::Timeout { stack, .. } = &error else {
                panic!("{error:?}")
            };
            assert!(
                stack.iter().any(|line| line.contains("in wait")),
                "{stack:?}"
            );
            let error = within(receiver.next()).await.unwrap_err();
            assert!(error.to_string().contains("interrupted"), "{error}");
            assert_eq!(client.eval::<i64>("1 + 1").thread(thread).await.unwrap(), 2);
        }
    }
}

#[tokio::test]
async fn a_lost_link_ends_both_directions() {
    let client = client(&interpreters()[0]).await;
    let channel = client.byte_channel(None).unwrap();
    let call = tokio::spawn(
        client
            .call::<Value>("wait", (&channel,))
            .one_shot()
            .into_future(),
    );
    let (mut sender, mut receiver) = channel.split();
    within(sender.send("")).await.unwrap();
    let reading = tokio::spawn(async move { receiver.next().await });
    let _ = client
        .eval::<Value>("__import__('os').kill(__import__('os').getpid(), 9)")
        .await;
    assert!(matches!(
        within(call).await.unwrap(),
        Err(Error::Lost { .. })
    ));
    assert!(matches!(
        within(reading).await.unwrap(),
        Err(Error::Lost { .. })
    ));
    assert!(matches!(
        within(sender.send("x")).await,
        Err(Error::Lost { .. })
    ));
    assert!(client.byte_channel(None).is_err());
}

#[tokio::test]
async fn a_generator_is_gone_through_as_it_goes() {
    const GENERATORS: &str = "
import threading
seen = []
def numbers(count):
    try:
        number = 0
        while number < count:
            seen.append(number)
            yield number
            number += 1
    finally:
        seen.append('over')
def failing():
    yield 1
    raise KeyError('behind')
";
    for interpreter in interpreters() {
        println!("{}", interpreter.path.display());
        let client = client(interpreter).await;
        client.define(GENERATORS).await.unwrap();
        let mut stream = client.stream::<u64>("numbers", (100_000,)).unwrap();
        let mut expected = 0;
        while let Some(number) = within(stream.next()).await.unwrap() {
            assert_eq!(number, expected);
            expected += 1;
        }
        assert_eq!(expected, 100_000);
        assert_eq!(within(stream.next()).await.unwrap(), None);
        // One that is left ends, and has not gone far.
        client.exec("del seen[:]").await.unwrap();
        let mut stream = client.stream::<u64>("numbers", (1_000_000_000,)).unwrap();
        for _ in 0..10 {
            within(stream.next()).await.unwrap();
        }
        drop(stream);
        within(async { while !client.eval::<bool>("seen[-1] == 'over'").await.unwrap() {} }).await;
        let gone: usize = client.eval("len(seen)").await.unwrap();
        assert!(gone < 500_000, "{gone}");
        // What it raises comes behind its items.
        let mut stream = client.stream::<u64>("failing", ()).unwrap();
        assert_eq!(within(stream.next()).await.unwrap(), Some(1));
        let Err(Error::Remote(error)) = within(stream.next()).await else {
            panic!("it raises")
        };
        assert_eq!(error.type_name, "KeyError");
        let mut stream = client.stream::<u64>("no_such_function", ()).unwrap();
        assert!(matches!(within(stream.next()).await, Err(Error::Remote(_))));
    }
}

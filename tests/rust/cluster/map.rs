//! One function on many items, over child processes of this machine.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use easycluster::inventory::Inventory;
use easycluster::stub;
use easycluster::wire::{Decoder, Kind, Sender};
use easycluster::{
    Client, Cluster, ClusterOptions, ConnectOptions, Error, MapOptions, OutputSink, Slots, Value,
};

use crate::support::{PATIENCE, interpreters, write_program};

const DEFINITIONS: &str = "\
import os, time
def square(n):
    return n * n
def odd(n):
    if n % 2:
        raise ValueError('odd: %d' % n)
    return n
def pid(n):
    time.sleep(0.005)
    return os.getpid()
def deadly(n):
    if n == 7:
        os._exit(3)
    time.sleep(0.002)
    return n
def unsendable(n):
    return object() if n == 3 else n
def slow(n):
    time.sleep(600 if n == 2 else 0)
    return n
";

async fn local(pythons: &[&str]) -> Cluster {
    let mut clients = Vec::new();
    for (number, python) in pythons.iter().enumerate() {
        let spec = format!(":local:rpython={python}:name=host{number}");
        let options = ConnectOptions::default().with_output(OutputSink::discard());
        clients.push(
            Client::connect(&spec.parse().unwrap(), options)
                .await
                .unwrap(),
        );
    }
    let cluster = Cluster::from(clients);
    for defined in cluster.define(DEFINITIONS).await {
        defined.unwrap();
    }
    cluster
}

fn newest() -> String {
    crate::support::interpreter_at_least((3, 6))
        .to_str()
        .to_owned()
}

async fn collect<I, R>(mut map: easycluster::Map<I, R>) -> Vec<(u64, Result<R, Error>)>
where
    I: Iterator<Item: serde::Serialize + Send + Sync + 'static>,
    R: serde::de::DeserializeOwned + Send + 'static,
{
    let mut all = Vec::new();
    let collecting = async {
        while let Some(result) = map.next().await {
            all.push(result);
        }
    };
    tokio::time::timeout(PATIENCE, collecting)
        .await
        .expect("a map ends");
    all
}

#[tokio::test]
async fn results_come_in_order_from_every_python() {
    let pythons: Vec<String> = interpreters()
        .iter()
        .map(|it| it.to_str().to_owned())
        .collect();
    let names: Vec<&str> = pythons.iter().map(String::as_str).collect();
    let cluster = local(&names).await;
    let results =
        collect(cluster.map::<_, u64>("square", 0..2000u64, &MapOptions::default())).await;
    let expected: Vec<(u64, u64)> = (0..2000).map(|n| (n, n * n)).collect();
    let results: Vec<_> = results.into_iter().map(|(n, r)| (n, r.unwrap())).collect();
    assert_eq!(results, expected);
    cluster.close().await;
}

/// The functions that run batches are a part of the stub, which is sent once a connection (BS-9).
#[tokio::test]
async fn a_second_map_sends_no_part_again() {
    let folder = tempfile::tempdir().unwrap();
    let (program, heard) = (folder.path().join("python"), folder.path().join("heard"));
    let line = format!("tee '{}' | '{}' \"$@\"", heard.display(), newest());
    write_program(&program, &format!("#!/bin/sh\n{line}\n"));
    let cluster = local(&[program.to_str().unwrap()]).await;
    for _ in 0..2 {
        let results =
            collect(cluster.map::<_, u64>("square", 0..3u64, &MapOptions::default())).await;
        assert!(results.iter().all(|(_, result)| result.is_ok()));
    }
    cluster.close().await;
    let sent = std::fs::read(heard).unwrap();
    let mut decoder = Decoder::new(Sender::Client, false);
    decoder.feed(sent[stub::first_part().len()..].to_vec().into());
    let frames = std::iter::from_fn(|| decoder.next_frame().unwrap());
    let parts: Vec<_> = frames
        .filter(|frame| frame.kind == Kind::Part)
        .map(|frame| frame.payload.into_bytes())
        .collect();
    let different: HashSet<_> = parts.iter().collect();
    assert!(parts.len() > 2 && parts.len() == different.len());
}

#[tokio::test]
async fn an_item_that_raises_fails_alone_with_its_traceback() {
    let pythons: Vec<String> = interpreters()
        .iter()
        .map(|it| it.to_str().to_owned())
        .collect();
    for python in &pythons {
        let cluster = local(&[python]).await;
        let results = collect(cluster.map::<_, u64>("odd", 0..20u64, &MapOptions::default())).await;
        for (n, result) in results {
            match result {
                Ok(value) => assert_eq!((value, n % 2), (n, 0)),
                Err(Error::Remote(error)) => {
                    assert_eq!(error.type_name, "ValueError", "{python}");
                    assert_eq!(error.message, format!("odd: {n}"));
                    assert!(
                        error.traceback.iter().any(|line| line.contains("in odd")),
                        "{error:?}"
                    );
                }
                Err(error) => panic!("{error}"),
            }
        }
        cluster.close().await;
    }
}

#[tokio::test]
async fn a_value_that_cannot_travel_fails_alone() {
    let python = newest();
    let cluster = local(&[&python, &python]).await;
    let options = MapOptions::default().with_batch(10);
    let results = collect(cluster.map::<_, Value>("unsendable", 0..10u64, &options)).await;
    for (n, result) in results {
        assert_eq!(result.is_err(), n == 3, "{n}: {result:?}");
    }
    // So does one that is not of the wanted type.
    let results = collect(cluster.map::<_, String>("str", 0..10u64, &options)).await;
    assert!(results.iter().all(|(_, result)| result.is_ok()));
    let results = collect(cluster.map::<_, String>("square", 0..10u64, &options)).await;
    assert!(results.iter().all(|(_, result)| result.is_err()));
    cluster.close().await;
}

#[tokio::test]
async fn a_function_that_is_not_there_is_named() {
    let python = newest();
    let cluster = local(&[&python]).await;
    let results =
        collect(cluster.map::<_, Value>("nowhere.at_all", 0..3u64, &MapOptions::default())).await;
    assert_eq!(results.len(), 3);
    for (_, result) in results {
        assert!(result.unwrap_err().to_string().contains("nowhere"));
    }
    cluster.close().await;
}

#[tokio::test]
async fn all_hosts_get_work() {
    let python = newest();
    let cluster = local(&[python.as_str(); 4]).await;
    let results = collect(cluster.map::<_, u64>("pid", 0..400u64, &MapOptions::default())).await;
    let mut of_each: BTreeMap<u64, usize> = BTreeMap::new();
    for (_, pid) in results {
        *of_each.entry(pid.unwrap()).or_default() += 1;
    }
    assert_eq!(of_each.len(), 4);
    cluster.close().await;
}

#[tokio::test]
async fn a_lost_host_costs_its_items_only_or_none_where_they_may_run_again() {
    let python = newest();
    for retries in [0, 1] {
        let cluster = local(&[python.as_str(); 4]).await;
        let options = MapOptions::default().with_retries(retries).with_batch(5);
        let results = collect(cluster.map::<_, u64>("deadly", 0..500u64, &options)).await;
        let places: Vec<u64> = results.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, (0..500).collect::<Vec<_>>());
        let mut failed = Vec::new();
        for (n, result) in results {
            match result {
                Ok(value) => assert_eq!(value, n),
                Err(Error::Lost { host, .. }) => failed.push((n, host)),
                Err(error) => panic!("{error}"),
            }
        }
        let items: Vec<u64> = failed.iter().map(|(n, _)| *n).collect();
        if retries == 0 {
            // At most the two batches that were on their way to that host.
            assert!(items.contains(&7) && items.len() <= 10, "{items:?}");
        } else {
            // It has ended two hosts, and is not given to a third.
            assert!(items.contains(&7), "{items:?}");
            assert!(
                failed.iter().all(|(_, host)| host.split(", ").count() == 2),
                "{failed:?}"
            );
        }
        assert_eq!(
            cluster.lost().borrow().len(),
            if retries == 0 { 1 } else { 2 }
        );
        cluster.close().await;
    }
}

#[tokio::test]
async fn without_hosts_every_item_ends() {
    let python = newest();
    let cluster = local(&[&python]).await;
    let options = MapOptions::default().with_retries(9).with_as_completed();
    let mut map = cluster.map::<_, u64>("os._exit", std::iter::repeat(1u64), &options);
    for _ in 0..50 {
        let next = tokio::time::timeout(PATIENCE, map.next()).await;
        let (_, result) = next
            .expect("it does not wait")
            .expect("the input has no end");
        assert!(matches!(result, Err(Error::Lost { .. })));
    }
}

#[tokio::test]
async fn an_item_has_a_limit_of_its_own() {
    let python = newest();
    let cluster = local(&[&python, &python]).await;
    let options = MapOptions::default().with_timeout(Duration::from_millis(700));
    let results = collect(cluster.map::<_, u64>("slow", 0..20u64, &options)).await;
    for (n, result) in results {
        match result {
            Ok(value) => assert_eq!(value, n),
            Err(Error::Timeout { stack, .. }) => {
                assert_eq!(n, 2);
                assert!(
                    stack.iter().any(|line| line.contains("in slow")),
                    "{stack:?}"
                );
            }
            Err(error) => panic!("{n}: {error}"),
        }
    }
    cluster.close().await;
}

#[tokio::test]
async fn input_is_taken_as_it_is_needed() {
    let python = newest();
    let cluster = local(&[&python, &python]).await;
    let taken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&taken);
    let endless = std::iter::from_fn(move || Some(counter.fetch_add(1, Ordering::SeqCst)));
    let options = MapOptions::default().with_batch(3).with_as_completed();
    let mut map = cluster.map::<_, u64>("square", endless, &options);
    for _ in 0..10 {
        let (place, result) = map.next().await.unwrap();
        assert_eq!(result.unwrap(), place * place);
    }
    // What was asked for, and what two hosts may have on their way: twice three each.
    assert!(
        taken.load(Ordering::SeqCst) <= 10 + 3 + 2 * 2 * 3,
        "{}",
        taken.load(Ordering::SeqCst)
    );
    drop(map);
    cluster.close().await;
}

#[tokio::test]
async fn what_is_not_done_at_the_deadline_ends() {
    let python = newest();
    let cluster = local(&[&python, &python]).await;
    let limit = Duration::from_millis(1500);
    let options = MapOptions::default()
        .with_batch(1)
        .with_outstanding(1)
        .with_deadline(limit);
    // The third hangs, and the rest waits behind it in the order of the items.
    let results = collect(cluster.map::<_, u64>("slow", 0..20_u64, &options)).await;
    let places: Vec<u64> = results.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, (0..20).collect::<Vec<_>>());
    let late: Vec<u64> = results
        .iter()
        .filter(
            |(_, result)| matches!(result, Err(Error::Timeout { limit: of, .. }) if *of == limit),
        )
        .map(|(place, _)| *place)
        .collect();
    assert!(late.contains(&2), "{late:?}");
    // An endless input is not taken any further.
    let options = MapOptions::default().with_deadline(Duration::from_millis(300));
    let endless = collect(cluster.map::<_, u64>("square", 0_u64.., &options)).await;
    assert!(!endless.is_empty());
    cluster.close().await;
}

#[tokio::test]
async fn a_process_has_as_many_batches_as_it_may() {
    let python = newest();
    let cluster = local(&[&python]).await;
    for outstanding in [1, 4] {
        let taken = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&taken);
        let endless = std::iter::from_fn(move || Some(counter.fetch_add(1, Ordering::SeqCst)));
        let options = MapOptions::default()
            .with_batch(2)
            .with_outstanding(outstanding);
        let mut map = cluster.map::<_, u64>("square", endless, &options);
        map.next().await.unwrap().1.unwrap();
        let most = 2 + 2 * outstanding as u64;
        let taken = taken.load(Ordering::SeqCst);
        assert!(taken >= 2 * outstanding as u64 && taken <= most, "{taken}");
    }
    cluster.close().await;
}

#[tokio::test]
async fn several_processes_of_a_host_share_the_work() {
    let spec = format!(":local:rpython={}:name=one", newest());
    let options = ClusterOptions::default().with_slots(Slots::Count(3));
    let cluster = Cluster::open(vec![spec.parse().unwrap()], &options)
        .await
        .unwrap();
    assert_eq!(cluster.report().hosts[0].processes, 3);
    for defined in cluster.define(DEFINITIONS).await {
        defined.unwrap();
    }
    for part in [cluster.clone(), cluster.select(|host| host == "one")] {
        let pids = |options: MapOptions| collect(part.map::<_, u64>("pid", 0..60_u64, &options));
        let of = |results: Vec<(u64, Result<u64, Error>)>| {
            let pids = results.into_iter().map(|(_, pid)| pid.unwrap());
            pids.collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!(of(pids(MapOptions::default()).await), 3);
        let one = MapOptions::default().with_per_host(1);
        assert_eq!(of(pids(one).await), 1);
    }
    cluster.close().await;
}

#[tokio::test]
async fn patterns_choose_among_hosts_and_groups() {
    let python = newest();
    let text = format!(
        "[all:vars]\nansible_connection=local\nansible_python_interpreter={python}\n\
         [web]\nweb[1:3]\n[prod]\nweb1\nweb3\ndb1\n"
    );
    let inventory = Inventory::parse(&text, "hosts.ini").unwrap();
    let hosts = inventory.hosts();
    let specs = hosts.iter().map(|host| host.spec().unwrap()).collect();
    let options = ClusterOptions::default().with_inventory(inventory);
    let cluster = Cluster::open(specs, &options).await.unwrap();
    let names = |cluster: &Cluster| {
        let members = cluster.members().into_iter();
        let mut names: Vec<String> = members.map(|(host, _)| host).collect();
        names.sort();
        names
    };
    assert_eq!(names(&cluster), ["db1", "web1", "web2", "web3"]);
    let part = cluster.group("web:&prod").unwrap();
    assert_eq!(names(&part), ["web1", "web3"]);
    assert_eq!(names(&part.group("prod:!web1").unwrap()), ["web3"]);
    assert!(cluster.group("nothing").is_err());
    cluster.close().await;
}

#[tokio::test]
async fn a_host_that_answers_a_batch_with_other_than_its_outcomes_is_lost() {
    let python = newest();
    for answer in ["(0.1, [])", "(0.1, [(True, 1)] * 1000)"] {
        let cluster = local(&[&python, &python]).await;
        let taken_over = format!(
            "import gc\n\
             def take_over(n):\n    \
                 for each in gc.get_objects():\n        \
                     if type(each).__name__ == 'module' and each.__name__ == 'easycluster_helpers/map_items':\n            \
                         each.batch = lambda *a: {answer}\n    \
                 return n\n"
        );
        collect(cluster.map::<_, u64>("square", 0..4u64, &MapOptions::default())).await;
        let (_, hostile) = cluster.members().into_iter().nth(1).unwrap();
        hostile.exec(&taken_over).await.unwrap();
        let taken: u64 = hostile.call("take_over", (1,)).await.unwrap();
        assert_eq!(taken, 1);
        let results =
            collect(cluster.map::<_, u64>("square", 0..200u64, &MapOptions::default())).await;
        assert_eq!(results.len(), 200, "{answer}");
        let mut lost = 0;
        for (n, result) in results {
            match result {
                Ok(value) => assert_eq!(value, n * n, "{answer}"),
                Err(Error::Lost { host, .. }) if host == "host1" => lost += 1,
                Err(error) => panic!("{answer}: {error}"),
            }
        }
        assert!(lost < 100, "{answer}: {lost}");
        cluster.close().await;
    }
}

/// A result type of a program that panics where it is made of one of the values.
#[derive(Debug, PartialEq)]
struct Fragile(i64);

impl<'de> serde::Deserialize<'de> for Fragile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        assert!(number % 25 != 9, "one of the results panics in this test");
        Ok(Fragile(number))
    }
}

#[tokio::test]
async fn a_panic_of_the_programs_own_fails_the_items_sent_with_it_and_no_others() {
    let cluster = local(&[&newest()]).await;
    let map = cluster.map::<_, Fragile>("square", 0..100i64, &MapOptions::default().with_batch(2));
    let all = collect(map).await;
    let places: Vec<u64> = all.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, (0..100).collect::<Vec<_>>());
    for (place, result) in all {
        let number = place as i64;
        let panics = |number: i64| (number * number) % 25 == 9;
        let expected = !panics(number) && !panics(number ^ 1);
        assert_eq!(result.is_ok(), expected, "{place}: {result:?}");
    }
}

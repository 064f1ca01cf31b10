//! What steps cost in round trips, counted as those of a connection without steps are.

use easycluster::{Client, ConnectionSpec};

use super::{SESAME, machine, options, with_password};
use crate::support::Machine;
use crate::support::relay::{relay, settled};

/// Round trips from nothing to the result of a call.
async fn trips(machine: &Machine, user: &str, then: &str, password: bool) -> f64 {
    let (port, depths) = relay(machine.port());
    let known = std::fs::read_to_string(machine.folder().join("known_hosts")).unwrap();
    let also = known.replace(&machine.port().to_string(), &port.to_string());
    std::fs::write(machine.folder().join("known_hosts"), known + &also).unwrap();
    let mut spec: ConnectionSpec = machine.spec_at(port, user, then).parse().unwrap();
    if password {
        spec = with_password(spec, SESAME);
    }
    let client = Client::begin(&spec, options()).await.unwrap();
    let id: i64 = client.call("os.getuid", ()).await.unwrap();
    let trips = depths.trips();
    assert_eq!(id == 0, !then.is_empty());
    settled(&depths).await;
    trips
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_step_costs_a_round_trip_only_where_it_asks() {
    let Some(machine) = machine() else { return };
    // The least of several runs: on a busy machine what need not wait is sometimes late.
    let mut least = [f64::MAX; 4];
    for _ in 0..4 {
        for (least, (user, then, password)) in least.iter_mut().zip([
            ("nopass", "", false),
            ("nopass", "become=root", false),
            ("nopass", "become=root", true),
            ("alice", "become=root", true),
        ]) {
            *least = least.min(trips(&machine, user, then, password).await);
        }
    }
    let [plain, without, unasked, asked] = least;
    println!(
        "round trips: plain {plain}, sudo -n {without}, a password not asked for {unasked}, asked for {asked}"
    );
    assert!(
        without <= plain,
        "{without} with sudo -n, {plain} without it"
    );
    assert!(unasked <= plain, "{unasked}, {plain} without it");
    assert!(asked <= plain + 1.0, "{asked}, {plain} without it");
    machine.idle().await;
}

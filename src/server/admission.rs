//! Who may come in: allowed networks, how many at once, and how many that have not yet shown that
//! they hold the key.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, timeout};

/// Connections that may be authenticating at once (AU-9).
pub const HANDSHAKES_MAX: usize = 512;

/// How long a handshake keeps its place whatever happens: long enough for an honest one on a slow
/// network. A burst of honest clients larger than the limit waits in the system's queue so long.
const PLACE_LIFETIME: Duration = Duration::from_millis(500);

/// Reads `ADDRESS` or `ADDRESS/BITS`.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| {
            format!("{text:?} is not an address or network; write 192.168.0.0/24 or 2001:db8::/32")
        })
}

/// Whether an address is in one of the networks. No networks allow everyone.
pub(super) fn allowed(networks: &[IpNet], address: IpAddr) -> bool {
    // An IPv4 client of a socket for both families shows as ::ffff:a.b.c.d.
    let address = address.to_canonical();
    networks.is_empty()
        || networks.iter().any(|network| {
            network.contains(&address)
                || matches!((network, address), (IpNet::V6(net), IpAddr::V4(v4)) if net.contains(&v4.to_ipv6_mapped()))
        })
}

/// One party for the purpose of limits: an IPv4 address, or an IPv6 network of 64 bits, which is
/// what one customer has.
fn party(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

struct Entry {
    number: u64,
    since: Instant,
    party: IpAddr,
    evicted: Arc<Notify>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    entries: Vec<Entry>,
}

impl Waiting {
    /// The place to give up first: the oldest of the party that has the most.
    fn worst(&self) -> Option<usize> {
        let mut held: HashMap<IpAddr, usize> = HashMap::new();
        for entry in &self.entries {
            *held.entry(entry.party).or_default() += 1;
        }
        let most = held.values().max()?;
        // Entries are in order of age.
        self.entries
            .iter()
            .position(|entry| held.get(&entry.party) == Some(most))
    }
}

/// The connections that are authenticating. When there are too many, the oldest one of the party
/// that has the most is given up, so that a flood crowds out itself first and a newcomer always
/// gets a chance.
pub(super) struct Handshakes {
    limit: usize,
    waiting: Arc<Mutex<Waiting>>,
    freed: Arc<Notify>,
}

/// A place among the authenticating connections; dropping it frees the place.
pub(super) struct Place {
    number: u64,
    waiting: Arc<Mutex<Waiting>>,
    freed: Arc<Notify>,
    /// Told when this place was given to someone else.
    pub evicted: Arc<Notify>,
}

impl Handshakes {
    /// Room for `limit` connections, at least one.
    pub(super) fn new(limit: usize) -> Self {
        Handshakes {
            limit: limit.max(1),
            waiting: Arc::default(),
            freed: Arc::default(),
        }
    }

    /// Returns when a place is free or can be taken from another.
    pub(super) async fn room(&self) {
        loop {
            let freed = self.freed.notified();
            let wait = {
                let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                match waiting.worst().and_then(|it| waiting.entries.get(it)) {
                    Some(entry) if waiting.entries.len() >= self.limit => {
                        PLACE_LIFETIME.saturating_sub(entry.since.elapsed())
                    }
                    _ => return,
                }
            };
            if wait.is_zero() {
                return;
            }
            let _ = timeout(wait, freed).await;
        }
    }

    /// Takes a place, from another connection if none is left.
    pub(super) fn enter(&self, address: IpAddr) -> Place {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.entries.len() >= self.limit
            && let Some(place) = waiting.worst()
        {
            waiting.entries.remove(place).evicted.notify_one();
        }
        let number = waiting.next;
        waiting.next += 1;
        let evicted = Arc::new(Notify::new());
        waiting.entries.push(Entry {
            number,
            since: Instant::now(),
            party: party(address),
            evicted: evicted.clone(),
        });
        Place {
            number,
            waiting: self.waiting.clone(),
            freed: self.freed.clone(),
            evicted,
        }
    }

    /// How many are authenticating now.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entries
            .len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entries.retain(|entry| entry.number != self.number);
        self.freed.notify_one();
    }
}

/// The authenticated connections, up to a limit.
pub(super) struct Connections {
    limit: usize,
    open: Arc<AtomicUsize>,
}

/// One authenticated connection; dropping it makes room.
pub(super) struct Seat(Arc<AtomicUsize>);

impl Connections {
    /// Room for `limit` connections.
    pub(super) fn new(limit: usize) -> Self {
        Connections {
            limit,
            open: Arc::default(),
        }
    }

    /// Takes a seat; None when all are taken.
    pub(super) fn enter(&self) -> Option<Seat> {
        let taken = self.open.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(self.open.clone());
        // The seat gives back what it counted when it is dropped.
        (taken < self.limit).then_some(seat)
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_and_applied() {
        let networks: Vec<_> = ["192.168.0.0/24", "10.1.2.3", "2001:db8::/32"]
            .iter()
            .map(|text| parse_network(text).unwrap())
            .collect();
        for yes in [
            "192.168.0.77",
            "10.1.2.3",
            "2001:db8:1::5",
            "::ffff:10.1.2.3",
        ] {
            assert!(allowed(&networks, ip(yes)), "{yes}");
        }
        for no in [
            "192.168.1.1",
            "10.1.2.4",
            "2001:db9::1",
            "::1",
            "::ffff:10.1.2.4",
        ] {
            assert!(!allowed(&networks, ip(no)), "{no}");
        }
        assert!(allowed(&[], ip("203.0.113.1")));
        assert!(allowed(&[parse_network("::/0").unwrap()], ip("10.0.0.1")));
        for bad in ["", "10.0.0.0/33", "host", "1.2.3", "10.0.0.0/"] {
            assert!(parse_network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_flood_crowds_out_itself() {
        let handshakes = Handshakes::new(8);
        let honest = handshakes.enter(ip("198.51.100.1"));
        let flood: Vec<_> = (0..100)
            .map(|_| handshakes.enter(ip("203.0.113.1")))
            .collect();
        assert_eq!(handshakes.len(), 8);
        let waiting = handshakes.waiting.lock().unwrap();
        assert!(
            waiting
                .entries
                .iter()
                .any(|entry| entry.number == honest.number)
        );
        drop(waiting);
        drop(flood);
        assert_eq!(handshakes.len(), 1);
        drop(honest);
        assert_eq!(handshakes.len(), 0);
    }

    #[test]
    fn one_customer_of_ipv6_is_one_party() {
        let handshakes = Handshakes::new(4);
        let honest = handshakes.enter(ip("2001:db8:1::1"));
        let _flood: Vec<_> = (0..50u128)
            .map(|n| {
                handshakes.enter(IpAddr::V6(Ipv6Addr::from_bits(
                    (0x2001_0db8_0002 << 80) + n,
                )))
            })
            .collect();
        let waiting = handshakes.waiting.lock().unwrap();
        assert!(
            waiting
                .entries
                .iter()
                .any(|entry| entry.number == honest.number)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_waits_for_places_but_not_for_ever() {
        let handshakes = Handshakes::new(2);
        let start = Instant::now();
        let first = handshakes.enter(ip("198.51.100.1"));
        let second = handshakes.enter(ip("198.51.100.2"));
        handshakes.room().await;
        assert_eq!(start.elapsed(), PLACE_LIFETIME);
        drop(first);
        let start = Instant::now();
        handshakes.room().await;
        assert!(start.elapsed().is_zero());
        let _third = handshakes.enter(ip("198.51.100.3"));
        tokio::join!(handshakes.room(), async {
            tokio::time::sleep(PLACE_LIFETIME / 2).await;
            drop(second);
        });
        assert_eq!(start.elapsed(), PLACE_LIFETIME / 2);
    }

    #[test]
    fn seats_are_limited_and_given_back() {
        let connections = Connections::new(2);
        let first = connections.enter();
        let second = connections.enter();
        assert!(first.is_some() && second.is_some());
        assert!(connections.enter().is_none());
        assert_eq!(connections.open(), 2);
        drop(first);
        assert!(connections.enter().is_some());
    }
}

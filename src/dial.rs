//! Every TCP connection that this program makes: the host's addresses, staggered; the first that answers wins.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::descriptors::of_connection;
use crate::error::{ConnectError, Stage, printable};
use crate::progress::{StageObserver, reached};

/// How long one address is waited for before the next is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Which kinds of addresses to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) enum AddressFamily {
    /// Both.
    #[default]
    Any,
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

impl AddressFamily {
    fn has(self, address: &SocketAddr) -> bool {
        match self {
            AddressFamily::Any => true,
            AddressFamily::Inet => address.is_ipv4(),
            AddressFamily::Inet6 => address.is_ipv6(),
        }
    }
}

/// Where to connect, and within which limits.
pub(crate) struct Dial<'a> {
    /// What errors call the host.
    pub name: &'a str,
    /// Its name or address.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// Kinds of addresses to use.
    pub family: AddressFamily,
    /// The name or address of this machine to connect from.
    pub bind: Option<&'a str>,
    /// How long each name may be looked up.
    pub resolve_limit: Duration,
    /// How long each address may take to answer.
    pub connect_limit: Duration,
    /// What to do where the name has no address.
    pub unknown_hint: &'static str,
    /// What to do where nothing listens.
    pub refused_hint: &'static str,
    /// Who watches.
    pub observer: Option<&'a StageObserver>,
}

/// Whether a look-up failed for a reason that may pass. The standard library gives the resolver's sentence and no number.
fn is_temporary(error: &std::io::Error) -> bool {
    let sentence = error.to_string();
    // glibc's sentence, and musl's.
    sentence.contains("Temporary failure") || sentence.contains("Try again")
}

/// A connection, and how it was made.
#[derive(Debug)]
pub(crate) struct Dialled {
    /// The connection; small packets are sent at once.
    pub stream: TcpStream,
    /// The address that answered.
    pub address: SocketAddr,
    /// How long that took, which is one round trip and little more.
    pub round_trip: Duration,
}

/// An address to connect to, and the one to connect from.
type Path = (SocketAddr, Option<IpAddr>);

impl Dial<'_> {
    /// Connects to the first address that answers.
    ///
    /// # Errors
    /// At stage resolve, where a name has no address of the requested kind; at stage connect, where none
    /// answers, with the reason of the one that failed last.
    pub(crate) async fn connect(&self) -> Result<Dialled, ConnectError> {
        let start = Instant::now();
        let addresses = in_turns(self.addresses().await?);
        let shown: Vec<String> = addresses.iter().map(|it| it.ip().to_string()).collect();
        let detail = printable(&shown.join(", "));
        reached(self.observer, Stage::Resolve, start.elapsed(), detail);
        let paths = self.paths(addresses).await?;
        let start = Instant::now();
        let dialled = race(paths, self.connect_limit)
            .await
            .map_err(|(address, error)| self.failure(address, &error))?;
        let detail = dialled.address.to_string();
        reached(self.observer, Stage::Connect, start.elapsed(), detail);
        Ok(dialled)
    }

    fn error(&self, stage: Stage, message: impl AsRef<str>) -> ConnectError {
        ConnectError::new(self.name, stage, printable(message.as_ref()))
    }

    async fn lookup(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let found = timeout(self.resolve_limit, lookup_host((host, port)))
            .await
            .map_err(|_| ConnectError::timeout(self.name, Stage::Resolve, self.resolve_limit))?
            .map_err(|error| {
                let message = format!("the name {host} has no address: {error}");
                self.error(Stage::Resolve, message)
                    .with_hint(self.unknown_hint)
                    .passing(is_temporary(&error))
            })?;
        Ok(found.collect())
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        let mut found = self.lookup(self.host, self.port).await?;
        found.retain(|address| self.family.has(address));
        if found.is_empty() {
            let message = format!(
                "the name {} has no address of the requested kind",
                self.host
            );
            return Err(self
                .error(Stage::Resolve, message)
                .with_hint("check AddressFamily in your ssh_config"));
        }
        Ok(found)
    }

    /// Pairs each address with one of ours of the same kind, where a bind address is set.
    async fn paths(&self, addresses: Vec<SocketAddr>) -> Result<Vec<Path>, ConnectError> {
        let Some(bind) = self.bind else {
            return Ok(addresses.into_iter().map(|to| (to, None)).collect());
        };
        let ours = self.lookup(bind, 0).await?;
        let from = |to: &SocketAddr| ours.iter().find(|own| own.is_ipv4() == to.is_ipv4());
        let paths: Vec<Path> = addresses
            .iter()
            .filter_map(|to| Some((*to, Some(from(to)?.ip()))))
            .collect();
        if paths.is_empty() {
            let kind = |address: Option<&SocketAddr>| match address {
                Some(address) if address.is_ipv6() => "IPv6",
                _ => "IPv4",
            };
            let message = format!(
                "the bind address {bind} is {} and {} has only {} addresses",
                kind(ours.first()),
                self.host,
                kind(addresses.first())
            );
            return Err(self
                .error(Stage::Connect, message)
                .with_hint("set a BindAddress of the same kind as the host's addresses, or none"));
        }
        Ok(paths)
    }

    fn failure(&self, address: SocketAddr, error: &io::Error) -> ConnectError {
        if error.kind() == io::ErrorKind::TimedOut {
            return ConnectError::timeout(self.name, Stage::Connect, self.connect_limit).with_hint(
                format!("{address} does not answer: check the address, the port and firewalls on the way"),
            );
        }
        let hint = match error.kind() {
            io::ErrorKind::ConnectionRefused => self.refused_hint,
            io::ErrorKind::AddrNotAvailable => {
                "no interface of this machine has the bind address, or no port is free"
            }
            _ => "check the address, the port, the network and firewalls on the way",
        };
        let mut failure = self
            .error(Stage::Connect, format!("{address}: {error}"))
            .with_hint(hint);
        failure.refused = error.kind() == io::ErrorKind::ConnectionRefused;
        failure
    }
}

/// The same addresses, the families in turns, so that one broken family costs one stagger (RFC 8305, section 4).
fn in_turns(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (same, other): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut order = Vec::new();
    loop {
        let before = order.len();
        order.extend(same.next());
        order.extend(other.next());
        if order.len() == before {
            return order;
        }
    }
}

/// Connects along the first path that opens. The next is tried when one has failed, or has not opened for a while.
async fn race(paths: Vec<Path>, limit: Duration) -> Result<Dialled, (SocketAddr, io::Error)> {
    let mut waiting = paths.into_iter();
    let mut attempts = JoinSet::new();
    // What becomes of no path at all; its caller has at least one.
    let mut last = (
        SocketAddr::from(([0, 0, 0, 0], 0)),
        io::Error::from(io::ErrorKind::NotFound),
    );
    loop {
        if let Some((to, from)) = waiting.next() {
            attempts.spawn(attempt(to, from, limit));
        } else if attempts.is_empty() {
            return Err(last);
        }
        // Each attempt has a limit of its own, so the last is waited for without another.
        let next = if waiting.len() > 0 {
            timeout_at(Instant::now() + STAGGER, attempts.join_next()).await
        } else {
            Ok(attempts.join_next().await)
        };
        match next {
            Ok(Some(Ok((_, Ok(dialled))))) => return Ok(dialled),
            Ok(Some(Ok((to, Err(error))))) => last = (to, error),
            Ok(Some(Err(error))) => last.1 = io::Error::other(error),
            Ok(None) | Err(_) => {}
        }
    }
}

async fn attempt(
    to: SocketAddr,
    from: Option<IpAddr>,
    limit: Duration,
) -> (SocketAddr, io::Result<Dialled>) {
    let start = Instant::now();
    let connecting = async {
        let socket = match to {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        of_connection(&socket);
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let stream = socket.connect(to).await?;
        // Small requests must not wait for the acknowledgement of those before them.
        stream.set_nodelay(true)?;
        Ok(Dialled {
            stream,
            address: to,
            round_trip: start.elapsed(),
        })
    };
    let result = timeout(limit, connecting)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    (to, result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Far longer than anything here takes; only a fault lasts so long.
    const LONG: Duration = Duration::from_secs(20);

    fn dial<'a>(host: &'a str, port: u16, bind: Option<&'a str>) -> Dial<'a> {
        Dial {
            name: "box",
            host,
            port,
            family: AddressFamily::Any,
            bind,
            resolve_limit: LONG,
            connect_limit: LONG,
            unknown_hint: "check the spelling",
            refused_hint: "start it",
            observer: None,
        }
    }

    /// A listener whose queue is full: the system answers no further attempt to connect.
    async fn silent() -> (SocketAddr, TcpListener, JoinSet<io::Result<TcpStream>>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut filling = JoinSet::new();
        for _ in 0..8 {
            filling.spawn(TcpStream::connect(address));
        }
        // Two fit in; the rest waits from here on.
        for _ in 0..2 {
            timeout(LONG, filling.join_next()).await.unwrap();
        }
        (address, listener, filling)
    }

    #[tokio::test]
    async fn a_silent_address_costs_one_stagger_and_not_its_limit() {
        let (dead, _listener, _filling) = silent().await;
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = alive.local_addr().unwrap();
        let start = Instant::now();
        let paths = vec![(dead, None), (dead, None), (address, None)];
        let dialled = race(paths, LONG).await.unwrap();
        assert_eq!(dialled.address, address);
        assert!(start.elapsed() >= 2 * STAGGER && start.elapsed() < LONG);
        assert!(dialled.round_trip < start.elapsed() - STAGGER);
        let error = race(vec![(dead, None)], Duration::from_millis(50)).await;
        assert_eq!(error.unwrap_err().1.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_refused_address_is_followed_by_the_next() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = gone.local_addr().unwrap();
        drop(gone);
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = alive.local_addr().unwrap();
        let dialled = race(vec![(dead, None), (address, None)], LONG).await;
        assert_eq!(dialled.unwrap().address, address);
        let error = dial("127.0.0.1", dead.port(), None).connect().await;
        let error = error.unwrap_err();
        assert_eq!((error.stage, error.host.as_str()), (Stage::Connect, "box"));
        assert_eq!(error.hint.as_deref(), Some("start it"));
    }

    #[test]
    fn families_take_turns() {
        let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let (a, b, c) = (address("[::1]:1"), address("[::2]:1"), address("[::3]:1"));
        let (x, y) = (address("127.0.0.1:1"), address("127.0.0.2:1"));
        assert_eq!(in_turns(vec![a, b, c, x, y]), [a, x, b, y, c]);
        assert_eq!(in_turns(vec![x, y, a]), [x, a, y]);
        assert!(in_turns(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn the_bind_address_may_be_a_name_and_must_be_of_the_right_kind() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialled = dial("127.0.0.1", port, Some("localhost")).connect().await;
        assert!(
            dialled
                .unwrap()
                .stream
                .local_addr()
                .unwrap()
                .ip()
                .is_loopback()
        );

        let error = dial("::1", port, Some("127.0.0.1")).connect().await;
        let error = error.unwrap_err();
        assert_eq!(error.stage, Stage::Connect);
        assert!(
            error
                .message
                .contains("127.0.0.1 is IPv4 and ::1 has only IPv6"),
            "{error}"
        );
        let error = dial("127.0.0.1", port, Some("nonsense.invalid"))
            .connect()
            .await;
        assert!(error.unwrap_err().message.contains("nonsense.invalid"));
    }

    #[tokio::test]
    async fn only_addresses_of_the_wanted_kind_are_used() {
        let mut only = dial("127.0.0.1", 1, None);
        only.family = AddressFamily::Inet6;
        let error = only.connect().await.unwrap_err();
        assert_eq!(error.stage, Stage::Resolve);
        assert!(error.message.contains("of the requested kind"), "{error}");
    }
}

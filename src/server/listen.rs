//! The listening sockets: IPv6 and IPv4 together, or one of them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that the system keeps ready while the server is busy.
const BACKLOG: i32 = 1024;

/// Opens what `address` names, or every address of this machine. With port 0 the system picks one.
/// Needs a tokio runtime.
pub(super) fn listen(address: Option<&str>, port: u16, ipv6: bool) -> io::Result<Vec<TcpListener>> {
    let Some(name) = address else {
        return everywhere(port, ipv6);
    };
    let name = name
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(name);
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut last = io::Error::new(
        io::ErrorKind::AddrNotAvailable,
        format!("{name} has no usable address"),
    );
    for mut address in (name, port).to_socket_addrs()? {
        if address.is_ipv6() && !ipv6 {
            continue;
        }
        if let Some(first) = listeners.first() {
            // Port 0: the others take the port that the first was given.
            address.set_port(first.local_addr()?.port());
        }
        match open(address, true) {
            Ok(listener) => listeners.push(listener),
            Err(error) => last = error,
        }
    }
    if listeners.is_empty() {
        return Err(last);
    }
    Ok(listeners)
}

fn everywhere(port: u16, ipv6: bool) -> io::Result<Vec<TcpListener>> {
    if ipv6 {
        // One socket serves both families, unless the system is built or configured otherwise.
        match open((Ipv6Addr::UNSPECIFIED, port).into(), false) {
            Ok(listener) => return Ok(vec![listener]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(_) => {}
        }
    }
    Ok(vec![open((Ipv4Addr::UNSPECIFIED, port).into(), false)?])
}

fn open(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = prepare(address, only_v6)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn prepare(address: SocketAddr, only_v6: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // On Windows the same option would let another program take over the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_socket_takes_both_families() {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        assert!(!prepare(any, false).unwrap().only_v6().unwrap());
        assert!(prepare(any, true).unwrap().only_v6().unwrap());
    }
}

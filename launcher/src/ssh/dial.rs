//! TCP connections with a deadline.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::deadline::Deadline;
use super::error::{Address, Error};
use crate::system::escape::excerpt;

/// Zero would be refused as a time limit.
const SHORTEST: Duration = Duration::from_millis(1);

/// Connects to the first of `candidates` that answers, which `address` gets.
///
/// # Errors
/// `Connect` with what came of each candidate.
pub(super) fn dial(
    address: &mut Address,
    candidates: &[SocketAddr],
    deadline: &Deadline,
) -> Result<TcpStream, Error> {
    let mut tried = Vec::new();
    for (place, candidate) in candidates.iter().enumerate() {
        // A silent address must not take the time of those after it.
        let share = deadline.remaining() / u32::try_from(candidates.len() - place).unwrap_or(u32::MAX);
        let connected = TcpStream::connect_timeout(candidate, share.max(SHORTEST))
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        match connected {
            Ok(stream) => {
                address.ip = Some(candidate.ip());
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let words = format!("timed out after {:.1} s", share.as_secs_f64());
                tried.push((*candidate, io::Error::new(io::ErrorKind::TimedOut, words)));
            }
            Err(error) => tried.push((*candidate, error)),
        }
    }
    Err(Error::Connect { address: Arc::new(address.clone()), tried })
}

/// The addresses of a host; at least one. The system's resolver has no deadline, so it works on a thread of
/// its own, which we leave behind if it is too slow.
///
/// # Errors
/// `Resolve`.
pub(super) fn resolve(address: &Address, deadline: &Deadline) -> Result<Vec<SocketAddr>, Error> {
    let (answer, answered) = mpsc::channel();
    let place = (address.host.clone(), address.port);
    thread::spawn(move || {
        let _ = answer.send(place.to_socket_addrs().map(Iterator::collect::<Vec<_>>));
    });
    let failed = |problem| Error::Resolve { address: Arc::new(address.clone()), problem };
    match answered.recv_timeout(deadline.remaining()) {
        Ok(Ok(found)) if found.is_empty() => Err(failed("it has no address".to_string())),
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => match zone(&address.host) {
            Some(zone) => Err(failed(format!("this machine has no interface '{}'", excerpt(zone)))),
            None => Err(failed(error.to_string())),
        },
        Err(RecvTimeoutError::Timeout) => {
            Err(failed(format!("timed out after {} s", deadline.allowed.as_secs_f64())))
        }
        Err(RecvTimeoutError::Disconnected) => {
            panic!("the resolver of {} ended without an answer", address.host)
        }
    }
}

/// The zone of an IPv6 address: the interface that a link-local one needs.
fn zone(host: &str) -> Option<&str> {
    let (ip, zone) = host.split_once('%')?;
    ip.parse::<Ipv6Addr>().is_ok().then_some(zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_does_not_exist_is_named() {
        let resolve = |host: &str| {
            let host = host.to_string();
            let address = Address { user: "me".to_string(), host, port: 22, ip: None, via: None };
            super::resolve(&address, &Deadline::within(Duration::from_secs(20)))
                .map_err(|error| error.to_string())
        };
        let problem = resolve("fe80::1%nowhere0").unwrap_err();
        assert!(problem.ends_with("fe80::1%nowhere0: this machine has no interface 'nowhere0'"), "{problem}");
        let found = resolve("fe80::1%lo").unwrap();
        assert!(matches!(found[..], [SocketAddr::V6(address)] if address.scope_id() > 0), "{found:?}");
    }
}

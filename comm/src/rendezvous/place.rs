//! Where the group meets: rank 0 opens the place, the other ranks look for it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::host_port::HostPort;
use super::meeting::Place;
use super::meeting_file::MeetingFile;
use crate::error::{Error, RendezvousError};
use crate::key::Key;

/// How many connections the operating system keeps for a listener that is busy.
const BACKLOG: i32 = 1024;

/// What rank 0 keeps open until all ranks have come.
pub(super) struct Opened {
    /// One or more.
    pub(super) listeners: Vec<TcpListener>,
    pub(super) key: Key,
    /// Removed when dropped.
    pub(super) file: Option<MeetingFile>,
}

/// Listens at the place, and at other addresses of this host.
pub(super) fn open(place: &Place, others: &[SocketAddr]) -> Result<Opened, Error> {
    match place {
        Place::Address { address, key } => {
            let mut listeners = vec![listen_at(place, address)?];
            let own = address_of(listeners[0].local_addr())?;
            for other in others.iter().filter(|other| **other != own) {
                let failed = |source| Error::io(format!("listen at {other}"), source);
                listeners.push(listen(*other).map_err(failed)?);
            }
            Ok(Opened { listeners, key: key.clone(), file: None })
        }
        Place::File(path) => {
            let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
                .map_err(|source| Error::io("listen at 127.0.0.1", source))?;
            let key = Key::generate()?;
            let file = MeetingFile::write(path, address_of(listener.local_addr())?, &key)?;
            Ok(Opened { listeners: vec![listener], key, file: Some(file) })
        }
        #[cfg(feature = "mpi")]
        Place::Mpi(_) => unreachable!("ranks of MPI need no listener"),
    }
}

/// Fails if one of the addresses stands for all of a host. Every network of rank 0 would reach its listener,
/// and other ranks would look for it on their own host.
pub(super) fn require_single(place: &Place, addresses: &[SocketAddr]) -> Result<(), Error> {
    match addresses.iter().map(SocketAddr::ip).find(|ip| ip.to_canonical().is_unspecified()) {
        Some(address) => Err(RendezvousError::Unspecified { place: place.describe(), address }.into()),
        None => Ok(()),
    }
}

/// The address of a socket.
pub(super) fn address_of(address: io::Result<SocketAddr>) -> Result<SocketAddr, Error> {
    address.map_err(|source| Error::io("ask for the address of a socket", source))
}

/// A nonblocking listener.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn listen_at(place: &Place, address: &str) -> Result<TcpListener, Error> {
    let unresolved =
        |error: io::Error| RendezvousError::Resolve { address: address.into(), reason: error.to_string() };
    let candidates = HostPort::parse(address)?.resolve().map_err(unresolved)?;
    require_single(place, &candidates)?;
    for candidate in candidates {
        match listen(candidate) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => (),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(RendezvousError::PortInUse { address: address.into() }.into());
            }
            Err(error) => return Err(Error::io(format!("listen at {address} ({candidate})"), error)),
        }
    }
    Err(RendezvousError::NotLocal { address: address.into() }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_met_at() {
        let key = Key::from_bytes([0; 32]);
        let open = |address: &str| {
            open(&Place::Address { address: address.into(), key: key.clone() }, &[]).map(|_| ()).unwrap_err()
        };
        let error = open("127.0.0.1");
        assert!(matches!(error, Error::Rendezvous(RendezvousError::Resolve { .. })), "{error}");
        // A network for documentation: no interface should have its addresses.
        let error = open("198.51.100.77:29500");
        assert!(matches!(error, Error::Rendezvous(RendezvousError::NotLocal { .. })), "{error}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let error = open(&address);
        assert!(matches!(error, Error::Rendezvous(RendezvousError::PortInUse { .. })), "{error}");
        assert_eq!(
            error.to_string(),
            format!("rendezvous at {address}: the port is in use by another process")
        );
    }
}

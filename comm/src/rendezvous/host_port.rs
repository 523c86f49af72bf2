//! The address of rank 0, as users write it.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};

use crate::error::{Error, RendezvousError};

/// A `host:port` in the right form.
#[derive(Debug, Clone, Copy)]
pub(super) enum HostPort<'a> {
    /// With a name or an IPv4 address for the host, which may still have no address.
    Text(&'a str),
    V6(SocketAddrV6),
}

impl<'a> HostPort<'a> {
    /// An IPv6 address stands in brackets. If it is link-local, it has the interface behind it, by name or by
    /// number: `[fe80::1%eth0]:29500`.
    pub(super) fn parse(address: &'a str) -> Result<Self, Error> {
        let failed = |reason: String| {
            let address = address.into();
            Err(RendezvousError::Resolve { address, reason }.into())
        };
        let expected = |what: &str| failed(format!("expected {what}"));
        let (host, port) = match address.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
            None | Some(("", _)) => return expected("host:port"),
            Some((_, Err(_))) => return expected("a port from 1 to 65535"),
            Some((_, Ok(0))) => return failed("port 0 cannot be used".into()),
            Some((host, Ok(port))) => (host, port),
        };
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let Some(host) = bracketed else {
            return if host.contains(':') { expected("host:port") } else { Ok(Self::Text(address)) };
        };
        let (ip, zone) = host.split_once('%').map_or((host, None), |(ip, zone)| (ip, Some(zone)));
        let Ok(ip) = ip.parse::<Ipv6Addr>() else { return expected("an IPv6 address between [ and ]") };
        let number = match zone {
            None if ip.is_unicast_link_local() => {
                return failed(format!("a link-local address needs its interface: {ip}%NAME"));
            }
            None => 0,
            Some(zone) => match interface_number(zone) {
                Ok(number) => number,
                Err(error) => return failed(format!("this host has no interface '{zone}' ({error})")),
            },
        };
        Ok(Self::V6(SocketAddrV6::new(ip, port, 0, number)))
    }

    /// Looks up its addresses, at least one. A name without any may have one later.
    pub(super) fn resolve(self) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<SocketAddr> = match self {
            Self::Text(text) => text.to_socket_addrs()?.collect(),
            Self::V6(address) => vec![address.into()],
        };
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addresses)
    }
}

/// The number of the interface that `zone` names, or is the number of.
#[cfg(target_os = "linux")]
fn interface_number(zone: &str) -> io::Result<u32> {
    use rustix::net::netdevice::{index_to_name, name_to_index};
    use rustix::net::{AddressFamily, SocketType, socket};
    let socket = socket(AddressFamily::INET6, SocketType::DGRAM, None)?;
    match (name_to_index(&socket, zone), zone.parse()) {
        (Ok(number), _) => Ok(number),
        (Err(_), Ok(number)) => Ok(index_to_name(&socket, number).map(|_| number)?),
        (Err(error), Err(_)) => Err(error.into()),
    }
}

/// The same by the system's resolver, which does not check numbers.
#[cfg(not(target_os = "linux"))]
fn interface_number(zone: &str) -> io::Result<u32> {
    match (format!("fe80::1%{zone}").as_str(), 0).to_socket_addrs()?.next() {
        Some(SocketAddr::V6(address)) => Ok(address.scope_id()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(address: &str) -> String {
        let error = HostPort::parse(address).unwrap_err().to_string();
        error.strip_prefix(&format!("rendezvous at {address}: ")).expect("the address").to_string()
    }

    #[test]
    fn what_is_no_host_and_port_is_named() {
        for (address, expected) in [
            ("127.0.0.1", "expected host:port"),
            ("", "expected host:port"),
            (":29500", "expected host:port"),
            ("::1:29500", "expected host:port"),
            ("[::1:29500", "expected host:port"),
            ("127.0.0.1:", "expected a port from 1 to 65535"),
            ("127.0.0.1:70000", "expected a port from 1 to 65535"),
            ("host:-1", "expected a port from 1 to 65535"),
            ("127.0.0.1:0", "port 0 cannot be used"),
            ("[node1]:29500", "expected an IPv6 address between [ and ]"),
            ("[fe80::1]:29500", "a link-local address needs its interface: fe80::1%NAME"),
        ] {
            assert_eq!(problem(address), expected, "{address}");
        }
        assert_eq!(
            HostPort::parse("[::1]:29500").unwrap().resolve().unwrap(),
            ["[::1]:29500".parse().unwrap()]
        );
        assert_eq!(
            HostPort::parse("127.0.0.1:9").unwrap().resolve().unwrap(),
            ["127.0.0.1:9".parse().unwrap()]
        );
        assert!(HostPort::parse("node1:29500").is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_zone_is_an_interface_by_name_or_number() {
        let number = std::fs::read_to_string("/sys/class/net/lo/ifindex").unwrap();
        let number: u32 = number.trim().parse().unwrap();
        let expected = SocketAddr::from(SocketAddrV6::new("fe80::1".parse().unwrap(), 29500, 0, number));
        for zone in ["lo".to_owned(), number.to_string()] {
            let address = format!("[fe80::1%{zone}]:29500");
            assert_eq!(HostPort::parse(&address).unwrap().resolve().unwrap(), [expected], "{zone}");
        }
        for zone in ["nowhere0", "4294967295", ""] {
            let problem = problem(&format!("[fe80::1%{zone}]:29500"));
            assert!(problem.starts_with(&format!("this host has no interface '{zone}' (")), "{problem}");
        }
    }
}

//! The hosts of a job: who they are, as the user wrote them down, and which ranks each of them gets.

mod error;
mod grammar;
mod hostfile;
mod placement;

pub(crate) use error::Error;
pub(crate) use hostfile::{inline, read};
pub(crate) use placement::{Selection, place, select};

use std::net::IpAddr;
use std::path::PathBuf;

/// A host, as a line of a hostfile describes it. What is not given, the host itself or `~/.ssh/config` knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Host {
    /// A name or an address.
    pub(crate) name: String,
    pub(crate) user: Option<String>,
    pub(crate) port: Option<u16>,
    /// The private key to log in with.
    pub(crate) identity: Option<PathBuf>,
    /// Ranks that it gets: its cores, if not given.
    pub(crate) slots: Option<u32>,
    /// Ranks that it may get where more are asked for than all hosts have slots.
    pub(crate) max_slots: Option<u32>,
    /// The network interface, and the address, at which the other hosts reach it.
    pub(crate) interface: Option<String>,
    pub(crate) address: Option<IpAddr>,
    /// The cores that its ranks may use.
    pub(crate) cores: Option<Vec<usize>>,
    /// The folder that its ranks start in.
    pub(crate) folder: Option<String>,
    /// Variables of its ranks.
    pub(crate) env: Vec<(String, String)>,
}

impl Host {
    /// Whether it is this machine: then no login is needed.
    pub(crate) fn is_here(&self) -> bool {
        self.name == "localhost" && self.user.is_none() && self.port.is_none() && self.identity.is_none()
    }

    /// A way out where no connection to its port comes about: `host:4` may have been meant as a number of ranks, as other
    /// launchers read it.
    pub(crate) fn port_hint(&self) -> Option<String> {
        const SSH: u16 = 22;
        /// Ports from here on can be anybody's.
        const FIRST_FREE: u16 = 1024;
        let port = self.port.filter(|port| *port < FIRST_FREE && *port != SSH)?;
        Some(format!("'{}:{port}' names a port; 'slots={port}' gives the host {port} ranks", self.name))
    }

    /// Whether two lines mean the same host.
    fn is_same(&self, other: &Self) -> bool {
        let port = |host: &Self| host.port.unwrap_or(22);
        self.name.eq_ignore_ascii_case(&other.name) && port(self) == port(other)
    }
}

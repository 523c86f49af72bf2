//! The hosts of a job, as the user lists them, and the ranks that each host gets.

mod error;
mod grammar;
mod hostfile;
mod placement;

pub(crate) use error::Error;
pub(crate) use hostfile::{inline, read};
pub(crate) use placement::{Place, Selection, place, select};

use crate::system::count::count;
use std::net::IpAddr;
use std::path::PathBuf;

/// A host, as a line of a hostfile describes it. Defaults come from the host itself and from the SSH
/// configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Host {
    /// A name or an address.
    pub(crate) name: String,
    pub(crate) user: Option<String>,
    pub(crate) port: Option<u16>,
    /// The private key to log in with.
    pub(crate) identity: Option<PathBuf>,
    /// The number of ranks that it gets; the number of its cores, if not given.
    pub(crate) slots: Option<u32>,
    /// The number of ranks that it may get if there are more ranks than slots on all hosts.
    pub(crate) max_slots: Option<u32>,
    /// The network interface or the address at which the other hosts reach it.
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
    /// Whether it is this machine, where no login is needed.
    pub(crate) fn is_here(&self) -> bool {
        self.name == "localhost" && self.user.is_none() && self.port.is_none() && self.identity.is_none()
    }

    /// A way out where no connection to its port comes about: `host:4` may have been meant as a number of
    /// ranks, as other launchers read it.
    pub(crate) fn port_hint(&self) -> Option<String> {
        const SSH: u16 = 22;
        /// Ports from here on can be anybody's.
        const FIRST_FREE: u16 = 1024;
        let port = self.port.filter(|port| *port < FIRST_FREE && *port != SSH)?;
        let ranks = count(port.into(), "rank");
        Some(format!("'{}:{port}' names a port; 'slots={port}' gives the host {ranks}", self.name))
    }

    /// Whether two lines name the same host.
    fn is_same(&self, other: &Self) -> bool {
        let port = |host: &Self| host.port.unwrap_or(22);
        self.name.eq_ignore_ascii_case(&other.name) && port(self) == port(other)
    }
}

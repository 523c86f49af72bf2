//! What goes wrong between here and a remote host.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::known_hosts::{ChangedKey, OfferedKey};

/// Who is at the other end: `user@host:port (ip)`, or `user@host:port through user@jump:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) user: String,
    /// After the configuration's `HostName`.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Unknown before the connection is made, and for a host that a jump host connects to.
    pub(crate) ip: Option<IpAddr>,
    /// The jump host.
    pub(crate) via: Option<String>,
}

impl Address {
    /// `user@host:port` alone.
    pub(crate) fn login(&self) -> String {
        format!("{}@{}", self.user, host_and_port(&self.host, self.port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.login())?;
        if let Some(via) = &self.via {
            return write!(f, " through {via}");
        }
        match self.ip {
            Some(ip) if ip.to_string() != self.host => write!(f, " ({ip})"),
            _ => Ok(()),
        }
    }
}

/// `host:port`, or `[host]:port` where the host is an IPv6 address.
pub(super) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Why a login, a command or a connection failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    #[error("{}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}:{line}: {problem}", .path.display())]
    Config { path: PathBuf, line: usize, problem: String },
    #[error("no home folder: the variable HOME is not set")]
    NoHome,
    #[error("the name of the user who runs this is unknown: {problem}")]
    NoUser { problem: String },
    #[error("the jump host '{jump}' of {host} is not of the form [user@]host[:port]")]
    BadJump { host: String, jump: String },
    #[error("the jump hosts of {host} lead in a circle: {}", .circle.join(" -> "))]
    JumpCircle { host: String, circle: Vec<String> },

    #[error("{address}: the name {} cannot be resolved: {problem}", .address.host)]
    Resolve { address: Arc<Address>, problem: String },
    #[error("{address}: cannot connect: {}", attempts(.tried))]
    Connect { address: Arc<Address>, tried: Vec<(SocketAddr, io::Error)> },
    #[error("{address}: {via} cannot connect to it: {problem}")]
    Forward { address: Arc<Address>, via: String, problem: String },
    #[error("{address}: {stage} was not over after {} s", .after.as_secs_f64())]
    Late { address: Arc<Address>, stage: &'static str, after: Duration },
    #[error("{address}: the server closed all {tries} connections of {} s before the login: {problem}", .within.as_secs_f64())]
    Closed { address: Arc<Address>, problem: String, tries: u32, within: Duration },
    #[error("{address}: no SSH connection: {problem}")]
    Handshake { address: Arc<Address>, problem: String },

    #[error("the host key of {address} is not known: {key}")]
    HostKeyUnknown { address: Arc<Address>, key: Box<OfferedKey> },
    #[error("the host key of {address} has changed: {key}")]
    HostKeyChanged { address: Arc<Address>, key: Box<ChangedKey> },
    #[error("the host key of {address} is revoked: {key} (line {line} of {})", .file.display())]
    HostKeyRevoked { address: Arc<Address>, key: Box<OfferedKey>, file: PathBuf, line: usize },

    #[error("{address}: login refused; tried: {}; the server offers: {offers}", list(.tried))]
    Refused { address: Arc<Address>, tried: Vec<String>, offers: String },

    #[error("{address}: the command could not be started: {problem}")]
    Start { address: Arc<Address>, problem: String },
    #[error("{address}: the connection is lost: {problem}")]
    Lost { address: Arc<Address>, problem: String },
    #[error("{address}: broken off")]
    Aborted { address: Arc<Address> },
}

impl Error {
    /// The way out, where there is one.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::HostKeyUnknown { key, .. } => {
                Some(format!("if this is the key of the host, accept it: {}", key.accept))
            }
            Self::HostKeyChanged { key, .. } => Some(format!(
                "somebody may be listening in; if the host did get a new key, forget the old one and accept the new: {} && {}",
                key.forget, key.offered.accept
            )),
            Self::Closed { .. } => Some(
                "an OpenSSH server does so while too many logins are under way: MaxStartups of its sshd_config says how many; \
                 --connect-timeout allows more tries"
                    .to_string(),
            ),
            Self::JumpCircle { .. } => {
                Some("'ProxyJump none' in the section of the jump host ends the circle".to_string())
            }
            _ => None,
        }
    }
}

fn list(tried: &[String]) -> String {
    if tried.is_empty() { "no key, for there is none".to_string() } else { tried.join(", ") }
}

fn attempts(tried: &[(SocketAddr, io::Error)]) -> String {
    tried.iter().map(|(address, error)| format!("{address}: {error}")).collect::<Vec<_>>().join("; ")
}

//! Why a login, a command or a connection fails.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::known_hosts::{ChangedKey, OfferedKey};

/// The other end of a connection: `user@host:port (ip)`, or `user@host:port through user@jump:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) user: String,
    /// The name or address that is connected to: that of `HostName`, if the configuration has one.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Unknown before the connection is made, and for a host behind a jump host.
    pub(crate) ip: Option<IpAddr>,
    /// The login at the jump host.
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
    #[error("no home folder: set the variable HOME")]
    NoHome,
    #[error("cannot find out your user name: {problem}")]
    NoUser { problem: String },
    #[error("the jump host '{jump}' of {host}: expected [user@]host[:port]")]
    BadJump { host: String, jump: String },
    #[error("the jump hosts of {host} form a circle: {}", .circle.join(" -> "))]
    JumpCircle { host: String, circle: Vec<String> },

    #[error("{address}: cannot resolve the name {}: {problem}", .address.host)]
    Resolve { address: Arc<Address>, problem: String },
    #[error("{address}: cannot connect: {}", attempts(.tried))]
    Connect { address: Arc<Address>, tried: Vec<(SocketAddr, io::Error)> },
    #[error("{address}: {via} cannot connect to it: {problem}")]
    Forward { address: Arc<Address>, via: String, problem: String },
    #[error("{address}: {stage} was not over after {} s", .after.as_secs_f64())]
    Late { address: Arc<Address>, stage: &'static str, after: Duration },
    #[error("{address}: the SSH agent at {agent} did not answer within {} s", .after.as_secs_f64())]
    SilentAgent { address: Arc<Address>, agent: String, after: Duration },
    #[error("{address}: the server closed {} of {} s before the login: {problem}", connections(*.tries), .within.as_secs_f64())]
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

    #[error("{address}: cannot start the command: {problem}")]
    Start { address: Arc<Address>, problem: String },
    #[error("{address}: lost the connection: {problem}")]
    Lost { address: Arc<Address>, problem: String },
    #[error("{address}: ended by this program")]
    Aborted { address: Arc<Address> },
}

impl Error {
    /// What the user can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::HostKeyUnknown { key, .. } => {
                Some(format!("if this is the key of the host, accept it: {}", key.accept))
            }
            Self::HostKeyChanged { key, .. } => Some(format!(
                "someone may be intercepting the connection; if the host really has a new key, remove the old key and accept the new: {} && {}",
                key.forget, key.offered.accept
            )),
            Self::Closed { .. } => Some(
                "an OpenSSH server does so while too many logins are under way: MaxStartups of its sshd_config says how many; \
                 --connect-timeout allows more tries"
                    .to_string(),
            ),
            Self::SilentAgent { .. } => Some(
                "'IdentityAgent none' in the SSH configuration, or the variable SSH_AUTH_SOCK without a value, leaves the agent out"
                    .to_string(),
            ),
            Self::JumpCircle { .. } => {
                Some("put 'ProxyJump none' into the section of one of these hosts".to_string())
            }
            _ => None,
        }
    }
}

fn list(tried: &[String]) -> String {
    if tried.is_empty() { "no keys found".to_string() } else { tried.join(", ") }
}

fn connections(tries: u32) -> String {
    if tries == 1 { "the only connection".to_string() } else { format!("all {tries} connections") }
}

fn attempts(tried: &[(SocketAddr, io::Error)]) -> String {
    tried.iter().map(|(address, error)| format!("{address}: {error}")).collect::<Vec<_>>().join("; ")
}

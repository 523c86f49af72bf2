//! From a target to a session: connection, handshake, host key, login.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ssh2::{ErrorCode, MethodType};

use super::config::{Config, Hop, Target};
use super::dial::{Deadline, dial};
use super::error::{Address, Error};
use super::jump::Jump;
use super::keys::Keys;
use super::known_hosts::{KnownHost, Verdict};
use super::session::Session;
use super::transport::{Transport, words};

/// `LIBSSH2_ERROR_TIMEOUT` and `_SOCKET_TIMEOUT`, which ssh2 does not export.
const TIMED_OUT: [i32; 2] = [-9, -30];

/// What all logins of a run have in common.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// In place of `~/.ssh/config`, which need not exist.
    pub(crate) config: Option<PathBuf>,
    /// In place of all other files of known hosts.
    pub(crate) known_hosts: Option<PathBuf>,
    /// For one login, from the look-up of the name to the end, unless the configuration has a `ConnectTimeout`.
    pub(crate) timeout: Duration,
    /// Whether a passphrase may be asked for: standard input and standard error are terminals.
    pub(crate) interactive: bool,
}

/// Makes the logins of a run, several at the same time if several threads ask.
pub(crate) struct Logins {
    config: Config,
    pub(super) keys: Keys,
    timeout: Duration,
}

impl Logins {
    /// Reads the configuration.
    ///
    /// # Errors
    /// `NoHome`, `File`, `Config`.
    pub(crate) fn new(options: Options) -> Result<Self, Error> {
        let config = Config::read(options.config.as_deref(), options.known_hosts)?;
        Ok(Self { config, keys: Keys::new(options.interactive), timeout: options.timeout })
    }

    /// Logs in at `target`, over the jump hosts that the configuration names for it. The host's key is checked before
    /// anything secret is sent.
    ///
    /// # Errors
    /// Everything of `Error` that comes before a command.
    pub(crate) fn connect(&self, target: &Target) -> Result<Session, Error> {
        let mut session = None;
        for hop in self.config.route(target)? {
            session = Some(self.log_in(&hop, session)?);
        }
        Ok(session.expect("a route has its target at least"))
    }

    /// For the end of the program while logins are under way: nothing is asked any more, and the terminal is as it was.
    pub(crate) fn close_terminal(&self) {
        self.keys.close_terminal();
    }

    fn log_in(&self, hop: &Hop, via: Option<Session>) -> Result<Session, Error> {
        let known_host = KnownHost::read(&hop.host, hop.port, &hop.known_hosts)?;
        let mut deadline = Deadline::within(hop.timeout.unwrap_or(self.timeout));
        let mut address = Address {
            user: hop.user.clone(),
            host: hop.host.clone(),
            port: hop.port,
            ip: None,
            via: via.as_ref().map(|via| via.address().login()),
        };
        let (socket, jump): (OwnedFd, _) = match via {
            None => (dial(&mut address, deadline)?.into(), None),
            Some(via) => {
                let (socket, jump) = forward(&address, via, deadline)?;
                (socket, Some(jump))
            }
        };
        let address = Arc::new(address);
        let mut transport = Transport::new(socket)
            .map_err(|problem| Error::Handshake { address: Arc::clone(&address), problem })?;
        let greeted = greet(&mut transport, &known_host, &address, deadline)
            .and_then(|()| self.keys.authenticate(&transport.ssh, hop, &address, &mut deadline));
        // Whoever drops the jump waits for its thread, which waits for the socket.
        match greeted {
            Ok(()) => Ok(Session::new(transport, address, jump)),
            Err(error) => {
                transport.shut_down();
                Err(match jump.as_ref().and_then(Jump::end) {
                    Some(end) => Error::Lost { address, problem: end.to_string() },
                    None => error,
                })
            }
        }
    }
}

/// A connection to `address` through the login `via`.
fn forward(address: &Address, via: Session, deadline: Deadline) -> Result<(OwnedFd, Jump), Error> {
    let failed = |problem: String| Error::Forward {
        address: Arc::new(address.clone()),
        via: via_login(address),
        problem,
    };
    via.transport.ssh.set_blocking(true);
    limit(&via.transport.ssh, deadline);
    let channel =
        via.transport.ssh.channel_direct_tcpip(&address.host, address.port, None).map_err(|error| {
            silent(&error, address, "the forwarding by the jump host", deadline)
                .unwrap_or_else(|| failed(words(&error)))
        })?;
    let (socket, jump) = Jump::start(via, channel).map_err(|error| failed(error.to_string()))?;
    Ok((socket.into(), jump))
}

fn via_login(address: &Address) -> String {
    address.via.clone().unwrap_or_default()
}

/// Agrees on keys with the server, and checks that it is who it should be.
fn greet(
    transport: &mut Transport,
    known_host: &KnownHost,
    address: &Arc<Address>,
    deadline: Deadline,
) -> Result<(), Error> {
    let failed = |problem: String| Error::Handshake { address: Arc::clone(address), problem };
    limit(&transport.ssh, deadline);
    let shaken = transport
        .ssh
        .method_pref(MethodType::HostKey, &known_host.algorithms())
        .and_then(|()| transport.ssh.handshake());
    shaken.map_err(|error| {
        silent(&error, address, "the handshake", deadline).unwrap_or_else(|| failed(words(&error)))
    })?;
    let (key, _) =
        transport.ssh.host_key().ok_or_else(|| failed("the server has no host key".to_string()))?;
    let address = Arc::clone(address);
    match known_host.judge(key).map_err(|error| failed(format!("its host key: {error}")))? {
        Verdict::Known => Ok(()),
        Verdict::Unknown(key) => Err(Error::HostKeyUnknown { address, key: Box::new(key) }),
        Verdict::Changed(key) => Err(Error::HostKeyChanged { address, key: Box::new(key) }),
        Verdict::Revoked { key, file, line } => {
            Err(Error::HostKeyRevoked { address, key: Box::new(key), file, line })
        }
    }
}

/// Lets the next call take no longer than what is left.
pub(super) fn limit(ssh: &ssh2::Session, deadline: Deadline) {
    ssh.set_timeout(u32::try_from(deadline.remaining().as_millis()).unwrap_or(u32::MAX));
}

/// The error for a call that took longer than it may.
pub(super) fn silent(
    error: &ssh2::Error,
    address: &Address,
    stage: &'static str,
    deadline: Deadline,
) -> Option<Error> {
    let ErrorCode::Session(code) = error.code() else { return None };
    TIMED_OUT.contains(&code).then(|| Error::Silent {
        address: Arc::new(address.clone()),
        stage,
        after: deadline.allowed,
    })
}

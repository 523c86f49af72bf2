//! From a target to a session: the connection, the handshake, the check of the host key, the login.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ssh2::MethodType;

use super::config::{Config, Hop, SSH_PORT, Target};
use super::deadline::{Deadline, Watchdog};
use super::dial::{dial, resolve};
use super::error::{Address, Error, host_and_port};
use super::jump::Jump;
use super::keys::Keys;
use super::known_hosts::{KnownHost, Verdict};
use super::session::Session;
use super::transport::{Transport, is_closed, words};
use super::turns::{Turn, Turns};
use crate::system::escape::one_line;

/// The first pause before another try, and the longest one, apart from chance.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Options of all logins of a run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Read instead of `~/.ssh/config` and `/etc/ssh/ssh_config`; with `none`, nothing is read.
    pub(crate) config: Option<PathBuf>,
    /// Read instead of all other files of known hosts.
    pub(crate) known_hosts: Option<PathBuf>,
    /// For one login, from the look-up of the name to the last key that is tried, unless the configuration
    /// has a `ConnectTimeout`.
    pub(crate) timeout: Duration,
    /// Whether the user can be asked for a passphrase: standard input and standard error are terminals.
    pub(crate) interactive: bool,
}

/// A login as it would be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoginPlan {
    /// `user@host:port`, the keys that the user names for it, and the jump hosts on the way.
    pub(crate) text: String,
    /// The name or address that this machine connects to; nothing for a host behind a jump host.
    pub(crate) looked_up: Option<String>,
}

/// Makes the logins of a run. Several threads can log in at the same time.
pub(crate) struct Logins {
    config: Config,
    turns: Turns,
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
        let keys = Keys::new(options.interactive);
        Ok(Self { config, turns: Turns::default(), keys, timeout: options.timeout })
    }

    /// Logs in at `target`, through the jump hosts that the configuration names for it. The host's key is
    /// checked before anything secret is sent.
    ///
    /// # Errors
    /// All of `Error` that can happen before a command runs.
    pub(crate) fn connect(&self, target: &Target) -> Result<Session, Error> {
        let mut session = None;
        for hop in self.config.route(target)? {
            session = Some(self.log_in(&hop, session)?);
        }
        Ok(session.expect("a route has its target at least"))
    }

    /// How [`connect`](Self::connect) would log in at `target`.
    ///
    /// # Errors
    /// `BadJump`, `JumpCircle`, `NoUser`.
    pub(crate) fn plan(&self, target: &Target) -> Result<LoginPlan, Error> {
        let mut jumps = self.config.route(target)?;
        let last = jumps.pop().expect("a route has its target at least");
        let login = |hop: &Hop| format!("{}@{}", hop.user, host_and_port(&hop.host, hop.port));
        let mut text = login(&last);
        if last.identities.named && !last.identities.files.is_empty() {
            let files = last.identities.files.iter().map(|file| file.display().to_string());
            text += &format!(" with {}", files.collect::<Vec<_>>().join(", "));
        }
        if !jumps.is_empty() {
            text += &format!(" through {}", jumps.iter().map(login).collect::<Vec<_>>().join(", "));
        }
        Ok(LoginPlan { text, looked_up: jumps.is_empty().then_some(last.host) })
    }

    /// Restores the terminal, and asks for nothing any more: the program may end while a login waits for a
    /// passphrase.
    pub(crate) fn close_terminal(&self) {
        self.keys.close_terminal();
    }

    /// One login, with further tries if the server closes the connection before it: a busy one does that at
    /// random.
    fn log_in(&self, hop: &Hop, mut via: Option<Session>) -> Result<Session, Error> {
        let known_host = match &hop.host_key_alias {
            // With the usual port, a name has no port in the files.
            Some(alias) => KnownHost::read(alias, SSH_PORT, &hop.known_hosts)?,
            None => KnownHost::read(&hop.host, hop.port, &hop.known_hosts)?,
        };
        let deadline = Arc::new(Deadline::within(hop.timeout.unwrap_or(self.timeout)));
        let mut tries = 0;
        loop {
            tries += 1;
            match self.attempt(hop, via, &known_host, &deadline) {
                Ok(session) => return Ok(session),
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Closed { address, problem, login }) => {
                    let pause = pause(tries);
                    if pause >= deadline.remaining() || (address.via.is_some() && login.is_none()) {
                        return Err(Error::Closed { address, problem, tries, within: deadline.allowed });
                    }
                    thread::sleep(pause);
                    via = login;
                }
            }
        }
    }

    fn attempt(
        &self,
        hop: &Hop,
        via: Option<Session>,
        known_host: &KnownHost,
        deadline: &Arc<Deadline>,
    ) -> Result<Session, Stop> {
        let mut address = Address {
            user: hop.user.clone(),
            host: hop.host.clone(),
            port: hop.port,
            ip: None,
            via: via.as_ref().map(|via| via.address().login()),
        };
        let (turn, socket, jump): (_, OwnedFd, _) = match via {
            None => {
                let candidates = resolve(&address, deadline)?;
                let first = candidates.iter().min().map(ToString::to_string).unwrap_or_default();
                let turn = self.turn(first, &address, deadline)?;
                (turn, dial(&mut address, &candidates, deadline)?.into(), None)
            }
            Some(via) => {
                let turn = self.turn(address.to_string(), &address, deadline)?;
                let (socket, jump) = forward(&address, via, deadline)?;
                (turn, socket, Some(jump))
            }
        };
        let address = Arc::new(address);
        let failed = |problem| Error::Handshake { address: Arc::clone(&address), problem };
        let mut transport = Transport::new(socket).map_err(failed)?;
        let watchdog = Watchdog::start(deadline, &transport.socket);
        let greeted = greet(&mut transport, known_host, &address, deadline)
            .and_then(|()| Ok(self.keys.authenticate(&transport.ssh, hop, &address, deadline)?));
        drop(watchdog);
        let stop = match greeted {
            Ok(()) => {
                turn.succeed();
                return Ok(Session::new(transport, address, jump));
            }
            Err(stop) => stop,
        };
        // The thread of the jump ends with the socket, and whoever drops the jump waits for it.
        transport.shut_down();
        match (stop, jump) {
            (stop, Some(jump)) if jump.end().is_some() => {
                let problem = jump.end().unwrap_or_default().to_string();
                drop(stop);
                Err(Error::Lost { address, problem }.into())
            }
            (Stop::Closed { address, problem, .. }, Some(jump)) => {
                Err(Stop::Closed { address, problem, login: jump.into_login() })
            }
            (stop, _) => Err(stop),
        }
    }

    /// Waits until few enough others log in at `place`.
    fn turn(&self, place: String, address: &Address, deadline: &Deadline) -> Result<Turn<'_>, Error> {
        let turn = deadline.stopped(|| self.turns.take(place, deadline.allowed, || self.keys.is_asking()));
        turn.ok_or_else(|| Error::Late {
            address: Arc::new(address.clone()),
            stage: "the wait for other logins at this address",
            after: deadline.allowed,
        })
    }
}

/// Why an attempt did not end in a login.
enum Stop {
    Failed(Error),
    /// The server closed the connection before the login. `login` is the login at the jump host, which goes
    /// on.
    Closed {
        address: Arc<Address>,
        problem: String,
        login: Option<Session>,
    },
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The time before the next try: it doubles, and chance keeps logins that failed together from coming back
/// together.
fn pause(tries: u32) -> Duration {
    let mut chance = [0; 2];
    // Without chance, the pause is the shortest.
    let _ = getrandom::fill(&mut chance);
    let factor = 0.5 + f64::from(u16::from_le_bytes(chance)) / f64::from(u16::MAX);
    FIRST_PAUSE.saturating_mul(1 << (tries - 1).min(16)).min(LONGEST_PAUSE).mul_f64(factor)
}

/// A connection to `address` through the login `via`.
fn forward(address: &Address, via: Session, deadline: &Arc<Deadline>) -> Result<(OwnedFd, Jump), Error> {
    let failed = |problem: String| Error::Forward {
        address: Arc::new(address.clone()),
        via: address.via.clone().unwrap_or_default(),
        problem,
    };
    via.transport.ssh.set_blocking(true);
    let watchdog = Watchdog::start(deadline, &via.transport.socket);
    let channel = via.transport.ssh.channel_direct_tcpip(&address.host, address.port, None);
    drop(watchdog);
    let channel = channel.map_err(|error| {
        late(address, "the connection through the jump host", deadline)
            .unwrap_or_else(|| failed(words(&error)))
    })?;
    let (socket, jump) = Jump::start(via, channel).map_err(|error| failed(error.to_string()))?;
    Ok((socket.into(), jump))
}

/// Agrees on keys with the server, and checks that its host key is the known one.
fn greet(
    transport: &mut Transport,
    known_host: &KnownHost,
    address: &Arc<Address>,
    deadline: &Deadline,
) -> Result<(), Stop> {
    let failed = |problem: String| Error::Handshake { address: Arc::clone(address), problem };
    let shaken = transport
        .ssh
        .method_pref(MethodType::HostKey, &known_host.algorithms())
        .and_then(|()| transport.ssh.handshake());
    if let Err(error) = shaken {
        return Err(match late(address, "the handshake", deadline) {
            Some(late) => late.into(),
            None => {
                let said = transport.ssh.banner().filter(|text| !text.starts_with("SSH-2.0-"));
                let said = said.map(|text| format!("; it said '{}'", one_line(text)));
                let problem = words(&error) + &said.unwrap_or_default();
                match is_closed(&error) {
                    true => Stop::Closed { address: Arc::clone(address), problem, login: None },
                    false => failed(problem).into(),
                }
            }
        });
    }
    let (key, _) =
        transport.ssh.host_key().ok_or_else(|| failed("the server has no host key".to_string()))?;
    let address = Arc::clone(address);
    let verdict = known_host.judge(key).map_err(|error| failed(format!("its host key: {error}")))?;
    Err(match verdict {
        Verdict::Known => return Ok(()),
        Verdict::Unknown(key) => Error::HostKeyUnknown { address, key: Box::new(key) },
        Verdict::Changed(key) => Error::HostKeyChanged { address, key: Box::new(key) },
        Verdict::Revoked { key, file, line } => {
            Error::HostKeyRevoked { address, key: Box::new(key), file, line }
        }
    }
    .into())
}

/// The error for a stage in which the time was over: the watchdog has ended the connection, so that every
/// call fails.
pub(super) fn late(address: &Address, stage: &'static str, deadline: &Deadline) -> Option<Error> {
    deadline.is_over().then(|| Error::Late {
        address: Arc::new(address.clone()),
        stage,
        after: deadline.allowed,
    })
}

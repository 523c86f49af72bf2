//! The listeners of a rank: accepts ranks that prove themselves, and withstands any number of other
//! connections.
//!
//! A pending connection is served whenever it has sent something, and none waits for another. It has 5 s and
//! a buffer of 64 bytes to prove itself. At most 128 are pending: a newer one replaces the oldest that has
//! sent nothing, or else the oldest.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::time::Instant;

use log::warn;

use super::handshaking::{HandshakeResult, Handshaking};
use super::poll::Poll;
use super::proof::{Identity, Purpose, Refusal};
use crate::error::Error;
use crate::links::Link;

/// The most connections that are proving themselves at a time.
const PENDING: usize = 128;
/// How many connections are accepted before the pending ones are served again.
const BATCH: usize = 64;
/// How many refusals are logged one by one.
const LOGGED: u64 = 20;

/// A process that has proved that it has the job's key.
pub(super) enum Arrival {
    /// A rank.
    Link(Box<Link>),
    /// It cannot be in this group, because its settings differ.
    Conflict(Error),
}

pub(super) struct Acceptor<'a> {
    listeners: &'a [TcpListener],
    identity: &'a Identity,
    purpose: Purpose,
    /// In order of arrival.
    pending: Vec<Handshaking<'a>>,
    refused: u64,
}

impl<'a> Acceptor<'a> {
    /// Accepts at nonblocking listeners, for one purpose.
    pub(super) fn new(listeners: &'a [TcpListener], identity: &'a Identity, purpose: Purpose) -> Self {
        Self { listeners, identity, purpose, pending: Vec::new(), refused: 0 }
    }

    /// Adds the sockets that [`serve`](Self::serve) wants to know about.
    pub(super) fn watch<'fd>(&'fd self, poll: &mut Poll<'fd>) {
        self.listeners.iter().for_each(|listener| poll.readable(listener));
        self.pending.iter().for_each(|handshaking| poll.readable(handshaking));
    }

    /// When the next proof is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pending.first().map(Handshaking::due)
    }

    /// How many connections were refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Serves every connection that is ready, in the order of [`watch`](Self::watch).
    pub(super) fn serve(&mut self, ready: &mut impl Iterator<Item = bool>) -> Result<Vec<Arrival>, Error> {
        let mut arrivals = Vec::new();
        let listeners = self.listeners;
        let waiting: Vec<&TcpListener> = listeners.iter().filter(|_| ready.next() == Some(true)).collect();
        let now = Instant::now();
        for handshaking in std::mem::take(&mut self.pending) {
            if ready.next() == Some(true) {
                self.advance(handshaking, &mut arrivals);
            } else if handshaking.due() <= now {
                self.refuse(handshaking.address(), &handshaking.late());
            } else {
                self.pending.push(handshaking);
            }
        }
        for listener in waiting {
            self.accept(listener, &mut arrivals)?;
        }
        Ok(arrivals)
    }

    /// Logs that a connection is not accepted.
    pub(super) fn refuse(&mut self, address: SocketAddr, refusal: &Refusal) {
        self.refused += 1;
        if self.refused <= LOGGED {
            warn!("refused {address}: {refusal}");
        }
    }

    fn advance(&mut self, handshaking: Handshaking<'a>, arrivals: &mut Vec<Arrival>) {
        let address = handshaking.address();
        match handshaking.advance() {
            ControlFlow::Continue(handshaking) => self.pending.push(handshaking),
            ControlFlow::Break(HandshakeResult::Link(link)) => arrivals.push(Arrival::Link(link)),
            ControlFlow::Break(HandshakeResult::Refused(refusal)) => self.refuse(address, &refusal),
            ControlFlow::Break(HandshakeResult::Conflict(error)) => {
                self.refuse(address, &Refusal::Other(error.to_string()));
                arrivals.push(Arrival::Conflict(error));
            }
        }
    }

    fn accept(&mut self, listener: &TcpListener, arrivals: &mut Vec<Arrival>) -> Result<(), Error> {
        for _ in 0..BATCH {
            match listener.accept() {
                Ok((socket, address)) => {
                    self.make_room(PENDING - 1);
                    match Handshaking::accept(socket, address, self.identity, self.purpose)? {
                        // Its first message has often arrived with it.
                        Ok(handshaking) => self.advance(handshaking, arrivals),
                        Err(error) => self.refuse(address, &Refusal::Other(error.to_string())),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_shortage(&error) => {
                    if self.pending.is_empty() {
                        return Err(Error::io("accept a connection", error));
                    }
                    self.make_room(self.pending.len() - 1);
                }
                // Other errors concern only the connection that would have been accepted.
                Err(_) => (),
            }
        }
        Ok(())
    }

    /// Closes connections until at most `room` are pending.
    fn make_room(&mut self, room: usize) {
        while self.pending.len() > room {
            let count = self.pending.len();
            let victim = self.pending.iter().position(Handshaking::is_silent).unwrap_or(0);
            let address = self.pending.remove(victim).address();
            self.refuse(address, &Refusal::Crowded(count));
        }
    }
}

/// Whether this process or host has no room for another connection.
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        .into_iter()
        .any(|shortage| errno == Some(shortage))
}

impl Drop for Acceptor<'_> {
    fn drop(&mut self) {
        for handshaking in std::mem::take(&mut self.pending) {
            self.refuse(handshaking.address(), &Refusal::Complete);
        }
        match self.refused.saturating_sub(LOGGED) {
            0 => (),
            1 => warn!("refused 1 more connection"),
            more => warn!("refused {more} more connections"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;
    use crate::rendezvous::handshaking::HANDSHAKE_TIMEOUT;
    use crate::rendezvous::tests::{DEADLINE, meeting};
    use std::io::Write;
    use std::net::TcpStream;

    /// Serves until no connection has anything to say.
    fn settle(acceptor: &mut Acceptor<'_>) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        loop {
            let mut poll = Poll::default();
            acceptor.watch(&mut poll);
            let ready: Vec<bool> = poll.wait(Instant::now()).unwrap().collect();
            if !ready.contains(&true) {
                return arrivals;
            }
            arrivals.extend(acceptor.serve(&mut ready.into_iter()).unwrap());
        }
    }

    #[test]
    fn a_crowd_of_silent_strangers_leaves_room() {
        let listener = crate::rendezvous::place::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let key = Key::from_bytes([1; 32]);
        let (root, member) = (meeting(0, 3), meeting(2, 3));
        let (root, member) = (Identity::new(&root, &key), Identity::new(&member, &key));
        let mut acceptor = Acceptor::new(std::slice::from_ref(&listener), &root, Purpose::Rendezvous);

        // A rank has sent its first message; then many more connections come than there is room for.
        let until = Instant::now() + DEADLINE;
        let connecting = Handshaking::connect(address, &member, Purpose::Rendezvous, 0).unwrap().unwrap();
        let mut poll = Poll::default();
        connecting.watch(&mut poll);
        poll.wait(until).unwrap();
        let ControlFlow::Continue(mut rank) = connecting.advance() else { panic!("the rank was refused") };
        while acceptor.pending.len() != 1 || acceptor.pending[0].is_silent() {
            settle(&mut acceptor);
            assert!(Instant::now() < until);
        }
        let strangers: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(address).unwrap()).collect();
        while acceptor.refused() < 300 - (PENDING as u64 - 1) {
            settle(&mut acceptor);
            assert!(acceptor.pending.len() <= PENDING, "{}", acceptor.pending.len());
            assert!(Instant::now() < until);
        }
        assert_eq!(acceptor.pending.len(), PENDING);

        // The rank can still finish its proof.
        let mut result = false;
        let mut arrived = Vec::new();
        while !result || arrived.is_empty() {
            arrived.extend(settle(&mut acceptor));
            match rank.advance() {
                ControlFlow::Continue(waiting) => rank = waiting,
                ControlFlow::Break(HandshakeResult::Link(link)) => {
                    assert_eq!(link.peer(), 0);
                    result = true;
                    break;
                }
                ControlFlow::Break(_) => panic!("the rank was refused"),
            }
            assert!(Instant::now() < until);
        }
        assert!(result);
        arrived.extend(settle(&mut acceptor));
        assert!(matches!(&arrived[..], [Arrival::Link(link)] if link.peer() == 2), "{}", arrived.len());
        assert_eq!(acceptor.pending.len(), PENDING - 1);

        // When their time is over, the other connections are closed.
        acceptor.pending.iter_mut().for_each(|handshaking| handshaking.age(HANDSHAKE_TIMEOUT));
        assert!(acceptor.due().unwrap() <= Instant::now());
        let mut poll = Poll::default();
        acceptor.watch(&mut poll);
        let mut ready = poll.wait(Instant::now()).unwrap();
        assert_eq!(acceptor.serve(&mut ready).unwrap().len(), 0);
        assert_eq!((acceptor.pending.len(), acceptor.refused()), (0, 300));
        drop(strangers);
    }

    #[test]
    fn bytes_that_are_no_rank_end_their_connection_only() {
        let listener = crate::rendezvous::place::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let root = Identity::new(&meeting(0, 2), &Key::from_bytes([1; 32]));
        let mut acceptor = Acceptor::new(std::slice::from_ref(&listener), &root, Purpose::Rendezvous);
        let connect = |bytes: &[u8]| {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.write_all(bytes).unwrap();
            socket
        };
        let waiting = connect(b"isograd\n and then nothing");
        let _strangers = [
            connect(&[b'x'; 40]),
            connect(&[0; 4000]),
            connect(b"GET / HTTP/1.1\r\nHost: rank0.isograd.example\r\n"),
        ];
        drop(connect(b"isograd\n"));
        let until = Instant::now() + DEADLINE;
        while acceptor.refused() < 4 {
            assert_eq!(settle(&mut acceptor).len(), 0);
            assert!(Instant::now() < until);
        }
        assert_eq!(acceptor.pending.len(), 1);
        assert_eq!(acceptor.pending[0].address(), waiting.local_addr().unwrap());
    }
}

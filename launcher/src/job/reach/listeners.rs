//! Listens for the other hosts.

use super::{MOST_BYTES, Nonce, PINGS, proof, random, read_until};
use hmac::Mac;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a host that connects may take for its proof, and be silent after it.
const PROOF_TIMEOUT: Duration = Duration::from_secs(5);
/// The most connections to one listener without a proof yet; more are not accepted until then.
pub(super) const MOST_STRANGERS: usize = 128;
/// How long a listener pauses that cannot take more connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// Listens for the other hosts, until it is dropped.
pub(in crate::job) struct Listeners {
    listening: Vec<(SocketAddr, JoinHandle<()>)>,
    is_over: Arc<AtomicBool>,
}

impl Listeners {
    /// Listens at those of `addresses` that this host has.
    pub(in crate::job) fn open(host: u32, addresses: &[IpAddr], secret: Nonce) -> io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut listening = Vec::new();
        for address in addresses {
            let listener = match TcpListener::bind((*address, 0)) {
                Ok(listener) => listener,
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => continue,
                Err(error) => return Err(error),
            };
            let own = listener.local_addr()?;
            let is_over = Arc::clone(&is_over);
            let serve = move || serve(&listener, host, &secret, &is_over);
            listening.push((own, thread::Builder::new().spawn(serve)?));
        }
        Ok(Self { listening, is_over })
    }

    /// The addresses where it listens.
    pub(in crate::job) fn addresses(&self) -> Vec<SocketAddr> {
        self.listening.iter().map(|(address, _)| *address).collect()
    }
}

impl Drop for Listeners {
    /// Frees the ports before it returns.
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        for (address, thread) in self.listening.drain(..) {
            // A connection wakes the thread, which then sees that it is over.
            if TcpStream::connect_timeout(&address, PROOF_TIMEOUT).is_ok() {
                thread.join().expect("a listener does not panic");
            }
        }
    }
}

/// Answers each connection, until it is over.
fn serve(listener: &TcpListener, host: u32, secret: &Nonce, is_over: &AtomicBool) {
    // Each connection without a proof holds a clone, so the count is one more than their number.
    let strangers = Arc::new(());
    for stream in listener.incoming() {
        while Arc::strong_count(&strangers) > MOST_STRANGERS && !is_over.load(Ordering::Acquire) {
            thread::sleep(ACCEPT_PAUSE);
        }
        if is_over.load(Ordering::Acquire) {
            break;
        }
        let (stranger, secret) = (Arc::clone(&strangers), *secret);
        // A failed connection concerns no one: the other side does not know the secret, or has closed.
        let answered = stream
            .and_then(|stream| thread::Builder::new().spawn(move || answer(stream, host, &secret, stranger)));
        if answered.is_err() {
            // Perhaps descriptors or threads have run out; other connections will free some.
            thread::sleep(ACCEPT_PAUSE);
        }
    }
}

/// Answers one connection. It holds `stranger` until the other side has proven that it knows the secret.
fn answer(mut stream: TcpStream, host: u32, secret: &Nonce, stranger: Arc<()>) -> io::Result<()> {
    let until = Instant::now() + PROOF_TIMEOUT;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PROOF_TIMEOUT))?;
    let mut nonce = Nonce::default();
    read_until(&mut stream, &mut nonce, until)?;
    let own = random()?;
    let proof = proof(secret, "listener", host, &nonce).finalize().into_bytes();
    stream.write_all(&[&own[..], &proof].concat())?;
    let mut answer = [0; 32];
    read_until(&mut stream, &mut answer, until)?;
    if self::proof(secret, "dialler", host, &own).verify_slice(&answer).is_err() {
        return Ok(());
    }
    drop(stranger);
    stream.set_read_timeout(Some(PROOF_TIMEOUT))?;
    let mut length = [0; 8];
    stream.read_exact(&mut length)?;
    for _ in 0..PINGS {
        let mut ping = [0];
        stream.read_exact(&mut ping)?;
        stream.write_all(&ping)?;
    }
    let length = u64::from_le_bytes(length).min(MOST_BYTES);
    io::copy(&mut Read::by_ref(&mut stream).take(length), &mut io::sink())?;
    stream.write_all(&[0])
}

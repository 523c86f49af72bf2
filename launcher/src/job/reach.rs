//! Which addresses of a host the other hosts reach.
//!
//! ```text
//! dialler  -> listener: nonce
//! listener -> dialler:  nonce', HMAC(secret, "listener" | host | nonce)
//! dialler  -> listener: HMAC(secret, "dialler" | host | nonce'), bytes that follow
//! listener -> dialler:  one byte for each of the pings, one after the bytes
//! ```
//!
//! The proof also tells hosts apart: many have the same addresses, such as those of containers' bridges.

use super::message::Way;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a dialler may take for its part of the conversation.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pings, of which the fastest counts.
const PINGS: u8 = 8;
/// How long other addresses may take once one has answered.
const PAUSE: Duration = Duration::from_millis(200);
/// The most bytes that are taken for a measurement.
const MOST_BYTES: u64 = 1 << 30;

type Nonce = [u8; 32];

/// Listens for the other hosts, until it is dropped.
pub(super) struct Listeners {
    listening: Vec<(SocketAddr, JoinHandle<()>)>,
    is_over: Arc<AtomicBool>,
}

impl Listeners {
    /// At those of `addresses` that this host has.
    pub(super) fn open(host: u32, addresses: &[IpAddr], secret: Nonce) -> io::Result<Self> {
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
            let thread = thread::spawn(move || {
                for stream in listener.incoming() {
                    if is_over.load(Ordering::Acquire) {
                        break;
                    }
                    // Whoever does not know the secret, or has gone, is of no interest.
                    let _ = stream.map(|stream| thread::spawn(move || answer(stream, host, &secret)));
                }
            });
            listening.push((own, thread));
        }
        Ok(Self { listening, is_over })
    }

    /// Where it listens.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.listening.iter().map(|(address, _)| *address).collect()
    }
}

impl Drop for Listeners {
    /// When it is done, the ports are free.
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        for (address, thread) in self.listening.drain(..) {
            // Wakes the thread.
            if TcpStream::connect_timeout(&address, PATIENCE).is_ok() {
                thread.join().expect("a listener does not panic");
            }
        }
    }
}

fn answer(mut stream: TcpStream, host: u32, secret: &Nonce) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut nonce = Nonce::default();
    stream.read_exact(&mut nonce)?;
    let own = random()?;
    let proof = proof(secret, "listener", host, &nonce).finalize().into_bytes();
    stream.write_all(&[&own[..], &proof].concat())?;
    let mut answer = [0; 32];
    stream.read_exact(&mut answer)?;
    if self::proof(secret, "dialler", host, &own).verify_slice(&answer).is_err() {
        return Ok(());
    }
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

/// Tries all addresses of all targets at once; with `bytes`, one target after the other, and measures the first way.
pub(super) fn reach(
    targets: &[(u32, Vec<SocketAddr>)],
    secret: &Nonce,
    timeout: Duration,
    bytes: u64,
) -> Vec<(u32, Result<Vec<Way>, String>)> {
    if bytes > 0 {
        return targets.iter().map(|target| (target.0, ways(target, secret, timeout, bytes))).collect();
    }
    thread::scope(|scope| {
        let tries: Vec<_> = targets
            .iter()
            .map(|target| scope.spawn(|| (target.0, ways(target, secret, timeout, 0))))
            .collect();
        tries.into_iter().map(|one| one.join().expect("no dial panics")).collect()
    })
}

/// The ways that answer soon after the first one, in the order of the addresses.
fn ways(
    (host, addresses): &(u32, Vec<SocketAddr>),
    secret: &Nonce,
    timeout: Duration,
    bytes: u64,
) -> Result<Vec<Way>, String> {
    let (sender, dials) = channel();
    for (index, address) in addresses.iter().copied().enumerate() {
        let (sender, host, secret) = (sender.clone(), *host, *secret);
        // It may still wait for its time-out when the others are done.
        thread::spawn(move || sender.send((index, dial(address, host, &secret, timeout))));
    }
    drop(sender);
    let (mut found, mut problems, mut until) = (Vec::new(), Vec::new(), Instant::now() + 3 * timeout);
    while let Ok((index, dialled)) = dials.recv_timeout(until.saturating_duration_since(Instant::now())) {
        match dialled {
            Ok((stream, round_trip)) => {
                until = until.min(Instant::now() + PAUSE);
                found.push((index, stream, round_trip));
            }
            Err(error) => problems.push(format!("{}: {error}", addresses[index].ip())),
        }
    }
    if found.is_empty() {
        return Err(problems.join(", "));
    }
    found.sort_by_key(|(index, ..)| *index);
    let mut ways = Vec::new();
    for (index, stream, round_trip) in found {
        let (address, round_trip_us) = (addresses[index], round_trip.as_secs_f64() * 1e6);
        let gbytes_per_s = if ways.is_empty() { send(stream, bytes) } else { Ok(None) };
        let gbytes_per_s = gbytes_per_s.map_err(|error| format!("{}: {error}", address.ip()))?;
        ways.push(Way { address, round_trip_us, gbytes_per_s });
    }
    Ok(ways)
}

/// Connects and pings; the connection and the shortest round trip.
fn dial(
    address: SocketAddr,
    host: u32,
    secret: &Nonce,
    timeout: Duration,
) -> io::Result<(TcpStream, Duration)> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let nonce = random()?;
    stream.write_all(&nonce)?;
    let (mut theirs, mut answer) = (Nonce::default(), [0; 32]);
    stream.read_exact(&mut theirs)?;
    stream.read_exact(&mut answer)?;
    if proof(secret, "listener", host, &nonce).verify_slice(&answer).is_err() {
        return Err(io::Error::other("another host has this address"));
    }
    stream.write_all(&proof(secret, "dialler", host, &theirs).finalize().into_bytes())?;
    stream.write_all(&MOST_BYTES.to_le_bytes())?;
    let mut best = Duration::MAX;
    for ping in 0..PINGS {
        let start = Instant::now();
        stream.write_all(&[ping])?;
        stream.read_exact(&mut [0])?;
        best = best.min(start.elapsed());
    }
    Ok((stream, best))
}

/// Sends `bytes`; how fast they arrived.
fn send(mut stream: TcpStream, bytes: u64) -> io::Result<Option<f64>> {
    if bytes == 0 {
        return Ok(None);
    }
    let start = Instant::now();
    io::copy(&mut io::repeat(0).take(bytes.min(MOST_BYTES)), &mut stream)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read_exact(&mut [0])?;
    Ok(Some(bytes as f64 / start.elapsed().as_secs_f64() / 1e9))
}

fn proof(secret: &Nonce, role: &str, host: u32, nonce: &Nonce) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
    mac.update(b"isograd reach ");
    mac.update(role.as_bytes());
    mac.update(&host.to_le_bytes());
    mac.update(nonce);
    mac
}

/// Bytes that nobody can guess.
pub(crate) fn random() -> io::Result<Nonce> {
    let mut bytes = Nonce::default();
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn one(host: u32, listeners: &Listeners, secret: u8, bytes: u64) -> Result<Way, String> {
        let targets = [(host, listeners.addresses())];
        reach(&targets, &[secret; 32], TIMEOUT, bytes).remove(0).1.map(|mut ways| ways.remove(0))
    }

    #[test]
    fn a_host_is_reached_and_measured() {
        let elsewhere: IpAddr = "198.51.100.77".parse().unwrap();
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        let listeners = Listeners::open(3, &[elsewhere, here], [1; 32]).unwrap();
        assert_eq!(listeners.addresses().len(), 1, "only what this host has");
        let way = one(3, &listeners, 1, 0).unwrap();
        assert_eq!((way.address.ip(), way.gbytes_per_s), (here, None));
        assert!(way.round_trip_us > 0.0);
        assert!(one(3, &listeners, 1, 10 << 20).unwrap().gbytes_per_s.unwrap() > 0.0);
    }

    #[test]
    fn another_host_or_another_job_is_not_what_was_wanted() {
        let listeners = Listeners::open(3, &["127.0.0.1".parse().unwrap()], [1; 32]).unwrap();
        for (host, secret) in [(2, 1), (3, 2)] {
            let problem = one(host, &listeners, secret, 0).unwrap_err();
            assert_eq!(problem, "127.0.0.1: another host has this address");
        }
    }

    #[test]
    fn nobody_listens_when_it_is_over() {
        let listeners = Listeners::open(0, &["127.0.0.1".parse().unwrap()], [1; 32]).unwrap();
        let address = listeners.addresses()[0];
        drop(listeners);
        assert!(TcpStream::connect(address).is_err());
        TcpListener::bind(address).expect("the port is free");
    }
}

//! Connects to the other hosts.

use super::{MOST_BYTES, Nonce, PINGS, proof, random, read_until};
use crate::job::message::Way;
use hmac::Mac;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The most attempts at a time.
pub(super) const MOST_DIALS: usize = 64;
/// How long the other addresses of a host may take once one has answered.
const PAUSE: Duration = Duration::from_millis(200);
/// Longer than any attempt can take; attempts have timeouts of their own.
const FAR: Duration = Duration::from_secs(3600);

/// Connects to all addresses of all targets, many at a time. With `bytes`, it takes one target after the
/// other, and measures the speed at the first address that answers.
#[expect(clippy::type_complexity, reason = "a list of targets, and what became of each")]
pub(in crate::job) fn reach(
    targets: &[(u32, Vec<SocketAddr>)],
    secret: &Nonce,
    timeout: Duration,
    bytes: u64,
) -> io::Result<Vec<(u32, Result<Vec<Way>, String>)>> {
    let at_once = if bytes > 0 { 1 } else { targets.len().max(1) };
    let mut found = Vec::new();
    for targets in targets.chunks(at_once) {
        let hosts = targets.iter().map(|(host, _)| *host);
        let dialled = dial_all(targets, secret, timeout)?.into_iter();
        found.extend(hosts.zip(dialled.map(|dialled| dialled.into_ways(bytes))));
    }
    Ok(found)
}

/// An address to connect to, with its index among the targets and among the addresses of its target.
struct Try {
    target: usize,
    index: usize,
    host: u32,
    address: SocketAddr,
}

/// A report on a [`Try`].
enum News {
    Begun,
    Ended(io::Result<(TcpStream, Duration)>),
}

/// The state of one target.
#[derive(Default)]
struct Dialled {
    /// The number of attempts that have not begun, and of those that have no result yet.
    unbegun: usize,
    pending: usize,
    /// When the last attempt began, or the first one succeeded.
    since: Option<Instant>,
    found: Vec<(usize, SocketAddr, TcpStream, Duration)>,
    problems: Vec<String>,
}

/// Connects to the addresses of `targets`, [`MOST_DIALS`] at a time. Once an address of a target has
/// answered, the others have [`PAUSE`] to answer as well.
fn dial_all(
    targets: &[(u32, Vec<SocketAddr>)],
    secret: &Nonce,
    timeout: Duration,
) -> io::Result<Vec<Dialled>> {
    let tries = targets.iter().enumerate().flat_map(|(target, (host, addresses))| {
        let addresses = addresses.iter().copied().enumerate();
        addresses.map(move |(index, address)| Try { target, index, host: *host, address })
    });
    let tries: VecDeque<Try> = tries.collect();
    let count = |(_, addresses): &(u32, Vec<SocketAddr>)| Dialled {
        unbegun: addresses.len(),
        pending: addresses.len(),
        ..Dialled::default()
    };
    let mut dialled: Vec<Dialled> = targets.iter().map(count).collect();
    let threads = tries.len().min(MOST_DIALS);
    let (tries, (sender, news)) = (Arc::new(Mutex::new(tries)), channel());
    for thread in 0..threads {
        let (tries, sender, secret) = (Arc::clone(&tries), sender.clone(), *secret);
        // It may still wait for its time-out when the others are done.
        let started = thread::Builder::new().spawn(move || {
            while let Some(next) = next_of(&tries) {
                let tell = |news| sender.send((next.target, next.index, next.address, news)).is_ok();
                if !tell(News::Begun) || !tell(News::Ended(dial(next.address, next.host, &secret, timeout))) {
                    break;
                }
            }
        });
        match started {
            Ok(_) => (),
            Err(error) if thread == 0 => return Err(error),
            // The threads that did start do the work.
            Err(_) => break,
        }
    }
    drop(sender);
    while let Some(until) = dialled.iter().filter_map(Dialled::until).max() {
        let wait = until.saturating_duration_since(Instant::now());
        match news.recv_timeout(wait) {
            Ok((target, index, address, news)) => dialled[target].hear(index, address, news),
            Err(_) => break,
        }
    }
    Ok(dialled)
}

fn next_of(tries: &Mutex<VecDeque<Try>>) -> Option<Try> {
    tries.lock().expect("no holder panics").pop_front()
}

impl Dialled {
    fn hear(&mut self, index: usize, address: SocketAddr, news: News) {
        let now = Instant::now();
        match news {
            News::Begun => {
                self.unbegun -= 1;
                self.since = Some(now);
            }
            News::Ended(Ok((stream, round_trip))) => {
                self.pending -= 1;
                if self.found.is_empty() {
                    self.since = Some(now);
                }
                self.found.push((index, address, stream, round_trip));
            }
            News::Ended(Err(error)) => {
                self.pending -= 1;
                self.problems.push(format!("{}: {error}", address.ip()));
            }
        }
    }

    /// Until when to wait for more results of this target; `None` when all are known.
    fn until(&self) -> Option<Instant> {
        let far = Instant::now() + FAR;
        match self.since {
            _ if self.pending == 0 => None,
            Some(since) if self.unbegun == 0 && !self.found.is_empty() => Some(since + PAUSE),
            _ => Some(far),
        }
    }

    /// The addresses that answered, in their order. With `bytes`, the speed at the first one is measured.
    fn into_ways(self, bytes: u64) -> Result<Vec<Way>, String> {
        let Self { mut found, problems, .. } = self;
        if found.is_empty() {
            return Err(problems.join(", "));
        }
        found.sort_by_key(|(index, ..)| *index);
        let mut ways = Vec::new();
        for (_, address, stream, round_trip) in found {
            let gbytes_per_s = if ways.is_empty() { send(stream, bytes) } else { Ok(None) };
            let gbytes_per_s = gbytes_per_s.map_err(|error| format!("{}: {error}", address.ip()))?;
            ways.push(Way { address, round_trip_us: round_trip.as_secs_f64() * 1e6, gbytes_per_s });
        }
        Ok(ways)
    }
}

/// Connects, and pings, each within `timeout`. Returns the connection and the shortest round trip.
pub(super) fn dial(
    address: SocketAddr,
    host: u32,
    secret: &Nonce,
    timeout: Duration,
) -> io::Result<(TcpStream, Duration)> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    let until = Instant::now() + timeout;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(timeout))?;
    let nonce = random()?;
    stream.write_all(&nonce)?;
    let (mut theirs, mut answer) = (Nonce::default(), [0; 32]);
    read_until(&mut stream, &mut theirs, until)?;
    read_until(&mut stream, &mut answer, until)?;
    if proof(secret, "listener", host, &nonce).verify_slice(&answer).is_err() {
        return Err(io::Error::other("another host has this address"));
    }
    stream.write_all(&proof(secret, "dialler", host, &theirs).finalize().into_bytes())?;
    stream.write_all(&MOST_BYTES.to_le_bytes())?;
    let mut best = Duration::MAX;
    for ping in 0..PINGS {
        let start = Instant::now();
        stream.write_all(&[ping])?;
        read_until(&mut stream, &mut [0], until)?;
        best = best.min(start.elapsed());
    }
    stream.set_read_timeout(Some(timeout))?;
    Ok((stream, best))
}

/// Sends `bytes`. Returns the speed in GB/s.
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

//! Finds out at which addresses the other hosts reach a host.
//!
//! ```text
//! dialler  -> listener: nonce
//! listener -> dialler:  nonce', HMAC(secret, "listener" | host | nonce)
//! dialler  -> listener: HMAC(secret, "dialler" | host | nonce'), bytes that follow
//! listener -> dialler:  one byte for each of the pings, one after the bytes
//! ```
//!
//! The proof also tells hosts apart: several may have the same address, as the bridges of containers do.

mod dials;
mod listeners;

pub(super) use dials::reach;
pub(super) use listeners::Listeners;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::io::{self, Read};
use std::net::TcpStream;
use std::time::Instant;

/// The number of pings; the fastest one counts.
const PINGS: u8 = 8;
/// The most bytes that a measurement may send.
const MOST_BYTES: u64 = 1 << 30;

type Nonce = [u8; 32];

fn proof(secret: &Nonce, role: &str, host: u32, nonce: &Nonce) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
    mac.update(b"isograd reach ");
    mac.update(role.as_bytes());
    mac.update(&host.to_le_bytes());
    mac.update(nonce);
    mac
}

/// Fills `bytes` before `until`. The deadline holds for all bytes together, however few arrive at a time.
fn read_until(stream: &mut TcpStream, mut bytes: &mut [u8], until: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => bytes = &mut bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Random bytes from the system, for keys and nonces.
pub(crate) fn random() -> io::Result<Nonce> {
    let mut bytes = Nonce::default();
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::dials::{MOST_DIALS, dial};
    use super::listeners::MOST_STRANGERS;
    use super::*;
    use crate::job::Way;
    use std::io::Write;
    use std::net::{IpAddr, TcpListener};
    use std::thread;
    use std::time::Duration;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn one(host: u32, listeners: &Listeners, secret: u8, bytes: u64) -> Result<Way, String> {
        let targets = [(host, listeners.addresses())];
        reach(&targets, &[secret; 32], TIMEOUT, bytes).unwrap().remove(0).1.map(|mut ways| ways.remove(0))
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
    fn many_targets_are_tried_by_few_threads() {
        let listeners = Listeners::open(3, &["127.0.0.1".parse().unwrap()], [1; 32]).unwrap();
        // Each also has an address at which no one listens.
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let good = listeners.addresses()[0];
        let targets: Vec<_> = (0..2 * MOST_DIALS as u32).map(|host| (host % 4, vec![nobody, good])).collect();
        let found = reach(&targets, &[1; 32], TIMEOUT, 0).unwrap();
        assert_eq!(found.len(), targets.len());
        for ((host, reached), (expected, _)) in found.iter().zip(&targets) {
            assert_eq!(host, expected);
            match (host, reached) {
                (3, Ok(ways)) => assert_eq!((ways.len(), ways[0].address), (1, good)),
                (0..3, Err(problem)) => assert!(problem.contains("refused"), "{problem}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn strangers_take_no_end_of_threads() {
        let listeners = Listeners::open(3, &["127.0.0.1".parse().unwrap()], [1; 32]).unwrap();
        let address = listeners.addresses()[0];
        let strangers: Vec<TcpStream> =
            (0..MOST_STRANGERS).map(|_| TcpStream::connect(address).unwrap()).collect();
        // While they say nothing, a host that knows the secret waits as well.
        let secret = [1; 32];
        let impatient = dial(address, 3, &secret, Duration::from_millis(200)).unwrap_err();
        assert!(
            matches!(impatient.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            "{impatient}"
        );
        drop(strangers);
        one(3, &listeners, 1, 0).unwrap();
    }

    #[test]
    fn bytes_that_trickle_do_not_put_off_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut slow = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let writer = thread::spawn(move || {
            while slow.write_all(&[0]).is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        });
        let until = Instant::now() + Duration::from_millis(100);
        assert!(read_until(&mut stream, &mut vec![0; 1 << 20], until).is_err());
        drop(stream);
        writer.join().unwrap();
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

//! Connections at rank 0 that are no ranks: the group meets undisturbed, and the log says what was refused.

mod meetings;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once};
use std::thread;
use std::time::Instant;

use isograd_comm::{Communicator, Error, Place, RendezvousError};
use log::{Log, Metadata, Record};
use meetings::{DEADLINE, check_sums, free_place, join_all, settings};

/// Keeps the lines of the log. One test at a time reads them.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    static LOGGER: Once = Once::new();
    let guard = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    LOGGER.call_once(|| {
        log::set_logger(&LINES).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
    LINES.0.lock().unwrap().clear();
    guard
}

fn logged() -> Vec<String> {
    LINES.0.lock().unwrap().clone()
}

/// Connects as soon as rank 0 listens.
fn connect(address: &str) -> TcpStream {
    let start = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(socket) => {
                socket.set_read_timeout(Some(DEADLINE)).unwrap();
                return socket;
            }
            Err(error) => assert!(start.elapsed() < DEADLINE, "{error}"),
        }
        thread::yield_now();
    }
}

/// Waits until the other end has closed the connection.
fn wait_for_end(mut socket: TcpStream) {
    let mut rest = Vec::new();
    match socket.read_to_end(&mut rest) {
        Ok(_) => assert!(rest.len() <= 96, "a stranger was told {} bytes", rest.len()),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

/// Runs rank 0 of 3, lets `attack` do what it wants at its address, and then lets the others come: they must
/// meet.
fn under_attack<A>(attack: impl FnOnce(&str, &Place) -> A) {
    let (place, address) = free_place();
    thread::scope(|scope| {
        let root = scope.spawn(|| Communicator::join(&settings(&place, 0, 3)));
        let kept = attack(&address, &place);
        let members = join_all(&[settings(&place, 1, 3), settings(&place, 2, 3)]);
        let all: Vec<Result<Communicator, Error>> =
            std::iter::once(root.join().unwrap()).chain(members).collect();
        drop(kept);
        check_sums(all.into_iter().map(Result::unwrap).collect());
    });
}

#[test]
fn strangers_with_nothing_to_prove() {
    let _guard = alone();
    let mut noise = 0x9e37_79b9_u64;
    let mut bytes = |length: usize| -> Vec<u8> {
        let next = || {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (noise >> 56) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    };
    under_attack(|address, _| {
        // Of no known beginning, of the right one, and longer than anything that a rank says.
        for i in 0..50 {
            let mut socket = connect(address);
            if i % 2 == 0 {
                socket.write_all(b"isograd\n").unwrap();
            }
            let length = 96 + usize::from(bytes(1)[0]);
            // It may be closed before it has all.
            let _ = socket.write_all(&bytes(length));
            wait_for_end(socket);
        }
        // Connections that send nothing, send half a message, or close.
        let silent = connect(address);
        let mut half = connect(address);
        half.write_all(b"isograd\nhalf").unwrap();
        drop(connect(address));
        (silent, half)
    });
    let log = logged();
    assert!(log.iter().any(|line| line.ends_with(": it does not begin as a rank does")), "{log:#?}");
    assert!(log.iter().any(|line| line.contains(": its proof is wrong")), "{log:#?}");
    assert!(log[0].starts_with("refused 127.0.0.1:"), "{}", log[0]);
    assert!(log.len() <= 21, "{} lines", log.len());
    assert!(log.last().unwrap().ends_with(" more connections"), "{log:#?}");
}

#[test]
fn repeated_and_reflected_handshakes() {
    let _guard = alone();
    under_attack(|address, place| {
        // A relay between rank 1 and rank 0 records what the rank sends, and then breaks the connection.
        let between = TcpListener::bind("127.0.0.1:0").unwrap();
        let Place::Address { key, .. } = place else { unreachable!("an address") };
        let detour = Place::Address { address: between.local_addr().unwrap().to_string(), key: key.clone() };
        let mut recorded = Vec::new();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let victim =
                scope.spawn(|| Communicator::join(&settings(&detour, 1, 3)).map(|_| ()).unwrap_err());
            let (mut near, _) = between.accept().unwrap();
            let mut far = connect(address);
            let (mut hello, mut nonce, mut claim) = ([0; 40], [0; 32], [0; 64]);
            near.read_exact(&mut hello).unwrap();
            far.write_all(&hello).unwrap();
            far.read_exact(&mut nonce).unwrap();
            near.write_all(&nonce).unwrap();
            near.read_exact(&mut claim).unwrap();
            recorded.extend([hello.to_vec(), claim.to_vec()]);
            drop((near, far));

            // The victim tries again and again, and hears only its own words.
            let echo = scope.spawn(|| {
                let (mut hello, mut claim, mut rest) = ([0; 40], [0; 64], [0; 1]);
                while let Ok((mut near, _)) = between.accept()
                    && !done.load(Ordering::SeqCst)
                {
                    near.read_exact(&mut hello).unwrap();
                    near.write_all(&hello[8..]).unwrap();
                    near.read_exact(&mut claim).unwrap();
                    near.write_all(&claim).unwrap();
                    assert_eq!(near.read(&mut rest).unwrap(), 0, "the victim believed its own echo");
                }
            });
            let error = victim.join().unwrap();
            done.store(true, Ordering::SeqCst);
            drop(TcpStream::connect(between.local_addr().unwrap()));
            echo.join().unwrap();
            assert!(matches!(error, Error::Rendezvous(RendezvousError::Refused { .. })), "{error}");
            assert!(error.to_string().contains("its proof is wrong"), "{error}");
        });

        // To rank 0, word for word.
        let mut replay = connect(address);
        replay.write_all(&recorded[0]).unwrap();
        let mut nonce = [0; 32];
        replay.read_exact(&mut nonce).unwrap();
        replay.write_all(&recorded[1]).unwrap();
        let mut rest = Vec::new();
        assert_eq!(replay.read_to_end(&mut rest).unwrap(), 0, "rank 0 answered a repeated proof");
    });
    let log = logged();
    assert!(log.iter().any(|line| line.contains(": its proof is wrong")), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("closed the connection before its proof")), "{log:#?}");
}

#[test]
fn a_thousand_idle_connections() {
    let _guard = alone();
    // Both ends are in this process: no more than its limit of open files allows, and enough for the ranks
    // left.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let count = limit.saturating_sub(400).min(1000);
    assert!(count > 130, "{limit} open files are too few for this test");
    under_attack(|address, _| (0..count).map(|_| connect(address)).collect::<Vec<_>>());
    let log = logged();
    assert!(
        log.iter().any(|line| line.contains(": dropped for a newer connection: 128 were pending")),
        "{log:#?}"
    );
    assert!(log.len() <= 21, "{} lines", log.len());
    // Every single one is accounted for.
    let more =
        log.last().unwrap().strip_prefix("refused ").unwrap().strip_suffix(" more connections").unwrap();
    assert_eq!(more.parse::<u64>().unwrap() + 20, count, "{log:#?}");
}

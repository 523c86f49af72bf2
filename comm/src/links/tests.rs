//! Links over loopback, whole and broken.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use snow::TransportState;

use super::*;
use crate::error::{Error, PeerError};

const DEADLINE: Duration = Duration::from_secs(30);

/// A small generator (Marsaglia's xorshift), so that tests are the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Payloads to send by bucket, and those received in order.
#[derive(Default)]
struct Payloads {
    outgoing: Vec<Vec<u8>>,
    incoming: Vec<u8>,
    received: Vec<(Frame, Vec<u8>)>,
    /// What is expected: at most so many bytes.
    limit: u64,
    /// Buckets from this one on have to wait.
    turn: u32,
}

impl Payloads {
    fn new(limit: u64) -> Self {
        Self { limit, turn: u32::MAX, ..Self::default() }
    }

    fn add(&mut self, payload: Vec<u8>) -> Frame {
        let bucket = self.outgoing.len() as u32;
        let bytes = payload.len() as u64;
        self.outgoing.push(payload);
        let kind = if bucket.is_multiple_of(2) { FrameKind::Scatter } else { FrameKind::Gather };
        Frame { kind, exchange: 9 + bucket, operation: 1 << 40, bucket, call: 1 << 50, bytes }
    }
}

impl Memory for Payloads {
    fn outgoing(&self, _to: usize, frame: &Frame) -> &[u8] {
        &self.outgoing[frame.bucket as usize]
    }

    fn incoming(&mut self, _from: usize, frame: &Frame) -> Incoming<'_> {
        if frame.bytes > self.limit {
            return Incoming::Unexpected;
        }
        if frame.bucket >= self.turn {
            return Incoming::Later;
        }
        self.incoming.resize(frame.bytes as usize, 0);
        Incoming::Here(&mut self.incoming)
    }

    fn received(&mut self, _from: usize, frame: Frame) {
        self.received.push((frame, std::mem::take(&mut self.incoming)));
    }
}

fn tag() -> Tag {
    Tag::new("a job", 7)
}

fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

fn noise() -> (TransportState, TransportState) {
    let builder = || {
        snow::Builder::new("Noise_NNpsk0_25519_ChaChaPoly_SHA256".parse().unwrap()).psk(0, &[3; 32]).unwrap()
    };
    let (mut one, mut other) = (builder().build_initiator().unwrap(), builder().build_responder().unwrap());
    let mut message = [0; 100];
    let length = one.write_message(&[], &mut message).unwrap();
    other.read_message(&message[..length], &mut []).unwrap();
    let length = other.write_message(&[], &mut message).unwrap();
    one.read_message(&message[..length], &mut []).unwrap();
    (one.into_transport_mode().unwrap(), other.into_transport_mode().unwrap())
}

fn peer_address() -> SocketAddr {
    "10.0.0.4:29500".parse().unwrap()
}

/// Two ends, of ranks 3 (the first) and 5, over sockets that are connected in some way.
fn links(sockets: (TcpStream, TcpStream), encrypt: bool) -> (Link, Link) {
    let (a, b) = if encrypt { Some(noise()).unzip() } else { (None, None) };
    let one = Link::new(sockets.0, 5, peer_address(), tag(), a).unwrap();
    (one, Link::new(sockets.1, 3, peer_address(), tag(), b).unwrap())
}

/// Two sockets with somebody between them who passes bytes on in small pieces of random length.
fn relayed() -> (TcpStream, TcpStream) {
    let ((one, near), (far, other)) = (sockets(), sockets());
    let copies = [(near.try_clone().unwrap(), far.try_clone().unwrap(), 1), (far, near, 2)];
    for (mut from, mut to, seed) in copies {
        to.set_nodelay(true).unwrap();
        thread::spawn(move || {
            let mut random = Random(seed);
            let mut piece = [0; 700];
            loop {
                let bound = if random.below(10) == 0 { 700 } else { 50 };
                let length = 1 + random.below(bound) as usize;
                match from.read(&mut piece[..length]) {
                    Ok(bytes @ 1..) if to.write_all(&piece[..bytes]).is_ok() => (),
                    _ => return to.shutdown(Shutdown::Both),
                }
            }
        });
    }
    (one, other)
}

/// Sends payloads of these lengths both ways at once and compares what arrives.
fn exchange((mut one, mut other): (Link, Link), lengths: &[usize]) {
    let mut random = Random(lengths.len() as u64);
    let limit = *lengths.iter().max().unwrap() as u64;
    let mut memories = [Payloads::new(limit), Payloads::new(limit)];
    let mut frames = [Vec::new(), Vec::new()];
    for &length in lengths {
        for (memory, frames) in memories.iter_mut().zip(&mut frames) {
            let seed = random.below(1 << 60);
            frames.push(memory.add((0..length).map(|i| (seed >> (i % 50)) as u8 ^ i as u8).collect()));
        }
    }
    let start = Instant::now();
    for (i, (a, b)) in frames[0].iter().zip(&frames[1]).enumerate() {
        one.send(*a);
        other.send(*b);
        // Some go alone, some together.
        if i % 3 > 0 && i + 1 < lengths.len() {
            continue;
        }
        while !(one.is_flushed() && other.is_flushed()) || memories.iter().any(|m| m.received.len() <= i) {
            one.flush(&memories[0]).unwrap();
            other.flush(&memories[1]).unwrap();
            let any = one.receive(&mut memories[0]).unwrap() | other.receive(&mut memories[1]).unwrap();
            if !any {
                thread::yield_now();
            }
            assert!(start.elapsed() < DEADLINE, "after frame {i} of {}", lengths.len());
        }
    }
    let [a, b] = memories;
    for (sent, frames, received) in
        [(a.outgoing, &frames[0], b.received), (b.outgoing, &frames[1], a.received)]
    {
        let expected: Vec<(Frame, Vec<u8>)> = frames.iter().copied().zip(sent).collect();
        assert_eq!(expected.len(), received.len());
        for (i, (expected, received)) in expected.iter().zip(&received).enumerate() {
            assert_eq!(expected.0, received.0, "frame {i}");
            assert!(expected.1 == received.1, "payload of frame {i}: {:?}", expected.0);
        }
    }
}

const LENGTHS: [usize; 20] =
    [4, 0, 1, 0, 0, 47, 48, 49, 4096, 8143, 8144, 8145, 8192, 16384, 65470, 65471, 65472, 65519, 65536, 3];

#[test]
fn frames_of_many_lengths_both_ways() {
    for encrypt in [false, true] {
        let large = [&LENGTHS[..], &[1 << 20, 5, 7_000_001, 0, 2]].concat();
        exchange(links(sockets(), encrypt), &large);
    }
}

#[test]
fn frames_in_small_pieces() {
    for encrypt in [false, true] {
        exchange(links(relayed(), encrypt), &LENGTHS);
    }
}

#[test]
fn frames_wait_for_their_turn() {
    // The last one is more than the sockets hold: it keeps the sender waiting.
    let lengths = [10, 0, 3000, 200_000, 0, 32 << 20];
    for encrypt in [false, true] {
        let (mut one, mut other) = links(sockets(), encrypt);
        let (mut ours, mut theirs) = (Payloads::new(32 << 20), Payloads::new(32 << 20));
        for (i, length) in lengths.into_iter().enumerate() {
            one.send(ours.add(vec![i as u8; length]));
        }
        let start = Instant::now();
        for turn in 0..=lengths.len() {
            theirs.turn = turn as u32;
            while theirs.received.len() < turn || !(other.is_held() || turn == lengths.len()) {
                one.flush(&ours).unwrap();
                other.receive(&mut theirs).unwrap();
                assert!(start.elapsed() < DEADLINE, "turn {turn}");
                thread::yield_now();
            }
            assert_eq!(theirs.received.len(), turn);
            assert_eq!(one.is_flushed(), turn == lengths.len());
            // Nothing more is read before its turn.
            for _ in 0..10 {
                assert!(!other.receive(&mut theirs).unwrap(), "turn {turn}");
            }
            assert!(other.held_bytes() <= 1 << 18, "{} bytes are held", other.held_bytes());
        }
        for ((i, length), (frame, payload)) in lengths.into_iter().enumerate().zip(&theirs.received) {
            assert_eq!((frame.bucket as usize, frame.bytes as usize), (i, length));
            assert!(*payload == vec![i as u8; length], "payload {i}");
        }
    }
}

/// Receives until something other than `Ok` comes.
fn failure(link: &mut Link, memory: &mut Payloads) -> Error {
    let start = Instant::now();
    loop {
        if let Err(error) = link.receive(memory) {
            return error;
        }
        assert!(start.elapsed() < DEADLINE);
        thread::yield_now();
    }
}

/// What a link says to these bytes.
fn complaint(bytes: &[u8]) -> String {
    let (mut socket, other) = sockets();
    let mut link = Link::new(other, 3, peer_address(), tag(), None).unwrap();
    socket.write_all(bytes).unwrap();
    failure(&mut link, &mut Payloads::new(1 << 20)).to_string()
}

#[test]
fn what_does_not_belong_here_is_refused() {
    let frame = Frame { kind: FrameKind::Gather, exchange: 1, operation: 2, bucket: 3, call: 4, bytes: 4 };
    assert_eq!(complaint(&[b'x'; 48]), "rank 3 (10.0.0.4:29500) sent bytes that are no frame");
    assert_eq!(
        complaint(&frame.encode(Tag::new("a job", 8))),
        "rank 3 (10.0.0.4:29500) sent a frame of another job or generation"
    );
    // Four gigabytes are refused by their header: no memory is taken for them, and not a byte of them is
    // awaited.
    let header = Frame { bytes: 1 << 32, ..frame }.encode(tag());
    let said = complaint(&header);
    assert!(said.starts_with("rank 3 (10.0.0.4:29500) sent an unexpected frame"), "{said}");
    assert!(said.contains("bytes: 4294967296"), "{said}");
}

#[test]
fn a_closed_connection_names_the_peer() {
    let frame = Frame { kind: FrameKind::Gather, exchange: 1, operation: 2, bucket: 3, call: 4, bytes: 4 };
    let bytes = [&frame.encode(tag())[..], &[1, 2, 3, 4]].concat();
    // Between frames, in a header, in a payload.
    for (cut, whole) in [(52, 1), (0, 0), (7, 0), (50, 0)] {
        let (mut socket, other) = sockets();
        let mut link = Link::new(other, 3, peer_address(), tag(), None).unwrap();
        socket.write_all(&bytes[..cut]).unwrap();
        drop(socket);
        let mut memory = Payloads::new(4);
        let error = failure(&mut link, &mut memory);
        assert!(matches!(error, Error::Peer(PeerError::Closed { rank: 3, .. })), "{cut} bytes: {error}");
        assert_eq!(error.to_string(), "rank 3 (10.0.0.4:29500) closed the connection");
        assert_eq!(memory.received.len(), whole, "{cut} bytes");
    }
}

#[test]
fn last_words_are_heard_although_nothing_can_be_written() {
    let (mut one, mut other) = links(sockets(), false);
    let (mut ours, mut theirs) = (Payloads::new(100), Payloads::new(100));
    let cause = theirs.add(b"rank 7 is lost".to_vec());
    other.send(Frame { kind: FrameKind::Failure, ..cause });
    // More than the sockets hold: the other end closes with data unread, which resets the connection.
    one.send(ours.add(vec![1; 32 << 20]));
    one.flush(&ours).unwrap();
    assert!(!one.is_flushed());
    other.flush(&theirs).unwrap();
    assert!(other.is_flushed());
    // Its words have arrived before the reset.
    let start = Instant::now();
    while ours.received.is_empty() && start.elapsed() < DEADLINE {
        one.receive(&mut ours).unwrap();
    }
    drop(other);
    while one.receive(&mut ours).is_ok() {
        one.flush(&ours).unwrap();
        assert!(start.elapsed() < DEADLINE);
    }
    assert_eq!(ours.received[0].1, b"rank 7 is lost");
    assert_eq!(ours.received[0].0.kind, FrameKind::Failure);
    assert!(matches!(one.receive(&mut ours), Err(Error::Peer(PeerError::Closed { rank: 5, .. }))));
}

#[test]
fn changed_records_are_refused() {
    // The length, the ciphertext, the authenticator.
    for at in [0, 5, 2 + 48 + 100] {
        let ((one, mut near), (mut far, other)) = (sockets(), sockets());
        let (mut one, mut other) = links((one, other), true);
        let mut memory = Payloads::new(100);
        one.send(memory.add(vec![1; 100]));
        one.flush(&memory).unwrap();
        let mut record = [0; 2 + 48 + 100 + 16];
        near.read_exact(&mut record).unwrap();
        let length = usize::from(u16::from_le_bytes([record[0], record[1]]));
        assert_eq!(length, record.len() - 2);
        assert!(!record.windows(16).any(|bytes| bytes == [1; 16]), "the payload is to be read in it");
        record[at] ^= 2;
        far.write_all(&record).unwrap();
        // What a longer length waits for.
        far.write_all(&[0; 4]).unwrap();
        let mut received = Payloads::new(100);
        let error = failure(&mut other, &mut received).to_string();
        assert!(error.ends_with("bytes that does not authenticate"), "{error}");
        assert_eq!(received.received.len(), 0);
    }
}

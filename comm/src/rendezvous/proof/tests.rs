//! The handshake without sockets: honest ends, other settings, and everything an attacker can do with bytes.

use super::*;
use crate::rendezvous::Place;

/// Rank 2 of 4.
fn meeting() -> Meeting {
    Meeting { job: "a job".into(), generation: 5, ..Meeting::new(Place::File("unused".into()), 2, 4) }
}

fn identity(change: impl FnOnce(&mut Meeting)) -> Identity {
    let mut meeting = meeting();
    change(&mut meeting);
    Identity::new(&meeting, &Key::from_bytes([7; 32]))
}

/// How each end ended; `More` for one that still waits.
struct Ends {
    client: Outcome,
    server: Outcome,
    /// What was said, in turn; the client began.
    said: Vec<Vec<u8>>,
}

impl Ends {
    fn conflict(self) -> String {
        match (self.client, self.server) {
            (Outcome::Conflict(one), Outcome::Conflict(other)) => {
                assert_eq!(one.to_string(), other.to_string());
                one.to_string()
            }
            (client, server) => panic!("client: {}, server: {}", describe(&client), describe(&server)),
        }
    }

    fn refusals(&self) -> [Option<Refusal>; 2] {
        [&self.client, &self.server].map(|end| match end {
            Outcome::Refused(refusal) => Some(refusal.clone()),
            _ => None,
        })
    }

    fn joined(&self) -> [bool; 2] {
        [&self.client, &self.server].map(|end| matches!(end, Outcome::Joined { .. }))
    }
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::More => "waits".into(),
        Outcome::Joined { theirs, .. } => format!("joined {theirs:?}"),
        Outcome::Conflict(error) => error.to_string(),
        Outcome::Refused(refusal) => refusal.to_string(),
    }
}

/// Lets a client that wants rank `to` talk to a server; `meddle` may change each message, by its place in the
/// talk.
fn talk(
    client: (&Identity, Purpose, usize),
    server: (&Identity, Purpose),
    mut meddle: impl FnMut(usize, &mut Vec<u8>),
) -> Ends {
    let (mut one, hello) = Handshake::client(client.0, client.1, client.2).unwrap();
    let mut other = Handshake::server(server.0, server.1).unwrap();
    let mut ends = Ends { client: Outcome::More, server: Outcome::More, said: Vec::new() };
    let mut message = hello;
    while !message.is_empty() {
        let turn = ends.said.len();
        meddle(turn, &mut message);
        ends.said.push(message.clone());
        let (end, outcome) = if turn.is_multiple_of(2) {
            (&mut other, &mut ends.server)
        } else {
            (&mut one, &mut ends.client)
        };
        if !matches!(outcome, Outcome::More) {
            break;
        }
        (message, *outcome) = end.take(&message);
    }
    ends
}

/// Ranks 2 and 0, each with its changes.
fn meet(client: impl FnOnce(&mut Meeting), server: impl FnOnce(&mut Meeting)) -> Ends {
    let (client, server) = (identity(client), identity(|m| (m.rank = 0, server(m)).1));
    talk((&client, Purpose::Rendezvous, 0), (&server, Purpose::Rendezvous), |_, _| ())
}

#[test]
fn honest_ends_join() {
    for encrypt in [false, true] {
        let ends = meet(|m| m.encrypt = encrypt, |m| m.encrypt = encrypt);
        assert_eq!(ends.said.len(), if encrypt { 6 } else { 4 });
        assert!(ends.said.iter().all(|message| message.len() <= LONGEST));
        let (
            Outcome::Joined { theirs: server, noise: one },
            Outcome::Joined { theirs: client, noise: other },
        ) = (ends.client, ends.server)
        else {
            panic!("encrypt: {encrypt}");
        };
        assert_eq!((server.rank, client.rank), (0, 2));
        assert_eq!((one.is_some(), other.is_some()), (encrypt, encrypt));
        if let (Some(mut one), Some(mut other)) = (one, other) {
            let (mut sealed, mut plain) = ([0; 100], [0; 100]);
            let length = one.write_message(b"hello", &mut sealed).unwrap();
            let length = other.read_message(&sealed[..length], &mut plain).unwrap();
            assert_eq!(&plain[..length], b"hello");
        }
    }
}

#[test]
fn other_keys_and_jobs_are_refused_before_the_claim_is_read() {
    // A claim that would be a conflict: it is not even looked at.
    let stranger = Identity::new(&Meeting { world_size: 9, ..meeting() }, &Key::from_bytes([8; 32]));
    let server = identity(|m| m.rank = 0);
    let ends = talk((&stranger, Purpose::Rendezvous, 0), (&server, Purpose::Rendezvous), |_, _| ());
    assert_eq!(ends.refusals(), [None, Some(Refusal::Proof)]);
    assert_eq!(ends.said.len(), 3, "nothing is said to a stranger's proof");

    for job in ["a jo", "a job ", "", "another"] {
        let ends = meet(|m| m.job = job.into(), |_| ());
        assert_eq!(ends.refusals(), [None, Some(Refusal::Proof)], "{job:?}");
    }
}

#[test]
fn other_generations_are_told_and_refused() {
    let ends = meet(|m| m.generation = 4, |_| ());
    let [client, server] = ends.refusals().map(Option::unwrap);
    assert_eq!(client, Refusal::Generation { ours: 4, theirs: 5 });
    assert_eq!(server, Refusal::Generation { ours: 5, theirs: 4 });
}

#[test]
fn other_purposes_and_ranks_are_refused() {
    let (client, server) = (identity(|_| ()), identity(|m| m.rank = 0));
    for (purpose, to) in [(Purpose::Link, 0), (Purpose::Rendezvous, 1)] {
        let ends = talk((&client, purpose, to), (&server, Purpose::Rendezvous), |_, _| ());
        assert_eq!(ends.refusals(), [Some(Refusal::Purpose), Some(Refusal::Purpose)], "{purpose:?} to {to}");
    }
}

#[test]
fn both_ends_name_a_conflict_in_the_same_words() {
    let worlds = meet(|m| m.world_size = 3, |_| ());
    assert_eq!(worlds.conflict(), "ranks 0 and 2 differ in world size: 4 against 3");
    let ciphers = meet(|m| m.encrypt = true, |_| ());
    assert_eq!(ciphers.conflict(), "ranks 0 and 2 differ in encryption: off against on");
    let ciphers = meet(|_| (), |m| m.encrypt = true);
    assert_eq!(ciphers.conflict(), "ranks 0 and 2 differ in encryption: on against off");

    let (newer, server) =
        (identity(|m| m.generation = 6).with_version(PROTOCOL + 1), identity(|m| m.rank = 0));
    let versions = talk((&newer, Purpose::Rendezvous, 0), (&server, Purpose::Rendezvous), |_, _| ());
    assert_eq!(versions.conflict(), "ranks 0 and 2 differ in protocol version: 4 against 5");

    let beyond = meet(|m| m.rank = 4, |_| ());
    let Outcome::Conflict(Error::Rank { rank: 4, world_size: 4 }) = beyond.server else {
        panic!("{}", describe(&beyond.server))
    };
}

#[test]
fn repeated_messages_are_refused() {
    let (client, server) = (identity(|_| ()), identity(|m| m.rank = 0));
    let honest = talk((&client, Purpose::Rendezvous, 0), (&server, Purpose::Rendezvous), |_, _| ());
    assert_eq!(honest.joined(), [true, true]);
    // To the server, what the client once said; to the client, what the server did.
    for from in [0, 1] {
        let ends =
            talk((&client, Purpose::Rendezvous, 0), (&server, Purpose::Rendezvous), |turn, message| {
                if turn % 2 == from {
                    message.clone_from(&honest.said[turn]);
                }
            });
        let refused = if from == 0 { ends.refusals()[1].clone() } else { ends.refusals()[0].clone() };
        // A repeated nonce of the server's makes the honest client's proof wrong already there.
        assert!(refused == Some(Refusal::Proof) || ends.refusals()[1] == Some(Refusal::Proof), "from {from}");
        assert_eq!(ends.joined(), [false, false], "from {from}");
    }
}

#[test]
fn reflected_messages_are_refused() {
    // Who listens sends everything back, and has no key.
    let client = identity(|_| ());
    let (mut handshake, hello) = Handshake::client(&client, Purpose::Link, 0).unwrap();
    let (claim, outcome) = handshake.take(&hello[8..]);
    assert!(matches!(outcome, Outcome::More));
    let (reply, outcome) = handshake.take(&claim);
    assert!(reply.is_empty());
    assert!(matches!(outcome, Outcome::Refused(Refusal::Proof)), "{}", describe(&outcome));

    // The same rank's own acceptor answers in the name of the rank it wants.
    let ends = talk((&client, Purpose::Link, 0), (&client, Purpose::Link), |_, _| ());
    assert_eq!(ends.refusals(), [Some(Refusal::Purpose), Some(Refusal::Purpose)]);
}

#[test]
fn no_changed_bit_goes_unnoticed() {
    let (client, server) = (identity(|m| m.encrypt = true), identity(|m| (m.rank, m.encrypt) = (0, true)));
    let ends = || (&client, Purpose::Rendezvous, 0);
    let whole = talk(ends(), (&server, Purpose::Rendezvous), |_, _| ());
    assert_eq!(whole.joined(), [true, true]);
    for turn in 0..whole.said.len() {
        for byte in 0..whole.said[turn].len() {
            let ends = talk(ends(), (&server, Purpose::Rendezvous), |at, message| {
                if at == turn {
                    message[byte] ^= 1 << (byte % 8);
                }
            });
            // Who sent the last message cannot know yet; who got it does.
            let receiver = usize::from(turn.is_multiple_of(2));
            let unnoticed =
                ends.joined()[receiver] || (turn + 1 < whole.said.len() && ends.joined() == [true; 2]);
            // The first two messages are nonces: a change shows in the next proof.
            assert!(!unnoticed && ends.joined() != [true; 2], "message {turn}, byte {byte}");
        }
    }
}

#[test]
fn random_bytes_never_join() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |length: usize| -> Vec<u8> {
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    };
    let server = identity(|m| (m.rank, m.encrypt) = (0, true));
    let client = identity(|_| ());
    let mut opened = 0;
    for i in 0..10_000 {
        let (mut end, _) = match i % 2 {
            0 => (Handshake::server(&server, Purpose::Rendezvous).unwrap(), Vec::new()),
            _ => Handshake::client(&client, Purpose::Rendezvous, 0).unwrap(),
        };
        loop {
            let mut message = random(end.wants());
            if i % 4 == 0 && message.len() == MAGIC.len() + NONCE {
                message[..MAGIC.len()].copy_from_slice(&MAGIC);
                opened += 1;
            }
            match end.take(&message).1 {
                Outcome::More => (),
                Outcome::Refused(Refusal::Opening | Refusal::Proof) => break,
                other => panic!("string {i}: {}", describe(&other)),
            }
        }
    }
    assert_eq!(opened, 2_500);
}

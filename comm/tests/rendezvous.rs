//! Meetings that succeed, and the errors of those that fail.

mod meetings;

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use isograd_comm::{Communicator, Error, FileError, Key, Place, RendezvousError, Settings, Transport};
use meetings::{check_sums, free_place, join_all, settings};

/// The timeout of meetings that fail because a rank does not come.
const SHORT: Duration = Duration::from_secs(2);

/// The settings of a whole group, each changed by rank.
fn group(place: &Place, world: usize, change: impl Fn(usize, &mut Settings)) -> Vec<Settings> {
    let changed = |rank| {
        let mut settings = settings(place, rank, world);
        change(rank, &mut settings);
        settings
    };
    (0..world).map(changed).collect()
}

/// The messages of a group in which no rank succeeds.
fn messages(settings: &[Settings]) -> Vec<String> {
    let results = join_all(settings);
    results.into_iter().map(|result| result.map(|_| ()).unwrap_err().to_string()).collect()
}

/// Expects one cause at all ranks: at rank 0 and `first_hand` as it is, at the others as told.
fn assert_cause(messages: &[String], cause: &str, first_hand: &[usize]) {
    for (i, message) in messages.iter().enumerate() {
        if i == 0 || first_hand.contains(&i) {
            assert_eq!(message, cause, "process {i}");
        } else {
            assert_eq!(*message, format!("{cause} (rank 0 says)"), "process {i}");
        }
    }
}

#[test]
fn groups_of_any_size_meet_and_add() {
    for world in [1, 2, 3, 5] {
        let (place, _) = free_place();
        for encrypt in [false, true] {
            let settings = group(&place, world, |_, settings| settings.meeting.encrypt = encrypt);
            check_sums(join_all(&settings).into_iter().map(Result::unwrap).collect());
        }
    }
}

#[test]
fn missing_ranks_are_named_at_all() {
    let (place, address) = free_place();
    let mut settings = group(&place, 5, |rank, settings| {
        // Only rank 0's timeout counts once a rank has joined.
        settings.meeting.timeout = if rank == 0 { SHORT } else { 4 * SHORT };
    });
    settings.remove(4);
    settings.remove(2);
    let cause = format!("rendezvous at {address}: ranks 2 and 4 did not come within 2 s");
    assert_cause(&messages(&settings), &cause, &[]);
}

#[test]
fn without_rank_0_the_others_say_so() {
    let (place, address) = free_place();
    let mut settings = settings(&place, 1, 2);
    settings.meeting.timeout = Duration::from_millis(300);
    let [message] = &messages(&[settings])[..] else { unreachable!("one rank") };
    let start = format!("rendezvous at {address}: rank 0 did not answer within 0.3 s (");
    assert!(message.starts_with(&start), "{message}");
    assert!(message.to_lowercase().contains("refused"), "{message}");
}

/// A name may get its address while ranks wait for each other. No server is asked for one so long.
#[test]
fn a_name_without_an_address_is_looked_up_until_the_deadline() {
    let address = format!("{}:29500", "x".repeat(300));
    let place = Place::Address { address: address.clone(), key: meetings::key() };
    let mut settings = settings(&place, 1, 2);
    settings.meeting.timeout = Duration::from_millis(300);
    let error = Communicator::join(&settings).map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, Error::Rendezvous(RendezvousError::Unanswered { reason, .. }) if reason.contains("lookup")),
        "{error}"
    );
    // Rank 0 knows its own names.
    settings.meeting.rank = 0;
    let error = Communicator::join(&settings).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Rendezvous(RendezvousError::Resolve { .. })), "{error}");
}

/// The name that many systems give themselves, with an address that other hosts cannot use.
#[test]
fn who_waited_at_another_address_than_its_name_says_is_told() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = Place::Address { address: format!("localhost:{port}"), key: meetings::key() };
    let mut alone = settings(&place, 0, 2);
    alone.meeting.timeout = Duration::from_millis(100);
    let message = Communicator::join(&alone).map(|_| ()).unwrap_err().to_string();
    let start =
        format!("rendezvous at localhost:{port}: rank 1 did not come within 0.1 s: rank 0 listened at ");
    let listened =
        message.strip_prefix(&start).and_then(|rest| rest.strip_suffix(", which only its own host reaches"));
    let listened: SocketAddr = listened.unwrap_or_else(|| panic!("{message}")).parse().unwrap();
    assert!(listened.ip().is_loopback() && listened.port() == port, "{message}");

    alone.meeting.rank = 1;
    let message = Communicator::join(&alone).map(|_| ()).unwrap_err().to_string();
    assert!(
        message.contains(&format!(" within 0.1 s ({}:", listened.ip())) || message.contains("([::1]:"),
        "{message}"
    );
}

#[test]
fn the_longest_timeout_is_one() {
    let (place, _) = free_place();
    let settings = group(&place, 2, |_, settings| settings.meeting.timeout = Duration::MAX);
    check_sums(join_all(&settings).into_iter().map(Result::unwrap).collect());
}

#[test]
fn a_rank_taken_twice_is_named_at_all() {
    let (place, _) = free_place();
    let mut settings = group(&place, 4, |_, _| ());
    settings[3].meeting.rank = 1;
    let results = join_all(&settings);
    let errors: Vec<Error> = results.into_iter().map(|result| result.map(|_| ()).unwrap_err()).collect();
    assert!(
        matches!(errors[0], Error::Rendezvous(RendezvousError::RankTaken { rank: 1, .. })),
        "{}",
        errors[0]
    );
    let cause = errors[0].to_string();
    assert!(cause.starts_with("rank 1 came twice to the rendezvous: from 127.0.0.1:"), "{cause}");
    assert_cause(&errors.iter().map(Error::to_string).collect::<Vec<_>>(), &cause, &[]);
}

#[test]
fn ranks_outside_the_group_are_refused_at_once() {
    for (rank, world) in [(3, 3), (0, 0), (9, 1), (1, 100_000), (1, usize::MAX)] {
        // No memory is made for them either.
        for transport in [Transport::Tcp, Transport::SharedMemory, Transport::Auto] {
            let (place, _) = free_place();
            let mut settings = settings(&place, rank, world);
            settings.transport = transport;
            settings.shared_memory = "/nowhere".into();
            let error = Communicator::join(&settings).map(|_| ()).unwrap_err();
            let expected = (rank, world);
            assert!(
                matches!(error, Error::Rank { rank, world_size } if (rank, world_size) == expected),
                "{transport:?}: {error}"
            );
        }
    }
}

/// Also as a name resolver reads it.
#[test]
fn addresses_that_stand_for_all_of_a_host_are_refused_at_once() {
    let assert_refused = |settings: &Settings| {
        let error = Communicator::join(settings).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Rendezvous(RendezvousError::Unspecified { .. })), "{error}");
    };
    for rank in [0, 1] {
        for address in ["0.0.0.0:29500", "[::]:29500", "[::ffff:0.0.0.0]:29500", "0:29500"] {
            let place = Place::Address { address: address.into(), key: meetings::key() };
            assert_refused(&settings(&place, rank, 2));
        }
        for address in ["0.0.0.0:0", "[::]:0"] {
            let mut settings = settings(&free_place().0, rank, 2);
            settings.meeting.listen =
                vec!["127.0.0.1:0".parse().unwrap(), address.parse::<SocketAddr>().unwrap()];
            assert_refused(&settings);
        }
    }
}

#[test]
fn a_disagreement_names_both_ranks_and_values_at_all() {
    #[expect(clippy::type_complexity, reason = "what is changed, and what is said of it")]
    let cases: [(fn(&mut Settings), &str); 4] = [
        (|s| s.meeting.agreement[0].1 = "7".into(), "ranks 0 and 2 differ in seed: 1 against 7"),
        (|s| s.meeting.agreement[1].1.clear(), "ranks 0 and 2 differ in model: simplecnn against "),
        (|s| s.meeting.agreement.truncate(1), "ranks 0 and 2 differ in model: simplecnn against nothing"),
        (
            |s| s.meeting.agreement.push(("isa".into(), "avx2".into())),
            "ranks 0 and 2 differ in isa: nothing against avx2",
        ),
    ];
    for (change, cause) in cases {
        let (place, _) = free_place();
        let settings = group(&place, 4, |rank, settings| {
            if rank == 2 {
                change(settings)
            }
        });
        assert_cause(&messages(&settings), cause, &[]);
    }
}

#[test]
fn a_group_of_another_size_is_a_disagreement() {
    let (place, _) = free_place();
    let settings =
        group(&place, 4, |rank, settings| settings.meeting.world_size = if rank == 3 { 5 } else { 4 });
    let cause = "ranks 0 and 3 differ in world size: 4 against 5";
    assert_cause(&messages(&settings), cause, &[3]);
}

#[test]
fn encryption_at_one_end_only_is_a_disagreement() {
    for encrypts in [0, 1, 2] {
        let (place, _) = free_place();
        let settings = group(&place, 3, |rank, settings| settings.meeting.encrypt = rank == encrypts);
        let values = |other: bool| if other { "on" } else { "off" };
        let messages = messages(&settings);
        // With rank 0 both others differ; it meets one of them first.
        let other = if encrypts == 0 && messages[0].contains("ranks 0 and 2") { 2 } else { encrypts.max(1) };
        let values = (values(encrypts == 0), values(encrypts != 0));
        let cause =
            |rank| format!("ranks 0 and {rank} differ in encryption: {} against {}", values.0, values.1);
        assert_eq!(messages[0], cause(other));
        assert_eq!(messages[other], cause(other));
        let third = if encrypts == 0 { cause(3 - other) } else { format!("{} (rank 0 says)", cause(other)) };
        assert_eq!(messages[3 - other], third);
    }
}

#[test]
fn another_key_or_job_is_refused_and_the_group_goes_on_without() {
    let changes: [fn(&mut Settings); 2] = [
        |s| {
            if let Place::Address { key, .. } = &mut s.meeting.place {
                *key = Key::from_bytes([8; 32]);
            }
        },
        |s| s.meeting.job = "another".into(),
    ];
    for change in changes {
        let (place, address) = free_place();
        let mut settings = group(&place, 2, |_, _| ());
        settings.push(meetings::settings(&place, 1, 2));
        settings[2].meeting.timeout = SHORT;
        change(&mut settings[2]);
        let mut results = join_all(&settings);
        let stranger = results.pop().unwrap().map(|_| ()).unwrap_err();
        // Whether it came while rank 0 listened or not.
        let message = stranger.to_string();
        assert!(message.starts_with(&format!("rendezvous at {address}: ")), "{message}");
        assert!(
            matches!(
                stranger,
                Error::Rendezvous(RendezvousError::Refused { .. })
                    | Error::Rendezvous(RendezvousError::Unanswered { .. })
            ),
            "{message}"
        );
        check_sums(results.into_iter().map(Result::unwrap).collect());
    }
}

#[test]
fn a_wrong_key_is_said_at_both_ends() {
    let (place, address) = free_place();
    let mut settings = group(&place, 2, |rank, settings| {
        if rank == 0 {
            settings.meeting.timeout = 2 * SHORT;
        }
    });
    let Place::Address { key, .. } = &mut settings[1].meeting.place else { unreachable!("an address") };
    *key = Key::from_bytes([8; 32]);
    let messages = messages(&settings);
    let start = format!("rendezvous at {address}: rank 1 did not come within 4 s (");
    assert!(messages[0].starts_with(&start) && messages[0].ends_with("refused)"), "{}", messages[0]);
    assert_eq!(
        messages[1],
        format!(
            "rendezvous at {address}: it closed the connection when it had seen this rank's proof: it has another \
             key or another job"
        )
    );
}

#[test]
fn a_late_rank_of_an_older_generation_is_told_and_the_newer_one_meets() {
    let (place, _) = free_place();
    let mut settings = group(&place, 2, |_, settings| settings.meeting.generation = 4);
    settings.push(meetings::settings(&place, 1, 2));
    settings[2].meeting.generation = 3;
    settings[2].meeting.timeout = SHORT;
    let mut results = join_all(&settings);
    let late = results.pop().unwrap().map(|_| ()).unwrap_err();
    match &late {
        Error::Rendezvous(RendezvousError::Disagreement { .. }) => {
            assert_eq!(late.to_string(), "ranks 0 and 1 differ in generation: 4 against 3");
        }
        // It came when rank 0 listened no more.
        other => assert!(matches!(other, Error::Rendezvous(RendezvousError::Unanswered { .. })), "{other}"),
    }
    check_sums(results.into_iter().map(Result::unwrap).collect());
}

#[test]
fn a_stale_meeting_file_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::File(folder.path().join("meeting"));
    let Place::File(path) = &place else { unreachable!("a file") };
    // Of a group that is gone, and of one that still listens but has another key.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [gone, listener.local_addr().unwrap()] {
        fs::write(path, format!("isograd meeting 1\n{address}\n{}\n", "ab".repeat(32))).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        let settings = group(&place, 3, |_, _| ());
        std::thread::scope(|scope| {
            let members = scope.spawn(|| join_all(&settings[1..]));
            // Ranks that come to the other group's listener are refused.
            if address != gone {
                drop(listener.accept().unwrap());
                drop(listener.accept().unwrap());
            }
            let root = Communicator::join(&settings[0]).unwrap();
            let mut all: Vec<Communicator> =
                members.join().unwrap().into_iter().map(Result::unwrap).collect();
            all.insert(0, root);
            check_sums(all);
        });
        assert!(!path.exists());
    }
}

#[test]
fn a_name_that_cannot_be_had_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::File(folder.path().join("meeting"));
    let Place::File(path) = &place else { unreachable!("a file") };
    // Another user may have made any of these in a folder that all may write to.
    let taken: [fn(&Path); 3] = [
        |path| fs::create_dir(path).unwrap(),
        |path| std::os::unix::fs::symlink("/nowhere", path).unwrap(),
        |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
    ];
    for take in taken {
        take(path);
        // The deadline is far away.
        let error = Communicator::join(&settings(&place, 1, 2)).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::File(FileError::Type { .. })), "{error}");
        fs::remove_file(path).or_else(|_| fs::remove_dir(path)).unwrap();
    }
    // Only root can give files away.
    fs::write(path, "").unwrap();
    if std::os::unix::fs::chown(path, Some(65_534), None).is_ok() {
        let error = Communicator::join(&settings(&place, 1, 2)).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::File(FileError::Owner { owner: 65_534, .. })), "{error}");
    }
}

#[test]
fn a_meeting_file_open_to_others_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meeting");
    fs::write(&path, "anything").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
    let error = Communicator::join(&settings(&Place::File(path), 1, 2)).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::File(FileError::Mode { mode: 0o660, .. })), "{error}");
}

#[test]
fn nothing_is_left_of_a_meeting_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&Place::File(folder.path().join("meeting")), 0, 2);
    settings.meeting.timeout = Duration::from_millis(100);
    let error = Communicator::join(&settings).map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, Error::Rendezvous(RendezvousError::Missing { ranks, .. }) if *ranks == [1]),
        "{error}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_place_that_cannot_be_had() {
    let (place, address) = free_place();
    let _taken = TcpListener::bind(&address).unwrap();
    let error = Communicator::join(&settings(&place, 0, 2)).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), format!("rendezvous at {address}: the port is in use by another process"));
    // A network for documentation: no interface should have its addresses.
    let place = Place::Address { address: "198.51.100.77:29500".into(), key: meetings::key() };
    let error = Communicator::join(&settings(&place, 0, 2)).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Rendezvous(RendezvousError::NotLocal { .. })), "{error}");
}

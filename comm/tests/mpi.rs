//! Groups over MPI: this test binary again, started by `mpirun`, with what it should do in the environment.

mod checks;
mod mpirun;

use checks::{Check, values};
use isograd_comm::{Communicator, Error, Meeting, Mpi, Place, Settings, Transport};
use mpirun::mpirun;
use std::io::Write;
use std::process::Output;
use std::time::{Duration, Instant};

const ACT: &str = "ISOGRAD_TEST_ACT";
/// How long ranks wait for each other.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than anything takes that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings(mpi: &Mpi) -> Settings {
    let mut meeting = Meeting::new(Place::Mpi(mpi.clone()), mpi.rank(), mpi.world_size());
    (meeting.job, meeting.timeout) = ("test".into(), TIMEOUT);
    let mut settings = Settings::new(meeting);
    settings.transport = Transport::Mpi;
    settings
}

/// Every collective, between all ranks and on hosts of two; in groups that follow each other.
fn collectives(mpi: &Mpi) -> Result<(), Error> {
    let checks: [Check; 6] = [
        checks::allreduce,
        checks::integers_in_doubles,
        checks::reduce_scatter,
        checks::allgather,
        checks::broadcast,
        checks::any_sequence,
    ];
    for host in [None, Some(format!("host {}", mpi.rank() / 2))] {
        let what = format!("host {host:?}");
        let mut settings = settings(mpi);
        settings.host = host;
        let mut communicator = Communicator::join(&settings)?;
        assert_eq!((communicator.rank(), communicator.world_size()), (mpi.rank(), mpi.world_size()));
        checks.iter().try_for_each(|check| check(&mut communicator, &what))?;
    }
    Ok(())
}

/// What a rank does that was told to `act`.
fn play(act: &str, mpi: &Mpi) -> Result<(), Error> {
    let (mut settings, is_last) = (settings(mpi), mpi.rank() + 1 == mpi.world_size());
    match act {
        "collectives" => return collectives(mpi),
        "another generation" if is_last => settings.meeting.generation = 1,
        "another job" if is_last => settings.meeting.job = "other".into(),
        "encryption" => settings.meeting.encrypt = true,
        "absence" if is_last => std::thread::sleep(PATIENCE),
        _ => {}
    }
    let mut communicator = Communicator::join(&settings)?;
    communicator.allreduce(&mut values(mpi.rank(), 100_000))?;
    match act {
        "silence" if is_last => std::thread::sleep(PATIENCE),
        "abort" if is_last => communicator.abort("the disk is full"),
        "lengths" => return communicator.allreduce(&mut values(0, 5000 + mpi.rank())),
        _ => {}
    }
    communicator.allreduce(&mut values(mpi.rank(), 100_000))
}

/// Does nothing where the tests run.
#[test]
fn rank_process() {
    let Ok(act) = std::env::var(ACT) else { return };
    let mpi = Mpi::start().expect("this process has not started MPI");
    let result = play(&act, &mpi);
    if let Err(error) = &result {
        // In one piece: all ranks write to the same place.
        let line = format!("rank {} says: {error}\n", mpi.rank());
        std::io::stderr().write_all(line.as_bytes()).expect("standard error");
    }
    // It may end this process.
    drop(mpi);
    std::process::exit(i32::from(result.is_err()));
}

/// Lets ranks act; what they leave.
fn act(act: &str, ranks: usize) -> Output {
    let mut command = mpirun(ranks);
    command.arg(std::env::current_exe().expect("a program"));
    command.args(["--exact", "rank_process", "--nocapture"]).env(ACT, act);
    command.output().expect("mpirun")
}

/// Requires that ranks fail together, and that each of `lines` is said by one of them.
#[track_caller]
fn assert_failure(play: &str, ranks: usize, lines: &[&str]) {
    let start = Instant::now();
    let Output { status, stderr, .. } = act(play, ranks);
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(!status.success(), "{play}: {stderr}");
    assert!(start.elapsed() < PATIENCE, "{play}: the ranks waited for the one that slept");
    for line in lines {
        assert!(stderr.contains(line), "{play}: '{line}' in {stderr}");
    }
}

#[test]
fn collectives_have_the_bits_of_the_tree() {
    for ranks in 1..=4 {
        let Output { status, stderr, .. } = act("collectives", ranks);
        assert!(status.success(), "{ranks} ranks: {}", String::from_utf8_lossy(&stderr));
    }
}

#[test]
fn ranks_that_differ_are_named() {
    let generation = "ranks 0 and 2 differ in generation: 0 against 1";
    let all = ["rank 0 says: ", "rank 1 says: ", "rank 2 says: "].map(|who| format!("{who}{generation}"));
    assert_failure("another generation", 3, &all.each_ref().map(String::as_str));
    assert_failure("another job", 2, &["rank 1 says: ranks 0 and 1 differ in job: test against other"]);
    assert_failure("encryption", 2, &["links over MPI cannot be encrypted"]);
}

#[test]
fn a_rank_that_is_late_is_named_and_ends_with_all() {
    let missing = "rank 0 says: rendezvous at MPI_COMM_WORLD: rank 1 did not come within 2 s";
    assert_failure("absence", 2, &[missing]);
    assert_failure("silence", 2, &["rank 0 says: allreduce of bucket ", "rank 1 (MPI) has owed its "]);
}

#[test]
fn all_hear_the_cause_of_a_failure() {
    assert_failure("abort", 3, &["rank 0 says: the disk is full", "rank 1 says: the disk is full"]);
    // Each rank says what it saw itself, or what the other told it.
    let all = ["rank 0 says: ranks ", "rank 1 says: ranks "];
    let calls = ["do not do the same: ", "allreduce of 5000 f32", "allreduce of 5001 f32"];
    assert_failure("lengths", 2, &[&all[..], &calls].concat());
}

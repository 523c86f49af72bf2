//! What becomes of a group when ranks die, stop, give up, leave early, differ, or find no memory.

#![cfg(target_os = "linux")]

mod common;
mod processes;

use common::{ARRANGEMENTS, Arrangement, spawn};
use isograd_comm::{Communicator, Error, Settings, ShardPlan, ShardSum, SharedMemoryError, Shares};
use processes::{End, Group, TIMEOUT, TRANSPORTS, end, say, this_rank};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::time::Duration;

/// Elements of a large vector.
const LARGE: usize = 1 << 20;

/// The processes of the tests below; no test itself.
#[test]
fn rank_process() {
    if let Some((act, settings)) = this_rank() {
        end(run(&act, settings));
    }
}

fn run(act: &str, settings: Settings) -> Result<(), Error> {
    let mut communicator = Communicator::join(&settings)?;
    match act {
        "join" => Ok(()),
        "loop" => sum_forever(&mut communicator),
        "train" => train_forever(&mut communicator),
        "step" => step(&mut communicator, || ()),
        "late step" => step(&mut communicator, || {
            let file = go_ahead(&settings.shared_memory);
            while !file.exists() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }),
        "pause" => {
            communicator.allreduce(&mut [0.0f32; 10])?;
            say("between");
            loop {
                std::thread::park();
            }
        }
        "regroup" => {
            let cause = sum_forever(&mut communicator).expect_err("it has no other end");
            drop(communicator);
            regroup(settings, &cause)
        }
        other => panic!("what is {other:?}?"),
    }
}

/// Large and small sums without end.
fn sum_forever(communicator: &mut Communicator) -> Result<(), Error> {
    let (mut large, mut small) = (vec![1.0f32; LARGE], [1.0f32; 100]);
    for round in 0u64.. {
        communicator.allreduce(&mut large)?;
        communicator.allreduce(&mut small)?;
        large.fill(1.0);
        small.fill(1.0);
        if round == 2 {
            say("looping");
        }
    }
    Ok(())
}

/// Sums over the shards of steps without end.
fn train_forever(communicator: &mut Communicator) -> Result<(), Error> {
    let plan = ShardPlan { buckets: vec![4 * LARGE; 2], nodes: 1, shards: 4, shares: Shares::even(4) };
    let (sum, mut buffers) = ShardSum::<f32>::new(communicator, &plan)?;
    let mut buffers: Vec<_> = buffers.remove(0).into_iter().map(Some).collect();
    let rank = communicator.rank();
    for step in 0u64.. {
        sum.begin(communicator, 4, std::iter::once((rank..rank + 1, 0)))?;
        for (bucket, buffer) in buffers.iter_mut().enumerate() {
            sum.contribute(communicator, bucket, buffer.take().into_iter())?;
        }
        sum.wait(communicator)?;
        sum.finish(communicator, |bucket, _, buffer| buffers[bucket] = Some(buffer));
        if step == 2 {
            say("looping");
        }
    }
    Ok(())
}

/// Two sums, with a moment between them.
fn step(communicator: &mut Communicator, moment: impl FnOnce()) -> Result<(), Error> {
    communicator.allreduce(&mut [0.0f32; 10])?;
    say("between");
    moment();
    communicator.allreduce(&mut vec![0.0f32; LARGE])
}

/// The file that a rank in a "late step" waits for.
fn go_ahead(memory: &Path) -> PathBuf {
    memory.join("go ahead")
}

/// After the loss of rank 1 of three, the others meet again and add up their old numbers.
fn regroup(mut settings: Settings, cause: &Error) -> Result<(), Error> {
    let old = settings.meeting.rank;
    say(&format!("rank {old} goes on: {cause}"));
    settings.meeting.rank = old / 2;
    settings.meeting.world_size = 2;
    settings.meeting.generation += 1;
    let mut communicator = Communicator::join(&settings)?;
    let mut x = vec![old as f64; LARGE];
    communicator.allreduce(&mut x)?;
    assert!(x.iter().all(|x| *x == 2.0), "0 + 2 is {}", x[0]);
    say("sum is right");
    Ok(())
}

/// All ranks do the same.
fn group(world: usize, transport: Arrangement, act: &str) -> Group {
    let mut group = Group::new(world, transport);
    group.start((0..world).map(|rank| (rank, act.to_owned())));
    group
}

/// Expects that all others end in time, with an error that names the lost rank.
fn assert_loss_is_named(mut group: Group, lost: usize, what: &str) {
    for (rank, End { status, last }) in group.ends(2 * TIMEOUT, None) {
        assert_eq!(status.code(), Some(1), "{what}: rank {rank}: {last}");
        let named = last.contains(&format!("lost rank {lost} (")) && last.starts_with("error: ");
        assert!(named, "{what}: rank {rank} of a group that lost rank {lost}: {last}");
    }
    group.assert_nothing_left();
}

#[test]
fn a_rank_killed_in_the_middle_of_a_sum_is_named_by_all() {
    for transport in TRANSPORTS {
        for lost in 0..4 {
            for act in ["loop", "train"] {
                let mut group = group(4, transport, act);
                group.all_say("looping");
                group.signal(lost, Signal::KILL);
                assert_loss_is_named(group, lost, &format!("{transport:?}, {act}"));
            }
        }
    }
}

#[test]
fn a_rank_killed_between_sums_is_named_by_all() {
    for transport in TRANSPORTS {
        for lost in 0..4 {
            let mut group = Group::new(4, transport);
            let act = |rank| if rank == lost { "pause" } else { "step" };
            group.start((0..4).map(|rank| (rank, act(rank).to_owned())));
            group.all_say("between");
            group.signal(lost, Signal::KILL);
            assert_loss_is_named(group, lost, &format!("{transport:?}"));
        }
    }
}

/// Rank 3 does not come, so that the others wait for it.
#[test]
fn a_rank_killed_in_rendezvous_is_named_by_all() {
    for lost in 0..3 {
        let mut group = Group::new(4, Arrangement::Shared);
        group.start((0..3).map(|rank| (rank, "join".to_owned())));
        // A link to rank 0 and a listener; at rank 0 a listener and both links.
        for rank in 0..3 {
            group.has_sockets(rank, if rank == 0 { 3 } else { 2 });
        }
        group.signal(lost, Signal::KILL);
        for (rank, End { status, last }) in group.ends(2 * TIMEOUT, None) {
            assert_eq!(status.code(), Some(1), "rank {rank}: {last}");
            // Whether its information had come or not.
            let other =
                if lost == 0 { "rank 0 did not answer" } else { &format!("ranks {lost} and 3 did not come") };
            let named = last.contains(&format!("rank {lost} (")) || last.contains(other);
            assert!(named, "rank {rank} of a group that lost rank {lost}: {last}");
        }
        // Nobody but rank 0 may take its file away.
        if lost == 0 {
            std::fs::remove_file(group.meeting()).expect("rank 0's file");
        }
        group.assert_nothing_left();
    }
}

/// The message names the rank, the operation, the bucket with its bytes, and the time.
fn assert_silence_is_named(last: &str, stopped: usize, what: &str) {
    let parts =
        ["error: allreduce of bucket ", " bytes): ", &format!("rank {stopped} ("), " has owed ", " for "];
    let mut rest = last;
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("{what}: no {part:?} in {last:?}"));
        rest = &rest[at + part.len()..];
    }
    let waited = rest.split_once(" s").and_then(|(seconds, _)| seconds.parse::<f64>().ok());
    assert!(waited.is_some_and(|waited| waited >= TIMEOUT.as_secs_f64()), "{what}: {last}");
}

#[test]
fn a_stopped_rank_is_named_with_what_it_owes() {
    std::thread::scope(|scope| {
        for transport in TRANSPORTS {
            for in_sum in [true, false] {
                scope.spawn(move || {
                    let stopped = 2;
                    let act = |rank| match (in_sum, rank == stopped) {
                        (true, _) => "loop",
                        (false, true) => "pause",
                        (false, false) => "step",
                    };
                    let mut group = Group::new(4, transport);
                    group.start((0..4).map(|rank| (rank, act(rank).to_owned())));
                    group.all_say(if in_sum { "looping" } else { "between" });
                    group.signal(stopped, Signal::STOP);
                    for (rank, End { status, last }) in group.ends(2 * TIMEOUT, Some(stopped)) {
                        let what = format!("{transport:?}, in the sum: {in_sum}, rank {rank}");
                        assert_eq!(status.code(), Some(1), "{what}: {last}");
                        assert_silence_is_named(&last, stopped, &what);
                    }
                    group.signal(stopped, Signal::KILL);
                    group.assert_nothing_left();
                });
            }
        }
    });
}

#[test]
fn a_job_that_was_suspended_as_a_whole_goes_on() {
    std::thread::scope(|scope| {
        for transport in TRANSPORTS {
            scope.spawn(move || {
                let act = |rank| if rank == 2 { "late step" } else { "step" };
                let mut group = Group::new(4, transport);
                group.start((0..4).map(|rank| (rank, act(rank).to_owned())));
                group.all_say("between");
                // The others are to wait for rank 2 when they are stopped. If one does not wait yet, the test
                // finds less, but does not fail.
                std::thread::sleep(Duration::from_millis(100));
                (0..4).for_each(|rank| group.signal(rank, Signal::STOP));
                std::thread::sleep(2 * TIMEOUT);
                (0..4).for_each(|rank| group.signal(rank, Signal::CONT));
                // Long enough for each to look at the time.
                std::thread::sleep(Duration::from_millis(200));
                let file = go_ahead(&group.memory());
                std::fs::write(&file, "").expect("a file in memory");
                for (rank, End { status, last }) in group.ends(2 * TIMEOUT, None) {
                    assert!(status.success(), "{transport:?}: rank {rank}: {last}");
                }
                std::fs::remove_file(file).expect("it is still there");
                group.assert_nothing_left();
            });
        }
    });
}

#[test]
fn survivors_meet_again_in_the_next_generation() {
    for transport in TRANSPORTS {
        let mut group = group(3, transport, "regroup");
        group.all_say("looping");
        group.signal(1, Signal::KILL);
        for (rank, End { status, last }) in group.ends(4 * TIMEOUT, None) {
            assert!(status.success(), "{transport:?}: rank {rank}: {last}");
            assert_eq!(last, "sum is right", "{transport:?}: rank {rank}");
        }
        group.assert_nothing_left();
    }
}

#[test]
fn an_abort_reaches_all_and_is_the_answer_to_every_later_call() {
    let cause = "rank 2 has no room for the checkpoint";
    for arrangement in ARRANGEMENTS {
        let (joined, passed_on) = (Barrier::new(4), Barrier::new(2));
        spawn(4, arrangement, |mut communicator| {
            joined.wait();
            match communicator.rank() {
                // Rank 0 looks after rank 1 has passed the cause on, and hears still who found it.
                0 => drop(passed_on.wait()),
                2 => communicator.abort(cause),
                _ => (),
            }
            let first =
                communicator.allreduce(&mut [1.0f32; 10]).expect_err("the group is broken").to_string();
            assert_eq!(first, format!("{cause} (rank 2 says)"), "{arrangement:?}");
            if communicator.rank() == 1 {
                passed_on.wait();
            }
            let mut x = vec![0.0f32; LARGE];
            let later = [
                communicator.barrier(),
                communicator.broadcast(&mut x, 1),
                communicator.allgather(&mut x),
                communicator.reduce_scatter(&mut x),
                communicator.allreduce(&mut x),
                communicator.allreduce(&mut x[..5]),
                communicator.allreduce(&mut x[..5]),
            ];
            for result in later {
                assert_eq!(result.expect_err("the group is broken").to_string(), first, "{arrangement:?}");
            }
            Ok(())
        });
    }
}

#[test]
fn vectors_of_different_lengths_are_an_error_at_all_over_tcp() {
    let lengths = [(10, 20), (10, 5000), (1000, 1001), (1000, 300_000), (40_000, 40_016), (300_001, 300_000)];
    for arrangement in [Arrangement::Tcp, Arrangement::Sealed] {
        for (most, one) in lengths {
            let messages = spawn(3, arrangement, |mut communicator| {
                let mut x = vec![1.0f32; if communicator.rank() == 1 { one } else { most }];
                Ok(communicator.allreduce(&mut x).map_err(|error| error.to_string()))
            });
            for message in messages {
                let message = message.expect_err("the lengths differ");
                assert!(message.contains("do not do the same: "), "{most} and {one} elements: {message}");
            }
        }
    }
}

/// More than sockets hold, from a rank that leaves at once and to one that comes late.
#[test]
fn who_has_returned_has_sent_all_it_owes() {
    let values = || (0..16 * LARGE).map(|i| i as f32);
    for arrangement in [Arrangement::Tcp, Arrangement::Sealed, Arrangement::Blocks { size: 1 }] {
        spawn(2, arrangement, |mut communicator| {
            let mut x: Vec<f32> = vec![0.0; 16 * LARGE];
            if communicator.rank() == 0 {
                x.iter_mut().zip(values()).for_each(|(x, value)| *x = value);
            } else {
                std::thread::sleep(Duration::from_millis(200));
            }
            communicator.broadcast(&mut x, 0)?;
            let wrong = x.iter().zip(values()).filter(|(x, value)| **x != *value).count();
            assert_eq!(wrong, 0, "{arrangement:?}: elements of {}", x.len());
            Ok(())
        });
    }
}

/// A command that runs what follows with a small file system in memory at `folder`, which nobody else sees;
/// none if this user may not.
fn with_tmpfs(folder: &Path, options: &str) -> Option<Command> {
    let may = Command::new("unshare").args(["--mount", "mount", "-t", "tmpfs", "none"]).arg(folder).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: only root can mount the file system of this test");
        return None;
    }
    let script = format!("mount -t tmpfs -o {options} none \"$0\" && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).arg(folder);
    command.arg(std::env::current_exe().expect("a program"));
    Some(command)
}

/// What each of four ranks says when rank 1 has a file system with `options` for its shared memory.
fn last_words(act: &str, options: &str) -> Option<[String; 4]> {
    let mut group = Group::new(4, Arrangement::Shared);
    let command = with_tmpfs(&group.memory(), options)?;
    group.spawn(1, act, command);
    group.start([0, 2, 3].map(|rank| (rank, act.to_owned())));
    let ends = group.ends(2 * TIMEOUT, None);
    group.assert_nothing_left();
    assert!(ends.iter().all(|(_, end)| end.status.code() == Some(1)), "{ends:?}");
    ends.into_iter().map(|(_, end)| end.last).collect::<Vec<_>>().try_into().ok()
}

#[test]
fn a_folder_without_room_for_the_group_is_one_clear_error() {
    for (options, why) in
        [("size=64k", " has 65536 bytes free, but this rank needs "), ("ro", "Read-only file system")]
    {
        let Some(last) = last_words("join", options) else { return };
        assert!(last[1].starts_with("error: ") && last[1].contains(" bytes of shared memory"), "{}", last[1]);
        assert!(last[1].contains(why), "{}", last[1]);
        for rank in [0, 2, 3] {
            let missing = format!("rank 1 did not come within {} s", TIMEOUT.as_secs());
            assert!(last[rank].contains(&missing), "rank {rank}: {}", last[rank]);
        }
    }
}

#[test]
fn a_folder_without_room_for_the_buckets_is_one_clear_error_at_all() {
    let Some(last) = last_words("train", "size=8m") else { return };
    for (rank, last) in last.iter().enumerate() {
        assert!(last.contains(" bytes free, but this rank needs "), "rank {rank}: {last}");
        assert!(last.contains("let the ranks use TCP"), "rank {rank}: {last}");
        assert_eq!(last.ends_with(" says)"), rank != 1, "rank {rank}: {last}");
    }
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut settings = common::settings(folder.path(), 0, 2, Arrangement::Shared);
    settings.shared_memory = folder.path().join("nowhere");
    let error = Communicator::join(&settings).map(|_| ()).expect_err("there is no such folder");
    let nowhere = settings.shared_memory;
    assert!(
        matches!(&error, Error::SharedMemory(SharedMemoryError::Refused { folder, .. }) if *folder == nowhere),
        "{error}"
    );
    assert!(error.to_string().contains("No such file or directory"), "{error}");
}

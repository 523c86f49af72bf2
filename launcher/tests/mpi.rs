//! Ranks that `mpirun` starts and that exchange data over MPI: they have the bits of one process, and when
//! one rank fails, all end.

mod common;
#[path = "../../comm/tests/mpirun/mod.rs"]
mod mpirun;

use common::{Outcome, damaged_run, hash, isograd, lines, words};
use mpirun::mpirun;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const RUN: &str = "train --dataset synthetic --global-batch-size 54 --shard-size 10 --steps 30 --hash";

/// The command that starts the program on this number of ranks.
fn ranks(ranks: usize, options: &str) -> Command {
    let mut command = mpirun(ranks);
    command.arg(env!("CARGO_BIN_EXE_isograd")).args(words(options)).args(["--transport", "mpi"]);
    command
}

fn run(mut command: Command) -> Outcome {
    let output = command.output().expect("mpirun");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Outcome { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

#[test]
fn ranks_have_the_bits_of_one_process() {
    let expected = hash(&isograd(&words(RUN)));
    for (count, options) in [
        (1, ""),
        (2, ""),
        (3, "--bucket-bytes 1000"),
        (4, "--bucket-bytes 4000000 --threads 2"),
        (3, "--no-overlap --shards-per-rank 5,0,1"),
        // A host's name, so that the ranks share memory: all ranks are on this host.
        (2, "--host-name a"),
    ] {
        assert_eq!(hash(&run(ranks(count, &format!("{RUN} {options}")))), expected, "{count}: {options}");
    }
}

#[test]
fn ranks_that_differ_are_named() {
    let program = env!("CARGO_BIN_EXE_isograd");
    let mut command = ranks(1, RUN);
    command.args([":", "-np", "1", program]).args(words(RUN)).args(words("--transport mpi --seed 7"));
    let outcome = run(command);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let difference = "ranks 0 and 1 differ in the seed: 0 against 7";
    let told = format!("{difference} (rank 0 says)");
    for (rank, line) in [("rank 0: ", difference), ("rank 1: ", &told)] {
        let said = lines(&outcome.stderr, &format!("error: {rank}"));
        assert_eq!(said, [line], "{outcome:?}");
    }
}

#[test]
fn plain_variables_and_mpirun_must_agree() {
    let mut command = ranks(1, RUN);
    command.envs([("RANK", "1"), ("WORLD_SIZE", "2")]);
    let outcome = run(command);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome.stderr.contains("error: contradictory variables: RANK=1 WORLD_SIZE=2, but "),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("unset RANK WORLD_SIZE"), "{outcome:?}");
}

#[test]
fn a_failure_of_one_rank_ends_all_with_its_cause() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = damaged_run(folder.path());
    let outcome = run(ranks(3, &format!("train {options}")));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("error: rank 0: --resume"), "{outcome:?}");
    for rank in [1, 2] {
        let said = lines(&outcome.stderr, &format!("error: rank {rank}: "));
        assert!(said.iter().any(|line| line.ends_with("(rank 0 says)")), "{outcome:?}");
    }
}

#[test]
fn nobody_waits_for_a_rank_that_cannot_come() {
    let mut command = ranks(1, "train --dataset synthetic --timeout 1000");
    let other = "train --dataset-train-path /nowhere --transport mpi";
    command.args([":", "-np", "1", env!("CARGO_BIN_EXE_isograd")]).args(words(other));
    let (code, stderr) = end(command.spawn().expect("mpirun"));
    assert_ne!(code, Some(0), "{stderr}");
    assert!(stderr.contains("error: rank 1: --dataset-train-path: "), "{stderr}");
}

/// The processes that have `word` in their environment.
fn processes_with(word: &str) -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc").expect("the processes").filter_map(|entry| {
        let number = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let environment = std::fs::read(format!("/proc/{number}/environ")).ok()?;
        environment.split(|byte| *byte == 0).any(|variable| variable == word.as_bytes()).then_some(number)
    });
    numbers.collect()
}

/// Waits for longer than `child` can take, and gives its exit code and what it wrote to its standard error.
fn end(mut child: Child) -> (Option<i32>, String) {
    let start = Instant::now();
    let status = loop {
        match child.try_wait().expect("a child of this process") {
            Some(status) => break status,
            None if start.elapsed() > Duration::from_secs(60) => panic!("mpirun has not ended"),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let mut stderr = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
    (status.code(), stderr)
}

#[test]
#[cfg(target_os = "linux")]
fn a_rank_that_is_killed_or_stopped_leaves_nothing() {
    for (signal, cause) in [("-KILL", None), ("-STOP", Some("rank 1 (MPI) has owed "))] {
        // All processes of this run have this variable in their environment, and no other processes do.
        let (name, value) = ("ISOGRAD_TEST_MARK", format!("{}{signal}", std::process::id()));
        let mut command = ranks(3, "train --dataset synthetic --epochs 100000 --timeout 10");
        let mut mpirun = command.env(name, &value).spawn().expect("mpirun");
        // Training is under way when the first epoch is reported.
        let mut stdout = BufReader::new(mpirun.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while !line.starts_with("epoch 1/") {
            line.clear();
            assert_ne!(stdout.read_line(&mut line).expect("output"), 0, "it ended early");
        }
        let reader = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let all = || processes_with(&format!("{name}={value}"));
        let is_second = |number: &u32| {
            let second = ["OMPI_COMM_WORLD_RANK=1", "PMI_RANK=1"].map(processes_with);
            second.iter().flatten().any(|other| other == number)
        };
        let victim = all().into_iter().find(is_second).expect("rank 1 is running");
        let kill = Command::new("kill").args([signal, &victim.to_string()]).status().expect("kill");
        assert!(kill.success());
        let (code, stderr) = end(mpirun);
        assert_ne!(code, Some(0), "{stderr}");
        assert!(cause.is_none_or(|cause| stderr.contains(cause)), "'{cause:?}' in {stderr}");
        let start = Instant::now();
        while !all().is_empty() {
            assert!(start.elapsed() < Duration::from_secs(30), "{:?} are left", all());
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = reader.join();
    }
}

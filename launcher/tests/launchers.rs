//! Ranks that programs other than isograd start, by the variables that they set.

mod common;

use common::{Outcome, hash, words};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const RUN: &str = "train --dataset synthetic --global-batch-size 54 --shard-size 10 --steps 12 --hash";

/// No wait of a test is longer unless something hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// `isograd OPTIONS` with such variables.
fn start(options: &str, variables: &[(&str, &str)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isograd"));
    command.args(words(options)).envs(variables.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

fn outcome(child: Child) -> Outcome {
    let Output { status, stdout, stderr } = child.wait_with_output().expect("a child of this process");
    let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
    Outcome { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

#[test]
fn variables_of_a_pod_do_not_make_each_rank_of_a_launcher_the_only_one() {
    let pod = [("RANK", "0"), ("WORLD_SIZE", "1")];
    let folder = tempfile::tempdir().expect("a folder");
    let save = folder.path().join("x.st");
    let run = format!("train --dataset synthetic --steps 1 --save {}", save.display());
    for (launcher, who) in [
        ([("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2"), ("X", "")], "Open MPI"),
        ([("PMI_RANK", "1"), ("PMI_SIZE", "2"), ("X", "")], "PMI"),
        ([("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2")], "Slurm"),
        ([("FLUX_TASK_RANK", "1"), ("FLUX_JOB_SIZE", "2"), ("X", "")], "Flux"),
    ] {
        let refused = outcome(start(&run, &[&pod[..], &launcher].concat()));
        assert_eq!(refused.code, Some(1), "{refused:?}");
        for part in
            ["error: contradictory variables: RANK=0 WORLD_SIZE=1, but ", who, "unset RANK WORLD_SIZE"]
        {
            assert!(refused.stderr.contains(part), "'{part}' in {}", refused.stderr);
        }
    }
    assert!(!save.exists());
}

#[test]
fn an_agent_inside_another_launcher_starts_its_own_ranks() {
    let outer =
        [("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "1"), ("TORCHELASTIC_RUN_ID", "none")];
    let alone = hash(&outcome(start(RUN, &[])));
    assert_eq!(hash(&outcome(start(&format!("local -n 2 {RUN}"), &outer))), alone);
}

/// What `torchrun` sets for a rank of two.
fn torchrun<'a>(rank: &'a str, local: [(&'a str, &'a str); 2], port: &'a str) -> Vec<(&'a str, &'a str)> {
    let numbers = [("RANK", rank), ("WORLD_SIZE", "2"), ("GROUP_RANK", "0"), ("ROLE_RANK", rank)];
    let master = [("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port), ("TORCHELASTIC_RESTART_COUNT", "0")];
    let store = [("TORCHELASTIC_RUN_ID", "none"), ("TORCHELASTIC_USE_AGENT_STORE", "True")];
    [&numbers[..], &local, &master, &store].concat()
}

#[test]
fn ranks_of_torchrun_on_one_host_need_no_key_and_no_port() {
    // As torchrun's own store does.
    let store = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = store.local_addr().expect("an address").port().to_string();
    let start = |rank| start(RUN, &torchrun(rank, [("LOCAL_RANK", rank), ("LOCAL_WORLD_SIZE", "2")], &port));
    let ranks = ["0", "1"].map(start).map(outcome);
    assert_eq!(hash(&ranks[0]), hash(&outcome(crate::start(RUN, &[]))));
    assert_eq!(ranks[1].code, Some(0), "{:?}", ranks[1]);

    // Two hosts: rank 0 finds the port taken.
    let local = [("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1")];
    let keyless = outcome(crate::start(RUN, &torchrun("0", local, &port)));
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    let made = outcome(crate::start(&format!("keygen {}", key.display()), &[]));
    assert_eq!(made.code, Some(0), "{made:?}");
    let taken =
        outcome(crate::start(&format!("{RUN} --key-file {}", key.display()), &torchrun("0", local, &port)));
    for (outcome, part) in [(&keyless, "need a key"), (&taken, "error: rank 0: rendezvous at 127.0.0.1:")] {
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        for part in [part, "torchrun itself listens at", "env MASTER_PORT=PORT"] {
            assert!(outcome.stderr.contains(part), "'{part}' in {}", outcome.stderr);
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_rank_that_is_asked_to_end_while_it_waits_leaves_no_meeting_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let count = |folder: &Path| std::fs::read_dir(folder).expect("a folder").count();
    for run in [RUN, "bench comm"] {
        let path = folder.path().to_str().expect("a name in UTF-8");
        let rank = start(run, &[("RANK", "0"), ("WORLD_SIZE", "2"), ("XDG_RUNTIME_DIR", path)]);
        let since = Instant::now();
        while count(folder.path()) == 0 {
            assert!(since.elapsed() < LIMIT, "{run}: no meeting file");
            std::thread::sleep(Duration::from_millis(5));
        }
        let asked = Command::new("kill").args(["-TERM", &rank.id().to_string()]).status().expect("kill");
        assert!(asked.success());
        let ended = outcome(rank);
        assert_eq!(ended.code, Some(143), "{run}: {ended:?}");
        assert!(ended.stderr.contains("stopped by SIGTERM"), "{run}: {ended:?}");
        assert_eq!(count(folder.path()), 0, "{run}");
    }
}

/// What Flux sets for a rank of two, with the meeting file in `folder`.
fn flux<'a>(rank: &'a str, nodes: &'a str, job: &'a str, folder: &'a Path) -> Vec<(&'a str, &'a str)> {
    let folder = folder.to_str().expect("a name in UTF-8");
    let numbers = [("FLUX_TASK_RANK", rank), ("FLUX_JOB_SIZE", "2"), ("FLUX_TASK_LOCAL_ID", rank)];
    let job = [("FLUX_JOB_ID", job), ("FLUX_JOB_NNODES", nodes), ("XDG_RUNTIME_DIR", folder)];
    [numbers, job].concat()
}

#[test]
fn ranks_of_flux_meet_on_one_host_and_ask_for_a_place_on_several() {
    let folder = tempfile::tempdir().expect("a folder");
    let ranks = ["0", "1"].map(|rank| start(RUN, &flux(rank, "1", "f1", folder.path()))).map(outcome);
    assert_eq!(hash(&ranks[0]), hash(&outcome(start(RUN, &[]))));
    assert_eq!(ranks[1].code, Some(0), "{:?}", ranks[1]);
    let several = outcome(start(RUN, &flux("0", "2", "f2", folder.path())));
    assert_eq!(several.code, Some(2), "{several:?}");
    assert!(several.stderr.contains("ranks on several hosts need a place to meet"), "{several:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn the_meeting_file_of_a_killed_rank_is_removed_by_the_next_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = || std::fs::read_dir(folder.path()).expect("a folder");
    let count = || files().count();
    // An empty file is none yet, and stays if its rank is killed before it writes.
    let is_written =
        || files().any(|file| file.and_then(|file| file.metadata()).is_ok_and(|file| file.len() > 0));
    let mut killed = start(RUN, &flux("0", "1", "killed", folder.path()));
    let since = Instant::now();
    while !is_written() {
        assert!(since.elapsed() < LIMIT, "no meeting file");
        std::thread::sleep(Duration::from_millis(5));
    }
    killed.kill().and_then(|()| killed.wait()).expect("a child of this process");
    assert_eq!(count(), 1, "nobody was there to remove it");
    let ranks = ["0", "1"].map(|rank| start(RUN, &flux(rank, "1", "next", folder.path()))).map(outcome);
    assert!(ranks.iter().all(|rank| rank.code == Some(0)), "{ranks:?}");
    assert_eq!(count(), 0);
}

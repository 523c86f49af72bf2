//! `isograd slurm`, and ranks that Slurm starts, in a real Slurm.

mod cluster;
#[path = "../common/mod.rs"]
mod common;

use cluster::Cluster;
use common::{Outcome, isograd, lines, words};
use std::fs;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_isograd");
/// A run that ends soon.
const RUN: &str = "train --dataset synthetic --global-batch-size 54 --shard-size 10 --steps 12 --hash";
/// A run that does not end by itself.
const ENDLESS: &str =
    "train --dataset synthetic --model simplemlp --global-batch-size 600 --shard-size 50 --epochs 1000000";

fn run(mut command: Command) -> Outcome {
    let output = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The hashes in what a run has printed.
fn hashes(text: &str) -> Vec<&str> {
    lines(text, "params: sha256:")
}

/// Runs `isograd slurm` on the first node and gives the number of the job that it has submitted.
#[track_caller]
fn submit(cluster: &Cluster, options: &str, command: &str) -> String {
    let mut isograd = cluster.command(PROGRAM);
    isograd.arg("slurm").args(words(options)).arg("--submit").args(words(command));
    let outcome = run(isograd);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{outcome:?}");
    match lines(&outcome.stdout, "Submitted batch job ").as_slice() {
        [job] => (*job).to_string(),
        found => panic!("{found:?} in {outcome:?}"),
    }
}

/// What a job has printed.
fn output(cluster: &Cluster, job: &str) -> String {
    fs::read_to_string(cluster.folder().join(format!("slurm-{job}.out"))).unwrap_or_default()
}

/// The names of files with a key in `folder`.
fn keys(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.contains("key")).collect()
}

/// The processes of the cluster that run the program.
fn ranks(cluster: &Cluster) -> Vec<u32> {
    let runs_it = |process: &u32| {
        fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|program| program == Path::new(PROGRAM))
    };
    cluster.processes().into_iter().filter(runs_it).collect()
}

#[test]
fn ranks_of_srun_on_one_node_have_the_bits_of_one_process() {
    let Some(cluster) = Cluster::start() else { return };
    let expected = isograd(&words(RUN));
    for count in ["1", "3"] {
        let mut srun = cluster.command("srun");
        srun.args(["--nodes", "1", "--ntasks", count, PROGRAM]).args(words(RUN));
        let outcome = run(srun);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert_eq!(hashes(&outcome.stdout), hashes(&expected.stdout), "{count}: {outcome:?}");
    }
    assert_eq!(cluster.shared_memory(), [""; 0].map(Path::new));
}

#[test]
fn a_submitted_script_trains_on_two_nodes_and_removes_its_key() {
    let Some(cluster) = Cluster::start() else { return };
    let job = submit(&cluster, "--nodes 2 --tasks-per-node 2 --cpus-per-task 2", RUN);
    let state = cluster.last_state(&job);
    let output = output(&cluster, &job);
    assert_eq!(state, "COMPLETED", "{output}");
    let expected = isograd(&words(RUN));
    assert_eq!((hashes(&output), hashes(&output).len()), (hashes(&expected.stdout), 1), "{output}");
    let count: Vec<&str> = lines(&output, "ranks:").iter().map(|count| count.trim()).collect();
    assert_eq!(count, ["4"], "{output}");
    assert_eq!(keys(&cluster.folder()), [""; 0]);
    assert_eq!(cluster.shared_memory(), [""; 0].map(Path::new));
}

#[test]
fn a_workflow_trains_on_two_nodes() {
    let Some(cluster) = Cluster::start() else { return };
    let file = cluster.folder().join("small.yaml");
    let text = "workflow:\n  - getter: {dataset: synthetic}\n  - trainer: {global_batch_size: 54, shard_size: 10, steps: 12, hash: true}\n";
    fs::write(&file, text).expect("a file");
    let results = cluster.folder().join("results");
    let job =
        submit(&cluster, "--nodes 2", &format!("run {} --results {}", file.display(), results.display()));
    let state = cluster.last_state(&job);
    let output = output(&cluster, &job);
    assert_eq!(state, "COMPLETED", "{output}");
    let expected = isograd(&words(RUN));
    assert_eq!((hashes(&output), hashes(&output).len()), (hashes(&expected.stdout), 1), "{output}");
    assert_eq!(lines(&output, "== trainer: done in ").len(), 1, "{output}");
}

#[test]
fn a_cancelled_job_leaves_nothing_behind() {
    let Some(cluster) = Cluster::start() else { return };
    let job = submit(&cluster, "--nodes 2", ENDLESS);
    cluster.wait_until("trained an epoch", || !lines(&output(&cluster, &job), "epoch 1/").is_empty());
    assert_eq!(keys(&cluster.folder()), [format!(".isograd-key-{job}")]);
    assert_eq!(ranks(&cluster).len(), 2);
    cluster.text("scancel", &[&job]);
    assert_eq!(cluster.last_state(&job), "CANCELLED", "{}", output(&cluster, &job));
    // Slurm says so before the last process of a job has ended.
    cluster.wait_until("rid of the ranks", || ranks(&cluster).is_empty());
    cluster.wait_until("rid of the key", || keys(&cluster.folder()).is_empty());
    assert_eq!(cluster.shared_memory(), [""; 0].map(Path::new));
}

#[test]
fn a_job_whose_ranks_fail_fails_and_removes_its_key() {
    let Some(cluster) = Cluster::start() else { return };
    let job = submit(&cluster, "--nodes 2", "train --dataset-train-path /nowhere");
    let state = cluster.last_state(&job);
    let output = output(&cluster, &job);
    assert_eq!(state, "FAILED", "{output}");
    // Either rank may fail first, and Slurm then ends the other one.
    let is_told = |rank| output.contains(&format!("error: rank {rank}: --dataset-train-path: "));
    assert!((0..2).any(is_told), "{output}");
    assert_eq!(keys(&cluster.folder()), [""; 0]);
}

#[test]
fn what_sbatch_refuses_is_no_success() {
    let Some(cluster) = Cluster::start() else { return };
    let mut isograd = cluster.command(PROGRAM);
    isograd.args(["slurm", "--partition", "nowhere", "--submit"]).args(words(RUN));
    let refused = run(isograd);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("invalid partition specified: nowhere"), "{refused:?}");
    let last = refused.stderr.lines().last();
    assert_eq!(last, Some("error: --submit: sbatch: it ended with exit status: 1"), "{refused:?}");
}

#[test]
fn without_slurm_a_script_cannot_be_submitted() {
    let mut command = Command::new(PROGRAM);
    command.args(["slurm", "--submit"]).args(words(RUN)).env("PATH", "/nowhere");
    let refused = run(command);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    assert!(refused.stderr.starts_with("error: --submit: sbatch: "), "{refused:?}");
}

#[test]
fn a_command_that_ranks_do_not_know_makes_no_script() {
    let typo = isograd(&["slurm", "trian"]);
    assert_eq!((typo.code, typo.stdout.as_str()), (Some(2), ""), "{typo:?}");
    assert!(typo.stderr.contains("did you mean 'train'?"), "{typo:?}");
}

#[test]
fn a_script_is_printed_or_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let slurm = |options: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(["slurm", "--partition", "cpu"]).args(options).args(words(RUN));
        command.current_dir(folder.path());
        run(command)
    };
    let printed = slurm(&[]);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    assert!(printed.stdout.contains("\n#SBATCH --partition=cpu\n"), "{}", printed.stdout);
    let written = slurm(&["--script", "job.sh"]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""), "{written:?}");
    let script = fs::read_to_string(folder.path().join("job.sh")).expect("the script");
    assert_eq!(script, printed.stdout);
    let unwritable = slurm(&["--script", "/dev/null/x"]);
    assert!(unwritable.stderr.starts_with("error: --script /dev/null/x: cannot write: "), "{unwritable:?}");
}

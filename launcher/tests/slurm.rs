//! The batch script, run by a shell with stand-ins for Slurm's programs: they set the variables that Slurm sets.

mod common;

use common::{Outcome, isograd, lines};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const RUN: [&str; 8] =
    ["train", "--dataset", "synthetic", "--global-batch-size", "54", "--steps", "3", "--hash"];

fn program(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a mode");
}

/// Programs in `folder` that do what Slurm's do for two ranks on this machine.
fn stand_ins(folder: &Path) {
    program(folder, "scontrol", "[ \"$1 $2 $3\" = \"show hostnames nodes\" ] && echo 127.0.0.1");
    let job = 100_000 + std::process::id();
    program(folder, "sbatch", &format!("SLURM_JOB_ID={job} SLURM_JOB_NODELIST=nodes exec sh -s"));
    let rank = "SLURM_PROCID=$rank SLURM_NTASKS=2 SLURM_LOCALID=$rank SLURM_STEP_ID=0 SLURM_STEP_NUM_NODES=2";
    program(
        folder,
        "srun",
        &format!(
            "[ \"$1 $2\" = '--kill-on-bad-exit=1 --cpus-per-task=1' ] || exit 9\nshift 2\nfor rank in 0 1; do {rank} \"$@\" & done\nwait"
        ),
    );
}

fn slurm(folder: &Path, options: &[&str]) -> Outcome {
    let path = std::env::var("PATH").expect("a path");
    let mut command = Command::new(env!("CARGO_BIN_EXE_isograd"));
    command.arg("slurm").args(options).args(RUN).current_dir(folder);
    let output =
        command.env("PATH", format!("{}:{path}", folder.display())).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_submitted_script_trains_and_removes_its_key() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    stand_ins(folder.path());
    let submitted = slurm(folder.path(), &["--nodes", "2", "--cpus-per-task", "1", "--submit"]);
    assert_eq!(submitted.code, Some(0), "{submitted:?}");
    let expected = isograd(&RUN);
    let hash = lines(&expected.stdout, "params: ");
    assert_eq!((lines(&submitted.stdout, "params: "), hash.len()), (hash, 1), "{submitted:?}");
    assert_eq!(lines(&submitted.stdout, "ranks: ").len(), 1);
    assert_eq!(keys(folder.path()), [""; 0]);
}

/// The names of keys in a folder.
fn keys(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.contains("key")).collect()
}

#[test]
fn a_job_that_is_cancelled_removes_its_key() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    stand_ins(folder.path());
    // Slurm signals the script, and the step that runs in it.
    program(folder.path(), "srun", "ls -a | grep key > seen\nkill -TERM $PPID");
    let cancelled = slurm(folder.path(), &["--submit"]);
    assert_eq!(cancelled.code, Some(1), "{cancelled:?}");
    let seen = std::fs::read_to_string(folder.path().join("seen")).expect("srun ran");
    assert!(seen.starts_with(".isograd-key-"), "{seen}");
    assert_eq!(keys(folder.path()), [""; 0]);
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
    let printed = slurm(folder.path(), &["--partition", "cpu"]);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    assert!(printed.stdout.contains("\n#SBATCH --partition=cpu\n"), "{}", printed.stdout);
    let written = slurm(folder.path(), &["--partition", "cpu", "--script", "job.sh"]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""), "{written:?}");
    let script = std::fs::read_to_string(folder.path().join("job.sh")).expect("the script");
    assert_eq!(script, printed.stdout);
}

#[test]
fn without_slurm_a_script_cannot_be_submitted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    program(folder.path(), "sbatch", "cat > /dev/null; exit 3");
    let refused = slurm(folder.path(), &["--submit"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(refused.stderr, "error: --submit: sbatch: it ended with exit status: 3\n");
    let unwritable = slurm(folder.path(), &["--script", "/dev/null/x"]);
    assert!(unwritable.stderr.starts_with("error: --script /dev/null/x: cannot write: "), "{unwritable:?}");
}

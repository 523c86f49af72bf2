//! `isograd ssh` and `isograd hosts` on real hosts, as far as one machine has them: network namespaces with
//! an SSH server each.

#[path = "../common/mod.rs"]
mod common;
mod copies;
mod ends;
mod experiments;
mod job;
mod logins;
mod losses;
mod network;
mod options;
mod runs;
#[path = "../common/sshd.rs"]
#[allow(dead_code, reason = "other tests include it too, and use more of it")]
mod sshd;

use common::{Outcome, lines};

/// A run that ends soon.
const RUN: &str = "train --dataset synthetic --global-batch-size 54 --shard-size 10 --steps 30 --hash";
/// One that does not end by itself, with short epochs.
const ENDLESS: &str =
    "train --dataset synthetic --model simplemlp --global-batch-size 600 --shard-size 50 --epochs 1000000";

/// The hash that a run of all ranks has printed, after the label of rank 0.
#[track_caller]
fn hash(outcome: &Outcome) -> String {
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let found: Vec<&str> = outcome
        .stdout
        .lines()
        .filter_map(|line| line.split_once("params: sha256:"))
        .map(|(_, hash)| hash)
        .collect();
    assert_eq!(found.len(), 1, "{outcome:?}");
    found[0].to_string()
}

/// Requires the exit code, one `error:` line of the launcher, and that standard error has all of `parts`.
#[track_caller]
fn assert_error(outcome: &Outcome, code: i32, parts: &[&str]) {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    assert_eq!(lines(&outcome.stderr, "error: ").len(), 1, "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    for part in parts {
        assert!(outcome.stderr.contains(part), "'{part}' in {}", outcome.stderr);
    }
}

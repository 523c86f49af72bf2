//! How jobs end: by a rank that fails, by a signal.

use crate::common::{damaged_run, isograd};
use crate::job::signal;
use crate::network::{Network, read_of, sha256};
use crate::{ENDLESS, assert_error};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The process of a rank.
fn rank(network: &Network, host: usize, rank: u32) -> u32 {
    let variable = format!("RANK={rank}");
    let is_it = |id: &u32| read_of(*id, "environ").split(' ').any(|word| word == variable);
    network.processes_of(host).into_iter().find(is_it).expect("the rank is running")
}

/// A library with which a program ends with exit code 7 when it is sent SIGALRM, and writes where nothing is
/// upon SIGUSR1.
fn faults(network: &Network) -> PathBuf {
    let source = network.file(
        "faults.c",
        "#include <signal.h>\n#include <unistd.h>\n\
         static void leave(int number) { (void)number; _exit(7); }\n\
         static void crash(int number) { *(volatile int *)0 = number; }\n\
         __attribute__((constructor)) static void prepare(void) { signal(SIGALRM, leave); signal(SIGUSR1, crash); }\n",
    );
    let library = source.with_extension("so");
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(made.expect("cc").success());
    library
}

#[test]
fn the_first_rank_that_fails_is_the_cause() {
    let Some(network) = Network::of(3) else { return };
    let library = format!("slots=2 env.LD_PRELOAD={}", faults(&network).display());
    let hosts = network.hostfile(&[library.as_str(); 3]);
    let run = |name| {
        format!("--hostfile {} --output {} {ENDLESS}", hosts.display(), network.folder().join(name).display())
    };
    for (victim, name, code, words) in [
        (3, "-USR1", 128 + 11, "signal 11 (SIGSEGV)"),
        (5, "-ALRM", 7, "exit status 7"),
        (0, "-KILL", 128 + 9, "signal 9 (SIGKILL)"),
    ] {
        let mut job = network.begin(&run(name));
        job.wait_for_training();
        signal(name, rank(&network, victim as usize / 2, victim));
        let outcome = job.end();
        let host = network.name(victim as usize / 2);
        let line = format!("error: rank {victim} on {host} ended with {words}");
        let row = format!("   {victim}  {host}  {words}\n");
        assert_error(&outcome, code, &[&line, "rank  host       end\n", &row]);
        let rows =
            outcome.stderr.lines().filter(|line| line.starts_with("   ") && line.contains("  10.77.0."));
        assert_eq!(rows.count(), 6, "{}", outcome.stderr);
        network.assert_nothing_but(&[].into());
    }
}

#[test]
fn a_rank_that_fails_says_why() {
    let Some(network) = Network::of(2) else { return };
    // The first rank alone reads checkpoints.
    let options = damaged_run(network.folder());
    let hosts = format!("-H {}:1,{}:1", network.name(0), network.name(1));
    let damaged = network.ssh(&format!("{hosts} train {options}"));
    let reason = "[0@10.77.0.1] error: rank 0: --resume";
    assert_error(
        &damaged,
        1,
        &[reason, "error: rank 0 on 10.77.0.1 ended with exit status 1", "the last lines of rank 0:\n"],
    );
    // The launcher reads the command itself, before any rank does.
    assert_error(&network.ssh(&format!("{hosts} train --stepz 2")), 2, &["'--stepz'"]);
    network.assert_nothing_but(&[].into());
}

/// The step after which rank 0 said that it stopped; the others, which stop for the same reason, say nothing.
#[track_caller]
fn stopped_after(output: &Path, name: &str) -> u64 {
    let said = |rank| fs::read_to_string(output.join(format!("rank.{rank}/stderr"))).expect("a file");
    assert_eq!([said(1), said(2), said(3)], ["", "", ""]);
    let (said, words) = (said(0), format!("rank 0: stopped by {name} after step "));
    let (_, rest) = said.split_once(&words).unwrap_or_else(|| panic!("'{words}' in {said}"));
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next().expect("a number");
    digits.parse().unwrap_or_else(|_| panic!("{said}"))
}

#[test]
fn a_signal_ends_all_ranks_after_the_same_step() {
    let Some(network) = Network::of(3) else { return };
    let hosts = network.hostfile(&["slots=2", "slots=1", "slots=1"]);
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let [all, one, output] =
            ["all", "one", "output"].map(|what| network.folder().join(format!("{what}-{name}")));
        let mut job = network.begin(&format!(
            "--hostfile {} --output {} {ENDLESS} --save {}",
            hosts.display(),
            output.display(),
            all.display()
        ));
        job.wait_for_training();
        job.signal(&format!("-{name}"));
        let outcome = job.end();
        assert_error(&outcome, 128 + number, &[&format!("error: stopped by SIG{name}")]);
        let steps = stopped_after(&output, &format!("SIG{name}"));
        let args = format!("{ENDLESS} --steps {steps} --save {}", one.display());
        let alone = isograd(&args.split_whitespace().collect::<Vec<_>>());
        assert_eq!(alone.code, Some(0), "{alone:?}");
        assert_eq!(sha256(&all), sha256(&one), "{name} after step {steps}");
        network.assert_nothing_but(&[].into());
    }
}

#[test]
fn the_second_signal_ends_a_job_at_once() {
    let Some(network) = Network::of(2) else { return };
    let mut job = network.begin(&format!("-H {}:2,{}:1 {ENDLESS}", network.name(0), network.name(1)));
    job.wait_for_training();
    // A rank that does not run does not end after its step.
    signal("-STOP", rank(&network, 1, 2));
    job.signal("-INT");
    job.wait_until("it says what it does", |_, stderr| stderr.contains("a second signal stops at once"));
    job.signal("-INT");
    assert_error(&job.end(), 130, &["error: stopped by SIGINT"]);
    network.assert_nothing_but(&[].into());
}

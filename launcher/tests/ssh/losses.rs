//! Whatever dies, nothing of its job is left, and nothing else is touched.

use crate::common::Outcome;
use crate::job::{Job, signal};
use crate::network::{Network, read_of};
use crate::{ENDLESS, assert_error};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::Duration;

/// The place behind the three hosts.
const LAUNCHER: usize = 3;

/// What must not be touched: a process on a host, and another job of the same user on two.
struct Bystanders {
    sleep: Job,
    job: Job,
    ids: BTreeSet<u32>,
}

impl Bystanders {
    fn start(network: &Network) -> Self {
        let sleep = network.inside(0, &["sleep", "1000"]);
        let mut job =
            network.begin(&format!("-H {}:1,{}:1 {ENDLESS} --threads 1", network.name(0), network.name(1)));
        job.wait_for_training();
        Self { sleep, job, ids: network.processes() }
    }

    /// They are well, and end when they are told to.
    fn end(self, network: &Network) {
        network.assert_nothing_but(&self.ids);
        self.job.signal("-INT");
        assert_error(&self.job.end(), 130, &["stopped by SIGINT"]);
        drop(self.sleep);
        network.assert_nothing_but(&BTreeSet::new());
    }
}

/// The agent of the job on a host, beside which `others` run.
fn agent(network: &Network, host: usize, others: &BTreeSet<u32>) -> u32 {
    let is_agent = |id: &&u32| read_of(**id, "cmdline").contains(" agent");
    let processes = network.processes_of(host);
    *processes.difference(others).find(is_agent).expect("the agent is running")
}

/// Starts a job on all three hosts and at the launcher, which trains when this returns.
#[track_caller]
fn begin(network: &Network) -> Job {
    let lines = [0, 1, 2].map(|host| format!("{} slots={}\n", network.name(host), 1 + host / 2));
    let hosts = network.file("hosts", &format!("{}localhost slots=1\n", lines.concat()));
    let mut job = network.begin(&format!("--hostfile {} {ENDLESS}", hosts.display()));
    job.wait_for_training();
    job
}

/// Starts a job, does something to it, and returns how it ended. Nothing of it is left.
#[track_caller]
fn lose(network: &Network, others: &BTreeSet<u32>, blow: impl FnOnce(&Job)) -> Outcome {
    let job = begin(network);
    blow(&job);
    network.assert_nothing_but(others);
    job.end()
}

#[test]
fn a_killed_launcher_agent_or_rank() {
    let Some(network) = Network::of(3) else { return };
    let bystanders = Bystanders::start(&network);
    let others = &bystanders.ids;

    let launcher = lose(&network, others, |job| job.signal("-KILL"));
    assert_eq!(launcher.code, None, "{launcher:?}");

    for (place, host, row) in [
        (2, "10.77.0.3", "   3  10.77.0.3  lost with its host\n"),
        (LAUNCHER, "localhost", "   4  localhost  lost with its host\n"),
    ] {
        let outcome = lose(&network, others, |_| signal("-KILL", agent(&network, place, others)));
        assert_error(&outcome, 1, &[&format!("error: host {host}: "), row]);
    }

    let outcome = lose(&network, others, |_| {
        let is_rank = |id: &&u32| read_of(**id, "environ").contains(" RANK=1 ");
        let processes = network.processes_of(1);
        signal("-KILL", *processes.difference(others).find(is_rank).expect("the rank is running"));
    });
    assert_error(&outcome, 137, &["error: rank 1 on 10.77.0.2 ended with signal 9 (SIGKILL)"]);
    bystanders.end(&network);
}

#[test]
fn a_host_or_a_launcher_that_falls_silent() {
    let Some(network) = Network::of(3) else { return };
    let bystanders = Bystanders::start(&network);
    let others = &bystanders.ids;
    let silent = "error: host 10.77.0.3: it gave no sign of life for 15 s";

    // What is stopped cannot end; it does when it goes on.
    let job = begin(&network);
    let victim = agent(&network, 2, others);
    signal("-STOP", victim);
    network.assert_nothing_but(&(others | &BTreeSet::from([victim])));
    assert_error(&job.end(), 1, &[silent, "   2  10.77.0.3  lost with its host\n"]);
    signal("-CONT", victim);
    network.assert_nothing_but(others);

    let job = begin(&network);
    job.signal("-STOP");
    network.assert_nothing_but(&(others | &BTreeSet::from([job.id()])));
    job.signal("-CONT");
    let outcome = job.end();
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(": it heard nothing from the launcher for 15 s\n"), "{}", outcome.stderr);

    let outcome = lose(&network, others, |_| network.cut(2));
    assert_error(&outcome, 1, &[silent]);
    bystanders.end(&network);
}

#[test]
fn a_reader_that_pauses() {
    let Some(network) = Network::of(2) else { return };
    let words = format!("-H {}:1,{}:1 {ENDLESS}", network.name(0), network.name(1));
    let mut command = network.remote("ssh", &words);
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    // Almost what a pipe holds: the launcher cannot print all of its first lines.
    writer.write_all(&[b'\n'; 65_000]).expect("the pipe has room");
    let mut launcher = command.stdout(writer).stderr(Stdio::piped()).spawn().expect("the program starts");
    drop(command);
    // Longer than an agent waits for a sign of life.
    std::thread::sleep(Duration::from_secs(18));
    let reader = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    signal("-INT", launcher.id());
    let mut said = String::new();
    launcher.stderr.take().expect("a pipe").read_to_string(&mut said).expect("what it says");
    assert_eq!(launcher.wait().expect("a child of this process").code(), Some(130), "{said}");
    reader.join().expect("no panic").expect("what it prints");
    network.assert_nothing_but(&[].into());
}

#[test]
fn a_reader_that_goes_away() {
    let Some(network) = Network::of(2) else { return };
    let words = format!("-H {}:1,{}:1 {ENDLESS}", network.name(0), network.name(1));
    let mut command = network.remote("ssh", &words);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut launcher = command.stdout(writer).stderr(Stdio::piped()).spawn().expect("the program starts");
    // It has the other end too.
    drop(command);
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).expect("a line");
    network.assert_nothing_but(&[].into());
    let mut said = String::new();
    launcher.stderr.take().expect("a pipe").read_to_string(&mut said).expect("what it says");
    let code = launcher.wait().expect("a child of this process").code();
    assert_eq!((code, said.as_str()), (Some(141), ""));
}

//! Runs that go well.

use crate::common::{isograd, words};
use crate::job::Job;
use crate::network::{HostPlan, Network, sha256};
use crate::{RUN, assert_error, hash};
use std::fs;

#[test]
fn three_hosts_have_the_bits_of_one_process() {
    let Some(network) = Network::of(3) else { return };
    let [one, all] = ["one", "all"].map(|name| network.folder().join(name));
    let alone = isograd(&words(&format!("{RUN} --save {}", one.display())));
    let expected = hash(&alone);
    let hosts = network.hostfile(&["slots=2"; 3]);
    let together = network.ssh(&format!("--hostfile {} {RUN} --save {}", hosts.display(), all.display()));
    assert_eq!(hash(&together), expected);
    assert_eq!(sha256(&all), sha256(&one));
    assert_eq!(together.stderr, "");
    assert!(together.stdout.contains("[0@10.77.0.1] ranks:              6\n"), "{}", together.stdout);

    let unequal = network.hostfile(&["slots=3", "slots=2", "slots=1"]);
    let unequal = unequal.display();
    let [a, b, c] = [0, 1, 2].map(|host| network.name(host));
    for (options, training, ranks) in [
        (format!("--hostfile {unequal}"), "--transport tcp", 6),
        (format!("-H {a}:1,root@{b}:2,{c}:1"), "--encrypt", 4),
        (format!("--hostfile {unequal} --include {c},{b}"), "--no-overlap --bucket-bytes 1000", 3),
        (format!("--hostfile {unequal} --exclude {b} -n 2 --bind none"), "", 2),
        (format!("-H localhost:1,{a}:2"), "", 3),
        (format!("-H {c}:2"), "", 2),
    ] {
        let outcome = network.ssh(&format!("{options} {RUN} {training}"));
        assert_eq!(hash(&outcome), expected, "{options} {training}");
        let line = format!("] ranks:              {ranks}\n");
        assert!(outcome.stdout.contains(&line), "{options}: {}", outcome.stdout);
    }
    network.assert_nothing_but(&[].into());
    let names =
        fs::read_dir(network.folder()).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    let left: Vec<_> = names.filter(|name| name.as_encoded_bytes().starts_with(b"isograd-")).collect();
    assert!(left.is_empty(), "temporary folders are left: {left:?}");
}

#[test]
fn hosts_with_a_cable_between_each_two_have_an_address_for_each_pair() {
    let plans = [HostPlan { is_cabled: true, ..HostPlan::default() }; 3];
    let Some(network) = Network::start(&plans) else { return };
    let expected = hash(&isograd(&words(RUN)));
    let hosts = network.hostfile(&["slots=2", "slots=1", "slots=2"]);
    for training in ["", "--transport tcp"] {
        let outcome = network.ssh(&format!("--hostfile {} {RUN} {training}", hosts.display()));
        assert_eq!(hash(&outcome), expected, "{training}");
        assert_eq!(outcome.stderr, "", "{training}");
    }
}

#[test]
fn hosts_that_are_reached_in_different_ways() {
    let plans = [false, true, false].map(|is_hidden| HostPlan { is_hidden, ..HostPlan::default() });
    let Some(network) = Network::start(&plans) else { return };
    let [front, hidden, other] = [0, 1, 2].map(|host| network.name(host));
    let expected = hash(&isograd(&words(RUN)));
    // The login at the hidden host goes through the front one; the ranks use the link between the two.
    let outcome = network.ssh(&format!("-H {front}:1,{hidden}:2 {RUN}"));
    assert_eq!(hash(&outcome), expected);
    let run =
        |lines: &[&str]| network.ssh(&format!("--hostfile {} {RUN}", network.hostfile(lines).display()));
    assert_eq!(hash(&run(&["slots=1 iface=eth1", "slots=1 addr=10.77.1.2"])), expected);

    let unreached = "the hosts do not all reach each other; who (row) reached whom (column):\n";
    for (lines, problem) in [
        (["slots=1 iface=eth0", "slots=1"], unreached),
        (
            ["slots=1 iface=eth7", "slots=1"],
            "host 10.77.0.1: it has no interface eth7 with an address; it has lo, eth0, eth1",
        ),
        (["slots=1", "slots=1 addr=10.77.1.7"], "host 10.77.1.2: addr=10.77.1.7: it has no such address"),
    ] {
        assert_error(&run(&lines), 1, &[&format!("error: {problem}")]);
    }
    let apart = network.ssh(&format!("-H {front}:1,{hidden}:1,{other}:1 {RUN}"));
    assert_error(&apart, 1, &[&format!("error: {unreached}")]);
    for row in [
        "10.77.0.1  -          yes        yes",
        "10.77.1.2  yes        -          no",
        "10.77.0.3  yes        no         -",
    ] {
        assert!(apart.stderr.lines().any(|line| line.trim_end() == row), "'{row}' in {}", apart.stderr);
    }
    let checked = Job::start(network.remote("hosts check", &format!("-H {hidden},{other}"))).end();
    assert_error(&checked, 1, &["the hosts do not all reach each other"]);
    network.assert_nothing_but(&[].into());
}

/// The workflow file and the results are the first rank's; the others take part in training alone.
#[test]
fn a_workflow_over_hosts_trains_the_same_bits() {
    let Some(network) = Network::of(2) else { return };
    let results = |name: &str| network.folder().join(name);
    let text = "workflow:\n  - getter: {dataset: synthetic}\n  - trainer: {global_batch_size: 54, shard_size: 10, steps: 30, hash: true}\n  \
                - evaluator\n";
    let file = network.file("small.yaml", text);
    let alone = isograd(&words(&format!("run {} --results {}", file.display(), results("one").display())));
    let expected = hash(&alone);
    let hosts = network.hostfile(&["slots=2", "slots=1"]);
    let run = format!("run {} --results {}", file.display(), results("all").display());
    let together = network.ssh(&format!("--hostfile {} {run}", hosts.display()));
    assert_eq!(hash(&together), expected);
    assert_eq!(together.stderr, "");
    assert!(together.stdout.contains("[0@10.77.0.1] ranks:              3\n"), "{}", together.stdout);
    assert!(together.stdout.contains("[0@10.77.0.1] == evaluator: done in "), "{}", together.stdout);
    // Nothing has changed, so that there is nothing to train.
    let again = network.ssh(&format!("--hostfile {} {run}", hosts.display()));
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("== trainer: nothing has changed"), "{again:?}");
    network.file("small.yaml", &text.replace("synthetic", "nowhere"));
    let failed = network.ssh(&format!("--hostfile {} {run}", hosts.display()));
    assert_error(&failed, 2, &["rank 0", "nowhere"]);
    network.assert_nothing_but(&[].into());
}

/// The first rank's files are enough: the others get settings and state from it.
#[test]
fn a_run_goes_on_over_ssh_with_the_bits_of_one_that_was_not_interrupted() {
    let Some(network) = Network::of(2) else { return };
    let expected = hash(&isograd(&words(RUN)));
    let folder = network.folder().join("run");
    let first = format!("{} --checkpoint {}", RUN.replace("--steps 30", "--steps 11"), folder.display());
    assert_eq!(isograd(&words(&first)).code, Some(0));
    let hosts = network.hostfile(&["slots=2", "slots=1"]);
    let resume = format!("--hostfile {} train --resume {} --steps 30", hosts.display(), folder.display());
    assert_eq!(hash(&network.ssh(&resume)), expected);
}

/// Killed without warning three times, each time at other places, and once on hosts of which one has other
/// ranks than before.
#[test]
fn a_run_that_is_killed_goes_on_over_ssh_with_the_bits_of_one_that_is_not() {
    let Some(network) = Network::of(2) else { return };
    let run = RUN.replace("--steps 30", "--steps 60 --optimizer adamw --ema 0.9 --flip --random-crop 2");
    let expected = hash(&isograd(&words(&run)));
    let folder = network.folder().join("run");
    let checkpoints = || {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with("epoch-")).max()
    };
    let [a, b] = [0, 1].map(|host| network.name(host));
    let resume = format!("train --resume {}", folder.display());
    for line in [
        format!("-H {a}:2,{b}:1 {run} --checkpoint {} --checkpoint-every 1steps", folder.display()),
        format!("-H {b}:2 {resume} --threads 1"),
        format!("-H {a}:1,{b}:3 {resume} --transport tcp"),
    ] {
        let before = checkpoints();
        let mut job = network.begin(&line);
        job.wait_until("it writes a checkpoint", |_, _| checkpoints() > before);
        job.signal("-KILL");
        assert_eq!(job.end().code, None, "{line}");
    }
    let ended = network.ssh(&format!("-H {b}:1,{a}:2 {resume}"));
    assert_eq!(hash(&ended), expected, "{ended:?}");
    network.assert_nothing_but(&[].into());
}

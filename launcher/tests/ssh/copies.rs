//! The program's copies on the hosts.

use crate::network::{HostPlan, Network, program, sha256};
use crate::{ENDLESS, RUN, assert_error, hash};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_host_without_a_place_for_the_copy() {
    let plan = |before| HostPlan { before, ..HostPlan::default() };
    let Some(network) = Network::start(&[
        plan("mount -t tmpfs -o size=1m tmpfs $CACHE"),
        plan("mount -t tmpfs -o ro tmpfs $CACHE"),
        plan("mount -t tmpfs tmpfs ${CACHE%/*}; echo > $CACHE"),
        plan("mount -t tmpfs -o noexec tmpfs $CACHE"),
        plan("mount -t tmpfs tmpfs $CACHE; mkdir -m 777 $CACHE/isograd"),
        HostPlan::default(),
    ]) else {
        return;
    };
    let hosts = network.hostfile(&["slots=1"; 6]);
    let outcome = network.ssh(&format!("--hostfile {} {RUN}", hosts.display()));
    assert_error(&outcome, 1, &["5 hosts cannot take part"]);
    assert_eq!(outcome.stdout, "");
    let reasons = [
        "No space left on device",
        "Read-only file system",
        "Not a directory",
        "cannot be executed",
        "others can write to it, so nothing in it is started",
    ];
    for (host, reason) in reasons.iter().enumerate() {
        let begin = format!("  host {}: ", network.name(host));
        let line = outcome.stderr.lines().find(|line| line.starts_with(&begin));
        let line = line.unwrap_or_else(|| panic!("{begin} in {}", outcome.stderr));
        assert!(line.contains(reason) && line.contains("cache"), "'{reason}' in {line}");
    }
    let left = fs::read_dir(network.view(0, &network.copies())).expect("the full folder");
    assert_eq!(left.count(), 0, "half a copy is left");
    network.assert_nothing_but(&[].into());
}

#[test]
fn a_copy_that_is_interrupted_leaves_nothing() {
    let Some(network) = Network::of(2) else { return };
    fs::remove_file(network.copy()).expect("the copy");
    let mut job = network.begin(&format!("-H {}:1,{}:1 {ENDLESS}", network.name(0), network.name(1)));
    job.wait_until("it copies", |_, stderr| stderr.contains("copying the program"));
    job.signal("-INT");
    assert_error(&job.end(), 130, &["error: stopped by SIGINT"]);
    network.assert_nothing_but(&[].into());
    let mut files =
        fs::read_dir(network.copies()).expect("the folder").map(|entry| entry.expect("an entry").path());
    assert!(files.all(|path| path == network.copy()), "half a copy is left");
}

#[test]
fn what_is_not_the_copy_is_replaced() {
    let Some(network) = Network::of(2) else { return };
    let copy = network.copy();
    let run = || network.ssh(&format!("-H {}:1,{}:1 {RUN}", network.name(0), network.name(1)));
    let first = run();
    let expected = hash(&first);
    assert_eq!(first.stderr, "", "the copy was there");
    let whole = fs::read(program()).expect("the program");
    let longer = [&whole[..], b"changed"].concat();
    let zeros = vec![0; whole.len()];
    for (what, content, mode) in [
        ("longer", &longer[..], 0o700),
        ("cut", &whole[..whole.len() / 2], 0o700),
        ("empty", &[], 0o700),
        ("zeros", &zeros, 0o700),
        ("not executable", &whole, 0o600),
    ] {
        // Not written over: the file may be the program itself.
        fs::remove_file(&copy).expect("the copy");
        fs::write(&copy, content).expect("another file");
        File::open(&copy)
            .and_then(|file| file.set_permissions(fs::Permissions::from_mode(mode)))
            .expect("a mode");
        let outcome = run();
        assert_eq!(hash(&outcome), expected, "{what}");
        assert!(outcome.stderr.contains("copying the program"), "{what}: {}", outcome.stderr);
        assert_eq!(sha256(&copy), sha256(program()), "{what}");
    }
    fs::remove_dir_all(network.cache()).expect("the folder");
    assert_eq!(hash(&run()), expected);
    let second = run();
    assert_eq!((hash(&second), second.stderr.as_str()), (expected, ""), "nothing is copied twice");
    let files =
        fs::read_dir(network.copies()).expect("the folder").map(|entry| entry.expect("an entry").path());
    assert_eq!(files.collect::<Vec<_>>(), [copy], "nothing lies beside the copy");
}

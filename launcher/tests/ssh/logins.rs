//! Hosts where nobody can log in, and shells that talk.

use crate::network::{HostPlan, LIMIT, Network};
use crate::{RUN, assert_error, hash};
use std::fs;
use std::process::Command;
use std::time::Instant;

/// The command behind `words` in what the launcher said.
#[track_caller]
fn command_behind<'t>(said: &'t str, words: &str) -> &'t str {
    let line = said.lines().find_map(|line| line.split_once(words));
    line.unwrap_or_else(|| panic!("'{words}' in {said}")).1
}

#[track_caller]
fn run_in_a_shell(command: &str) {
    let output = Command::new("sh").args(["-c", command]).output().expect("sh");
    assert!(output.status.success(), "{command}: {output:?}");
}

#[test]
fn unknown_and_changed_host_keys() {
    let Some(mut network) = Network::of(2) else { return };
    let names = [0, 1].map(|host| network.name(host).to_string());
    let keys = [0, 1].map(|host| network.sshd(host).host_key("ed25519"));
    let public = network.sshd(0).folder().join("host_ed25519.pub");
    let fingerprint = Command::new("ssh-keygen").arg("-lf").arg(public).output().expect("ssh-keygen").stdout;
    let fingerprint = String::from_utf8_lossy(&fingerprint);
    let fingerprint = fingerprint.split_whitespace().nth(1).expect("a fingerprint");
    let run = format!("-H {},{} -n 2 {RUN}", names[0], names[1]);

    fs::write(network.known_hosts(), format!("{} {}\n", names[1], keys[1])).expect("known hosts");
    let unknown = network.ssh(&run);
    assert_error(&unknown, 1, &[&names[0], "is not known", fingerprint]);
    assert!(!unknown.stderr.contains(&names[1]), "{}", unknown.stderr);
    run_in_a_shell(command_behind(&unknown.stderr, "accept it: "));
    let expected = hash(&network.ssh(&run));

    let swapped = format!("{} {}\n{} {}\n", names[0], keys[1], names[1], keys[1]);
    fs::write(network.known_hosts(), swapped).expect("known hosts");
    let changed = network.ssh(&run);
    assert_error(&changed, 1, &[&names[0], "has changed", fingerprint]);
    assert_eq!(changed.stdout, "");
    run_in_a_shell(command_behind(&changed.stderr, "accept the new: "));
    assert_eq!(hash(&network.ssh(&run)), expected);
}

#[test]
fn all_hosts_that_fail_are_named_with_their_own_reasons() {
    let deaf = "ForceCommand echo go away";
    let plans = ["", "", "", "", deaf].map(|sshd| HostPlan { sshd, ..HostPlan::default() });
    let Some(mut network) = Network::start(&plans) else { return };
    let names = [0, 1, 2, 3, 4].map(|host| network.name(host).to_string());
    let nobody = "10.77.0.100";
    let other_key = fs::read(network.sshd(0).identity().with_extension("pub")).expect("a key");
    fs::write(network.sshd(1).folder().join("authorized_keys"), other_key).expect("keys");
    network.sshd(2).kill();
    let known = fs::read_to_string(network.known_hosts()).expect("known hosts");
    let known: String =
        known.lines().filter(|line| !line.contains(&names[3])).map(|line| format!("{line}\n")).collect();
    fs::write(network.known_hosts(), known).expect("known hosts");

    let saved = network.folder().join("saved");
    let run = |hosts: &str| {
        let start = Instant::now();
        let outcome =
            network.ssh(&format!("-H {hosts} --connect-timeout 2 {RUN} --save {}", saved.display()));
        assert!(start.elapsed() < LIMIT / 2, "{:?}", start.elapsed());
        assert_eq!(outcome.stdout, "", "nothing runs");
        outcome
    };
    let all = run(&format!("{},{nobody}", names.join(",")));
    assert_error(&all, 1, &["5 hosts cannot take part"]);
    let reasons =
        ["login refused", "Connection refused", "is not known", "the host said: go away", "cannot connect"];
    let bad = names[1..].iter().map(String::as_str).chain([nobody]);
    for (name, reason) in bad.zip(reasons) {
        let begin = format!("  host {name}: ");
        let line = all.stderr.lines().find(|line| line.starts_with(&begin));
        let line = line.unwrap_or_else(|| panic!("{name} in {}", all.stderr));
        assert!(line.contains(reason), "'{reason}' in {line}");
    }
    assert!(!all.stderr.contains(&format!("host {}:", names[0])), "{}", all.stderr);
    assert_error(
        &run(&format!("{},{nobody}", names[0])),
        1,
        &[&format!("error: host {nobody}: "), "cannot connect"],
    );
    assert!(!saved.exists());
    network.assert_nothing_but(&[].into());
}

#[test]
fn a_shell_that_talks_first() {
    let talk =
        r#"ForceCommand echo Welcome; echo noise >&2; printf 'no end of line'; eval "$SSH_ORIGINAL_COMMAND""#;
    let plans = [talk, ""].map(|sshd| HostPlan { sshd, ..HostPlan::default() });
    let Some(network) = Network::start(&plans) else { return };
    let run = format!("-H {}:1,{}:1 {RUN}", network.name(0), network.name(1));
    let expected = hash(&network.ssh(&run));
    fs::remove_file(network.copy()).expect("the copy");
    let copied = network.ssh(&run);
    assert_eq!(hash(&copied), expected);
    assert!(copied.stderr.contains("copying the program"), "{}", copied.stderr);
}

#[test]
fn hosts_that_get_no_ranks_need_not_be_there() {
    let Some(network) = Network::of(1) else { return };
    let (name, nobody) = (network.name(0), "10.77.0.100");
    let cores = std::thread::available_parallelism().expect("a number").get();
    let run = |hosts: &str, ranks: usize| {
        let start = Instant::now();
        let outcome = network.ssh(&format!("-H {hosts} -n {ranks} --connect-timeout 30 {RUN}"));
        (outcome, start.elapsed())
    };
    let expected = hash(&run(name, 1).0);
    // Slots are known, or there is one at least: the second host is not even asked.
    for hosts in [format!("{name}:2,{nobody}:2"), format!("{name},{nobody}")] {
        assert_eq!(hash(&run(&hosts, 1).0), expected);
    }
    if cores > 1 {
        // Both are asked, and the first one turns out to have room for all.
        let (outcome, took) = run(&format!("{name},{nobody}"), cores);
        assert_eq!(hash(&outcome), expected);
        assert!(took < LIMIT / 2, "{took:?}: it waited for the second host");
    }
    let start = Instant::now();
    let needed = network.ssh(&format!("-H {name}:1,{nobody}:1 -n 2 --connect-timeout 1 {RUN}"));
    assert_error(&needed, 1, &[&format!("error: host {nobody}: "), "cannot connect"]);
    assert!(start.elapsed() < LIMIT / 2);
    network.assert_nothing_but(&[].into());
}

#[test]
fn an_address_with_a_zone_is_logged_in_at() {
    let plan = HostPlan {
        sshd: "ListenAddress 10.77.0.1\nListenAddress fe80::77%eth0",
        before: "ip addr add fe80::77/64 dev eth0 nodad",
        ..HostPlan::default()
    };
    let Some(mut network) = Network::start(&[plan]) else { return };
    let near = ["ip", "addr", "add", "fe80::254/64", "dev", "bridge", "nodad"];
    assert_eq!(network.inside(1, &near).end().code, Some(0));
    let known = format!("fe80::77%bridge {}\n", network.sshd(0).host_key("ed25519"));
    let known = network.file("known", &known);
    let hosts = format!("[fe80::77%bridge] slots=1 identity={}\n", network.sshd(0).identity().display());
    let hosts = network.file("hosts", &hosts);
    let run = format!("--hostfile {} --known-hosts {} {RUN}", hosts.display(), known.display());
    hash(&network.ssh(&run));
    network.assert_nothing_but(&[].into());
}

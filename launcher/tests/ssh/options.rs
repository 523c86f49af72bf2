//! Options of `isograd ssh` and of a hostfile, and `isograd hosts check`.

use crate::common::lines;
use crate::job::Job;
use crate::network::{Network, read_of};
use crate::{ENDLESS, RUN, assert_error};
use std::fs;

#[test]
fn output_is_shown_and_kept_as_wanted() {
    let Some(network) = Network::of(2) else { return };
    let output = network.folder().join("output");
    let hosts = format!("-H {}:2,{}:1 --output {}", network.name(0), network.name(1), output.display());
    // Each rank says so on standard error.
    let failing = "train --dataset mnist --dataset-train-path /nowhere";
    let all = network.ssh(&format!("{hosts} {failing}"));
    for rank in 0..3 {
        let kept = |name| fs::read_to_string(output.join(format!("rank.{rank}/{name}"))).expect("a file");
        assert_eq!(kept("stdout"), "");
        let line = format!("error: rank {rank}: --dataset-train-path: no folder /nowhere\n");
        assert_eq!(kept("stderr"), line);
        let host = network.name(rank / 2);
        assert!(all.stderr.contains(&format!("[{rank}@{host}] {line}")), "{}", all.stderr);
    }
    let one = network.ssh(&format!("{hosts} --only-rank 1 {failing}"));
    assert!(
        one.stderr.contains("[1@") && !one.stderr.contains("[0@") && !one.stderr.contains("[2@"),
        "{}",
        one.stderr
    );

    let labelled = network.ssh(&format!("{hosts} {RUN}"));
    assert_eq!(labelled.code, Some(0), "{labelled:?}");
    let kept = fs::read_to_string(output.join("rank.0/stdout")).expect("a file");
    assert!(kept.contains("\nepoch 1/10: ") && kept.contains("\nparams: sha256:"), "{kept}");
    let shown: Vec<&str> = lines(&labelled.stdout, "[0@10.77.0.1] ");
    assert_eq!(shown, kept.lines().collect::<Vec<_>>());
    assert_eq!(fs::read_to_string(output.join("rank.2/stdout")).expect("a file"), "");
    let plain = network.ssh(&format!("{hosts} --prefix no {RUN}"));
    assert!(plain.stdout.contains("\nepoch 1/10: "), "{}", plain.stdout);
    let quiet = network.ssh(&format!("{hosts} --quiet {RUN}"));
    assert_eq!((quiet.code, quiet.stdout.contains("epoch")), (Some(0), false), "{quiet:?}");
    let kept = fs::read_to_string(output.join("rank.0/stdout")).expect("a file");
    assert!(kept.contains("\nepoch 1/10: "), "what is not shown is kept");
    let elsewhere = network.ssh(&format!("{hosts} --only-rank 2 {RUN}"));
    assert_eq!((elsewhere.code, elsewhere.stdout.contains("epoch")), (Some(0), false), "{elsewhere:?}");
}

#[test]
fn variables_and_the_key_travel_unseen() {
    let Some(network) = Network::of(2) else { return };
    let file = network.file("env", "# two\nFROM_FILE=secret-file \nEVERYWHERE=secret-of-all\n");
    let hosts =
        network.hostfile(&["slots=1 \"env.OF_HOST=secret of host\" env.EVERYWHERE=secret-of-one", "slots=1"]);
    let options = format!(
        "--hostfile {} -x FROM_HERE -x GIVEN=secret-given --env-file {} {ENDLESS}",
        hosts.display(),
        file.display()
    );
    let mut command = network.remote("ssh", &options);
    command.env("FROM_HERE", "secret-here").env("NOT_ASKED_FOR", "secret-kept");
    let mut job = Job::start(command);
    job.wait_for_training();
    for host in 0..2 {
        for id in network.everything_of(host) {
            let args = read_of(id, "cmdline");
            assert!(!args.contains("secret"), "{args}");
            let bytes = fs::read(format!("/proc/{id}/environ")).expect("its variables");
            let text = String::from_utf8_lossy(&bytes);
            let variables: Vec<&str> = text.split_terminator('\0').collect();
            assert!(!text.contains("secret-kept"), "{text}");
            let Some(rank) = variables.iter().find_map(|variable| variable.strip_prefix("RANK=")) else {
                assert!(!text.contains("secret"), "{args}: {text}");
                assert!(!text.contains("ISOGRAD"), "{args}: {text}");
                continue;
            };
            assert_eq!(rank, host.to_string());
            let everywhere = ["EVERYWHERE=secret-of-one", "EVERYWHERE=secret-of-all"][host];
            for variable in
                ["FROM_HERE=secret-here", "GIVEN=secret-given", "FROM_FILE=secret-file ", everywhere]
            {
                assert!(variables.contains(&variable), "{variable} in {variables:?}");
            }
            assert_eq!(variables.contains(&"OF_HOST=secret of host"), host == 0, "{variables:?}");
            // Whatever else a rank knows of its job, it was told through a pipe.
            assert_eq!(args.trim_end(), format!("isograd {ENDLESS}"));
            let own = variables
                .iter()
                .filter(|variable| variable.starts_with("ISOGRAD") || variable.starts_with("MASTER"));
            let mut own: Vec<&str> =
                own.map(|variable| variable.split_once('=').expect("name=value").0).collect();
            own.sort_unstable();
            assert_eq!(own, ["ISOGRAD_PARENT"]);
        }
    }
    job.signal("-INT");
    assert_eq!(job.end().code, Some(130));
}

#[test]
fn folders_and_cores_of_a_host() {
    let Some(network) = Network::of(2) else { return };
    let folder = network.folder().join("work");
    fs::create_dir(&folder).expect("a folder");
    let own = format!("slots=2 cpus=0 workdir={}", folder.display());
    let hosts = network.hostfile(&[&own, "slots=1"]);
    let run = |hosts: &std::path::Path| {
        network.ssh(&format!("--hostfile {} {RUN} --history run.csv", hosts.display()))
    };
    let outcome = run(&hosts);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(folder.join("run.csv").is_file(), "the file is in the folder of its rank");
    let cores = lines(&outcome.stdout, "ranks of 10.77.0.1 and their cores: ");
    assert_eq!(cores, ["0 on 0; 1 on 0"], "{}", outcome.stdout);
    let missing = run(&network.hostfile(&["slots=1 workdir=/nowhere", "slots=1"]));
    assert_error(&missing, 1, &["error: host 10.77.0.1: workdir=/nowhere: there is no such folder"]);
    let missing = run(&network.hostfile(&["slots=1", "slots=1 cpus=0,4000"]));
    assert_error(&missing, 1, &["error: host 10.77.0.2: cpus=0,4000: this host has "]);
    network.assert_nothing_but(&[].into());
}

#[test]
fn a_plan_is_printed_and_nothing_done() {
    let Some(mut network) = Network::of(2) else { return };
    fs::remove_dir_all(network.cache()).expect("the folder of copies");
    let hosts = network.hostfile(&["slots=2 cpus=0-1", "slots=3 user=root port=22"]);
    let saved = network.folder().join("saved");
    let plan = network.ssh(&format!(
        "--hostfile {} -n 4 -x A=secret --dry-run {RUN} --save {}",
        hosts.display(),
        saved.display()
    ));
    assert_eq!((plan.code, plan.stderr.as_str()), (Some(0), ""), "{plan:?}");
    let copy = network.copy();
    for part in [
        "host 10.77.0.1\n",
        "host 10.77.0.2\n",
        "ranks:   0 to 1\n",
        "ranks:   2 to 3\n",
        "cores:   0-1, ",
        &format!("login:   root@10.77.0.2:22 with {}\n", network.sshd(1).identity().display()),
        "each agent: ",
        &network.cache().display().to_string(),
        copy.file_name().expect("a name").to_str().expect("UTF-8"),
        &format!("each rank: isograd {RUN}"),
        "variables: A\n",
    ] {
        assert!(plan.stdout.contains(part), "'{part}' in {}", plan.stdout);
    }
    assert!(!plan.stdout.contains("secret"), "{}", plan.stdout);
    assert!(!saved.exists() && !network.cache().exists());
    for host in 0..2 {
        let log = fs::read_to_string(network.sshd(host).folder().join("log")).expect("the server's log");
        assert!(!log.contains("Connection"), "{log}");
        assert!(!log.contains("Accepted"), "{log}");
    }
}

#[test]
fn hosts_are_checked() {
    let Some(mut network) = Network::of(2) else { return };
    let check = |network: &Network, hosts: &str| {
        Job::start(network.remote("hosts check", &format!("-H {hosts}"))).end()
    };
    let both = check(&network, "10.77.0.1,10.77.0.2,localhost");
    assert_eq!((both.code, both.stderr.as_str()), (Some(0), ""), "{both:?}");
    let rows: Vec<Vec<&str>> = both.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..4], ["host", "login", "platform", "cores"]);
    for (row, (name, login)) in
        rows[1..4].iter().zip([("10.77.0.1", "ok"), ("10.77.0.2", "ok"), ("localhost", "here")])
    {
        assert_eq!((row[0], row[1], row[row.len() - 1]), (name, login, "ok"), "{}", both.stdout);
    }
    assert_eq!(rows[5], ["from", "to", "address", "round", "trip", "bandwidth"]);
    assert_eq!(rows.len(), 6 + 6, "{}", both.stdout);
    for row in &rows[6..] {
        assert!(row[2].starts_with("10.77.0.") && row.ends_with(&["GB/s"]), "{row:?}");
    }
    network.sshd(1).kill();
    let one = check(&network, "10.77.0.1,10.77.0.2");
    assert_error(&one, 1, &["error: host 10.77.0.2: ", "Connection refused"]);
    let row = |name| one.stdout.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_string();
    assert!(row("10.77.0.1").contains(" ok ") && row("10.77.0.2").contains("failed"), "{}", one.stdout);
    network.assert_nothing_but(&[].into());
}

//! `isograd ssh --dry-run`: shows what the SSH configuration makes of the hosts, and logs in nowhere.

mod common;

use common::{Outcome, isograd, lines};
use std::path::Path;
use std::process::Command;

/// The plan for `hosts` by a configuration.
fn plan(hosts: &str, config: &Path) -> Outcome {
    let config = config.to_str().expect("a name in UTF-8");
    isograd(&["ssh", "-H", hosts, "--ssh-config", config, "--dry-run", "train", "--steps", "1"])
}

/// A folder with a configuration in its file `config`.
fn folder_of(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config"), config).expect("a file");
    folder
}

#[test]
fn logins_are_those_of_the_configuration() {
    let folder = folder_of(
        "Host node\n  HostName 127.0.0.1\n  User them\n  Port 2222\n  IdentityFile /keys/%h\n\
         Host far\n  HostName 10.0.0.%h\n  ProxyJump gate,me@[::1]:7\nHost gate\n  Port 24\nHost *\n  User us\n",
    );
    let config = folder.path().join("config");
    let shown = plan("node:2,you@far:1,localhost:1", &config);
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""), "{shown:?}");
    let logins = lines(&shown.stdout, "  login:   ");
    let expected = [
        "them@127.0.0.1:2222 with /keys/127.0.0.1",
        "you@10.0.0.far:22 through us@gate:24, me@[::1]:7",
        "none: this machine",
    ];
    assert_eq!(logins, expected);
    let addresses = lines(&shown.stdout, "  address: one that works, for each pair of hosts");
    assert_eq!(addresses[..2], [" (login at: 127.0.0.1)", ""]);
    assert_eq!(lines(&shown.stdout, "each rank: "), ["isograd train --steps 1"]);
    let agents = lines(&shown.stdout, "each agent: ~/.cache/isograd ");
    assert_eq!(agents.len(), 1, "{}", shown.stdout);
    assert!(shown.stdout.lines().all(|line| line.len() < 180), "{}", shown.stdout);

    // The whole command that starts an agent is there for those who want it.
    let mut command = Command::new(env!("CARGO_BIN_EXE_isograd"));
    command.args(["ssh", "-H", "node:1", "--cache", "/scratch", "--dry-run", "--ssh-config"]).arg(&config);
    let full = command.arg("train").env("RUST_LOG", "debug").output().expect("the program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&full.stdout), String::from_utf8_lossy(&full.stderr));
    assert!(stdout.contains("\neach agent: /scratch/isograd/"), "{stdout}");
    assert!(stderr.contains("debug: each agent is started by: exec sh -c "), "{stderr}");

    let here = isograd(&["ssh", "-H", "localhost:2", "--ssh-config", "/missing", "--dry-run", "train"]);
    assert_eq!((here.code, lines(&here.stdout, "each agent: ").len()), (Some(0), 0), "{here:?}");
}

#[test]
fn what_the_real_run_would_refuse_is_refused() {
    let folder = folder_of("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\nHost c\n  Port 3\n");
    let config = folder.path().join("config");
    let refused = |hosts: &str, config: &Path, problem: &str| {
        let outcome = plan(hosts, config);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{outcome:?}");
        assert!(outcome.stderr.starts_with(&format!("error: {problem}")), "{}", outcome.stderr);
    };
    refused("a", &config, "host a: the jump hosts of a form a circle: a -> b -> a\nhint: ");
    refused("a,c,b", &config, "2 hosts cannot take part\n  host a: ");
    refused(
        "c",
        &folder.path().join("missing"),
        &format!("--ssh-config {}/missing: ", folder.path().display()),
    );
    std::fs::write(&config, format!("Port many{}\n", "y".repeat(100_000))).expect("a file");
    let broken = plan("c", &config);
    let start = format!("error: --ssh-config {}:1: 'Port manyyyy", config.display());
    assert!(broken.stderr.starts_with(&start) && broken.stderr.len() < 400, "{} bytes", broken.stderr.len());
    // As for `ssh`, `none` is no file: nothing is read.
    let none = plan("me@c", Path::new("none"));
    assert_eq!((none.code, lines(&none.stdout, "  login:   ")), (Some(0), vec!["me@c:22"]), "{none:?}");
}

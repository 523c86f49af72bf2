//! Who the server must be.

use std::process::Command;

use super::*;

/// Runs a command line that an error proposed.
fn shell(line: &str) {
    let output = Command::new("sh").args(["-c", line]).output().expect("a shell");
    assert!(output.status.success(), "{line}: {output:?}");
}

/// What `ssh-keygen -lf` prints of the server's key.
fn fingerprint(sshd: &Sshd, kind: &str) -> String {
    let key = sshd.folder().join(format!("host_{kind}.pub"));
    let printed = Command::new("ssh-keygen").arg("-lf").arg(key).output().expect("ssh-keygen").stdout;
    String::from_utf8_lossy(&printed).split_whitespace().nth(1).expect("a fingerprint").to_string()
}

#[test]
fn an_unknown_key_is_refused_until_accepted() {
    let Some(sshd) = Sshd::start() else { return };
    fs::remove_file(sshd.known_hosts()).expect("the known hosts");
    let unknown = error(connect(&sshd));
    let Error::HostKeyUnknown { key, .. } = &unknown else { panic!("{unknown:?}") };
    assert!(unknown.to_string().contains(&fingerprint(&sshd, "ed25519")), "{unknown}");
    assert!(unknown.hint().is_some_and(|hint| hint.ends_with(&key.accept)), "{:?}", unknown.hint());
    shell(&key.accept);
    assert_eq!(fs::read_to_string(sshd.known_hosts()).expect("the file"), sshd.known_hosts_line("ed25519"));
    session(&sshd);
}

#[test]
fn a_changed_key_is_refused_until_the_old_one_is_removed() {
    let Some(sshd) = Sshd::start() else { return };
    let other = key(&sshd, "other", "ed25519", "");
    let other = fs::read_to_string(other.with_extension("pub")).expect("a public key");
    let lines = format!("# a comment\nexample.org {other}[127.0.0.1]:{} {other}", sshd.port());
    fs::write(sshd.known_hosts(), lines).expect("the known hosts");
    let changed = error(connect(&sshd));
    let Error::HostKeyChanged { key, .. } = &changed else { panic!("{changed:?}") };
    let text = changed.to_string();
    assert!(text.contains(&fingerprint(&sshd, "ed25519")), "{text}");
    assert!(text.contains(&format!("line 3 of {}", sshd.known_hosts().display())), "{text}");
    assert_eq!(text.matches("SHA256:").count(), 2, "{text}");
    shell(&key.forget);
    assert!(matches!(error(connect(&sshd)), Error::HostKeyUnknown { .. }));
    shell(&key.offered.accept);
    session(&sshd);
}

#[test]
fn a_key_changed_under_a_wildcard_names_a_command_that_removes_it() {
    let Some(sshd) = Sshd::start() else { return };
    let other = key(&sshd, "other", "ed25519", "");
    let other = fs::read_to_string(other.with_extension("pub")).expect("a public key");
    fs::write(sshd.known_hosts(), format!("# one\n[127.0.0.*]:* {other}")).expect("the known hosts");
    let Error::HostKeyChanged { key, .. } = error(connect(&sshd)) else { panic!("not changed") };
    shell(&key.forget);
    assert_eq!(fs::read_to_string(sshd.known_hosts()).expect("the file"), "# one\n");
}

#[test]
fn a_revoked_key_is_refused_though_known() {
    let Some(sshd) = Sshd::start() else { return };
    let lines = format!("{}@revoked * {}\n", sshd.known_hosts_line("ed25519"), sshd.host_key("ed25519"));
    fs::write(sshd.known_hosts(), lines).expect("the known hosts");
    let revoked = error(connect(&sshd));
    assert!(matches!(revoked, Error::HostKeyRevoked { line: 2, .. }), "{revoked:?}");
    assert!(revoked.to_string().contains(&fingerprint(&sshd, "ed25519")), "{revoked}");
}

#[test]
fn a_hashed_line_is_found() {
    let Some(sshd) = Sshd::start() else { return };
    let file = sshd.known_hosts();
    shell(&format!("ssh-keygen -q -H -f {}", file.display()));
    assert!(fs::read_to_string(&file).expect("the file").starts_with("|1|"));
    session(&sshd);
}

#[test]
fn names_match_as_openssh_matches_them() {
    let Some(sshd) = Sshd::start() else { return };
    let port = sshd.port();
    let key = sshd.host_key("ed25519");
    let known = [
        format!("[127.0.?.*]:{port} {key}"),
        format!("node1,[127.0.0.1]:{port}\t{key}  and a comment"),
        // A key of the host without its port counts.
        format!("127.0.0.1 {key}"),
        // Lines that make no sense say nothing.
        format!("nonsense\n\n@cert-authority * {key}\n[127.0.0.1]:{port} {key}"),
    ];
    for lines in known {
        fs::write(sshd.known_hosts(), &lines).expect("the known hosts");
        assert!(connect(&sshd).is_ok(), "{lines}");
    }
    let unknown = [
        format!("!*,[127.0.0.1]:{port} {key}"),
        format!("[127.0.0.*]:{port},![127.0.0.1]:* {key}"),
        format!("[127.0.0.1]:{} {key}", port ^ 1),
        format!("@cert-authority [127.0.0.1]:{port} {key}"),
        format!("# [127.0.0.1]:{port} {key}"),
    ];
    for lines in unknown {
        fs::write(sshd.known_hosts(), &lines).expect("the known hosts");
        let refused = error(connect(&sshd));
        assert!(matches!(refused, Error::HostKeyUnknown { .. }), "{lines}: {refused}");
    }
}

#[test]
fn the_one_known_type_of_several_is_asked_for() {
    let types = ["ed25519", "ecdsa", "rsa"];
    let Some(sshd) = Sshd::start_with(&types, "") else { return };
    for kind in types {
        fs::write(sshd.known_hosts(), sshd.known_hosts_line(kind)).expect("the known hosts");
        assert!(connect(&sshd).is_ok(), "{kind}");
    }
}

#[test]
fn nothing_in_the_configuration_turns_the_check_off() {
    let Some(sshd) = Sshd::start() else { return };
    fs::remove_file(sshd.known_hosts()).expect("the known hosts");
    let options = options(&sshd, "Host *\n  StrictHostKeyChecking no\n  CheckHostIP no\n");
    let refused = error(Logins::new(options).expect("the configuration").connect(&target(&sshd)));
    assert!(matches!(refused, Error::HostKeyUnknown { .. }), "{refused}");
}

#[test]
fn an_alias_and_the_files_of_all_users_are_honoured() {
    let Some(sshd) = Sshd::start() else { return };
    let folder = sshd.folder();
    let (own, system) = (folder.join("own_hosts"), folder.join("system_hosts"));
    let connect = || {
        let config = format!(
            "Host 127.0.0.1\n  HostKeyAlias Cluster\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile {} {}\n",
            own.display(),
            folder.join("missing").display(),
            system.display()
        );
        let options = Options { known_hosts: None, ..options(&sshd, &config) };
        Logins::new(options).expect("the options").connect(&target(&sshd)).map(drop)
    };
    let key = sshd.host_key("ed25519");
    // The alias counts alone: it has no port, and the address says nothing.
    fs::write(&own, format!("[127.0.0.1]:{} {key}\n127.0.0.1 {key}\n", sshd.port())).expect("a file");
    let Err(Error::HostKeyUnknown { key: offered, .. }) = connect() else { panic!("not unknown") };
    assert!(offered.accept.starts_with("echo 'cluster ssh-ed25519 "), "{}", offered.accept);
    assert!(offered.accept.ends_with(&format!(" >> {}", own.display())), "{}", offered.accept);
    fs::write(&system, format!("cluster {key}\n")).expect("a file");
    connect().unwrap_or_else(|error| panic!("{error}"));
    fs::write(&system, format!("\u{feff}cluster {key}\n")).expect("a file");
    let marked = connect().expect_err("a mark").to_string();
    let expected = "it begins with a byte-order mark; save it as UTF-8 without one";
    assert_eq!(marked, format!("{}: {expected}", system.display()));
}

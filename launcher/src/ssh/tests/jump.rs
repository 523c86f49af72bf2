//! Through other hosts.

use super::*;

/// A configuration in which `far` is reached through `near`, and `farther` through both.
fn chain(near: &Sshd, far: &Sshd) -> Options {
    let (near_port, far_port) = (near.port(), far.port());
    let config = format!(
        "Host near\n  HostName 127.0.0.1\n  Port {near_port}\n  IdentityFile {}\n\
         Host far\n  HostName 127.0.0.1\n  Port {far_port}\n  ProxyJump near\n  IdentityFile {}\n\
         Host farther\n  HostName 127.0.0.1\n  Port {near_port}\n  ProxyJump near,far\n  IdentityFile {}\n\
         Host *\n  IdentitiesOnly yes\n",
        near.identity().display(),
        far.identity().display(),
        near.identity().display()
    );
    let lines = near.known_hosts_line("ed25519") + &far.known_hosts_line("ed25519");
    fs::write(near.known_hosts(), lines).expect("the known hosts");
    options(near, &config)
}

#[test]
fn a_jump_carries_megabytes() {
    let (Some(near), Some(far)) = (Sshd::start(), Sshd::start()) else { return };
    let logins = Logins::new(chain(&near, &far)).expect("the configuration");
    let mut session = logins.connect(&named("far")).unwrap_or_else(|error| panic!("{error}"));
    assert!(
        session.address().to_string().contains(&format!(":{} through ", far.port())),
        "{}",
        session.address()
    );
    let sent = noise(20 << 20);
    let (exit, stdout, _) = run(&mut session, "cat", &sent);
    assert_eq!(exit, Exit::Code(0));
    assert!(stdout == sent, "what cat returned differs");
    let (_, stdout, _) = run(&mut session, "echo $SSH_CONNECTION", b"");
    assert!(String::from_utf8_lossy(&stdout).trim().ends_with(&format!(" {}", far.port())));
}

#[test]
fn jumps_follow_each_other() {
    let (Some(near), Some(far)) = (Sshd::start(), Sshd::start()) else { return };
    let logins = Logins::new(chain(&near, &far)).expect("the configuration");
    let mut session = logins.connect(&named("farther")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(run(&mut session, "cat", b"through both").1, b"through both");
}

#[test]
fn the_host_behind_a_jump_is_checked_too() {
    let (Some(near), Some(far)) = (Sshd::start(), Sshd::start()) else { return };
    let logins = Logins::new(chain(&near, &far)).expect("the configuration");
    fs::write(near.known_hosts(), near.known_hosts_line("ed25519")).expect("the known hosts");
    let unknown = error(logins.connect(&named("far")));
    assert!(matches!(unknown, Error::HostKeyUnknown { .. }), "{unknown}");
    assert!(unknown.to_string().contains(&format!("127.0.0.1:{} through ", far.port())), "{unknown}");
}

#[test]
fn a_port_that_the_jump_host_cannot_reach_is_named() {
    let (Some(near), Some(mut far)) = (Sshd::start(), Sshd::start()) else { return };
    let logins = Logins::new(chain(&near, &far)).expect("the configuration");
    far.kill();
    let failed = error(logins.connect(&named("far")));
    assert!(matches!(failed, Error::Forward { .. }), "{failed}");
}

#[test]
fn a_jump_host_that_dies_is_named() {
    let (Some(mut near), Some(far)) = (Sshd::start(), Sshd::start()) else { return };
    let logins = Logins::new(chain(&near, &far)).expect("the configuration");
    let mut session = logins.connect(&named("far")).unwrap_or_else(|error| panic!("{error}"));
    let (_input, source) = input().expect("an input");
    let lost = session.run("echo started; exec cat", source, |_, _| near.kill());
    let Err(lost @ Error::Lost { .. }) = lost else { panic!("{lost:?}") };
    assert!(lost.to_string().contains("the jump host "), "{lost}");
}

#[test]
fn an_abort_behind_a_jump_ends_at_once() {
    let (Some(near), Some(far)) = (Sshd::start(), Sshd::start()) else { return };
    let logins = Logins::new(chain(&near, &far)).expect("the configuration");
    let mut session = logins.connect(&named("far")).unwrap_or_else(|error| panic!("{error}"));
    let (input, source) = input().expect("an input");
    let aborted = session.run("cat /dev/zero", source, |_, _| input.abort());
    assert!(matches!(aborted, Err(Error::Aborted { .. })), "{aborted:?}");
}

#[test]
fn a_slow_reader_behind_a_jump_loses_nothing() {
    let (Some(near), Some(far)) = (Sshd::start(), Sshd::start()) else { return };
    let logins = Logins::new(chain(&near, &far)).expect("the configuration");
    let mut session = logins.connect(&named("far")).unwrap_or_else(|error| panic!("{error}"));
    let (_input, source) = input().expect("an input");
    let mut heard = 0;
    // All windows and buffers on the way fill while nobody listens.
    let exit = session.run("head -c 20000000 /dev/zero", source, |_, bytes| {
        if heard == 0 {
            std::thread::sleep(Duration::from_millis(300));
        }
        heard += bytes.len();
    });
    assert_eq!((exit.expect("head"), heard), (Exit::Code(0), 20_000_000));
}

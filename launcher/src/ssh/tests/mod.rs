//! Against real servers on loopback.

mod command;
mod host_key;
mod jump;
mod login;

#[path = "../../../tests/common/sshd.rs"]
#[allow(dead_code, reason = "tests of whole jobs use the rest")]
mod sshd;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use sshd::Sshd;

use super::*;

/// What a login takes from the outside, all of it from the test's folder.
fn options(sshd: &Sshd, config: &str) -> Options {
    let path = sshd.folder().join("ssh_config");
    fs::write(&path, config).expect("a configuration");
    Options {
        config: Some(path),
        known_hosts: Some(sshd.known_hosts()),
        timeout: Duration::from_secs(20),
        interactive: false,
    }
}

fn target(sshd: &Sshd) -> Target {
    Target {
        host: "127.0.0.1".to_string(),
        user: None,
        port: Some(sshd.port()),
        identity: Some(sshd.identity()),
    }
}

/// What the configuration alone says of `host`.
fn named(host: &str) -> Target {
    Target { host: host.to_string(), user: None, port: None, identity: None }
}

fn connect(sshd: &Sshd) -> Result<Session, Error> {
    Logins::new(options(sshd, ""))?.connect(&target(sshd))
}

/// A login that works.
fn session(sshd: &Sshd) -> Session {
    connect(sshd).unwrap_or_else(|error| panic!("{error}"))
}

/// A login whose packets rarely leave in one piece.
fn narrow_session(sshd: &Sshd) -> Session {
    let session = session(sshd);
    rustix::net::sockopt::set_socket_send_buffer_size(&session.transport.socket, 1).expect("a small buffer");
    session
}

/// Runs `command` with `bytes` as its input: its end, standard output and standard error.
fn run(session: &mut Session, command: &str, bytes: &[u8]) -> (Exit, Vec<u8>, Vec<u8>) {
    let (input, source) = input().expect("an input");
    input.send(bytes.to_vec());
    drop(input);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let exit = session.run(command, source, |stream, bytes| match stream {
        Stream::Stdout => stdout.extend_from_slice(bytes),
        Stream::Stderr => stderr.extend_from_slice(bytes),
    });
    (exit.unwrap_or_else(|error| panic!("{command}: {error}")), stdout, stderr)
}

/// Bytes that no part repeats.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(bytes).collect()
}

fn error(result: Result<Session, Error>) -> Error {
    match result {
        Ok(session) => panic!("logged in at {}", session.address()),
        Err(error) => error,
    }
}

/// Makes a key pair in the test's folder.
fn key(sshd: &Sshd, name: &str, kind: &str, passphrase: &str) -> PathBuf {
    let path = sshd.folder().join(name);
    sshd::make_key(&path, kind, passphrase);
    path
}

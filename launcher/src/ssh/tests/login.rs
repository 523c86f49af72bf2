//! Getting in, and the many ways of not getting in.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::ssh::terminal::Terminal;

#[test]
fn every_kind_of_key_logs_in() {
    let Some(sshd) = Sshd::start() else { return };
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let path = key(&sshd, kind, kind, "");
        sshd.authorize(&path);
        let target = Target { identity: Some(path), ..target(&sshd) };
        let logged_in = Logins::new(options(&sshd, "")).expect("the options").connect(&target);
        assert!(logged_in.is_ok(), "{kind}: {:?}", logged_in.err());
    }
}

#[test]
fn several_logins_at_the_same_time() {
    let Some(sshd) = Sshd::start() else { return };
    let logins = Logins::new(options(&sshd, "")).expect("the options");
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (logins, sshd) = (&logins, &sshd);
            scope.spawn(move || {
                let mut session = logins.connect(&target(sshd)).unwrap_or_else(|error| panic!("{error}"));
                let (_, stdout, _) = run(&mut session, &format!("echo {number}"), b"");
                assert_eq!(String::from_utf8_lossy(&stdout), format!("{number}\n"));
            });
        }
    });
}

#[test]
fn an_alias_of_the_configuration_has_everything() {
    let Some(sshd) = Sshd::start() else { return };
    let folder = sshd.folder().display();
    let config = format!(
        "ServerAliveInterval 1m\nMatch host nothing\n  User nobody\n\
         Host worker\n  HostName 127.0.0.%h\n  Hostname 127.0.0.9\n\
         Host 1\n  HostName 127.0.0.%h\n  Port={}\n  IdentityFile {folder}/i%%d/../id\n  IdentityFile \"{folder}/id\"\n\
         UserKnownHostsFile {folder}/none {folder}/known_hosts\n  ConnectTimeout 20\n  IdentitiesOnly yes\n",
        sshd.port()
    );
    let mut options = options(&sshd, &config);
    options.known_hosts = None;
    let session = Logins::new(options).expect("the configuration").connect(&named("1"));
    let session = session.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((session.address().host.as_str(), session.address().port), ("127.0.0.1", sshd.port()));
}

#[test]
fn a_wrong_key_is_named_with_what_the_server_offers() {
    let Some(sshd) = Sshd::start() else { return };
    let path = key(&sshd, "wrong", "ed25519", "");
    let target = Target { identity: Some(path.clone()), ..target(&sshd) };
    let refused = error(Logins::new(options(&sshd, "")).expect("the options").connect(&target)).to_string();
    assert!(
        refused.contains(&format!("login refused; tried: {} (not accepted)", path.display())),
        "{refused}"
    );
    assert!(refused.ends_with("the server offers: publickey"), "{refused}");
}

/// A key in a file of this format, with the passphrase `secret`, that may log in.
fn encrypted_key(sshd: &Sshd, name: &str, kind: &str, format: &str) -> PathBuf {
    let path = key(sshd, name, kind, "secret");
    let reformatted = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "secret", "-N", "secret", "-m", format, "-f"])
        .arg(&path)
        .stdout(Stdio::null())
        .status();
    assert!(reformatted.expect("ssh-keygen").success());
    sshd.authorize(&path);
    path
}

#[test]
fn an_encrypted_key_without_a_terminal_is_named() {
    let Some(sshd) = Sshd::start() else { return };
    for (name, format) in [("openssh", "RFC4716"), ("pem", "PEM"), ("pkcs8", "PKCS8")] {
        let path = encrypted_key(&sshd, name, "rsa", format);
        let target = Target { identity: Some(path), ..target(&sshd) };
        let refused =
            error(Logins::new(options(&sshd, "")).expect("the options").connect(&target)).to_string();
        assert!(refused.contains("encrypted, and there is no terminal"), "{name}: {refused}");
    }
}

#[test]
fn a_passphrase_is_asked_for_once_and_serves_all_logins() {
    let Some(sshd) = Sshd::start() else { return };
    for (name, kind, format) in [
        ("ed25519", "ed25519", "RFC4716"),
        ("ecdsa", "ecdsa", "RFC4716"),
        ("rsa", "rsa", "RFC4716"),
        ("pem", "rsa", "PEM"),
    ] {
        let path = encrypted_key(&sshd, name, kind, format);
        let target = Target { identity: Some(path), ..target(&sshd) };
        let options = Options { interactive: true, ..options(&sshd, "") };
        let mut logins = Logins::new(options).expect("the options");
        let (terminal, mut far) = Terminal::pair();
        let held = terminal.hold();
        logins.keys.terminal = terminal;
        let mut screen = String::new();
        std::thread::scope(|scope| {
            let connect = || logins.connect(&target).map(drop);
            let connecting = [scope.spawn(connect), scope.spawn(connect)];
            for answer in ["wrong\n", "secret\n"] {
                await_text(&mut far, "passphrase for ", &mut screen);
                far.write_all(answer.as_bytes()).expect("an answer");
            }
            for one in connecting {
                one.join().expect("no panic").unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        });
        drop((logins, held));
        // What is left of the screen, up to the end of the terminal.
        let mut rest = Vec::new();
        let _ = far.read_to_end(&mut rest);
        assert!(!String::from_utf8_lossy(&rest).contains("passphrase for "), "{name}: asked again");
        assert!(!screen.contains("secret"), "{screen}");
    }
}

/// Reads a screen up to `text`.
fn await_text(far: &mut fs::File, text: &str, screen: &mut String) {
    let (start, mut byte) = (screen.len(), [0]);
    while !screen[start..].ends_with(text) {
        far.read_exact(&mut byte).expect("more text");
        screen.push(char::from(byte[0]));
    }
}

#[test]
fn keys_that_are_missing_or_open_to_all_are_named() {
    let Some(sshd) = Sshd::start() else { return };
    let open = key(&sshd, "open", "ed25519", "");
    sshd.authorize(&open);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).expect("a mode");
    let config = format!(
        "IdentitiesOnly yes\nIdentityFile {}\nIdentityFile {}\n",
        open.display(),
        sshd.folder().join("missing").display()
    );
    let target = Target { identity: None, ..target(&sshd) };
    let refused =
        error(Logins::new(options(&sshd, &config)).expect("the options").connect(&target)).to_string();
    assert!(refused.contains("mode 0644 is too open"), "{refused}");
    assert!(refused.contains("missing (No such file"), "{refused}");
}

/// An agent of the test's own.
struct Agent(Child);

impl Agent {
    fn start(sshd: &Sshd, key: &std::path::Path) -> Self {
        let socket = sshd.folder().join("agent");
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
        let agent = Self(child.expect("ssh-agent"));
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).status();
        assert!(added.expect("ssh-add").success());
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn keys_of_the_agent_log_in_unless_only_others_may() {
    let Some(sshd) = Sshd::start() else { return };
    let path = key(&sshd, "held", "rsa", "");
    sshd.authorize(&path);
    let _agent = Agent::start(&sshd, &path);
    fs::remove_file(&path).expect("the private key");
    let wrong = key(&sshd, "wrong", "ed25519", "");
    let socket = sshd.folder().join("agent");
    let connect = |config: &str, identity: Option<&PathBuf>| {
        let config = format!("IdentityAgent {}\n{config}", socket.display());
        let target = Target { identity: identity.cloned(), ..target(&sshd) };
        Logins::new(options(&sshd, &config)).expect("the options").connect(&target)
    };
    assert!(connect("", None).is_ok());
    // The agent holds the private part of the key that is named.
    assert!(connect("", Some(&path)).is_ok());
    assert!(connect(&format!("IdentitiesOnly yes\nIdentityFile {}", path.display()), None).is_ok());
    assert!(matches!(error(connect("", Some(&wrong))), Error::Refused { .. }));
    let others = format!("IdentitiesOnly yes\nIdentityFile {}", wrong.display());
    assert!(matches!(error(connect(&others, None)), Error::Refused { .. }));
}

#[test]
fn a_port_where_nobody_listens_is_named() {
    let Some(mut sshd) = Sshd::start() else { return };
    sshd.kill();
    let refused = error(connect(&sshd)).to_string();
    assert!(
        refused.contains(&format!("cannot connect: 127.0.0.1:{}: Connection refused", sshd.port())),
        "{refused}"
    );
}

#[test]
fn a_name_that_does_not_exist_is_named() {
    let Some(sshd) = Sshd::start() else { return };
    let logins = Logins::new(options(&sshd, "")).expect("the options");
    let unknown = error(logins.connect(&named("no-such-host.invalid")));
    assert!(matches!(unknown, Error::Resolve { .. }), "{unknown}");
    assert!(unknown.to_string().contains("no-such-host.invalid cannot be resolved"), "{unknown}");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let Some(sshd) = Sshd::start() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let options = Options { timeout: Duration::from_millis(300), ..options(&sshd, "") };
    let target = Target { port: Some(port), ..target(&sshd) };
    let silent = error(Logins::new(options).expect("the options").connect(&target));
    assert!(matches!(silent, Error::Silent { .. }), "{silent}");
    assert!(silent.to_string().contains(&format!("127.0.0.1:{port}: no answer within 0.3 s")), "{silent}");
}

#[test]
fn a_host_that_does_not_answer_is_given_up() {
    let Some(sshd) = Sshd::start() else { return };
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
    let full = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&full, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    listen(&full, 0).expect("a listener");
    let place =
        std::net::SocketAddr::try_from(getsockname(&full).expect("its address")).expect("an IPv4 address");
    // Once its queue is full, the system drops what asks for more.
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&place, Duration::from_millis(200)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "a listener without a queue takes 100 connections");
    }
    let options = Options { timeout: Duration::from_millis(300), ..options(&sshd, "") };
    let target = Target { port: Some(place.port()), ..target(&sshd) };
    let silent = error(Logins::new(options).expect("the options").connect(&target)).to_string();
    assert!(silent.contains(&format!("cannot connect: {place}: timed out after 0.3 s")), "{silent}");
}

#[test]
fn something_else_than_ssh_is_named() {
    use std::io::Write;
    let Some(sshd) = Sshd::start() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let server = std::thread::spawn(move || {
        listener.accept().and_then(|(mut stream, _)| stream.write_all(b"hello\r\n"))
    });
    let target = Target { port: Some(port), ..target(&sshd) };
    let other = error(Logins::new(options(&sshd, "")).expect("the options").connect(&target));
    server.join().expect("the server").expect("its greeting");
    assert!(matches!(other, Error::Handshake { .. }), "{other}");
}

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
fn an_agent_that_never_answers_is_given_up() {
    let Some(sshd) = Sshd::start() else { return };
    let socket = sshd.folder().join("hung");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let held = std::thread::spawn(move || listener.accept());
    let config = format!("IdentityAgent {}\n", socket.display());
    let options = Options { timeout: Duration::from_secs(2), ..options(&sshd, &config) };
    let hung = error(Logins::new(options).expect("the options").connect(&target(&sshd)));
    let expected = format!(": the SSH agent at {} did not answer within 2 s", socket.display());
    assert!(hung.to_string().ends_with(&expected), "{hung}");
    assert!(hung.hint().is_some_and(|hint| hint.contains("IdentityAgent none")), "{hung:?}");
    held.join().expect("no panic").expect("the login has asked it");
}

#[test]
fn a_login_key_with_a_byte_order_mark_is_named() {
    let Some(sshd) = Sshd::start() else { return };
    let path = key(&sshd, "marked", "ed25519", "");
    let text = fs::read_to_string(&path).expect("a key");
    fs::write(&path, format!("\u{feff}{text}")).expect("a key");
    let target = Target { identity: Some(path), ..target(&sshd) };
    let refused = error(Logins::new(options(&sshd, "")).expect("the options").connect(&target)).to_string();
    assert!(
        refused.contains("marked (it begins with a byte-order mark; save it as UTF-8 without one)"),
        "{refused}"
    );
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
    assert!(unknown.to_string().contains("cannot resolve the name no-such-host.invalid"), "{unknown}");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let Some(sshd) = Sshd::start() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let options = Options { timeout: Duration::from_millis(300), ..options(&sshd, "") };
    let target = Target { port: Some(port), ..target(&sshd) };
    let silent = error(Logins::new(options).expect("the options").connect(&target));
    assert!(matches!(silent, Error::Late { .. }), "{silent}");
    let expected = format!("127.0.0.1:{port}: the handshake was not over after 0.3 s");
    assert!(silent.to_string().contains(&expected), "{silent}");
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

/// A server on loopback that does the same with every connection: its port.
fn serve(answer: impl Fn(TcpStream) -> std::io::Result<()> + Copy + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    // They end with the process of the tests, or with the connection.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

#[test]
fn a_server_that_talks_for_ever_is_given_up() {
    let Some(sshd) = Sshd::start() else { return };
    let flood = |text: &'static str, pause: Duration| {
        move |mut stream: TcpStream| {
            loop {
                stream.write_all(text.as_bytes())?;
                std::thread::sleep(pause);
            }
        }
    };
    let slowly = Duration::from_millis(20);
    let ports = [
        serve(flood("welcome\r\n", Duration::ZERO)),
        serve(flood("w", slowly)),
        serve(flood("SSH-2.0-x\r\n\0\0\0\u{c}\u{a}\u{2}\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", slowly)),
    ];
    for port in ports {
        let options = Options { timeout: Duration::from_millis(700), ..options(&sshd, "") };
        let target = Target { port: Some(port), ..target(&sshd) };
        let late = error(Logins::new(options).expect("the options").connect(&target));
        assert!(matches!(late, Error::Late { .. } | Error::Handshake { .. }), "{late}");
    }
}

#[test]
fn a_server_that_closes_before_the_login_is_asked_again() {
    use std::io::Write;
    let Some(sshd) = Sshd::start() else { return };
    // In the words of OpenSSH.
    let port = serve(|mut stream| stream.write_all(b"Exceeded MaxStartups\r\n"));
    let options = Options { timeout: Duration::from_secs(1), ..options(&sshd, "") };
    let target = Target { port: Some(port), ..target(&sshd) };
    let closed = error(Logins::new(options).expect("the options").connect(&target));
    assert!(matches!(closed, Error::Closed { tries: 2.., .. }), "{closed:?}");
    assert!(closed.to_string().contains("it said 'Exceeded MaxStartups'"), "{closed}");
    assert!(closed.hint().is_some_and(|hint| hint.contains("MaxStartups")), "{closed:?}");
}

/// Logs in at all hosts at the same time, and runs a command there.
fn log_in_everywhere(logins: &Logins, hosts: &[String]) {
    let here = std::sync::Barrier::new(hosts.len());
    std::thread::scope(|scope| {
        for host in hosts {
            let here = &here;
            scope.spawn(move || {
                here.wait();
                let mut session = logins.connect(&named(host)).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(run(&mut session, &format!("echo {host}"), b"").1, format!("{host}\n").as_bytes());
            });
        }
    });
}

/// An OpenSSH server as it is installed drops connections while ten logins are under way.
const AS_INSTALLED: &str = "MaxStartups 10:30:100";

#[test]
fn many_names_of_one_server_get_in() {
    let Some(sshd) = Sshd::start_with(&["ed25519"], AS_INSTALLED) else { return };
    let config = format!(
        "Host *\n  HostName 127.0.0.1\n  Port {}\n  IdentityFile {}\n  IdentitiesOnly yes\n",
        sshd.port(),
        sshd.identity().display()
    );
    let options = Options { timeout: Duration::from_secs(60), ..options(&sshd, &config) };
    let hosts: Vec<String> = (0..64).map(|host| format!("node{host}")).collect();
    log_in_everywhere(&Logins::new(options).expect("the options"), &hosts);
}

#[test]
fn many_hosts_behind_one_gate_get_in() {
    let everywhere =
        sshd::Place { address: "0.0.0.0".parse().expect("an address"), port: None, enter: Vec::new() };
    let Some(gate) = Sshd::start_with(&["ed25519"], AS_INSTALLED) else { return };
    let Some(far) = Sshd::start_at(&everywhere, &["ed25519"], AS_INSTALLED) else { return };
    // One server under as many addresses: they do not wait for each other there, so that it does drop some.
    let config = format!(
        "Host gate\n  HostName 127.0.0.1\n  Port {}\n  IdentityFile {}\n\
         Host 127.*\n  ProxyJump gate\n  Port {}\n  IdentityFile {}\nHost *\n  IdentitiesOnly yes\n",
        gate.port(),
        gate.identity().display(),
        far.port(),
        far.identity().display()
    );
    let lines = format!(
        "{}[127.0.1.*]:{} {}\n",
        gate.known_hosts_line("ed25519"),
        far.port(),
        far.host_key("ed25519")
    );
    fs::write(gate.known_hosts(), lines).expect("the known hosts");
    let options = Options { timeout: Duration::from_secs(60), ..options(&gate, &config) };
    let hosts: Vec<String> = (1..=64).map(|host| format!("127.0.1.{host}")).collect();
    log_in_everywhere(&Logins::new(options).expect("the options"), &hosts);
}

#[test]
fn something_else_than_ssh_is_named() {
    use std::io::Write;
    let Some(sshd) = Sshd::start() else { return };
    let port = serve(|mut stream| {
        stream.write_all(b"SSH-1.5-old\r\n")?;
        stream.read(&mut [0; 64]).map(drop)
    });
    let target = Target { port: Some(port), ..target(&sshd) };
    let options = Options { timeout: Duration::from_secs(1), ..options(&sshd, "") };
    let other = error(Logins::new(options).expect("the options").connect(&target));
    assert!(other.to_string().contains("SSH-1.5-old"), "{other}");
}

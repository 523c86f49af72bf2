//! What configurations mean for a login.

use super::*;
use std::fs;

fn hop(text: &str, target: &Target) -> Hop {
    let config = Config::of_text(text, "/home/me", "me");
    config.hop(target, &config.settings(target).expect("settings")).expect("a login")
}

fn named(host: &str) -> Target {
    Target { host: host.to_string(), user: None, port: None, identity: None }
}

#[test]
fn without_sections_the_defaults_of_ssh_hold() {
    let settled = hop("", &named("node1"));
    let ssh = |name: &str| Path::new("/home/me/.ssh").join(name);
    let expected = Hop {
        user: "me".to_string(),
        host: "node1".to_string(),
        port: 22,
        identities: Identities {
            files: vec![ssh("id_ed25519"), ssh("id_ecdsa"), ssh("id_rsa")],
            named: false,
            only: false,
            agent: AgentSocket::Environment,
        },
        known_hosts: vec![
            ssh("known_hosts"),
            ssh("known_hosts2"),
            PathBuf::from("/etc/ssh/ssh_known_hosts"),
            PathBuf::from("/etc/ssh/ssh_known_hosts2"),
        ],
        host_key_alias: None,
        timeout: None,
    };
    assert_eq!(settled, expected);
}

#[test]
fn sections_fill_in_what_the_target_leaves_open() {
    let text = "Host node*\n  hostname %h.cluster\n  User = them\n  User late\n  Port 2222\n  ConnectTimeout 7\n\
         \x20 IdentityFile ~/keys/%r@%n\n  IdentityFile %d/%%h\n  IdentitiesOnly yes\n  IdentityAgent none\n\
         \x20 UserKnownHostsFile \"~/a\" /b\n  GlobalKnownHostsFile ~/c %d\n  HostKeyAlias Node\n";
    let settled = hop(text, &named("node1"));
    assert_eq!((settled.user.as_str(), settled.host.as_str(), settled.port), ("them", "node1.cluster", 2222));
    assert_eq!(settled.timeout, Some(Duration::from_secs(7)));
    assert_eq!(settled.identities.files, ["/home/me/keys/them@node1", "/home/me/%h"].map(PathBuf::from));
    assert!(settled.identities.only && settled.identities.agent == AgentSocket::None);
    assert_eq!(settled.known_hosts, ["/home/me/a", "/b", "/home/me/c", "%d"].map(PathBuf::from));
    assert_eq!(settled.host_key_alias.as_deref(), Some("Node"));

    let target = Target {
        user: Some("me".to_string()),
        port: Some(22),
        identity: Some("~/k".into()),
        ..named("node1")
    };
    let settled = hop(text, &target);
    assert_eq!((settled.user.as_str(), settled.port), ("me", 22));
    assert_eq!(settled.identities.files, [PathBuf::from("/home/me/k")]);
}

#[test]
fn a_match_sees_what_the_lines_before_it_say() {
    let text = "Host n1\n  HostName %h.cluster\n  User them\nMatch host n1.cluster user them localuser me\n  Port 7\n\
         Match host n1\n  ConnectTimeout 1\nMatch !originalhost n1\n  User other\nMatch user you\n  Port 8\n";
    let settled = hop(text, &named("n1"));
    assert_eq!((settled.user.as_str(), settled.port, settled.timeout), ("them", 7, None));
    // The user of the hostfile counts before all lines.
    assert_eq!(hop(text, &Target { user: Some("you".to_string()), ..named("n1") }).port, 8);
    assert_eq!(hop(text, &named("n2")).user, "other");
}

#[test]
fn the_file_of_the_system_counts_after_that_of_the_user() {
    let root = tempfile::tempdir().unwrap();
    let (home, system) = (root.path().join("home"), root.path().join("etc/ssh_config"));
    let ports = |user_file: Option<&str>, system_file: Option<&str>| {
        let files = [(home.join(".ssh/config"), user_file), (system.clone(), system_file)];
        for (path, text) in files {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::remove_file(&path).ok();
            if let Some(text) = text {
                fs::write(path, text).unwrap();
            }
        }
        let sections = read_default(&home, &system).unwrap();
        let config = Config::new(sections, home.clone(), None, OnceLock::from(Ok("me".to_string())));
        ["a", "b"].map(|host| config.hop(&named(host), &config.settings(&named(host)).unwrap()).unwrap().port)
    };
    fs::create_dir_all(root.path().join("etc/d")).unwrap();
    fs::write(root.path().join("etc/d/1.conf"), "Host b\n  Port 5\n").unwrap();
    // A section ends with its file.
    let (user_file, system_file) = ("Host a\n  Port 3\n", "Include d/*.conf\nHost *\n  Port 4\n");
    assert_eq!(ports(None, None), [22, 22]);
    assert_eq!(ports(Some(user_file), None), [3, 22]);
    assert_eq!(ports(None, Some(system_file)), [4, 5]);
    assert_eq!(ports(Some(user_file), Some(system_file)), [3, 5]);
}

#[test]
fn each_unsupported_match_that_would_make_a_difference_is_reported_once() {
    let text = "User them\nMatch exec true\n  User me\nMatch host a final\n  ForwardAgent yes\n\
         Match exec true host a\n  Port 1\nMatch tagged x\n  Host b\n  Port 2\n";
    let config = Config::of_text(text, "/home/me", "me");
    for _ in 0..2 {
        assert_eq!(config.settings(&named("a")).unwrap().port, None);
    }
    let warned: Vec<_> = config.warned.lock().unwrap().iter().cloned().collect();
    assert_eq!(warned, [("config:6".to_string(), "exec".to_string())]);
}

#[test]
fn warnings_come_in_the_order_of_the_lines() {
    let lines = |number: usize| format!("Match exec {number}\n  Port {number}\n");
    let config = Config::of_text(&(1..=6).map(lines).collect::<String>(), "/home/me", "me");
    let target = named("a");
    let query = Query { host: &target.host, user: None, local_user: &|| Ok("me".to_string()) };
    let mut unclear = Vec::new();
    config.sections.query(&query, &mut unclear).unwrap();
    let places: Vec<&str> = unclear.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, ["config:1", "config:3", "config:5", "config:7", "config:9", "config:11"]);
}

#[test]
fn a_configuration_is_read_if_there_is_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let port = || {
        let config = Config::read(Some(&path), None)?;
        Ok::<_, Error>(config.settings(&named("a"))?.port)
    };
    let message = |result: Result<Option<u16>, Error>| result.unwrap_err().to_string();
    assert!(message(port()).starts_with(&format!("{}: No such file", path.display())));
    fs::write(&path, "Port 3\n").unwrap();
    assert_eq!(port().unwrap(), Some(3));
    for none in ["none", "NONE"] {
        let config = Config::read(Some(Path::new(none)), None).unwrap();
        assert_eq!(config.settings(&named("a")).unwrap(), Settings::default());
    }
    let marked = "it begins with a byte-order mark; save it as UTF-8 without one";
    fs::write(&path, "\u{feff}Port 3\n").unwrap();
    assert_eq!(message(port()), format!("{}: {marked}", path.display()));
    let included = folder.path().join("included");
    fs::rename(&path, &included).unwrap();
    fs::write(&path, format!("Include {}\n", included.display())).unwrap();
    assert_eq!(message(port()), format!("{}: {marked}", included.display()));
}

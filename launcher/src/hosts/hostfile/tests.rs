//! Tests of hostfiles.

use super::*;
use proptest::prelude::*;

fn one(line: &str) -> Host {
    let mut hosts = parse(line, "hosts").unwrap();
    assert_eq!(hosts.len(), 1, "{line}");
    hosts.remove(0)
}

fn message(text: &str) -> String {
    parse(text, "hosts").unwrap_err().to_string()
}

#[test]
fn the_example_of_the_readme() {
    let text = "# two workers and this machine\n\
                localhost           slots=2\n\
                user@node1:2222    slots=8 identity=~/.ssh/cluster\n\n\
                node2               slots=4 iface=eth1 env.RUST_LOG=debug workdir=/scratch/run  # last\n";
    let hosts = parse(text, "hosts").unwrap();
    assert!(hosts[0].is_here() && !hosts[1].is_here() && !hosts[2].is_here());
    let expected = Host {
        name: "node1".into(),
        user: Some("user".into()),
        port: Some(2222),
        slots: Some(8),
        identity: Some("~/.ssh/cluster".into()),
        ..Host::default()
    };
    assert_eq!(hosts[1], expected);
    let expected = Host {
        name: "node2".into(),
        slots: Some(4),
        interface: Some("eth1".into()),
        env: vec![("RUST_LOG".into(), "debug".into())],
        folder: Some("/scratch/run".into()),
        ..Host::default()
    };
    assert_eq!(hosts[2], expected);
}

#[test]
fn addresses_of_both_kinds() {
    assert_eq!((one("10.0.0.1:22").name.as_str(), one("10.0.0.1:22").port), ("10.0.0.1", Some(22)));
    let v6 = one("a@[fe80::1]:2222 cpus=0-2,8 addr=fe80::2 max_slots=4");
    assert_eq!((v6.name.as_str(), v6.user.as_deref(), v6.port), ("fe80::1", Some("a"), Some(2222)));
    assert_eq!(v6.cores, Some(vec![0, 1, 2, 8]));
    assert_eq!(v6.address, Some("fe80::2".parse().unwrap()));
    assert_eq!((one("[::1]").name.as_str(), one("[::1]").port), ("::1", None));
}

#[test]
fn mistakes_are_named_with_line_and_column() {
    for (text, expected) in [
        ("a\n\nb slots=0", "hosts:3:9: slots must be a whole number from 1 to 1024, it is '0'"),
        ("a:70000", "hosts:1:3: port must be a whole number from 1 to 65535, it is '70000'"),
        ("u@a port=1 port=2", "hosts:1:12: port is given twice"),
        ("u@a user=v", "hosts:1:5: user is given twice"),
        ("a slots", "hosts:1:3: 'slots' is not an option: expected name=value"),
        ("a\nA slots=2", "hosts:2:1: host 'A' is already in line 1"),
        ("a slots=1\na:22", "hosts:2:1: host 'a' is already in line 1"),
        ("a slots=1\na slots=1", "hosts:2:1: host 'a' is already in line 1"),
        ("a slots = 4", "hosts:1:3: no blanks around =: slots=VALUE"),
        ("a slots= 4", "hosts:1:3: no blanks around =: slots=VALUE"),
        ("a slots =4", "hosts:1:3: no blanks around =: slots=VALUE"),
        ("a 4", "hosts:1:3: '4' is not an option: expected name=value; did you mean 'slots=4'?"),
        ("a 0", "hosts:1:3: '0' is not an option: expected name=value"),
        ("a 0 q UNDEFINED", "hosts:1:3: slots must be a whole number from 1 to 1024, it is '0'"),
        ("fe80::1", "hosts:1:1: 'fe80::1': an IPv6 address needs brackets: [fe80::1]"),
        ("[fe80::1", "hosts:1:1: '[fe80::1': the ']' is missing"),
        ("[fe80::g]", "hosts:1:1: 'fe80::g' is not an IPv6 address"),
        ("-oProxyCommand=x", "hosts:1:1: '-oProxyCommand=x' cannot be the name of a host"),
        ("-l@a", "hosts:1:1: '-l' cannot be the name of a user"),
        ("a slots=4 max_slots=2", "hosts:1:1: max_slots=2 is less than slots=4"),
        ("a cpus=3-1", "hosts:1:8: cpus=3-1: expected numbers and ranges like 0-3,8"),
        ("a env.RANK=1", "hosts:1:3: RANK is set by isograd itself, for each rank"),
        ("a env.1=x", "hosts:1:3: '1' cannot be the name of a variable"),
        ("a workdir=", "hosts:1:11: workdir= has no value"),
        ("a addr=b", "hosts:1:8: addr=b: expected an IP address"),
    ] {
        assert_eq!(message(text), expected, "{text:?}");
    }
    let known = "slots, max_slots, user, port, identity, iface, addr, cpus, workdir, env.NAME";
    let expected = format!("hosts:1:3: unknown option 'slot'; known are {known}; did you mean 'slots'?");
    assert_eq!(message("a slot=2"), expected);
    assert!(message(&format!("a {}", "x".repeat(1 << 20))).len() < 200, "an error quotes a line at most");
}

fn slots(text: &str) -> Vec<(String, Option<u32>)> {
    parse(text, "hosts").unwrap().into_iter().map(|host| (host.name, host.slots)).collect()
}

#[test]
fn batch_systems_write_a_line_for_each_slot() {
    let expected = |list: &[(&str, Option<u32>)]| -> Vec<_> {
        list.iter().map(|(name, slots)| (name.to_string(), *slots)).collect()
    };
    assert_eq!(slots("a\nb\n"), expected(&[("a", None), ("b", None)]));
    // In such a file a single line is one slot.
    assert_eq!(slots("a\nb\nA\na:22\n"), expected(&[("a", Some(3)), ("b", Some(1))]));
    assert_eq!(slots("a\na\nb slots=4\n"), expected(&[("a", Some(2)), ("b", Some(4))]));
    let sge = "node1 4 all.q@node1 UNDEFINED\nnode2 2 all.q@node2 <NULL>\nnode1 1 b.q@node1 UNDEFINED\n";
    assert_eq!(slots(sge), expected(&[("node1", Some(5)), ("node2", Some(2))]));
    let many = "a\n".repeat(1025);
    assert_eq!(message(&many), "hosts:1:1: host 'a' has 1025 slots, at most 1024 are possible");
}

#[test]
fn other_launchers_spellings() {
    assert_eq!((one("a slots=2 max-slots=3").max_slots, one("a max_slots=3").max_slots), (Some(3), Some(3)));
    let hint = one("node1:4").port_hint().unwrap();
    assert_eq!(hint, "'node1:4' names a port; 'slots=4' gives the host 4 ranks");
    assert!(one("node1:22").port_hint().is_none() && one("node1:2222").port_hint().is_none());
}

#[test]
fn a_missing_or_empty_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts");
    assert!(matches!(read(&path), Err(Error::Unreadable { .. })));
    std::fs::write(&path, "# no host\n").unwrap();
    assert!(matches!(read(&path), Err(Error::NoHost { .. })));
    std::fs::write(&path, b"\xff\n").unwrap();
    assert!(matches!(read(&path), Err(Error::Unreadable { .. })));
}

#[test]
fn hosts_inline() {
    let hosts = inline("a:2,u@b,[::1]:3").unwrap();
    let parts: Vec<_> = hosts.iter().map(|host| (host.name.as_str(), host.slots)).collect();
    assert_eq!(parts, [("a", Some(2)), ("b", None), ("::1", Some(3))]);
    assert_eq!(hosts[1].user.as_deref(), Some("u"));
    assert_eq!(inline("a,,b").unwrap_err().to_string(), "-H:1:3: '' cannot be the name of a host");
    assert_eq!(inline("a,b,a:2").unwrap_err().to_string(), "-H:1:5: host 'a' is there already");
    assert!(inline("a:0").is_err());
}

/// A line that means `host`.
fn line(host: &Host) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let name = if host.name.contains(':') { format!("[{}]", host.name) } else { host.name.clone() };
    let mut line = host.user.as_ref().map_or_else(String::new, |user| format!("{user}@")) + &name;
    line += &host.port.map_or_else(String::new, |port| format!(":{port}"));
    let mut add = |name: &str, value: Option<String>| {
        line += &value.map_or_else(String::new, |value| format!("\t{name}={value}"));
    };
    add("slots", host.slots.map(|slots| slots.to_string()));
    add("identity", host.identity.as_ref().map(|path| quoted(path.to_str().unwrap())));
    add("cpus", host.cores.as_ref().map(|cores| cores::list(cores)));
    add("addr", host.address.map(|address| address.to_string()));
    add("workdir", host.folder.as_ref().map(|folder| quoted(folder)));
    for (name, value) in &host.env {
        line += &format!(" env.{name}={}", quoted(value));
    }
    line
}

fn hosts() -> impl Strategy<Value = Host> {
    let name = prop_oneof![
        "[a-z0-9][a-z0-9.-]{0,20}",
        any::<std::net::Ipv6Addr>().prop_map(|address| address.to_string())
    ];
    let text = "[ -~é]{1,12}";
    let cores = proptest::collection::btree_set(0usize..300, 1..9).prop_map(|set| set.into_iter().collect());
    let env = proptest::collection::btree_map("[A-Z_][A-Z0-9_]{0,5}", "[ -~é\t]{0,12}", 0..3);
    let access = (
        name,
        proptest::option::of("[a-z][a-z0-9_-]{0,8}"),
        proptest::option::of(1..=u16::MAX),
        proptest::option::of(text.prop_map(PathBuf::from)),
    );
    let rest = (
        proptest::option::of(1..=MAX_SLOTS),
        proptest::option::of(any::<IpAddr>()),
        proptest::option::of(cores),
        proptest::option::of(text),
        env.prop_map(|map| map.into_iter().collect()),
    );
    (access, rest).prop_map(|((name, user, port, identity), (slots, address, cores, folder, env))| Host {
        name,
        user,
        port,
        identity,
        slots,
        address,
        cores,
        folder,
        env,
        ..Host::default()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(host in hosts()) {
        prop_assert_eq!(&one(&line(&host)), &host, "{}", line(&host));
    }

    #[test]
    fn whatever_is_read_is_hosts_or_a_place(text in "[a-z@:=\\[\\]\" \\\\#0-9\n.,é-]{0,60}") {
        match parse(&text, "hosts") {
            Ok(hosts) => prop_assert!(hosts.len() <= text.lines().count()),
            Err(Error::Line { line, column, .. }) => {
                let found = text.lines().nth(line - 1).expect("the line exists");
                prop_assert!((1..=found.chars().count() + 1).contains(&column), "{line}:{column}");
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

//! Hostfiles.
//!
//! ```text
//! line   = [host {option}] [# comment]
//! host   = [user@]name[:port] | [user@][v6-address]:port | [user@][v6-address]
//! option = slots=N | max_slots=N | user=NAME | port=N | identity=FILE | iface=NAME | addr=ADDRESS | cpus=0-3,8
//!        | workdir=FOLDER | env.NAME=VALUE
//! ```

use super::Host;
use super::grammar::{Problem, Word, words};
use crate::system::cores;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// Longer than any hostfile, in bytes.
const LIMIT: u64 = 16 << 20;
/// More ranks than any host runs.
const MAX_SLOTS: u32 = 1024;
/// The longest name that a host can have.
const MAX_NAME: usize = 253;

/// What is wrong with a list of hosts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Mistake {
    #[error("--hostfile {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{file}:{line}:{column}: {problem}")]
    Line { file: String, line: usize, column: usize, problem: String },
    #[error("{list}: it names no host")]
    NoHost { list: String },
}

/// Reads a hostfile; at least one host.
pub(crate) fn read(path: &Path) -> Result<Vec<Host>, Mistake> {
    let unreadable = |source| Mistake::Unreadable { path: path.to_path_buf(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(LIMIT + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LIMIT {
        return Err(unreadable(io::Error::other(format!("it has more than {LIMIT} bytes"))));
    }
    let hosts = parse(&text, &path.display().to_string())?;
    if hosts.is_empty() {
        return Err(Mistake::NoHost { list: format!("--hostfile {}", path.display()) });
    }
    Ok(hosts)
}

fn parse(text: &str, file: &str) -> Result<Vec<Host>, Mistake> {
    let mut hosts: Vec<(Host, usize)> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let mistake = |Problem { column, text }| Mistake::Line {
            file: file.to_string(),
            line: number,
            column,
            problem: text,
        };
        let words = words(line).map_err(mistake)?;
        let Some((first, options)) = words.split_first() else { continue };
        let host = host(first, options).map_err(mistake)?;
        if let Some((_, other)) = hosts.iter().find(|(other, _)| other.is_same(&host)) {
            let problem = format!("host '{}' stands in line {other} already", host.name);
            return Err(mistake(Problem::new(first.column, problem)));
        }
        hosts.push((host, number));
    }
    Ok(hosts.into_iter().map(|(host, _)| host).collect())
}

/// The hosts of `-H [user@]host[:slots],…`.
pub(crate) fn inline(list: &str) -> Result<Vec<Host>, Mistake> {
    let (mut hosts, mut column): (Vec<Host>, usize) = (Vec::new(), 1);
    for part in list.split(',') {
        let mistake = |Problem { column, text }| Mistake::Line {
            file: "-H".to_string(),
            line: 1,
            column,
            problem: text,
        };
        let word = Word { text: part.to_string(), column };
        let (mut host, slots) = address(&word).map_err(mistake)?;
        host.slots = slots.map(|slots| number(&slots, "slots", MAX_SLOTS)).transpose().map_err(mistake)?;
        if hosts.iter().any(|other| other.is_same(&host)) {
            return Err(mistake(Problem::new(column, format!("host '{}' is there already", host.name))));
        }
        hosts.push(host);
        column += part.chars().count() + 1;
    }
    Ok(hosts)
}

fn host(first: &Word, options: &[Word]) -> Result<Host, Problem> {
    let (mut host, port) = address(first)?;
    host.port = port.map(|port| number(&port, "port", u16::MAX.into())).transpose()?.map(|port| port as u16);
    for word in options {
        option(&mut host, word)?;
    }
    if let (Some(slots), Some(max)) = (host.slots, host.max_slots)
        && max < slots
    {
        let problem = format!("max_slots={max} is less than slots={slots}");
        return Err(Problem::new(first.column, problem));
    }
    Ok(host)
}

/// `[user@]host[:number]`: the host, and the number as it is written.
fn address(word: &Word) -> Result<(Host, Option<Word>), Problem> {
    let problem = |text: String| Problem::new(word.column, text);
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    let (user, rest) = match word.text.rsplit_once('@') {
        Some((user, rest)) => (Some(name_of_user(user, word.column)?), rest),
        None => (None, word.text.as_str()),
    };
    let (name, number) = if let Some(inner) = rest.strip_prefix('[') {
        let (name, behind) =
            inner.split_once(']').ok_or_else(|| problem(format!("'{rest}': the ']' is missing")))?;
        // A link-local address has the interface behind it: fe80::1%eth0.
        let (address, zone) = name.split_once('%').map_or((name, None), |(name, zone)| (name, Some(zone)));
        if address.parse::<Ipv6Addr>().is_err() || !zone.is_none_or(is_name) {
            return Err(problem(format!("'{name}' is no IPv6 address")));
        }
        match behind.strip_prefix(':') {
            Some(number) => (name, Some(number)),
            None if behind.is_empty() => (name, None),
            None => return Err(problem(format!("'{behind}' stands behind the address"))),
        }
    } else if rest.matches(':').count() > 1 {
        return Err(problem(format!("'{rest}': an IPv6 address stands in brackets: [{rest}]")));
    } else {
        let (name, number) = rest.split_once(':').map_or((rest, None), |(name, number)| (name, Some(number)));
        if name.len() > MAX_NAME || name.starts_with('-') || !is_name(name) {
            return Err(problem(format!("'{name}' is no name of a host")));
        }
        (name, number)
    };
    let column = |number: &str| word.column + word.text.chars().count() - number.chars().count();
    let number = number.map(|number| Word { text: number.to_string(), column: column(number) });
    Ok((Host { name: name.to_string(), user, ..Host::default() }, number))
}

fn option(host: &mut Host, word: &Word) -> Result<(), Problem> {
    let Some((name, value)) = word.text.split_once('=') else {
        return Err(Problem::new(word.column, format!("'{}' is no option: expected name=value", word.text)));
    };
    let value = Word { text: value.to_string(), column: word.column + name.chars().count() + 1 };
    let problem = |text: String| Problem::new(value.column, text);
    if value.text.is_empty() && !name.starts_with("env.") {
        return Err(problem(format!("{name}= has no value")));
    }
    let text = || value.text.clone();
    let is_first = match name {
        "slots" => set(&mut host.slots, number(&value, name, MAX_SLOTS)?),
        "max_slots" => set(&mut host.max_slots, number(&value, name, MAX_SLOTS)?),
        "port" => set(&mut host.port, number(&value, name, u16::MAX.into())? as u16),
        "user" => set(&mut host.user, name_of_user(&value.text, value.column)?),
        "identity" => set(&mut host.identity, PathBuf::from(text())),
        "iface" => set(&mut host.interface, text()),
        "workdir" => set(&mut host.folder, text()),
        "addr" => {
            let address = value.text.parse::<IpAddr>();
            let expected = match value.text.contains('%') {
                true => "ranks cannot use an address with a zone: give another address, or iface=",
                false => "expected an IP address",
            };
            let address = address.map_err(|_| problem(format!("addr={}: {expected}", value.text)))?;
            set(&mut host.address, address)
        }
        "cpus" => {
            let cores = cores::parse(&value.text);
            let expected = "expected numbers and ranges like 0-3,8";
            set(&mut host.cores, cores.ok_or_else(|| problem(format!("cpus={}: {expected}", value.text)))?)
        }
        _ => match name.strip_prefix("env.") {
            Some(variable) if is_variable(variable) => {
                let is_first = host.env.iter().all(|(other, _)| other != variable);
                host.env.push((variable.to_string(), text()));
                is_first
            }
            Some(variable) => {
                return Err(Problem::new(word.column, format!("'{variable}' is no name of a variable")));
            }
            None => return Err(unknown(name, word.column)),
        },
    };
    if is_first { Ok(()) } else { Err(Problem::new(word.column, format!("{name} is given twice"))) }
}

fn unknown(name: &str, column: usize) -> Problem {
    const KNOWN: [&str; 9] =
        ["slots", "max_slots", "user", "port", "identity", "iface", "addr", "cpus", "workdir"];
    let message = isograd_model::Error::unknown_name("option", name, &KNOWN);
    Problem::new(column, format!("{message}, env.NAME"))
}

/// Sets what was not set before; whether it was not.
fn set<T>(option: &mut Option<T>, value: T) -> bool {
    option.replace(value).is_none()
}

fn number(word: &Word, name: &str, max: u32) -> Result<u32, Problem> {
    match word.text.parse() {
        Ok(value) if (1..=max).contains(&value) && !word.text.starts_with('+') => Ok(value),
        _ => Err(Problem::new(
            word.column,
            format!("{name} must be a whole number from 1 to {max}, it is '{}'", word.text),
        )),
    }
}

fn name_of_user(text: &str, column: usize) -> Result<String, Problem> {
    let is_name = |c: char| c.is_alphanumeric() || "-._@$\\+".contains(c);
    if text.is_empty() || text.starts_with('-') || !text.chars().all(is_name) {
        return Err(Problem::new(column, format!("'{text}' is no name of a user")));
    }
    Ok(text.to_string())
}

/// Whether an environment variable can have this name.
pub(crate) fn is_variable(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_inner)
}

#[cfg(test)]
mod tests {
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
        let zone = one("a@[fe80::1%eth0]:22");
        assert_eq!((zone.name.as_str(), zone.port), ("fe80::1%eth0", Some(22)));
        assert_eq!(inline("[fe80::1%eth0]:3").unwrap()[0].name, "fe80::1%eth0");
        for bad in ["[fe80::1%]", "[fe80::1% x]", "[%eth0]", "[10.0.0.1%eth0]"] {
            assert!(
                message(bad).contains("is no IPv6 address") || message(bad).contains("is missing"),
                "{bad}"
            );
        }
        assert!(message("a addr=fe80::1%eth0").contains("cannot use an address with a zone"));
    }

    #[test]
    fn mistakes_are_named_with_line_and_column() {
        for (text, expected) in [
            ("a\n\nb slots=0", "hosts:3:9: slots must be a whole number from 1 to 1024, it is '0'"),
            ("a:70000", "hosts:1:3: port must be a whole number from 1 to 65535, it is '70000'"),
            ("u@a port=1 port=2", "hosts:1:12: port is given twice"),
            ("u@a user=v", "hosts:1:5: user is given twice"),
            ("a slots", "hosts:1:3: 'slots' is no option: expected name=value"),
            ("a\nA slots=2", "hosts:2:1: host 'A' stands in line 1 already"),
            ("a\na:22", "hosts:2:1: host 'a' stands in line 1 already"),
            ("fe80::1", "hosts:1:1: 'fe80::1': an IPv6 address stands in brackets: [fe80::1]"),
            ("[fe80::1", "hosts:1:1: '[fe80::1': the ']' is missing"),
            ("[fe80::g]", "hosts:1:1: 'fe80::g' is no IPv6 address"),
            ("-oProxyCommand=x", "hosts:1:1: '-oProxyCommand=x' is no name of a host"),
            ("-l@a", "hosts:1:1: '-l' is no name of a user"),
            ("a slots=4 max_slots=2", "hosts:1:1: max_slots=2 is less than slots=4"),
            ("a cpus=3-1", "hosts:1:8: cpus=3-1: expected numbers and ranges like 0-3,8"),
            ("a env.1=x", "hosts:1:3: '1' is no name of a variable"),
            ("a workdir=", "hosts:1:11: workdir= has no value"),
            ("a addr=b", "hosts:1:8: addr=b: expected an IP address"),
        ] {
            assert_eq!(message(text), expected, "{text:?}");
        }
        assert!(message("a slot=2").contains("did you mean 'slots'?"), "{}", message("a slot=2"));
    }

    #[test]
    fn a_missing_or_empty_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        assert!(matches!(read(&path), Err(Mistake::Unreadable { .. })));
        std::fs::write(&path, "# nobody\n").unwrap();
        assert!(matches!(read(&path), Err(Mistake::NoHost { .. })));
        std::fs::write(&path, b"\xff\n").unwrap();
        assert!(matches!(read(&path), Err(Mistake::Unreadable { .. })));
    }

    #[test]
    fn hosts_inline() {
        let hosts = inline("a:2,u@b,[::1]:3").unwrap();
        let parts: Vec<_> = hosts.iter().map(|host| (host.name.as_str(), host.slots)).collect();
        assert_eq!(parts, [("a", Some(2)), ("b", None), ("::1", Some(3))]);
        assert_eq!(hosts[1].user.as_deref(), Some("u"));
        assert_eq!(inline("a,,b").unwrap_err().to_string(), "-H:1:3: '' is no name of a host");
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
        let cores =
            proptest::collection::btree_set(0usize..300, 1..9).prop_map(|set| set.into_iter().collect());
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
                Err(Mistake::Line { line, column, .. }) => {
                    let found = text.lines().nth(line - 1).expect("the line exists");
                    prop_assert!((1..=found.chars().count() + 1).contains(&column), "{line}:{column}");
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}

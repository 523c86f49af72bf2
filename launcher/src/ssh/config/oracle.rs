//! Our reading of configurations beside that of the `ssh` of this machine.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};

use super::*;

/// The keywords of `ssh -G` that are compared.
const COMPARED: [&str; 10] = [
    "hostname",
    "user",
    "port",
    "identityfile",
    "identitiesonly",
    "connecttimeout",
    "proxyjump",
    "proxycommand",
    "globalknownhostsfile",
    "hostkeyalias",
];

fn one_of<const N: usize>(words: [&'static str; N]) -> impl Strategy<Value = String> + use<N> {
    proptest::sample::select(words.to_vec()).prop_map(str::to_string)
}

/// A word in one of the ways to write it.
fn written(word: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (word, 0..6).prop_map(|(word, way)| match way {
        0 => format!("\"{word}\""),
        1 => format!("'{word}'"),
        2 => format!("{}\"{}\"", &word[..1], &word[1..]),
        _ if word.contains(' ') => word.replace(' ', "\\ "),
        _ => word,
    })
}

/// A keyword with its value, in one of the ways to write that.
fn line(keyword: &'static str, value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let keyword =
        proptest::sample::select(vec![keyword.to_string(), keyword.to_lowercase(), keyword.to_uppercase()]);
    let separator = one_of([" ", "=", " = ", "\t", "  =", "= "]);
    (one_of(["", "  ", "\t"]), keyword, separator, value, one_of(["", " ", " # a 'comment", "\t#x"]))
        .prop_map(|(indent, keyword, separator, value, end)| {
            format!("{indent}{keyword}{separator}{value}{end}")
        })
}

fn patterns(separator: &'static str) -> impl Strategy<Value = String> {
    let pattern = one_of(["a", "A", "b*", "*", "?", "!a", "!b?", "*.x", "bc", "!*.x", "me", "root", "r*"]);
    prop::collection::vec(pattern, 1..3).prop_map(move |patterns| patterns.join(separator))
}

/// A line of a configuration. OpenSSH takes `ProxyJump` and `Match` as they are, with quotes and all, so they
/// have none.
fn any_line() -> impl Strategy<Value = String> {
    let criterion =
        (one_of(["", "!"]), one_of(["host ", "originalhost ", "user ", "localuser ", "User=", "host = "]));
    let criterion =
        (criterion, patterns(",")).prop_map(|((not, name), patterns)| format!("{not}{name}{patterns}"));
    let criteria = prop::collection::vec(criterion, 1..3).prop_map(|criteria| criteria.join(" "));
    let criteria = prop_oneof![criteria, Just("all".to_string()), Just("!all".to_string())];
    let bare = |keyword: &'static str, value: BoxedStrategy<String>| {
        value.prop_map(move |value| format!("{keyword} {value}"))
    };
    prop_oneof![
        3 => line("Host", patterns(" ")),
        3 => bare("Match", criteria.boxed()),
        1 => line("HostName", written(one_of(["%h.x", "10.0.0.1", "bc", "A.x", "b%%h"]))),
        1 => line("User", written(one_of(["me", "root", "some body", "a#b", "it\\\\s"]))),
        1 => line("Port", written(one_of(["1", "22", "65535"]))),
        1 => line("IdentityFile", written(one_of(["~/k", "/k 1", "%d/k", "none"]))),
        1 => line("IdentitiesOnly", written(one_of(["yes", "No", "TRUE", "false"]))),
        1 => line("ConnectTimeout", written(one_of(["3", "1m30", "2H", "1d1s"]))),
        1 => bare("ProxyJump", one_of(["gate", "me@gate:3,far", "none", "NONE", "one,two,three"]).boxed()),
        1 => bare("ProxyCommand", one_of(["nc %h %p", "none"]).boxed()),
        1 => bare("GlobalKnownHostsFile", one_of(["/a", "/a ~/b", "none"]).boxed()),
        1 => line("HostKeyAlias", written(one_of(["alias", "Other.x"]))),
        1 => line("ServerAliveInterval", one_of(["3"])),
        1 => one_of(["", "# Host a", "   "]),
    ]
}

/// A configuration, a file that it includes in some of its lines, a host, and perhaps a user.
fn any_case() -> impl Strategy<Value = (Vec<String>, Vec<String>, String, Option<String>)> {
    let include = Just("Include INCLUDED".to_string());
    let lines = prop::collection::vec(prop_oneof![9 => any_line(), 1 => include], 0..14);
    let user = proptest::option::weighted(0.2, one_of(["me", "root"]));
    (lines, prop::collection::vec(any_line(), 0..6), one_of(["a", "b", "bc", "A", "d.x"]), user)
}

/// What `ssh -G` prints for the keywords that are compared; nothing where there is no `ssh`.
fn theirs(file: &Path, host: &str, user: Option<&str>) -> Option<BTreeSet<String>> {
    let mut command = Command::new("ssh");
    command.arg("-G").arg("-F").arg(file).args(user.map(|user| ["-l", user]).iter().flatten()).arg(host);
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let compared = |line: &&str| COMPARED.contains(&line.split(' ').next().unwrap_or_default());
    let given = |line: &&str| !["connecttimeout none", "proxycommand none"].contains(line);
    Some(text.lines().filter(compared).filter(given).map(str::to_string).collect())
}

/// The same of our own.
fn ours(config: &Config, host: &str, user: Option<&str>) -> BTreeSet<String> {
    let target =
        Target { host: host.to_string(), user: user.map(str::to_string), port: None, identity: None };
    let settings = config.settings(&target).unwrap_or_else(|error| panic!("{error}"));
    let hop = config.hop(&target, &settings).unwrap_or_else(|error| panic!("{error}"));
    let mut lines = vec![
        format!("hostname {}", hop.host.to_lowercase()),
        format!("user {}", hop.user),
        format!("port {}", hop.port),
        format!("identitiesonly {}", if hop.identities.only { "yes" } else { "no" }),
    ];
    lines.extend(hop.timeout.map(|timeout| format!("connecttimeout {}", timeout.as_secs())));
    let system = settings.system_known_hosts.clone();
    let system = system.unwrap_or_else(|| SYSTEM_KNOWN_HOSTS.map(str::to_string).to_vec());
    let system = if system.is_empty() { vec!["none".to_string()] } else { system };
    lines.push(format!("globalknownhostsfile {}", system.join(" ")));
    lines.extend(hop.host_key_alias.iter().map(|alias| format!("hostkeyalias {}", alias.to_lowercase())));
    lines.extend(settings.identity_files.iter().map(|file| format!("identityfile {file}")));
    match &settings.proxy {
        Some(Proxy::Jump(jumps)) => lines.push(format!("proxyjump {jumps}")),
        // `ssh` prints the command itself.
        Some(Proxy::Command) => lines.push("proxycommand nc %h %p".to_string()),
        Some(Proxy::None) | None => {}
    }
    lines.into_iter().collect()
}

#[test]
fn configurations_mean_what_they_mean_to_ssh() {
    let folder = tempfile::tempdir().unwrap();
    let [file, included] = ["config", "included"].map(|name| folder.path().join(name));
    if theirs(Path::new("/dev/null"), "a", None).is_none() {
        assert!(env::var_os("CI").is_none(), "there is no ssh (openssh-client)");
        eprintln!("SKIPPED: there is no ssh");
        return;
    }
    let mut runner = TestRunner::new(Cases { cases: 300, failure_persistence: None, ..Cases::default() });
    let outcome = runner.run(&any_case(), |(lines, more, host, user)| {
        let text = lines.join("\n").replace("INCLUDED", &included.display().to_string());
        fs::write(&file, &text).unwrap();
        fs::write(&included, more.join("\n")).unwrap();
        let config = Config::read(Some(&file), None).unwrap_or_else(|error| panic!("{error}"));
        let ours = ours(&config, &host, user.as_deref());
        let mut theirs = theirs(&file, &host, user.as_deref()).expect("ssh");
        // Without a key of the configuration, `ssh` prints its usual ones.
        if !ours.iter().any(|line| line.starts_with("identityfile ")) {
            theirs.retain(|line| !line.starts_with("identityfile ~/.ssh/id_"));
        }
        // OpenSSH 9.2 takes a `ProxyCommand` behind `ProxyJump none`, against its manual. We connect directly
        // either way.
        let has_none = |text: &str| text.to_lowercase().contains("proxyjump none");
        if !ours.iter().any(|line| line.starts_with("proxy"))
            && (has_none(&text) || has_none(&more.join("\n")))
        {
            theirs.retain(|line| !line.starts_with("proxycommand "));
        }
        prop_assert_eq!(
            ours,
            theirs,
            "host {}, user {:?}:\n{}\nincluded:\n{}",
            host,
            user,
            text,
            more.join("\n")
        );
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

//! The keywords of `~/.ssh/config` that concern us, and what they say of one host.

use std::time::Duration;

use crate::system::escape::excerpt;

/// What one line sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setting {
    HostName(String),
    User(String),
    Port(u16),
    /// Adds a key to those of the lines before; `none` adds none, and keeps the usual keys from being tried.
    IdentityFile(String),
    IdentitiesOnly(bool),
    IdentityAgent(String),
    /// `None`: no limit of its own.
    ConnectTimeout(Option<Duration>),
    Proxy(Proxy),
    UserKnownHostsFile(Vec<String>),
    GlobalKnownHostsFile(Vec<String>),
    HostKeyAlias(String),
}

/// How a host is connected to. `ProxyJump` and `ProxyCommand` are one setting: the first line of either
/// counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ssh) enum Proxy {
    None,
    /// Jump hosts, separated by commas.
    Jump(String),
    /// A program, which is not supported.
    Command,
}

/// What holds for one host: of each keyword, its first line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::ssh) struct Settings {
    pub(super) host_name: Option<String>,
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) identity_files: Vec<String>,
    pub(super) identities_only: Option<bool>,
    pub(super) identity_agent: Option<String>,
    pub(super) connect_timeout: Option<Option<Duration>>,
    pub(in crate::ssh) proxy: Option<Proxy>,
    pub(super) known_hosts: Option<Vec<String>>,
    pub(super) system_known_hosts: Option<Vec<String>>,
    pub(super) host_key_alias: Option<String>,
}

impl Setting {
    /// The setting of a line; `None` if the keyword does not concern us.
    ///
    /// # Errors
    /// The words make no sense.
    pub(super) fn parse(keyword: &str, words: &[String]) -> Result<Option<Self>, String> {
        let make: fn(&str) -> Result<Self, String> = match keyword {
            "hostname" => |word| Ok(Self::HostName(word.to_string())),
            "user" => |word| Ok(Self::User(word.to_string())),
            "port" => |word| match word.parse() {
                Ok(port) if port > 0 => Ok(Self::Port(port)),
                _ => Err("expected a number from 1 to 65535".to_string()),
            },
            "identityfile" => |word| Ok(Self::IdentityFile(word.to_string())),
            "identitiesonly" => |word| match word.to_ascii_lowercase().as_str() {
                "yes" | "true" => Ok(Self::IdentitiesOnly(true)),
                "no" | "false" => Ok(Self::IdentitiesOnly(false)),
                _ => Err("expected yes or no".to_string()),
            },
            "hostkeyalias" => |word| Ok(Self::HostKeyAlias(word.to_string())),
            "identityagent" => |word| Ok(Self::IdentityAgent(word.to_string())),
            "connecttimeout" => |word| {
                let expected = "expected a time like 30, 1m30s or none";
                Ok(Self::ConnectTimeout(timeout(word).ok_or_else(|| expected.to_string())?))
            },
            "proxyjump" => {
                let jumps = first(words)?;
                return Ok(Some(Self::Proxy(match jumps.eq_ignore_ascii_case("none") {
                    true => Proxy::None,
                    false => Proxy::Jump(words.join(" ")),
                })));
            }
            "proxycommand" => {
                let is_none = first(words)?.eq_ignore_ascii_case("none");
                return Ok(Some(Self::Proxy(if is_none { Proxy::None } else { Proxy::Command })));
            }
            "userknownhostsfile" => return Ok(Some(Self::UserKnownHostsFile(files(words)?))),
            "globalknownhostsfile" => return Ok(Some(Self::GlobalKnownHostsFile(files(words)?))),
            _ => return Ok(None),
        };
        match words {
            [_, extra, ..] => Err(format!("'{}' stands behind the value", excerpt(extra))),
            _ => make(first(words)?).map(Some),
        }
    }
}

fn first(words: &[String]) -> Result<&str, String> {
    match words {
        [first, ..] if !first.is_empty() => Ok(first),
        _ => Err("the value is missing".to_string()),
    }
}

/// One or more files; `none` are none.
fn files(words: &[String]) -> Result<Vec<String>, String> {
    first(words)?;
    match words {
        [word] if word.eq_ignore_ascii_case("none") => Ok(Vec::new()),
        _ if words.iter().any(|word| word.eq_ignore_ascii_case("none")) => {
            Err("none stands beside files".to_string())
        }
        _ => Ok(words.to_vec()),
    }
}

/// Seconds, or numbers with units like `1m30s`. `none` and zero are no limit.
fn timeout(word: &str) -> Option<Option<Duration>> {
    if word == "none" {
        return Some(None);
    }
    let (mut seconds, mut rest) = (0u64, word);
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let count: u32 = rest[..end].parse().ok()?;
        let mut behind = rest[end..].chars();
        let unit = match behind.next().map(|unit| unit.to_ascii_lowercase()) {
            None | Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 24 * 3600,
            Some('w') => 7 * 24 * 3600,
            Some(_) => return None,
        };
        seconds = seconds.checked_add(u64::from(count) * unit)?;
        rest = behind.as_str();
    }
    (!word.is_empty()).then(|| (seconds > 0).then(|| Duration::from_secs(seconds)))
}

impl Settings {
    /// Takes a line that is for the host, behind those that were taken before.
    pub(super) fn take(&mut self, setting: &Setting) {
        fn set<T: Clone>(first: &mut Option<T>, value: &T) {
            first.get_or_insert_with(|| value.clone());
        }
        match setting {
            Setting::HostName(name) => set(&mut self.host_name, name),
            Setting::User(user) => set(&mut self.user, user),
            Setting::Port(port) => set(&mut self.port, port),
            Setting::IdentityFile(file) if self.identity_files.contains(file) => {}
            Setting::IdentityFile(file) => self.identity_files.push(file.clone()),
            Setting::IdentitiesOnly(only) => set(&mut self.identities_only, only),
            Setting::IdentityAgent(agent) => set(&mut self.identity_agent, agent),
            Setting::ConnectTimeout(timeout) => set(&mut self.connect_timeout, timeout),
            Setting::Proxy(proxy) => set(&mut self.proxy, proxy),
            Setting::UserKnownHostsFile(files) => set(&mut self.known_hosts, files),
            Setting::GlobalKnownHostsFile(files) => set(&mut self.system_known_hosts, files),
            Setting::HostKeyAlias(alias) => set(&mut self.host_key_alias, alias),
        }
    }

    /// Whether taking the line would make a difference.
    pub(super) fn lacks(&self, setting: &Setting) -> bool {
        let mut with = self.clone();
        with.take(setting);
        with != *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Setting>, String> {
        let words: Vec<String> = line.split(' ').map(str::to_string).collect();
        Setting::parse(&words[0], &words[1..])
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in
            [("7", 7), ("1m30", 90), ("1M30S", 90), ("2h", 7200), ("1d", 86_400), ("1w", 604_800)]
        {
            assert_eq!(timeout(text), Some(Some(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["none", "0", "0m"] {
            assert_eq!(timeout(text), Some(None), "{text}");
        }
        for text in ["", "m", "1x", "-1", "1.5", "99999999999"] {
            assert_eq!(timeout(text), None, "{text}");
        }
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for line in [
            "port 0",
            "port many",
            "port 65536",
            "port",
            "user",
            "identitiesonly maybe",
            "port 1 2",
            "hostkeyalias",
            "globalknownhostsfile /a none",
            "userknownhostsfile",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse(&format!("port 1 {}", "2".repeat(1000))).unwrap_err().len() < 200);
        assert_eq!(parse("forwardagent perhaps"), Ok(None));
        assert_eq!(parse("proxyjump NONE"), Ok(Some(Setting::Proxy(Proxy::None))));
        assert_eq!(parse("userknownhostsfile None"), Ok(Some(Setting::UserKnownHostsFile(Vec::new()))));
        let system = Setting::GlobalKnownHostsFile(vec!["/a".to_string(), "b".to_string()]);
        assert_eq!(parse("globalknownhostsfile /a b"), Ok(Some(system)));
    }
}

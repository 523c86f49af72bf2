//! `~/.ssh/config`: from what the user calls a host to whom to log in at, over which other hosts, with which keys.
//!
//! ssh2-config parses the sections. It fails on values of keywords that do not concern us, and applies what stands under `Match` to the
//! section before it; so it is given only the lines that concern us, the first of a keyword in each section (which is the one
//! that counts), and nothing from under a `Match` other than `Match all`.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use ssh2_config::{HostParams, ParseRule, SshConfig};

use super::error::{Error, host_and_port};

/// Who to log in at, as the user named it. What is not given comes from `~/.ssh/config`, then from the defaults of `ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) user: Option<String>,
    pub(crate) port: Option<u16>,
    /// The only key to try.
    pub(crate) identity: Option<PathBuf>,
}

/// Who to log in at, with everything settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) identities: Identities,
    /// The first one takes new keys.
    pub(super) known_hosts: Vec<PathBuf>,
    pub(super) timeout: Option<Duration>,
}

/// Which keys to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identities {
    pub(super) files: Vec<PathBuf>,
    /// The files are named somewhere, so one that does not exist is worth a word.
    pub(super) named: bool,
    /// No other keys of the agent than those of `files`.
    pub(super) only: bool,
    pub(super) agent: AgentSocket,
}

/// Where the agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AgentSocket {
    /// `SSH_AUTH_SOCK`.
    Environment,
    Path(PathBuf),
    None,
}

/// The user's configuration.
pub(super) struct Config {
    sections: SshConfig,
    home: PathBuf,
    /// In place of the files of known hosts that the sections name.
    known_hosts: Option<PathBuf>,
    local_user: OnceLock<String>,
}

/// The keywords that concern us, in lower case.
const KEYWORDS: [&str; 12] = [
    "connecttimeout",
    "host",
    "hostname",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "include",
    "port",
    "proxycommand",
    "proxyjump",
    "user",
    "userknownhostsfile",
];
/// Those that may come more than once in a section.
const REPEATED: [&str; 2] = ["identityfile", "include"];

impl Config {
    /// Reads `path`, or `~/.ssh/config` if that exists.
    ///
    /// # Errors
    /// `NoHome`; `File` if the file cannot be read; `Config` if a line that concerns us makes no sense.
    pub(super) fn read(path: Option<&Path>, known_hosts: Option<PathBuf>) -> Result<Self, Error> {
        let home = env::home_dir().filter(|home| !home.as_os_str().is_empty()).ok_or(Error::NoHome)?;
        let file = path.map_or_else(|| home.join(".ssh/config"), Path::to_path_buf);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_none() => String::new(),
            Err(source) => return Err(Error::File { path: file, source }),
        };
        let sections = parse(&text, &home).map_err(|problem| Error::Config { path: file, problem })?;
        Ok(Self { sections, home, known_hosts, local_user: OnceLock::new() })
    }

    /// The logins that lead to `target`, which is the last of them.
    ///
    /// # Errors
    /// `BadJump`, `JumpCircle`, `NoUser`.
    pub(super) fn route(&self, target: &Target) -> Result<Vec<Hop>, Error> {
        let mut route = Vec::new();
        self.extend(target, &mut Vec::new(), &mut route)?;
        Ok(route)
    }

    /// Appends the jump hosts of `target`, each but the first without jump hosts of its own, and `target`. `under_way` has the hosts
    /// whose jump hosts are being looked up.
    fn extend(
        &self,
        target: &Target,
        under_way: &mut Vec<String>,
        route: &mut Vec<Hop>,
    ) -> Result<(), Error> {
        let params = self.sections.query(&target.host);
        let circle = under_way.contains(&target.host);
        under_way.push(target.host.clone());
        if circle {
            return Err(Error::JumpCircle { host: under_way[0].clone(), circle: under_way.clone() });
        }
        let jumps = params.proxy_jump.iter().flatten().map(String::as_str);
        for (place, jump) in jumps.filter(|jump| !jump.eq_ignore_ascii_case("none")).enumerate() {
            let jump = parse_jump(jump)
                .ok_or_else(|| Error::BadJump { host: target.host.clone(), jump: jump.to_string() })?;
            if place == 0 {
                self.extend(&jump, under_way, route)?;
            } else {
                route.push(self.hop(&jump, &self.sections.query(&jump.host))?);
            }
        }
        if params.proxy_jump.is_none()
            && words(&params, "proxycommand").is_some_and(|command| command != ["none"])
        {
            log::warn!("{}: ProxyCommand is not supported, ProxyJump is; connecting directly", target.host);
        }
        under_way.pop();
        route.push(self.hop(target, &params)?);
        Ok(())
    }

    fn hop(&self, target: &Target, params: &HostParams) -> Result<Hop, Error> {
        let host = match &params.host_name {
            Some(name) => expand(name, |token| (token == 'h').then(|| target.host.clone())),
            None => target.host.clone(),
        };
        let user = match target.user.as_ref().or(params.user.as_ref()) {
            Some(user) => user.clone(),
            None => self.local_user()?.to_string(),
        };
        let port = target.port.or(params.port).unwrap_or(22);
        let path = |text: &str| {
            self.from_home(&expand(text, |token| match token {
                'd' => Some(self.home.to_string_lossy().into_owned()),
                'h' => Some(host.clone()),
                'n' => Some(target.host.clone()),
                'p' => Some(port.to_string()),
                'r' => Some(user.clone()),
                'u' => self.local_user().ok().map(str::to_string),
                _ => None,
            }))
        };
        let identities = self.identities(target, params, &path);
        let known_hosts = self.known_hosts_files(params, &path);
        Ok(Hop { identities, known_hosts, timeout: params.connect_timeout, user, port, host })
    }

    fn identities(
        &self,
        target: &Target,
        params: &HostParams,
        path: &impl Fn(&str) -> PathBuf,
    ) -> Identities {
        let agent = match words(params, "identityagent") {
            Some([none]) if none.eq_ignore_ascii_case("none") => AgentSocket::None,
            Some([socket]) if socket != "SSH_AUTH_SOCK" => AgentSocket::Path(path(&unquote(socket))),
            _ => AgentSocket::Environment,
        };
        if let Some(file) = &target.identity {
            let files = vec![self.from_home(&file.to_string_lossy())];
            return Identities { files, named: true, only: true, agent };
        }
        let only = matches!(words(params, "identitiesonly"), Some([yes]) if yes.eq_ignore_ascii_case("yes"));
        match &params.identity_file {
            Some(named) => {
                let named = named.iter().map(|file| file.to_string_lossy());
                let files = named.filter(|file| file != "none").map(|file| path(&file)).collect();
                Identities { files, named: true, only, agent }
            }
            None => {
                let ours = ["id_ed25519", "id_ecdsa", "id_rsa"].map(|name| self.home.join(".ssh").join(name));
                Identities { files: ours.to_vec(), named: false, only, agent }
            }
        }
    }

    fn known_hosts_files(&self, params: &HostParams, path: &impl Fn(&str) -> PathBuf) -> Vec<PathBuf> {
        if let Some(file) = &self.known_hosts {
            return vec![file.clone()];
        }
        let mut files: Vec<PathBuf> = match words(params, "userknownhostsfile") {
            Some(files) => files
                .iter()
                .map(|file| unquote(file))
                .filter(|file| file != "none")
                .map(|file| path(&file))
                .collect(),
            None => ["known_hosts", "known_hosts2"].map(|name| self.home.join(".ssh").join(name)).to_vec(),
        };
        files.push(PathBuf::from("/etc/ssh/ssh_known_hosts"));
        files
    }

    fn from_home(&self, path: &str) -> PathBuf {
        match path.strip_prefix("~/") {
            Some(rest) => self.home.join(rest),
            None => PathBuf::from(path),
        }
    }

    /// The user who runs this: asked of `id`, since the variable USER survives a change of user.
    fn local_user(&self) -> Result<&str, Error> {
        if let Some(user) = self.local_user.get() {
            return Ok(user);
        }
        let output = Command::new("id").arg("-un").output().map_err(Error::NoUser)?;
        let user = String::from_utf8_lossy(&output.stdout).trim().to_string();
        if user.is_empty() {
            return Err(Error::NoUser(io::Error::other("'id -un' printed nothing")));
        }
        Ok(self.local_user.get_or_init(|| user))
    }
}

/// The words of a keyword that ssh2-config knows but does not parse.
fn words<'a>(params: &'a HostParams, keyword: &str) -> Option<&'a [String]> {
    params.unsupported_fields.get(keyword).map(Vec::as_slice)
}

/// One of several words keeps its quotes.
fn unquote(word: &str) -> String {
    word.trim_matches('"').to_string()
}

fn parse(text: &str, home: &Path) -> Result<SshConfig, String> {
    let parse = |lines: &str| {
        let rules = ParseRule::ALLOW_UNKNOWN_FIELDS | ParseRule::ALLOW_UNSUPPORTED_FIELDS;
        SshConfig::default().home_dir(home).parse(&mut lines.as_bytes(), rules)
    };
    let lines = what_concerns_us(text);
    parse(&lines).or_else(|error| {
        // An included file is read whole: what it says of other things must not keep anybody from logging in.
        let own: String = lines.split_inclusive('\n').filter(|line| keyword(line) != "include").collect();
        if own.len() == lines.len() {
            return Err(error.to_string());
        }
        log::warn!("~/.ssh/config: what it includes is left out: {error}");
        parse(&own).map_err(|error| error.to_string())
    })
}

/// The lines of the configuration that concern us, each with its end.
fn what_concerns_us(text: &str) -> String {
    let mut kept = String::new();
    let mut seen = HashSet::new();
    let mut under_match = false;
    for line in text.lines().map(str::trim) {
        let keyword = keyword(line);
        let value = line[keyword.len()..].trim_start_matches([' ', '\t', '=']);
        match keyword.as_str() {
            "match" => {
                under_match = !value.eq_ignore_ascii_case("all");
                seen.clear();
                if !under_match {
                    kept.push_str("Host *\n");
                }
                continue;
            }
            "host" => {
                under_match = false;
                seen.clear();
            }
            // Time with a unit is more than ssh2-config reads.
            "connecttimeout" if value.parse::<u32>().is_err() => continue,
            _ => {}
        }
        let concerns_us = !under_match && !value.is_empty() && KEYWORDS.contains(&keyword.as_str());
        if concerns_us && (seen.insert(keyword.clone()) || REPEATED.contains(&keyword.as_str())) {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The keyword of a line, in lower case.
fn keyword(line: &str) -> String {
    let end = line.find(|letter: char| letter == '=' || letter.is_whitespace()).unwrap_or(line.len());
    line[..end].to_ascii_lowercase()
}

/// Replaces `%x` by what `token` gives for `x`, and `%%` by `%`. What it does not know stays.
fn expand(text: &str, token: impl Fn(char) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            expanded.push(letter);
            continue;
        }
        match letters.next() {
            Some('%') => expanded.push('%'),
            Some(letter) => match token(letter) {
                Some(value) => expanded.push_str(&value),
                None => expanded.extend(['%', letter]),
            },
            None => expanded.push('%'),
        }
    }
    expanded
}

/// `[ssh://][user@]host[:port]`, an IPv6 address with a port in brackets.
fn parse_jump(text: &str) -> Option<Target> {
    let text = text.trim();
    let text = text.strip_prefix("ssh://").unwrap_or(text).trim_end_matches('/');
    let (user, place) = match text.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, text),
    };
    let (host, port) = if let Some(bracketed) = place.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']')?;
        (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
    } else if place.matches(':').count() == 1 {
        place.split_once(':').map(|(host, port)| (host, Some(port)))?
    } else {
        (place, None)
    };
    let port =
        port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0).ok_or(())).transpose().ok()?;
    if host.is_empty() || user.is_some_and(str::is_empty) {
        return None;
    }
    Some(Target { host: host.to_string(), user: user.map(str::to_string), port, identity: None })
}

impl Hop {
    /// `user@host:port`.
    pub(super) fn login(&self) -> String {
        format!("{}@{}", self.user, host_and_port(&self.host, self.port))
    }
}

//! `~/.ssh/config`: from what the user calls a host to whom to log in at, and with which keys.

mod sections;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use ssh2_config::HostParams;

use super::error::Error;
use sections::Sections;
pub(super) use sections::words;

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
    pub(super) sections: Sections,
    home: PathBuf,
    /// In place of the files of known hosts that the sections name.
    known_hosts: Option<PathBuf>,
    /// The user who runs this, or why that is unknown.
    local_user: OnceLock<Result<String, String>>,
}

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
        let sections = Sections::read(&text, &file, &home)?;
        Ok(Self { sections, home, known_hosts, local_user: OnceLock::new() })
    }

    /// Settles everything for one login.
    ///
    /// # Errors
    /// `NoUser`.
    pub(super) fn hop(&self, target: &Target, params: &HostParams) -> Result<Hop, Error> {
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
            self.in_home(&expand(text, |token| match token {
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
            let files = vec![self.in_home(&file.to_string_lossy())];
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

    fn in_home(&self, path: &str) -> PathBuf {
        match path.strip_prefix("~/") {
            Some(rest) => self.home.join(rest),
            None => PathBuf::from(path),
        }
    }

    /// The user who runs this: asked of `id`, since the variable USER survives a change of user. Logins that come meanwhile wait.
    fn local_user(&self) -> Result<&str, Error> {
        let user = self.local_user.get_or_init(|| {
            let output = Command::new("id").arg("-un").output().map_err(|error| error.to_string())?;
            match String::from_utf8_lossy(&output.stdout).trim() {
                "" => Err("'id -un' printed nothing".to_string()),
                user => Ok(user.to_string()),
            }
        });
        user.as_deref().map_err(|problem| Error::NoUser { problem: problem.clone() })
    }
}

/// One of several words keeps its quotes.
fn unquote(word: &str) -> String {
    word.trim_matches('"').to_string()
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

#[cfg(test)]
impl Config {
    /// What `text` says to `user`.
    pub(super) fn of_text(text: &str, home: &str, user: &str) -> Self {
        let home = PathBuf::from(home);
        let sections = Sections::read(text, Path::new("config"), &home).expect("a configuration");
        Self { sections, home, known_hosts: None, local_user: OnceLock::from(Ok(user.to_string())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(text: &str, target: &Target) -> Hop {
        let config = Config::of_text(text, "/home/me", "me");
        config.hop(target, &config.sections.query(&target.host)).expect("a login")
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
            ],
            timeout: None,
        };
        assert_eq!(settled, expected);
    }

    #[test]
    fn sections_fill_in_what_the_target_leaves_open() {
        let text = "Host node*\n  hostname %h.cluster\n  User = them\n  User late\n  Port 2222\n  ConnectTimeout 7\n\
             \x20 IdentityFile ~/keys/%r@%n\n  IdentityFile %d/%%h\n  IdentitiesOnly yes\n  IdentityAgent none\n\
             \x20 UserKnownHostsFile \"~/a\" /b\n";
        let settled = hop(text, &named("node1"));
        assert_eq!(
            (settled.user.as_str(), settled.host.as_str(), settled.port),
            ("them", "node1.cluster", 2222)
        );
        assert_eq!(settled.timeout, Some(Duration::from_secs(7)));
        assert_eq!(settled.identities.files, ["/home/me/keys/them@node1", "/home/me/%h"].map(PathBuf::from));
        assert!(settled.identities.only && settled.identities.agent == AgentSocket::None);
        assert_eq!(settled.known_hosts, ["/home/me/a", "/b", "/etc/ssh/ssh_known_hosts"].map(PathBuf::from));

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
}

//! Host keys: whether the key that a host offers is the one in the `known_hosts` files.
//!
//! Lines are matched as OpenSSH matches them: plain, hashed (HMAC-SHA1), wildcard and negated names,
//! `[host]:port`, and `@revoked`. `@cert-authority` lines are skipped, so a host with only a certificate is
//! unknown. No option accepts a key without the user: `StrictHostKeyChecking no` of the configuration has no
//! effect.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use hmac::{Hmac, Mac};
use sha1::Sha1;
use ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use ssh_key::{HashAlg, PublicKey};

use super::config::SSH_PORT;
use super::error::Error;
use super::pattern::matches;
use crate::system::quote::{quote, quote_path};
use crate::system::text_file;

/// The key that a host offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OfferedKey {
    algorithm: String,
    /// As `ssh-keygen -lf` prints it.
    fingerprint: String,
    /// The command line that accepts exactly this key.
    pub(super) accept: String,
}

impl fmt::Display for OfferedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, self.fingerprint)
    }
}

/// The key that a host offered although another one is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChangedKey {
    pub(super) offered: OfferedKey,
    known_fingerprint: String,
    file: PathBuf,
    line: usize,
    /// The command line that removes the known key.
    pub(super) forget: String,
}

impl fmt::Display for ChangedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offered, known_fingerprint, file, line, .. } = self;
        write!(f, "it offers {offered}, but line {line} of {} has {known_fingerprint}", file.display())
    }
}

/// What the files say about the key that a host offered.
#[derive(Debug)]
pub(super) enum Verdict {
    Known,
    Unknown(OfferedKey),
    Changed(ChangedKey),
    Revoked { key: OfferedKey, file: PathBuf, line: usize },
}

/// The lines of the files that name one host.
pub(super) struct KnownHost {
    /// The name in the notation of the files: `host`, or `[host]:port`.
    name: String,
    /// The file to which a new key is added.
    file: PathBuf,
    lines: Vec<Line>,
}

/// A line that names the host.
struct Line {
    file: PathBuf,
    number: usize,
    key: PublicKey,
    scope: Scope,
    /// Whether the line has the host's name itself, not a wildcard that matches it.
    exact: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Host,
    /// The line names the host without its port: it can make a key known, but not changed.
    OtherPort,
    Revoked,
}

impl KnownHost {
    /// Reads the lines of `files` that name `host` at `port`. Missing files and malformed lines are skipped.
    ///
    /// # Errors
    /// `File` for a file that cannot be read or that begins with a byte-order mark.
    pub(super) fn read(host: &str, port: u16, files: &[PathBuf]) -> Result<Self, Error> {
        let host = host.to_lowercase();
        let name = if port == SSH_PORT { host.clone() } else { format!("[{host}]:{port}") };
        let mut lines = Vec::new();
        for file in files {
            let read = fs::read(file).and_then(|bytes| text_file::check_start(&bytes).map(|()| bytes));
            let bytes = match read {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(Error::File { path: file.clone(), source }),
            };
            for (text, number) in String::from_utf8_lossy(&bytes).lines().zip(1..) {
                if let Some((key, scope, exact)) = parse(text, &name, &host) {
                    lines.push(Line { file: file.clone(), number, key, scope, exact });
                }
            }
        }
        Ok(Self { name, file: files.first().cloned().unwrap_or_default(), lines })
    }

    /// The host-key algorithms to ask for. The server sends one key only, so those of the known keys come
    /// first. SHA-1 signatures and certificates are not asked for.
    pub(super) fn algorithms(&self) -> String {
        let known: Vec<String> = self
            .lines
            .iter()
            .filter(|line| line.scope != Scope::Revoked)
            .map(|line| line.key.algorithm().to_string())
            .collect();
        // `ssh-rsa` names a type of keys and, with SHA-1, a signature; the others sign with such keys too.
        let mut algorithms = [
            ("ssh-ed25519", "ssh-ed25519"),
            ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
            ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
            ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
            ("rsa-sha2-512", "ssh-rsa"),
            ("rsa-sha2-256", "ssh-rsa"),
        ];
        algorithms.sort_by_key(|(_, of_key)| !known.iter().any(|known| known == of_key));
        algorithms.map(|(algorithm, _)| algorithm).join(",")
    }

    /// Judges the key that the server has proved to own, in SSH's encoding.
    ///
    /// # Errors
    /// The key is malformed or of an unknown type.
    pub(super) fn judge(&self, key: &[u8]) -> Result<Verdict, ssh_key::Error> {
        let key = PublicKey::from_bytes(key)?;
        let offered = || self.offered(&key);
        let same = |line: &&Line| line.key.key_data() == key.key_data();
        if let Some(line) = self.lines.iter().filter(same).find(|line| line.scope == Scope::Revoked) {
            return Ok(Verdict::Revoked { key: offered(), file: line.file.clone(), line: line.number });
        }
        if self.lines.iter().any(|line| same(&line)) {
            return Ok(Verdict::Known);
        }
        let changed = |line: &&Line| line.scope == Scope::Host && line.key.algorithm() == key.algorithm();
        Ok(match self.lines.iter().find(changed) {
            Some(line) => Verdict::Changed(ChangedKey {
                offered: offered(),
                known_fingerprint: fingerprint(&line.key),
                file: line.file.clone(),
                line: line.number,
                forget: self.forget(line),
            }),
            None => Verdict::Unknown(offered()),
        })
    }

    fn offered(&self, key: &PublicKey) -> OfferedKey {
        let algorithm = key.algorithm().to_string();
        // A key just read encodes again.
        let text = key.to_openssh().expect("a public key has an OpenSSH form");
        let line = quote(&format!("{} {text}", self.name));
        let accept = format!("echo {line} >> {}", quote_path(&self.file));
        OfferedKey { algorithm, fingerprint: fingerprint(key), accept }
    }

    /// `ssh-keygen -R` removes names, not wildcards.
    fn forget(&self, line: &Line) -> String {
        let file = quote_path(&line.file);
        if line.exact {
            format!("ssh-keygen -R {} -f {file}", quote(&self.name))
        } else {
            format!("sed -i {}d {file}", line.number)
        }
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// The key of a line that speaks of `name` (or, without its port, of `host`), and whether it does so without
/// wildcards.
fn parse(text: &str, name: &str, host: &str) -> Option<(PublicKey, Scope, bool)> {
    // The parser takes single spaces only, and comments may be anything.
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let first = fields.first().filter(|field| !field.starts_with('#'))?;
    let wanted = if first.starts_with('@') { 4 } else { 3 };
    let entry: Entry = fields.get(..wanted)?.join(" ").parse().ok()?;
    let of = |name: &str| speaks_of(entry.host_patterns(), name);
    let (scope, exact) = match (entry.marker(), of(name)) {
        (Some(Marker::CertAuthority), _) => return None,
        (Some(Marker::Revoked), exact) => (Scope::Revoked, exact.or_else(|| of(host))?),
        (None, Some(exact)) => (Scope::Host, exact),
        (None, None) => (Scope::OtherPort, of(host)?),
    };
    Some((entry.public_key().clone(), scope, exact))
}

/// Whether the patterns match `name`, and if so, whether without wildcards.
fn speaks_of(patterns: &HostPatterns, name: &str) -> Option<bool> {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            let mut mac = Hmac::<Sha1>::new_from_slice(salt).expect("HMAC takes keys of any length");
            mac.update(name.as_bytes());
            mac.verify_slice(hash).is_ok().then_some(true)
        }
        HostPatterns::Patterns(patterns) => {
            let mut matched = None;
            for pattern in patterns {
                let pattern = pattern.to_lowercase();
                match pattern.strip_prefix('!') {
                    Some(pattern) if matches(pattern.as_bytes(), name.as_bytes()) => return None,
                    None if matches(pattern.as_bytes(), name.as_bytes()) => {
                        matched = Some(matched.unwrap_or(false) || pattern == name);
                    }
                    _ => {}
                }
            }
            matched
        }
    }
}

//! The sections of `~/.ssh/config`.
//!
//! ssh2-config parses them. It fails on values of keywords that do not concern us, and applies what stands under `Match` to the
//! section before it; so it is given only the lines that concern us, the first of a keyword in each section (which is the
//! one that counts), and nothing from under a `Match` other than `Match all`.

use std::collections::HashSet;
use std::path::Path;

use ssh2_config::{HostParams, ParseRule, SshConfig};

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

/// Parses the text of a configuration.
///
/// # Errors
/// In words, for a line that concerns us and makes no sense.
pub(super) fn parse(text: &str, home: &Path) -> Result<SshConfig, String> {
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

/// The words of a keyword that ssh2-config knows but does not parse.
pub(super) fn words<'a>(params: &'a HostParams, keyword: &str) -> Option<&'a [String]> {
    params.unsupported_fields.get(keyword).map(Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_concern_us_are_kept_once_a_section() {
        let text = "# a comment\nServerAliveInterval 1m\nPORT=1\nConnectTimeout 1m\nUser\nNonsense\n\
                    Host a\n  User me\n  User you\n  IdentityFile x\n  identityfile = y\nMatch host a\n  Port 9\n\
                    Match all\n\tPort 2\nHost b\n  User them\n";
        let kept =
            "PORT=1\nHost a\nUser me\nIdentityFile x\nidentityfile = y\nHost *\nPort 2\nHost b\nUser them\n";
        assert_eq!(what_concerns_us(text), kept);
    }

    #[test]
    fn what_concerns_us_must_make_sense() {
        assert!(parse("Host node1\n  Port many\n", Path::new("/home/me")).is_err());
    }

    #[test]
    fn an_included_file_counts_unless_it_breaks_the_parser() {
        let home = tempfile::tempdir().expect("a folder");
        let port = |included: &str| {
            std::fs::write(home.path().join("more"), included).expect("an included file");
            let text = format!("Include {}/mo*\nHost *\n  Port 1\n", home.path().display());
            parse(&text, home.path()).expect("a configuration").query("node1").port
        };
        assert_eq!(port("Host node1\n  Port 2\n"), Some(2));
        assert_eq!(port("Host node1\n  Port 2\nForwardAgent $SSH_AUTH_SOCK\n"), Some(1));
    }
}

//! The sections of `~/.ssh/config`, and of the files that it includes.
//!
//! ssh2-config makes values of lines. Which lines are for a host is found here, since it fails on values of keywords that do not
//! concern us, and applies what stands under `Match` to the section before it:
//!
//! ```text
//! for each line of the file: Host and Match say whether what follows is for the host, up to the end of the file
//!     an included file, if it is for the host: the same with its lines
//!     any other line that concerns us: if it is for the host, and the first of its keyword
//! ```
//!
//! What stands under a `Match` other than `Match all` is for no host.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use ssh2_config::{HostClause, HostParams, ParseRule, SshConfig};

use crate::ssh::error::Error;

/// The keywords that concern us, in lower case, apart from those of sections and files.
const KEYWORDS: [&str; 10] = [
    "connecttimeout",
    "hostname",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "port",
    "proxycommand",
    "proxyjump",
    "user",
    "userknownhostsfile",
];
/// Files that include each other, as many as `ssh` allows.
const DEPTH: usize = 16;

/// The lines that concern us.
pub(in crate::ssh) struct Sections {
    lines: Vec<Line>,
    home: PathBuf,
}

enum Line {
    /// What follows is for these hosts.
    Host(Vec<HostClause>),
    /// What follows is for all hosts, or for none.
    Match {
        all: bool,
    },
    /// The lines of another file.
    Include(Vec<Line>),
    Setting {
        keyword: String,
        text: String,
    },
}

impl Sections {
    /// Takes the text of `file`, and reads the files that it includes.
    ///
    /// # Errors
    /// `Config` with the file, for a line that concerns us and makes no sense.
    pub(in crate::ssh) fn read(text: &str, file: &Path, home: &Path) -> Result<Self, Error> {
        Ok(Self { lines: read(text, file, home, 0)?, home: home.to_path_buf() })
    }

    /// What holds for `host`, as the user calls it.
    pub(in crate::ssh) fn query(&self, host: &str) -> HostParams {
        let mut text = String::new();
        collect(&self.lines, host, &mut HashSet::new(), &mut text);
        parse(&text, &self.home).expect("each line was parsed when it was read").query(host)
    }
}

fn read(text: &str, file: &Path, home: &Path, depth: usize) -> Result<Vec<Line>, Error> {
    let problem = |problem: String| Error::Config { path: file.to_path_buf(), problem };
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim) {
        let end = line.find(|letter: char| letter == '=' || letter.is_whitespace()).unwrap_or(line.len());
        let keyword = line[..end].to_ascii_lowercase();
        let value = arguments(line[end..].trim_start_matches(['=', ' ', '\t']));
        match keyword.as_str() {
            "host" => {
                let clause = |word: &String| match word.strip_prefix('!') {
                    Some(pattern) => HostClause::new(pattern.to_string(), true),
                    None => HostClause::new(word.clone(), false),
                };
                lines.push(Line::Host(value.iter().map(clause).collect()));
            }
            "match" => {
                let all = matches!(value.as_slice(), [word] if word.eq_ignore_ascii_case("all"));
                lines.push(Line::Match { all });
            }
            "include" => {
                for pattern in &value {
                    for included in files(pattern, home).map_err(problem)? {
                        let Some(text) = read_included(&included) else { continue };
                        if depth == DEPTH {
                            return Err(problem(format!("more than {DEPTH} files include each other")));
                        }
                        lines.push(Line::Include(read(&text, &included, home, depth + 1)?));
                    }
                }
            }
            // Time with a unit is more than ssh2-config reads.
            "connecttimeout" if value.first().is_none_or(|value| value.parse::<u32>().is_err()) => {}
            known if !value.is_empty() && KEYWORDS.contains(&known) => {
                parse(line, home).map_err(problem)?;
                lines.push(Line::Setting { keyword, text: line.to_string() });
            }
            _ => {}
        }
    }
    Ok(lines)
}

/// The files that an `Include` names, in their order.
fn files(pattern: &str, home: &Path) -> Result<impl Iterator<Item = PathBuf>, String> {
    let inside = |folder: &Path, rest: &str| format!("{}/{rest}", Pattern::escape(&folder.to_string_lossy()));
    let whole = match pattern.strip_prefix("~/") {
        Some(rest) => inside(home, rest),
        None if pattern.starts_with('/') => pattern.to_string(),
        None => inside(&home.join(".ssh"), pattern),
    };
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let found = glob::glob_with(&whole, options);
    // What cannot be looked into has no files for us.
    Ok(found.map_err(|error| format!("Include {pattern}: {error}"))?.flatten())
}

/// The text of an included file. As with `ssh`, one that cannot be read is as good as none.
fn read_included(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file);
    if let Err(error) = &text
        && error.kind() != io::ErrorKind::NotFound
    {
        log::warn!("{}: not included: {error}", file.display());
    }
    text.ok()
}

/// Appends the lines that are for `host`, each with its end. `seen` has the keywords that need no further line.
fn collect<'a>(lines: &'a [Line], host: &str, seen: &mut HashSet<&'a str>, text: &mut String) {
    let mut is_for_host = true;
    for line in lines {
        match line {
            Line::Host(clauses) => is_for_host = has(clauses, host),
            Line::Match { all } => is_for_host = *all,
            _ if !is_for_host => {}
            Line::Include(lines) => collect(lines, host, seen, text),
            Line::Setting { keyword, text: line } => {
                // Keys add up.
                if keyword == "identityfile" || seen.insert(keyword) {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
    }
}

/// Whether a section is for `host`: one pattern matches, and none of those with a `!`.
fn has(clauses: &[HostClause], host: &str) -> bool {
    let matches = |negated| clauses.iter().any(|one| one.negated == negated && one.intersects(host));
    matches(false) && !matches(true)
}

fn parse(lines: &str, home: &Path) -> Result<SshConfig, String> {
    let rules = ParseRule::ALLOW_UNKNOWN_FIELDS | ParseRule::ALLOW_UNSUPPORTED_FIELDS;
    let parsed = SshConfig::default().home_dir(home).parse(&mut lines.as_bytes(), rules);
    parsed.map_err(|error| format!("'{}': {error}", lines.trim_end()))
}

/// The words of a value; in double quotes, a word may have blanks. A `#` outside of them begins a comment.
fn arguments(value: &str) -> Vec<String> {
    let (mut words, mut word, mut in_quotes) = (Vec::new(), None::<String>, false);
    for letter in value.chars() {
        match letter {
            '"' => {
                in_quotes = !in_quotes;
                word.get_or_insert_default();
            }
            '#' if !in_quotes => break,
            blank if blank.is_whitespace() && !in_quotes => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// The words of a keyword that ssh2-config knows but does not parse.
pub(in crate::ssh) fn words<'a>(params: &'a HostParams, keyword: &str) -> Option<&'a [String]> {
    params.unsupported_fields.get(keyword).map(Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A home folder with files in its `.ssh`.
    fn home(files: &[(&str, &str)]) -> tempfile::TempDir {
        let home = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = home.path().join(".ssh").join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        home
    }

    fn read(text: &str, home: &Path) -> Result<Sections, Error> {
        Sections::read(text, Path::new("config"), home)
    }

    /// The lines for a host, separated by `;`.
    fn lines(text: &str, home: &Path, host: &str) -> String {
        let sections = read(text, home).unwrap_or_else(|error| panic!("{error}"));
        let mut lines = String::new();
        collect(&sections.lines, host, &mut HashSet::new(), &mut lines);
        lines.trim_end().replace('\n', ";")
    }

    #[test]
    fn lines_that_concern_us_count_once_a_host() {
        let text = "# a comment\nServerAliveInterval 1m\nPORT=1\nConnectTimeout 1m\nUser\nNonsense\n\
                    Host a c*  !cc # d\n  User me\n  User you\n  IdentityFile x\n  identityfile = y\nMatch host a\n  HostName b\n\
                    Match all\n\tPort 2\n\tConnectTimeout 3 # s\nHost b \"a\"\n  User them\n  IdentityFile z\n";
        let lines = |host| lines(text, Path::new("/home/me"), host);
        let own = "User me;IdentityFile x;identityfile = y;";
        let all = "ConnectTimeout 3 # s";
        assert_eq!(lines("a"), format!("PORT=1;{own}{all};IdentityFile z"));
        assert_eq!(lines("b"), format!("PORT=1;{all};User them;IdentityFile z"));
        assert_eq!(lines("cd"), format!("PORT=1;{own}{all}"));
        for other in ["cc", "d"] {
            assert_eq!(lines(other), format!("PORT=1;{all}"));
        }
    }

    #[test]
    fn what_concerns_us_must_make_sense_wherever_it_stands() {
        let home = home(&[("more", "Host b\n  Port few\n")]);
        let problem = |text| read(text, home.path()).err().expect("no sections").to_string();
        assert!(problem("Host a\n  Port many\n").starts_with("config: 'Port many': "));
        let included = problem("Include more\n");
        assert!(included.contains("/.ssh/more: 'Port few': "), "{included}");
    }

    #[test]
    fn included_files_count_where_they_stand() {
        let home = home(&[
            ("d/2", "Port 2\nHost b\n  Port 3\n"),
            ("d/1", "User me\nForwardAgent $SSH_AUTH_SOCK\n"),
            ("d/.hidden", "HostName hidden\n"),
            ("inner", "HostName %h.x\nHost *\n  User inner\n"),
        ]);
        let text = format!(
            "Include nothing d/*\nHost a\n  Include {}/.ssh/inner\n  HostName late\nHost *\n  Include ~/.ssh/i*r\n  User late\n",
            home.path().display()
        );
        for host in ["a", "b"] {
            assert_eq!(lines(&text, home.path(), host), "User me;Port 2;HostName %h.x", "{host}");
        }
        // A section of an included file ends with it, and holds within the section that includes it.
        let text = "Host a\n  Include d/2\n  User own\nHost *\n  Port 4\n";
        assert_eq!(lines(text, home.path(), "a"), "Port 2;User own");
        assert_eq!(lines(text, home.path(), "b"), "Port 4");
    }

    #[test]
    fn a_match_in_an_included_file_does_not_count() {
        let home = home(&[(
            "more",
            "Host a\n  HostName 127.0.0.1\n  Port 1\nMatch host zzz exec \"false\"\n  HostName 127.0.0.9\n  Port 7\n",
        )]);
        let params = read("Include more\nHost *\n  Port 9\n", home.path()).expect("sections").query("a");
        assert_eq!((params.host_name.as_deref(), params.port), (Some("127.0.0.1"), Some(1)));
    }

    #[test]
    fn files_that_include_themselves_are_refused() {
        let home = home(&[("a", "Include b\n"), ("b", "Include a a\n")]);
        let problem = read("Include a\n", home.path()).err().expect("no sections").to_string();
        assert!(problem.ends_with("more than 16 files include each other"), "{problem}");
    }
}

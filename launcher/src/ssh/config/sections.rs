//! The lines of `~/.ssh/config` and `/etc/ssh/ssh_config`, and of the files that they include.
//!
//! ```text
//! for each line of the user's file, then of the system's:
//!     Host and Match say whether the lines behind them are for the host, up to the end of the file
//!     an included file, if it is for the host: the same with its lines
//!     any other line that concerns us, if it is for the host: it counts if it is the first of its keyword
//! ```

use std::io;
use std::path::{Path, PathBuf};

use super::conditions::{Match, Query, Verdict};
use super::expand;
use super::settings::{Setting, Settings};
use super::{grammar, include};
use crate::ssh::error::Error;
use crate::ssh::pattern::any_matches;
use crate::system::escape::excerpt;
use crate::system::text_file;

/// How deep files may include each other: as deep as `ssh` allows.
const DEPTH: usize = 16;

/// The lines that concern us, a list a file.
pub(in crate::ssh) struct Sections(Vec<Vec<Line>>);

enum Line {
    /// The lines behind it are for hosts that match these patterns.
    Host(Vec<String>),
    Match(Match),
    /// The lines of another file.
    Include(Vec<Line>),
    Setting(Setting),
}

/// A file of the configuration, as it is read.
struct Source<'s> {
    path: &'s Path,
    home: &'s Path,
    /// The folder of files that are included under a relative name.
    folder: &'s Path,
    depth: usize,
}

impl Sections {
    /// Takes texts in the order in which their lines count, each with its file and the folder of the files
    /// that it includes.
    ///
    /// # Errors
    /// `Config` with the file and the line that concerns us and makes no sense.
    pub(super) fn read(texts: &[(String, &Path, PathBuf)], home: &Path) -> Result<Self, Error> {
        let read = |(text, path, folder): &(String, &Path, PathBuf)| {
            Source { path, home, folder, depth: 0 }.read(text)
        };
        Ok(Self(texts.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// What holds for a host. `unclear` gets the `Match` lines that would have had a say, were their criteria
    /// supported, in their order.
    ///
    /// # Errors
    /// `NoUser`, if a criterion asks for the user who runs this program.
    pub(super) fn query<'s>(
        &'s self,
        query: &Query<'_>,
        unclear: &mut Vec<(&'s str, &'s str)>,
    ) -> Result<Settings, Error> {
        let mut search = Search { query, settings: Settings::default(), unclear };
        for lines in &self.0 {
            search.collect(lines, None)?;
        }
        Ok(search.settings)
    }
}

impl Source<'_> {
    fn read(&self, text: &str) -> Result<Vec<Line>, Error> {
        let mut lines = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let problem = |problem: String| Error::Config {
                path: self.path.to_path_buf(),
                line: number,
                problem: format!("'{}': {problem}", excerpt(line.trim())),
            };
            let Some((keyword, words)) = grammar::parse(line).map_err(problem)? else { continue };
            match keyword.as_str() {
                "host" => lines.push(Line::Host(words)),
                "match" => {
                    let place = format!("{}:{number}", self.path.display());
                    lines.push(Line::Match(Match::parse(&words, place).map_err(problem)?));
                }
                "include" => {
                    for pattern in &words {
                        for path in include::files(pattern, self.home, self.folder).map_err(problem)? {
                            let Some(text) = read_included(&path)? else { continue };
                            if self.depth == DEPTH {
                                return Err(problem(format!("more than {DEPTH} files include each other")));
                            }
                            let included = Source { path: &path, depth: self.depth + 1, ..*self };
                            lines.push(Line::Include(included.read(&text)?));
                        }
                    }
                }
                _ => lines.extend(Setting::parse(&keyword, &words).map_err(problem)?.map(Line::Setting)),
            }
        }
        Ok(lines)
    }
}

/// The text of an included file. Like `ssh`, we go on without a file that cannot be read.
///
/// # Errors
/// `File` for one that begins with a byte-order mark.
fn read_included(file: &Path) -> Result<Option<String>, Error> {
    match text_file::read_bytes(file) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(source) if source.kind() == io::ErrorKind::InvalidData => {
            Err(Error::File { path: file.to_path_buf(), source })
        }
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                log::warn!("{}: not included: {error}", file.display());
            }
            Ok(None)
        }
    }
}

/// A walk over the lines, in their order.
struct Search<'q, 'a, 's> {
    query: &'a Query<'q>,
    settings: Settings,
    unclear: &'a mut Vec<(&'s str, &'s str)>,
}

impl<'s> Search<'_, '_, 's> {
    /// Takes the lines of a file. `outer` is the section that includes it, if it is unclear whether that is
    /// for the host.
    fn collect(&mut self, lines: &'s [Line], outer: Option<&'s Match>) -> Result<(), Error> {
        let mut verdict = Verdict::Yes;
        for line in lines {
            let unclear = match verdict {
                Verdict::Unclear(section) => Some(section),
                Verdict::Yes | Verdict::No => outer,
            };
            match line {
                Line::Host(patterns) => {
                    let is_for_host = any_matches(patterns.iter().map(String::as_str), self.query.host);
                    verdict = if is_for_host { Verdict::Yes } else { Verdict::No };
                }
                Line::Match(section) => verdict = self.judge(section)?,
                _ if verdict == Verdict::No => {}
                Line::Include(lines) => self.collect(lines, unclear)?,
                Line::Setting(setting) => match unclear {
                    Some(section) if self.settings.lacks(setting) => {
                        let line = section.unsupported().map(|name| (section.place.as_str(), name));
                        self.unclear.extend(line.filter(|line| !self.unclear.contains(line)));
                    }
                    Some(_) => {}
                    None => self.settings.take(setting),
                },
            }
        }
        Ok(())
    }

    fn judge(&self, section: &'s Match) -> Result<Verdict<'s>, Error> {
        let host = self.query.host;
        let host_name = self.settings.host_name.as_deref().unwrap_or("%h");
        let host_name = expand(host_name, |token| (token == 'h').then(|| host.to_string()));
        section.judge(self.query, &host_name, self.query.user.or(self.settings.user.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
        Sections::read(&[(text.to_string(), Path::new("config"), home.join(".ssh"))], home)
    }

    fn settings(text: &str, home: &Path, host: &str) -> Settings {
        let sections = read(text, home).unwrap_or_else(|error| panic!("{error}"));
        let query = Query { host, user: None, local_user: &|| Ok("me".to_string()) };
        sections.query(&query, &mut Vec::new()).expect("settings")
    }

    /// The user, the port and the name of a host.
    fn basics(text: &str, home: &Path, host: &str) -> String {
        let Settings { user, port, host_name, .. } = settings(text, home, host);
        let port = port.map(|port| port.to_string());
        [user, port, host_name].map(|value| value.unwrap_or("-".to_string())).join(" ")
    }

    #[test]
    fn lines_that_concern_us_count_once_a_host() {
        let text = "# a comment\nServerAliveInterval 1m\nPORT=1\nNonsense\n\
                    Host a c*  !cc # d\n  User me\n  User you\n  IdentityFile x\n  identityfile = y\n  IdentityFile x\n\
                    Match host zzz\n  HostName b\nMatch all\n\tPort 2\n\tConnectTimeout 3 # s\n\
                    Host b \"a\"\n  User them\n  IdentityFile z\n";
        for (host, expected, keys) in [
            ("a", "me 1 -", &["x", "y", "z"][..]),
            ("b", "them 1 -", &["z"]),
            ("cd", "me 1 -", &["x", "y"]),
            ("cc", "- 1 -", &[]),
            ("d", "- 1 -", &[]),
        ] {
            let home = Path::new("/home/me");
            assert_eq!(basics(text, home, host), expected, "{host}");
            let settings = settings(text, home, host);
            assert_eq!(settings.identity_files, keys, "{host}");
            assert_eq!(settings.connect_timeout.flatten().map(|time| time.as_secs()), Some(3), "{host}");
        }
    }

    #[test]
    fn what_concerns_us_must_make_sense_wherever_it_stands() {
        let home = home(&[("more", "Host b\n  Port few\n")]);
        let problem = |text: &str| read(text, home.path()).err().expect("no sections").to_string();
        assert_eq!(
            problem("Host a\n  Port many\n"),
            "config:2: 'Port many': expected a number from 1 to 65535"
        );
        assert!(problem("User \"me\n").starts_with("config:1: 'User \"me': a quotation does not end"));
        assert!(problem("Host a\nMatch user\n").starts_with("config:2: 'Match user': "));
        let long = problem(&format!("Port many {}", "x".repeat(10_000)));
        assert!(long.starts_with("config:1: 'Port many xxx") && long.len() < 300, "{long}");
        let included = problem("Include more\n");
        assert!(included.contains("/.ssh/more:2: 'Port few': "), "{included}");
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
            assert_eq!(basics(&text, home.path(), host), "me 2 %h.x", "{host}");
        }
        // A section of an included file ends with it, and holds within the section that includes it.
        let text = "Host a\n  Include d/2\n  User own\nHost *\n  Port 4\n";
        assert_eq!(basics(text, home.path(), "a"), "own 2 -");
        assert_eq!(basics(text, home.path(), "b"), "- 4 -");
    }

    #[test]
    fn a_match_in_an_included_file_ends_with_it() {
        let home = home(&[(
            "more",
            "Host a\n  Port 1\nMatch host a user me\n  HostName 127.0.0.9\nMatch exec x\n  User x\n",
        )]);
        let text = "Include more\nHost *\n  Port 9\n";
        assert_eq!(basics(text, home.path(), "a"), "- 1 127.0.0.9");
        assert_eq!(basics(text, home.path(), "b"), "- 9 -");
        // What an unsupported section includes is skipped too.
        let text = format!("Match exec x\n  {text}");
        assert_eq!(basics(&text, home.path(), "a"), "- 9 -");
    }

    #[test]
    fn files_that_include_themselves_are_refused() {
        let home = home(&[("a", "Include b\n"), ("b", "Include a a\n")]);
        let problem = read("Include a\n", home.path()).err().expect("no sections").to_string();
        assert!(problem.ends_with("more than 16 files include each other"), "{problem}");
    }
}

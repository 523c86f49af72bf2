//! `Host` and `Match` lines: for which hosts the lines behind them are.

use crate::ssh::error::Error;
use crate::ssh::pattern::any_matches;
use crate::system::escape::excerpt;

/// What a section is asked about: a host that the user wants to log in at.
pub(in crate::ssh) struct Query<'q> {
    /// As the user calls it.
    pub(in crate::ssh) host: &'q str,
    /// The user to log in as, if the command line or the hostfile says so.
    pub(in crate::ssh) user: Option<&'q str>,
    /// The user who runs this program.
    pub(in crate::ssh) local_user: &'q dyn Fn() -> Result<String, Error>,
}

/// Whether the lines of a section are for a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict<'s> {
    Yes,
    No,
    /// A criterion that is not supported decides it.
    Unclear(&'s Match),
}

/// The criteria of a `Match` line: all of them must hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Match {
    criteria: Vec<Criterion>,
    /// The file and the line.
    pub(super) place: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Criterion {
    is_negated: bool,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    All,
    /// The host after `HostName`.
    Host(String),
    OriginalHost(String),
    User(String),
    LocalUser(String),
    Unsupported(String),
}

impl Match {
    /// The criteria of a line at `place`.
    ///
    /// # Errors
    /// A criterion lacks its value.
    pub(super) fn parse(words: &[String], place: String) -> Result<Self, String> {
        let mut criteria = Vec::new();
        let mut words = words.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            let (is_negated, word) = word.strip_prefix('!').map_or((false, word), |word| (true, word));
            let (name, mut value) =
                word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let name = name.to_ascii_lowercase();
            let has_value = !matches!(name.as_str(), "all" | "canonical" | "final");
            if has_value {
                value = value.or_else(|| words.next_if(|next| next.starts_with('=')).map(|next| &next[1..]));
                value = value.filter(|value| !value.is_empty()).or_else(|| words.next());
            }
            let value = value.map(str::to_string);
            if has_value != value.as_ref().is_some_and(|value| !value.is_empty()) {
                let problem = if has_value { "lacks its value" } else { "takes no value" };
                return Err(format!("the criterion '{}' {problem}", excerpt(&name)));
            }
            let value = value.unwrap_or_default();
            let kind = match name.as_str() {
                "all" => Kind::All,
                "host" => Kind::Host(value.to_lowercase()),
                "originalhost" => Kind::OriginalHost(value.to_lowercase()),
                "user" => Kind::User(value),
                "localuser" => Kind::LocalUser(value),
                _ => Kind::Unsupported(name),
            };
            criteria.push(Criterion { is_negated, kind });
        }
        if criteria.is_empty() {
            Err("the criterion is missing".to_string())
        } else {
            Ok(Self { criteria, place })
        }
    }

    /// The first criterion that is not supported.
    pub(super) fn unsupported(&self) -> Option<&str> {
        self.criteria.iter().find_map(|criterion| match &criterion.kind {
            Kind::Unsupported(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether the section is for the host that is called `host_name` and the user `user` by the lines so
    /// far.
    ///
    /// # Errors
    /// `NoUser`.
    pub(super) fn judge(
        &self,
        query: &Query<'_>,
        host_name: &str,
        user: Option<&str>,
    ) -> Result<Verdict<'_>, Error> {
        let mut verdict = Verdict::Yes;
        for criterion in &self.criteria {
            let list = |list: &str, name: &str| any_matches(list.split(','), name);
            let holds = match &criterion.kind {
                Kind::All => true,
                Kind::Host(patterns) => list(patterns, &host_name.to_lowercase()),
                Kind::OriginalHost(patterns) => list(patterns, &query.host.to_lowercase()),
                Kind::User(patterns) => {
                    list(patterns, &user.map_or_else(query.local_user, |user| Ok(user.to_string()))?)
                }
                Kind::LocalUser(patterns) => list(patterns, &(query.local_user)()?),
                Kind::Unsupported(_) => {
                    verdict = Verdict::Unclear(self);
                    continue;
                }
            };
            if holds == criterion.is_negated {
                return Ok(Verdict::No);
            }
        }
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Match, String> {
        let words: Vec<String> = line.split(' ').map(str::to_string).collect();
        Match::parse(&words, "config:1".to_string())
    }

    /// Of the host `n1`, which is `Node1.cluster`, with the user `them`; `me` asks.
    fn verdict(line: &str) -> &'static str {
        let section = parse(line).unwrap_or_else(|problem| panic!("{line}: {problem}"));
        let query = Query { host: "n1", user: None, local_user: &|| Ok("me".to_string()) };
        match section.judge(&query, "Node1.cluster", Some("them")).expect("a verdict") {
            Verdict::Yes => "yes",
            Verdict::No => "no",
            Verdict::Unclear(section) => {
                if section.unsupported().is_some() {
                    "unclear"
                } else {
                    "?"
                }
            }
        }
    }

    #[test]
    fn all_criteria_must_hold() {
        for (line, expected) in [
            ("all", "yes"),
            ("!all", "no"),
            ("host NODE1.*", "yes"),
            ("host n1", "no"),
            ("originalhost=N1", "yes"),
            ("originalhost = n1 user= them", "yes"),
            ("host !*.cluster,*", "no"),
            ("!host n1 user a,them", "yes"),
            ("host node1.cluster user me", "no"),
            ("User them localuser me", "yes"),
            ("localuser Me", "no"),
            ("exec false", "unclear"),
            ("exec false host n1", "no"),
            ("host node1.cluster !final", "unclear"),
            ("canonical all", "unclear"),
            ("tagged here user me", "no"),
        ] {
            assert_eq!(verdict(line), expected, "{line}");
        }
        for line in ["", "host", "all=x", "user me host", "host ="] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}

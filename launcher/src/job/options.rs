//! The options of a job, apart from its hosts.

use super::message::LIMIT;
use super::relay::RelayPlan;
use crate::cli::JobArgs;
use crate::cli::parsers::Bind;
use crate::cli::plan::RankPlan;
use crate::failure::Failure;
use crate::system::escape::excerpt;
use crate::system::{text_file, variables};
use std::ffi::OsString;
use std::path::Path;

/// What the ranks of a job run, with which variables, and where their output goes.
#[derive(Debug)]
pub(crate) struct JobPlan {
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(String, OsString)>,
    pub(crate) bind: bool,
    pub(crate) relay: RelayPlan,
    /// How the ranks work together, where `args` were parsed.
    ranks: Option<RankPlan>,
}

impl JobPlan {
    /// `with_labels` is the default of `--prefix`: whether lines of output begin with their rank.
    pub(crate) fn new(args: JobArgs, with_labels: bool) -> Result<Self, Failure> {
        let mut env = args.env_file.as_deref().map_or_else(|| Ok(Vec::new()), read_env_file)?;
        env.extend(read_exports(&args.export)?);
        let lengths = env.iter().map(|(name, value)| name.len() + value.len());
        let bytes: usize = lengths.chain(args.command.iter().map(|arg| arg.len())).sum();
        // The other half of the message is for the rest of the assignment.
        if bytes > LIMIT / 2 {
            return Err(usage(format!(
                "arguments and variables have {bytes} bytes, at most {} are possible",
                LIMIT / 2
            )));
        }
        let relay = RelayPlan {
            with_labels: args.prefix.unwrap_or(with_labels),
            is_quiet: args.quiet,
            only: args.only_rank,
            folder: args.output,
        };
        Ok(Self { args: args.command, env, bind: args.bind == Bind::Cores, relay, ranks: args.ranks })
    }

    /// Checks what depends on the number of ranks.
    pub(crate) fn check_world(&self, world: u32) -> Result<(), Failure> {
        self.ranks.as_ref().map_or(Ok(()), |ranks| ranks.shares(world as usize).map(drop))
    }
}

/// Reads `NAME=VALUE`, and `NAME` of a variable that is set here.
fn read_exports(exports: &[String]) -> Result<Vec<(String, OsString)>, Failure> {
    let mut env: Vec<(String, OsString)> = Vec::new();
    // As they were given, without those that repeat another one.
    let mut given: Vec<&str> = Vec::new();
    for export in exports {
        let (name, value) = match export.split_once('=') {
            Some((name, value)) => (name, value.into()),
            None => {
                let value = std::env::var_os(export);
                let absent = || usage(format!("-x {}: the variable is not set here", excerpt(export)));
                (export.as_str(), value.ok_or_else(absent)?)
            }
        };
        // Its value may be secret.
        variables::check(name).map_err(|problem| usage(format!("-x {}: {problem}", excerpt(name))))?;
        match env.iter().position(|(other, _)| other == name) {
            Some(place) if env[place].1 == value => (),
            Some(place) => {
                let [first, second] = [given[place], export].map(excerpt);
                return Err(usage(format!(
                    "-x {first} and -x {second}: one variable cannot have two values"
                )));
            }
            None => {
                env.push((name.to_string(), value));
                given.push(export);
            }
        }
    }
    Ok(env)
}

/// Reads lines of `NAME=VALUE`. Empty lines and lines that begin with `#` are skipped.
fn read_env_file(path: &Path) -> Result<Vec<(String, OsString)>, Failure> {
    let text = text_file::read(path);
    let text = text.map_err(|error| usage(format!("--env-file {}: {error}", path.display())))?;
    let mut env: Vec<(String, OsString)> = Vec::new();
    // Of each variable, its line.
    let mut numbers: Vec<usize> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let mistake = |problem: String| usage(format!("--env-file {}:{number}: {problem}", path.display()));
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| mistake(format!("expected NAME=VALUE, found '{}'", excerpt(line))))?;
        variables::check(name).map_err(mistake)?;
        if value.contains('\0') {
            return Err(mistake(format!("the value of {name} has a null character")));
        }
        match env.iter().position(|(other, _)| other == name) {
            Some(place) if env[place].1 == value => (),
            Some(place) => {
                return Err(mistake(format!("{name} has another value in line {}", numbers[place])));
            }
            None => {
                env.push((name.to_string(), value.into()));
                numbers.push(number);
            }
        }
    }
    Ok(env)
}

fn usage(problem: String) -> Failure {
    Failure::Usage { problem, hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(export: &[&str], env_file: Option<&Path>) -> JobArgs {
        JobArgs {
            bind: Bind::None,
            export: export.iter().map(|text| text.to_string()).collect(),
            env_file: env_file.map(Path::to_path_buf),
            output: None,
            quiet: false,
            only_rank: None,
            prefix: None,
            command: vec!["train".into()],
            ranks: None,
        }
    }

    #[test]
    fn variables_come_from_here_from_the_command_line_and_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        std::fs::write(&file, "# comment\n\nA=1\nB=x = y \n").unwrap();
        let plan = JobPlan::new(args(&["C=2=3", "PATH"], Some(&file)), true).unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let expected = [("A", "1".into()), ("B", "x = y ".into()), ("C", "2=3".into()), ("PATH", path)];
        assert_eq!(plan.env, expected.map(|(name, value)| (name.to_string(), value)));
        assert!(plan.relay.with_labels && !plan.bind);
    }

    #[test]
    fn what_is_no_variable_is_named_with_its_place() {
        let message = |export, file| JobPlan::new(args(export, file), true).unwrap_err().to_string();
        assert_eq!(message(&["ISOGRAD_NOT_SET"], None), "-x ISOGRAD_NOT_SET: the variable is not set here");
        let twice = message(&["A=1", "B=1", "A=1", "A=2"], None);
        assert_eq!(twice, "-x A=1 and -x A=2: one variable cannot have two values");
        assert_eq!(
            message(&["PATH=1", "PATH"], None),
            "-x PATH=1 and -x PATH: one variable cannot have two values"
        );
        assert_eq!(
            JobPlan::new(args(&["A=1", "A=1"], None), true).unwrap().env,
            [("A".to_string(), "1".into())]
        );
        assert_eq!(message(&["a b=1"], None), "-x a b: 'a b' cannot be the name of a variable");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        assert_eq!(message(&["RANK=1"], None), "-x RANK: RANK is set by isograd itself, for each rank");
        let of_file = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let message = message(&[], Some(&file));
            message.strip_prefix(&format!("--env-file {}:", file.display())).expect("the file").to_string()
        };
        assert_eq!(of_file("A=1\nexport B=2\n"), "2: 'export B' cannot be the name of a variable");
        assert_eq!(of_file("A=1\nB\n"), "2: expected NAME=VALUE, found 'B'");
        assert_eq!(of_file("WORLD_SIZE=1\n"), "1: WORLD_SIZE is set by isograd itself, for each rank");
        assert_eq!(of_file("A=1\nA=1\n\nA=2\n"), "4: A has another value in line 1");
        assert!(of_file("\u{feff}A=1\n").contains("byte-order mark"));
        assert!(of_file(&"x".repeat(1 << 20)).len() < 200);
        let long = format!("A={}", "x".repeat(LIMIT));
        assert!(message(&[&long], None).ends_with(&format!("at most {} are possible", LIMIT / 2)));
    }
}

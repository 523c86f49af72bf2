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
        for export in &args.export {
            let variable = match export.split_once('=') {
                Some((name, value)) => (name.to_string(), value.into()),
                None => {
                    let value = std::env::var_os(export);
                    (
                        export.clone(),
                        value.ok_or_else(|| usage(format!("-x {export}: the variable is not set here")))?,
                    )
                }
            };
            // Its value may be secret.
            let name = excerpt(&variable.0);
            variables::check(&variable.0).map_err(|problem| usage(format!("-x {name}: {problem}")))?;
            env.push(variable);
        }
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

/// Reads lines of `NAME=VALUE`. Empty lines and lines that begin with `#` are skipped.
fn read_env_file(path: &Path) -> Result<Vec<(String, OsString)>, Failure> {
    let text = text_file::read(path);
    let text = text.map_err(|error| usage(format!("--env-file {}: {error}", path.display())))?;
    let mut env = Vec::new();
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
        env.push((name.to_string(), value.into()));
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
        assert!(of_file("\u{feff}A=1\n").contains("byte-order mark"));
        assert!(of_file(&"x".repeat(1 << 20)).len() < 200);
        let long = format!("A={}", "x".repeat(LIMIT));
        assert!(message(&[&long], None).ends_with(&format!("at most {} are possible", LIMIT / 2)));
    }
}

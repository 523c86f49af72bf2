//! `isograd slurm`: writes a batch script for Slurm, or submits it.

use crate::cli::SlurmArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::system::quote::quote;
use crate::system::whole_file;
use std::io::Write;
use std::process::{Command, Stdio};

/// Prints the script, writes it to a file, or submits it.
pub(crate) fn start(args: &SlurmArgs, out: &mut Output) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(Failure::Start)?;
    let script = script(args, &program.to_string_lossy());
    if let Some(path) = &args.script {
        let written = whole_file::write(path, &script);
        written.map_err(|source| Failure::Write { option: "--script", path: path.clone(), source })?;
    }
    match (args.submit, &args.script) {
        (true, _) => submit(&script).map_err(Failure::Submit),
        (false, Some(_)) => Ok(()),
        (false, None) => out.text(&script),
    }
}

/// The batch script, which takes the program and its arguments as its own arguments.
const SCRIPT: &str = include_str!("slurm.sh");

/// The batch script with `args` for Slurm, and with its own arguments written into it.
fn script(args: &SlurmArgs, program: &str) -> String {
    let mut options = vec![
        ("job-name", args.job_name.clone()),
        ("nodes", args.nodes.to_string()),
        ("ntasks-per-node", args.tasks_per_node.to_string()),
    ];
    options.extend(args.cpus_per_task.map(|cpus| ("cpus-per-task", cpus.to_string())));
    options.extend(args.time.clone().map(|time| ("time", time)));
    options.extend(args.partition.clone().map(|partition| ("partition", partition)));
    options.extend(args.account.clone().map(|account| ("account", account)));
    let options: String = options.iter().map(|(name, value)| format!("#SBATCH --{name}={value}\n")).collect();
    let words = std::iter::once(program.to_string());
    let words = words.chain(args.command.iter().map(|word| word.to_string_lossy().into_owned()));
    let words: Vec<String> = words.map(|word| quote(&word)).collect();
    // sbatch reads options only above the first command.
    let (interpreter, body) = SCRIPT.split_once('\n').expect("the script has lines");
    format!("{interpreter}\n{options}set -- {}\n{body}", words.join(" "))
}

fn submit(script: &str) -> std::io::Result<()> {
    let mut child = Command::new("sbatch").stdin(Stdio::piped()).spawn()?;
    // If sbatch does not read the script, its exit status says more than the failed write.
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(script.as_bytes()));
    let status = child.wait()?;
    match (status.success(), written) {
        (true, Some(Ok(()))) => Ok(()),
        (true, _) => Err(std::io::Error::other("it did not read the script")),
        (false, _) => Err(std::io::Error::other(format!("it ended with {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Arguments, Command};
    use clap::Parser;

    fn script_of(options: &[&str]) -> String {
        let args = ["isograd", "slurm"].iter().chain(options);
        match Arguments::try_parse_from(args).unwrap().command {
            Command::Slurm(args) => script(&args, "/opt/iso grad"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_become_lines_and_arguments_are_quoted() {
        let script = script_of(&[
            "--nodes",
            "2",
            "--tasks-per-node",
            "4",
            "--cpus-per-task",
            "8",
            "--time",
            "1-12",
            "--partition",
            "cpu",
            "--account",
            "a.b",
            "train",
            "--save",
            "it's mine",
        ]);
        let expected = "#!/bin/sh\n#SBATCH --job-name=isograd\n#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=4\n\
                        #SBATCH --cpus-per-task=8\n#SBATCH --time=1-12\n#SBATCH --partition=cpu\n#SBATCH --account=a.b\n\
                        set -- '/opt/iso grad' train --save 'it'\\''s mine'\n";
        assert!(script.starts_with(expected), "{script}");
    }

    #[test]
    fn a_line_cannot_be_smuggled_in() {
        let args = ["isograd", "slurm", "--partition", "a\n#SBATCH --x", "train"];
        assert!(Arguments::try_parse_from(args).is_err());
    }
}

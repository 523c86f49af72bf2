//! `isograd slurm`: a batch script.

use crate::cli::SlurmArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::system::quote::quote;
use std::io::Write;
use std::process::{Command, Stdio};

/// Prints the script, writes it to a file, or submits it.
pub(crate) fn start(args: &SlurmArgs, out: &mut Output) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(Failure::Start)?;
    let script = script(args, &program.to_string_lossy());
    if let Some(path) = &args.script {
        let written = std::fs::write(path, &script);
        written.map_err(|source| Failure::Write { option: "--script", path: path.clone(), source })?;
    }
    match (args.submit, &args.script) {
        (true, _) => submit(&script).map_err(Failure::Submit),
        (false, Some(_)) => Ok(()),
        (false, None) => out.text(&script),
    }
}

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
    let command: Vec<String> = words.map(|word| quote(&word)).collect();
    // Slurm's programs differ in whether a step takes over what its job says.
    let cpus = args.cpus_per_task.map_or_else(String::new, |cpus| format!(" --cpus-per-task={cpus}"));
    // The key lies where all nodes see it, and its owner alone may read it. A shell that a signal ends does nothing at its exit,
    // unless the signal has a trap.
    format!(
        "#!/bin/sh\n\
         {options}\n\
         set -eu\n\
         MASTER_ADDR=$(scontrol show hostnames \"$SLURM_JOB_NODELIST\" | head -n 1)\n\
         MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000))\n\
         ISOGRAD_KEY_FILE=$PWD/.isograd-key-$SLURM_JOB_ID\n\
         export MASTER_ADDR MASTER_PORT ISOGRAD_KEY_FILE\n\
         trap 'rm -f \"$ISOGRAD_KEY_FILE\"' EXIT\n\
         trap 'exit 1' INT TERM HUP\n\
         {} keygen \"$ISOGRAD_KEY_FILE\"\n\
         srun --kill-on-bad-exit=1{cpus} {}\n",
        command[0],
        command.join(" ")
    )
}

fn submit(script: &str) -> std::io::Result<()> {
    let mut child = Command::new("sbatch").stdin(Stdio::piped()).spawn()?;
    // One that does not read has an exit status that says more.
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
                        #SBATCH --cpus-per-task=8\n#SBATCH --time=1-12\n#SBATCH --partition=cpu\n#SBATCH --account=a.b\n";
        assert!(script.starts_with(expected), "{script}");
        let last =
            "srun --kill-on-bad-exit=1 --cpus-per-task=8 '/opt/iso grad' train --save 'it'\\''s mine'\n";
        assert!(script.ends_with(last), "{script}");
    }

    #[test]
    fn a_line_cannot_be_smuggled_in() {
        let args = ["isograd", "slurm", "--partition", "a\n#SBATCH --x", "train"];
        assert!(Arguments::try_parse_from(args).is_err());
    }
}

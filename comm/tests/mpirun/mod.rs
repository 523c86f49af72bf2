//! The launcher of the MPI that this program was built with.

use isograd_comm::Mpi;
use std::process::{Command, Stdio};

/// Runs what follows in its arguments on each of `ranks` ranks; its output can be read.
pub(crate) fn mpirun(ranks: usize) -> Command {
    let library = Mpi::library();
    let (program, options): (_, &[_]) = match library.split_whitespace().next() {
        Some("Open") => ("mpirun.openmpi", &["--allow-run-as-root", "--oversubscribe"]),
        Some("MPICH") => ("mpirun.mpich", &[]),
        _ => panic!("an MPI whose mpirun these tests do not know: {library}"),
    };
    let mut command = Command::new(program);
    command.args(options).args(["-np", &ranks.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

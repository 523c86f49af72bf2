//! A folder that only this user can enter, for as long as an agent runs, however it ends.
//!
//! It holds the file by which ranks meet, with the key of the job. An agent that is killed cannot remove
//! anything. So another process does it: this program again, which waits for the end of its standard input.
//! Only the agent has the other end of that pipe, and the system closes it when the agent ends.

use super::rank_process::this_program;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// Enter, read and write: the owner alone.
const MODE: u32 = 0o700;

/// A folder that is removed when this is dropped, or when this process ends.
pub(super) struct PrivateFolder {
    path: PathBuf,
    remover: Child,
}

impl PrivateFolder {
    pub(super) fn make() -> Result<Self, String> {
        let place = std::env::temp_dir();
        let failed =
            |error: io::Error| format!("cannot make a temporary folder in {}: {error}", place.display());
        let folder =
            tempfile::Builder::new().prefix("isograd-").permissions(Permissions::from_mode(MODE)).tempdir();
        let folder = folder.map_err(failed)?;
        // The umask may have taken permissions away from the owner.
        fs::set_permissions(folder.path(), Permissions::from_mode(MODE)).map_err(failed)?;
        let remover = remover(folder.path()).map_err(|error| format!("cannot start a process: {error}"))?;
        Ok(Self { path: folder.keep(), remover })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        drop(self.remover.stdin.take());
        // Its exit code says nothing: a folder that cannot be removed is no reason for a job to fail.
        let _ = self.remover.wait();
    }
}

/// Starts the process that removes `folder`. In a process group of its own, signals to the agent's group do
/// not reach it.
fn remover(folder: &Path) -> io::Result<Child> {
    let mut command = this_program()?;
    command.args(["agent", "--remove"]).arg(folder).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// Removes `folder` at the end of standard input.
pub(crate) fn remove_at_end(folder: &Path) {
    // Any end of the input means that the agent has ended. No process is left that a failure could be
    // reported to.
    let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
    let _ = fs::remove_dir_all(folder);
}

//! A folder that only this user can enter, for as long as an agent runs, however it ends.
//!
//! The file by which ranks meet lies in it, and holds the key of the job. An agent that is killed removes nothing, so a
//! process of its own does: this program again, which waits for the end of its standard input. The other end of that
//! pipe is the agent's alone, and closes with it.

use super::rank_process::this_program;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// Enter, read and write: the owner alone.
const MODE: u32 = 0o700;

/// Is removed when it is dropped, and when this process ends.
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
        // It has ended or it ends now, and nothing depends on how.
        let _ = self.remover.wait();
    }
}

/// Starts the process that removes `folder`, where neither a terminal nor the end of the agent's group reaches it.
fn remover(folder: &Path) -> io::Result<Child> {
    let mut command = this_program()?;
    command.args(["agent", "--remove"]).arg(folder).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// Removes `folder` at the end of standard input.
pub(crate) fn remove_at_end(folder: &Path) {
    // Whatever ends the input, nobody needs the folder any more, and nobody is left to tell of a failure.
    let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
    let _ = fs::remove_dir_all(folder);
}

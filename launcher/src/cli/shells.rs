//! What shells and the manual show of the command line.

use crate::cli::{Arguments, ManArgs};
use crate::failure::Failure;
use crate::system::names;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use std::path::Path;

/// The script that lets `shell` complete commands and options.
pub(crate) fn completions(shell: Shell) -> String {
    let (mut command, mut script) = (Arguments::command(), Vec::new());
    clap_complete::generate(shell, &mut command, "isograd", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The page of the manual that is asked for, in the language of `man`; nothing where all are written to a
/// folder.
pub(crate) fn page(args: &ManArgs) -> Result<String, Failure> {
    let mut root = Arguments::command();
    root.build();
    if let Some(folder) = &args.folder {
        write_pages(&root, folder).map_err(|source| Failure::Write {
            option: "--folder",
            path: folder.clone(),
            source,
        })?;
        return Ok(String::new());
    }
    let mut command = &root;
    for name in args.command.iter().flat_map(|names| names.split(' ')) {
        command = command.find_subcommand(name).ok_or_else(|| {
            let known = command.get_subcommands().filter(|command| !command.is_hide_set());
            let known: Vec<&str> = known.map(Command::get_name).filter(|name| *name != "help").collect();
            Failure::Usage { problem: names::unknown("command", name, &known), hint: None }
        })?;
    }
    let mut page = Vec::new();
    render(command, &mut page).map_err(Failure::Stdout)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// The page of `command`, under the name that its file has.
fn render(command: &Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let title = command.get_display_name().unwrap_or(command.get_name()).to_string();
    Man::new(command.clone()).title(title).manual("isograd").render(page)
}

/// Writes the pages of `command` and of all commands in it.
fn write_pages(command: &Command, folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut page = Vec::new();
    render(command, &mut page)?;
    let name = command.get_display_name().unwrap_or(command.get_name());
    std::fs::write(folder.join(format!("{name}.1")), page)?;
    let inner =
        command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
    inner.into_iter().try_for_each(|command| write_pages(command, folder))
}

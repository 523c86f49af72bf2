//! What shells and the manual show of the command line.

use crate::cli::{Arguments, ManArgs};
use crate::failure::Failure;
use crate::system::names;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
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
    let man = Man::new(command.clone()).title(title).manual("isograd");
    man.render_title(page)?;
    let mut layout = Roff::new();
    // Names of options stay whole.
    layout.control("nh", []).control("ad", ["l"]);
    layout.to_writer(page)?;
    man.render_name_section(page)?;
    // Not with the names of all options, as the crate does it.
    let usage = command.clone().render_usage().to_string();
    lines(page, "SYNOPSIS", usage.trim_start_matches("Usage: "))?;
    man.render_description_section(page)?;
    if command.get_arguments().any(|arg| !arg.is_hide_set()) {
        man.render_options_section(page)?;
    }
    if command.get_subcommands().any(|command| !command.is_hide_set()) {
        man.render_subcommands_section(page)?;
    }
    match command.get_after_help() {
        Some(examples) => lines(page, "EXAMPLES", examples.to_string().trim_start_matches("Examples:\n")),
        None => Ok(()),
    }
}

/// A section whose lines stay as they are.
fn lines(page: &mut Vec<u8>, heading: &str, text: &str) -> std::io::Result<()> {
    let mut section = Roff::new();
    section.control("SH", [heading]).control("nf", []);
    for line in text.lines() {
        section.text([roman(line)]);
    }
    section.control("fi", []);
    section.to_writer(page)
}

/// Writes the pages of `command` and of all commands in it.
fn write_pages(command: &Command, folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut page = Vec::new();
    render(command, &mut page)?;
    let name = command.get_display_name().unwrap_or(command.get_name());
    std::fs::write(folder.join(format!("{name}.1")), page)?;
    let mut inner =
        command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
    inner.try_for_each(|command| write_pages(command, folder))
}

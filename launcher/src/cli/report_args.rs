//! The command `report`. The comments are what `--help` shows.

use crate::cli::config_args::ConfigArgs;
use crate::cli::parsers;
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

pub(super) const REPORT_EXAMPLES: &str = "\
Examples:
  isograd report runs/a                       Write runs/a/report.html
  isograd report runs/a runs/b --out ab.html  Compare two runs
  isograd report runs/a --format json         Print the figures for other programs";

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Folder of a run, or one of its checkpoints; several are compared
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// File to write; '-' is standard output [default: report.html in the folder of the run, or in this
    /// folder for several runs; standard output for the other formats]
    #[arg(long, value_name = "FILE")]
    #[arg(value_parser = PathBufValueParser::new().try_map(parsers::new_file))]
    pub(crate) out: Option<PathBuf>,
    /// What to write [default: what the ending of FILE says, else html]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<ReportFormat>,
    /// Do not test the network of a run for the confusion matrix and the mistakes
    #[arg(long)]
    pub(crate) no_evaluation: bool,
    /// The training samples of the runs, if they are elsewhere now, as for train
    #[arg(long, value_name = "PATH", conflicts_with = "no_evaluation")]
    pub(crate) dataset_train_path: Option<PathBuf>,
    /// The test samples of the runs, if they are elsewhere now, as for train
    #[arg(long, value_name = "PATH", conflicts_with = "no_evaluation")]
    pub(crate) dataset_test_path: Option<PathBuf>,
    /// Threads that test a network; they do not change the result [default: one for each core]
    #[arg(long, value_name = "N", value_parser = parsers::threads, allow_negative_numbers = true)]
    pub(crate) threads: Option<usize>,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(crate) config: ConfigArgs,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// A page for a browser.
    Html,
    /// One JSON object.
    Json,
    /// Tables in Markdown.
    Markdown,
}

impl ReportArgs {
    /// What to write: what was asked for, or what the name of the file says.
    pub(crate) fn format(&self) -> ReportFormat {
        let ending = self.out.as_ref().and_then(|path| path.extension()).and_then(|ending| ending.to_str());
        self.format.unwrap_or(match ending {
            Some("json") => ReportFormat::Json,
            Some("md" | "markdown") => ReportFormat::Markdown,
            _ => ReportFormat::Html,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Arguments, Command};
    use clap::Parser;

    #[test]
    fn the_format_is_that_of_the_option_or_of_the_file() {
        for (words, expected) in [
            (&["a"][..], ReportFormat::Html),
            (&["a", "--out", "x.json"], ReportFormat::Json),
            (&["a", "--out", "x.md"], ReportFormat::Markdown),
            (&["a", "--out", "x.md", "--format", "html"], ReportFormat::Html),
            (&["a", "b", "--format", "json"], ReportFormat::Json),
        ] {
            match Arguments::try_parse_from(["isograd", "report"].iter().chain(words)).unwrap().command {
                Command::Report(args) => assert_eq!(args.format(), expected, "{words:?}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(Arguments::try_parse_from(["isograd", "report"]).is_err());
    }
}

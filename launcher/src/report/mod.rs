//! `isograd report`: what became of runs, on one page.
//!
//! ```text
//! run folder -> run (its log, its state) ─┐
//! checkpoint -> evaluation (cached)     ─┼─> figures ─> page/ (HTML, SVG), summary (JSON), tables (Markdown)
//! ```
//!
//! Not to be mistaken for `rank/report.rs`, the lines that a rank prints of its results.

mod evaluation;
mod figures;
mod page;
mod run;
mod summary;
mod tables;

use crate::cli::{ReportArgs, ReportFormat};
use crate::failure::Failure;
use crate::output::Output;
use crate::system::escape::one_line;
use crate::system::whole_file;
use std::path::{Path, PathBuf};

/// The name of the page in the folder of a run, or in this folder.
const PAGE: &str = "report.html";

/// Writes the report of the runs that `args` name.
pub(crate) fn start(args: ReportArgs, out: &mut Output) -> Result<(), Failure> {
    let mut runs = run::find(&args.runs)?;
    if !args.no_evaluation {
        let samples = evaluation::Samples {
            train: args.dataset_train_path.clone(),
            test: args.dataset_test_path.clone(),
        };
        for run in &mut runs {
            run.evaluation = Some(
                evaluation::of(&run.folder, run.checkpoint.as_deref(), &samples, args.threads)
                    .map_err(|problem| problem.0),
            );
        }
    }
    for note in runs.iter().flat_map(|run| run.notes().into_iter().map(move |note| (run, note))) {
        log::warn!("{}: {}", note.0.path.display(), note.1);
    }
    let format = args.format();
    let text = match format {
        ReportFormat::Html => page::page(&runs),
        ReportFormat::Json => summary::json(&runs),
        ReportFormat::Markdown => tables::markdown(&runs),
    };
    let path = match (args.out, format) {
        (Some(path), _) if path == Path::new("-") => return out.text(&text),
        (Some(path), _) => path,
        (None, ReportFormat::Html) if runs.len() == 1 => runs[0].written_folder().join(PAGE),
        (None, ReportFormat::Html) => PathBuf::from(PAGE),
        (None, _) => return out.text(&text),
    };
    whole_file::write(&path, text).map_err(|source| Failure::Write {
        option: "--out",
        path: path.clone(),
        source,
    })?;
    out.text(&tables::plain(&runs))?;
    out.line(&format!("report: {}", one_line(&path.display().to_string())))
}

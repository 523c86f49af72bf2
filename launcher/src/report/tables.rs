//! The figures of runs as tables of text: for a terminal, and in Markdown.

use super::figures::{self, Figure};
use super::run::Run;
use crate::system::escape::one_line;

/// Longer texts are cut on a terminal, where a row must fit a line.
const MOST_CHARS: usize = 28;

/// A table of the figures, and of the settings in which the runs differ.
pub(super) fn plain(runs: &[Run]) -> String {
    let rows = figures::figures(runs).into_iter().chain(differences(runs));
    let names = std::iter::once(String::new()).chain(runs.iter().map(|run| run.name.clone()));
    let mut lines: Vec<Vec<String>> = Vec::new();
    // A single run needs no name above its column.
    if runs.len() > 1 {
        lines.push(names.map(|name| cut(&name)).collect());
    }
    lines.extend(rows.map(|row| {
        let texts = row.texts.iter().map(|text| cut(text.as_deref().unwrap_or("-")));
        std::iter::once(cut(&row.name)).chain(texts).collect()
    }));
    let columns = runs.len() + 1;
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text += "\n";
    }
    text
}

/// The same in Markdown, with all settings.
pub(super) fn markdown(runs: &[Run]) -> String {
    let mut text = String::from("# ");
    text += &runs.iter().map(|run| escaped(&run.name)).collect::<Vec<_>>().join(", ");
    text += "\n";
    for run in runs {
        for note in run.notes() {
            text += &format!("\n- {}: {}", escaped(&run.name), escaped(&note));
        }
    }
    text += if text.ends_with('\n') { "" } else { "\n" };
    for (title, rows) in [
        ("Figures", figures::figures(runs)),
        ("Settings that differ", differences(runs)),
        ("Settings", figures::settings(runs)),
        ("Machines", figures::machines(runs)),
    ] {
        if !rows.is_empty() {
            text += &format!("\n## {title}\n\n{}", table(runs, &rows));
        }
    }
    text
}

/// The settings in which several runs differ.
pub(super) fn differences(runs: &[Run]) -> Vec<Figure> {
    figures::settings(runs).into_iter().filter(Figure::differs).collect()
}

fn table(runs: &[Run], rows: &[Figure]) -> String {
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text =
        row(std::iter::once(String::new()).chain(runs.iter().map(|run| escaped(&run.name))).collect());
    text += &row(vec!["---".to_string(); runs.len() + 1]);
    for Figure { name, texts, best } in rows {
        let cell = |(run, text): (usize, &Option<String>)| {
            let text = text.as_deref().map(escaped).unwrap_or_default();
            if *best == Some(run) { format!("**{text}**") } else { text }
        };
        text += &row(std::iter::once(escaped(name)).chain(texts.iter().enumerate().map(cell)).collect());
    }
    text
}

/// A text on one line, short enough for a column.
fn cut(text: &str) -> String {
    let line = one_line(text);
    match line.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A text as a cell: nothing in it is taken for Markdown or HTML.
fn escaped(text: &str) -> String {
    let mut cell = String::new();
    for c in one_line(text).chars() {
        if matches!(c, '\\' | '|' | '<' | '&' | '*' | '_' | '`' | '[' | ']' | '#' | '~' | '$') {
            cell.push('\\');
        }
        cell.push(c);
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_hold_any_text() {
        assert_eq!(escaped("a|b\n<i>_*"), "a\\|b\\\\n\\<i>\\_\\*");
        assert_eq!(cut(&"x".repeat(40)), "x".repeat(28) + "…");
        assert_eq!(cut("a\x1b[2J"), "a\\u{1b}[2J");
    }
}

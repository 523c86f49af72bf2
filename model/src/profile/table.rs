//! A profile as text: a table, CSV, JSON.

use super::named;
use super::rows::{Profile, ProfileRow};
use serde_json::{Value, json};
use std::fmt::{self, Write};

impl fmt::Display for Profile {
    /// What was measured, a table of all rows, their sum, and the named spans if there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads: usize = self.records.iter().map(|record| record.threads).sum();
        let plural = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        writeln!(
            f,
            "profile: {} on {}, {:.2} s; peak of a thread {:.1} GFLOP/s ({}, all threads at once)",
            plural(self.ranks(), "rank"),
            plural(threads, "thread"),
            self.wall().as_secs_f64(),
            self.peak_gflops(),
            self.element,
        )?;
        let header =
            ["layer or work", "pass", "calls", "seconds", "share", "GFLOP/s", "of peak", "GB", "GB/s"];
        let mut cells = vec![header.map(str::to_string)];
        let rows = self.rows();
        cells.extend(rows.iter().map(cells_of));
        let seconds = rows.iter().map(|row| row.seconds).sum();
        let share = rows.iter().map(|row| row.share).sum();
        let total = ProfileRow { seconds, share, ..rows[rows.len() - 1].clone() };
        cells.push(cells_of(&ProfileRow { name: "all".to_string(), ..total }));
        f.write_str(align(&cells, 2).trim_end())?;
        let spans = self.spans();
        if !spans.is_empty() {
            write!(f, "\n\n{}", named::table(&spans).trim_end())?;
        }
        Ok(())
    }
}

fn cells_of(row: &ProfileRow) -> [String; 9] {
    let number = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => String::new(),
    };
    [
        row.name.clone(),
        row.pass.to_string(),
        if row.calls > 0 { row.calls.to_string() } else { String::new() },
        format!("{:.3}", row.seconds),
        format!("{:.1} %", 100.0 * row.share),
        number(row.gflops, 1),
        row.peak_share.map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share)),
        number(row.bytes.map(|bytes| bytes as f64 / 1e9), 2),
        number(row.gbytes_per_s, 1),
    ]
}

/// Columns as wide as their widest cell, with a line under the header; the first `texts` columns to the left,
/// numbers to the right.
pub(super) fn align<const COLUMNS: usize>(rows: &[[String; COLUMNS]], texts: usize) -> String {
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < texts { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
        if index == 0 {
            text += &"-".repeat(widths.iter().sum::<usize>() + 2 * (COLUMNS - 1));
            text.push('\n');
        }
    }
    text
}

impl Profile {
    /// All rows as CSV with a header. Seconds are means over threads and ranks, shares are from 0 to 1,
    /// numbers that a row does not have are empty.
    pub fn to_csv(&self) -> String {
        let mut text = "name,pass,calls,seconds,share,gflops,peak_share,bytes,gbytes_per_s\n".to_string();
        for row in self.rows() {
            let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
            let name = match row.name.contains([',', '"', '\n', '\r']) {
                true => format!("\"{}\"", row.name.replace('"', "\"\"")),
                false => row.name,
            };
            let bytes = row.bytes.map_or_else(String::new, |bytes| bytes.to_string());
            let _ = writeln!(
                text,
                "{name},{},{},{},{},{},{},{bytes},{}",
                row.pass,
                row.calls,
                row.seconds,
                row.share,
                number(row.gflops),
                number(row.peak_share),
                number(row.gbytes_per_s)
            );
        }
        text
    }

    /// The profile as a JSON object: `seconds`, `peak_gflops`, `limit` (a line of text), `ranks` (each with
    /// the seconds in which it prepares parameters, computes, waits, updates and idles), `steps` (their
    /// [parts](Self::step_parts) in seconds), `bucket_bytes` (of the gradients' buckets), `rows`, `spans`.
    pub fn to_json(&self) -> String {
        let row = |row: ProfileRow| {
            json!({
                "name": row.name, "pass": row.pass, "calls": row.calls, "seconds": row.seconds, "share": row.share,
                "gflops": row.gflops, "peak_share": row.peak_share, "bytes": row.bytes,
                "gbytes_per_s": row.gbytes_per_s,
            })
        };
        let rank = |record: &super::Record| {
            use super::Work;
            json!({
                "rank": record.rank, "host": record.host, "threads": record.threads,
                "peak_gflops": record.peak_gflops, "seconds": record.wall(),
                "compute_seconds": record.busy() - record.seconds(Work::Read) - record.seconds(Work::HandOver),
                "read_seconds": record.seconds(Work::Read),
                "exchange_hidden_seconds": record.seconds(Work::HandOver),
                "exchange_exposed_seconds": record.seconds(Work::Wait),
                "prepare_seconds": record.seconds(Work::Prepare),
                "update_seconds": record.seconds(Work::Update),
                "idle_seconds": record.idle(),
                "samples": record.total(Work::Read).samples,
            })
        };
        let span = |span: super::NamedTotal| {
            json!({
                "name": span.name, "calls": span.calls, "seconds": span.total_ns as f64 / 1e9,
                "least_seconds": span.least_ns as f64 / 1e9, "most_seconds": span.most_ns as f64 / 1e9,
            })
        };
        let parts = self.step_parts();
        let steps = json!({
            "steps": parts.steps, "seconds": parts.seconds, "shard_seconds": parts.shards,
            "parameter_seconds": parts.parameters, "exchange_hidden_seconds": parts.exchange_hidden,
            "exchange_exposed_seconds": parts.exchange_exposed, "read_seconds": parts.read,
            "wait_seconds": parts.wait, "other_seconds": parts.other,
        });
        let all = json!({
            "seconds": self.wall().as_secs_f64(),
            "element": self.element,
            "peak_gflops": self.peak_gflops(),
            "limit": self.limit().to_string(),
            "ranks": self.records.iter().map(rank).collect::<Vec<Value>>(),
            "steps": steps,
            "bucket_bytes": self.bucket_bytes,
            "rows": self.rows().into_iter().map(row).collect::<Vec<Value>>(),
            "spans": self.spans().into_iter().map(span).collect::<Vec<Value>>(),
        });
        format!("{all:#}\n")
    }
}

//! `isograd hosts check`: what the hosts are, and what is between them.

use super::addresses::{Reached, await_all, reach};
use super::login::{Member, Roster};
use crate::args::HostsCheckArgs;
use crate::cores;
use crate::failure::Failure;
use crate::job::{self, FromAgent, ToAgent};
use crate::output::Output;
use std::sync::mpsc::channel;

/// Bytes that are sent between each two hosts.
const BYTES: u64 = 64 << 20;
/// A clock that is further off than this is worth a look, in seconds.
const SKEW_S: f64 = 1.0;

/// Prints a table of hosts and one of pairs; fails if a host cannot take part.
pub(crate) fn check(args: &HostsCheckArgs, out: &mut Output) -> Result<(), Failure> {
    let hosts = super::chosen(&args.hosts)?;
    let (sender, events) = channel();
    job::watch_signals(&sender)?;
    let mut roster = Roster::start(&hosts, &args.login, &sender)?;
    roster.wait(&events)?;

    let (mut members, mut losses) = (Vec::new(), Vec::new());
    let mut rows = vec![
        ["host", "login", "platform", "cores", "memory", "isa", "GFLOP/s a core", "clock"]
            .map(String::from)
            .to_vec(),
    ];
    for (host, outcome) in roster.into_outcomes() {
        match outcome {
            Ok(member) => members.push(member),
            Err(loss) => losses.push((host.name, loss)),
        }
    }
    for index in 0..members.len() {
        members[index].connection.tell(&ToAgent::Measure);
        let gflops = await_all(&members, index..index + 1, &events, |message| match message {
            FromAgent::Measured { gflops } => Ok(gflops),
            other => Err(other),
        })?;
        rows.push(row(&members[index], gflops[0]));
    }
    for (host, _) in &losses {
        rows.push([host.as_str(), "failed"].map(String::from).to_vec());
    }
    out.text(&table(&rows))?;
    if members.len() > 1 {
        let (_, matrix) = reach(&members, args.hosts.interface.as_deref(), &events, BYTES)?;
        out.line("")?;
        out.text(&table(&pairs(&members, &matrix)))?;
        let is_whole = matrix.iter().flatten().all(Result::is_ok);
        if !is_whole {
            losses.push(("network".to_string(), "some hosts do not reach others".to_string().into()));
        }
    }
    if losses.is_empty() { Ok(()) } else { Err(Failure::LostHosts { losses }) }
}

fn row(member: &Member, gflops: f64) -> Vec<String> {
    let facts = &member.facts;
    let memory = facts.memory_bytes;
    let memory = memory.map_or_else(|| "-".to_string(), |bytes| format!("{:.1} GB", bytes as f64 / 1e9));
    let skew = member.clock_skew_s;
    let skew = if skew.abs() < SKEW_S { "ok".to_string() } else { format!("{skew:+.1} s") };
    let cores = format!("{} ({})", facts.cores.len(), cores::list(&facts.cores));
    let login = if member.host.is_here() { "here" } else { "ok" };
    let (platform, isa) = (facts.platform.clone(), facts.isa.clone());
    vec![
        member.host.name.clone(),
        login.to_string(),
        platform,
        cores,
        memory,
        isa,
        format!("{gflops:.0}"),
        skew,
    ]
}

fn pairs(members: &[Member], matrix: &[Vec<Reached>]) -> Vec<Vec<String>> {
    let mut rows = vec![["from", "to", "address", "round trip", "bandwidth"].map(String::from).to_vec()];
    for (from, row) in matrix.iter().enumerate() {
        for (to, reached) in row.iter().enumerate().filter(|(to, _)| *to != from) {
            let [from, to] = [from, to].map(|host| members[host].host.name.clone());
            rows.push(match reached.as_ref().map(|ways| ways.first()) {
                Ok(Some(way)) => {
                    let rate =
                        way.gbytes_per_s.map_or_else(|| "-".to_string(), |rate| format!("{rate:.3} GB/s"));
                    let round_trip = format!("{:.0} us", way.round_trip_us);
                    vec![from, to, way.address.ip().to_string(), round_trip, rate]
                }
                Ok(None) => vec![from, to, "none".to_string()],
                Err(problem) => vec![from, to, problem.clone()],
            });
        }
    }
    rows
}

/// Columns as wide as their widest cell, but for the last cell of a row.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cells = |column: usize| {
        rows.iter().filter(move |row| row.len() > column + 1).map(move |row| row[column].len())
    };
    let widths: Vec<usize> = (0..columns).map(|column| cells(column).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows = [vec!["a", "bbb", "c"], vec!["aaa", "b", "a long one"], vec!["x", "a long problem"]];
        let rows = rows.map(|row| row.into_iter().map(String::from).collect());
        assert_eq!(table(&rows), "a    bbb  c\naaa  b    a long one\nx    a long problem\n");
    }
}

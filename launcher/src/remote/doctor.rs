//! `isograd hosts check`: measures the hosts, and the network between them.

use super::addresses::{ANSWER, Reached, await_answers, survey};
use super::bandwidth;
use super::roster::{Member, Roster, warn_of_aliases};
use crate::cli::HostsCheckArgs;
use crate::failure::{Failure, HostFailure};
use crate::job::{self, FromAgent, ToAgent, Way};
use crate::output::Output;
use crate::system::cores;
use crate::system::count::count;
use crate::system::escape::one_line;
use std::sync::mpsc::channel;

/// Up to this number of hosts, all pairs are shown.
const FEW: usize = 16;
/// The difference of clocks from which on it is shown, in seconds.
const SKEW_S: f64 = 1.0;

/// Prints a table of the hosts and one of their pairs; an error if a host cannot take part.
pub(crate) fn check(args: &HostsCheckArgs, out: &mut Output) -> Result<(), Failure> {
    let hosts = super::chosen(&args.hosts)?;
    let (sender, events) = channel();
    job::watch_signals(&sender)?;
    let mut roster = Roster::start(&hosts, &args.login, &sender)?;
    roster.wait(None, &events)?;

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
    warn_of_aliases(&members);
    members.iter().for_each(|member| member.connection.tell(&ToAgent::Measure));
    let all: Vec<usize> = (0..members.len()).collect();
    let gflops = await_answers(&members, &all, &events, ANSWER, |message| match message {
        FromAgent::Measured { gflops } => Ok(gflops),
        other => Err(other),
    })?;
    rows.extend(members.iter().zip(gflops).map(|(member, gflops)| row(member, gflops)));
    for (host, _) in &losses {
        rows.push([host.as_str(), "failed"].map(String::from).to_vec());
    }
    out.text(&table(&rows))?;
    if members.len() > 1 {
        let mut survey = survey(&members, args.hosts.interface.as_deref(), &events)?;
        bandwidth::measure(&members, &mut survey, &events)?;
        let matrix = survey.matrix;
        let names: Vec<&str> = members.iter().map(|member| member.host.name.as_str()).collect();
        out.line("")?;
        out.text(&table(&pairs(&names, &matrix)))?;
        let is_whole = matrix.iter().flatten().all(Result::is_ok);
        return outcome(losses, is_whole);
    }
    outcome(losses, true)
}

/// What the check found out: hosts that cannot take part, and whether the others reach each other.
fn outcome(losses: Vec<(String, HostFailure)>, is_whole: bool) -> Result<(), Failure> {
    match (losses.is_empty(), is_whole) {
        (true, true) => Ok(()),
        (true, false) => Err(Failure::Unreachable { matrix: None }),
        (false, _) => {
            if !is_whole {
                log::warn!("the other hosts do not all reach each other");
            }
            Err(Failure::LostHosts { losses })
        }
    }
}

fn row(member: &Member, gflops: f64) -> Vec<String> {
    let facts = &member.facts;
    let memory = facts.memory_bytes;
    let memory = memory.map_or_else(|| "-".to_string(), |bytes| format!("{:.1} GB", bytes as f64 / 1e9));
    let skew = member.clock_skew_s;
    let skew = if skew.abs() < SKEW_S { "ok".to_string() } else { format!("{skew:+.1} s") };
    let usable = facts.usable_cores(None);
    let of_all = if usable < facts.cores.len() { " by a quota" } else { "" };
    let cores = format!("{usable}{of_all} ({})", cores::list(&facts.cores));
    let login = if member.host.is_here() { "here" } else { "ok" };
    let (platform, isa) = (one_line(&facts.platform), one_line(&facts.isa));
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

/// A row for each pair of hosts. If there are many hosts: the pairs that do not reach each other, and the
/// fastest and slowest of the others.
fn pairs(names: &[&str], matrix: &[Vec<Reached>]) -> Vec<Vec<String>> {
    let cells = |(from, row): (usize, &'_ Vec<Reached>)| (0..row.len()).map(move |to| (from, to));
    let mut shown: Vec<(usize, usize)> = matrix.iter().enumerate().flat_map(cells).collect();
    shown.retain(|(from, to)| from != to);
    let all = shown.len();
    if names.len() > FEW {
        let way = |(from, to): &(usize, usize)| matrix[*from][*to].as_ref().ok()?.first();
        let extremes = |value: &dyn Fn(&Way) -> Option<f64>| {
            let value = |pair: &(usize, usize)| Some((way(pair).and_then(value)?, *pair));
            let found = || shown.iter().filter_map(value);
            let less = |a: &(f64, _), b: &(f64, _)| a.0.total_cmp(&b.0);
            [found().min_by(less), found().max_by(less)].into_iter().flatten().map(|(_, pair)| pair)
        };
        let mut kept: Vec<_> = extremes(&|way| way.gbytes_per_s).collect();
        kept.extend(extremes(&|way| Some(way.round_trip_us)));
        shown.retain(|pair| way(pair).is_none() || kept.contains(pair));
    }
    let mut rows = vec![["from", "to", "address", "round trip", "bandwidth"].map(String::from).to_vec()];
    for (from, to) in &shown {
        let reached = matrix[*from][*to].as_ref().map(|ways| ways.first());
        let [from, to] = [from, to].map(|host| names[*host].to_string());
        rows.push(match reached {
            Ok(Some(way)) => {
                let rate = way.gbytes_per_s.map_or_else(|| "-".to_string(), |rate| format!("{rate:.3} GB/s"));
                let round_trip = format!("{:.0} us", way.round_trip_us);
                vec![from, to, way.address.ip().to_string(), round_trip, rate]
            }
            Ok(None) => vec![from, to, "none".to_string()],
            Err(problem) => vec![from, to, one_line(problem)],
        });
    }
    if shown.len() < all {
        let more = all - shown.len();
        let verb = if more == 1 { "is" } else { "are" };
        rows.push(vec![format!("{} {verb} between these", count(more, "more pair"))]);
    }
    rows
}

/// Makes columns as wide as their widest cell. The last cell of a row does not count.
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

    #[test]
    fn a_network_that_is_not_whole_is_no_host() {
        let message = |losses, is_whole| outcome(losses, is_whole).unwrap_err().to_string();
        assert!(outcome(Vec::new(), true).is_ok());
        assert_eq!(message(Vec::new(), false), "the hosts do not all reach each other");
        let lost = || vec![("a".to_string(), "it is down".to_string().into())];
        assert_eq!(message(lost(), true), "host a: it is down");
        assert_eq!(message(lost(), false), "host a: it is down");
    }

    #[test]
    fn of_many_hosts_failures_and_extremes_are_shown() {
        let names: Vec<String> = (0..=FEW).map(|host| format!("h{host}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let reached = |from: usize, to: usize| -> Reached {
            let (round_trip_us, gbytes_per_s) = match (from, to) {
                (1, 2) => return Err("no\nroute".to_string()),
                (3, 4) => (50.0, Some(0.5)),
                (4, 3) => (50.0, Some(2.0)),
                (5, 6) => (10.0, Some(1.0)),
                (6, 5) => (90.0, Some(1.0)),
                _ => (50.0, Some(1.0)),
            };
            let address = "10.0.0.1:1".parse().unwrap();
            Ok(if from == to { Vec::new() } else { vec![Way { address, round_trip_us, gbytes_per_s }] })
        };
        let matrix = |hosts| -> Vec<Vec<Reached>> {
            (0..hosts).map(|from| (0..hosts).map(|to| reached(from, to)).collect()).collect()
        };
        let rows = pairs(&names, &matrix(FEW + 1));
        let ends: Vec<String> = rows[1..rows.len() - 1].iter().map(|row| row[..2].join(" ")).collect();
        assert_eq!(ends, ["h1 h2", "h3 h4", "h4 h3", "h5 h6", "h6 h5"]);
        assert_eq!(rows[1][2], "no\\nroute");
        assert_eq!(rows[6], ["267 more pairs are between these"]);
        assert_eq!(pairs(&names[..FEW], &matrix(FEW)).len(), 1 + FEW * (FEW - 1));
    }
}

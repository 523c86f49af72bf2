//! Measures the bandwidth from each host to each other one.
//!
//! ```text
//! for each round of pairs that have no host in common:
//!     all pairs at once: one sends to the other
//!     all pairs at once: in the other direction
//! ```

use super::addresses::{ANSWER, Survey, TIMEOUT_MS, await_answers, reached, take};
use super::roster::Member;
use crate::failure::Failure;
use crate::job::{Event, ToAgent};
use crate::system::status_line::StatusLine;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// Bytes that are sent from each host to each other one.
const BYTES: u64 = 64 << 20;
/// The lowest bandwidth that is waited for, in bytes per second.
const SLOWEST: u64 = 500_000;

/// Measures the first address that works for each pair of hosts, and replaces the pair's entry in the survey
/// by the result.
pub(super) fn measure(
    members: &[Member],
    survey: &mut Survey,
    events: &Receiver<Event>,
) -> Result<(), Failure> {
    let rounds = rounds(members.len());
    let patience = ANSWER + Duration::from_secs(BYTES / SLOWEST);
    let mut status = StatusLine::on_terminal();
    for (round, pairs) in rounds.iter().enumerate() {
        if let Some(status) = &mut status {
            status.show(&format!("bandwidth: round {} of {}", round + 1, rounds.len()));
        }
        for turn in [|pair| pair, |(one, other)| (other, one)] {
            let has_way = |(from, to): (usize, usize)| {
                let way = survey.matrix[from][to].as_ref().ok()?.first()?;
                Some((from, to, way.address))
            };
            let asked: Vec<_> = pairs.iter().copied().map(turn).filter_map(has_way).collect();
            for (from, to, address) in &asked {
                let targets = vec![(*to as u32, vec![*address])];
                let secret = survey.secret;
                let question = ToAgent::Reach { targets, secret, timeout_ms: TIMEOUT_MS, bytes: BYTES };
                members[*from].connection.tell(&question);
            }
            let hosts: Vec<usize> = asked.iter().map(|(from, ..)| *from).collect();
            let found = await_answers(members, &hosts, events, patience, reached)?;
            for ((from, to, _), mut found) in asked.into_iter().zip(found) {
                survey.matrix[from][to] = take(&mut found, to);
            }
        }
    }
    Ok(())
}

/// Rounds in which each of `hosts` hosts is paired with each other one exactly once, and never with two at a
/// time. As in a round-robin tournament, the last host keeps its place and the others rotate around it.
fn rounds(hosts: usize) -> Vec<Vec<(usize, usize)>> {
    // If the number is odd, one host is idle in each round.
    let seats = hosts.next_multiple_of(2);
    let moving = seats.saturating_sub(1);
    let pair = |round: usize, place: usize| match place {
        0 => (round, moving),
        _ => ((round + place) % moving, (round + moving - place) % moving),
    };
    let is_there = |(one, other): &(usize, usize)| *one < hosts && *other < hosts;
    (0..moving)
        .map(|round| (0..seats / 2).map(|place| pair(round, place)).filter(is_there).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_host_meets_each_other_once() {
        for hosts in 0..=9usize {
            let rounds = rounds(hosts);
            assert_eq!(rounds.len(), hosts.next_multiple_of(2).saturating_sub(1), "{hosts} hosts");
            let mut met = BTreeSet::new();
            for round in &rounds {
                let busy: BTreeSet<usize> = round.iter().flat_map(|(one, other)| [*one, *other]).collect();
                assert_eq!(busy.len(), 2 * round.len(), "{hosts} hosts: {round:?}");
                met.extend(round.iter().map(|(one, other)| (*one.min(other), *one.max(other))));
            }
            let pairs = hosts * hosts.saturating_sub(1) / 2;
            assert_eq!((met.len(), rounds.iter().map(Vec::len).sum::<usize>()), (pairs, pairs));
        }
    }
}

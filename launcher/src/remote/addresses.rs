//! Where the hosts of a job reach each other.

use super::login::Member;
use crate::failure::Failure;
use crate::hosts::Host;
use crate::job::{self, Event, FromAgent, HostFacts, SILENCE, ToAgent, Way, random};
use crate::signals;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// How long a host tries to connect to another, in milliseconds.
const TIMEOUT_MS: u32 = 3000;

/// What one host says of another: the ways that it found, or what went wrong.
pub(super) type Reached = Result<Vec<Way>, String>;

/// Of each host, an address that all others reach.
pub(super) fn choose(
    members: &[Member],
    interface: Option<&str>,
    events: &Receiver<Event>,
) -> Result<Vec<SocketAddr>, Failure> {
    let (listening, matrix) = reach(members, interface, events, 0)?;
    let common = |target: usize| {
        let reaches = |address: &&SocketAddr| {
            let is_way = |row: &Vec<Reached>| {
                row[target].as_ref().is_ok_and(|ways| ways.iter().any(|way| way.address == **address))
            };
            matrix.iter().enumerate().all(|(host, row)| host == target || is_way(row))
        };
        listening[target].iter().find(reaches).copied()
    };
    let chosen: Option<Vec<SocketAddr>> = (0..members.len()).map(common).collect();
    chosen.ok_or_else(|| Failure::Unreachable { matrix: describe(members, &matrix) })
}

/// Lets each host try the others: where each listens, and by host and target what happened. With `bytes`, one after the
/// other, and each measures how fast that many arrive.
#[expect(clippy::type_complexity, reason = "a list and a matrix")]
pub(super) fn reach(
    members: &[Member],
    interface: Option<&str>,
    events: &Receiver<Event>,
    bytes: u64,
) -> Result<(Vec<Vec<SocketAddr>>, Vec<Vec<Reached>>), Failure> {
    let secret = random().map_err(Failure::Random)?;
    for (member, host) in members.iter().zip(0..) {
        let addresses = candidates(&member.host, &member.facts, interface)?;
        member.connection.tell(&ToAgent::Listen { host, addresses, secret });
    }
    let listening = await_all(members, 0..members.len(), events, |message| match message {
        FromAgent::Listening(addresses) => Ok(addresses),
        other => Err(other),
    })?;

    let mut matrix: Vec<Vec<Reached>> = Vec::new();
    let target = |from: usize| {
        let others = listening.iter().enumerate().filter(move |(host, _)| *host != from);
        others.map(|(host, addresses)| (host as u32, addresses.clone())).collect()
    };
    let row = |from: usize, found: Vec<(u32, Reached)>| {
        let mut row: Vec<Reached> = members.iter().map(|_| Err("it said nothing".to_string())).collect();
        row[from] = Ok(Vec::new());
        for (host, reached) in found {
            if let Some(place) = row.get_mut(host as usize) {
                *place = reached;
            }
        }
        row
    };
    let is_answer = |message| match message {
        FromAgent::Reached(found) => Ok(found),
        other => Err(other),
    };
    // A measurement has the network for itself.
    let at_once = if bytes > 0 { 1 } else { members.len().max(1) };
    for first in (0..members.len()).step_by(at_once) {
        let group = first..(first + at_once).min(members.len());
        for from in group.clone() {
            let targets = target(from);
            members[from].connection.tell(&ToAgent::Reach { targets, secret, timeout_ms: TIMEOUT_MS, bytes });
        }
        let found = await_all(members, group.clone(), events, is_answer)?;
        matrix.extend(found.into_iter().zip(group).map(|(found, from)| row(from, found)));
    }
    Ok((listening, matrix))
}

/// Waits for an answer of each member of a range.
pub(super) fn await_all<A>(
    members: &[Member],
    range: Range<usize>,
    events: &Receiver<Event>,
    is_answer: impl Fn(FromAgent) -> Result<A, FromAgent>,
) -> Result<Vec<A>, Failure> {
    let mut answers: Vec<Option<A>> = members.iter().map(|_| None).collect();
    let mut heard = vec![Instant::now(); members.len()];
    while let Some(missing) = range.clone().find(|host| answers[*host].is_none()) {
        let failed =
            |host: usize, problem| Err(Failure::Host { host: members[host].host.name.clone(), problem });
        let until = heard[missing] + SILENCE;
        members.iter().for_each(|member| member.connection.tell(&ToAgent::Beat));
        let wait = until.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return failed(missing, job::silence());
        }
        let Ok(event) = events.recv_timeout(wait.min(job::BEAT)) else { continue };
        let place = |number: usize| members.iter().position(|member| member.number == number);
        match event {
            Event::Signal(signal) => return Err(signals::stopped_by(signal)),
            Event::Closed(number, loss) => {
                if let Some(host) = place(number) {
                    return failed(host, loss.problem);
                }
            }
            Event::Message(number, message) => {
                let Some(host) = place(number) else { continue };
                heard[host] = Instant::now();
                match is_answer(message) {
                    Ok(answer) => answers[host] = Some(answer),
                    Err(FromAgent::Failed(problem)) => return failed(host, problem),
                    Err(_) => (),
                }
            }
            _ => (),
        }
    }
    Ok(answers.drain(range).flatten().collect())
}

/// The addresses at which a host may be reached, the likeliest first.
fn candidates(host: &Host, facts: &HostFacts, interface: Option<&str>) -> Result<Vec<IpAddr>, Failure> {
    let failure = |problem| Err(Failure::Host { host: host.name.clone(), problem });
    let has = |wanted: &IpAddr| facts.addresses.iter().any(|(_, address)| address == wanted);
    if let Some(address) = host.address {
        return if has(&address) {
            Ok(vec![address])
        } else {
            failure(format!("addr={address}: it has no such address"))
        };
    }
    let wanted = host.interface.as_deref().or(interface);
    let of_interface = |name: &str| wanted.is_none_or(|wanted| wanted == name);
    // A link-local address means nothing without its interface.
    let is_usable = |address: &IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    };
    let own = facts.addresses.iter().filter(|(name, address)| of_interface(name) && is_usable(address));
    let mut own: Vec<IpAddr> = own.map(|(_, address)| *address).collect();
    own.sort_by_key(|address| (address.is_loopback(), address.is_ipv6()));
    match (own.is_empty(), wanted) {
        (false, _) => Ok(own),
        (true, Some(wanted)) => {
            let mut names: Vec<&str> = facts.addresses.iter().map(|(name, _)| name.as_str()).collect();
            names.dedup();
            failure(format!("it has no interface {wanted} with an address; it has {}", names.join(", ")))
        }
        (true, None) => failure("it has no address".to_string()),
    }
}

/// Who reached whom, and what went wrong.
fn describe(members: &[Member], matrix: &[Vec<Reached>]) -> String {
    let names: Vec<&str> = members.iter().map(|member| member.host.name.as_str()).collect();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0).max(3);
    let cell = |text: &str| format!("  {text:width$}");
    let mut text = format!("who (row) reached whom (column):\n{:width$}", "");
    text += &names.iter().map(|name| cell(name)).collect::<String>();
    for (from, row) in matrix.iter().enumerate() {
        text += &format!("\n{:width$}", names[from]);
        for (to, reached) in row.iter().enumerate() {
            text += &cell(if from == to {
                "-"
            } else if reached.is_ok() {
                "yes"
            } else {
                "no"
            });
        }
    }
    for (from, row) in matrix.iter().enumerate() {
        for (to, reached) in row.iter().enumerate() {
            match reached {
                Err(problem) => text += &format!("\n{} to {}: {problem}", names[from], names[to]),
                Ok(ways) if from != to => {
                    let ways: Vec<String> = ways.iter().map(|way| way.address.ip().to_string()).collect();
                    text += &format!("\n{} to {}: {}", names[from], names[to], ways.join(", "));
                }
                Ok(_) => (),
            }
        }
    }
    text
}

//! `isograd ssh --dry-run`: prints what would be done.

use super::needed;
use super::program::{Cache, Programs};
use crate::cli::LoginArgs;
use crate::failure::Failure;
use crate::hosts::{self, Host};
use crate::job::JobPlan;
use crate::output::Output;
use crate::system::cores;
use crate::system::quote::quote;
use std::net::ToSocketAddrs;
use std::thread;

/// Names that are looked up at the same time.
const LOOK_UPS: usize = 64;

/// Prints hosts, ranks, cores, addresses and commands, as far as they are known without a login.
pub(super) fn print(
    hosts: &[Host],
    ranks: Option<u32>,
    plan: &JobPlan,
    login: &LoginArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let needed = needed::may_get_ranks(hosts, ranks);
    let slots = |host: &Host| Some((needed::known_slots(host)?, host.max_slots));
    let slots: Option<Vec<_>> = needed.iter().map(slots).collect();
    let places = slots.map(|slots| hosts::place(&slots, ranks)).transpose()?;
    if let Some(places) = &places {
        plan.check_world(places.iter().map(|place| place.count).sum())?;
    }
    let programs = Programs::own().map_err(Failure::Start)?;
    let start = programs.here().start_command(&Cache::new(login.cache.as_deref()));
    let addresses = addresses(hosts);
    for (index, (host, address)) in hosts.iter().zip(addresses).enumerate() {
        let ranks = match &places {
            _ if index >= needed.len() => "none: the hosts before it have slots for all".to_string(),
            Some(places) => match (places[index].first, places[index].count) {
                (first, 1) => first.to_string(),
                (first, count) => format!("{first} to {}", first + count - 1),
            },
            None => match needed::known_slots(host) {
                Some(slots) => format!("up to {slots}"),
                None => "up to as many as it has cores".to_string(),
            },
        };
        let cores = host.cores.as_ref().map_or_else(|| "all".to_string(), |own| cores::list(own));
        let how = if plan.bind { "divided among its ranks, if there are enough" } else { "not bound" };
        out.line(&format!("host {}", host.name))?;
        out.line(&format!("  login:   {}", how_to_login(host)))?;
        out.line(&format!("  ranks:   {ranks}"))?;
        out.line(&format!("  cores:   {cores}, {how}"))?;
        out.line(&format!("  address: {address}"))?;
        if let Some(folder) = &host.folder {
            out.line(&format!("  folder:  {folder}"))?;
        }
        let command = if host.is_here() { "isograd agent" } else { &start };
        out.line(&format!("  agent:   {command}"))?;
    }
    let args: Vec<String> = plan.args.iter().map(|arg| quote(&arg.to_string_lossy())).collect();
    out.line(&format!("each rank: isograd {}", args.join(" ")))?;
    // The values may be secret.
    let names: Vec<&str> = plan.env.iter().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() { Ok(()) } else { out.line(&format!("variables: {}", names.join(", "))) }
}

fn how_to_login(host: &Host) -> String {
    if host.is_here() {
        return "none: this machine".to_string();
    }
    let user = host.user.as_ref().map_or_else(String::new, |user| format!("{user}@"));
    let port = host.port.map_or_else(String::new, |port| format!(" port {port}"));
    let key = host.identity.as_ref().map_or_else(String::new, |path| format!(" with {}", path.display()));
    format!("ssh {user}{}{port}{key}", host.name)
}

/// What is known of the hosts' addresses. Names are looked up in parallel: each may take seconds.
fn addresses(hosts: &[Host]) -> Vec<String> {
    let mut addresses = Vec::new();
    for some in hosts.chunks(LOOK_UPS) {
        thread::scope(|scope| {
            let asked: Vec<_> = some.iter().map(|host| scope.spawn(|| address(host))).collect();
            addresses.extend(asked.into_iter().map(|one| one.join().expect("a look-up does not panic")));
        });
    }
    addresses
}

fn address(host: &Host) -> String {
    match (&host.address, &host.interface) {
        (Some(address), _) => address.to_string(),
        (None, Some(interface)) => format!("one of its interface {interface}"),
        (None, None) => {
            let found = (host.name.as_str(), 0).to_socket_addrs();
            let found: Vec<String> =
                found.into_iter().flatten().map(|address| address.ip().to_string()).collect();
            let found = if found.is_empty() { "unknown here".to_string() } else { found.join(", ") };
            format!("one that works, for each pair of hosts (login at: {found})")
        }
    }
}

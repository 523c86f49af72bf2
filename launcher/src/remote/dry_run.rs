//! `isograd ssh --dry-run`: prints what would be done.

use super::needed;
use super::program::{Cache, Programs};
use super::roster::{cannot_log_in, logins, target};
use crate::cli::LoginArgs;
use crate::failure::Failure;
use crate::hosts::{self, Host, Place};
use crate::job::JobPlan;
use crate::output::Output;
use crate::ssh::LoginPlan;
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
    let logins = plan_logins(hosts, login)?;
    let addresses = addresses(hosts, &logins);
    for (index, host) in hosts.iter().enumerate() {
        let ranks = match &places {
            _ if index >= needed.len() => "none: the hosts before it have slots for all".to_string(),
            Some(places) => ranks_of(places[index]),
            None => match needed::known_slots(host) {
                Some(slots) => format!("up to {slots}"),
                None => "up to as many as it has cores".to_string(),
            },
        };
        let cores = host.cores.as_ref().map_or_else(|| "all".to_string(), |own| cores::list(own));
        let how = if plan.bind { "divided among its ranks, if there are enough" } else { "not bound" };
        let login = logins[index].as_ref().map_or("none: this machine", |login| login.text.as_str());
        out.line(&format!("host {}", host.name))?;
        out.line(&format!("  login:   {login}"))?;
        out.line(&format!("  ranks:   {ranks}"))?;
        out.line(&format!("  cores:   {cores}, {how}"))?;
        out.line(&format!("  address: {}", addresses[index]))?;
        if let Some(folder) = &host.folder {
            out.line(&format!("  folder:  {folder}"))?;
        }
    }
    if logins.iter().any(Option::is_some) {
        let (programs, cache) =
            (Programs::own().map_err(Failure::Start)?, Cache::new(login.cache.as_deref()));
        out.line(&format!("each agent: {}, copied there if it is absent", programs.here().place(&cache)))?;
        log::debug!("each agent is started by: {}", programs.here().start_command(&cache));
    }
    let args: Vec<String> = plan.args.iter().map(|arg| quote(&arg.to_string_lossy())).collect();
    out.line(&format!("each rank: isograd {}", args.join(" ")))?;
    // The values may be secret.
    let names: Vec<&str> = plan.env.iter().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() { Ok(()) } else { out.line(&format!("variables: {}", names.join(", "))) }
}

fn ranks_of(place: Place) -> String {
    let Place { first, count } = place;
    match count {
        0 => "none".to_string(),
        1 => first.to_string(),
        _ => format!("{first} to {}", first + count - 1),
    }
}

/// How to log in at each host; nothing for this machine.
fn plan_logins(hosts: &[Host], args: &LoginArgs) -> Result<Vec<Option<LoginPlan>>, Failure> {
    if hosts.iter().all(Host::is_here) {
        return Ok(vec![None; hosts.len()]);
    }
    let logins = logins(args)?;
    let (mut plans, mut losses) = (Vec::new(), Vec::new());
    for host in hosts {
        match (!host.is_here()).then(|| logins.plan(&target(host))).transpose() {
            Ok(plan) => plans.push(plan),
            Err(error) => losses.push((host.name.clone(), cannot_log_in(host, &error))),
        }
    }
    if losses.is_empty() { Ok(plans) } else { Err(Failure::LostHosts { losses }) }
}

/// What is known of the hosts' addresses. Names are looked up in parallel: each may take seconds.
fn addresses(hosts: &[Host], logins: &[Option<LoginPlan>]) -> Vec<String> {
    let mut addresses = Vec::new();
    let hosts: Vec<_> = hosts.iter().zip(logins).collect();
    for some in hosts.chunks(LOOK_UPS) {
        thread::scope(|scope| {
            let asked: Vec<_> =
                some.iter().map(|(host, login)| scope.spawn(|| address(host, login.as_ref()))).collect();
            addresses.extend(asked.into_iter().map(|one| one.join().expect("a look-up does not panic")));
        });
    }
    addresses
}

fn address(host: &Host, login: Option<&LoginPlan>) -> String {
    match (&host.address, &host.interface) {
        (Some(address), _) => address.to_string(),
        (None, Some(interface)) => format!("one of its interface {interface}"),
        (None, None) => {
            let any = "one that works, for each pair of hosts";
            let name = login.map_or(Some("localhost"), |login| login.looked_up.as_deref());
            let Some(name) = name else { return any.to_string() };
            let found = (name, 0).to_socket_addrs();
            let found: Vec<String> =
                found.into_iter().flatten().map(|address| address.ip().to_string()).collect();
            let found = if found.is_empty() { "unknown here".to_string() } else { found.join(", ") };
            format!("{any} (login at: {found})")
        }
    }
}

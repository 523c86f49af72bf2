//! `isograd ssh`: ranks on other machines.
//!
//! ```text
//! read and choose the hosts; leave out those that cannot get ranks
//! on all hosts at once: log in, copy this program if it is not there, start an agent
//! go on as soon as the first hosts have slots for all ranks
//! divide the ranks among the hosts
//! let each host try the addresses of the others, and choose an address for each pair
//! start the ranks, give them the job's key, and watch them
//! ```

mod addresses;
mod bandwidth;
#[cfg(test)]
mod discard;
pub(crate) mod doctor;
mod dry_run;
mod install;
mod needed;
mod program;
mod roster;

use crate::cli::{HostArgs, SshArgs};
use crate::failure::Failure;
use crate::hosts::{self, Host, Selection};
use crate::job::{self, Assignment, HostRanks, JobPlan, Meeting, MeetingAddress, Route, random};
use crate::output::Output;
use addresses::HostNetwork;
use roster::{Roster, warn_of_aliases};
use std::sync::mpsc::channel;

/// Runs the command as ranks on the hosts, until all ranks have ended.
pub(crate) fn start(args: SshArgs, out: &mut Output) -> Result<(), Failure> {
    let hosts = chosen(&args.hosts)?;
    let plan = JobPlan::new(args.job, true)?;
    args.ranks.map_or(Ok(()), |ranks| plan.check_world(ranks))?;
    if args.dry_run {
        return dry_run::print(&hosts, args.ranks, &plan, &args.login, out);
    }
    let (sender, events) = channel();
    job::watch_signals(&sender)?;
    let mut roster = Roster::start(needed::may_get_ranks(&hosts, args.ranks), &args.login, &sender)?;
    roster.wait(args.ranks, &events)?;
    let members = roster.into_members(args.ranks)?;
    warn_of_aliases(&members);

    let slots =
        members.iter().map(|member| (needed::slots(&member.host, &member.facts), member.host.max_slots));
    let places = hosts::place(&slots.collect::<Vec<_>>(), args.ranks)?;
    let world = places.iter().map(|place| place.count).sum();
    plan.check_world(world)?;
    let used: Vec<_> = members.into_iter().zip(places).filter(|(_, place)| place.count > 0).collect();
    let (members, places): (Vec<_>, Vec<_>) = used.into_iter().unzip();

    let meetings = match members.as_slice() {
        [_] => vec![Meeting::Here],
        members => {
            let networks = addresses::choose(members, args.hosts.interface.as_deref(), &events)?;
            let secret = || random().map_err(Failure::Random);
            let (key, job) = (secret()?, secret()?.map(|byte| format!("{byte:02x}"))[..8].concat());
            let route = |(host, address): (usize, _)| Route {
                first_rank: places[host].first,
                ranks: places[host].count,
                address,
            };
            let meeting = |network: HostNetwork| {
                let HostNetwork { address, listen, routes } = network;
                let routes = routes.into_iter().map(route).collect();
                Meeting::At(MeetingAddress { address, listen, routes, key, job: job.clone() })
            };
            networks.into_iter().map(meeting).collect()
        }
    };
    let JobPlan { args, env, bind, relay, .. } = plan;
    let ranks = members.into_iter().zip(places).zip(meetings).map(|((member, place), meeting)| {
        let Host { name, cores, folder, env: own, .. } = member.host;
        // A variable of the host comes last, so that it replaces one of all ranks.
        let own = own.into_iter().map(|(name, value)| (name, value.into()));
        let assignment = Assignment {
            args: args.clone(),
            env: env.iter().cloned().chain(own).collect(),
            folder,
            world,
            first_rank: place.first,
            ranks: place.count,
            cores,
            bind,
            progress: None,
            meeting,
        };
        HostRanks { number: member.number, name, connection: member.connection, assignment }
    });
    job::supervise(ranks.collect(), &events, relay)
}

impl From<hosts::Error> for Failure {
    fn from(error: hosts::Error) -> Self {
        Self::Usage { problem: error.to_string(), hint: error.hint() }
    }
}

/// The hosts that take part, from a hostfile or from the command line.
pub(crate) fn chosen(args: &HostArgs) -> Result<Vec<Host>, Failure> {
    let hosts = match (&args.hostfile, &args.host) {
        (Some(path), _) => hosts::read(path)?,
        (None, Some(list)) => hosts::inline(list)?,
        (None, None) => {
            return Err(Failure::Usage {
                problem: "no hosts: expected --hostfile or -H".to_string(),
                hint: Some("'isograd local -n N COMMAND' runs ranks on this machine".to_string()),
            });
        }
    };
    let selection = Selection { include: args.include.clone(), exclude: args.exclude.clone() };
    Ok(hosts::select(hosts, &selection)?)
}

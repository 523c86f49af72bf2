//! Which hosts a job needs.
//!
//! Ranks fill the hosts in their order, each up to its slots. So a host gets none if the hosts before it have
//! slots for all ranks, and then it need not be reachable. A host of which neither slots nor cores are given
//! has a slot for each of its cores: at least one.

use crate::hosts::Host;
use crate::system::cores::CoreLimits;
use crate::system::host_facts::HostFacts;

/// The slots of a host, as far as they are known before it is asked.
pub(super) fn known_slots(host: &Host) -> Option<u32> {
    let given = host.slots.or(host.cores.as_ref().map(|cores| cores.len() as u32));
    given.or_else(|| host.is_here().then(|| CoreLimits::of_this_process().usable() as u32))
}

/// The slots of a host that has answered.
pub(super) fn slots(host: &Host, facts: &HostFacts) -> u32 {
    host.slots.unwrap_or_else(|| facts.usable_cores(host.cores.as_deref()) as u32)
}

/// The hosts that may get ranks: the first ones, up to the one with which there are surely slots for all.
pub(super) fn may_get_ranks(hosts: &[Host], ranks: Option<u32>) -> &[Host] {
    let at_least = hosts.iter().map(|host| known_slots(host).unwrap_or(1));
    &hosts[..covering(at_least, ranks).unwrap_or(hosts.len())]
}

/// How many of the first hosts have slots for all `ranks`; `None` if they do not, or if all slots are to be
/// used.
pub(super) fn covering(slots: impl Iterator<Item = u32>, ranks: Option<u32>) -> Option<usize> {
    let (ranks, mut total) = (ranks?, 0u32);
    let is_enough = |slots: u32| {
        total = total.saturating_add(slots);
        total >= ranks
    };
    slots.map(is_enough).position(|is_enough| is_enough).map(|last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_that_may_get_ranks_are_needed() {
        let host = |slots: Option<u32>, cores: usize| Host {
            name: "node".to_string(),
            slots,
            cores: (cores > 0).then(|| (0..cores).collect()),
            ..Host::default()
        };
        let hosts = [host(Some(2), 8), host(None, 0), host(None, 3), host(Some(4), 0)];
        for (ranks, expected) in [(1, 1), (2, 1), (3, 2), (4, 3), (6, 3), (7, 4), (10, 4), (11, 4)] {
            assert_eq!(may_get_ranks(&hosts, Some(ranks)).len(), expected, "{ranks} ranks");
        }
        assert_eq!(may_get_ranks(&hosts, None).len(), 4);
    }
}

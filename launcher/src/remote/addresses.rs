//! Where the hosts of a job reach each other.

use super::roster::Member;
use crate::failure::Failure;
use crate::hosts::Host;
use crate::job::{Beats, Event, FromAgent, Liveness, ToAgent, Way, random};
use crate::system::escape::one_line;
use crate::system::host_facts::HostFacts;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// How long a host tries to connect to another, in milliseconds.
pub(super) const TIMEOUT_MS: u32 = 3000;
/// How long a host may take for the answer to a question, whatever signs of life it gives: some times what
/// trying all addresses takes.
pub(super) const ANSWER: Duration = Duration::from_secs(30);

/// What one host says of another: the ways that it found, or what went wrong.
pub(super) type Reached = Result<Vec<Way>, String>;

/// What the ranks of one host need to know of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostNetwork {
    /// Where they reach rank 0.
    pub(super) address: SocketAddr,
    /// Where they listen.
    pub(super) listen: Vec<SocketAddr>,
    /// Hosts that they reach at another than the first address, and that address.
    pub(super) routes: Vec<(usize, IpAddr)>,
}

/// For each host, where it listens and where it reaches the others: at an address that both have proved to
/// each other.
pub(super) fn choose(
    members: &[Member],
    interface: Option<&str>,
    events: &Receiver<Event>,
) -> Result<Vec<HostNetwork>, Failure> {
    let Survey { listening, matrix, .. } = survey(members, interface, events)?;
    networks(&listening, &matrix)
        .ok_or_else(|| Failure::Unreachable { matrix: Some(describe(members, &matrix)) })
}

/// The same from where the hosts listen and from who reached whom; nothing if a pair has no address. A higher
/// rank connects to a lower one, so that a host has to be reached by those behind it. One address for all of
/// these is preferred: then nobody needs a route.
fn networks(listening: &[Vec<SocketAddr>], matrix: &[Vec<Reached>]) -> Option<Vec<HostNetwork>> {
    let hosts = listening.len();
    let reaches = |from: usize, to: usize, address: SocketAddr| {
        matrix[from][to].as_ref().is_ok_and(|ways| ways.iter().any(|way| way.address == address))
    };
    // By target, and by each host behind it: the address of the target.
    let mut chosen: Vec<Vec<SocketAddr>> = Vec::new();
    for (target, addresses) in listening.iter().enumerate() {
        let behind = target + 1..hosts;
        let common =
            addresses.iter().find(|address| behind.clone().all(|host| reaches(host, target, **address)));
        let of_pair =
            |host| common.or_else(|| addresses.iter().find(|address| reaches(host, target, **address)));
        chosen.push(behind.clone().map(|host| of_pair(host).copied()).collect::<Option<_>>()?);
    }
    let listen = |target: usize| -> Vec<SocketAddr> {
        let used: Vec<_> =
            listening[target].iter().filter(|address| chosen[target].contains(address)).copied().collect();
        // Nobody connects to the last host from elsewhere; its own ranks may do so, without shared memory.
        if used.is_empty() { listening[target].first().copied().into_iter().collect() } else { used }
    };
    let listen: Vec<Vec<SocketAddr>> = (0..hosts).map(listen).collect();
    let network = |host: usize| {
        let way_to = |target: usize| chosen[target][host - target - 1];
        let is_other = |target: &usize| way_to(*target) != listen[*target][0];
        Some(HostNetwork {
            address: if host == 0 { *listen[0].first()? } else { way_to(0) },
            listen: listen[host].clone(),
            routes: (0..host).filter(is_other).map(|target| (target, way_to(target).ip())).collect(),
        })
    };
    (0..hosts).map(network).collect()
}

/// Where the hosts listen, and which host reached which.
pub(super) struct Survey {
    pub(super) listening: Vec<Vec<SocketAddr>>,
    /// By host and target.
    pub(super) matrix: Vec<Vec<Reached>>,
    /// With which they prove who they are to each other.
    pub(super) secret: [u8; 32],
}

/// Lets each host try the others. They go on listening.
pub(super) fn survey(
    members: &[Member],
    interface: Option<&str>,
    events: &Receiver<Event>,
) -> Result<Survey, Failure> {
    let secret = random().map_err(Failure::Random)?;
    for (member, host) in members.iter().zip(0..) {
        let addresses = candidates(&member.host, &member.facts, interface)?;
        member.connection.tell(&ToAgent::Listen { host, addresses, secret });
    }
    let all: Vec<usize> = (0..members.len()).collect();
    let listening = await_answers(members, &all, events, ANSWER, |message| match message {
        FromAgent::Listening(addresses) => Ok(addresses),
        other => Err(other),
    })?;

    for (from, member) in members.iter().enumerate() {
        let others = listening.iter().enumerate().filter(|(host, _)| *host != from);
        let targets = others.map(|(host, addresses)| (host as u32, addresses.clone())).collect();
        member.connection.tell(&ToAgent::Reach { targets, secret, timeout_ms: TIMEOUT_MS, bytes: 0 });
    }
    let found = await_answers(members, &all, events, ANSWER, reached)?;
    let row = |(from, mut found): (usize, Vec<(u32, Reached)>)| {
        let cell = |to| if to == from { Ok(Vec::new()) } else { take(&mut found, to) };
        (0..members.len()).map(cell).collect()
    };
    let matrix = found.into_iter().enumerate().map(row).collect();
    Ok(Survey { listening, matrix, secret })
}

/// The answer to `ToAgent::Reach`.
pub(super) fn reached(message: FromAgent) -> Result<Vec<(u32, Reached)>, FromAgent> {
    match message {
        FromAgent::Reached(found) => Ok(found),
        other => Err(other),
    }
}

/// What such an answer has on a target.
pub(super) fn take(found: &mut Vec<(u32, Reached)>, target: usize) -> Reached {
    match found.iter().position(|(host, _)| *host as usize == target) {
        Some(place) => found.swap_remove(place).1,
        None => Err("it said nothing".to_string()),
    }
}

/// Waits for an answer of each of some hosts, in their order; for each no longer than `patience`.
pub(super) fn await_answers<A>(
    members: &[Member],
    hosts: &[usize],
    events: &Receiver<Event>,
    patience: Duration,
    is_answer: impl Fn(FromAgent) -> Result<A, FromAgent>,
) -> Result<Vec<A>, Failure> {
    let mut answers: Vec<Option<A>> = members.iter().map(|_| None).collect();
    let start = Instant::now();
    let mut liveness = vec![Liveness::new(start); members.len()];
    let mut beats = Beats::new(start);
    while let Some(missing) = hosts.iter().copied().find(|host| answers[*host].is_none()) {
        let failed =
            |host: usize, problem| Err(Failure::Host { host: members[host].host.name.clone(), problem });
        let now = Instant::now();
        if let Some(late) = beats.due(now) {
            liveness.iter_mut().for_each(|host| host.excuse(late));
            members.iter().for_each(|member| member.connection.tell(&ToAgent::Beat));
        }
        if liveness[missing].is_lost(now) {
            return failed(missing, Liveness::problem());
        }
        if now >= start + patience {
            let problem = format!("it is alive, but has not answered for {:.1} s", patience.as_secs_f64());
            return failed(missing, problem);
        }
        let until = liveness[missing].deadline().min(start + patience).min(beats.next());
        let Ok(event) = events.recv_timeout(until.saturating_duration_since(now)) else { continue };
        let place = |number: usize| members.iter().position(|member| member.number == number);
        match event {
            Event::Signal(signal) => return Err(Failure::stopped_by(signal)),
            Event::Closed(number, loss) => {
                if let Some(host) = place(number) {
                    return failed(host, loss.problem);
                }
            }
            Event::Message(number, message) => {
                let Some(host) = place(number) else { continue };
                liveness[host].hear(Instant::now());
                match is_answer(message) {
                    Ok(answer) => answers[host] = Some(answer),
                    Err(FromAgent::Failed(problem)) => return failed(host, problem),
                    Err(_) => (),
                }
            }
            _ => (),
        }
    }
    Ok(hosts.iter().map(|host| answers[*host].take().expect("all have answered")).collect())
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
            let mut names: Vec<&str> = Vec::new();
            for (name, _) in &facts.addresses {
                if !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
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
                Err(problem) => {
                    text += &format!("\n{} to {}: {}", names[from], names[to], one_line(problem));
                }
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

#[cfg(test)]
mod tests {
    use super::super::discard::Discard;
    use super::*;
    use crate::job::Connection;
    use crate::system::host_facts;
    use std::sync::mpsc::channel;
    use std::thread;

    fn member(number: usize, name: &str) -> Member {
        Member {
            number,
            host: Host { name: name.to_string(), ..Host::default() },
            facts: host_facts::collect(false),
            connection: Connection::new(Discard),
            clock_skew_s: 0.0,
        }
    }

    fn measured(message: FromAgent) -> Result<f64, FromAgent> {
        match message {
            FromAgent::Measured { gflops } => Ok(gflops),
            other => Err(other),
        }
    }

    /// Who reached whom at which of the addresses.
    fn ways(hosts: usize, reached: &[(usize, usize, &[SocketAddr])]) -> Vec<Vec<Reached>> {
        let mut matrix: Vec<Vec<Reached>> = vec![vec![Err("no way".to_string()); hosts]; hosts];
        for (from, to, addresses) in reached {
            let way =
                |address: &SocketAddr| Way { address: *address, round_trip_us: 1.0, gbytes_per_s: None };
            matrix[*from][*to] = Ok(addresses.iter().map(way).collect());
        }
        matrix
    }

    fn addresses<const N: usize>(texts: [&str; N]) -> [SocketAddr; N] {
        texts.map(|text| text.parse().unwrap())
    }

    #[test]
    fn one_address_of_a_host_serves_all_that_reach_it() {
        // The first address of host 0 is a bridge of its own.
        let [bridge, a, b, c] = addresses(["172.17.0.1:1", "10.0.0.1:2", "10.0.0.2:3", "10.0.0.3:4"]);
        let listening = [vec![bridge, a], vec![b], vec![c]];
        let matrix = ways(3, &[(1, 0, &[a]), (2, 0, &[a]), (2, 1, &[b])]);
        let network = |address: SocketAddr, listen: SocketAddr| HostNetwork {
            address,
            listen: vec![listen],
            routes: Vec::new(),
        };
        assert_eq!(networks(&listening, &matrix).unwrap(), [network(a, a), network(a, b), network(a, c)]);
    }

    #[test]
    fn a_cable_between_each_two_hosts_is_enough() {
        // `ab` is the address of `a` on its cable to `b`.
        let [ab, ac, ad, ba, bc, bd] =
            addresses(["10.1.0.1:1", "10.2.0.1:2", "10.3.0.1:3", "10.1.0.2:4", "10.4.0.1:5", "10.5.0.1:6"]);
        let [ca, cb, cd, da, db, dc] =
            addresses(["10.2.0.2:1", "10.4.0.2:2", "10.6.0.1:3", "10.3.0.2:4", "10.5.0.2:5", "10.6.0.2:6"]);
        let listening = [vec![ab, ac, ad], vec![ba, bc, bd], vec![ca, cb, cd], vec![da, db, dc]];
        let matrix = ways(
            4,
            &[(1, 0, &[ab]), (2, 0, &[ac]), (3, 0, &[ad]), (2, 1, &[bc]), (3, 1, &[bd]), (3, 2, &[cd])],
        );
        let found = networks(&listening, &matrix).unwrap();
        assert_eq!([0, 1, 2, 3].map(|host| found[host].address), [ab, ab, ac, ad]);
        assert_eq!(found[0].listen, [ab, ac, ad]);
        assert_eq!(found[1].listen, [bc, bd]);
        assert_eq!((found[1].routes.as_slice(), found[2].routes.as_slice()), (&[][..], &[(0, ac.ip())][..]));
        assert_eq!(found[3].routes, [(0, ad.ip()), (1, bd.ip())]);
        // A pair without any address is not.
        let matrix = ways(4, &[(1, 0, &[ab]), (2, 0, &[ac]), (3, 0, &[ad]), (2, 1, &[bc]), (3, 1, &[bd])]);
        assert_eq!(networks(&listening, &matrix), None);
    }

    #[test]
    fn an_interface_is_listed_once() {
        let mut facts = host_facts::collect(false);
        let address = |name: &str, text: &str| (name.to_string(), text.parse().unwrap());
        facts.addresses = vec![address("lo", "127.0.0.1"), address("eth0", "10.0.0.1"), address("lo", "::1")];
        let problem = candidates(&member(0, "a").host, &facts, Some("eth1")).unwrap_err().to_string();
        assert_eq!(problem, "host a: it has no interface eth1 with an address; it has lo, eth0");
    }

    #[test]
    fn a_host_that_only_gives_signs_of_life_is_named_in_the_end() {
        let members = [member(3, "a"), member(5, "b")];
        let (sender, events) = channel();
        sender.send(Event::Message(3, FromAgent::Measured { gflops: 1.0 })).unwrap();
        let speaker = thread::spawn(move || {
            while sender.send(Event::Message(5, FromAgent::Beat)).is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        });
        let outcome = await_answers(&members, &[0, 1], &events, Duration::from_millis(100), measured);
        drop(events);
        speaker.join().unwrap();
        let problem = outcome.unwrap_err().to_string();
        assert_eq!(problem, "host b: it is alive, but has not answered for 0.1 s");
    }

    #[test]
    fn answers_have_the_order_of_the_hosts() {
        let members = [member(3, "a"), member(5, "b"), member(6, "c")];
        let (sender, events) = channel();
        for (number, gflops) in [(5, 5.0), (9, 9.0), (3, 3.0)] {
            sender.send(Event::Message(number, FromAgent::Measured { gflops })).unwrap();
        }
        let answers = await_answers(&members, &[1, 0], &events, ANSWER, measured).unwrap();
        assert_eq!(answers, [5.0, 3.0]);
    }
}

//! Jump hosts: the chain of logins on the way to a host.

use super::config::{Config, Hop, Proxy, Target};
use super::error::Error;
use crate::system::escape::excerpt;

impl Config {
    /// The logins on the way to `target`, in order; the last one is at `target` itself.
    ///
    /// # Errors
    /// `BadJump`, `JumpCircle`, `NoUser`.
    pub(super) fn route(&self, target: &Target) -> Result<Vec<Hop>, Error> {
        let mut route = Vec::new();
        self.extend(target, &mut Vec::new(), &mut route)?;
        Ok(route)
    }

    /// Appends the jump hosts of `target`, then `target`. As in `ssh`, the first jump host may have jump
    /// hosts of its own, the others are reached through the one before. `under_way` has the hosts whose jump
    /// hosts are being looked up.
    fn extend(
        &self,
        target: &Target,
        under_way: &mut Vec<String>,
        route: &mut Vec<Hop>,
    ) -> Result<(), Error> {
        let settings = self.settings(target)?;
        let circle = under_way.contains(&target.host);
        under_way.push(target.host.clone());
        if circle {
            return Err(Error::JumpCircle { host: under_way[0].clone(), circle: under_way.clone() });
        }
        match &settings.proxy {
            Some(Proxy::Jump(jumps)) => {
                for (place, jump) in jumps.split(',').enumerate() {
                    let jump = parse_jump(jump)
                        .ok_or_else(|| Error::BadJump { host: target.host.clone(), jump: excerpt(jump) })?;
                    if place == 0 {
                        self.extend(&jump, under_way, route)?;
                    } else {
                        route.push(self.hop(&jump, &self.settings(&jump)?)?);
                    }
                }
            }
            Some(Proxy::Command) => {
                log::warn!(
                    "{}: ProxyCommand is not supported, ProxyJump is; connecting directly",
                    target.host
                );
            }
            Some(Proxy::None) | None => {}
        }
        under_way.pop();
        route.push(self.hop(target, &settings)?);
        Ok(())
    }
}

/// `[ssh://][user@]host[:port]`, an IPv6 address with a port in brackets.
fn parse_jump(text: &str) -> Option<Target> {
    let text = text.trim();
    let text = text.strip_prefix("ssh://").unwrap_or(text).trim_end_matches('/');
    let (user, place) = match text.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, text),
    };
    let (host, port) = if let Some(bracketed) = place.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']')?;
        (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
    } else if place.matches(':').count() == 1 {
        place.split_once(':').map(|(host, port)| (host, Some(port)))?
    } else {
        (place, None)
    };
    let port =
        port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0).ok_or(())).transpose().ok()?;
    if host.is_empty() || user.is_some_and(str::is_empty) {
        return None;
    }
    Some(Target { host: host.to_string(), user: user.map(str::to_string), port, identity: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::of_text(text, "/home/me", "me")
    }

    fn named(host: &str) -> Target {
        Target { host: host.to_string(), user: None, port: None, identity: None }
    }

    fn logins(config: &Config, host: &str) -> Vec<String> {
        let route = config.route(&named(host)).unwrap_or_else(|error| panic!("{error}"));
        route.iter().map(|hop| format!("{}@{} {}", hop.user, hop.host, hop.port)).collect()
    }

    #[test]
    fn jump_hosts_come_in_order_and_the_first_has_its_own() {
        let config = config(
            "Host a\n  ProxyJump gate\n  Port 1\nHost b\n  ProxyJump unused\n  User them\n\
             Host c\n  ProxyJump a,ssh://you@[::1]:7,b\nHost d\n  ProxyJump none\nHost *\n  ProxyJump d\n",
        );
        assert_eq!(logins(&config, "d"), ["me@d 22"]);
        let gate = ["me@d 22", "me@gate 22"];
        assert_eq!(logins(&config, "gate"), gate);
        assert_eq!(logins(&config, "c")[..2], gate);
        assert_eq!(logins(&config, "c")[2..], ["me@a 1", "you@::1 7", "them@b 22", "me@c 22"]);
    }

    #[test]
    fn bad_jump_hosts_are_errors() {
        let config = config("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\nHost c\n  ProxyJump d:none\n");
        let circle = config.route(&named("a")).expect_err("a circle");
        assert!(circle.to_string().ends_with("form a circle: a -> b -> a"), "{circle}");
        assert!(matches!(config.route(&named("c")), Err(Error::BadJump { .. })));
    }

    #[test]
    fn jump_hosts_are_parsed() {
        let target = |user: Option<&str>, host: &str, port| {
            Some(Target { user: user.map(str::to_string), port, ..named(host) })
        };
        assert_eq!(parse_jump("gate"), target(None, "gate", None));
        assert_eq!(parse_jump("me@gate:2222"), target(Some("me"), "gate", Some(2222)));
        assert_eq!(parse_jump("me@realm@gate"), target(Some("me@realm"), "gate", None));
        assert_eq!(parse_jump("[::1]"), target(None, "::1", None));
        assert_eq!(parse_jump("::1"), target(None, "::1", None));
        for bad in ["", "@gate", "gate:", "gate:0", "gate:65536", "[::1", "[::1]2222", "me@"] {
            assert_eq!(parse_jump(bad), None, "{bad}");
        }
    }
}

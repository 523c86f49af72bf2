//! Parts of several messages.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// A rank and the number of ranks in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RankNumber {
    /// The rank.
    pub rank: usize,
    /// The number of ranks.
    pub world_size: usize,
}

impl fmt::Display for RankNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.world_size)
    }
}

/// What one rank has or does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankValue {
    /// The rank.
    pub rank: usize,
    /// Its value.
    pub value: String,
}

impl RankValue {
    /// The lower rank first: so the message is the same at both ranks.
    pub(crate) fn ordered(one: (usize, String), other: (usize, String)) -> [Self; 2] {
        let (low, high) = if one.0 <= other.0 { (one, other) } else { (other, one) };
        [low, high].map(|(rank, value)| Self { rank, value })
    }
}

/// `rank 2`, `ranks 2 and 3`, `ranks 2, 3 and 5`; of many ranks, the first ones.
pub(super) struct Ranks<'a>(pub(super) &'a [usize]);

impl fmt::Display for Ranks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        let list = |ranks: &[usize]| ranks.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        match self.0 {
            [one] => write!(f, "rank {one}"),
            many if many.len() > SHOWN => {
                write!(f, "ranks {} and {} more", list(&many[..SHOWN]), many.len() - SHOWN)
            }
            [most @ .., last] => write!(f, "ranks {} and {last}", list(most)),
            [] => write!(f, "no rank"),
        }
    }
}

/// `60 s`, `0.5 s`.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

/// Nothing, or ` (3 connections were refused)`.
pub(super) struct Refused(pub(super) u64);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => write!(f, " (1 connection was refused)"),
            n => write!(f, " ({n} connections were refused)"),
        }
    }
}

/// Nothing, or `: rank 0 listened at 127.0.1.1:29500, which only its own host reaches`.
pub(super) struct Listened(pub(super) Option<SocketAddr>);

impl fmt::Display for Listened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) if address.ip().is_loopback() => {
                write!(f, ": rank 0 listened at {address}, which only its own host reaches")
            }
            Some(address) => write!(f, ": rank 0 listened at {address}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_times() {
        assert_eq!(Ranks(&[1, 2, 5]).to_string(), "ranks 1, 2 and 5");
        let many: Vec<usize> = (1..=20).collect();
        assert!(Ranks(&many).to_string().ends_with(", 15, 16 and 4 more"));
        assert_eq!(Seconds(Duration::from_millis(500)).to_string(), "0.5 s");
    }
}

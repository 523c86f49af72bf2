//! How often a logger is called, and at which ranks.

use std::fmt;
use std::str::FromStr;

/// How often a logger gets records of training. It always gets those of epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Frequency {
    /// Every epoch, and no steps.
    #[default]
    Epoch,
    /// Also every step whose number is a multiple of this, which is at least 1.
    Steps(u64),
}

impl Frequency {
    /// Whether step `step`, from 1, is logged.
    pub fn has_step(self, step: u64) -> bool {
        matches!(self, Self::Steps(every) if step.is_multiple_of(every.max(1)))
    }
}

impl FromStr for Frequency {
    type Err = String;

    /// Reads `epoch`, `step` or `batch`, or a number of steps such as `50steps` or `50`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix("steps").or_else(|| text.strip_suffix("step")).unwrap_or(text);
        match (text, number.trim_end().parse::<u32>()) {
            ("epoch" | "1epoch", _) => Ok(Self::Epoch),
            ("step" | "batch", _) => Ok(Self::Steps(1)),
            (_, Ok(steps)) if steps > 0 => Ok(Self::Steps(steps.into())),
            _ => Err(format!("must be epoch, step or a number of steps as 50steps, it is '{text}'")),
        }
    }
}

impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epoch => f.write_str("epoch"),
            Self::Steps(1) => f.write_str("step"),
            Self::Steps(steps) => write!(f, "{steps}steps"),
        }
    }
}

/// The ranks at which a logger is called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RankSet {
    /// Rank 0 alone.
    #[default]
    First,
    /// All ranks.
    All,
    /// These ranks.
    List(Vec<usize>),
}

impl RankSet {
    /// Whether `rank` is one of them.
    pub fn contains(&self, rank: usize) -> bool {
        match self {
            Self::First => rank == 0,
            Self::All => true,
            Self::List(ranks) => ranks.contains(&rank),
        }
    }
}

impl FromStr for RankSet {
    type Err = String;

    /// Reads `all`, or numbers joined by `+` such as `0+2`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "0" => return Ok(Self::First),
            "all" => return Ok(Self::All),
            _ => {}
        }
        let ranks: Option<Vec<usize>> = text.split('+').map(|rank| rank.parse().ok()).collect();
        ranks.map(Self::List).ok_or_else(|| format!("must be all, or ranks as 0+2, it is '{text}'"))
    }
}

impl fmt::Display for RankSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("0"),
            Self::All => f.write_str("all"),
            Self::List(ranks) => {
                f.write_str(&ranks.iter().map(usize::to_string).collect::<Vec<_>>().join("+"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_are_read_and_shown() {
        for (text, frequency, shown) in [
            ("epoch", Frequency::Epoch, "epoch"),
            ("batch", Frequency::Steps(1), "step"),
            ("1step", Frequency::Steps(1), "step"),
            ("50steps", Frequency::Steps(50), "50steps"),
            ("7", Frequency::Steps(7), "7steps"),
        ] {
            assert_eq!(text.parse(), Ok(frequency), "{text}");
            assert_eq!(frequency.to_string(), shown);
            assert_eq!(shown.parse(), Ok(frequency));
        }
        for text in ["", "0", "0steps", "-1", "1.5steps", "2epochs", "steps"] {
            assert!(text.parse::<Frequency>().unwrap_err().ends_with(&format!("it is '{text}'")), "{text}");
        }
        assert_eq!([9, 10, 20].map(|step| Frequency::Steps(10).has_step(step)), [false, true, true]);
        assert!(!Frequency::Epoch.has_step(10));
    }

    #[test]
    fn ranks_are_read_and_shown() {
        for (text, ranks, has) in [
            ("0", RankSet::First, [true, false, false]),
            ("all", RankSet::All, [true; 3]),
            ("0+2", RankSet::List(vec![0, 2]), [true, false, true]),
            ("1", RankSet::List(vec![1]), [false, true, false]),
        ] {
            let read: RankSet = text.parse().unwrap();
            assert_eq!((read.to_string().as_str(), &read), (text, &ranks));
            assert_eq!([0, 1, 2].map(|rank| read.contains(rank)), has, "{text}");
        }
        for text in ["", "-1", "a", "0+", "0,1"] {
            assert!(text.parse::<RankSet>().is_err(), "{text}");
        }
    }
}

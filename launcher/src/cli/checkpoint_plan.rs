//! Which checkpoints the options ask for.

use super::callback_plan::{Measured, Watched};
use crate::cli::callback_args::CheckpointArgs;
use crate::failure::Failure;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The checkpoints that stay beside the best one, by default: where the newest is damaged, there is another.
const KEEP: usize = 3;

/// How often a checkpoint is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Every {
    Epochs(u32),
    Steps(u64),
    Time(Duration),
}

/// The checkpoints of a run.
#[derive(Debug)]
pub(crate) struct CheckpointPlan {
    pub(crate) folder: PathBuf,
    pub(crate) every: Every,
    pub(crate) keep: usize,
    /// What the best one is best in.
    pub(crate) best: Watched,
    /// The epoch after which to pause.
    pub(crate) pause_after: Option<u32>,
}

impl Every {
    /// A number and a unit. A number alone is one of epochs.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = (text[..unit].trim_end(), &text[unit..]);
        let whole = number.parse::<u32>().ok().filter(|number| *number > 0);
        let minutes = number.parse::<f64>().ok().filter(|minutes| (0.001..=1e6).contains(minutes));
        let time = |minutes: f64| Self::Time(Duration::from_secs_f64(60.0 * minutes));
        let every = match unit {
            "" | "epoch" | "epochs" => whole.map(Self::Epochs),
            "step" | "steps" => whole.map(|steps| Self::Steps(steps.into())),
            "min" | "minute" | "minutes" => minutes.map(time),
            "h" | "hour" | "hours" => minutes.map(|hours| time(60.0 * hours)),
            _ => None,
        };
        every.ok_or_else(|| format!("must be as 2epochs, 500steps, 10min or 1h, it is '{text}'"))
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |one: bool| if one { "" } else { "s" };
        match self {
            Self::Epochs(epochs) => write!(f, "{epochs}epoch{}", plural(*epochs == 1)),
            Self::Steps(steps) => write!(f, "{steps}step{}", plural(*steps == 1)),
            Self::Time(time) => write!(f, "{}min", time.as_secs_f64() / 60.0),
        }
    }
}

impl CheckpointPlan {
    /// `None` if there are to be none. `is_listed` if the list of callbacks asks for them.
    pub(crate) fn new(
        args: CheckpointArgs,
        is_listed: bool,
        measured: Measured<'_>,
    ) -> Result<Option<Self>, Failure> {
        let CheckpointArgs { checkpoint, checkpoint_every, keep, checkpoint_metric, pause_after, resume: _ } =
            args;
        let Some(folder) = checkpoint else {
            let given = [
                ("--callbacks model-checkpoint", is_listed),
                ("--checkpoint-every", checkpoint_every.is_some()),
                ("--keep", keep.is_some()),
                ("--checkpoint-metric", checkpoint_metric.is_some()),
                ("--pause-after", pause_after.is_some()),
            ];
            return match given.iter().find(|(_, given)| *given) {
                Some((option, _)) => Err(Failure::Usage {
                    problem: format!("{option} needs a folder for the checkpoints"),
                    hint: Some("--checkpoint FOLDER names it".to_string()),
                }),
                None => Ok(None),
            };
        };
        Ok(Some(Self {
            folder,
            every: checkpoint_every.unwrap_or(Every::Epochs(1)),
            keep: keep.map_or(KEEP, |keep| keep as usize),
            best: Watched::new("--checkpoint-metric", checkpoint_metric, measured)?,
            pause_after,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_a_unit_or_means_epochs() {
        for (text, every, shown) in [
            ("2", Every::Epochs(2), "2epochs"),
            ("1epoch", Every::Epochs(1), "1epoch"),
            ("500steps", Every::Steps(500), "500steps"),
            ("1 step", Every::Steps(1), "1step"),
            ("10min", Every::Time(Duration::from_secs(600)), "10min"),
            ("0.5h", Every::Time(Duration::from_secs(1800)), "30min"),
        ] {
            assert_eq!(Every::parse(text), Ok(every), "{text}");
            assert_eq!(every.to_string(), shown);
            assert_eq!(Every::parse(shown), Ok(every), "{shown}");
        }
        for text in ["", "0", "0steps", "-1", "1.5epochs", "10", "min", "3days", "1e9h", "nanmin"] {
            if text != "10" {
                assert!(Every::parse(text).unwrap_err().ends_with(&format!("it is '{text}'")), "{text}");
            }
        }
    }
}

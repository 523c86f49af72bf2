//! A first convolution that whitens the training samples.

use super::parsers;
use crate::failure::Failure;
use clap::Args;
use isograd_model::Whitening;

/// The options. The comments are what `--help` shows.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WhitenArgs {
    /// Compute the weights of the first layer, a convolution, from the training samples so that its outputs
    /// are not correlated, and leave them as they are in training
    #[arg(long, conflicts_with = "load")]
    pub(crate) whiten: bool,
    /// Samples to compute them from, at equal distances in the data set [default: 5000]
    #[arg(long, value_name = "N", value_parser = parsers::count, requires = "whiten")]
    #[arg(allow_negative_numbers = true)]
    pub(crate) whiten_samples: Option<u32>,
    /// Added to the variance of each direction: how much directions in which samples hardly differ are held
    /// back [default: 0.0005]
    #[arg(long, value_name = "NUMBER", value_parser = parsers::positive, requires = "whiten")]
    #[arg(allow_negative_numbers = true)]
    pub(crate) whiten_epsilon: Option<f64>,
}

impl WhitenArgs {
    /// How the first layer is made to whiten, if it is.
    pub(super) fn plan(self) -> Option<Whitening> {
        let Self { whiten, whiten_samples, whiten_epsilon } = self;
        let usual = Whitening::default();
        whiten.then(|| Whitening {
            samples: whiten_samples.map_or(usual.samples, |samples| samples as usize),
            epsilon: whiten_epsilon.unwrap_or(usual.epsilon),
        })
    }
}

/// Rows of the table of settings.
pub(crate) fn rows(whitening: &Whitening) -> Vec<(&'static str, String)> {
    let Whitening { samples, epsilon } = whitening;
    vec![("whiten", format!("{samples} samples")), ("whiten-epsilon", format!("{epsilon:?}"))]
}

/// What is wrong with a network or samples that cannot be whitened.
pub(crate) fn refused(error: isograd_model::Error) -> Failure {
    match error {
        isograd_model::Error::Whiten(error) => {
            Failure::Usage { problem: format!("--whiten: {error}"), hint: None }
        }
        error => error.into(),
    }
}

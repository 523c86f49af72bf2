//! What the commands that look at data sets do.

use crate::cli::augment_plan::AugmentPlan;
use crate::cli::network_plan::NetworkPlan;
use crate::cli::parsers;
use crate::cli::source::Source;
use crate::cli::{DataCheckArgs, DataSetArgs, DataShowArgs};
use crate::failure::Failure;
use std::path::PathBuf;

/// Reads all samples.
#[derive(Debug)]
pub(crate) struct DataCheckPlan {
    pub(crate) source: Source,
}

/// Draws samples.
#[derive(Debug)]
pub(crate) struct DataShowPlan {
    pub(crate) source: Source,
    pub(crate) augment: AugmentPlan,
    pub(crate) seed: u64,
    /// A sample each.
    pub(crate) rows: usize,
    /// An epoch each, behind the sample as it is.
    pub(crate) columns: usize,
    pub(crate) out: PathBuf,
}

impl TryFrom<DataSetArgs> for Source {
    type Error = Failure;

    fn try_from(args: DataSetArgs) -> Result<Self, Failure> {
        let DataSetArgs { name, mut data, network } = args;
        if name.is_some() && data.dataset.is_some() {
            let problem = "the data set is given twice, as a word and as --dataset".to_string();
            return Err(Failure::Usage { problem, hint: None });
        }
        data.dataset = name.or(data.dataset);
        Self::new(data, &NetworkPlan::new(network.model)?)
    }
}

impl TryFrom<DataCheckArgs> for DataCheckPlan {
    type Error = Failure;

    fn try_from(args: DataCheckArgs) -> Result<Self, Failure> {
        Ok(Self { source: args.set.try_into()? })
    }
}

impl TryFrom<DataShowArgs> for DataShowPlan {
    type Error = Failure;

    fn try_from(args: DataShowArgs) -> Result<Self, Failure> {
        let DataShowArgs { set, out, rows, columns, sheet_seed, augment, input, mut changes, config: _ } =
            args;
        for name in augment {
            match name {
                "flip" => changes.flip = true,
                "vertical-flip" => changes.vertical_flip = true,
                "alternating-flip" => changes.alternating_flip = true,
                "crop" => _ = changes.random_crop.get_or_insert(4),
                "rotate" => _ = changes.rotate.get_or_insert(15.0),
                "translate" => _ = changes.translate.get_or_insert(0.1),
                "color-jitter" => {
                    changes.color_jitter.get_or_insert_with(|| {
                        parsers::color_jitter("0.4,0.4,0.4,0.1").expect("numbers that it takes")
                    });
                }
                "cutout" => _ = changes.cutout.get_or_insert(8),
                "mixup" => _ = changes.mixup.get_or_insert(0.2),
                "cutmix" => _ = changes.cutmix.get_or_insert(1.0),
                other => unreachable!("the parser takes no {other}"),
            }
        }
        let augment = AugmentPlan::new(input, changes)?;
        let source = Source::try_from(set)?.sized_for(&augment.input);
        Ok(Self { source, augment, seed: sheet_seed, rows, columns, out })
    }
}

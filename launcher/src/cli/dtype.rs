//! The type of numbers: of arithmetic, and of what lies in memory between layers.

use super::conv_plan::ConvArgs;
use crate::failure::Failure;
use crate::system::names;
use isograd_kernels::Isa;
use isograd_kernels::conv::Precision;
use isograd_model::{Element, Network};
use std::fmt;

const NAMES: [&str; 3] = ["float32", "float64", "bfloat16"];

/// The only level at which the kernels have instructions for products of bfloat16s; not all of its CPUs have
/// them.
const LEVEL_OF_BFLOAT16: &str = "avx512";

/// The type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// Single precision, with activations and the gradients by them rounded to bfloat16 in training.
    Bf16,
}

/// Parses a name.
pub(crate) fn parse(text: &str) -> Result<Dtype, String> {
    match text {
        "float32" | "f32" => Ok(Dtype::F32),
        "float64" | "f64" => Ok(Dtype::F64),
        "bfloat16" | "bf16" => Ok(Dtype::Bf16),
        _ => Err(names::unknown("element type", text, &NAMES)),
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [single, double, rounded] = NAMES;
        f.write_str(match self {
            Self::F32 => single,
            Self::F64 => double,
            Self::Bf16 => rounded,
        })
    }
}

impl Dtype {
    /// `network`, whose values have this type.
    pub(crate) fn apply<T: Element>(self, network: Network<T>) -> Result<Network<T>, Failure> {
        Ok(match self {
            Self::F32 | Self::F64 => network,
            Self::Bf16 => network.with_bfloat16_values()?,
        })
    }

    /// How convolutions are computed at level `isa`, given what `args` say. Where values are bfloat16s, the
    /// factors of convolutions are, too, if nobody says otherwise and there are instructions for it. It
    /// depends on the level alone, so it is the same for all ranks.
    pub(crate) fn conv(self, args: ConvArgs, isa: Isa) -> ConvArgs {
        self.conv_at(args, isa.name())
    }

    fn conv_at(self, args: ConvArgs, level: &str) -> ConvArgs {
        if self != Self::Bf16 || args.conv_precision.is_some() || args.tuned.is_some() {
            return args;
        }
        let precision = if self.rounds_factors_at(level) { Precision::Bfloat16 } else { Precision::Full };
        ConvArgs { conv_precision: Some(precision), ..args }
    }

    /// Whether the factors of convolutions are bfloat16s at level `isa` if nobody says otherwise.
    pub(crate) fn rounds_factors(self, isa: Isa) -> bool {
        self.rounds_factors_at(isa.name())
    }

    fn rounds_factors_at(self, level: &str) -> bool {
        self == Self::Bf16 && level == LEVEL_OF_BFLOAT16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (short, dtype) in [("f32", Dtype::F32), ("f64", Dtype::F64), ("bf16", Dtype::Bf16)] {
            assert_eq!((parse(short), parse(&dtype.to_string())), (Ok(dtype), Ok(dtype)));
        }
        assert!(parse("float").unwrap_err().contains("known are float32, float64, bfloat16"));
    }

    #[test]
    fn factors_are_of_the_type_of_values_where_that_is_fast() {
        let precision = |dtype: Dtype, given, level| {
            dtype.conv_at(ConvArgs { conv_precision: given, ..ConvArgs::default() }, level).conv_precision
        };
        let (full, rounded) = (Some(Precision::Full), Some(Precision::Bfloat16));
        for (level, default) in [("avx512", rounded), ("avx2", full), ("neon", full), ("portable", full)] {
            assert_eq!(precision(Dtype::Bf16, None, level), default, "{level}");
            assert_eq!(precision(Dtype::Bf16, full, level), full, "{level}");
            assert_eq!(precision(Dtype::Bf16, rounded, level), rounded, "{level}");
            assert_eq!(precision(Dtype::F32, None, level), None, "{level}");
        }
    }
}

//! Samples mixed with others: mixup and CutMix.
//!
//! ```text
//! other  = one of all samples, each equally likely, augmented as usual
//! share  = Beta(alpha, alpha)
//! mixup:   new = share sample + (1 - share) other
//! CutMix:  new = sample, in a window with the part 1 - share of the area: other
//!          share = the part of the image that the window leaves
//! target = share target + (1 - share) other target
//! ```
//!
//! A class becomes a number for each class, 1 at the class and 0 elsewhere. So a mixed set has the shares of
//! classes as targets: a loss must take them, as the categorical cross-entropy does, and an accuracy takes
//! the class with the largest share.

use super::beta::beta;
use super::draws::Draws;
use super::error::{AugmentError, check};
use super::image::Pixel;

/// How samples are mixed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mixing {
    /// By mixup.
    Mixup(Mixup),
    /// By CutMix.
    CutMix(CutMix),
    /// By one of both, each for half of the samples.
    Either(Mixup, CutMix),
}

/// The weighted mean of two samples.
///
/// # Source
///
/// H. Zhang, M. Cisse, Y. Dauphin, D. Lopez-Paz, "mixup: beyond empirical risk minimization", ICLR 2018.
/// There, a batch shares one number and is mixed with itself; here each sample has a number and a partner in
/// the whole set, so that the mixture does not depend on the batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixup {
    /// The parameter of the beta distribution: 0.2 is usual for photographs, 1 for small images.
    pub alpha: f64,
}

/// A window of another sample.
///
/// # Source
///
/// S. Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features",
/// ICCV 2019. Numbers and partners as for [`Mixup`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CutMix {
    /// The parameter of the beta distribution, usually 1.
    pub alpha: f64,
}

impl Mixing {
    pub(super) const PURPOSE: [u8; 4] = *b"mix ";

    pub(super) fn check(&self) -> Result<(), AugmentError> {
        let check =
            |name, alpha: f64| check(name, "alpha", alpha, (1e-3..=1e3).contains(&alpha), "0.001 to 1000");
        match self {
            Self::Mixup(Mixup { alpha }) => check("mixup", *alpha),
            Self::CutMix(CutMix { alpha }) => check("CutMix", *alpha),
            Self::Either(mixup, cut_mix) => {
                check("mixup", mixup.alpha)?;
                check("CutMix", cut_mix.alpha)
            }
        }
    }

    /// Mixes `other` into `sample`, both of `shape`, and returns the share of the sample.
    pub(super) fn apply<P: Pixel>(
        &self,
        draws: &mut Draws,
        shape: [usize; 3],
        sample: &mut [P],
        other: &[P],
    ) -> f64 {
        match self {
            Self::Mixup(mixup) => mixup.apply(draws, sample, other),
            Self::CutMix(cut_mix) => cut_mix.apply(draws, shape, sample, other),
            Self::Either(mixup, _) if draws.chance(0.5) => mixup.apply(draws, sample, other),
            Self::Either(_, cut_mix) => cut_mix.apply(draws, shape, sample, other),
        }
    }
}

impl Mixup {
    fn apply<P: Pixel>(&self, draws: &mut Draws, sample: &mut [P], other: &[P]) -> f64 {
        let share = beta(draws, self.alpha);
        let (own, others) = (share as f32, (1.0 - share) as f32);
        for (pixel, other) in sample.iter_mut().zip(other) {
            *pixel = P::from_f32(own * pixel.to_f32() + others * other.to_f32());
        }
        share
    }
}

impl CutMix {
    fn apply<P: Pixel>(
        &self,
        draws: &mut Draws,
        [_, h, w]: [usize; 3],
        sample: &mut [P],
        other: &[P],
    ) -> f64 {
        let side = (1.0 - beta(draws, self.alpha)).sqrt();
        let mut window = |extent: usize| {
            let (centre, len) = (draws.below(extent), (side * extent as f64) as usize);
            centre.saturating_sub(len / 2)..(centre + len - len / 2).min(extent)
        };
        let (rows, columns) = (window(h), window(w));
        for (plane, other) in sample.chunks_exact_mut(h * w).zip(other.chunks_exact(h * w)) {
            for row in rows.clone() {
                let part = row * w + columns.start..row * w + columns.end;
                plane[part.clone()].copy_from_slice(&other[part]);
            }
        }
        1.0 - (rows.len() * columns.len()) as f64 / (h * w) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::super::draws::Key;
    use super::*;

    fn mixed(mixing: Mixing, index: u32, sample: &[u8], other: &[u8]) -> (Vec<u8>, f64) {
        let mut draws = Key { seed: 4, epoch: 0, index }.draws(Mixing::PURPOSE, 0);
        let mut made = sample.to_vec();
        let share = mixing.apply(&mut draws, [2, 4, 6], &mut made, other);
        (made, share)
    }

    #[test]
    fn mixup_is_the_weighted_mean() {
        for index in 0..100 {
            let (made, share) = mixed(Mixing::Mixup(Mixup { alpha: 0.5 }), index, &[200; 48], &[10; 48]);
            let expected = share * 200.0 + (1.0 - share) * 10.0;
            assert!((f64::from(made[0]) - expected).abs() < 0.501, "{} for {expected}", made[0]);
            assert_eq!(made, [made[0]; 48]);
        }
    }

    #[test]
    fn cut_mix_shares_the_area() {
        let mut shares = Vec::new();
        for index in 0..300 {
            let (made, share) = mixed(Mixing::CutMix(CutMix { alpha: 1.0 }), index, &[1; 48], &[2; 48]);
            assert_eq!(made[..24], made[24..]);
            let own = made[..24].iter().filter(|pixel| **pixel == 1).count();
            assert!((own as f64 / 24.0 - share).abs() < 1e-12, "{own} pixels of 24 for {share}");
            // What came in is one rectangle.
            let rows: Vec<&[u8]> = made[..24].chunks(6).filter(|row| row.contains(&2)).collect();
            assert!(rows.iter().all(|row| *row == rows[0]));
            let runs =
                rows.first().map_or(1, |row| row.chunk_by(|a, b| a == b).filter(|run| run[0] == 2).count());
            assert_eq!(runs, 1);
            shares.push(share);
        }
        assert!(shares.contains(&1.0) && shares.iter().any(|share| *share < 0.5));
    }

    #[test]
    fn either_is_one_or_the_other() {
        let either = Mixing::Either(Mixup { alpha: 1.0 }, CutMix { alpha: 1.0 });
        let mixups = (0..1000).filter(|index| {
            let (made, share) = mixed(either, *index, &[0; 48], &[240; 48]);
            // The least share of a window is that of a pixel, and of none.
            made.iter().all(|pixel| *pixel == made[0]) && (share * 24.0).fract() != 0.0
        });
        // 4.5 standard deviations of the binomial distribution are 71.
        let mixups = mixups.count();
        assert!(mixups.abs_diff(500) <= 71, "{mixups} of 1000");
    }

    #[test]
    fn alphas_that_are_none_are_refused() {
        let error = Mixing::Either(Mixup { alpha: 1.0 }, CutMix { alpha: 0.0 }).check().unwrap_err();
        assert_eq!(error.to_string(), "the alpha of the CutMix is 0, expected 0.001 to 1000");
        assert!(Mixing::Mixup(Mixup { alpha: f64::NAN }).check().is_err());
    }
}

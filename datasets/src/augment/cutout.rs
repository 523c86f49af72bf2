//! A square of an image, blotted out.
//!
//! ```text
//! centre = a pixel of the image, each equally likely
//! new[c, y, x] = fill[c]    where centre_y - size / 2 <= y < centre_y - size / 2 + size, and x alike
//! ```

use super::draws::Draws;
use super::error::{AugmentError, check_pixels};
use super::image::{Image, Pixel};

/// A square around a random pixel gets one colour; what of it lies outside of the image is lost. The colour
/// is the mean: what the set's normalisation makes 0.
///
/// # Source
///
/// T. DeVries, G. Taylor, "Improved regularization of convolutional neural networks with cutout", 2017,
/// section 3: of normalised images, the square is 0. There, the square of an even size is the same as here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutout {
    /// Pixels of a side; 16 is usual for CIFAR-10, 8 for CIFAR-100.
    pub size: usize,
}

impl Cutout {
    pub(super) const PURPOSE: [u8; 4] = *b"cuto";

    pub(super) fn check(&self) -> Result<(), AugmentError> {
        check_pixels("cutout", "size", self.size, 1)
    }

    pub(super) fn apply<P: Pixel>(&self, draws: &mut Draws, image: &mut Image<'_, P>) {
        let [_, h, w] = image.shape();
        let (centre_y, centre_x) = (draws.below(h), draws.below(w));
        let [y, x] = [(centre_y, h), (centre_x, w)].map(|(centre, extent)| {
            let end = (centre + self.size - self.size / 2).min(extent);
            centre.saturating_sub(self.size / 2)..end
        });
        let means = image.means();
        for (plane, mean) in image.in_place().chunks_exact_mut(h * w).zip(means) {
            for row in plane.chunks_exact_mut(w).take(y.end).skip(y.start) {
                row[x.clone()].fill(P::from_f32(*mean));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::draws::Key;
    use super::super::image::tests::changed;
    use super::*;

    /// The pixels of each row that are blotted out.
    fn blotted(cutout: Cutout, index: u32, [h, w]: [usize; 2]) -> Vec<Vec<bool>> {
        let mut draws = Key { seed: 1, epoch: 2, index }.draws(Cutout::PURPOSE, 0);
        let pixels = vec![7_u8; 2 * h * w];
        let (_, made) = changed([2, h, w], &pixels, |image| cutout.apply(&mut draws, image));
        assert!(made.iter().all(|pixel| [7, 100].contains(pixel)));
        let (first, second) = made.split_at(h * w);
        assert_eq!(first, second, "both channels have the same square");
        first.chunks_exact(w).map(|row| row.iter().map(|pixel| *pixel == 100).collect()).collect()
    }

    #[test]
    fn a_square_is_blotted_out_and_cut_off_at_the_edges() {
        let (mut whole, mut least) = (0, usize::MAX);
        for index in 0..200 {
            let rows = blotted(Cutout { size: 4 }, index, [12, 9]);
            let count = |row: &Vec<bool>| row.iter().filter(|is_out| **is_out).count();
            let widths: Vec<usize> = rows.iter().map(count).filter(|width| *width > 0).collect();
            assert!((2..=4).contains(&widths.len()), "{} rows", widths.len());
            assert!(widths.iter().all(|width| *width == widths[0] && (2..=4).contains(width)), "{widths:?}");
            whole += usize::from(widths == [4; 4]);
            least = least.min(widths.len() * widths[0]);
        }
        // 9 x 6 of 12 x 9 centres keep the square whole.
        assert!((60..=140).contains(&whole) && least == 4, "{whole} of 200 are whole, the least has {least}");
    }

    #[test]
    fn a_large_square_blots_out_everything() {
        assert!(blotted(Cutout { size: 1000 }, 0, [3, 4]).iter().flatten().all(|is_out| *is_out));
        let ones = blotted(Cutout { size: 1 }, 0, [3, 4]);
        assert_eq!(ones.iter().flatten().filter(|is_out| **is_out).count(), 1);
    }
}

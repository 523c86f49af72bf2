//! Zeros around images, and the gradient, which drops what lies on them.
//!
//! Both are copies, so there is nothing to vectorise by hand: a row of an image is contiguous, and the
//! standard library copies it as fast as memory allows. The bits are the same at every level.

use crate::element::Element;

/// An image, and the rows and columns of zeros that are added on each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding2d {
    /// Channels.
    pub c: usize,
    /// Image height.
    pub h: usize,
    /// Image width.
    pub w: usize,
    /// Rows of zeros above the image.
    pub top: usize,
    /// Rows of zeros below the image.
    pub bottom: usize,
    /// Columns of zeros on the left of the image.
    pub left: usize,
    /// Columns of zeros on the right of the image.
    pub right: usize,
}

impl Padding2d {
    /// The height and width of the padded image; `None` when its number of elements overflows.
    pub fn output(&self) -> Option<[usize; 2]> {
        let h = self.h.checked_add(self.top)?.checked_add(self.bottom)?;
        let w = self.w.checked_add(self.left)?.checked_add(self.right)?;
        self.c.checked_mul(h)?.checked_mul(w)?;
        Some([h, w])
    }

    /// Copies the image into the padded one: `y[c, top + h, left + w, :] = x[c, h, w, :]`, and 0 elsewhere.
    ///
    /// `x` is `[C, H, W, N]`; `y` is `[C, top + H + bottom, left + W + right, N]` and is overwritten.
    ///
    /// # Panics
    ///
    /// When a length does not fit.
    pub fn forward<T: Element>(&self, n: usize, x: &[T], y: &mut [T]) {
        let [_, width] = self.check(n, x.len(), y.len());
        let (row, padded) = (self.w * n, width * n);
        let mut rest = y;
        let mut zeros = 0;
        for i in 0..self.c * self.h {
            // The zeros between two images are below the one and above the other.
            if i % self.h == 0 {
                zeros += self.top * padded;
            }
            let (gap, behind) = rest.split_at_mut(zeros + self.left * n);
            gap.fill(T::ZERO);
            let (image, behind) = behind.split_at_mut(row);
            image.copy_from_slice(&x[i * row..][..row]);
            rest = behind;
            zeros = self.right * n + if (i + 1) % self.h == 0 { self.bottom * padded } else { 0 };
        }
        rest.fill(T::ZERO);
    }

    /// The gradient by the image: `dx[c, h, w, :] = dy[c, top + h, left + w, :]`.
    ///
    /// `dy` is `[C, top + H + bottom, left + W + right, N]`; `dx` is `[C, H, W, N]` and is overwritten.
    ///
    /// # Panics
    ///
    /// When a length does not fit.
    pub fn backward<T: Element>(&self, n: usize, dy: &[T], dx: &mut [T]) {
        let [height, width] = self.check(n, dx.len(), dy.len());
        let row = self.w * n;
        for i in 0..self.c * self.h {
            let from = ((i / self.h * height + self.top + i % self.h) * width + self.left) * n;
            dx[i * row..][..row].copy_from_slice(&dy[from..][..row]);
        }
    }

    /// Asserts that the image and the padded image have the lengths of `n` samples, and returns the size of
    /// the padded image.
    fn check(&self, n: usize, image: usize, padded: usize) -> [usize; 2] {
        let Self { c, h, w, .. } = *self;
        let [height, width] = self.output().unwrap_or_else(|| panic!("padding: {self:?} overflows"));
        for (what, len, [h, w]) in [("image", image, [h, w]), ("padded image", padded, [height, width])] {
            assert!(
                (c * h * w).checked_mul(n) == Some(len),
                "padding: the {what} has {len} elements, but [{c}, {h}, {w}, {n}] needs {}",
                (c * h * w).saturating_mul(n)
            );
        }
        [height, width]
    }
}

//! A data set of another length.

use std::ops::Range;

use crate::{Chunks, Dataset, Normalization, Parent, Part, Parts, ReadError, Request, Sample, SampleBuffer};

/// The first samples of another data set: as many as are asked for, and again from the first one on where
/// there are not enough. Nothing is copied.
///
/// Each repetition has an order of its own in each epoch, and an epoch goes through one after the other.
///
/// ```
/// use isograd_datasets::{Arrays, Dataset, Repeated, Request, SampleBuffer, Target};
///
/// let set = Arrays::from_u8(vec![0; 3], vec![0, 1, 2], [1, 1, 1], 3)?;
/// let longer = Repeated::new(&set, 5);
/// let mut buffer = SampleBuffer::new();
/// assert_eq!(longer.read(Request::new(4), &mut buffer)?.target, Target::Class(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Repeated<'a> {
    parent: Parent<'a>,
    len: usize,
}

impl<'a> Repeated<'a> {
    /// `len` samples of `parent`.
    ///
    /// # Panics
    ///
    /// If `parent` has no samples, but `len` is not 0.
    pub fn new(parent: impl Into<Parent<'a>>, len: usize) -> Self {
        let parent = parent.into();
        assert!(len == 0 || !parent.is_empty(), "{len} samples of an empty data set");
        Self { parent, len }
    }

    /// Which sample of the other set is asked for.
    fn place(&self, Request { index, epoch }: Request) -> Request {
        let len = self.len;
        assert!(index < len, "sample {index} is out of range for a data set of {len}");
        Request { index: index % self.parent.len(), epoch }
    }
}

impl Dataset for Repeated<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn sample_shape(&self) -> [usize; 3] {
        self.parent.sample_shape()
    }

    fn num_classes(&self) -> usize {
        self.parent.num_classes()
    }

    fn inner(&self) -> Option<&dyn Dataset> {
        Some(&*self.parent)
    }

    fn normalization(&self) -> &Normalization {
        self.parent.normalization()
    }

    fn read<'a>(&'a self, request: Request, buffer: &'a mut SampleBuffer) -> Result<Sample<'a>, ReadError> {
        self.parent.read(self.place(request), buffer)
    }

    fn order_of_range(&self, range: Range<usize>, seed: u64, epoch: u32, order: &mut [u32]) {
        if range.is_empty() {
            return;
        }
        let each = self.parent.len();
        let all = self.len.div_ceil(each) as u32;
        let (mut start, mut rest) = (range.start, order);
        while start < range.end {
            // What `range` has of one repetition.
            let (repetition, first) = (start / each, start % each);
            let count = (each - first).min(range.end - start);
            let (part, after) = rest.split_at_mut(count);
            let epoch = epoch.wrapping_mul(all).wrapping_add(repetition as u32);
            self.parent.order_of_range(first..first + count, seed, epoch, part);
            part.iter_mut().for_each(|index| *index += (start - range.start) as u32);
            (start, rest) = (start + count, after);
        }
    }

    /// Those of the other set lie elsewhere in this one.
    fn chunks(&self) -> Option<Chunks<'_>> {
        None
    }

    fn digest(&self) -> Result<String, ReadError> {
        Ok(format!("{} samples, repeated, of {}", self.len, self.parent.digest()?))
    }

    fn parts(&self) -> Option<&dyn Parts> {
        self.parent.parts().map(|_| self as &dyn Parts)
    }

    fn announce(&self, epoch: u32, upcoming: &mut dyn Iterator<Item = u32>) {
        let each = self.parent.len() as u32;
        self.parent.announce(epoch, &mut upcoming.map(|index| index % each));
    }

    fn describe(&self, index: usize) -> String {
        self.parent.describe(index % self.parent.len())
    }
}

impl Parts for Repeated<'_> {
    fn read_part<'a>(
        &'a self,
        request: Request,
        part: &Part<'_>,
        buffer: &'a mut SampleBuffer,
    ) -> Result<Sample<'a>, ReadError> {
        let parts = self.parent.parts().expect("asked for by `parts`");
        parts.read_part(self.place(request), part, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arrays, Subset, Target, epoch_order};

    fn set() -> Arrays<'static> {
        Arrays::from_u8(vec![0; 5], vec![0, 1, 2, 3, 4], [1, 1, 1], 5).unwrap()
    }

    #[test]
    fn samples_come_again_and_again() {
        let (set, mut buffer) = (set(), SampleBuffer::new());
        let labels = |len: usize| {
            let repeated = Repeated::new(&set, len);
            let label = |index| match repeated.read(Request::new(index), &mut buffer).unwrap().target {
                Target::Class(label) => label,
                other => panic!("{other:?}"),
            };
            (0..len).map(label).collect::<Vec<_>>()
        };
        let mut labels = labels;
        assert_eq!(labels(3), [0, 1, 2]);
        assert_eq!(labels(12), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]);
    }

    #[test]
    fn an_epoch_has_each_sample_of_each_repetition_once() {
        let set = set();
        let order = |len: usize, epoch| {
            let mut order = vec![0; len];
            Repeated::new(&set, len).order(7, epoch, &mut order);
            order
        };
        for (len, epoch) in [(3, 0), (5, 1), (12, 0), (12, 1), (15, 3)] {
            let mut sorted = order(len, epoch);
            sorted.sort_unstable();
            assert_eq!(sorted, (0..len as u32).collect::<Vec<_>>(), "{len} {epoch}");
            // One repetition after the other.
            assert!(order(len, epoch).chunks(5).zip(0u32..).all(|(part, n)| part.iter().all(|i| i / 5 == n)));
        }
        // As long as the set itself, it is the set.
        let mut expected = vec![0; 5];
        epoch_order(7, 1, &mut expected);
        assert_eq!(order(5, 1), expected);
        let twice = order(15, 0);
        assert!(twice[..5] != twice[5..10].iter().map(|i| i - 5).collect::<Vec<_>>()[..]);
        // A part of it starts at 0, too.
        let longer = Repeated::new(&set, 12);
        let mut part = vec![0; 8];
        Subset::new(&longer, 3..11).order(7, 0, &mut part);
        part.sort_unstable();
        assert_eq!(part, (0..8).collect::<Vec<u32>>());
    }
}

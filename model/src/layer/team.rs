//! The threads that share a layer's work on one shard.
//!
//! A layer cuts its output into parts of elements or of channels, and computes each part as it would in the
//! whole. So the bits do not depend on the number of threads, and a shard can be smaller than the machine.

use crate::memory::round_up;
use isograd_kernels::Element;
use std::ops::Range;

/// A part reads or writes at least so many elements, or does the work of so many: another thread wakes in the
/// time of a few thousand.
const LEAST_ELEMENTS: usize = 1 << 13;

/// The multiply-adds that take about as long as reading and writing an element.
const PRODUCTS_OF_ELEMENT: usize = 16;

/// The threads that can share a layer's work on one shard: often one, more where there are at least twice as
/// many threads as shards, or where the configuration asks for it.
///
/// The number of threads must not change a bit. So what a layer computes for an element, or for a channel,
/// must not depend on the part that it is computed in.
#[derive(Debug)]
pub struct Team<'a, T> {
    threads: usize,
    /// Scratch memory of all threads but the first.
    scratch: &'a mut [T],
}

/// The channels of a layer's output, or of its input, and the work on them.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Channels {
    /// Their number.
    pub count: usize,
    /// Parts begin at multiples of so many channels. If it is more than one, no part has a single channel
    /// only.
    pub multiple: usize,
    /// The work on all of them, in elements that are read or written.
    pub work: usize,
}

impl Channels {
    /// `count` channels, with as much work as reading or writing `elements` elements.
    pub fn new(count: usize, elements: usize) -> Self {
        Self { count, multiple: 1, work: elements }
    }

    /// Lets parts begin at multiples of `channels` channels only: as many as a kernel computes at a time.
    ///
    /// # Panics
    ///
    /// When `channels` is 0.
    #[must_use]
    pub fn in_multiples_of(self, channels: usize) -> Self {
        assert!(channels > 0, "parts of multiples of no channels");
        Self { multiple: channels, ..self }
    }

    /// Takes the work of `products` multiply-adds in each of `samples` samples, if that is more.
    #[must_use]
    pub fn with_products(self, products: u64, samples: usize) -> Self {
        let products = usize::try_from(products).unwrap_or(usize::MAX).saturating_mul(samples);
        Self { work: self.work.max(products / PRODUCTS_OF_ELEMENT), ..self }
    }

    /// Where `channels` are cut so that about `left` of `parts` lie in front; `None` if they cannot be cut.
    fn cut(&self, channels: &Range<usize>, left: usize, parts: usize) -> Option<usize> {
        let Self { count, multiple, .. } = *self;
        let mut at = (channels.start + channels.len() * left / parts).next_multiple_of(multiple);
        if multiple > 1 && at + 1 == count {
            at -= multiple;
        }
        (channels.start < at && at < channels.end).then_some(at)
    }
}

impl<'a, T: Element> Team<'a, T> {
    /// `threads` threads, of which all but the first share `scratch`.
    pub(crate) fn new(threads: usize, scratch: &'a mut [T]) -> Self {
        Self { threads, scratch }
    }

    /// Does two pieces of work that need nothing of each other at the same time, each with about half of the
    /// threads and with scratch memory of its own, which for one of them is `scratch`. One after the other if
    /// this is one thread, or if it is little work: `elements` are those that one of the two reads or writes.
    pub fn both(
        &mut self,
        elements: usize,
        scratch: &mut [T],
        first: impl FnOnce(Team<'_, T>, &mut [T]) + Send,
        second: impl FnOnce(Team<'_, T>, &mut [T]) + Send,
    ) {
        if self.threads < 2 || elements < 2 * LEAST_ELEMENTS {
            first(self.reborrow(), scratch);
            return second(self.reborrow(), scratch);
        }
        let (threads, lane) = (self.threads, self.scratch.len() / (self.threads - 1));
        let of_first = threads / 2;
        let (front, back) = self.scratch[..lane * (threads - 1)].split_at_mut(lane * (of_first - 1));
        let (own, back) = back.split_at_mut(lane);
        let (of_front, of_back) = (Team::new(of_first, front), Team::new(threads - of_first, back));
        rayon::join(|| first(of_front, scratch), || second(of_back, own));
    }

    fn reborrow(&mut self) -> Team<'_, T> {
        Team::new(self.threads, self.scratch)
    }

    /// Computes `y` from equally long `xs`, element by element: calls `compute` for parts of `y` and the same
    /// parts of `xs`.
    ///
    /// # Panics
    ///
    /// When `xs` are not as long as `y`.
    pub fn elements<const COUNT: usize>(
        &self,
        y: &mut [T],
        xs: [&[T]; COUNT],
        compute: impl Fn(&mut [T], [&[T]; COUNT]) + Sync,
    ) {
        assert!(
            xs.iter().all(|x| x.len() == y.len()),
            "an input is not as long as the output of {}",
            y.len()
        );
        let parts = self.threads.min(y.len() / LEAST_ELEMENTS);
        cut_elements(parts, y, xs, &compute);
    }

    /// Computes `outputs`, tensors `[channels, ...]` or empty, channel by channel: calls `compute` for parts
    /// of the channels with those of `outputs` and scratch memory, which for one of the parts is `scratch`.
    ///
    /// # Panics
    ///
    /// When the elements of an output are no multiple of the channels.
    pub fn channels<const COUNT: usize>(
        &mut self,
        channels: Channels,
        scratch: &mut [T],
        outputs: [&mut [T]; COUNT],
        compute: impl Fn(Range<usize>, [&mut [T]; COUNT], &mut [T]) + Sync,
    ) {
        let count = channels.count.max(1);
        for output in &outputs {
            assert!(output.len().is_multiple_of(count), "{} elements of {count} channels", output.len());
        }
        let most = channels.count / channels.multiple;
        let parts = self.threads.min(channels.work / LEAST_ELEMENTS).min(most).max(1);
        let lane = self.scratch.len() / (self.threads - 1).max(1);
        let others = &mut self.scratch[..lane * (parts - 1)];
        let part = Part { channels: 0..channels.count, parts, scratch, others, outputs };
        part.cut(&channels, &compute);
    }
}

fn cut_elements<T: Element, const COUNT: usize>(
    parts: usize,
    y: &mut [T],
    xs: [&[T]; COUNT],
    compute: &(impl Fn(&mut [T], [&[T]; COUNT]) + Sync),
) {
    if parts < 2 {
        return compute(y, xs);
    }
    let left = parts / 2;
    // Whole pairs of cache lines: no two threads write to one line.
    let at = round_up::<T>(y.len() * left / parts).min(y.len());
    let (first, second) = y.split_at_mut(at);
    rayon::join(
        || cut_elements(left, first, xs.map(|x| &x[..at]), compute),
        || cut_elements(parts - left, second, xs.map(|x| &x[at..]), compute),
    );
}

/// Some of the channels, to be computed in up to `parts` parts.
struct Part<'a, T, const COUNT: usize> {
    channels: Range<usize>,
    parts: usize,
    scratch: &'a mut [T],
    /// Scratch memory of all parts but the first.
    others: &'a mut [T],
    outputs: [&'a mut [T]; COUNT],
}

impl<T: Element, const COUNT: usize> Part<'_, T, COUNT> {
    // A step may not allocate: a scope of rayon would, `join` does not.
    fn cut(self, all: &Channels, compute: &(impl Fn(Range<usize>, [&mut [T]; COUNT], &mut [T]) + Sync)) {
        let Self { channels, parts, scratch, others, outputs } = self;
        let left = parts / 2;
        let at = if parts < 2 { None } else { all.cut(&channels, left, parts) };
        let Some(at) = at else { return compute(channels, outputs, scratch) };
        let mut behind: [&mut [T]; COUNT] = std::array::from_fn(|_| Default::default());
        let mut rest = behind.iter_mut();
        let (len, count) = (channels.len(), at - channels.start);
        let front = outputs.map(|output| {
            let (front, back) = output.split_at_mut(output.len() / len * count);
            *rest.next().expect("there are as many") = back;
            front
        });
        let lane = others.len() / (parts - 1);
        let (of_front, others) = others.split_at_mut(lane * (left - 1));
        let (of_back, others) = others.split_at_mut(lane);
        let first =
            Part { channels: channels.start..at, parts: left, scratch, others: of_front, outputs: front };
        let second = Part {
            channels: at..channels.end,
            parts: parts - left,
            scratch: of_back,
            others,
            outputs: behind,
        };
        rayon::join(|| first.cut(all, compute), || second.cut(all, compute));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts into which a team of `threads` cuts `channels`, in order.
    fn parts(threads: usize, channels: Channels) -> Vec<[usize; 2]> {
        let (mut of_all, mut y, mut own) =
            (vec![0f32; 4 * (threads - 1)], vec![0f32; channels.count], [0f32; 4]);
        let mut team = Team::new(threads, &mut of_all);
        let parts = std::sync::Mutex::new(Vec::new());
        team.channels(channels, &mut own, [&mut y], |part, [y], scratch| {
            assert_eq!((y.len(), scratch.len()), (part.len(), 4));
            // Scratch memory of two parts would not be clean.
            assert!(scratch.iter().all(|element| *element == 0.0));
            scratch.fill(1.0);
            y.fill(part.start as f32);
            parts.lock().expect("no panic").push(part);
        });
        let mut parts = parts.into_inner().expect("no panic");
        parts.sort_by_key(|part| part.start);
        for part in &parts {
            assert!(y[part.clone()].iter().all(|element| *element == part.start as f32));
        }
        parts.into_iter().map(|part| [part.start, part.end]).collect()
    }

    #[test]
    fn parts_begin_at_multiples_and_are_not_single_channels() {
        let many = |count| Channels::new(count, usize::MAX);
        assert_eq!(parts(1, many(5)), [[0, 5]]);
        assert_eq!(parts(3, many(7)), [[0, 2], [2, 4], [4, 7]]);
        assert_eq!(parts(2, many(32).in_multiples_of(8)), [[0, 16], [16, 32]]);
        assert_eq!(parts(4, many(17).in_multiples_of(8)), [[0, 8], [8, 17]]);
        assert_eq!(parts(2, many(9).in_multiples_of(8)), [[0, 9]]);
        assert_eq!(parts(2, many(1).in_multiples_of(8)), [[0, 1]]);
        assert_eq!(parts(16, many(6).in_multiples_of(3)), [[0, 3], [3, 6]]);
    }

    #[test]
    fn little_work_is_not_cut() {
        assert_eq!(parts(4, Channels::new(8, LEAST_ELEMENTS)), [[0, 8]]);
        assert_eq!(parts(4, Channels::new(8, 2 * LEAST_ELEMENTS)), [[0, 4], [4, 8]]);
        let products = (2 * LEAST_ELEMENTS * PRODUCTS_OF_ELEMENT) as u64;
        assert_eq!(parts(4, Channels::new(8, 0).with_products(products / 2, 2)), [[0, 4], [4, 8]]);
    }

    #[test]
    fn two_pieces_of_work_have_scratch_memory_of_their_own() {
        for threads in 1..=5 {
            let (mut of_all, mut own) = (vec![0f32; 4 * (threads - 1)], [0f32; 4]);
            let (mut first, mut second) = (0, 0);
            let mut team = Team::new(threads, &mut of_all);
            let count = |team: Team<'_, f32>, scratch: &mut [f32], mark: f32| {
                assert_eq!((scratch.len(), team.scratch.len()), (4, 4 * (team.threads - 1)));
                assert!(scratch.iter().chain(&*team.scratch).all(|element| threads == 1 || *element == 0.0));
                scratch.fill(mark);
                team.scratch.fill(mark);
                team.threads
            };
            team.both(
                2 * LEAST_ELEMENTS,
                &mut own,
                |team, scratch| first = count(team, scratch, 1.0),
                |team, scratch| second = count(team, scratch, 2.0),
            );
            assert_eq!(
                [first, second],
                if threads == 1 { [1, 1] } else { [threads / 2, threads.div_ceil(2)] }
            );
            if threads > 1 {
                let marks: f32 = own.iter().chain(&of_all).sum();
                assert_eq!(marks, (4 * (first + 2 * second)) as f32);
            }
        }
    }

    #[test]
    fn all_elements_are_computed_once() {
        for (threads, len) in [(1, 5), (2, 3 * LEAST_ELEMENTS), (5, 8 * LEAST_ELEMENTS + 7)] {
            let x: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let mut y = vec![1.0; len];
            Team::new(threads, &mut []).elements(&mut y, [&x, &x], |y, [a, b]| {
                for (y, (a, b)) in y.iter_mut().zip(a.iter().zip(b)) {
                    *y += a + b;
                }
            });
            assert!(y.iter().zip(&x).all(|(y, x)| *y == 1.0 + x + x));
        }
    }
}

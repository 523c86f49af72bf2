//! The factors of the products: as they are, or rounded to bfloat16.

use crate::bf16::Bf16;
use crate::element::Element;
use crate::simd::Level;
use crate::tile::{self, Tile};
use bytemuck::Pod;

/// How factors lie in memory, and how they are multiplied. A word has the factors of one or two terms that
/// follow each other in a sum.
pub(super) trait Factors<T: Element, S: Level>: Copy {
    /// A factor.
    type Factor: Pod;
    /// As many factors as [`TERMS`](Self::TERMS) says.
    type Word: Pod;
    /// The number of terms in a word: 1 or 2.
    const TERMS: usize;

    /// Stores the factors of the first lanes of `x`, as many as `factors` has.
    fn store(self, s: S, x: T::V<S>, factors: &mut [Self::Factor]);

    /// Stores a vector of words, of the lanes of `terms`. Where words have one term, the second is not used.
    fn store_words(self, s: S, terms: [T::V<S>; 2], words: &mut [Self::Word]);

    /// [`tile::accumulate`] of words.
    fn accumulate<const F: usize, const V: usize>(
        self,
        s: S,
        w: &[Self::Word],
        x: &[Self::Word],
        stride: usize,
        acc: &mut Tile<T, S, F, V>,
    );

    /// [`tile::accumulate_rows`] of words.
    fn accumulate_rows<const F: usize, const V: usize>(
        self,
        s: S,
        w: &[&[Self::Word]; F],
        x: &[Self::Word],
        stride: usize,
        acc: &mut Tile<T, S, F, V>,
    );
}

/// Factors of the element type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Full;

impl<T: Element, S: Level> Factors<T, S> for Full {
    type Factor = T;
    type Word = T;
    const TERMS: usize = 1;

    #[inline(always)]
    fn store(self, s: S, x: T::V<S>, factors: &mut [T]) {
        match T::split_mut::<S>(factors).0.first_mut() {
            Some(whole) => *whole = x,
            None => T::store_partial(s, factors, x),
        }
    }

    #[inline(always)]
    fn store_words(self, _: S, [x, _]: [T::V<S>; 2], words: &mut [T]) {
        T::split_mut::<S>(&mut words[..T::lanes::<S>()]).0[0] = x;
    }

    #[inline(always)]
    fn accumulate<const F: usize, const V: usize>(
        self,
        s: S,
        w: &[T],
        x: &[T],
        stride: usize,
        acc: &mut Tile<T, S, F, V>,
    ) {
        tile::accumulate::<T, S, F, V>(s, w, x, stride, acc);
    }

    #[inline(always)]
    fn accumulate_rows<const F: usize, const V: usize>(
        self,
        s: S,
        w: &[&[T]; F],
        x: &[T],
        stride: usize,
        acc: &mut Tile<T, S, F, V>,
    ) {
        tile::accumulate_rows::<T, S, F, V>(s, w, x, stride, acc);
    }
}

/// Factors in bfloat16, with the operations of `B`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rounded<B>(pub(super) B);

impl<S: Level, B: Bf16<S>> Factors<f32, S> for Rounded<B> {
    type Factor = u16;
    type Word = u32;
    const TERMS: usize = 2;

    #[inline(always)]
    fn store(self, s: S, x: S::f32s, factors: &mut [u16]) {
        self.0.store(s, x, factors);
    }

    #[inline(always)]
    fn store_words(self, s: S, [first, second]: [S::f32s; 2], words: &mut [u32]) {
        S::as_mut_simd_u32s(&mut words[..S::F32_LANES]).0[0] = self.0.pair(s, first, second);
    }

    #[inline(always)]
    fn accumulate<const F: usize, const V: usize>(
        self,
        s: S,
        w: &[u32],
        x: &[u32],
        stride: usize,
        acc: &mut Tile<f32, S, F, V>,
    ) {
        tile::accumulate_pairs::<S, B, F, V>(s, self.0, w, x, stride, acc);
    }

    #[inline(always)]
    fn accumulate_rows<const F: usize, const V: usize>(
        self,
        s: S,
        w: &[&[u32]; F],
        x: &[u32],
        stride: usize,
        acc: &mut Tile<f32, S, F, V>,
    ) {
        tile::accumulate_pair_rows::<S, B, F, V>(s, self.0, w, x, stride, acc);
    }
}

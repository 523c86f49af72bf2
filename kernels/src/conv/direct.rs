//! The direct kernel of the forward pass and of the input gradient.
//!
//! The kernel sums products straight from the image, without a matrix of columns. A tile of results stays in
//! registers while the sum over kernel elements and input channels runs.
//!
//! ```text
//! for each group of output channels whose packed weights stay in the cache
//!   for each output row, each run of columns with the same kernel elements, each panel of F channels
//!     for each V vectors of the run (pixels and samples are one contiguous index)
//!       F x V accumulators = bias
//!       for each kernel element that reads inside the image, each input channel
//!         accumulators += weights (broadcast) * V vectors of the input, read in place
//!       store, with the epilogue
//! ```
//!
//! 1. Pixels and samples form one contiguous index. So vectors are full even when a shard has few samples.
//! 2. At a border of the image, the list of kernel elements is shorter. So no image is padded.
//! 3. The input gradient is the same loop over the transposed axes. At stride `s`, every `s`-th position has
//!    the same list of kernel elements. So there are no products with inserted zeros.
//! 4. The weights of a group of output channels are packed in the order in which the tiles read them.
//! 5. The input is read in place, except in two cases, in which the rows in use are copied. Channels that are
//!    a power of two apart compete for the same places of the cache; so narrow tiles read a copy whose
//!    channels do not. And where the columns of a forward pass have a stride, the copy puts the columns that
//!    a kernel element reads next to each other, so that runs are as long as at stride 1. This copy is made
//!    once, where there are several groups of output channels.

use super::direct_plan::{DirectPlan, Layout, Products};
use crate::element::Element;
use crate::simd::{Kernel, Level};
use crate::tile::{self, Tile, panel_width};
use crate::{Accum, Activation, Finish};
use std::ops::Range;

/// Distances in the weights from one output channel to the next, and from one input channel to the next.
/// Kernel elements are contiguous.
#[derive(Debug, Clone, Copy)]
pub(super) struct WeightStrides {
    pub(super) output: usize,
    pub(super) input: usize,
}

/// The operation on a result before it is stored.
#[derive(Clone, Copy)]
pub(super) enum Epilogue<'a, T> {
    Store,
    Activation(Activation),
    Addition(AdditionEpilogue<'a, T>),
    Gradient(GradientEpilogue<'a, T>),
}

/// The operation on a result that is a term of a sum.
#[derive(Clone, Copy)]
pub(super) struct AdditionEpilogue<'a, T> {
    /// The other term, of the shape of the result.
    addend: &'a [T],
    /// The function of the sum.
    activation: Activation,
}

/// The operation on a gradient before it is stored: first the addition, then the gradient of the ReLU.
#[derive(Clone, Copy)]
pub(super) struct GradientEpilogue<'a, T> {
    /// Whether the result is added to the output.
    pub(super) accum: Accum,
    /// A ReLU's output, of the shape of the result. The result becomes zero where it is not above zero.
    pub(super) relu_output: Option<&'a [T]>,
}

impl<'a, T> Epilogue<'a, T> {
    pub(super) fn finish(Finish { addend, activation }: Finish<'a, T>) -> Self {
        match (addend, activation) {
            (None, Activation::Identity) => Self::Store,
            (None, activation) => Self::Activation(activation),
            (Some(addend), activation) => Self::Addition(AdditionEpilogue { addend, activation }),
        }
    }

    pub(super) fn gradient(accum: Accum, relu_output: Option<&'a [T]>) -> Self {
        match (accum, relu_output) {
            (Accum::Replace, None) => Self::Store,
            _ => Self::Gradient(GradientEpilogue { accum, relu_output }),
        }
    }
}

impl<T: Element> Epilogue<'_, T> {
    /// Applies the operation to `value`, a vector or the first lanes of one, and stores it at `places` of
    /// `y`.
    #[inline(always)]
    pub(super) fn store_vector<S: Level>(&self, s: S, value: T::V<S>, y: &mut [T], places: Range<usize>) {
        if places.len() < T::lanes::<S>() {
            let value = match self {
                Self::Store => value,
                Self::Activation(activation) => activate_vector::<T, S>(s, *activation, value),
                Self::Addition(addition) => addition.apply_partial(s, places.clone(), value),
                Self::Gradient(gradient) => gradient.apply_partial(s, y, places.clone(), value),
            };
            return T::store_partial(s, &mut y[places], value);
        }
        let mut tile = [[value]];
        match self {
            Self::Store => {}
            Self::Activation(activation) => activate::<T, S, 1, 1>(s, *activation, &mut tile),
            Self::Addition(addition) => addition.apply::<S, 1, 1>(s, [places.start, 0], &mut tile),
            Self::Gradient(gradient) => gradient.apply::<S, 1, 1>(s, y, [places.start, 0], &mut tile),
        }
        T::split_mut::<S>(&mut y[places]).0[0] = tile[0][0];
    }
}

pub struct DirectPass<'a, T> {
    pub(super) plan: &'a DirectPlan,
    pub(super) n: usize,
    /// The number of output channels in `y` and, if there is one, in `bias`: at most those of the plan.
    pub(super) outputs: usize,
    pub(super) x: &'a [T],
    pub(super) w: &'a [T],
    pub(super) w_strides: WeightStrides,
    pub(super) bias: Option<&'a [T]>,
    pub(super) epilogue: Epilogue<'a, T>,
    pub(super) y: &'a mut [T],
    pub(super) scratch: &'a mut [T],
}

impl<T: Element> Kernel for DirectPass<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(mut self, s: S) {
        let plan = self.plan;
        let group = plan.group();
        let copies =
            plan.strided_rows.stride > 1 || plan.channels_compete(self.n) && self.tiles_are_narrow::<S>();
        let layout = if copies { plan.copied(self.n) } else { plan.in_place(self.n) };
        let plane = plan.target[0] * plan.target[1] * self.n;
        let scratch = std::mem::take(&mut self.scratch);
        let (packed, copy) = scratch.split_at_mut(plan.weights_len());
        let mut copied = 0;
        for first in (0..self.outputs).step_by(group) {
            let last = (first + group).min(self.outputs);
            self.pack::<S>(first..last, packed);
            if !plan.keeps_all_rows() {
                copied = 0;
            }
            for (row, taps) in plan.rows.iter().enumerate() {
                if copies && let Some(needed) = plan.source_rows(taps) {
                    while copied <= *needed.end() {
                        if plan.is_read[copied] {
                            self.copy_row::<S>(copied, &layout, copy);
                        }
                        copied += 1;
                    }
                }
                let x = if copies { &*copy } else { self.x };
                // An output row that no kernel element contributes to is one run.
                let runs = if taps.count == 0 { std::slice::from_ref(&plan.whole_row) } else { &plan.runs };
                for run in runs {
                    let target = (row * plan.target[1] + run.start) * self.n;
                    let products = plan.products(self.n, &layout, taps, run);
                    let len = run.len * self.n;
                    self.panels(
                        s,
                        first..last,
                        packed,
                        At { channel: first, x, products, len, target, plane },
                    );
                }
            }
        }
    }
}

impl<T: Element> DirectPass<'_, T> {
    /// Copies the weights of `channels` to `packed`, as `[panel][kh][kw][input][channel of the panel]`.
    #[inline(always)]
    pub(super) fn pack<S: Level>(&self, channels: Range<usize>, packed: &mut [T]) {
        let kernel_len = self.plan.kernel[0] * self.plan.kernel[1];
        let (mut first, mut rest) = (channels.start, packed);
        while first < channels.end {
            let width = panel_width::<S>(channels.end - first);
            let (panel, tail) = rest.split_at_mut(width * kernel_len * self.plan.inputs);
            for channel in 0..width {
                for input in 0..self.plan.inputs {
                    let source = (first + channel) * self.w_strides.output + input * self.w_strides.input;
                    for (k, w) in self.w[source..source + kernel_len].iter().enumerate() {
                        panel[(k * self.plan.inputs + input) * width + channel] = *w;
                    }
                }
            }
            (first, rest) = (first + width, tail);
        }
    }

    /// Whether the widest tile that the runs fill reads less than three cache lines of a channel at a time. A
    /// wider tile loses less time to cache misses than a copy takes.
    #[inline(always)]
    fn tiles_are_narrow<S: Level>(&self) -> bool {
        let widest = if S::WIDE_FILE { 3 } else { 2 };
        let vectors = (self.plan.longest_run * self.n / T::lanes::<S>()).min(widest);
        vectors * size_of::<T::V<S>>() < 3 * 64
    }

    /// Copies one row of every channel.
    #[inline(always)]
    fn copy_row<S: Level>(&self, row: usize, layout: &Layout, copy: &mut [T]) {
        let in_place = self.plan.in_place(self.n);
        let (x_len, copy_len) = (in_place.row_pixels * self.n, layout.row_pixels * self.n);
        let source = self.x.chunks_exact(in_place.channel_len.max(1));
        for (x, copy) in source.zip(copy.chunks_exact_mut(layout.channel_len)) {
            let (x, copy) =
                (&x[row * x_len..][..x_len], &mut copy[row % layout.rows * copy_len..][..copy_len]);
            self.plan.strided_rows.copy_row::<T, S>(self.n, x, copy);
        }
    }

    /// All panels of `channels` over one run of one row.
    #[inline(always)]
    fn panels<S: Level>(&mut self, s: S, channels: Range<usize>, packed: &[T], at: At<'_, T>) {
        let channel_len = self.plan.kernel[0] * self.plan.kernel[1] * self.plan.inputs;
        let (mut first, mut rest) = (channels.start, packed);
        while first < channels.end {
            let width = panel_width::<S>(channels.end - first);
            let (panel, tail) = rest.split_at(width * channel_len);
            let at = At { channel: first, target: at.target + first * at.plane, ..at };
            match width {
                8 => self.run_columns::<S, 8, 3, 2>(s, panel, &at),
                6 => self.run_columns::<S, 6, 2, 1>(s, panel, &at),
                4 if S::WIDE_FILE => self.run_columns::<S, 4, 4, 2>(s, panel, &at),
                4 => self.run_columns::<S, 4, 2, 1>(s, panel, &at),
                3 if !S::WIDE_FILE => self.run_columns::<S, 3, 3, 2>(s, panel, &at),
                3 => self.run_columns::<S, 3, 4, 2>(s, panel, &at),
                2 => self.run_columns::<S, 2, 4, 2>(s, panel, &at),
                _ => self.run_columns::<S, 1, 8, 4>(s, panel, &at),
            }
            (first, rest) = (first + width, tail);
        }
    }

    /// One panel of `F` channels over a run: tiles of `V` vectors, then of `U`, then of one, then the last
    /// partial vector.
    #[inline(always)]
    fn run_columns<S: Level, const F: usize, const V: usize, const U: usize>(
        &mut self,
        s: S,
        panel: &[T],
        at: &At<'_, T>,
    ) {
        let lanes = T::lanes::<S>();
        let len = at.len;
        let mut column = 0;
        // Four vectors are better cut into 2 + 2 than into 3 + 1: a tile of one vector has too few
        // independent multiply-adds.
        while len - column >= V * lanes && (V != 3 || (len - column) / lanes != 4) {
            self.tile::<S, F, V>(s, panel, at, column);
            column += V * lanes;
        }
        while len - column >= U * lanes {
            self.tile::<S, F, U>(s, panel, at, column);
            column += U * lanes;
        }
        while len - column >= lanes {
            self.tile::<S, F, 1>(s, panel, at, column);
            column += lanes;
        }
        if column < len {
            self.partial_tile::<S, F>(s, panel, at, column, len - column);
        }
    }

    #[inline(always)]
    fn tile<S: Level, const F: usize, const V: usize>(
        &mut self,
        s: S,
        panel: &[T],
        at: &At<'_, T>,
        column: usize,
    ) {
        let mut acc: Tile<T, S, F, V> = self.bias_tile(s, at.channel);
        if at.products.are_three_rows_of_three() {
            self.add_three_rows(s, panel, at, column, &mut acc);
        } else {
            self.add_products(s, panel, at, column, &mut acc);
        }
        match self.epilogue {
            Epilogue::Store => self.store(at, column, &acc),
            Epilogue::Activation(activation) => {
                activate::<T, S, F, V>(s, activation, &mut acc);
                self.store(at, column, &acc);
            }
            Epilogue::Addition(addition) => {
                addition.apply(s, [at.target + column, at.plane], &mut acc);
                self.store(at, column, &acc);
            }
            Epilogue::Gradient(gradient) => {
                gradient.apply(s, self.y, [at.target + column, at.plane], &mut acc);
                self.store(at, column, &acc);
            }
        }
    }

    #[inline(always)]
    fn add_products<S: Level, const F: usize, const V: usize>(
        &self,
        s: S,
        panel: &[T],
        at: &At<'_, T>,
        column: usize,
        acc: &mut Tile<T, S, F, V>,
    ) {
        let mut sums = *acc;
        let products = &at.products;
        for (source, element) in products.elements(self.n) {
            let (w, x) = (&panel[element * self.plan.inputs * F..], &at.x[source + column..]);
            // With a constant depth the compiler unrolls the few products of a shallow layer.
            match products.depth {
                3 => tile::accumulate::<T, S, F, V>(s, &w[..3 * F], x, products.stride, &mut sums),
                depth => tile::accumulate::<T, S, F, V>(s, &w[..depth * F], x, products.stride, &mut sums),
            }
        }
        *acc = sums;
    }

    /// [`add_products`](Self::add_products) for three rows of three terms each, as in the first layer of a
    /// network for grey images. With constant counts, the loops around the few products take little time.
    #[inline(always)]
    fn add_three_rows<S: Level, const F: usize, const V: usize>(
        &self,
        s: S,
        panel: &[T],
        at: &At<'_, T>,
        column: usize,
        acc: &mut Tile<T, S, F, V>,
    ) {
        let mut sums = *acc;
        let products = &at.products;
        let x = &at.x[products.sources[0] * self.n + column..];
        let (mut row, mut element) = (products.row, products.element);
        for _ in 0..3 {
            let (w, x) = (
                &panel[element * self.plan.inputs * F..][..3 * F],
                &x[row..][..2 * products.stride + V * T::lanes::<S>()],
            );
            tile::accumulate::<T, S, F, V>(s, w, x, products.stride, &mut sums);
            row += products.row_step;
            if row >= products.window {
                row -= products.window;
            }
            element += products.element_steps[0];
        }
        *acc = sums;
    }

    #[inline(always)]
    fn store<S: Level, const F: usize, const V: usize>(
        &mut self,
        at: &At<'_, T>,
        column: usize,
        acc: &Tile<T, S, F, V>,
    ) {
        for (f, row) in acc.iter().enumerate() {
            let start = self.start_of(at, f) + column;
            T::split_mut::<S>(&mut self.y[start..][..V * T::lanes::<S>()]).0.copy_from_slice(row);
        }
    }

    #[inline(always)]
    fn partial_tile<S: Level, const F: usize>(
        &mut self,
        s: S,
        panel: &[T],
        at: &At<'_, T>,
        column: usize,
        len: usize,
    ) {
        let mut acc: Tile<T, S, F, 1> = self.bias_tile(s, at.channel);
        let products = &at.products;
        for (source, element) in products.elements(self.n) {
            let w = &panel[element * self.plan.inputs * F..][..products.depth * F];
            let x = &at.x[source + column..];
            tile::accumulate_partial::<T, S, F>(s, w, x, products.stride, len, &mut acc);
        }
        for (f, [sum]) in acc.into_iter().enumerate() {
            let start = self.start_of(at, f) + column;
            self.epilogue.store_vector(s, sum, self.y, start..start + len);
        }
    }

    #[inline(always)]
    fn bias_tile<S: Level, const F: usize, const V: usize>(&self, s: S, channel: usize) -> Tile<T, S, F, V> {
        let mut acc = [[T::zero(s); V]; F];
        if let Some(bias) = self.bias {
            for (f, b) in bias[channel..channel + F].iter().enumerate() {
                acc[f] = [T::splat(s, *b); V];
            }
        }
        acc
    }

    /// The index in the output of the run's first pixel in channel `f` of the panel.
    #[inline(always)]
    fn start_of(&self, at: &At<'_, T>, f: usize) -> usize {
        at.target + f * at.plane
    }
}

impl<T: Element> AdditionEpilogue<'_, T> {
    /// Applies the operation to a tile, as [`GradientEpilogue::apply`].
    #[inline(always)]
    fn apply<S: Level, const F: usize, const V: usize>(
        &self,
        s: S,
        places: [usize; 2],
        tile: &mut Tile<T, S, F, V>,
    ) {
        add_rows(s, self.addend, places, tile);
        activate::<T, S, F, V>(s, self.activation, tile);
    }

    #[inline(always)]
    fn apply_partial<S: Level>(&self, s: S, places: Range<usize>, result: T::V<S>) -> T::V<S> {
        let sum = T::vadd(s, T::load_partial(s, &self.addend[places]), result);
        activate_vector::<T, S>(s, self.activation, sum)
    }
}

/// Applies `activation` to all elements of a tile.
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "iterators would keep the accumulators in memory: 3 times slower"
)]
pub(super) fn activate<T: Element, S: Level, const F: usize, const V: usize>(
    s: S,
    activation: Activation,
    tile: &mut Tile<T, S, F, V>,
) {
    match activation {
        Activation::Identity => {}
        Activation::Relu => {
            for f in 0..F {
                for v in 0..V {
                    tile[f][v] = T::relu(s, tile[f][v]);
                }
            }
        }
        Activation::Relu6 => {
            for f in 0..F {
                for v in 0..V {
                    tile[f][v] = T::relu6(s, tile[f][v]);
                }
            }
        }
    }
}

#[inline(always)]
fn activate_vector<T: Element, S: Level>(s: S, activation: Activation, value: T::V<S>) -> T::V<S> {
    let mut tile = [[value]];
    activate::<T, S, 1, 1>(s, activation, &mut tile);
    tile[0][0]
}

/// Adds rows of `values` to a tile: to its row `f`, those from `start + f * stride` on.
#[inline(always)]
fn add_rows<T: Element, S: Level, const F: usize, const V: usize>(
    s: S,
    values: &[T],
    [start, stride]: [usize; 2],
    tile: &mut Tile<T, S, F, V>,
) {
    for f in 0..F {
        let (values, _) = T::split::<S>(&values[start + f * stride..][..V * T::lanes::<S>()]);
        for v in 0..V {
            tile[f][v] = T::vadd(s, values[v], tile[f][v]);
        }
    }
}

impl<T: Element> GradientEpilogue<'_, T> {
    /// Applies the operation to a tile. Its row `f` belongs at `start + f * stride` of the output `y`.
    ///
    /// The conditions are outside the loops, because the compiler would keep the tile in memory otherwise.
    #[inline(always)]
    pub(super) fn apply<S: Level, const F: usize, const V: usize>(
        &self,
        s: S,
        y: &[T],
        [start, stride]: [usize; 2],
        tile: &mut Tile<T, S, F, V>,
    ) {
        let len = V * T::lanes::<S>();
        if self.accum == Accum::Add {
            add_rows(s, y, [start, stride], tile);
        }
        if let Some(x) = self.relu_output {
            for f in 0..F {
                let (x, _) = T::split::<S>(&x[start + f * stride..][..len]);
                for v in 0..V {
                    tile[f][v] = relu_gradient::<T, S>(s, tile[f][v], x[v]);
                }
            }
        }
    }

    /// [`apply`](Self::apply) for a partial vector, which belongs at `places`.
    #[inline(always)]
    fn apply_partial<S: Level>(&self, s: S, y: &[T], places: Range<usize>, result: T::V<S>) -> T::V<S> {
        let sum = match self.accum {
            Accum::Replace => result,
            Accum::Add => T::vadd(s, T::load_partial(s, &y[places.clone()]), result),
        };
        match self.relu_output {
            None => sum,
            Some(x) => relu_gradient::<T, S>(s, sum, T::load_partial(s, &x[places])),
        }
    }
}

#[inline(always)]
pub(super) fn relu_gradient<T: Element, S: Level>(s: S, value: T::V<S>, x: T::V<S>) -> T::V<S> {
    let zero = T::zero(s);
    T::select(s, T::less_or_equal(s, x, zero), zero, value)
}

/// The place of a panel over one run of columns.
#[derive(Clone, Copy)]
struct At<'a, T> {
    /// The panel's first output channel.
    channel: usize,
    /// The input, in place or copied.
    x: &'a [T],
    /// The products of the run.
    products: Products<'a>,
    /// The number of elements in the run.
    len: usize,
    /// The index in the output of the run's first element, in the panel's first channel.
    target: usize,
    /// The number of output elements from one channel to the next.
    plane: usize,
}

//! Counter-based random numbers: every random number is a pure function of its seed and its use.
//!
//! Philox4x32-10 turns a 128-bit counter and a 64-bit key into 128 random bits. There is no generator state.
//! The key and the counter say to which seed, purpose, epoch, layer and sample a number belongs. So the
//! numbers are the same on any number of threads and hosts, in any order, and after a restart.
//!
//! # The mapping
//!
//! The mapping never changes, because a change would change the results of every run.
//!
//! | word | contents |
//! | --- | --- |
//! | key 0, key 1 | the seed's low and high 32 bits |
//! | counter 0 | sample position, below 2^32 |
//! | counter 1 | index of the block within the sample |
//! | counter 2 | epoch |
//! | counter 3 | purpose in the top 8 bits (from 128 on: a program's own), layer in the low 24 bits |
//!
//! The mapping is injective, and Philox is a bijection of counters under every key. So two different uses of
//! one seed never get the same block. The step needs no word of its own, because the epoch and the sample's
//! position determine it.
//!
//! # Source
//! Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC'11, section 3.3.

use crate::element::Element;

/// One block of Philox4x32-10.
///
/// ```
/// use isograd_kernels::philox::philox4x32;
/// assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
/// ```
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    philox4x32_lanes(counter.map(|word| [word]), key).map(|[word]| word)
}

/// `L` blocks side by side, with the counter's words outermost. Vectorised kernels inline this function.
#[inline(always)]
pub(crate) fn philox4x32_lanes<const L: usize>(counter: [[u32; L]; 4], key: [u32; 2]) -> [[u32; L]; 4] {
    const ROUNDS: usize = 10;
    const MULTIPLIERS: [u64; 2] = [0xd251_1f53, 0xcd9e_8d57];
    /// The fractional parts of the golden ratio and of the square root of 3, in units of 2^-32.
    const KEY_STEPS: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
    const LOW: u64 = 0xffff_ffff;

    // Words are kept in 64 bits, so that a product is one vector instruction and nothing has to be repacked.
    let [mut a, mut b, mut c, mut d] = [[0u64; L]; 4];
    for lane in 0..L {
        a[lane] = u64::from(counter[0][lane]);
        b[lane] = u64::from(counter[1][lane]);
        c[lane] = u64::from(counter[2][lane]);
        d[lane] = u64::from(counter[3][lane]);
    }
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        for lane in 0..L {
            let left = MULTIPLIERS[0] * a[lane];
            let right = MULTIPLIERS[1] * c[lane];
            a[lane] = (right >> 32) ^ b[lane] ^ u64::from(k0);
            b[lane] = right & LOW;
            c[lane] = (left >> 32) ^ d[lane] ^ u64::from(k1);
            d[lane] = left & LOW;
        }
        k0 = k0.wrapping_add(KEY_STEPS[0]);
        k1 = k1.wrapping_add(KEY_STEPS[1]);
    }
    let mut words = [[0; L]; 4];
    for (word, wide) in words.iter_mut().zip([a, b, c, d]) {
        for lane in 0..L {
            word[lane] = wide[lane] as u32;
        }
    }
    words
}

/// The use of random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// The initial values of the parameters.
    InitialWeights,
    /// The order of the samples in an epoch.
    Shuffle,
    /// Random changes to the samples.
    Augmentation,
    /// The choice of the activations that a dropout layer drops.
    Dropout,
    /// The samples of synthetic data sets.
    Synthetic,
    /// A use of a program's own.
    Own(OwnPurpose),
}

/// The number of a program's own use of random numbers, by which its streams differ from all others.
///
/// ```
/// use isograd_kernels::philox::{OwnPurpose, Purpose, Rng};
/// const NOISE: Purpose = Purpose::Own(OwnPurpose::new(0));
/// assert_ne!(Rng::new(42, NOISE).block(0, 0), Rng::new(42, Purpose::Dropout).block(0, 0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnPurpose(u8);

impl OwnPurpose {
    /// The purpose with this number.
    ///
    /// # Panics
    /// When `number` is 128 or more.
    pub const fn new(number: u8) -> Self {
        assert!(number < 128, "a program has at most 128 purposes of its own");
        Self(number)
    }
}

impl Purpose {
    /// The purpose in the counter: a part of [the mapping](self#the-mapping).
    fn code(self) -> u8 {
        match self {
            Self::InitialWeights => 0,
            Self::Shuffle => 1,
            Self::Augmentation => 2,
            Self::Dropout => 3,
            Self::Synthetic => 4,
            Self::Own(OwnPurpose(number)) => 128 + number,
        }
    }
}

/// A source of random blocks for one seed, purpose, epoch and layer. It has no state, so a copy gives the
/// same blocks.
///
/// ```
/// use isograd_kernels::philox::{Purpose, Rng, uniform};
/// let rng = Rng::new(42, Purpose::InitialWeights).layer(3);
/// let [a, b, ..] = rng.block(0, 7);
/// assert!((0.0..1.0).contains(&uniform::<f32>(a, b)));
/// assert_eq!(rng.block(0, 7), rng.block(0, 7));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rng {
    seed: u64,
    purpose: Purpose,
    epoch: u32,
    layer: u32,
}

impl Rng {
    /// The source for `purpose` under `seed`, in epoch 0 and layer 0.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Self { seed, purpose, epoch: 0, layer: 0 }
    }

    /// The same source in another epoch.
    pub fn epoch(self, epoch: u32) -> Self {
        Self { epoch, ..self }
    }

    /// The same source in another layer.
    ///
    /// # Panics
    /// When `layer` is 2^24 or more.
    pub fn layer(self, layer: u32) -> Self {
        assert!(
            layer < 1 << 24,
            "layer {layer} does not fit in the 24 bits that the random counter has for it"
        );
        Self { layer, ..self }
    }

    /// Block `index` of the sample at `position`: four independent words, uniformly distributed.
    ///
    /// # Panics
    /// When `position` is 2^32 or more.
    pub fn block(&self, position: u64, index: u32) -> [u32; 4] {
        philox4x32(self.counter(position, index), self.key())
    }

    /// The counter of [`block`](Self::block).
    pub(crate) fn counter(&self, position: u64, index: u32) -> [u32; 4] {
        let position = u32::try_from(position).unwrap_or_else(|_| {
            panic!(
                "sample position {position} does not fit in the 32 bits that the random counter has for it"
            )
        });
        [position, index, self.epoch, u32::from(self.purpose.code()) << 24 | self.layer]
    }

    /// The key of [`block`](Self::block).
    pub(crate) fn key(&self) -> [u32; 2] {
        [self.seed as u32, (self.seed >> 32) as u32]
    }
}

/// The two words as a number in [0, 1): their upper 53 bits times 2^-53.
pub fn uniform_f64(high: u32, low: u32) -> f64 {
    let bits = u64::from(high) << 32 | u64::from(low);
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// The two words as a number in [0, 1): [`uniform_f64`] cut to the number of bits in the significand of `T`,
/// 24 or 53. It is cut because rounding could give 1.
pub fn uniform<T: Element>(high: u32, low: u32) -> T {
    let steps = 2.0 / T::EPSILON.to_f64();
    T::from_f64((uniform_f64(high, low) * steps).floor() / steps)
}

/// Two independent standard normal numbers from one block, by Box and Muller's transform:
/// `sqrt(-2 ln(1 - u)) * (cos 2 pi v, sin 2 pi v)` of two uniform numbers `u`, `v`.
///
/// They are computed in f64 with `libm`, so they are the same on every machine. Their magnitude is at most
/// 8.6.
///
/// # Source
/// Box, Muller: "A note on the generation of random normal deviates", 1958.
pub fn normal_pair(block: [u32; 4]) -> [f64; 2] {
    let [a, b, c, d] = block;
    let radius = (-2.0 * libm::log(1.0 - uniform_f64(a, b))).sqrt();
    let angle = 2.0 * std::f64::consts::PI * uniform_f64(c, d);
    [radius * libm::cos(angle), radius * libm::sin(angle)]
}

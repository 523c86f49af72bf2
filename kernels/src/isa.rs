//! Instruction-set levels: which levels this CPU has, and how a kernel runs at one of them.
//!
//! A kernel has one generic body, which the compiler instantiates for each level. [`Isa`] picks an
//! instantiation at run time, so one binary is fast on every CPU and no `-C target-cpu` is needed. An [`Isa`]
//! value exists only for a level that the running CPU supports, so code that has a value can use it without a
//! check.

use crate::simd::{Kernel, Level};
use pulp::{NullaryFnOnce, Scalar128b};

/// An instruction-set level that the running CPU supports.
///
/// At one level, equal inputs give equal bits on any machine. Different levels give different bits, for two
/// reasons: the number of lanes determines the order of sums over lanes, and [`portable`](Isa::portable)
/// rounds a product before it adds it, while the other levels fuse the two operations.
///
/// ```
/// use isograd_kernels::Isa;
/// assert!(Isa::available().contains(&Isa::best()));
/// assert_eq!(Isa::from_name("portable"), Some(Isa::portable()));
/// ```
#[derive(Clone, Copy)]
pub struct Isa(Selected);

#[derive(Clone, Copy)]
enum Selected {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
}

impl Isa {
    /// The level that uses only the target's baseline instructions (SSE2 on x86-64), without fused
    /// multiply-add.
    pub fn portable() -> Self {
        Self(Selected::Portable)
    }

    /// All levels that this CPU supports, slowest first. The first one is always
    /// [`portable`](Self::portable).
    pub fn available() -> Vec<Self> {
        let mut levels = vec![Self::portable()];
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(pulp::x86::V3::try_new().map(|token| Self(Selected::Avx2(token))));
            levels.extend(pulp::x86::V4::try_new().map(|token| Self(Selected::Avx512(token))));
        }
        #[cfg(target_arch = "aarch64")]
        levels.extend(pulp::aarch64::Neon::try_new().map(|token| Self(Selected::Neon(token))));
        levels
    }

    /// The fastest level that this CPU supports.
    pub fn best() -> Self {
        *Self::available().last().expect("the portable level is always available")
    }

    /// The level called `name` (see [`NAMES`](Self::NAMES)), or `None` when the name is unknown or this CPU
    /// lacks the level.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::available().into_iter().find(|isa| isa.name() == name)
    }

    /// The names of all levels that isograd knows, including those that this CPU lacks.
    pub const NAMES: [&'static str; 4] = ["portable", "neon", "avx2", "avx512"];

    /// The level's name: `portable`, `neon`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Selected::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Selected::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Selected::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Selected::Neon(_) => "neon",
        }
    }

    /// Bytes in one vector register at this level.
    pub fn vector_bytes(self) -> usize {
        match self.0 {
            Selected::Portable => 16,
            #[cfg(target_arch = "x86_64")]
            Selected::Avx2(_) => 32,
            #[cfg(target_arch = "x86_64")]
            Selected::Avx512(_) => 64,
            #[cfg(target_arch = "aarch64")]
            Selected::Neon(_) => 16,
        }
    }

    /// Runs `work` in a function that is compiled with this level's instructions, so that the compiler can
    /// make vectors of this level of plain loops in it. It does so only in code that it inlines there: of
    /// a closure and of small functions, not of a large function that `work` calls.
    ///
    /// The results are those of the plain code: the compiler neither reorders sums nor fuses products with
    /// additions. So they are the same bits at every level.
    ///
    /// ```
    /// use isograd_kernels::Isa;
    /// let (x, mut y) = ([1.0f32, -2.0, 3.0], [0.0; 3]);
    /// Isa::best().vectorize(|| {
    ///     for (y, x) in y.iter_mut().zip(&x) {
    ///         *y = x * x + 1.0;
    ///     }
    /// });
    /// assert_eq!(y, [2.0, 5.0, 10.0]);
    /// ```
    #[inline]
    pub fn vectorize<R>(self, work: impl FnOnce() -> R) -> R {
        self.run(Plain(work))
    }

    /// Runs the instantiation of `kernel` that was compiled with this level's instructions.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Selected::Portable => kernel.run(Scalar128b),
            #[cfg(target_arch = "x86_64")]
            Selected::Avx2(token) => token.vectorize(Call(token, kernel)),
            #[cfg(target_arch = "x86_64")]
            Selected::Avx512(token) => token.vectorize(Call(token, kernel)),
            #[cfg(target_arch = "aarch64")]
            Selected::Neon(token) => token.vectorize(Call(token, kernel)),
        }
    }

    /// The proof that the CPU has the level `avx512`, if this is that level.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn avx512(self) -> Option<pulp::x86::V4> {
        match self.0 {
            Selected::Avx512(token) => Some(token),
            _ => None,
        }
    }

    /// Whether faer is certain to run at this level. faer always takes the widest level that the CPU has, so
    /// this is true only for the widest level that exists.
    pub(crate) fn is_faers_choice(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Selected::Avx512(_) => true,
            _ => false,
        }
    }
}

/// Code without vectors of its own.
struct Plain<F>(F);

impl<R, F: FnOnce() -> R> Kernel for Plain<F> {
    type Output = R;

    #[inline(always)]
    fn run<S: Level>(self, _: S) -> R {
        (self.0)()
    }
}

struct Call<S, K>(S, K);

impl<S: Level, K: Kernel> NullaryFnOnce for Call<S, K> {
    type Output = K::Output;

    #[inline(always)]
    fn call(self) -> K::Output {
        self.1.run(self.0)
    }
}

impl PartialEq for Isa {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Isa {}

impl std::fmt::Debug for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Isa({})", self.name())
    }
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

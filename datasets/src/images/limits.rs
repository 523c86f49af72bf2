//! Sizes that decoders agree on.

/// The longest side of an image.
pub(super) const MAX_SIDE: u32 = 1 << 16;

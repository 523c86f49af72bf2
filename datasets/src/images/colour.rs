//! The colours that samples have.

/// Colours of the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// Three channels: red, green, blue. Grey images have three equal ones; transparency is left out.
    #[default]
    Rgb,
    /// One channel, the brightness: `(299 R + 587 G + 114 B) / 1000`.
    Grey,
}

impl Colour {
    /// The number of channels.
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Grey => 1,
        }
    }
}

//! The cores that processes may use.

/// A set of logical cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cores([u64; WORDS]);

const WORDS: usize = 16;

impl Cores {
    /// Length of the encoded form.
    const BYTES: usize = 8 * WORDS;

    /// The cores that this process may run on; none if the system does not tell.
    #[cfg(target_os = "linux")]
    pub(crate) fn of_this_process() -> Self {
        let mut cores = Self::default();
        if let Ok(set) = rustix::thread::sched_getaffinity(None) {
            for core in (0..64 * WORDS).filter(|core| set.is_set(*core)) {
                cores.0[core / 64] |= 1 << (core % 64);
            }
        }
        cores
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of_this_process() -> Self {
        Self::default()
    }

    /// Adds the cores of `other`.
    pub(crate) fn join(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn encode(&self) -> [u8; Self::BYTES] {
        bytemuck::cast(self.0.map(u64::to_le_bytes))
    }

    /// No cores, if the bytes are not a set.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let words: Option<&[u8; Self::BYTES]> = bytes.try_into().ok();
        let words: [[u8; 8]; WORDS] = words.map_or([[0; 8]; WORDS], |bytes| bytemuck::cast(*bytes));
        Self(words.map(u64::from_le_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_joined_and_survive_the_wire() {
        let mut cores = Cores::default();
        let mut other = Cores::default();
        (cores.0[0], other.0[0], other.0[15]) = (0b101, 0b110, 1 << 63);
        cores.join(&other);
        assert_eq!(cores.count(), 4);
        assert_eq!(Cores::decode(&cores.encode()), cores);
        assert_eq!(Cores::decode(&[1, 2, 3]).count(), 0);
    }
}

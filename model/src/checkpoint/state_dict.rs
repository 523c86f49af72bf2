//! The tensors of any safetensors file, converted to the element type of a network.

use super::header::Contents;
use super::{CHUNK, CheckpointError, RunInfo, open};
use isograd_kernels::Element;
use safetensors::tensor::Dtype;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// A safetensors file whose header has been read.
pub(super) struct StateDict {
    file: File,
    contents: Contents,
}

impl StateDict {
    pub(super) fn open(path: &Path) -> Result<Self, CheckpointError> {
        let mut file = open(path)?;
        let contents = Contents::read_any(&mut file)?;
        Ok(Self { file, contents })
    }

    /// What the file tells of its network.
    pub(super) fn info(&self) -> RunInfo {
        self.contents.info()
    }

    /// The names of all tensors, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        self.contents.names()
    }

    /// The shape of the tensor `name`.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.contents.tensor(name).map(|(_, shape, _)| shape)
    }

    /// Overwrites `values` with the tensor `name`, which has as many, and gives the name of its element type
    /// where they had to be converted.
    pub(super) fn read<T: Element>(
        &mut self,
        name: &str,
        values: &mut [T],
    ) -> Result<Option<String>, CheckpointError> {
        let (dtype, _, start) = self.contents.tensor(name).expect("a tensor of the file");
        let Some((bytes, convert)) = conversion::<T>(dtype) else {
            let (tensor, found) = (name.to_string(), dtype.to_string());
            return Err(CheckpointError::OtherType { tensor, found, expected: "floats".to_string() });
        };
        self.file.seek(SeekFrom::Start(start)).map_err(CheckpointError::Read)?;
        let mut buffer = vec![0; CHUNK * bytes];
        for values in values.chunks_mut(CHUNK) {
            let buffer = &mut buffer[..values.len() * bytes];
            self.file.read_exact(buffer).map_err(CheckpointError::Read)?;
            for (value, bytes) in values.iter_mut().zip(buffer.chunks_exact(bytes)) {
                *value = convert(bytes);
            }
        }
        Ok((bytes != size_of::<T>()).then(|| dtype.to_string()))
    }
}

/// Bytes of an element in a file, and what reads one.
type Conversion<T> = (usize, fn(&[u8]) -> T);

/// The bytes of an element of type `dtype`, and how they become a `T`: rounded to the nearest where `T` has
/// fewer digits. `None` for a type that holds no floats.
fn conversion<T: Element>(dtype: Dtype) -> Option<Conversion<T>> {
    Some(match dtype {
        Dtype::F16 => (2, |bytes| T::from_f64(half([bytes[0], bytes[1]]))),
        // The upper half of an f32.
        Dtype::BF16 => (2, |bytes| T::from_f64(f64::from(f32::from_le_bytes([0, 0, bytes[0], bytes[1]])))),
        Dtype::F32 => {
            (4, |bytes| T::from_f64(f64::from(f32::from_le_bytes(bytes.try_into().expect("four bytes")))))
        }
        Dtype::F64 => (8, |bytes| T::from_f64(f64::from_le_bytes(bytes.try_into().expect("eight bytes")))),
        _ => return None,
    })
}

/// The value of an IEEE 754 binary16: a sign, 5 bits of exponent, 10 of fraction.
fn half(bytes: [u8; 2]) -> f64 {
    let bits = u16::from_le_bytes(bytes);
    let (exponent, fraction) = (bits >> 10 & 0x1f, f64::from(bits & 0x3ff) / 1024.0);
    // Powers of two, exact.
    let power = |exponent: i64| f64::from_bits(((1023 + exponent) as u64) << 52);
    let size = match exponent {
        0 => fraction * power(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1.0 + fraction) * power(i64::from(exponent) - 15),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn halves_have_their_values() {
        for (bits, expected) in [
            (0x3c00_u16, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_953_125),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_625e-5),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x8001, -5.960_464_477_539_063e-8),
            (0x7c00, f64::INFINITY),
            (0xfc00, f64::NEG_INFINITY),
        ] {
            assert_eq!(half(bits.to_le_bytes()), expected, "{bits:04x}");
        }
        assert!(half([0, 0x80]).is_sign_negative() && half([0, 0x80]) == 0.0);
        assert!(half([1, 0x7c]).is_nan());
    }
}

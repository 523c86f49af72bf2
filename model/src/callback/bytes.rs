//! The states of callbacks as bytes: little-endian numbers, one behind the other.

use crate::error::Error;
use isograd_kernels::Element;

/// Reads what was written as the state of a callback.
pub(super) struct Reader<'a> {
    callback: &'static str,
    all: usize,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(callback: &'static str, bytes: &'a [u8]) -> Self {
        Self { callback, all: bytes.len(), rest: bytes }
    }

    fn error(&self) -> Error {
        Error::CallbackState { callback: self.callback, bytes: self.all }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| self.error())?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64, Error> {
        self.take().map(f64::from_le_bytes)
    }

    /// A value that may be missing.
    pub(super) fn option<V>(
        &mut self,
        value: impl FnOnce(&mut Self) -> Result<V, Error>,
    ) -> Result<Option<V>, Error> {
        match self.take()? {
            [0] => Ok(None),
            [1] => value(self).map(Some),
            _ => Err(self.error()),
        }
    }

    /// A list of elements.
    pub(super) fn elements<T: Element>(&mut self) -> Result<Vec<T>, Error> {
        let len = usize::try_from(u64::from_le_bytes(self.take()?)).map_err(|_| self.error())?;
        let bytes = len.checked_mul(size_of::<T>()).and_then(|bytes| self.rest.split_at_checked(bytes));
        let (taken, rest) = bytes.ok_or_else(|| self.error())?;
        self.rest = rest;
        Ok(taken.chunks_exact(size_of::<T>()).map(T::from_le_bytes).collect())
    }

    /// Checks that everything has been read.
    pub(super) fn end(self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error()) }
    }
}

/// Appends whether there is a value, which the caller writes.
pub(super) fn put_option<V>(bytes: &mut Vec<u8>, value: Option<V>, put: impl FnOnce(&mut Vec<u8>, V)) {
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(bytes, value);
    }
}

pub(super) fn put_f64(bytes: &mut Vec<u8>, value: f64) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_elements<T: Element>(bytes: &mut Vec<u8>, values: &[T]) {
    bytes.extend_from_slice(&(values.len() as u64).to_le_bytes());
    bytes.reserve(size_of_val(values));
    if cfg!(target_endian = "little") {
        // A checkpoint takes a copy of these while training stands still.
        bytes.extend_from_slice(bytemuck::cast_slice(values));
    } else {
        values.iter().for_each(|value| bytes.extend_from_slice(value.to_le_bytes().as_ref()));
    }
}

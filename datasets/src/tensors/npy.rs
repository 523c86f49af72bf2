//! The npy format of numpy: a header of text, then the values of one array.
//!
//! # Source
//!
//! NumPy enhancement proposal 1, "A simple file format for NumPy arrays", and `numpy.lib.format`.

use std::io::{self, Read};

/// The longest header that is read; numpy itself refuses longer ones.
const MAX_HEADER_BYTES: usize = 10_000;

/// Memory for values is taken in steps of at most this, as they come.
const STEP_BYTES: u64 = 1 << 24;

/// The longest text of a value.
const MAX_TEXT: usize = 1 << 16;

/// The type of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    U8,
    Signed(usize),
    Unsigned(usize),
    F32,
    F64,
    /// Texts of so many code points of four bytes, zeros behind the last one.
    Unicode(usize),
    /// Texts of so many bytes, zeros behind the last one.
    Ascii(usize),
}

impl Element {
    /// The bytes of a value.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::Signed(bytes) | Self::Unsigned(bytes) => bytes,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Unicode(points) => 4 * points,
            Self::Ascii(bytes) => bytes,
        }
    }

    /// The bytes that belong together in the order of the machine.
    fn word_bytes(self) -> usize {
        match self {
            Self::Unicode(_) => 4,
            other => other.bytes(),
        }
    }

    pub(crate) fn is_byte(self) -> bool {
        self == Self::U8
    }

    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::U8 | Self::Signed(_) | Self::Unsigned(_))
    }

    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Unicode(_) | Self::Ascii(_))
    }

    /// What the values are, for errors.
    pub(super) fn describe(self) -> &'static str {
        match self {
            _ if self.is_text() => "texts",
            _ if self.is_whole() => "whole numbers",
            _ => "floats",
        }
    }
}

/// An array, little-endian and row-major, of at least one dimension.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) element: Element,
    pub(crate) dims: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Tensor {
    /// The values as whole numbers.
    pub(super) fn integers(&self) -> impl Iterator<Item = i64> + '_ {
        let is_signed = matches!(self.element, Element::Signed(_));
        self.bytes.chunks_exact(self.element.bytes()).map(move |bytes| integer(bytes, is_signed))
    }

    /// The values as floats, rounded to the nearest. They are no texts.
    pub(crate) fn floats(&self) -> Vec<f32> {
        floats(self.element, &self.bytes)
    }

    /// Checks that the values are numbers, as samples are.
    pub(crate) fn check_numbers(&self) -> Result<(), String> {
        match self.element.is_text() {
            true => Err(format!("array '{}' holds texts, expected numbers", self.name)),
            false => Ok(()),
        }
    }

    /// The values as texts.
    pub(super) fn texts(&self) -> Result<Vec<String>, String> {
        let values = self.bytes.chunks_exact(self.element.bytes());
        let text = |bytes: &[u8]| {
            let text = match self.element {
                Element::Unicode(_) => bytes
                    .chunks_exact(4)
                    .map(|point| char::from_u32(u32::from_le_bytes(point.try_into().expect("four bytes"))))
                    .collect::<Option<String>>(),
                _ => String::from_utf8(bytes.to_vec()).ok(),
            };
            let text = text.ok_or_else(|| "holds a text that is none".to_string())?;
            Ok(text.trim_end_matches('\0').to_string())
        };
        values.map(text).collect()
    }
}

/// Little-endian values as floats, rounded to the nearest.
pub(super) fn floats(element: Element, bytes: &[u8]) -> Vec<f32> {
    let values = bytes.chunks_exact(element.bytes());
    match element {
        Element::F32 => {
            values.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes"))).collect()
        }
        Element::F64 => {
            values.map(|bytes| f64::from_le_bytes(bytes.try_into().expect("eight bytes")) as f32).collect()
        }
        Element::Signed(_) => values.map(|bytes| integer(bytes, true) as f32).collect(),
        Element::U8 | Element::Unsigned(_) => values.map(|bytes| integer(bytes, false) as f32).collect(),
        Element::Unicode(_) | Element::Ascii(_) => unreachable!("texts are no samples"),
    }
}

/// A little-endian integer; one above the largest `i64` is the largest.
fn integer(bytes: &[u8], is_signed: bool) -> i64 {
    let is_negative = is_signed && bytes.last().is_some_and(|byte| *byte >= 0x80);
    let mut all = [if is_negative { 0xff } else { 0 }; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    match is_signed {
        true => i64::from_le_bytes(all),
        false => i64::try_from(u64::from_le_bytes(all)).unwrap_or(i64::MAX),
    }
}

/// What the header of an npy file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) element: Element,
    is_big_endian: bool,
    pub(super) dims: Vec<usize>,
    /// Where the values begin.
    pub(super) bytes: usize,
}

impl Header {
    /// Reads a header.
    pub(crate) fn read(source: &mut impl Read) -> Result<Self, String> {
        let mut start = [0; 8];
        source.read_exact(&mut start).map_err(truncated)?;
        if &start[..6] != b"\x93NUMPY" {
            return Err("is no array in the npy format".to_string());
        }
        let mut length = [0; 4];
        let length_bytes = match start[6] {
            1 => 2,
            2 | 3 => 4,
            version => return Err(format!("version {version} of the npy format is not known")),
        };
        source.read_exact(&mut length[..length_bytes]).map_err(truncated)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_HEADER_BYTES {
            return Err(format!("has a header of {length} bytes, at most {MAX_HEADER_BYTES} are read"));
        }
        let mut text = vec![0; length];
        source.read_exact(&mut text).map_err(truncated)?;
        let text = String::from_utf8_lossy(&text);
        let (element, is_big_endian) = element(field(&text, "descr")?)?;
        let dims = shape(field(&text, "shape")?)?;
        if field(&text, "fortran_order")?.starts_with("True") && dims.len() > 1 {
            return Err("is stored by columns; numpy.ascontiguousarray stores it by rows".to_string());
        }
        if dims.is_empty() {
            return Err("is a single value, not an array".to_string());
        }
        Ok(Self { element, is_big_endian, dims, bytes: 8 + length_bytes + length })
    }

    /// The bytes of the values, which must be `expected` if that is known.
    pub(super) fn value_bytes(&self, expected: u64) -> Result<usize, String> {
        let product =
            self.dims.iter().try_fold(self.element.bytes(), |product, dim| product.checked_mul(*dim));
        match product {
            Some(bytes) if bytes as u64 == expected => Ok(bytes),
            _ => Err(format!(
                "is truncated or too long: {expected} bytes of values for dimensions {:?} of {} bytes each",
                self.dims,
                self.element.bytes()
            )),
        }
    }

    /// Brings values into the order of bytes that a [`Tensor`] has.
    pub(super) fn to_little_endian(&self, bytes: &mut [u8]) {
        if self.is_big_endian {
            bytes.chunks_exact_mut(self.element.word_bytes()).for_each(<[u8]>::reverse);
        }
    }
}

/// Reads an npy file of `file_bytes`.
pub(crate) fn read(name: &str, source: &mut impl Read, file_bytes: u64) -> Result<Tensor, String> {
    let header = Header::read(source)?;
    let expected = header.value_bytes(file_bytes.saturating_sub(header.bytes as u64))? as u64;
    let mut bytes = Vec::new();
    // As the values come: what a damaged or hostile file claims is not believed.
    while (bytes.len() as u64) < expected {
        let step = STEP_BYTES.min(expected - bytes.len() as u64);
        let got = source.by_ref().take(step).read_to_end(&mut bytes).map_err(truncated)?;
        if got as u64 != step {
            return Err(format!("is truncated: expected {expected} bytes of values, got {}", bytes.len()));
        }
    }
    // A zip file's checksum is checked at the end of a member.
    match source.read(&mut [0]) {
        Ok(0) => (),
        Ok(_) => return Err("goes on behind its values".to_string()),
        Err(error) => return Err(truncated(error)),
    }
    header.to_little_endian(&mut bytes);
    Ok(Tensor { name: name.to_string(), element: header.element, dims: header.dims, bytes })
}

fn truncated(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "is truncated".to_string(),
        _ => format!("cannot be read: {error}"),
    }
}

/// What stands behind `'name':` in a header.
fn field<'h>(header: &'h str, name: &str) -> Result<&'h str, String> {
    let behind = header.split_once(&format!("'{name}'")).map(|(_, behind)| behind.trim_start());
    let value = behind.and_then(|behind| behind.strip_prefix(':'));
    value.map(str::trim_start).ok_or_else(|| format!("has a header without '{name}'"))
}

fn element(text: &str) -> Result<(Element, bool), String> {
    let inner = text.strip_prefix('\'').and_then(|text| text.split('\'').next());
    let Some(descr) = inner else {
        return Err("has records of several values, expected an array of numbers".to_string());
    };
    if descr.contains('O') {
        return Err(
            "holds pickled objects, which could run any program; save an array of numbers".to_string()
        );
    }
    let (order, kind) = descr.split_at(descr.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0));
    let element = match kind {
        "u1" | "b1" => Element::U8,
        "i1" => Element::Signed(1),
        "i2" => Element::Signed(2),
        "i4" => Element::Signed(4),
        "i8" => Element::Signed(8),
        "u2" => Element::Unsigned(2),
        "u4" => Element::Unsigned(4),
        "u8" => Element::Unsigned(8),
        "f4" => Element::F32,
        "f8" => Element::F64,
        _ => texts(kind).ok_or_else(|| {
            format!("has values of type '{descr}', expected whole numbers, float32, float64 or texts")
        })?,
    };
    Ok((element, order == ">"))
}

/// The type of texts that numpy calls `kind`, as `U12`.
fn texts(kind: &str) -> Option<Element> {
    let length = |kind: &str| kind.parse().ok().filter(|length| (1..=MAX_TEXT).contains(length));
    match (kind.strip_prefix('U'), kind.strip_prefix('S')) {
        (Some(points), _) => length(points).map(Element::Unicode),
        (_, Some(bytes)) => length(bytes).map(Element::Ascii),
        _ => None,
    }
}

fn shape(text: &str) -> Result<Vec<usize>, String> {
    let inner = text.strip_prefix('(').and_then(|text| text.split(')').next());
    let sizes = inner.ok_or("has a header without a shape")?.split(',').map(str::trim);
    let sizes = sizes.filter(|size| !size.is_empty()).map(str::parse).collect::<Result<Vec<usize>, _>>();
    sizes.map_err(|_| format!("has a shape that is none: {}", text.chars().take(40).collect::<String>()))
}

//! Makes IDX and gzip bytes.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// An IDX file of unsigned bytes with `dims` in its header and `data` after it, whether they agree or not.
pub(crate) fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, u8::try_from(dims.len()).expect("few dimensions")];
    dims.iter().for_each(|dim| file.extend(dim.to_be_bytes()));
    file.extend(data);
    file
}

/// `bytes` as a gzip stream.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

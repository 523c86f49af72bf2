//! Makes files that tests damage.

use std::io::Write;

/// An npy file of `descr` and `shape` with these values, whether they agree or not.
pub(crate) fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut npy = b"\x93NUMPY\x01\0".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.bytes());
    npy.extend(values);
    npy
}

/// A zip file whose members are stored, with the right checksums whatever is in them.
pub(crate) fn zip(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let (crc, length) = (crc.sum().to_le_bytes(), (bytes.len() as u32).to_le_bytes());
        let name_bytes = [name.len() as u8, 0, 0, 0];
        let shared = [&[0; 6][..], &[0, 0], &crc, &length, &length, &name_bytes].concat();
        let start = (zip.len() as u32).to_le_bytes();
        directory
            .extend([b"PK\x01\x02\x14\0\x14\0", &shared[..], &[0; 10], &start, name.as_bytes()].concat());
        zip.extend([b"PK\x03\x04\x14\0", &shared[..], name.as_bytes(), bytes].concat());
    }
    let start = zip.len() as u32;
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend([members.len() as u8, 0, members.len() as u8, 0]);
    zip.extend((directory.len() as u32).to_le_bytes());
    zip.extend(start.to_le_bytes());
    zip.extend([0, 0]);
    zip
}

/// A zip file with one npy file of this shape and no values.
pub(crate) fn npz_of_shape(shape: &str) -> Vec<u8> {
    zip(&[("x.npy", npy("|u1", shape, &[]))])
}

/// An IDX file of bytes.
pub(crate) fn idx(dims: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
    bytes.extend(values);
    bytes
}

/// `bytes` as a gzip stream.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

/// A PNG file with the right checksum behind each chunk that lies in it whole.
pub(crate) fn with_checksums(mut png: Vec<u8>) -> Vec<u8> {
    let mut start = 8;
    while let Some(length) = png.get(start..start + 4) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        let Some(end) = start.checked_add(8 + length).filter(|end| end + 4 <= png.len()) else { break };
        let mut crc = flate2::Crc::new();
        crc.update(&png[start + 4..end]);
        png[end..end + 4].copy_from_slice(&crc.sum().to_be_bytes());
        start = end + 4;
    }
    png
}

//! Makes PNG files that are no images.

/// A PNG file whose header claims `side` x `side` pixels of red, green and blue, and that has none of them.
pub(crate) fn claiming(side: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend([side.to_be_bytes(), side.to_be_bytes()].concat());
    header.extend([8, 2, 0, 0, 0]);
    let mut crc = flate2::Crc::new();
    crc.update(&header);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.extend(header);
    png.extend(crc.sum().to_be_bytes());
    png.extend(b"\0\0\0\x0aIDAT\x78\xda\x63\0\0\0\x01\0\x01\0\0\0\0");
    png
}

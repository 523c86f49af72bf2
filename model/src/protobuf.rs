//! Writes messages in the wire format of protocol buffers, in which ONNX and TensorBoard have their files.
//!
//! A field is its number and its wire type in one integer, then the value: 0 an integer of 1 to 10 bytes, 1
//! eight bytes, 2 a length and as many bytes, 5 four bytes. Fields of the value 0 may be left out. Nobody
//! here reads messages, and the few kinds of fields are these.
//!
//! # Source
//!
//! "Encoding", protobuf.dev.

/// A message that is being written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// What is written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// All that was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    /// An integer (`int32`, `int64`, an enumeration); a negative one has the bits of 64.
    #[must_use]
    pub fn integer(mut self, field: u32, value: i64) -> Self {
        self.key(field, 0);
        self.varint(value as u64);
        self
    }

    /// A number of 64 bits.
    #[must_use]
    pub fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A number of 32 bits.
    #[must_use]
    pub fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A string, bytes, or a message that is written already.
    #[must_use]
    pub fn data(mut self, field: u32, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    /// A message inside this one.
    #[must_use]
    pub fn message(self, field: u32, value: &Message) -> Self {
        self.data(field, &value.0)
    }

    /// Several messages of one field.
    #[must_use]
    pub fn messages(self, field: u32, values: impl IntoIterator<Item = Message>) -> Self {
        values.into_iter().fold(self, |message, value| message.message(field, &value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of protobuf.dev's page on the encoding.
    #[test]
    fn fields_have_their_wire_format() {
        assert_eq!(Message::default().integer(1, 150).bytes(), [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().data(2, "testing").bytes(), b"\x12\x07testing");
        let inner = Message::default().integer(1, 150);
        assert_eq!(Message::default().message(3, &inner).bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let negative = Message::default().integer(1, -2);
        assert_eq!(negative.bytes(), [8, 0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        assert_eq!(Message::default().float(2, 1.0).bytes(), [0x15, 0, 0, 0x80, 0x3f]);
        assert_eq!(Message::default().double(1, 1.0).bytes(), [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    }
}

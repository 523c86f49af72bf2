//! The memory of frames, which their sender and their receiver provide.

use super::frame::Frame;

/// Finds the memory for the payloads of frames.
pub(crate) trait Memory {
    /// The payload of a frame to rank `to`: exactly `frame.bytes` long, unchanged until it is sent.
    fn outgoing(&self, to: usize, frame: &Frame) -> &[u8];

    /// What to do with the payload of a frame from rank `from`. Called again at every read until the frame is
    /// complete.
    fn incoming(&mut self, from: usize, frame: &Frame) -> Incoming<'_>;

    /// The frame from rank `from` is complete.
    fn received(&mut self, from: usize, frame: Frame);
}

/// What to do with the payload of a frame.
pub(crate) enum Incoming<'m> {
    /// Put it here: exactly `frame.bytes` long.
    Here(&'m mut [u8]),
    /// Leave it and all that follows on the link: the frame is early.
    Later,
    /// No such frame is expected, which is an error of the peer.
    Unexpected,
    /// A frame of another length is expected, which is an error of one of the two.
    OtherLength {
        /// That length.
        expected: u64,
    },
}

//! Messages under way, each with the buffer that MPI reads or writes meanwhile. With `shm/region.rs`, this is
//! the crate's only file with `unsafe` blocks. They rest on two facts:
//!
//! > A buffer belongs to its [`Flight`] from the call that hands it to MPI until MPI says that it is done
//! > with it. A flight that is dropped before leaves its buffer to MPI for good.
//!
//! > MPI is running: a flight is only made by who has an [`Mpi`](super::Mpi), which ends MPI when it is
//! > dropped, and holds it for longer than the flight. Calls of different threads do not overlap: each is
//! > made under one lock.

use mpi::ffi;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// `MPI_SUCCESS`.
const SUCCESS: c_int = 0;
/// Longer than any text of an error.
const TEXT_BYTES: usize = 4096;

/// Held during every call of MPI, so that MPI has to support only one call at a time.
pub(super) fn serial() -> MutexGuard<'static, ()> {
    static SERIAL: Mutex<()> = Mutex::new(());
    SERIAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on errors come back from calls instead of ending all processes. MPI must be running.
pub(super) fn return_errors() -> io::Result<()> {
    let _serial = serial();
    // SAFETY: MPI is running, and both are constants of it.
    check(unsafe { ffi::MPI_Comm_set_errhandler(ffi::RSMPI_COMM_WORLD, ffi::RSMPI_ERRORS_RETURN) })
}

/// A message that is being sent or waited for.
pub(super) struct Flight {
    buffer: ManuallyDrop<Vec<u8>>,
    request: ffi::MPI_Request,
    is_receive: bool,
}

// SAFETY: a request is no thread's own; at the level of threads that was asked for, any thread may complete
// it, one at a time.
unsafe impl Send for Flight {}

// SAFETY: nothing can be done with a flight that is only borrowed.
unsafe impl Sync for Flight {}

/// The state of a flight.
pub(super) enum Outcome {
    /// MPI is done; of a message that was received, with its length.
    Landed { buffer: Vec<u8>, bytes: usize },
    /// It is still under way.
    Aloft(Flight),
}

impl Flight {
    /// Sends all of `buffer` to rank `to` under a tag.
    pub(super) fn send(buffer: Vec<u8>, to: c_int, tag: c_int) -> io::Result<Self> {
        let (len, buffer) = (length(&buffer), ManuallyDrop::new(buffer));
        let mut request = MaybeUninit::uninit();
        let _serial = serial();
        // SAFETY: MPI is running. It reads `len` bytes of the buffer, which is there and unchanged until it
        // is done: this flight has it, gives it to nobody before, and does not free it.
        check(unsafe {
            ffi::MPI_Isend(
                buffer.as_ptr().cast::<c_void>(),
                len,
                ffi::RSMPI_UINT8_T,
                to,
                tag,
                ffi::RSMPI_COMM_WORLD,
                request.as_mut_ptr(),
            )
        })?;
        // SAFETY: a call without error has written the request.
        Ok(Self { buffer, request: unsafe { request.assume_init() }, is_receive: false })
    }

    /// Receives the next message from rank `from` under a tag, which is no longer than `buffer`.
    pub(super) fn receive(buffer: Vec<u8>, from: c_int, tag: c_int) -> io::Result<Self> {
        let (len, mut buffer) = (length(&buffer), ManuallyDrop::new(buffer));
        let mut request = MaybeUninit::uninit();
        let _serial = serial();
        // SAFETY: MPI is running. It writes up to `len` bytes of the buffer, which is there and looked at by
        // nobody until it is done: this flight has it, gives it to nobody before, and does not free it.
        check(unsafe {
            ffi::MPI_Irecv(
                buffer.as_mut_ptr().cast::<c_void>(),
                len,
                ffi::RSMPI_UINT8_T,
                from,
                tag,
                ffi::RSMPI_COMM_WORLD,
                request.as_mut_ptr(),
            )
        })?;
        // SAFETY: a call without error has written the request.
        Ok(Self { buffer, request: unsafe { request.assume_init() }, is_receive: true })
    }

    /// Looks whether MPI is done. After an error that is unknown, and the buffer stays with MPI.
    pub(super) fn land(mut self) -> io::Result<Outcome> {
        let bytes = match self.test() {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Outcome::Aloft(self)),
            Err(error) => {
                std::mem::forget(self);
                return Err(error);
            }
        };
        // SAFETY: MPI is done with the buffer, and the flight, which would not use it again, is forgotten.
        let buffer = unsafe { ManuallyDrop::take(&mut self.buffer) };
        std::mem::forget(self);
        Ok(Outcome::Landed { buffer, bytes })
    }

    /// The length of the message if MPI is done.
    fn test(&mut self) -> io::Result<Option<usize>> {
        let (mut done, mut bytes, mut status) = (0, 0, MaybeUninit::uninit());
        let _serial = serial();
        // SAFETY: MPI is running, and the request is one of its own that is not done: a flight is consumed
        // when its request is.
        check(unsafe { ffi::MPI_Test(&mut self.request, &mut done, status.as_mut_ptr()) })?;
        if done != 0 && self.is_receive {
            // SAFETY: of a request that is done, the status has been written.
            check(unsafe { ffi::MPI_Get_count(status.as_ptr(), ffi::RSMPI_UINT8_T, &mut bytes) })?;
        }
        Ok((done != 0).then_some(bytes as usize))
    }
}

impl Drop for Flight {
    /// Cancels the message, which nobody waits for any more, so that MPI can end.
    fn drop(&mut self) {
        if self.is_receive {
            let _serial = serial();
            // SAFETY: as in `test`.
            unsafe { ffi::MPI_Cancel(&mut self.request) };
        }
        if let Ok(Some(_)) = self.test() {
            // SAFETY: MPI is done with the buffer, and the flight ends here.
            drop(unsafe { ManuallyDrop::take(&mut self.buffer) });
        }
    }
}

fn length(buffer: &[u8]) -> c_int {
    buffer.len().try_into().unwrap_or_else(|_| panic!("a message of {} bytes", buffer.len()))
}

/// The error that a code stands for.
fn check(code: c_int) -> io::Result<()> {
    if code == SUCCESS {
        return Ok(());
    }
    let (mut text, mut len) = ([0u8; TEXT_BYTES], 0);
    // SAFETY: MPI is running; it writes no more than MPI_MAX_ERROR_STRING bytes, which is a few hundred.
    unsafe { ffi::MPI_Error_string(code, text.as_mut_ptr().cast(), &mut len) };
    let text = String::from_utf8_lossy(&text[..usize::try_from(len).unwrap_or(0)]).into_owned();
    Err(io::Error::other(format!("MPI error {code}: {text}")))
}

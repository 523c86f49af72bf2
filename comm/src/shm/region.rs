//! Memory that one rank writes and the ranks of its host read.
//!
//! A region belongs to the rank that made it. It has two parts:
//!
//! ```text
//! [ control: counters, which all ranks read and write | data: the owner writes it, all ranks read it ]
//! ```
//!
//! The owner carves its data into [`Buffer`]s, each byte at most once. Others see a range of it through
//! [`Region::published`], which takes the counter that the owner raises when the range is complete. With
//! `mpi/flight.rs`, this is the crate's only file with `unsafe` blocks; they rest on the *rule of turns*,
//! which the collectives keep:
//!
//! > Between raising a range's counter to `k` and learning that every rank has read it, its owner does not
//! > write the range.
//!
//! All processes of a group have proved that they have its key, and run the same version of the protocol. A
//! process of this user that wanted to break the rule could as well attach a debugger.
//!
//! The file behind a shared region never has a name (or loses it before another process knows of it). It has
//! mode 0600 and all its pages from the start. So nothing remains of it after any crash, and a full folder is
//! an error here instead of a fault later.

use crate::summand::Summand;
use bytemuck::Pod;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Regions and their data begin at multiples of this.
pub(crate) const PAGE: usize = 4096;

/// Shared memory of one rank: see the module's documentation.
#[derive(Debug)]
pub(crate) struct Region {
    map: MmapRaw,
    /// Bytes of the control part.
    control: usize,
    /// Kept open until all other ranks have mapped it.
    file: Mutex<Option<File>>,
}

/// How another process of this host finds a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RegionHandle {
    pub(crate) process: u64,
    descriptor: u64,
    bytes: u64,
    control: u64,
    /// The first bytes of the file. They tell whether the file descriptor still is that of the region.
    token: u64,
}

impl RegionHandle {
    /// Length of the encoded form.
    pub(crate) const BYTES: usize = 40;

    pub(crate) fn encode(&self) -> [u8; Self::BYTES] {
        let fields = [self.process, self.descriptor, self.bytes, self.control, self.token];
        bytemuck::cast(fields.map(u64::to_le_bytes))
    }

    pub(crate) fn decode(bytes: [u8; Self::BYTES]) -> Self {
        let fields: [[u8; 8]; 5] = bytemuck::cast(bytes);
        let [process, descriptor, bytes, control, token] = fields.map(u64::from_le_bytes);
        Self { process, descriptor, bytes, control, token }
    }
}

impl Region {
    /// Memory of this process alone, for ranks that share it with no other rank.
    pub(crate) fn private(control: usize, data: usize) -> io::Result<Self> {
        let control = control.max(1).next_multiple_of(PAGE);
        let map = MmapOptions::new().len(length(control, data)?).map_anon()?;
        Ok(Self { map: map.into(), control, file: Mutex::new(None) })
    }

    /// Zeroed memory that other processes of this user can map, in a file of `folder`.
    #[cfg(target_os = "linux")]
    pub(crate) fn shared(folder: &Path, control: usize, data: usize) -> io::Result<Self> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::retry_on_intr;
        let control = control.next_multiple_of(PAGE);
        let bytes = length(control, data)?;
        let file = nameless_file(folder)?;
        retry_on_intr(|| fallocate(&file, FallocateFlags::empty(), 0, bytes as u64))?;
        let map = MmapOptions::new().len(bytes).map_raw(&file)?;
        let region = Self { map, control, file: Mutex::new(Some(file)) };
        let mut token = [0; 8];
        getrandom::fill(&mut token).map_err(io::Error::from)?;
        region.token().store(u64::from_ne_bytes(token), Ordering::Release);
        Ok(region)
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn shared(_folder: &Path, _control: usize, _data: usize) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// What other ranks need to [`open`](Self::open) this region, if it has a file.
    pub(crate) fn handle(&self) -> Option<RegionHandle> {
        use std::os::fd::AsRawFd;
        let file = self.file.lock().expect("no holder panics");
        let file = file.as_ref()?;
        Some(RegionHandle {
            process: u64::from(std::process::id()),
            descriptor: file.as_raw_fd() as u64,
            bytes: self.map.len() as u64,
            control: self.control as u64,
            token: self.token().load(Ordering::Acquire),
        })
    }

    /// Another rank's region.
    pub(crate) fn open(handle: &RegionHandle) -> io::Result<Self> {
        let path = format!("/proc/{}/fd/{}", handle.process, handle.descriptor);
        let file = File::options().read(true).write(true).open(path)?;
        let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()));
        if file.metadata()?.len() != handle.bytes
            || handle.control < PAGE as u64
            || handle.control > handle.bytes
        {
            return wrong("not the region that was announced");
        }
        let map = MmapOptions::new().len(handle.bytes as usize).map_raw(&file)?;
        let region = Self { map, control: handle.control as usize, file: Mutex::new(None) };
        if region.token().load(Ordering::Acquire) != handle.token {
            return wrong("not the region that was announced");
        }
        Ok(region)
    }

    /// Closes the file: all ranks that share it have mapped it.
    pub(crate) fn close(&self) {
        *self.file.lock().expect("no holder panics") = None;
    }

    fn token(&self) -> &AtomicU64 {
        self.counter(0)
    }

    /// The counter at byte `offset` of the control part. The first eight bytes are the region's own.
    pub(crate) fn counter(&self, offset: usize) -> &AtomicU64 {
        self.check_control(offset, size_of::<AtomicU64>());
        // SAFETY: the range lies in the mapping and is aligned (checked above; the mapping begins at a page).
        // The control part is accessed as atomics only, zero is a valid one, and it lives as long as `self`.
        #[expect(unsafe_code, reason = "a counter in shared memory")]
        unsafe {
            &*self.map.as_ptr().add(offset).cast::<AtomicU64>()
        }
    }

    /// The futex word at byte `offset` of the control part.
    pub(crate) fn word(&self, offset: usize) -> &AtomicU32 {
        self.check_control(offset, size_of::<AtomicU32>());
        // SAFETY: as in `counter`.
        #[expect(unsafe_code, reason = "a futex word in shared memory")]
        unsafe {
            &*self.map.as_ptr().add(offset).cast::<AtomicU32>()
        }
    }

    fn check_control(&self, offset: usize, bytes: usize) {
        assert!(
            offset.is_multiple_of(bytes) && offset + bytes <= self.control,
            "no counter of {bytes} bytes at {offset} in {} bytes of control",
            self.control
        );
    }

    /// Elements `range` of the owner's array of `T` that begins at byte `offset` of the data, if the owner
    /// has raised `counter` (a byte offset in the control part) to at least `turn`.
    #[inline]
    pub(crate) fn published<T: Pod>(
        &self,
        counter: usize,
        turn: u64,
        offset: usize,
        range: Range<usize>,
    ) -> Option<&[T]> {
        if self.counter(counter).load(Ordering::Acquire) < turn {
            return None;
        }
        let (start, len) = self.place::<T>(offset, range);
        // SAFETY: the range lies in the mapping and is aligned (`place`). Every bit pattern is a `T`. It is a
        // part of a buffer that its owner's exchange (or its group, for short sums) has in hand: places of
        // nodes are those of the buffers that were handed over (`Exchange::hand_over`). So it is not written
        // until its owner has learned that we have read it (rule of turns), and what was written before the
        // counter was raised is visible (Acquire).
        #[expect(unsafe_code, reason = "another rank's part of shared memory")]
        Some(unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(start).cast(), len) })
    }

    /// Byte offset in the mapping and length of elements `range` of an array at `offset` of the data;
    /// checked.
    fn place<T: Pod>(&self, offset: usize, range: Range<usize>) -> (usize, usize) {
        let start = self.control + offset + range.start * size_of::<T>();
        let bytes = range.len() * size_of::<T>();
        assert!(
            start.is_multiple_of(align_of::<T>())
                && start + bytes <= self.map.len()
                && range.start <= range.end,
            "no {bytes} bytes at {start} in a region of {}",
            self.map.len()
        );
        (start, range.len())
    }
}

fn length(control: usize, data: usize) -> io::Result<usize> {
    let bytes = data.checked_next_multiple_of(PAGE).and_then(|data| data.checked_add(control));
    bytes.filter(|bytes| *bytes <= isize::MAX as usize).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// A new file of mode 0600 without a name.
#[cfg(target_os = "linux")]
fn nameless_file(folder: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open, unlink};
    use rustix::io::Errno;
    let mode = Mode::RUSR | Mode::WUSR;
    match open(folder, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode) {
        // Not every file system has nameless files.
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {}
        file => return Ok(file?.into()),
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::from)?;
    let path = folder.join(format!(".isograd-{:032x}", u128::from_ne_bytes(random)));
    let file = open(&path, OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC, mode)?;
    unlink(&path)?;
    Ok(file.into())
}

/// Cuts the data of the region that this rank owns into buffers.
#[derive(Debug)]
pub(crate) struct Carver {
    region: Arc<Region>,
    next: usize,
}

impl Carver {
    /// Makes the carver of a new region.
    ///
    /// # Panics
    ///
    /// When the region is in use elsewhere: a region has one carver.
    pub(crate) fn new(region: &mut Arc<Region>) -> Self {
        assert!(Arc::get_mut(region).is_some(), "a region has one carver");
        Self { region: Arc::clone(region), next: 0 }
    }

    pub(crate) fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// The offset of the next buffer.
    pub(crate) fn offset(&self) -> usize {
        self.next
    }

    /// Moves the next buffer to `offset`, which must not lie in one that is carved already.
    pub(crate) fn skip_to(&mut self, offset: usize) {
        assert!(offset >= self.next, "byte {offset} of the data is carved already, up to {}", self.next);
        self.next = offset;
    }

    /// Returns the next `bytes`, which are zeros.
    pub(crate) fn carve(&mut self, bytes: usize) -> RawBuffer {
        let (start, len) = self.region.place::<u8>(self.next, 0..bytes);
        self.next += len;
        RawBuffer { region: Arc::clone(&self.region), start, bytes: len }
    }
}

/// A part of this rank's own data. It has one owner at a time.
pub(crate) struct RawBuffer {
    region: Arc<Region>,
    /// Byte offset in the mapping.
    start: usize,
    bytes: usize,
}

impl RawBuffer {
    /// Where the buffer begins in the region's data.
    pub(crate) fn offset(&self) -> usize {
        self.start - self.region.control
    }

    /// Whether this is the buffer of `bytes` bytes at `offset` of the data of `region`.
    pub(crate) fn is_at(&self, region: &Arc<Region>, offset: usize, bytes: usize) -> bool {
        Arc::ptr_eq(&self.region, region) && self.offset() == offset && self.bytes == bytes
    }

    /// Takes the buffer, and leaves an empty one.
    pub(crate) fn take(&mut self) -> Self {
        let empty = Self { region: Arc::clone(&self.region), start: self.start, bytes: 0 };
        std::mem::replace(self, empty)
    }

    /// All elements; bytes behind the last whole element are left out.
    #[inline]
    pub(crate) fn elements<T: Pod>(&self) -> &[T] {
        // SAFETY: `Carver::carve` checked the range; no other buffer has it. In this process it is written
        // through `elements_mut` only, and other processes do not write another rank's data.
        #[expect(unsafe_code, reason = "this rank's own part of shared memory")]
        let bytes =
            unsafe { std::slice::from_raw_parts(self.region.map.as_ptr().add(self.start), self.bytes) };
        bytemuck::cast_slice(&bytes[..self.bytes / size_of::<T>() * size_of::<T>()])
    }

    #[inline]
    pub(crate) fn elements_mut<T: Pod>(&mut self) -> &mut [T] {
        let whole = self.bytes / size_of::<T>() * size_of::<T>();
        // SAFETY: as in `elements`, and `&mut self` is the only way to it in this process. Other ranks read
        // nothing but what an exchange or a group has in hand (see `Region::published`), and those two keep
        // the rule of turns.
        #[expect(unsafe_code, reason = "this rank's own part of shared memory")]
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(self.region.map.as_mut_ptr().add(self.start), self.bytes)
        };
        bytemuck::cast_slice_mut(&mut bytes[..whole])
    }
}

/// Elements in memory that a transport reads in place. Derefs to a slice.
///
/// Other ranks read a `Buffer` while an exchange holds it: so it is passed by value.
pub struct Buffer<T> {
    raw: RawBuffer,
    element: PhantomData<T>,
}

impl<T: Summand> Buffer<T> {
    /// Memory of this process alone, zeroed.
    ///
    /// # Panics
    ///
    /// When this process cannot have so much memory.
    pub fn private(len: usize) -> Self {
        let region = Region::private(0, len * size_of::<T>()).expect("memory for a buffer");
        let mut carver = Carver::new(&mut Arc::new(region));
        Self::from_raw(carver.carve(len * size_of::<T>()))
    }

    pub(crate) fn from_raw(raw: RawBuffer) -> Self {
        Self { raw, element: PhantomData }
    }

    pub(crate) fn into_raw(self) -> RawBuffer {
        self.raw
    }
}

impl<T: Summand> Deref for Buffer<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.raw.elements()
    }
}

impl<T: Summand> DerefMut for Buffer<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        self.raw.elements_mut()
    }
}

impl<T> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer of {} bytes", self.raw.bytes)
    }
}

impl std::fmt::Debug for RawBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawBuffer of {} bytes", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Region {
        Region::shared(tempfile::tempdir().unwrap().path(), 64, 10_000).unwrap()
    }

    #[test]
    fn another_mapping_sees_what_was_published() {
        let mut region = Arc::new(shared());
        let handle = region.handle().unwrap();
        let mut carver = Carver::new(&mut region);
        let _first = carver.carve(12);
        let mut second = carver.carve(16);
        second.elements_mut::<f32>().copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);

        let other = Region::open(&handle).unwrap();
        assert_eq!(other.published::<f32>(8, 1, 12, 1..3), None);
        carver.region().counter(8).store(1, Ordering::Release);
        assert_eq!(other.published::<f32>(8, 1, 12, 1..3), Some(&[2.0, 3.0][..]));
        assert_eq!(other.published::<f32>(8, 2, 12, 1..3), None);
    }

    #[test]
    fn a_shared_region_has_no_name_and_is_private_to_its_user() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let region = Region::shared(folder.path(), 64, 64).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(region.file.lock().unwrap().as_ref().unwrap().metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_ticket_that_leads_elsewhere_is_refused() {
        let region = shared();
        let handle = region.handle().unwrap();
        assert!(Region::open(&RegionHandle { token: handle.token ^ 1, ..handle }).is_err());
        assert!(Region::open(&RegionHandle { bytes: handle.bytes + 1, ..handle }).is_err());
        assert!(Region::open(&RegionHandle { control: handle.bytes + 1, ..handle }).is_err());
        assert!(Region::open(&handle).is_ok());
    }

    #[test]
    fn nobody_asks_for_more_than_there_is() {
        assert!(Region::private(64, usize::MAX - 10).is_err());
        let region = Region::private(64, 64).unwrap();
        assert!(std::panic::catch_unwind(|| region.published::<f64>(8, 0, PAGE, 0..1).is_some()).is_err());
        assert!(std::panic::catch_unwind(|| region.counter(PAGE).load(Ordering::Relaxed)).is_err());
        assert!(std::panic::catch_unwind(|| region.counter(12).load(Ordering::Relaxed)).is_err());
    }

    #[test]
    fn a_folder_that_cannot_take_it_is_an_error() {
        assert!(Region::shared(Path::new("/nonexistent"), 64, 64).is_err());
        assert!(Region::shared(Path::new("/proc"), 64, 64).is_err());
    }
}

//! The memory of a scoreboard: the one place where its address is used.
#![allow(unsafe_code, reason = "shared memory comes as an address")]

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::{Head, Seat};

/// Memory of a sealed file that holds a [`Head`] and seats.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<std::ffi::c_void>,
    length: usize,
}

// SAFETY: the memory is used through atomics only, from any thread and any process.
unsafe impl Send for Mapping {}
// SAFETY: as for Send.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(super) fn of(file: &File, length: usize) -> io::Result<Mapping> {
        let size = NonZeroUsize::new(length).ok_or(io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses; the file is at least that long and
        // sealed against shrinking (callers), so no access to it can fault.
        let start = unsafe { mmap(None, size, protection, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Mapping { start, length })
    }

    pub(super) fn head(&self) -> &Head {
        // SAFETY: the mapping begins with a Head, page-aligned; atomics may be shared and have no invalid
        // values; it lives as long as `self`.
        unsafe { self.start.cast::<Head>().as_ref() }
    }

    pub(super) fn seat(&self, number: u32) -> &Seat {
        // SAFETY: `number` is below the count that the mapping's length was made from (Scoreboard::seat), so
        // the seat is inside, and aligned, since Head's size and Seat's are multiples of their alignment.
        unsafe { self.start.byte_add(size_of::<Head>()).cast::<Seat>().add(number as usize).as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing borrowed from it outlives `self`.
        let _ = unsafe { munmap(self.start, self.length) };
    }
}

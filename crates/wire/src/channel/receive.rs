//! recvmsg(2). nix keeps the descriptors to itself where some did not fit: they would stay open for good, and a peer
//! could fill the process's table with them. So here they are taken out by hand.
#![allow(unsafe_code, reason = "descriptors come as numbers, in memory that the kernel lays out")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::libc;

use super::DESCRIPTOR_LIMIT;

/// What recvmsg(2) has said.
pub(super) struct Received {
    /// Bytes of the message that are in the buffer.
    pub(super) length: usize,
    /// Some of the message or of its descriptors did not fit, or the process may open no more.
    pub(super) is_cut: bool,
    /// Those that arrived, closed on exec.
    pub(super) descriptors: Vec<OwnedFd>,
}

/// Room for the descriptors of a message, aligned as the kernel's `cmsghdr` must be.
#[repr(C, align(8))]
struct Space([u8; SPACE]);

const SPACE: usize = {
    // SAFETY: arithmetic only (cmsg(3)).
    unsafe { libc::CMSG_SPACE((DESCRIPTOR_LIMIT * size_of::<RawFd>()) as u32) as usize }
};

/// Receives one message.
///
/// # Errors
/// Those of recvmsg(2), but for EINTR.
pub(super) fn message(socket: BorrowedFd<'_>, buf: &mut [u8], waits: bool) -> io::Result<Received> {
    let flags = libc::MSG_CMSG_CLOEXEC | if waits { 0 } else { libc::MSG_DONTWAIT };
    let mut space = Space([0; SPACE]);
    let mut part = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    loop {
        // SAFETY: all of the structure is numbers and addresses, for which 0 is a value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = space.0.as_mut_ptr().cast();
        header.msg_controllen = SPACE as _;
        // SAFETY: the header names `buf` and `space` with their lengths; both outlive the call.
        let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
        if let Ok(length) = usize::try_from(count) {
            let is_cut = header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
            // SAFETY: recvmsg has just filled the header in, and `space` is still there.
            return Ok(Received { length, is_cut, descriptors: unsafe { descriptors(&header) } });
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Takes the descriptors that came with a message.
///
/// # Safety
/// `header` is as recvmsg(2) has left it, its control buffer is alive, and this is called once for it.
unsafe fn descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut taken = Vec::new();
    // SAFETY: the kernel has set the length of the control buffer to what it wrote (caller; cmsg(3)).
    let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: the macros of cmsg(3) give a whole header within the control buffer, or null.
    while let Some(found) = unsafe { control.as_ref() } {
        if (found.cmsg_level, found.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: arithmetic only.
            let before = unsafe { libc::CMSG_LEN(0) } as usize;
            #[allow(clippy::unnecessary_cast, reason = "musl has it as u32")]
            let count = (found.cmsg_len as usize).saturating_sub(before) / size_of::<RawFd>();
            // SAFETY: the data of a header follows it, within its length.
            let data = unsafe { libc::CMSG_DATA(control) }.cast::<RawFd>();
            for index in 0..count {
                // SAFETY: the kernel states the length that it wrote, also where it wrote fewer than were sent
                // (unix(7), SCM_RIGHTS); the descriptors are new and belong to whoever received the message.
                taken.push(unsafe { OwnedFd::from_raw_fd(data.add(index).read_unaligned()) });
            }
        }
        // SAFETY: as for the first.
        control = unsafe { libc::CMSG_NXTHDR(header, control) };
    }
    taken
}

//! Who this process is: users, rights, limits of its own.

use std::io;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

/// Whether this process has root's rights.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// The user that this process acts as.
pub(crate) fn user() -> u32 {
    geteuid().as_raw()
}

/// Becomes another user for good: root only.
///
/// # Errors
/// Those of setgroups(2), setresgid(2) and setresuid(2); `PermissionDenied` if root's rights could be had back.
pub(crate) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setgroups(&groups)?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    if !uid.is_root() && nix::unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

/// Keeps other processes of the same user from reading this one's memory, which holds every group's secrets.
pub(crate) fn hide_memory() {
    // SAFETY: takes numbers only (prctl(2), PR_SET_DUMPABLE).
    // An error is no reason not to run: it cannot fail with these numbers on any kernel since 2.4.
    let _ = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

/// Lets this process have as many descriptors as it may, and returns what workers are to have: the limits that
/// it had itself.
pub(crate) fn raise_descriptor_limit() -> Option<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    // Many groups on a machine of small limits: they then fail one by one, each with a line of its own.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    Some((soft, hard))
}

/// Whether there is a process of this number.
pub(crate) fn is_alive(pid: i32) -> bool {
    // SAFETY: signal 0 is sent to nobody (kill(2)).
    let result = unsafe { libc::kill(pid, 0) };
    result == 0 || Errno::last() != Errno::ESRCH
}

/// The parent of a process; `None` if the system does not tell.
pub(crate) fn parent_of(pid: i32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything (proc(5)).
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_of_this_process_is_told_and_of_none_is_not() {
        let own = i32::try_from(std::process::id()).expect("small");
        assert_eq!(parent_of(own), Some(std::os::unix::process::parent_id()));
        assert_eq!(parent_of(i32::MAX), None);
    }
}

//! Starting a worker: fork, everything of docs/daemon.md, "Identity", in its order, and exec.
//!
//! This process has one thread, so a forked child may do what it likes; it still allocates nothing, since all it
//! needs has been made before.

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::null;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{ForkResult, Gid, Uid, chdir, chroot, dup2_raw, fork, getegid, geteuid, pipe2, setsid};

/// What a forked child does before it becomes the interpreter. The numbers go through a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    Session = 1,
    Priority,
    CpuLimit,
    MemoryLimit,
    VirtualMemoryLimit,
    DescriptorLimit,
    Chroot,
    Group,
    SupplementaryGroups,
    User,
    /// The one that `home` names.
    Directory,
    /// The user's home directory; `/` takes its place.
    UserDirectory,
    Descriptors,
    Exec,
}

impl Step {
    fn of(number: u8) -> Option<Step> {
        use Step::*;
        let all = [
            Session,
            Priority,
            CpuLimit,
            MemoryLimit,
            VirtualMemoryLimit,
            DescriptorLimit,
            Chroot,
            Group,
            SupplementaryGroups,
            User,
            Directory,
            UserDirectory,
            Descriptors,
            Exec,
        ];
        all.into_iter().find(|step| *step as u8 == number)
    }

    /// Whether the worker runs although the step failed: what it lacks then gives it no rights.
    pub(crate) fn is_optional(self) -> bool {
        use Step::*;
        matches!(self, Priority | CpuLimit | MemoryLimit | VirtualMemoryLimit | DescriptorLimit | UserDirectory)
    }
}

/// A step that failed in the child, and the system's number for why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    pub(crate) errno: i32,
}

impl Failure {
    /// The system's words for it.
    pub(crate) fn cause(self) -> io::Error {
        io::Error::from_raw_os_error(self.errno)
    }

    const LENGTH: usize = 5;

    fn bytes(self) -> [u8; Failure::LENGTH] {
        let [a, b, c, d] = self.errno.to_le_bytes();
        [self.step as u8, a, b, c, d]
    }

    /// The failures in what has been read of the pipe.
    pub(crate) fn read(bytes: &[u8]) -> Vec<Failure> {
        let parts = bytes.chunks_exact(Failure::LENGTH);
        let failures = parts.filter_map(|part| {
            let (step, errno) = part.split_first()?;
            Some(Failure { step: Step::of(*step)?, errno: i32::from_le_bytes(*errno.first_chunk()?) })
        });
        failures.collect()
    }
}

/// A soft and a hard limit.
pub(crate) type Limit = (u64, u64);

/// Everything about a process that is to be started.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) program: CString,
    /// Its name first.
    pub(crate) arguments: Vec<CString>,
    /// NAME=VALUE.
    pub(crate) environment: Vec<CString>,
    pub(crate) priority: i32,
    pub(crate) cpu: Option<Limit>,
    pub(crate) memory: Option<Limit>,
    pub(crate) virtual_memory: Option<Limit>,
    pub(crate) descriptors: Option<Limit>,
    pub(crate) chroot: Option<CString>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) directory: CString,
    /// Whether `/` may not take its place.
    pub(crate) is_directory_required: bool,
    pub(crate) umask: Option<u32>,
    /// Become its descriptors 0, 1, 2 …; all others are closed.
    pub(crate) places: Vec<BorrowedFd<'a>>,
}

/// Forks, and has the child carry out the plan. Returns its number and a pipe of [`Failure`]s that ends when the
/// program runs or the child has ended.
///
/// # Errors
/// Those of pipe2(2) and fork(2).
pub(crate) fn start(plan: &Plan<'_>) -> io::Result<(i32, OwnedFd)> {
    let arguments = pointers(&plan.arguments);
    let environment = pointers(&plan.environment);
    let groups: Vec<Gid> = plan.groups.iter().copied().map(Gid::from_raw).collect();
    let mut spare = Vec::with_capacity(plan.places.len());
    let (report, tell) = pipe2(OFlag::O_CLOEXEC)?;
    crate::os::sockets::set_nonblocking(&report)?;
    // SAFETY: this process has a single thread, so the child's memory is whole: no lock is held in it.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok((child.as_raw(), report)),
        ForkResult::Child => {
            let Err(failure) = run(plan, &groups, &arguments, &environment, &tell, &mut spare);
            write(tell.as_raw_fd(), failure);
            // SAFETY: ends the process without running anything of the parent's (_exit(2)).
            unsafe { libc::_exit(127) }
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([null()]).collect()
}

/// In the child: as docs/daemon.md, "Identity", has it.
fn run(
    plan: &Plan<'_>,
    groups: &[Gid],
    arguments: &[*const c_char],
    environment: &[*const c_char],
    tell: &OwnedFd,
    spare: &mut Vec<RawFd>,
) -> Result<Infallible, Failure> {
    let tell = tell.as_raw_fd();
    reset_signals();
    must(Step::Session, setsid())?;
    if plan.priority != 0 {
        // SAFETY: takes numbers only (setpriority(2)); 0 is this process.
        let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, plan.priority) };
        may(tell, Step::Priority, Errno::result(result));
    }
    limit(tell, Step::CpuLimit, Resource::RLIMIT_CPU, plan.cpu);
    limit(tell, Step::MemoryLimit, Resource::RLIMIT_DATA, plan.memory);
    limit(tell, Step::VirtualMemoryLimit, Resource::RLIMIT_AS, plan.virtual_memory);
    if let Some(root) = &plan.chroot {
        must(Step::Chroot, chroot(root.as_c_str()))?;
        must(Step::Chroot, chdir(c"/"))?;
    }
    become_user(plan, groups)?;
    enter(plan, tell)?;
    if let Some(mask) = plan.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    let tell = place(&plan.places, tell, spare)?;
    // Only now: with many groups the numbers of our descriptors are above what a worker may have.
    limit(tell, Step::DescriptorLimit, Resource::RLIMIT_NOFILE, plan.descriptors);
    let error = exec(&plan.program, arguments, environment);
    write(tell, Failure { step: Step::Exec, errno: error as i32 });
    // SAFETY: as in `start`; the failure has been told already, on a descriptor that `start` does not know.
    unsafe { libc::_exit(127) }
}

fn enter(plan: &Plan<'_>, tell: RawFd) -> Result<(), Failure> {
    let entered = chdir(plan.directory.as_c_str());
    if plan.is_directory_required {
        return must(Step::Directory, entered);
    }
    match entered {
        Ok(()) => Ok(()),
        Err(error) => {
            report(tell, Step::UserDirectory, error);
            must(Step::Directory, chdir(c"/"))
        }
    }
}

fn become_user(plan: &Plan<'_>, groups: &[Gid]) -> Result<(), Failure> {
    let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.gid));
    if geteuid().is_root() {
        must(Step::Group, nix::unistd::setresgid(gid, gid, gid))?;
        must(Step::SupplementaryGroups, nix::unistd::setgroups(groups))?;
        must(Step::User, nix::unistd::setresuid(uid, uid, uid))?;
    }
    // What was asked for and what is can differ where this process is not root: then nothing may run.
    must(Step::User, if geteuid() == uid { Ok(()) } else { Err(Errno::EPERM) })?;
    if !uid.is_root() && nix::unistd::setuid(Uid::from_raw(0)).is_ok() {
        return must(Step::User, Err(Errno::EPERM));
    }
    must(Step::Group, if getegid() == gid { Ok(()) } else { Err(Errno::EPERM) })
}

/// Puts descriptors into their places and marks all others to be closed; the pipe's new number.
fn place(places: &[BorrowedFd<'_>], tell: RawFd, spare: &mut Vec<RawFd>) -> Result<RawFd, Failure> {
    let above = i32::try_from(places.len()).unwrap_or(i32::MAX);
    // First all out of the way, since a place may still be another one's source.
    let tell = lift(tell, above)?;
    for source in places {
        spare.push(lift(source.as_raw_fd(), above)?);
    }
    for (place, source) in (0..).zip(spare.iter()) {
        // SAFETY: both are numbers of this child, which owns nothing by value; `place` may be replaced by intent.
        must(Step::Descriptors, unsafe { dup2_raw(BorrowedFd::borrow_raw(*source), place) }.map(std::mem::forget))?;
    }
    let first = libc::c_uint::try_from(above).unwrap_or(0);
    // SAFETY: takes numbers only (close_range(2)).
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result != 0 {
        mark_one_by_one(above);
    }
    Ok(tell)
}

/// For kernels before 5.11.
fn mark_one_by_one(first: RawFd) {
    for raw in first..65_536 {
        // SAFETY: takes numbers only; fails on those that are not open (fcntl(2)).
        unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

fn lift(raw: RawFd, above: RawFd) -> Result<RawFd, Failure> {
    // SAFETY: takes numbers only (fcntl(2)).
    must(Step::Descriptors, Errno::result(unsafe { libc::fcntl(raw, libc::F_DUPFD_CLOEXEC, above) }))
}

fn exec(program: &CStr, arguments: &[*const c_char], environment: &[*const c_char]) -> Errno {
    // SAFETY: both arrays end with a null and hold addresses of strings that live in `start`'s plan (`pointers`).
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Errno::last()
}

/// Blocked and ignored signals would stay so after the exec.
fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL runs no code of ours; numbers that are no signals, or cannot be changed, are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // Fails with no valid set (sigprocmask(2)), and this one is.
    let _ = SigSet::empty().thread_set_mask();
}

fn limit(tell: RawFd, step: Step, resource: Resource, limit: Option<Limit>) {
    if let Some((soft, hard)) = limit {
        may(tell, step, setrlimit(resource, soft, hard));
    }
}

fn must<T>(step: Step, result: nix::Result<T>) -> Result<T, Failure> {
    result.map_err(|error| Failure { step, errno: error as i32 })
}

fn may<T>(tell: RawFd, step: Step, result: nix::Result<T>) {
    if let Err(error) = result {
        report(tell, step, error);
    }
}

fn report(tell: RawFd, step: Step, error: Errno) {
    write(tell, Failure { step, errno: error as i32 });
}

fn write(tell: RawFd, failure: Failure) {
    let bytes = failure.bytes();
    // SAFETY: the address and the length are those of a local. A pipe takes so few bytes whole (pipe(7)); if its
    // reader has gone, there is nobody to tell.
    unsafe { libc::write(tell, bytes.as_ptr().cast(), bytes.len()) };
}

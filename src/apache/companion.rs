//! A program that httpd's parent starts beside its children and watches while it runs ("other child" in
//! APR's words).

use std::ffi::{OsStr, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bindings as c;
use super::pool::Pool;

/// Starts a program with a descriptor at a number of its choice, and no other but the standard ones; its
/// standard error is httpd's. Parent process only; gives the process's id.
///
/// # Errors
/// Those of starting it.
pub(crate) fn start(program: &OsStr, argument: &str, descriptor: OwnedFd, number: c_int) -> io::Result<i32> {
    let mut command = Command::new(program);
    command.arg(argument).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    let raw = descriptor.as_raw_fd();
    // SAFETY: the closure does what code between fork and exec may: system calls on numbers. dup2 clears
    // close-on-exec on the copy; where both numbers are the same, F_SETFD does.
    unsafe {
        command.pre_exec(move || {
            let placed = if raw == number { libc::fcntl(raw, libc::F_SETFD, 0) } else { libc::dup2(raw, number) };
            if placed < 0 {
                return Err(io::Error::last_os_error());
            }
            // A kernel without close_range (before 5.9) keeps what APR and Rust have not marked close-on-exec.
            libc::syscall(libc::SYS_close_range, number + 1, u32::MAX, 0);
            Ok(())
        });
    }
    let child = command.spawn()?;
    // httpd waits for all children of the parent; dropping the handle waits for none.
    i32::try_from(child.id()).map_err(io::Error::other)
}

/// What APR keeps of a watched process.
struct Watched {
    process: c::apr_proc_t,
    on_end: fn(pid: i32, how: &str),
}

/// What is watched, as addresses of [`Watched`] in the process's pool. True for the process's life, like the
/// processes themselves.
static WATCHED: Mutex<Vec<(i32, usize)>> = Mutex::new(Vec::new());

fn watched() -> MutexGuard<'static, Vec<(i32, usize)>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `on_end` called by httpd's parent when the process has ended, within about a second. The pool is the
/// process's own: it outlives configurations.
pub(crate) fn watch(pool: Pool<'_>, pid: i32, on_end: fn(pid: i32, how: &str)) {
    // SAFETY: apr_proc_t is plain data, of which only the id is looked at (apr_thread_proc.h, other child).
    let process = unsafe { c::apr_proc_t { pid, ..std::mem::zeroed() } };
    let record: *mut Watched = pool.keep(Watched { process, on_end });
    // SAFETY: the record lives as long as the pool, in which APR registers the removal of its own entry.
    unsafe {
        c::apr_proc_other_child_register(
            &raw mut (*record).process,
            Some(maintain),
            record.cast(),
            std::ptr::null_mut(),
            pool.as_raw(),
        );
    }
    watched().push((pid, record.expose_provenance()));
}

/// Watches the process no longer: whoever calls waits for it by itself.
pub(crate) fn unwatch(pid: i32) {
    let mut list = watched();
    let Some(place) = list.iter().position(|(known, _)| *known == pid) else { return };
    let (_, address) = list.swap_remove(place);
    drop(list);
    // SAFETY: the address is that of a record in the process's pool, registered by `watch` and not removed since:
    // whoever removes an entry takes it off the list first.
    unsafe { c::apr_proc_other_child_unregister(std::ptr::with_exposed_provenance_mut::<Watched>(address).cast()) };
}

unsafe extern "C" fn maintain(reason: c_int, data: *mut c_void, status: c_int) {
    if !matches!(reason as u32, c::APR_OC_REASON_DEATH | c::APR_OC_REASON_LOST) {
        return;
    }
    // SAFETY: `data` is the Watched that was registered, alive as long as the process's pool.
    let (pid, on_end) = unsafe {
        let watched = &*data.cast::<Watched>();
        (watched.process.pid, watched.on_end)
    };
    unwatch(pid);
    let how = if reason as u32 == c::APR_OC_REASON_DEATH { ending(status) } else { "it is gone".to_owned() };
    // There is no request and no hook to tell of a panic; httpd's parent goes on.
    let _ = catch_unwind(AssertUnwindSafe(|| on_end(pid, &how)));
}

/// The status of wait(2) in words.
fn ending(status: c_int) -> String {
    let status = ExitStatus::from_raw(status);
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or(0)),
    }
}

/// Waits for a child of this process to end; false if it has not after `limit`.
pub(crate) fn wait_for_end(pid: i32, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        // SAFETY: waitpid writes one int. httpd may have reaped the process already (ECHILD): it has ended then.
        let result = unsafe { libc::waitpid(pid, &mut 0, libc::WNOHANG) };
        if result != 0 {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Ends a child of this process at once.
pub(crate) fn kill(pid: i32) {
    // SAFETY: kill takes numbers; the process is a child that nobody has waited for (callers), so the number is
    // still its own.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_program_gets_its_descriptor_at_the_number_and_no_other() {
        let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
        let (_held, inherited) = UnixStream::pair().expect("a socket pair");
        // SAFETY: only a flag of a descriptor of the test's own is changed.
        unsafe { libc::fcntl(inherited.as_raw_fd(), libc::F_SETFD, 0) };
        let script = std::env::temp_dir().join(format!("companion-{}.sh", std::process::id()));
        let mut file = std::fs::File::create(&script).expect("a file");
        write!(file, "#!/bin/sh\nls -C -w 200 /proc/self/fd >&3\n").expect("written");
        drop(file);
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
        let pid = start(script.as_os_str(), "x", theirs.into(), 3).expect("started");
        let mut text = String::new();
        ours.read_to_string(&mut text).expect("read to the end");
        assert!(wait_for_end(pid, Duration::from_secs(10)));
        std::fs::remove_file(&script).expect("removed");
        // The fourth is the directory that ls looks at; the shell may keep the script itself open above.
        let numbers: Vec<&str> = text.split_whitespace().collect();
        assert!(numbers.starts_with(&["0", "1", "2", "3", "4"]) || numbers == ["0", "1", "2", "3"], "{numbers:?}");
        assert!(numbers.len() <= 5, "{numbers:?}");
    }

    #[test]
    fn endings_are_told_in_words() {
        assert_eq!(ending(3 << 8), "exit status 3");
        assert_eq!(ending(9), "signal 9");
    }
}

//! The process that the module lives in: its own file, its user, programs that it asks.

use std::ffi::{CStr, OsStr, OsString, c_void};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::bindings as c;

/// Makes httpd's unloading of the module (at each restart) a no-op.
///
/// Whether a Rust library really is unloaded depends on whether any thread-local with a destructor was
/// touched, so without this the statics would sometimes survive a graceful restart and sometimes not.
/// With it they always do, and none holds anything of a configuration. A replaced file takes effect
/// when httpd is stopped and started.
pub(crate) fn stay_loaded() {
    let Some(file) = own_file() else { return };
    // SAFETY: the library is loaded already; this only raises its count and marks it RTLD_NODELETE
    // (dlopen(3)). The handle is deliberately never closed.
    unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_NODELETE | libc::RTLD_NOLOAD) };
}

/// The directory that the module's file lies in, symbolic links resolved.
pub(crate) fn library_directory() -> Option<PathBuf> {
    let file = PathBuf::from(OsStr::from_bytes(own_file()?.to_bytes())).canonicalize().ok()?;
    Some(file.parent()?.to_path_buf())
}

fn own_file() -> Option<&'static CStr> {
    // SAFETY: dladdr fills in the record for an address of a loaded library; the name in it belongs to
    // the library's link map, which stays since the library does (dladdr(3)).
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        let here: *const c_void = (stay_loaded as fn() as *const ()).cast();
        let found = libc::dladdr(here, &mut info) != 0 && !info.dli_fname.is_null();
        found.then(|| CStr::from_ptr(info.dli_fname))
    }
}

/// Sets a variable of the process's environment. Only while the process has one thread: in child_init.
pub(crate) fn set_variable(name: &str, value: &str) {
    // SAFETY: httpd runs child_init before it makes the child's threads (MPMs' child_main), so nobody reads
    // the environment meanwhile.
    unsafe { std::env::set_var(name, value) };
}

/// Runs a program as the user that httpd's children run as, and gives what it wrote.
///
/// Privileges are dropped before the exec, so nothing that an administrator's configuration names is
/// ever run as root; no descriptor of httpd's reaches it.
///
/// # Errors
/// Those of starting it; `TimedOut` if it ran for longer than `limit` (it is killed then).
pub(crate) fn ask_as_server_user(program: &OsStr, arguments: &[OsString], limit: Duration) -> io::Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: geteuid cannot fail; ap_unixd_config was filled in when `User` and `Group` were read.
    unsafe {
        if libc::geteuid() == 0 {
            // With a user id set, Command empties the supplementary groups too (CommandExt::uid).
            command.gid(c::ap_unixd_config.group_id).uid(c::ap_unixd_config.user_id);
        }
        command.pre_exec(|| {
            // SAFETY-relevant: async-signal-safe, as code between fork and exec must be. A kernel without
            // close_range (before 5.11) keeps what APR and Rust have marked close-on-exec themselves.
            libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            Ok(())
        });
    }
    let mut child = command.spawn()?;
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("did not end within {} seconds", limit.as_secs()),
                ));
            }
            // What is asked for takes some 20 ms and writes less than a pipe holds.
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut stdout)?;
    }
    if let Some(mut pipe) = child.stderr.take() {
        pipe.read_to_end(&mut stderr)?;
    }
    Ok(Output { status, stdout, stderr })
}

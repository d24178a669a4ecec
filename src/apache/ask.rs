//! A program that httpd's parent asks something, as the user that its children run as.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::FromRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::bindings as c;

/// What a program answered.
pub(crate) struct Answer {
    pub(crate) status: ExitStatus,
    pub(crate) output: Vec<u8>,
    pub(crate) errors: Vec<u8>,
}

/// Most that is read of an answer, bytes.
const LONGEST_ANSWER: u64 = 64 << 10;

/// Runs a program as the user that httpd's children run as, and gives what it wrote.
///
/// Privileges are dropped before the exec, so nothing that an administrator's configuration names is
/// ever run as root; no descriptor of httpd's reaches it. What it writes goes into memory files and not
/// pipes, and its process group is killed in the end, so that nothing it leaves behind is waited for.
///
/// # Errors
/// Those of starting it; `TimedOut` if it ran for longer than `limit`.
pub(crate) fn ask_as_server_user(program: &OsStr, arguments: &[OsString], limit: Duration) -> io::Result<Answer> {
    let (mut output, mut errors) = (memory_file()?, memory_file()?);
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").stdin(Stdio::null());
    command.stdout(output.try_clone()?).stderr(errors.try_clone()?).process_group(0);
    // SAFETY: geteuid cannot fail; ap_unixd_config was filled in when `User` and `Group` were read. The
    // closure does what code between fork and exec may: one system call.
    unsafe {
        if libc::geteuid() == 0 {
            // With a user id set, Command empties the supplementary groups too (CommandExt::uid).
            command.gid(c::ap_unixd_config.group_id).uid(c::ap_unixd_config.user_id);
        }
        command.pre_exec(|| {
            // A kernel without close_range (before 5.11) keeps what APR and Rust have marked close-on-exec.
            libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            Ok(())
        });
    }
    let status = wait(command.spawn()?, limit)?;
    Ok(Answer { status, output: contents(&mut output)?, errors: contents(&mut errors)? })
}

fn wait(mut child: Child, limit: Duration) -> io::Result<ExitStatus> {
    let deadline = Instant::now() + limit;
    let result = loop {
        match child.try_wait()? {
            Some(status) => break Ok(status),
            None if Instant::now() > deadline => {
                child.kill()?;
                child.wait()?;
                let text = format!("did not end within {} seconds", limit.as_secs());
                break Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            // What is asked for takes some 20 ms.
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    // SAFETY: the group is the child's own (process_group above), and ends with what it left behind; that
    // there is nobody in it any more is the usual case.
    unsafe { libc::killpg(child.id() as i32, libc::SIGKILL) };
    result
}

fn memory_file() -> io::Result<File> {
    // SAFETY: memfd_create gives a new descriptor that nobody else owns, or -1.
    unsafe {
        let descriptor = libc::memfd_create(c"answer".as_ptr(), libc::MFD_CLOEXEC);
        if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(File::from_raw_fd(descriptor)) }
    }
}

fn contents(file: &mut File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.rewind()?;
    file.take(LONGEST_ANSWER).read_to_end(&mut text)?;
    Ok(text)
}

impl Answer {
    /// How the program ended, for an error text.
    pub(crate) fn ending(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(127), _) => {
                "exit status 127; a library that it needs was not found: ldconfig, or an rpath".to_owned()
            }
            (Some(code), _) => format!("exit status {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or(0)),
        }
    }
}

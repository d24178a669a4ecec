//! What the end of a worker means, in words, with what to look at: for the supervisor's lines and for those of httpd's
//! children. Pure.

use std::fmt::Write as _;

use nix::libc;

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this status.
    Exit(i32),
    /// By this signal, and whether there is a core file.
    Signal(i32, bool),
}

/// How a process ended: `exit status 3`, `signal SIGSEGV (core dumped)`.
pub fn describe(ending: Ending) -> String {
    match ending {
        Ending::Exit(status) => format!("exit status {status}"),
        Ending::Signal(signal, has_core) => {
            let mut text = match nix::sys::signal::Signal::try_from(signal) {
                Ok(name) => format!("signal {name}"),
                Err(_) => format!("signal {signal}"),
            };
            if has_core {
                text.push_str(" (core dumped)");
            }
            text
        }
    }
}

/// What may have caused a crash, and what to do.
pub fn remedy(ending: Ending, limits: Limits) -> String {
    let mut text = String::new();
    let _ = match ending {
        Ending::Signal(libc::SIGKILL, _) => write!(
            text,
            "perhaps the kernel's out-of-memory killer (look at the kernel's log: dmesg), or somebody's kill -9{}",
            if limits.cpu { ", or cpu-time-limit's hard limit" } else { "" }
        ),
        Ending::Signal(libc::SIGXCPU, _) => write!(text, "cpu-time-limit is used up"),
        Ending::Signal(libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGABRT, _) => write!(
            text,
            "a C extension of the application, or a stack that is too small (stack-size=); set PYTHONFAULTHANDLER=1 \
             to see where{}",
            if limits.memory { "; memory-limit may be too small" } else { "" }
        ),
        Ending::Signal(..) => write!(text, "somebody sent it that signal"),
        Ending::Exit(0) => write!(
            text,
            "the application called os._exit(), or a library it uses did, or it closed the process's channel to the \
             supervisor (os.closerange() with wrong numbers)"
        ),
        Ending::Exit(_) => write!(
            text,
            "the application called os._exit(), or a library it uses did{}",
            if limits.memory { "; memory-limit may be too small" } else { "" }
        ),
    };
    text
}

/// Which limits a worker had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `cpu-time-limit`.
    pub cpu: bool,
    /// `memory-limit` or `virtual-memory-limit`.
    pub memory: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_and_signals_are_told_apart() {
        assert_eq!(describe(Ending::Exit(3)), "exit status 3");
        assert_eq!(describe(Ending::Signal(libc::SIGSEGV, true)), "signal SIGSEGV (core dumped)");
        assert_eq!(describe(Ending::Signal(40, false)), "signal 40");
    }

    #[test]
    fn kill_names_the_out_of_memory_killer() {
        let text = remedy(Ending::Signal(libc::SIGKILL, false), Limits::default());
        assert!(text.contains("out-of-memory"), "{text}");
    }
}

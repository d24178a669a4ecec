//! What a step between fork and exec means that has failed, and what to do. Pure.

use gateway::Level;
use wire::control::Group;

use crate::codes;
use crate::os::spawn::{Failure, Step};
use crate::words::Show;

/// The level and the code of the line about it.
pub(crate) fn severity(failure: Failure) -> (Level, &'static str) {
    let code = match failure.step {
        Step::Priority => codes::PRIORITY,
        Step::CpuLimit => codes::CPU_LIMIT,
        Step::MemoryLimit => codes::MEMORY_LIMIT,
        Step::VirtualMemoryLimit => codes::VIRTUAL_MEMORY_LIMIT,
        Step::Chroot => codes::CHROOT,
        Step::Group => codes::GROUP,
        Step::SupplementaryGroups => codes::SUPPLEMENTARY_GROUPS,
        Step::User => codes::USER,
        Step::Directory | Step::UserDirectory => codes::DIRECTORY,
        Step::Exec => codes::EXEC,
        Step::Session | Step::DescriptorLimit | Step::Descriptors => codes::SET_UP,
    };
    (if failure.step.is_optional() { Level::Warning } else { Level::Critical }, code)
}

/// What failed, of what, and what to do.
pub(crate) fn explain(failure: Failure, group: &Group) -> String {
    let cause = failure.cause();
    let what = match failure.step {
        Step::Session => "cannot begin a session of its own".to_owned(),
        Step::Priority => format!("cannot set cpu-priority={}", group.cpu_priority),
        Step::CpuLimit => format!("cannot set cpu-time-limit={}", group.cpu_time_limit),
        Step::MemoryLimit => format!("cannot set memory-limit={}", group.memory_limit),
        Step::VirtualMemoryLimit => format!("cannot set virtual-memory-limit={}", group.virtual_memory_limit),
        Step::DescriptorLimit => "cannot set the limit of descriptors back".to_owned(),
        Step::Chroot => {
            let root = group.chroot.as_ref().map_or(&b""[..], |root| root);
            format!("cannot change the root directory to '{}'", Show(root))
        }
        Step::Group => format!("cannot set the group to {}", group.gid),
        Step::SupplementaryGroups => "cannot set the supplementary groups".to_owned(),
        Step::User => format!("cannot set the user to {}", group.uid),
        Step::Directory => format!("cannot enter home='{}'", Show(home(group))),
        Step::UserDirectory => {
            format!("cannot enter the user's home directory '{}', so it works in '/'; see home=", Show(home(group)))
        }
        Step::Descriptors => "cannot put its descriptors in place".to_owned(),
        Step::Exec => format!("cannot execute '{}'; see python-home= and python=", Show(&group.python)),
    };
    format!("{what}: {cause}{}", hint(failure, group))
}

fn home(group: &Group) -> &[u8] {
    group.directory.as_ref().or(group.user_home.as_ref()).map_or(&b"/"[..], |home| home)
}

fn hint(failure: Failure, group: &Group) -> String {
    let path = Show(&group.python);
    match (failure.step, failure.errno) {
        (Step::Directory, libc::EACCES) => {
            format!("; user {} has to be able to enter it (try: namei -l {})", group.uid, Show(home(group)))
        }
        (Step::Directory, _) if group.chroot.is_some() => "; it is looked for below chroot=".to_owned(),
        (Step::Directory, _) => "; make the directory, or name another one".to_owned(),
        (Step::Exec, libc::EACCES) => {
            format!("; user {} has to be able to reach and execute it (try: namei -l {path})", group.uid)
        }
        (Step::Exec, libc::ENOENT) if group.chroot.is_some() => "; it is looked for below chroot=".to_owned(),
        (Step::Exec, libc::ENOENT) => format!("; it, or the loader it names, is not there (try: file -L {path})"),
        (Step::Exec, libc::EAGAIN) => format!("; user {} has too many processes (RLIMIT_NPROC)", group.uid),
        (Step::Exec, libc::ENOMEM) => "; memory-limit or virtual-memory-limit may be too small".to_owned(),
        _ => String::new(),
    }
}

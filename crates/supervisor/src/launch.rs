//! What a worker is started with: descriptors, settings, environment, identity, limits.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::pipe2;
use wire::control::{Group, Own, Secrets, Text, ToWorker};
use wire::{Channel, Settings, SettingsWriter};

use crate::environment;
use crate::os::sockets::set_nonblocking;
use crate::os::spawn::{self, Limit, Plan};

/// What is the same for all workers.
#[derive(Debug)]
pub(crate) struct Site {
    /// `/dev/null`.
    pub(crate) null: OwnedFd,
    /// How many descriptors a worker may have.
    pub(crate) descriptors: Option<Limit>,
    /// The user of httpd's children.
    pub(crate) httpd_uid: u32,
}

/// One worker to be started.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) site: &'a Site,
    pub(crate) group: &'a Group,
    pub(crate) own: Own,
    pub(crate) listener: BorrowedFd<'a>,
    pub(crate) scoreboard: BorrowedFd<'a>,
    /// What httpd's scoreboard says, if the group may know.
    pub(crate) server: Option<BorrowedFd<'a>>,
}

/// A worker that has been started.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) pid: i32,
    pub(crate) channel: Channel,
    pub(crate) output: OwnedFd,
    pub(crate) report: OwnedFd,
}

/// Starts a worker.
///
/// # Errors
/// Those of fork(2), memfd_create(2), pipe2(2) and socketpair(2); `InvalidInput` for a string with a NUL.
pub(crate) fn launch(launch: &Launch<'_>) -> io::Result<Launched> {
    let settings = settings_file(launch)?;
    let (channel, theirs) = Channel::pair()?;
    set_nonblocking(&channel)?;
    channel.send(&secrets(launch.group)?, &[])?;
    let (output, print) = pipe2(OFlag::O_CLOEXEC)?;
    set_nonblocking(&output)?;
    let group = launch.group;
    let plan = Plan {
        program: text(&group.python)?,
        arguments: [&group.python].into_iter().chain(&group.arguments).map(text).collect::<io::Result<_>>()?,
        environment: environment::build(
            group,
            std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())),
        ),
        priority: group.cpu_priority,
        cpu: (group.cpu_time_limit > 0).then(|| {
            (group.cpu_time_limit, group.cpu_time_limit.saturating_add(1).saturating_add(group.shutdown_timeout))
        }),
        memory: (group.memory_limit > 0).then_some((group.memory_limit, group.memory_limit)),
        virtual_memory: (group.virtual_memory_limit > 0)
            .then_some((group.virtual_memory_limit, group.virtual_memory_limit)),
        descriptors: launch.site.descriptors,
        chroot: group.chroot.as_ref().map(text).transpose()?,
        uid: group.uid,
        gid: group.gid,
        groups: group.groups.clone(),
        directory: text(&directory(group, launch.site.httpd_uid))?,
        is_directory_required: group.is_directory_required,
        umask: group.umask,
        // The places of wire::control::descriptor, after the standard ones.
        places: [
            launch.site.null.as_fd(),
            print.as_fd(),
            print.as_fd(),
            theirs.as_fd(),
            launch.listener,
            launch.scoreboard,
            settings.as_fd(),
        ]
        .into_iter()
        .chain(launch.server)
        .collect(),
    };
    let (pid, report) = spawn::start(&plan)?;
    Ok(Launched { pid, channel, output, report })
}

/// `home=`; else the user's home, if it is a user of its own; else the root.
fn directory(group: &Group, httpd_uid: u32) -> Text {
    let home = group.user_home.as_ref().filter(|_| group.uid != httpd_uid);
    group.directory.as_ref().or(home).cloned().unwrap_or_else(|| "/".into())
}

fn text(bytes: &Text) -> io::Result<CString> {
    CString::new(&bytes[..]).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a setting has a NUL"))
}

/// What the settings do not hold: while the interpreter starts, other processes of its user can open its files, but no
/// socket.
fn secrets(group: &Group) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    let secrets = ToWorker::Secrets(Secrets { secret: group.secret, reply: group.reply });
    secrets.write(&mut message).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
    Ok(message)
}

fn settings_file(launch: &Launch<'_>) -> io::Result<File> {
    let mut block = Vec::new();
    let mut writer = SettingsWriter::begin(&mut block);
    let invalid = |error: wire::Error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
    for pair in Settings::parse(&launch.group.worker).map_err(invalid)?.pairs() {
        let (name, value) = pair.map_err(invalid)?;
        writer.set(name, value);
    }
    launch.own.put(&mut writer);
    writer.finish().map_err(invalid)?;
    let mut file = File::from(memfd_create(c"wsgi-settings", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&block)?;
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn worker_of_another_user_begins_in_that_users_home() {
        let group = Group { uid: 7, user_home: Some("/home/u".into()), ..sample::group() };
        assert_eq!(directory(&group, 33), "/home/u".into());
        assert_eq!(directory(&group, 7), "/".into());
        let group = Group { directory: Some("/srv".into()), ..group };
        assert_eq!(directory(&group, 33), "/srv".into());
    }
}

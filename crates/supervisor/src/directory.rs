//! The directory of the sockets: made, given its owner, swept of what dead predecessors left, removed.

use std::cell::Cell;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use wire::control::remove_sockets;

use crate::os::identity;

/// A directory for sockets; removed when nobody has it any more.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Another supervisor has it, or will.
    is_left: Cell<bool>,
}

impl Directory {
    /// Makes the directory, or takes over what a predecessor left, and sweeps those of httpds that are dead.
    /// `owner` (user and group) gets it to himself; without one it is ours and everybody may pass through.
    ///
    /// # Errors
    /// Those of mkdir(2), open(2), fchown(2) and fchmod(2); `PermissionDenied` if it is there and another user's.
    pub(crate) fn make(path: PathBuf, owner: Option<(u32, u32)>) -> io::Result<Directory> {
        let httpd = owner.map_or_else(identity::user, |(uid, _)| uid);
        sweep(&path, httpd);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let file = open(&path)?;
        let found = file.metadata()?.uid();
        if found != identity::user() && found != httpd {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("it belongs to user {found}")));
        }
        let directory = Directory { path, is_left: Cell::new(false) };
        if identity::is_root() {
            directory.give(owner)?;
        }
        Ok(directory)
    }

    /// Root only: to whom it belongs. Without an owner it is root's, and everybody may pass through.
    ///
    /// # Errors
    /// Those of open(2), fchown(2) and fchmod(2).
    pub(crate) fn give(&self, owner: Option<(u32, u32)>) -> io::Result<()> {
        let file = open(&self.path)?;
        let (uid, gid) = owner.unwrap_or((0, 0));
        fchown(&file, Some(uid), Some(gid))?;
        file.set_permissions(Permissions::from_mode(if owner.is_some() { 0o700 } else { 0o711 }))
    }

    /// Leaves it to another supervisor.
    pub(crate) fn leave(&self) {
        self.is_left.set(true);
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.is_left.get() {
            return;
        }
        // A predecessor that was killed may have had sockets that we had no use for. The directory is not ours to
        // remove once root's rights are given up: then httpd's parent does it.
        let _ = remove_sockets(&self.path).and_then(|()| fs::remove_dir(&self.path));
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)
}

/// Removes the directories of this name's httpds that no longer run: `<prefix>.<pid>`. They hold sockets only.
fn sweep(path: &Path, httpd: u32) {
    let (Some(parent), Some((prefix, own))) = (path.parent(), split(path)) else { return };
    let Ok(entries) = fs::read_dir(parent) else { return };
    for other in entries.flatten().map(|entry| entry.path()) {
        let is_dead = split(&other).is_some_and(|(name, pid)| name == prefix && pid != own && !identity::is_alive(pid));
        if is_dead {
            // Whatever stands in the way is met again by the next httpd.
            let _ = remove(&other, httpd);
        }
    }
}

fn remove(path: &Path, httpd: u32) -> io::Result<()> {
    let owner = open(path)?.metadata()?.uid();
    if owner != 0 && owner != identity::user() && owner != httpd {
        return Ok(());
    }
    remove_sockets(path)?;
    fs::remove_dir(path)
}

/// The name before the last dot, and the number after it.
fn split(path: &Path) -> Option<(&[u8], i32)> {
    let name = path.file_name()?.as_bytes();
    let dot = name.iter().rposition(|byte| *byte == b'.')?;
    let pid = std::str::from_utf8(&name[dot + 1..]).ok()?.parse().ok().filter(|pid| *pid > 0)?;
    Some((&name[..dot], pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_of_a_dead_httpd_is_swept_and_that_of_a_living_one_stays() {
        let place = std::env::temp_dir().join(format!("wsgi-sweep-{}", std::process::id()));
        let dead = place.join("wsgi.2147483647");
        let living = place.join(format!("wsgi.{}", std::os::unix::process::parent_id()));
        let other = place.join("other.2147483647");
        for directory in [&dead, &living, &other] {
            fs::create_dir_all(directory).expect("made");
            fs::write(directory.join("1.2.sock"), b"").expect("made");
        }
        let made = Directory::make(place.join(format!("wsgi.{}", std::process::id())), None).expect("made");
        assert!(!dead.exists() && living.exists() && other.exists());
        let path = made.path().to_owned();
        fs::write(path.join("1.0.sock"), b"").expect("a predecessor's");
        drop(made);
        assert!(!path.exists());
        fs::remove_dir_all(place).expect("removed");
    }

    #[test]
    fn name_without_a_number_is_no_httpds() {
        assert_eq!(split(Path::new("/run/wsgi.12")), Some((b"wsgi".as_slice(), 12)));
        assert_eq!(split(Path::new("/run/wsgi.x")), None);
        assert_eq!(split(Path::new("/run/wsgi")), None);
    }
}

//! The files of the socket directory: their names, and how whoever is the last takes them away.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Name of the socket of a seat, in the socket directory.
pub fn seat_socket(group: u32, seat: u32) -> String {
    format!("{group}.{seat}.sock")
}

/// Name of the socket of a group's desk, in the socket directory.
pub fn desk_socket(group: u32) -> String {
    format!("{group}.desk.sock")
}

/// Removes all sockets in a socket directory, whoever made them.
///
/// Whoever owns the directory may be less than who calls, so nothing outside it is touched, even if its name leads
/// elsewhere all of a sudden.
///
/// # Errors
/// Those of open(2), opendir(3) and of the first unlink(2) that fails.
pub fn remove_sockets(directory: &Path) -> io::Result<()> {
    let flags = (OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(directory)?;
    for entry in fs::read_dir(directory)?.flatten() {
        let name = entry.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "sock") {
            unlinkat(&opened, name.as_os_str(), UnlinkatFlags::NoRemoveDir)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_removed_and_nothing_else_and_not_through_a_link() {
        let place = std::env::temp_dir().join(format!("wsgi-sockets-{}", std::process::id()));
        let (directory, link) = (place.join("wsgi.1"), place.join("wsgi.2"));
        fs::create_dir_all(&directory).expect("made");
        std::os::unix::fs::symlink(&directory, &link).expect("made");
        for name in [&seat_socket(1, 0), &desk_socket(1), "other.txt"] {
            fs::write(directory.join(name), b"").expect("made");
        }
        assert!(remove_sockets(&link).is_err() && directory.join("1.0.sock").exists());
        remove_sockets(&directory).expect("removed");
        let left: Vec<_> = fs::read_dir(&directory).expect("there").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["other.txt"]);
        fs::remove_dir_all(place).expect("removed");
    }
}

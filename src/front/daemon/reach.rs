//! Whether the directory for the sockets can be made, and httpd's children can get to it: looked at without making it, for
//! `httpd -t` and at start.

use std::fs::{Metadata, metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Who is to get there.
pub(super) struct Visitor {
    pub(super) uid: u32,
    /// His group and his supplementary groups.
    pub(super) groups: Vec<u32>,
}

/// What is in the way of the sockets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// A directory is not there.
    Missing(PathBuf),
    /// It is something else.
    NoDirectory(PathBuf),
    /// The visitor cannot pass through a directory.
    Closed(PathBuf),
}

impl Obstacle {
    /// The first thing in the way of what is to be made below `prefix`'s directory, as far as that can be seen.
    pub(super) fn before(prefix: &Path, visitor: &Visitor) -> Option<Obstacle> {
        let mut directories: Vec<&Path> = prefix.ancestors().skip(1).collect();
        directories.reverse();
        directories.into_iter().find_map(|directory| {
            let place = || directory.to_owned();
            match metadata(directory) {
                Ok(found) if !found.is_dir() => Some(Self::NoDirectory(place())),
                Ok(found) if !visitor.may_enter(&found) => Some(Self::Closed(place())),
                Err(error) if error.kind() == ErrorKind::NotFound => Some(Self::Missing(place())),
                // Who runs the test need not be able to look everywhere.
                Ok(_) | Err(_) => None,
            }
        })
    }

    /// Whether the supervisor says so itself, since it cannot make its directory.
    pub(super) fn is_said_at_start(&self) -> bool {
        !matches!(self, Self::Closed(_))
    }

    /// What is wrong, and what to do.
    pub(super) fn text(&self, visitor: &Visitor) -> String {
        match self {
            Self::Missing(path) => {
                let path = path.display();
                format!("{path} does not exist: make it (mkdir {path}), or name a directory that is there")
            }
            Self::NoDirectory(path) => format!("{} is no directory: name one", path.display()),
            Self::Closed(path) => {
                let (path, uid) = (path.display(), visitor.uid);
                format!(
                    "user {uid}, as whom httpd's children run, cannot pass through {path}: let others pass (chmod o+x {path}), \
                     or name a directory that all can reach, such as one in /run"
                )
            }
        }
    }
}

impl Visitor {
    /// As the mode says; access control lists are not looked at, which mostly give more.
    fn may_enter(&self, found: &Metadata) -> bool {
        let bit = if found.uid() == self.uid {
            0o100
        } else if self.groups.contains(&found.gid()) {
            0o010
        } else {
            0o001
        };
        self.uid == 0 || found.mode() & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::front::daemon::scratch::Scratch;

    fn visitor(uid: u32, groups: &[u32]) -> Visitor {
        Visitor { uid, groups: groups.to_vec() }
    }

    #[test]
    fn first_directory_that_is_not_there_or_is_none_is_named() {
        let scratch = Scratch::new();
        let us = visitor(metadata(scratch.path()).expect("just made").uid(), &[]);
        let at = |name: &str| Obstacle::before(&scratch.path().join(name), &us);
        assert_eq!(at("wsgi"), None);
        assert_eq!(at("one/two/wsgi"), Some(Obstacle::Missing(scratch.path().join("one"))));
        write(scratch.path().join("file"), "").expect("written");
        assert_eq!(at("file/wsgi"), Some(Obstacle::NoDirectory(scratch.path().join("file"))));
    }

    #[test]
    fn directory_is_closed_to_whom_its_mode_does_not_let_pass() {
        let scratch = Scratch::new();
        let directory = scratch.path().join("place");
        create_dir(&directory).expect("made");
        set_permissions(scratch.path(), Permissions::from_mode(0o755)).expect("ours");
        let found = metadata(&directory).expect("just made");
        let (owner, group) = (found.uid(), found.gid());
        let closed = |mode: u32, visitor: &Visitor| {
            set_permissions(&directory, Permissions::from_mode(mode)).expect("ours");
            Obstacle::before(&directory.join("wsgi"), visitor) == Some(Obstacle::Closed(directory.clone()))
        };
        let (other, member) = (visitor(owner + 7, &[]), visitor(owner + 7, &[group]));
        assert!(closed(0o700, &other) && closed(0o750, &other) && !closed(0o711, &other));
        assert!(closed(0o701, &member) && !closed(0o710, &member));
        assert!(!closed(0o700, &visitor(owner, &[])) && !closed(0o700, &visitor(0, &[])));
        set_permissions(&directory, Permissions::from_mode(0o755)).expect("ours");
    }
}

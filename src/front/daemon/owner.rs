//! `script-user` and `script-group`: whose a script has to be.

use std::ffi::OsStr;
use std::fs::{Metadata, metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::codes;

/// Who must own a script and its directory, so that nobody else can have put it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScriptOwner {
    /// This user; nobody else may write.
    User(u32),
    /// This group; others may not write.
    Group(u32),
}

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

impl ScriptOwner {
    /// The code of lines about scripts that are not like this.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::User(_) => codes::SCRIPT_USER,
            Self::Group(_) => codes::SCRIPT_GROUP,
        }
    }

    /// Checks a script and its directory.
    ///
    /// # Errors
    /// What is wrong, for the log.
    pub(super) fn check(self, script: &[u8]) -> Result<(), String> {
        let script = Path::new(OsStr::from_bytes(script));
        self.check_one(script)?;
        script.parent().map_or(Ok(()), |directory| self.check_one(directory))
    }

    fn check_one(self, path: &Path) -> Result<(), String> {
        let found = metadata(path).map_err(|err| format!("cannot look at '{}': {err}", path.display()))?;
        self.fault(&found).map_or(Ok(()), |fault| Err(format!("'{}' {fault}", path.display())))
    }

    fn fault(self, found: &Metadata) -> Option<String> {
        match self {
            Self::User(user) if found.uid() != user => {
                return Some(format!("belongs to user {} and not to script-user {user}", found.uid()));
            }
            Self::Group(group) if found.gid() != group => {
                return Some(format!("belongs to group {} and not to script-group {group}", found.gid()));
            }
            Self::User(_) if found.mode() & GROUP_WRITES != 0 => return Some("can be written by its group".to_owned()),
            _ => {}
        }
        (found.mode() & OTHERS_WRITE != 0).then(|| "can be written by everybody".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;
    use crate::front::daemon::scratch::Scratch;

    fn script(scratch: &Scratch, directory_mode: u32, mode: u32) -> PathBuf {
        let script = scratch.path().join("app.wsgi");
        write(&script, "").expect("the scratch directory is writable");
        set_permissions(&script, Permissions::from_mode(mode)).expect("it is ours");
        set_permissions(scratch.path(), Permissions::from_mode(directory_mode)).expect("it is ours");
        script
    }

    fn check(owner: ScriptOwner, script: &Path) -> Result<(), String> {
        owner.check(script.as_os_str().as_bytes())
    }

    #[test]
    fn a_script_must_be_its_owners_and_writable_by_nobody_else() {
        let scratch = Scratch::new();
        let good = script(&scratch, 0o755, 0o644);
        let found = metadata(&good).expect("just written");
        assert_eq!(check(ScriptOwner::User(found.uid()), &good), Ok(()));
        assert_eq!(check(ScriptOwner::Group(found.gid()), &good), Ok(()));
        assert!(check(ScriptOwner::User(found.uid() + 1), &good).is_err());
        assert!(check(ScriptOwner::Group(found.gid() + 1), &good).is_err());
        for (directory_mode, mode) in [(0o755, 0o664), (0o775, 0o644)] {
            let loose = script(&scratch, directory_mode, mode);
            assert!(check(ScriptOwner::User(found.uid()), &loose).is_err(), "{directory_mode:o} {mode:o}");
            assert_eq!(check(ScriptOwner::Group(found.gid()), &loose), Ok(()));
        }
        for (directory_mode, mode) in [(0o755, 0o646), (0o757, 0o644)] {
            let open = script(&scratch, directory_mode, mode);
            assert!(check(ScriptOwner::User(found.uid()), &open).is_err(), "{directory_mode:o} {mode:o}");
            assert!(check(ScriptOwner::Group(found.gid()), &open).is_err(), "{directory_mode:o} {mode:o}");
        }
    }

    #[test]
    fn a_script_that_cannot_be_looked_at_is_refused() {
        assert!(check(ScriptOwner::User(0), Path::new("/nonexistent/app.wsgi")).is_err());
    }
}

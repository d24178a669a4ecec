//! The system's users and groups.

use std::ffi::{CStr, CString, c_char, c_int};

use crate::config::{Accounts, User};

/// What the C library knows of users and groups, by whatever `nsswitch.conf` names.
pub(crate) struct SystemAccounts;

/// Most bytes of an entry, with its list of members.
const LONGEST_ENTRY: usize = 1 << 20;

impl Accounts for SystemAccounts {
    fn user_named(&self, name: &[u8]) -> Option<User> {
        let name = CString::new(name).ok()?;
        // SAFETY: getpwnam_r reads the name; for the rest see `user`.
        user(|entry, buffer, found| unsafe {
            libc::getpwnam_r(name.as_ptr(), entry, buffer.as_mut_ptr(), buffer.len(), found)
        })
    }

    fn user_numbered(&self, uid: u32) -> Option<User> {
        // SAFETY: see `user`.
        user(|entry, buffer, found| unsafe { libc::getpwuid_r(uid, entry, buffer.as_mut_ptr(), buffer.len(), found) })
    }

    fn group_named(&self, name: &[u8]) -> Option<u32> {
        let name = CString::new(name).ok()?;
        looked_up(|buffer| {
            let mut found = std::ptr::null_mut();
            // SAFETY: getgrnam_r reads the name, and writes the entry, what belongs to it into the buffer, and a pointer
            // to the entry, or null if there is none (getgrnam_r(3)).
            unsafe {
                let mut entry: libc::group = std::mem::zeroed();
                let error = libc::getgrnam_r(name.as_ptr(), &mut entry, buffer.as_mut_ptr(), buffer.len(), &mut found);
                (error, (!found.is_null()).then_some(entry.gr_gid))
            }
        })
    }

    fn groups_of(&self, user: &[u8], gid: u32) -> Vec<u32> {
        let Ok(user) = CString::new(user) else { return vec![gid] };
        let mut groups = vec![0; self.group_limit().max(1)];
        let mut count = groups.len() as c_int;
        // SAFETY: getgrouplist writes at most `count` ids, and into `count` how many there are (getgrouplist(3)).
        unsafe { libc::getgrouplist(user.as_ptr(), gid, groups.as_mut_ptr(), &mut count) };
        groups.truncate(usize::try_from(count).unwrap_or(0));
        groups
    }

    fn own_ids(&self) -> (u32, u32) {
        // SAFETY: neither can fail (geteuid(2)).
        unsafe { (libc::geteuid(), libc::getegid()) }
    }

    fn group_limit(&self) -> usize {
        // SAFETY: sysconf only reads; -1 is no limit, of which there is always one on Linux (sysconf(3)).
        usize::try_from(unsafe { libc::sysconf(libc::_SC_NGROUPS_MAX) }).unwrap_or(65_536)
    }
}

/// The user that `get` finds; it is one of the two reentrant functions of getpwnam_r(3), called with what it is given.
fn user(get: impl Fn(*mut libc::passwd, &mut [c_char], *mut *mut libc::passwd) -> c_int) -> Option<User> {
    looked_up(|buffer| {
        let mut found = std::ptr::null_mut();
        // SAFETY: the function writes the entry, its strings into the buffer, and a pointer to the entry, or null if
        // there is none. Of an entry that was found the strings are there and end with NUL (getpwnam_r(3)); they are
        // copied before the buffer goes.
        unsafe {
            let mut entry: libc::passwd = std::mem::zeroed();
            let error = get(&mut entry, buffer, &mut found);
            let copied = (!found.is_null()).then(|| User {
                name: CStr::from_ptr(entry.pw_name).to_bytes().into(),
                uid: entry.pw_uid,
                gid: entry.pw_gid,
                home: CStr::from_ptr(entry.pw_dir).to_bytes().into(),
            });
            (error, copied)
        }
    })
}

/// Looks up with a larger and larger buffer, until an entry fits in.
fn looked_up<T>(mut get: impl FnMut(&mut [c_char]) -> (c_int, Option<T>)) -> Option<T> {
    let mut buffer = vec![0; 1024];
    loop {
        match get(&mut buffer) {
            (libc::ERANGE, _) if buffer.len() < LONGEST_ENTRY => buffer.resize(buffer.len() * 4, 0),
            // An error of the look-up is no entry: who asks can do no more than say that it is not known.
            (_, found) => return found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_by_name_and_number() {
        let root = SystemAccounts.user_named(b"root").expect("every system has one");
        assert_eq!((root.uid, &*root.name), (0, &b"root"[..]));
        assert!(!root.home.is_empty());
        assert_eq!(SystemAccounts.user_numbered(0), Some(root));
        assert_eq!(SystemAccounts.group_named(b"root"), Some(0));
    }

    #[test]
    fn who_is_not_known_is_none() {
        assert_eq!(SystemAccounts.user_named(b"no such user"), None);
        assert_eq!(SystemAccounts.user_named(b"with\0nul"), None);
        assert_eq!(SystemAccounts.user_numbered(u32::MAX - 7), None);
        assert_eq!(SystemAccounts.group_named(b"no such group"), None);
    }

    #[test]
    fn the_groups_of_a_user_include_the_one_that_is_given() {
        assert!(SystemAccounts.groups_of(b"root", 12_345).contains(&12_345));
        assert!(SystemAccounts.group_limit() > 16);
    }
}

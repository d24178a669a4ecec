//! Users and groups of the system, as far as directives need to know them; the system itself is handed in.

use super::written::Text;

/// An entry of the system's list of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: Text,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory.
    pub home: Text,
}

/// The system's users and groups, and what this process may do with them.
pub trait Accounts {
    /// The user of this name.
    fn user_named(&self, name: &[u8]) -> Option<User>;
    /// The user with this id.
    fn user_numbered(&self, uid: u32) -> Option<User>;
    /// The id of the group of this name.
    fn group_named(&self, name: &[u8]) -> Option<u32>;
    /// Every group that the user is in, and `gid` (`initgroups(3)`).
    fn groups_of(&self, user: &[u8], gid: u32) -> Vec<u32>;
    /// The process's own effective user and group.
    fn own_ids(&self) -> (u32, u32);
    /// Most supplementary groups that a process can have.
    fn group_limit(&self) -> usize;

    /// Whether the process may take any user's rights.
    fn is_root(&self) -> bool {
        self.own_ids().0 == 0
    }
}

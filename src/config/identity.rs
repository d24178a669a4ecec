//! With which rights, and where, the processes of a group run.

use super::accounts::{Accounts, User};
use super::daemon::Daemon;
use super::written::Text;

/// The rights that the processes of a group run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// All supplementary groups; empty if httpd was not started as root and can set none.
    pub groups: Vec<u32>,
    /// Name of the user, if the system knows it.
    pub user_name: Option<Text>,
    /// Home directory of the user, if the system knows it.
    pub user_home: Option<Text>,
}

impl Daemon {
    /// The rights of the group's processes. `httpd` are the ids of `User` and `Group`.
    ///
    /// Only root can give processes another user, so if httpd was started as somebody else, they run as that.
    pub fn identity(&self, httpd: (u32, u32), accounts: &dyn Accounts) -> Identity {
        if !accounts.is_root() {
            let (uid, gid) = accounts.own_ids();
            return Identity { groups: Vec::new(), ..Identity::of(uid, gid, accounts.user_numbered(uid)) };
        }
        let gid = self.gid.unwrap_or(httpd.1);
        let user = self.user.clone().or_else(|| accounts.user_numbered(httpd.0));
        let groups = match (&self.supplementary_groups, &user) {
            (Some(groups), _) => std::iter::once(gid).chain(groups.iter().copied()).collect(),
            (None, Some(user)) => accounts.groups_of(&user.name, gid),
            (None, None) => vec![gid],
        };
        let uid = self.user.as_ref().map_or(httpd.0, |user| user.uid);
        Identity { groups, ..Identity::of(uid, gid, user) }
    }

    /// The working directory of processes with these rights, if they do not keep httpd's. `httpd_uid` is the user of
    /// httpd's children.
    pub fn directory(&self, identity: &Identity, httpd_uid: u32) -> Option<Text> {
        let of_user = || identity.user_home.clone().filter(|_| identity.uid != httpd_uid);
        self.home.clone().or_else(of_user)
    }
}

impl Identity {
    fn of(uid: u32, gid: u32, user: Option<User>) -> Identity {
        let (user_name, user_home) = user.map(|user| (user.name, user.home)).unzip();
        Identity { uid, gid, groups: Vec::new(), user_name, user_home }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{System, server};
    use super::*;

    const HTTPD: (u32, u32) = (33, 34);

    fn daemon(options: &str) -> Daemon {
        (*server(&[&format!("WSGIDaemonProcess d {options}")]).daemons[0]).clone()
    }

    fn identity(options: &str) -> Identity {
        daemon(options).identity(HTTPD, &System::ROOT)
    }

    #[test]
    fn processes_run_as_httpds_user_unless_the_group_has_its_own() {
        let own = identity("");
        assert_eq!((own.uid, own.gid, own.groups), (33, 34, vec![34]));
        assert_eq!((own.user_name.as_deref(), own.user_home.as_deref()), (Some(&b"www"[..]), Some(&b"/var/www"[..])));
        let other = identity("user=web group=staff");
        assert_eq!((other.uid, other.gid, other.groups), (30, 50, vec![50, 32]));
        assert_eq!(other.user_home.as_deref(), Some(&b"/srv/web"[..]));
    }

    #[test]
    fn a_user_alone_keeps_httpds_group_and_not_his_own() {
        assert_eq!(identity("user=web").gid, 34);
    }

    #[test]
    fn supplementary_groups_replace_the_users() {
        assert_eq!(identity("user=web group=staff supplementary-groups=more,#9").groups, [50, 51, 9]);
        assert_eq!(identity("user=web supplementary-groups=").groups, [34]);
    }

    #[test]
    fn an_httpd_user_without_an_entry_has_neither_name_nor_home() {
        let identity = daemon("").identity((77, 78), &System::ROOT);
        assert_eq!((identity.uid, identity.gid, identity.groups), (77, 78, vec![78]));
        assert_eq!((identity.user_name, identity.user_home), (None, None));
    }

    #[test]
    fn without_root_everything_runs_as_who_started_httpd() {
        let identity = daemon("user=www group=staff").identity(HTTPD, &System::WEB);
        assert_eq!((identity.uid, identity.gid), (30, 31));
        assert!(identity.groups.is_empty());
        assert_eq!(identity.user_name.as_deref(), Some(&b"web"[..]));
    }

    #[test]
    fn the_working_directory_is_home_or_that_of_a_user_who_is_not_httpds() {
        let directory = |options| {
            let daemon = daemon(options);
            daemon.directory(&daemon.identity(HTTPD, &System::ROOT), HTTPD.0)
        };
        assert_eq!(directory(""), None);
        assert_eq!(directory("user=www"), None);
        assert_eq!(directory("user=web").as_deref(), Some(&b"/srv/web"[..]));
        assert_eq!(directory("user=web home=/srv/site").as_deref(), Some(&b"/srv/site"[..]));
    }
}

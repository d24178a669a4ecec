//! Configurations in small, for the tests of this room.

use std::sync::Arc;

use super::directive::{DIRECTIVES, Place};
use super::interpreters;
use super::matching::Groups;
use super::removed::REMOVED;
use super::{Accounts, DirectoryWritten, GroupNames, Line, Pattern, Refusal, ServerWritten, User};

/// What a server says in these lines.
pub(super) fn server(lines: &[&str]) -> ServerWritten {
    let mut server = ServerWritten::default();
    for line in lines {
        apply(line, &mut server, None).expect(line);
    }
    server
}

/// What a section says in these lines.
pub(super) fn section(lines: &[&str]) -> DirectoryWritten {
    let mut section = DirectoryWritten::default();
    for line in lines {
        apply(line, &mut ServerWritten::default(), Some(&mut section)).expect(line);
    }
    section
}

/// The text with which a line of the main server is refused.
pub(super) fn refusal(line: &str) -> String {
    apply(line, &mut ServerWritten::default(), None).expect_err(line).to_string()
}

fn apply(line: &str, server: &mut ServerWritten, directory: Option<&mut DirectoryWritten>) -> Result<(), Refusal> {
    apply_as(line, server, directory, &mut GroupNames::default(), &System::ROOT)
}

/// Applies a line that may depend on what was defined before, and on who httpd is.
pub(super) fn apply_as(
    line: &str,
    server: &mut ServerWritten,
    directory: Option<&mut DirectoryWritten>,
    groups: &mut GroupNames,
    accounts: &dyn Accounts,
) -> Result<(), Refusal> {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    if name.starts_with("</") {
        interpreters::close(&mut server.python);
        return Ok(());
    }
    // httpd takes the bracket off a section without arguments, and gives it as one.
    let (name, rest) = name.strip_suffix('>').map_or((name, rest), |name| (name, ">"));
    let directive =
        DIRECTIVES.iter().chain(REMOVED).find(|row| row.name.to_bytes() == name.as_bytes()).expect("a directive");
    let line = Some(Line { directive: name.to_owned(), file: "httpd.conf".to_owned(), number: 7 });
    let mut place = Place { server, directory, compile: &compile, resolve: &resolve, accounts, groups, line };
    directive.read(&mut place, rest.as_bytes())
}

fn resolve(path: &[u8]) -> Option<Vec<u8>> {
    match path {
        b"impossible" => None,
        _ if path.starts_with(b"/") => Some(path.to_vec()),
        _ => Some([b"/etc/httpd/", path].concat()),
    }
}

/// A system with the users `root`, `web` (30, home /srv/web, also in the group 32) and `www` (33), and the groups `web`
/// (31), `staff` (50) and `more` (51).
pub(super) struct System {
    own_uid: u32,
}

impl System {
    pub(super) const ROOT: System = System { own_uid: 0 };
    pub(super) const WEB: System = System { own_uid: 30 };
}

const USERS: [(&str, u32, u32, &str); 3] =
    [("root", 0, 0, "/root"), ("web", 30, 31, "/srv/web"), ("www", 33, 33, "/var/www")];

impl Accounts for System {
    fn user_named(&self, name: &[u8]) -> Option<User> {
        let (name, uid, gid, home) = USERS.into_iter().find(|user| user.0.as_bytes() == name)?;
        Some(User { name: name.as_bytes().into(), uid, gid, home: home.as_bytes().into() })
    }

    fn user_numbered(&self, uid: u32) -> Option<User> {
        self.user_named(USERS.into_iter().find(|user| user.1 == uid)?.0.as_bytes())
    }

    fn group_named(&self, name: &[u8]) -> Option<u32> {
        Some(match name {
            b"web" => 31,
            b"staff" => 50,
            b"more" => 51,
            _ => return None,
        })
    }

    fn groups_of(&self, user: &[u8], gid: u32) -> Vec<u32> {
        if user == b"web" { vec![gid, 32] } else { vec![gid] }
    }

    fn own_ids(&self) -> (u32, u32) {
        (self.own_uid, self.own_uid + 1)
    }

    fn group_limit(&self) -> usize {
        3
    }
}

/// Stands for httpd's regular expressions: knows the few that the tests use.
struct Known(Find);

type Find = fn(&str) -> Option<Vec<(usize, usize)>>;

impl Pattern for Known {
    fn find(&self, subject: &[u8], groups: &mut Groups) -> bool {
        let found = std::str::from_utf8(subject).ok().and_then(self.0);
        for (group, span) in groups.iter_mut().zip(found.iter().flatten()) {
            *group = Some(*span);
        }
        found.is_some()
    }
}

fn compile(source: &[u8]) -> Option<Arc<dyn Pattern>> {
    let known = match source {
        b"^/m/([^/]+)" => Known(|uri| {
            let name = uri.strip_prefix("/m/")?.split('/').next()?;
            let end = 3 + name.len();
            (!name.is_empty()).then(|| vec![(0, end), (3, end)])
        }),
        b"^/(adm|fil)" => Known(|uri| {
            let is_found = uri.starts_with("/adm") || uri.starts_with("/fil");
            is_found.then(|| vec![(0, 4), (1, 4)])
        }),
        b"mid" => Known(|uri| uri.find("mid").map(|start| vec![(start, start + 3)])),
        b"^/" => Known(|uri| uri.starts_with('/').then(|| vec![(0, 1)])),
        b"^" => Known(|_| Some(vec![(0, 0)])),
        _ => return None,
    };
    Some(Arc::new(known))
}

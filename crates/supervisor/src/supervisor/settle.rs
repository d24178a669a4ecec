//! A configuration is put into force.

use std::fs::File;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use gateway::Level;
use wire::control::{Begin, Settled, Text};

use super::Supervisor;
use crate::codes;
use crate::configuration::{Configuration, Entry};
use crate::directory::Directory;
use crate::group::GroupState;
use crate::launch::Site;
use crate::log::Log;
use crate::os::identity;
use crate::os::sockets::path;
use crate::terms::Terms;
use crate::words::Show;

/// Why no group at all can be served.
struct Obstacle {
    code: &'static str,
    text: String,
}

impl Supervisor {
    /// Puts a configuration into force.
    pub(super) fn configure(&mut self, configuration: Configuration, now: Instant) -> Settled {
        let groups = configuration.common_groups();
        if self.lacks_root(&configuration.begin, groups.is_none()) {
            self.leave(now);
            return Settled { problems: Vec::new(), is_root_missing: true };
        }
        let Configuration { begin, log, entries, refused } = configuration;
        self.log = Log::new(log, begin.syslog.as_deref(), Level::Notice).replaces(&self.log);
        let problems = match self.prepare(&begin, groups) {
            Ok((directory, site)) => self.replace(entries, &directory, &site, now),
            Err(obstacle) => {
                self.log.problem(Level::Critical, obstacle.code, format_args!("{}", obstacle.text));
                entries.iter().map(|entry| (entry.group.name.clone(), obstacle.text.clone())).collect()
            }
        };
        let problems = problems.iter().map(|(name, text)| format!("{}: {text}", Show(name)));
        let problems = refused.into_iter().chain(problems).map(|problem| Text(problem.into_bytes())).collect();
        Settled { problems, is_root_missing: false }
    }

    /// Whether root's rights were there once, and would be needed now: by a group, for another user, or for another
    /// directory.
    fn lacks_root(&self, begin: &Begin, is_needed: bool) -> bool {
        let moves = self.directory.as_ref().is_some_and(|directory| directory.path() != path(&begin.socket_directory));
        self.had_root && !identity::is_root() && (is_needed || moves || begin.httpd_uid != identity::user())
    }

    /// Makes room for a supervisor that has root's rights: nobody finds the sockets any more, and the workers end when
    /// their requests have. Their limits are kept until then.
    fn leave(&mut self, now: Instant) {
        if std::mem::replace(&mut self.is_leaving, true) {
            return;
        }
        self.log.notice(format_args!(
            "the new configuration needs root's rights (user=, group=, supplementary-groups=, chroot=, cpu-priority= or \
             socket-user= of a group), which this supervisor has given up: another one takes its place and replaces the \
             processes of all groups, also of unchanged ones; requests that run are finished"
        ));
        if let Some(directory) = &self.directory {
            directory.leave();
        }
        for group in &mut self.groups {
            group.hand_over(now);
        }
    }

    /// Makes the directory, and gives root's rights up if that is possible: then these are the groups to keep.
    fn prepare(&mut self, begin: &Begin, groups: Option<Vec<u32>>) -> Result<(Rc<Directory>, Rc<Site>), Obstacle> {
        let Begin { httpd_uid, httpd_gid, .. } = *begin;
        let owner = groups.is_some().then_some((httpd_uid, httpd_gid));
        let directory = self.enter_directory(&begin.socket_directory, owner).map_err(|error| Obstacle {
            code: codes::SOCKET_DIRECTORY,
            text: format!(
                "the socket directory {} cannot be used: {error}; {}",
                Show(&begin.socket_directory),
                remedy(&error, &begin.socket_directory)
            ),
        })?;
        if let Some(groups) = groups.filter(|_| identity::is_root() && httpd_uid != 0) {
            identity::become_user(httpd_uid, httpd_gid, &groups).map_err(|error| Obstacle {
                code: codes::USER,
                text: format!("the supervisor cannot become user {httpd_uid}: {error}"),
            })?;
            identity::hide_memory();
        }
        let site = self.site(httpd_uid).map_err(|error| Obstacle {
            code: codes::SET_UP,
            text: format!("the supervisor cannot open /dev/null: {error}"),
        })?;
        Ok((directory, site))
    }

    /// Has each group take its new settings; gives those that cannot be served, and why.
    fn replace(
        &mut self,
        entries: Vec<Entry>,
        directory: &Rc<Directory>,
        site: &Rc<Site>,
        now: Instant,
    ) -> Vec<(Text, String)> {
        let kept: Vec<_> = entries.iter().map(|entry| entry.group.id).collect();
        for group in self.groups.iter_mut().filter(|group| !kept.contains(&group.terms.group.id)) {
            group.remove(now);
        }
        for entry in entries {
            let terms = Terms {
                group: Rc::new(entry.group),
                board: Rc::new(entry.board),
                server: entry.server.map(Rc::new),
                directory: directory.clone(),
                site: site.clone(),
            };
            match self.groups.iter_mut().find(|group| group.terms.group.id == terms.group.id) {
                Some(group) => group.adopt(terms, entry.log, now),
                None => self.groups.push(GroupState::new(terms, entry.log, now)),
            }
        }
        let name = |group: &GroupState| group.terms.group.name.clone();
        self.groups.iter().filter_map(|group| Some((name(group), group.problem()?.text.clone()))).collect()
    }

    /// The directory of the sockets: the one that is in use already, if it has that name.
    fn enter_directory(&mut self, name: &Text, owner: Option<(u32, u32)>) -> io::Result<Rc<Directory>> {
        if let Some(directory) = self.directory.as_ref().filter(|directory| directory.path() == path(name)) {
            if identity::is_root() {
                directory.give(owner)?;
            }
            return Ok(directory.clone());
        }
        let directory = Rc::new(Directory::make(path(name).to_owned(), owner)?);
        self.directory = Some(directory.clone());
        Ok(directory)
    }

    fn site(&self, httpd_uid: u32) -> io::Result<Rc<Site>> {
        let null = File::open("/dev/null")?;
        Ok(Rc::new(Site { null: null.into(), descriptors: self.descriptors, httpd_uid }))
    }
}

/// What to do about a directory that cannot be made or used.
fn remedy(error: &io::Error, directory: &Text) -> String {
    let parent = path(directory).parent().unwrap_or(Path::new("/")).display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => format!(
            "{parent} has to be a directory that is there: make it (mkdir {parent}), or set WSGISocketPrefix to a path in \
             another one, such as /run/wsgi"
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::ReadOnlyFilesystem => {
            "set WSGISocketPrefix to a path in a file system that can be written to, such as /run/wsgi".to_owned()
        }
        _ if identity::is_root() => {
            "set WSGISocketPrefix to a path in a directory that only root can write to, such as /run/wsgi".to_owned()
        }
        _ => {
            let user = identity::user();
            format!(
                "set WSGISocketPrefix to a path in a directory that user {user}, who has started httpd, can write to"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedy_for_a_directory_that_is_not_there_is_to_make_it() {
        let remedy = |kind: io::ErrorKind| remedy(&kind.into(), &"/run/nowhere/wsgi.1".into());
        assert!(remedy(io::ErrorKind::NotFound).contains("mkdir /run/nowhere"));
        assert!(!remedy(io::ErrorKind::PermissionDenied).contains("mkdir"));
    }
}

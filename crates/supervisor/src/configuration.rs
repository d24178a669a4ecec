//! A configuration as it comes from httpd's parent, message by message.

use std::os::fd::OwnedFd;

use wire::control::{Begin, Group, ToSupervisor};

use crate::log::Log;
use crate::seat::Board;

/// A group with what came beside it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) group: Group,
    pub(crate) board: Board,
    /// What httpd's scoreboard says, for workers.
    pub(crate) server: Option<OwnedFd>,
    pub(crate) log: Log,
}

/// A whole configuration.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) begin: Begin,
    pub(crate) log: Option<OwnedFd>,
    pub(crate) entries: Vec<Entry>,
    /// Groups that could not be taken: the name, a colon, and why.
    pub(crate) refused: Vec<String>,
}

/// A configuration on its way.
#[derive(Debug, Default)]
pub(crate) struct Incoming(Option<Configuration>);

impl Incoming {
    /// Takes a message; gives the configuration that it completes.
    ///
    /// # Errors
    /// What is wrong with it, in words; the configuration that was on its way is dropped.
    pub(crate) fn take(
        &mut self,
        message: ToSupervisor,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Option<Configuration>, String> {
        let mut descriptors = descriptors.into_iter();
        match message {
            ToSupervisor::Begin(begin) => {
                let log = descriptors.next();
                self.0 = Some(Configuration { begin, log, entries: Vec::new(), refused: Vec::new() });
                Ok(None)
            }
            ToSupervisor::Group(group) => {
                let configuration = self.0.as_mut().ok_or("a group before the beginning of a configuration")?;
                let board = descriptors.next().ok_or("a group without its scoreboard")?;
                let server = if group.has_server_board { descriptors.next() } else { None };
                let log = Log::new(descriptors.next(), group.syslog.as_deref(), group.log_level);
                match Board::new(board) {
                    Ok(board) => configuration.entries.push(Entry { group, board, server, log }),
                    Err(error) => {
                        let name = String::from_utf8_lossy(&group.name).into_owned();
                        configuration.refused.push(format!("{name}: its scoreboard cannot be mapped: {error}"));
                    }
                }
                Ok(None)
            }
            ToSupervisor::Commit(commit) => {
                let configuration = self.0.take().ok_or("the end of a configuration that never began")?;
                let count = configuration.entries.len() + configuration.refused.len();
                if count != commit.groups as usize {
                    return Err(format!("a configuration of {} groups came with {count}", commit.groups));
                }
                Ok(Some(configuration))
            }
        }
    }
}

impl Configuration {
    /// The supplementary groups that a supervisor without root's rights would have, and leave to all workers; `None`
    /// if a group needs those rights whatever httpd's parent thinks.
    pub(crate) fn common_groups(&self) -> Option<Vec<u32>> {
        let Begin { httpd_uid, httpd_gid, is_root_needless, .. } = self.begin;
        let common = &self.begin.httpd_groups;
        let is_needless = |group: &Group| {
            (group.uid, group.gid, group.socket_uid) == (httpd_uid, httpd_gid, httpd_uid)
                && group.chroot.is_none()
                && group.cpu_priority >= 0
                && group.groups == *common
        };
        let is_needless = is_root_needless && self.entries.iter().all(|entry| is_needless(&entry.group));
        is_needless.then(|| common.clone())
    }
}

#[cfg(test)]
mod tests {
    use wire::Scoreboard;
    use wire::control::Commit;

    use super::*;
    use crate::sample;

    fn begin(incoming: &mut Incoming) {
        let begin = Begin {
            socket_directory: "/x".into(),
            httpd_uid: 33,
            httpd_gid: 33,
            httpd_groups: vec![33],
            is_root_needless: true,
            syslog: None,
        };
        assert!(incoming.take(ToSupervisor::Begin(begin), Vec::new()).is_ok_and(|done| done.is_none()));
    }

    fn group(incoming: &mut Incoming, group: Group) {
        let board = Scoreboard::create(4).expect("made");
        assert!(incoming.take(ToSupervisor::Group(group), vec![board]).is_ok());
    }

    fn commit(incoming: &mut Incoming, groups: u32) -> Result<Option<Configuration>, String> {
        incoming.take(ToSupervisor::Commit(Commit { groups }), Vec::new())
    }

    #[test]
    fn configuration_is_complete_with_its_commit_only() {
        let mut incoming = Incoming::default();
        assert!(commit(&mut incoming, 0).is_err());
        begin(&mut incoming);
        group(&mut incoming, sample::group());
        assert!(commit(&mut incoming, 1).is_ok_and(|done| done.is_some_and(|done| done.entries.len() == 1)));
        begin(&mut incoming);
        assert!(commit(&mut incoming, 1).is_err());
    }

    #[test]
    fn root_is_kept_for_a_group_that_needs_it_whatever_httpd_says() {
        let plain = Group { uid: 33, gid: 33, socket_uid: 33, groups: vec![33], ..sample::group() };
        let common = |groups: Vec<Group>| {
            let mut incoming = Incoming::default();
            begin(&mut incoming);
            let count = u32::try_from(groups.len()).expect("few");
            groups.into_iter().for_each(|one| group(&mut incoming, one));
            commit(&mut incoming, count).expect("sound").expect("complete").common_groups()
        };
        assert_eq!(common(vec![plain.clone()]), Some(vec![33]));
        assert_eq!(common(vec![]), Some(vec![33]));
        assert_eq!(common(vec![plain.clone(), Group { uid: 34, ..plain.clone() }]), None);
        assert_eq!(common(vec![plain.clone(), Group { groups: vec![4], ..plain.clone() }]), None);
        assert_eq!(common(vec![Group { cpu_priority: -1, ..plain }]), None);
    }
}

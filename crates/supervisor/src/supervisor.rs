//! The loop: waits for what may happen, and lets the groups deal with it.

mod settle;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use gateway::Level;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wire::Channel;
use wire::control::{FromSupervisor, SUPERVISOR_CHANNEL, Settled, ToSupervisor};

use crate::codes;
use crate::configuration::Incoming;
use crate::directory::Directory;
use crate::group::GroupState;
use crate::log::Log;
use crate::os::signals::{Notice, Signals, process_descriptor, reap};
use crate::os::sockets::inherited;
use crate::os::spawn::Limit;
use crate::os::{identity, sockets};
use crate::seat::Seat;
use crate::worker::Part;

/// Connections that are refused at once, from the backlog of a seat without a process.
const REFUSED: usize = 64;

/// A process that even SIGKILL does not end in time, since it waits for a disk or a network, is left to init.
const LONGEST_END: Duration = Duration::from_secs(8);

/// Everything that the process knows.
pub(crate) struct Supervisor {
    signals: Signals,
    httpd: Channel,
    /// Readable when httpd's parent has ended.
    httpd_end: Option<OwnedFd>,
    log: Log,
    descriptors: Option<Limit>,
    incoming: Incoming,
    directory: Option<Rc<Directory>>,
    groups: Vec<GroupState>,
    had_root: bool,
    /// Another supervisor takes its place: it ends when its workers have.
    is_leaving: bool,
    buf: Vec<u8>,
    /// Everything ends, at the latest then.
    end: Option<Instant>,
}

/// Where something has happened; numbers are places in the lists, which do not change within a turn.
#[derive(Clone, Copy, Debug)]
enum Source {
    Signals,
    Httpd,
    HttpdEnd,
    Desk(usize),
    Asker(usize, usize),
    Worker(usize, usize, usize, Part),
    /// The pipe of a worker that has ended.
    Remains(usize, usize),
    /// A seat without a process.
    Vacant(usize, usize, usize),
}

impl Supervisor {
    /// Takes over what httpd's parent has started this process with.
    ///
    /// # Errors
    /// Those of signalfd(2), and of a missing channel.
    pub(crate) fn begin() -> io::Result<Supervisor> {
        sockets::close_from(SUPERVISOR_CHANNEL + 1);
        let httpd = inherited(SUPERVISOR_CHANNEL).map_err(|error| {
            let text = format!("there is no channel to httpd on descriptor {SUPERVISOR_CHANNEL}: {error}");
            io::Error::new(error.kind(), text)
        })?;
        let httpd = Channel::over(httpd);
        sockets::set_nonblocking(&httpd)?;
        identity::hide_memory();
        Ok(Supervisor {
            signals: Signals::watch()?,
            httpd,
            // A parent that has ended already shows by the channel.
            httpd_end: i32::try_from(std::os::unix::process::parent_id()).ok().and_then(process_descriptor),
            log: Log::new(None, None, Level::Notice),
            descriptors: identity::raise_descriptor_limit(),
            incoming: Incoming::default(),
            directory: None,
            groups: Vec::new(),
            had_root: identity::is_root(),
            is_leaving: false,
            buf: Vec::new(),
            end: None,
        })
    }

    /// Runs until everything is to end and has ended.
    ///
    /// # Errors
    /// Those of poll(2) that leave nothing to be done.
    pub(crate) fn run(mut self) -> io::Result<()> {
        while !self.has_ended(Instant::now()) {
            for source in self.wait()? {
                self.act_on(source, Instant::now());
            }
            let now = Instant::now();
            for group in &mut self.groups {
                group.catch_up(&mut self.buf, now);
                group.tick(now);
            }
            self.groups.retain(|group| !group.is_gone());
        }
        Ok(())
    }

    fn has_ended(&mut self, now: Instant) -> bool {
        if self.is_leaving && self.groups.is_empty() {
            return true;
        }
        let is_deserted = |group: &mut GroupState| group.workers().next().is_none();
        self.end.is_some_and(|end| end <= now || self.groups.iter_mut().all(is_deserted))
    }

    /// Waits for something to happen, or to be due.
    fn wait(&self) -> io::Result<Vec<Source>> {
        let watched = self.sources();
        let mut polled: Vec<_> =
            watched.iter().map(|(_, descriptor)| PollFd::new(*descriptor, PollFlags::POLLIN)).collect();
        match poll(&mut polled, self.timeout()) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = polled.iter().map(|polled| polled.revents().is_none_or(|events| !events.is_empty()));
        Ok(watched.iter().zip(ready).filter(|(_, is_ready)| *is_ready).map(|((source, _), _)| *source).collect())
    }

    fn timeout(&self) -> PollTimeout {
        let Some(deadline) = self.groups.iter().filter_map(GroupState::deadline).chain(self.end).min() else {
            return PollTimeout::NONE;
        };
        // Rounded up: a turn too early would find nothing due.
        let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    }

    /// Everything to wait for. What can change the lists comes last.
    fn sources(&self) -> Vec<(Source, BorrowedFd<'_>)> {
        use std::os::fd::AsFd;
        let mut sources = Vec::new();
        for (number, group) in self.groups.iter().enumerate() {
            if let Some(desk) = &group.desk {
                sources.extend(desk.listener().map(|socket| (Source::Desk(number), socket)));
                sources.extend(desk.connections().map(|(peer, socket)| (Source::Asker(number, peer), socket)));
            }
            let remains = group.remains.iter().enumerate();
            sources.extend(
                remains.filter_map(|(place, one)| Some((Source::Remains(number, place), one.as_ref()?.output()))),
            );
            for (pool, seats) in group.pools.iter().map(|pool| &pool.seats).enumerate() {
                for (index, seat) in seats.iter().enumerate() {
                    match &seat.worker {
                        Some(worker) => sources.extend(
                            worker.parts().map(|(part, file)| (Source::Worker(number, pool, index, part), file)),
                        ),
                        None => sources.extend(
                            seat.vacant_socket().map(|socket| (Source::Vacant(number, pool, index), socket.as_fd())),
                        ),
                    }
                }
            }
        }
        sources.push((Source::Signals, self.signals.as_fd()));
        if self.end.is_none() {
            sources.extend(self.httpd_end.iter().map(|file| (Source::HttpdEnd, file.as_fd())));
            sources.push((Source::Httpd, self.httpd.as_fd()));
        }
        sources
    }

    fn act_on(&mut self, source: Source, now: Instant) {
        match source {
            Source::Signals => self.take_signals(now),
            Source::HttpdEnd => self.stop("httpd has ended", now),
            Source::Httpd => self.take_message(now),
            Source::Desk(group) => {
                let Some(group) = self.groups.get_mut(group) else { return };
                let (askers, secret) = (group.askers(), group.terms.group.secret);
                if let Some(desk) = &mut group.desk {
                    desk.accept(&askers, &secret, &mut self.buf, now);
                }
            }
            Source::Asker(group, peer) => {
                let Some(group) = self.groups.get_mut(group) else { return };
                let secret = group.terms.group.secret;
                if let Some(desk) = &mut group.desk {
                    desk.listen(peer, &secret, &mut self.buf);
                }
            }
            Source::Worker(group, pool, seat, part) => {
                if let Some(group) = self.groups.get_mut(group) {
                    group.hear(pool, seat, part, &mut self.buf, now);
                }
            }
            Source::Remains(group, place) => {
                if let Some(group) = self.groups.get_mut(group) {
                    group.hear_remains(place, &mut self.buf, now);
                }
            }
            Source::Vacant(group, pool, seat) => {
                let pool = self.groups.get(group).and_then(|group| group.pools.get(pool));
                let seat = pool.and_then(|pool| pool.seats.get(seat));
                if let Some(socket) = seat.and_then(Seat::vacant_socket) {
                    socket.refuse(REFUSED);
                }
            }
        }
    }

    fn take_signals(&mut self, now: Instant) {
        while let Some(notice) = self.signals.next() {
            match notice {
                Notice::Stop => self.stop("the supervisor was told to end", now),
                // One notice may stand for several processes, and a process that is missed is found next time.
                Notice::Child | Notice::Nothing => {}
            }
        }
        while let Some((pid, ending)) = reap() {
            for group in &mut self.groups {
                if group.reaped(pid, ending, &mut self.buf, now) {
                    break;
                }
            }
        }
    }

    fn stop(&mut self, reason: &str, now: Instant) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(now + LONGEST_END);
        for group in &mut self.groups {
            group.stop(reason, now);
        }
    }

    fn take_message(&mut self, now: Instant) {
        let descriptors = match self.httpd.receive(&mut self.buf, false) {
            Ok(Some(descriptors)) => descriptors,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return self.complain(&error.to_string()),
            Ok(None) | Err(_) => return self.stop("httpd has closed the channel", now),
        };
        let message = ToSupervisor::parse(&self.buf).map_err(|error| error.to_string());
        match message.and_then(|message| self.incoming.take(message, descriptors)) {
            Ok(None) => {}
            Ok(Some(configuration)) => {
                let settled = self.configure(configuration, now);
                self.reply(settled);
            }
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&self, error: &str) {
        self.log.problem(
            Level::Error,
            codes::CHANNEL,
            format_args!("the configuration from httpd is malformed, the one before stays in force: {error}"),
        );
    }

    fn reply(&self, settled: Settled) {
        let mut buf = Vec::new();
        if let Ok(()) = FromSupervisor::Settled(settled).write(&mut buf)
            && let Err(error) = self.httpd.send(&buf, &[])
        {
            self.log.problem(
                Level::Error,
                codes::CHANNEL,
                format_args!("cannot tell httpd that its configuration is in force: {error}"),
            );
        }
    }
}

//! What comes from a worker: messages, output, and failures before it is one.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use wire::control::FromWorker;

use super::{Event, Part, Worker};
use crate::os::spawn::Failure;

/// Messages and reads of one worker in one turn of the loop, so that none can keep the others waiting.
const TURN: usize = 32;

impl Worker {
    /// Takes what has come, for one turn.
    pub(crate) fn take(&mut self, part: Part, buf: &mut Vec<u8>, now: Instant) -> Vec<Event> {
        match part {
            Part::Channel => self.take_messages(buf, TURN, now),
            Part::Output => self.take_output(buf, 1, now),
            Part::Report => self.take_report(),
        }
    }

    /// Takes all that is left: it has ended.
    pub(crate) fn take_rest(&mut self, buf: &mut Vec<u8>, now: Instant) -> Vec<Event> {
        let mut events = self.take_report();
        events.extend(self.take_messages(buf, TURN * TURN, now));
        // A process that it has started may hold the pipe and write on: then it is not at its end.
        events.extend(self.take_output(buf, TURN, now));
        if self.output.is_some() {
            // What they write goes on, and is not the end of what the worker wrote.
            return events;
        }
        let last = self.lines.finish(now);
        let dropped = self.lines.take_dropped();
        events.extend((dropped > 0).then_some(Event::Dropped(dropped)));
        events.extend(last.into_iter().map(Event::Output));
        events
    }

    fn take_messages(&mut self, buf: &mut Vec<u8>, limit: usize, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in 0..limit {
            let Some(channel) = &self.channel else { break };
            match channel.receive(buf, false) {
                Ok(Some(_)) => match FromWorker::parse(buf) {
                    Ok(FromWorker::Line(line)) if !self.lines.admit(&line.text, now) => {}
                    Ok(message) => events.push(Event::Message(message)),
                    Err(error) => events.extend(self.malformed(&error, now)),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Lost, and the channel goes on (wire::Channel::receive).
                Err(error) if error.kind() == io::ErrorKind::InvalidData => events.extend(self.malformed(&error, now)),
                Ok(None) | Err(_) => {
                    self.channel = None;
                    // Mostly since it has just died, which SIGCHLD is about to tell.
                    self.abandoned_at = (!self.is_leaving()).then_some(now + Duration::from_secs(1));
                }
            }
        }
        events
    }

    /// Lines about what a worker should not send are no more than those that it may.
    fn malformed(&mut self, error: &dyn std::fmt::Display, now: Instant) -> Option<Event> {
        let error = error.to_string();
        self.lines.may_pass(error.len(), now).then_some(Event::Malformed(error))
    }

    fn take_output(&mut self, buf: &mut Vec<u8>, limit: usize, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in 0..limit {
            let Some(output) = &self.output else { break };
            match read_output(output, buf) {
                Some(0) => self.output = None,
                Some(count) => events.extend(self.lines.take(&buf[..count], now).into_iter().map(Event::Output)),
                None => break,
            }
        }
        events.extend(self.due(now));
        events
    }

    /// Output that has waited, and what is to be said by now of what was dropped.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Event> {
        let (lines, dropped) = self.lines.due(now);
        lines.into_iter().map(Event::Output).chain(dropped.map(Event::Dropped)).collect()
    }

    fn take_report(&mut self) -> Vec<Event> {
        let mut buf = [0; 256];
        let Some(report) = &self.report else { return Vec::new() };
        match read(report, &mut buf) {
            Ok(count) if count > 0 => {
                let failures = Failure::read(&buf[..count]);
                self.has_failed |= failures.iter().any(|failure| !failure.step.is_optional());
                failures.into_iter().map(Event::Failed).collect()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Vec::new(),
            _ => {
                self.report = None;
                Vec::new()
            }
        }
    }
}

/// Reads what a pipe has: `None` for nothing yet, 0 for the end.
pub(super) fn read_output(output: &OwnedFd, buf: &mut Vec<u8>) -> Option<usize> {
    // Short lines are many: a turn is not to take long over them.
    buf.resize(16 << 10, 0);
    match read(output, buf) {
        Ok(count) => Some(count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(_) => Some(0),
    }
}

fn read(descriptor: &OwnedFd, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match nix::unistd::read(descriptor, buf) {
            Err(nix::errno::Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

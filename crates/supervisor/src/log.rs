//! An error log, in httpd's default format; one write for each record. What it does not take is kept for it, or for
//! the log that takes its place.

mod backlog;
mod format;

use std::cell::RefCell;
use std::fmt::Arguments;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::time::Instant;

use gateway::{Level, record_pieces};

use self::backlog::{Backlog, RETRY_EVERY};
use self::format::{format_line, format_text};
use crate::codes;
use crate::os::syslog::Syslog;
use crate::os::{clock, sockets};

/// Where lines of one group, or of none, go.
#[derive(Debug)]
pub(crate) struct Log {
    /// Standard error, which is httpd's main error log, if there is none.
    file: Option<File>,
    syslog: Option<Syslog>,
    /// A log program reads it, which may not do so for a while.
    is_pipe: bool,
    level: Level,
    backlog: RefCell<Backlog>,
}

/// How long a log program may keep the loop waiting (ms); one that has done so has to catch up before it may again.
const PATIENCE: u8 = 100;

/// A pipe that is ready takes so much without waiting (PIPE_BUF, pipe(7)).
const PIPE_BUF: usize = 4096;

impl Log {
    /// A log that takes lines up to `level`: a file, or the system's log under the facility and the name that it says.
    pub(crate) fn new(file: Option<OwnedFd>, syslog: Option<&[u8]>, level: Level) -> Log {
        let syslog = syslog.filter(|_| file.is_none()).and_then(Syslog::of);
        let file = file.map(File::from);
        let kind = file.as_ref().and_then(|file| file.metadata().ok()).map(|metadata| metadata.file_type());
        Log { file, syslog, is_pipe: kind.is_some_and(|kind| kind.is_fifo()), level, backlog: RefCell::default() }
    }

    /// Something went wrong: with its code.
    pub(crate) fn problem(&self, level: Level, code: &str, message: Arguments<'_>) {
        self.write(level, format_args!("{code}: {message}"));
    }

    /// A line about something that an administrator may want to know.
    pub(crate) fn notice(&self, message: Arguments<'_>) {
        self.write(Level::Notice, message);
    }

    /// Something happened.
    pub(crate) fn info(&self, message: Arguments<'_>) {
        self.write(Level::Info, message);
    }

    /// A line of a worker's, as the worker's own, at its level.
    pub(crate) fn line(&self, level: Level, pid: u32, text: &[u8]) {
        if self.takes(level) {
            for piece in record_pieces(text) {
                self.put(level, pid, piece);
            }
        }
    }

    /// A line that did not come through Python: it says whose it is.
    pub(crate) fn native_line(&self, group: &[u8], pid: u32, text: &[u8]) {
        if self.takes(Level::Error) {
            for piece in record_pieces(text) {
                self.put(Level::Error, pid, &[b"[group ", group, b"] ", piece].concat());
            }
        }
    }

    /// Whether lines of the level are written.
    pub(crate) fn takes(&self, level: Level) -> bool {
        level as u8 <= self.level as u8
    }

    fn write(&self, level: Level, message: Arguments<'_>) {
        if self.takes(level) {
            self.line(level, std::process::id(), message.to_string().as_bytes());
        }
    }

    /// Writes a record, or keeps it.
    fn put(&self, level: Level, pid: u32, text: &[u8]) {
        if let Some(syslog) = &self.syslog {
            // It has the time from elsewhere.
            return syslog.write(level, &format_text(level, pid, text));
        }
        let line = format_line(level, clock::now(), pid, text);
        if !self.retry() {
            return self.backlog.borrow_mut().keep(line);
        }
        let count = self.send(&line, PATIENCE);
        if count < line.len() {
            self.backlog.borrow_mut().keep(line[count..].to_vec());
        }
    }

    /// Writes what was kept, as far as that goes; whether nothing is left.
    pub(crate) fn retry(&self) -> bool {
        let backlog = &mut *self.backlog.borrow_mut();
        while let Some(line) = backlog.lines.front() {
            backlog.tried = Some(Instant::now());
            let count = self.send(line, 0);
            if !backlog.took(count) {
                return false;
            }
        }
        if backlog.lost > 0 {
            let text =
                format!("{}: {} lines are missing here, since the log took none", codes::LOG_STUCK, backlog.lost);
            backlog.lost = 0;
            let line = format_line(Level::Warning, clock::now(), std::process::id(), text.as_bytes());
            let count = self.send(&line, 0);
            if count < line.len() {
                backlog.keep(line[count..].to_vec());
                return false;
            }
        }
        true
    }

    /// When [`Log::retry`] is due.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        let backlog = self.backlog.borrow();
        backlog.tried.filter(|_| !backlog.lines.is_empty()).map(|at| at + RETRY_EVERY)
    }

    /// Takes the place of another one, whose lines come first here.
    pub(crate) fn replaces(self, other: &Log) -> Log {
        self.backlog.swap(&other.backlog);
        self.retry();
        self
    }

    /// Gives how many bytes were written.
    fn send(&self, line: &[u8], patience: u8) -> usize {
        if !self.is_pipe {
            return self.write_bytes(line);
        }
        let mut count = 0;
        let mut patience = patience;
        for part in line.chunks(PIPE_BUF) {
            let stderr = io::stderr();
            let descriptor = self.file.as_ref().map_or(stderr.as_fd(), AsFd::as_fd);
            if !sockets::is_writable(descriptor, patience) {
                break;
            }
            let written = self.write_bytes(part);
            count += written;
            if written < part.len() {
                break;
            }
            // A record that has begun had better not be torn.
            patience = PATIENCE;
        }
        count
    }

    fn write_bytes(&self, bytes: &[u8]) -> usize {
        let mut count = 0;
        while count < bytes.len() {
            let written = match &self.file {
                Some(file) => (&mut &*file).write(&bytes[count..]),
                None => io::stderr().write(&bytes[count..]),
            };
            match written {
                Ok(0) => break,
                Ok(written) => count += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::time::Duration;

    use super::*;

    #[test]
    fn program_that_does_not_read_holds_nobody_up() {
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let log = Log::new(Some(writer), None, Level::Info);
            for _ in 0..500 {
                log.line(Level::Error, 7, &[b'x'; 8000]);
            }
            let _ = tell.send(());
        });
        told.recv_timeout(Duration::from_secs(20)).expect("no wait without an end");
        drop(reader);
    }

    #[test]
    fn lines_above_the_level_are_not_taken() {
        let log = Log::new(None, None, Level::Warning);
        assert!(log.takes(Level::Error) && log.takes(Level::Warning) && !log.takes(Level::Info));
    }

    fn read(reader: &mut File) -> String {
        let mut taken = vec![0; 4 << 20];
        let mut count = 0;
        while sockets_have(reader) {
            match reader.read(&mut taken[count..]).unwrap() {
                0 => break,
                more => count += more,
            }
        }
        String::from_utf8(taken[..count].to_vec()).unwrap()
    }

    fn sockets_have(reader: &File) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut polled = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).unwrap() > 0
    }

    fn pipe() -> (File, Log) {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        (File::from(reader), Log::new(Some(writer), None, Level::Info))
    }

    #[test]
    fn what_a_slow_log_program_does_not_take_at_once_is_kept_for_it() {
        let (mut reader, log) = pipe();
        for number in 0..100 {
            log.line(Level::Error, 7, format!("{number:05000}").as_bytes());
        }
        assert!(log.retry_at().is_some());
        let mut text = read(&mut reader);
        while !log.retry() {
            text += &read(&mut reader);
        }
        text += &read(&mut reader);
        let numbers: Vec<usize> = text.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
        assert!(log.retry_at().is_none());
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_told_where_it_is_missing() {
        let (mut reader, log) = pipe();
        for _ in 0..300 {
            log.line(Level::Error, 7, &[b'x'; 5000]);
        }
        let mut text = read(&mut reader);
        while !log.retry() {
            text += &read(&mut reader);
        }
        log.line(Level::Error, 7, b"again");
        text += &read(&mut reader);
        let lines: Vec<&str> = text.lines().collect();
        let (told, again) = (lines[lines.len() - 2], lines[lines.len() - 1]);
        assert!(again.ends_with("] again"), "{again}");
        assert!(told.contains(&format!("WSGI0490: {} lines are missing", 300 - (lines.len() - 2))), "{told}");
    }

    #[test]
    fn lines_for_a_log_program_that_has_gone_are_its_successors() {
        let (reader, old) = pipe();
        old.line(Level::Error, 7, b"before");
        drop(reader);
        old.line(Level::Error, 7, b"in between");
        let (mut reader, new) = pipe();
        let new = new.replaces(&old);
        new.line(Level::Error, 7, b"after");
        let text = read(&mut reader);
        let words: Vec<&str> = text.lines().map(|line| line.rsplit("] ").next().unwrap()).collect();
        assert_eq!(words, ["in between", "after"]);
    }
}

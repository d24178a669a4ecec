//! An error log, in httpd's default format; one write for each line.

use std::cell::Cell;
use std::fmt::{Arguments, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::time::{Duration, Instant};

use gateway::Level;

use crate::os::{clock, sockets};

/// Where lines of one group, or of none, go.
#[derive(Debug)]
pub(crate) struct Log {
    /// Standard error, which is httpd's main error log, if there is none.
    file: Option<File>,
    level: Level,
    /// A program reads it, which may have stopped to.
    is_pipe: bool,
    /// It took nothing then.
    stuck_at: Cell<Option<Instant>>,
}

/// What a pipe that is writable takes for certain without waiting, bytes: a page (pipe(7), poll(2)).
const SURE: usize = 4096;

/// How long nothing is waited for after a pipe took nothing.
const SULK: Duration = Duration::from_secs(1);

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Log {
    /// A log that takes lines up to `level`.
    pub(crate) fn new(file: Option<OwnedFd>, level: Level) -> Log {
        let file = file.map(File::from);
        let kind = file.as_ref().and_then(|file| file.metadata().ok()).map(|metadata| metadata.file_type());
        Log { file, level, is_pipe: kind.is_some_and(|kind| kind.is_fifo()), stuck_at: Cell::new(None) }
    }

    /// Something went wrong: with its code.
    pub(crate) fn problem(&self, level: Level, code: &str, message: Arguments<'_>) {
        self.write(level, format_args!("{code}: {message}"));
    }

    /// Something happened.
    pub(crate) fn info(&self, message: Arguments<'_>) {
        self.write(Level::Info, message);
    }

    /// A line of a worker's, as the worker's own, at its level.
    pub(crate) fn line(&self, level: Level, pid: u32, text: &[u8]) {
        if self.takes(level) {
            self.write_as(level, pid, format_args!("{}", String::from_utf8_lossy(text)));
        }
    }

    /// Whether lines of the level are written.
    pub(crate) fn takes(&self, level: Level) -> bool {
        level as u8 <= self.level as u8
    }

    fn write(&self, level: Level, message: Arguments<'_>) {
        self.write_as(level, std::process::id(), message);
    }

    fn write_as(&self, level: Level, pid: u32, message: Arguments<'_>) {
        if !self.takes(level) {
            return;
        }
        let line = format_line(level, clock::now(), pid, message);
        // A full disk is no reason to stop serving, and there is nowhere else to say it.
        let _ = match &self.file {
            Some(file) if self.is_pipe => return self.feed(file, line.as_bytes()),
            Some(file) => (&mut &*file).write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }

    /// Writes to a program as far as it takes the line: one that does not read must not stop the loop.
    fn feed(&self, file: &File, line: &[u8]) {
        let is_stuck = self.stuck_at.get().is_some_and(|at| at.elapsed() < SULK);
        for part in line.chunks(SURE) {
            if !sockets::is_writable(file, if is_stuck { 0 } else { 100 }) {
                return self.stuck_at.set(Some(Instant::now()));
            }
            if (&mut &*file).write_all(part).is_err() {
                return;
            }
        }
        self.stuck_at.set(None);
    }
}

fn format_line(level: Level, moment: std::time::Duration, pid: u32, message: Arguments<'_>) -> String {
    let at = clock::local(moment);
    let mut line = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        line,
        "[{} {} {:02} {:02}:{:02}:{:02}.{:06} {}] [wsgi:{}] [pid {pid}:tid {pid}] ",
        DAYS.get(at.weekday).unwrap_or(&"?"),
        MONTHS.get(at.month).unwrap_or(&"?"),
        at.day,
        at.hour,
        at.minute,
        at.second,
        moment.subsec_micros(),
        at.year,
        name(level),
    );
    let start = line.len();
    let _ = line.write_fmt(message);
    // One event, one line, whoever wrote the text: httpd escapes control characters in the same way.
    let text = escape(&line[start..]);
    line.truncate(start);
    line.push_str(&text);
    line.push('\n');
    line
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push('\t'),
            character if character.is_control() => {
                let _ = write!(escaped, "\\x{:02x}", u32::from(character));
            }
            character => escaped.push(character),
        }
    }
    escaped
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Critical => "crit",
        Level::Error => "error",
        Level::Warning => "warn",
        Level::Notice => "notice",
        Level::Info => "info",
        Level::Debug => "debug",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_has_httpds_format() {
        let moment = Duration::new(1_795_577_434, 123_456_000);
        let line = format_line(Level::Warning, moment, 7, format_args!("a\nb"));
        assert!(line.starts_with("[Wed Nov 25 "), "{line}");
        assert!(line.ends_with(".123456 2026] [wsgi:warn] [pid 7:tid 7] a\\nb\n"), "{line}");
    }

    #[test]
    fn program_that_does_not_read_holds_nobody_up() {
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let log = Log::new(Some(writer), Level::Info);
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
        let log = Log::new(None, Level::Warning);
        assert!(log.takes(Level::Error) && log.takes(Level::Warning) && !log.takes(Level::Info));
    }
}

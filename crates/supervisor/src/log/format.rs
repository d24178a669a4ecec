//! A record in httpd's default format. Pure, but for the time zone.

use std::time::Duration;

use gateway::Level;

use crate::os::clock;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A whole line of a log file.
pub(super) fn format_line(level: Level, moment: Duration, pid: u32, text: &[u8]) -> Vec<u8> {
    let at = clock::local(moment);
    let mut line = format!(
        "[{} {} {:02} {:02}:{:02}:{:02}.{:06} {}] ",
        DAYS.get(at.weekday).unwrap_or(&"?"),
        MONTHS.get(at.month).unwrap_or(&"?"),
        at.day,
        at.hour,
        at.minute,
        at.second,
        moment.subsec_micros(),
        at.year,
    )
    .into_bytes();
    line.extend(format_text(level, pid, text));
    line.push(b'\n');
    line
}

/// A record without its time.
pub(super) fn format_text(level: Level, pid: u32, text: &[u8]) -> Vec<u8> {
    let mut line = format!("[wsgi:{}] [pid {pid}:tid {pid}] ", name(level)).into_bytes();
    escape(text, &mut line);
    line
}

/// One event, one line, whoever wrote the text: httpd escapes control characters, and bytes that are no text, in the
/// same way.
fn escape(text: &[u8], line: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => line.extend_from_slice(b"\\n"),
                '\r' => line.extend_from_slice(b"\\r"),
                character if character.is_control() && character != '\t' => {
                    line.extend_from_slice(format!("\\x{:02x}", u32::from(character)).as_bytes());
                }
                character => line.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for byte in chunk.invalid() {
            line.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
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
        let line = String::from_utf8(format_line(Level::Warning, moment, 7, b"a\nb")).unwrap();
        assert!(line.starts_with("[Wed Nov 25 "), "{line}");
        assert!(line.ends_with(".123456 2026] [wsgi:warn] [pid 7:tid 7] a\\nb\n"), "{line}");
    }

    #[test]
    fn text_stays_readable_and_nothing_else_is_lost() {
        let mut line = Vec::new();
        escape(b"gr\xc3\xbcn\t\0\x1b[1m\xff\xc3(\r\n", &mut line);
        assert_eq!(String::from_utf8(line).unwrap(), "gr\u{fc}n\t\\x00\\x1b[1m\\xff\\xc3(\\r\\n");
    }
}

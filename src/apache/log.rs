//! Lines in httpd's error log, at the level that `LogLevel wsgi:…` lets through.

use std::ffi::CString;

use gateway::Level;

use super::bindings as c;
use super::request::Request;
use super::server::Server;

/// Where a line belongs.
pub(crate) trait Log {
    /// Whether a line of this level would be written.
    fn is_logged(&self, level: Level) -> bool;
    /// Writes one line, even if its level is off: ask first.
    fn write(&self, level: Level, line: &[u8]);
}

impl Log for Request<'_> {
    fn is_logged(&self, level: Level) -> bool {
        // SAFETY: the request is live; the shim only reads its log configuration.
        unsafe { c::wsgi_shim_is_logged_request(self.as_raw(), number(level)) != 0 }
    }

    fn write(&self, level: Level, line: &[u8]) {
        let text = as_c_text(line);
        // SAFETY: request and text are live; ap_log_rerror formats with "%s" and keeps neither.
        unsafe { c::wsgi_shim_log_request(self.as_raw(), number(level), text.as_ptr()) }
    }
}

impl Log for Server<'_> {
    fn is_logged(&self, level: Level) -> bool {
        // SAFETY: the server is live; the shim only reads its log configuration.
        unsafe { c::wsgi_shim_is_logged_server(self.as_raw(), number(level)) != 0 }
    }

    fn write(&self, level: Level, line: &[u8]) {
        let text = as_c_text(line);
        // SAFETY: server and text are live; ap_log_error formats with "%s" and keeps neither.
        unsafe { c::wsgi_shim_log_server(self.as_raw(), number(level), text.as_ptr()) }
    }
}

/// Logs a formatted line if its level is on. From warning up, the first argument is a code of
/// `crate::codes`, which the line starts with.
macro_rules! log_line {
    ($log:expr, $level:ident, $code:expr; $($text:tt)+) => {
        $crate::apache::log_line!($log, $level, "{}: {}", $code, format_args!($($text)+))
    };
    ($log:expr, $level:ident, $($text:tt)+) => {{
        let log = &$log;
        if $crate::apache::Log::is_logged(log, gateway::Level::$level) {
            $crate::apache::Log::write(log, gateway::Level::$level, format!($($text)+).as_bytes());
        }
    }};
}
pub(crate) use log_line;

fn number(level: Level) -> i32 {
    level as i32
}

/// httpd takes C strings: a NUL inside becomes the four characters `\x00`, so nothing is cut off.
fn as_c_text(line: &[u8]) -> CString {
    CString::new(line).unwrap_or_else(|_| {
        let mut text = Vec::with_capacity(line.len() + 8);
        for &byte in line {
            match byte {
                0 => text.extend_from_slice(b"\\x00"),
                other => text.push(other),
            }
        }
        CString::new(text).expect("every NUL was replaced")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_shown_and_cuts_nothing() {
        assert_eq!(as_c_text(b"a\0b").as_bytes(), b"a\\x00b");
    }
}

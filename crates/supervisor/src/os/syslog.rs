//! The system's log (syslog(3)).

use std::ffi::{CStr, CString};

use gateway::Level;
use libc::c_int;

/// A facility and the name of whoever logs.
#[derive(Debug)]
pub(crate) struct Syslog {
    facility: c_int,
    name: CString,
}

/// As httpd names them (log.c, `facilities`).
const FACILITIES: [(&[u8], c_int); 20] = [
    (b"auth", libc::LOG_AUTH),
    (b"authpriv", libc::LOG_AUTHPRIV),
    (b"cron", libc::LOG_CRON),
    (b"daemon", libc::LOG_DAEMON),
    (b"ftp", libc::LOG_FTP),
    (b"kern", libc::LOG_KERN),
    (b"lpr", libc::LOG_LPR),
    (b"mail", libc::LOG_MAIL),
    (b"news", libc::LOG_NEWS),
    (b"syslog", libc::LOG_SYSLOG),
    (b"user", libc::LOG_USER),
    (b"uucp", libc::LOG_UUCP),
    (b"local0", libc::LOG_LOCAL0),
    (b"local1", libc::LOG_LOCAL1),
    (b"local2", libc::LOG_LOCAL2),
    (b"local3", libc::LOG_LOCAL3),
    (b"local4", libc::LOG_LOCAL4),
    (b"local5", libc::LOG_LOCAL5),
    (b"local6", libc::LOG_LOCAL6),
    (b"local7", libc::LOG_LOCAL7),
];

impl Syslog {
    /// From `facility:name`; a facility that is none counts as `local7`, as with httpd. `None` for a name with a NUL.
    pub(crate) fn of(text: &[u8]) -> Option<Syslog> {
        let mut parts = text.splitn(2, |byte| *byte == b':');
        let facility = parts.next().unwrap_or_default();
        let known = FACILITIES.iter().find(|(name, _)| facility.eq_ignore_ascii_case(name));
        let name = CString::new(parts.next().unwrap_or(b"httpd")).ok()?;
        Some(Syslog { facility: known.map_or(libc::LOG_LOCAL7, |(_, facility)| *facility), name })
    }

    /// Writes one record.
    pub(crate) fn write(&self, level: Level, text: &[u8]) {
        const FORMAT: &CStr = c"%s";
        // A NUL has been escaped by whoever made the text.
        let Ok(text) = CString::new(text) else { return };
        // SAFETY: this process has one thread. openlog(3) keeps the name's address, which is live during the call of
        // syslog(3), and the next writer sets its own; `drop` has it forgotten before the name goes.
        unsafe {
            libc::openlog(self.name.as_ptr(), libc::LOG_PID | libc::LOG_CONS | libc::LOG_NDELAY, self.facility);
            libc::syslog(level as c_int, FORMAT.as_ptr(), text.as_ptr());
        }
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        // SAFETY: no arguments, and no other thread; another one that is still in use opens the log anew when it writes.
        unsafe { libc::closelog() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facility_and_name_are_taken_apart() {
        let of =
            |text: &str| Syslog::of(text.as_bytes()).map(|log| (log.facility, log.name.to_str().unwrap().to_owned()));
        assert_eq!(of("local1:apache2"), Some((libc::LOG_LOCAL1, "apache2".to_owned())));
        assert_eq!(of("Mail:a:b"), Some((libc::LOG_MAIL, "a:b".to_owned())));
        assert_eq!(of("odd:x"), Some((libc::LOG_LOCAL7, "x".to_owned())));
        assert_eq!(of("\0:\0"), None);
    }
}

//! Values in log lines.

use std::time::Duration;

/// Bytes of the configuration, in a log line.
pub(crate) struct Show<'a>(pub(crate) &'a [u8]);

impl std::fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

/// A time to wait, in a log line.
pub(crate) struct When(pub(crate) Duration);

impl std::fmt::Display for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_secs() {
            0 => f.write_str("at once"),
            1 => f.write_str("in 1 second"),
            seconds => write!(f, "in {seconds} seconds"),
        }
    }
}

//! What can be said of lines that are accepted and can hardly mean what they say. mod_wsgi takes them, so
//! they are not refused: a site may live with one. Who starts httpd hears of each once.

use std::fmt;

use gateway::Level;

use super::written::Text;

/// A line of the configuration. Shown as `WSGIPythonPath (/etc/httpd.conf, line 3)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The directive.
    pub directive: String,
    /// The file that it stands in.
    pub file: String,
    /// Counted from 1.
    pub number: i32,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, line {})", self.directive, self.file, self.number)
    }
}

impl Line {
    /// An error of this line in httpd's words, as those of a directive that is refused at once.
    ///
    /// Source: httpd's message AH00526 (server/config.c).
    pub(super) fn refuse(&self, text: &str) -> String {
        format!("Syntax error on line {} of {}: {text} (in {})", self.number, self.file, self.directive)
    }
}

/// A doubt about one line of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Its severity.
    pub level: Level,
    /// Its code, of `crate::codes`.
    pub code: &'static str,
    /// What is odd, where, and what to write instead.
    pub text: String,
    /// Set if the doubt is one only where this file or directory exists.
    pub only_with: Option<Text>,
}

impl Remark {
    /// A doubt that does not depend on any file.
    pub(super) fn warning(code: &'static str, text: String) -> Remark {
        Remark { level: Level::Warning, code, text, only_with: None }
    }
}

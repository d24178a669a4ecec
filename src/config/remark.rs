//! What can be said of lines that are accepted and can hardly mean what they say. mod_wsgi takes them, so
//! they are not refused: a site may live with one. Who starts httpd hears of each once.

use gateway::Level;

use super::written::Text;

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

//! httpd's regular expressions (PCRE), for `WSGIScriptAliasMatch`.

use std::ffi::CString;

use super::bindings as c;
use crate::config::Pattern;

/// A compiled pattern, freed when the last alias that holds it goes.
pub(crate) struct Regex {
    compiled: Box<c::ap_regex_t>,
}

// SAFETY: ap_regexec only reads a compiled pattern (ap_regex.h: matching is thread-safe); it is freed
// by Drop, when nobody else holds it.
unsafe impl Send for Regex {}
// SAFETY: ap_regexec only reads a compiled pattern, so any number of threads may match at once (ap_regex.h).
unsafe impl Sync for Regex {}

impl Regex {
    /// Compiles a pattern; `None` if it is malformed.
    pub(crate) fn compile(pattern: &[u8]) -> Option<Regex> {
        let pattern = CString::new(pattern).ok()?;
        // SAFETY: ap_regex_t is plain C data that ap_regcomp fills in (ap_regex.h).
        let mut compiled: Box<c::ap_regex_t> = Box::new(unsafe { std::mem::zeroed() });
        // SAFETY: both pointers are live; on failure ap_regcomp keeps nothing to be freed.
        let status = unsafe { c::ap_regcomp(&mut *compiled, pattern.as_ptr(), c::AP_REG_EXTENDED as i32) };
        (status == 0).then_some(Regex { compiled })
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: compile() only gives out what ap_regcomp filled in.
        unsafe { c::ap_regfree(&mut *self.compiled) }
    }
}

impl Pattern for Regex {
    fn find(&self, subject: &[u8], groups: &mut [Option<(usize, usize)>; 10]) -> bool {
        let Ok(subject) = CString::new(subject) else { return false };
        let mut matches = [c::ap_regmatch_t { rm_so: -1, rm_eo: -1 }; 10];
        // SAFETY: pattern and subject are live, and the array has the ten entries announced.
        let status =
            unsafe { c::ap_regexec(&*self.compiled, subject.as_ptr(), matches.len(), matches.as_mut_ptr(), 0) };
        if status != 0 {
            return false;
        }
        for (group, found) in groups.iter_mut().zip(matches) {
            *group = usize::try_from(found.rm_so).ok().zip(usize::try_from(found.rm_eo).ok());
        }
        true
    }
}

//! The Python text that an interpreter is started with (`-c`), in a worker and in an httpd child alike.

use std::fmt::Write as _;

/// Oldest Python that the host runs on. Its extension module would not even be found by an older one, which would
/// then say so in words that help nobody.
pub const OLDEST: (u32, u32) = (3, 10);

/// Oldest Python whose sub-interpreters can have a GIL of their own.
pub const OWN_GIL_SINCE: (u32, u32) = (3, 12);

/// Newest Python of which it is known how they are made: that is no part of the stable ABI.
pub const OWN_GIL_LAST: (u32, u32) = (3, 14);

/// Text that brings the support package in from `host_directory`, and runs `call` of its module.
///
/// The directory stands in hexadecimal, so that no file name can end the string it is in. It is on
/// `sys.path` only while the package is imported; and `''`, which `-c` puts first, is taken off, so that
/// nothing is ever imported from the directory that httpd happened to be started in.
pub fn text(host_directory: &[u8], module: &str, call: &str) -> String {
    let mut hex = String::with_capacity(host_directory.len() * 2);
    for byte in host_directory {
        write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
    }
    format!(
        "import sys\n\
         if sys.version_info < {OLDEST:?}: sys.exit('%s is Python %d.%d, which is too old: mod_wsgi_rs needs {}.{} or later' \
         % ((sys.executable,) + sys.version_info[:2]))\n\
         if 't' in getattr(sys, 'abiflags', ''): sys.exit('%s is a free-threaded Python: mod_wsgi_rs runs those that have a GIL' \
         % sys.executable)\n\
         if sys.path[:1] == ['']: del sys.path[0]\n\
         sys.path.insert(0, bytes.fromhex('{hex}').decode(sys.getfilesystemencoding(), 'surrogateescape'))\n\
         try:\n    from wsgi_host import {module}\n\
         finally:\n    del sys.path[0]\n\
         {module}.{call}\n",
        OLDEST.0, OLDEST.1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_directory_name_can_leave_its_string() {
        let text = text(b"/a'); import os #", "process", "main()");
        assert!(!text.contains("import os"));
        assert!(text.ends_with("process.main()\n"));
    }
}

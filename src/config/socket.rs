//! Where the sockets of process groups lie, and the directives that mod_wsgi needs for them and this module does not.

use super::directive::Place;
use super::value::{self, Refusal, shown};
use super::written::ServerWritten;
use crate::codes;

/// Most bytes of a socket's path on Linux, without the NUL that ends it.
///
/// Source: unix(7), `sun_path`.
const LONGEST_PATH: usize = 107;

/// What comes behind the prefix: the number of httpd's process, of the group and of the seat (docs/daemon.md).
///
/// Source: proc(5), `pid_max` is at most 4194304; group ids are counted up, and none gets past six digits.
const LONGEST_TAIL: &str = ".4194304/999999.4096.sock";

const MECHANISMS: [&str; 6] = ["default", "flock", "fcntl", "sysvsem", "posixsem", "pthread"];

/// `WSGISocketPrefix`, resolved; `None`: `wsgi` in httpd's runtime directory (`DefaultRuntimeDir`).
pub fn socket_prefix(server: &ServerWritten) -> Option<&[u8]> {
    server.socket_prefix.as_deref()
}

/// Whether every socket below this prefix can have a path.
///
/// # Errors
/// That it is too long, by how much, and what to write.
pub fn check_socket_prefix(prefix: &[u8]) -> Result<(), Refusal> {
    let length = prefix.len() + LONGEST_TAIL.len();
    if length <= LONGEST_PATH {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "the paths of sockets below '{}' can have {length} bytes, and a socket's path has at most {LONGEST_PATH}; set \
         WSGISocketPrefix to a path of at most {} bytes, such as /run/wsgi",
        shown(prefix),
        LONGEST_PATH - LONGEST_TAIL.len()
    )))
}

/// `WSGISocketPrefix path`
pub(super) fn set_prefix(place: &mut Place<'_>, word: &[u8]) -> Result<(), Refusal> {
    let resolved = Some(word).filter(|word| !word.is_empty()).and_then(|word| (place.resolve)(word));
    let prefix = resolved.ok_or_else(|| {
        let word = shown(word);
        Refusal::new(format!("Invalid WSGISocketPrefix '{word}'; accepted are paths, from the root or from ServerRoot"))
    })?;
    place.server.socket_prefix = Some(prefix.into());
    Ok(())
}

/// `WSGISocketRotation On|Off`
pub(super) fn set_rotation(place: &mut Place<'_>, word: &[u8]) -> Result<(), Refusal> {
    value::flag(c"WSGISocketRotation", word)?;
    place.note(
        codes::NEEDLESS_DIRECTIVE,
        "accepted, and nothing to do: sockets keep their names when httpd is reloaded",
    );
    Ok(())
}

/// `WSGIAcceptMutex mechanism`
pub(super) fn set_accept_mutex(place: &mut Place<'_>, word: &[u8]) -> Result<(), Refusal> {
    if !MECHANISMS.iter().any(|mechanism| word.eq_ignore_ascii_case(mechanism.as_bytes())) {
        return Err(Refusal::new(format!(
            "Accept mutex lock mechanism '{}' is invalid. Valid accept mutex mechanisms for this platform are: {}.",
            shown(word),
            MECHANISMS.join(", ")
        )));
    }
    place.note(
        codes::NEEDLESS_DIRECTIVE,
        "accepted, and nothing to do: each process has a socket of its own, so none waits for a lock",
    );
    Ok(())
}

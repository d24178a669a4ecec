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
    let prefix = (place.resolve)(word).ok_or_else(|| {
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

#[cfg(test)]
mod tests {
    use gateway::Level;

    use super::super::sample::{refusal, server};
    use super::*;

    #[test]
    fn a_relative_prefix_lies_below_the_server_root() {
        assert_eq!(socket_prefix(&server(&["WSGISocketPrefix run/wsgi"])), Some(&b"/etc/httpd/run/wsgi"[..]));
        assert_eq!(socket_prefix(&server(&["WSGISocketPrefix /run/wsgi"])), Some(&b"/run/wsgi"[..]));
        assert_eq!(socket_prefix(&server(&[])), None);
        assert!(refusal("WSGISocketPrefix impossible").starts_with("Invalid WSGISocketPrefix 'impossible'"));
        assert!(refusal("WSGISocketPrefix \"\"").starts_with("WSGISocketPrefix takes one argument"));
    }

    #[test]
    fn virtual_hosts_have_the_main_servers_prefix() {
        let host = ServerWritten::merge(&server(&["WSGISocketPrefix /run/x"]), &ServerWritten::default());
        assert_eq!(socket_prefix(&host), Some(&b"/run/x"[..]));
    }

    #[test]
    fn a_prefix_is_too_long_if_a_sockets_path_would_be() {
        let longest = LONGEST_PATH - LONGEST_TAIL.len();
        assert!(check_socket_prefix(&vec![b'x'; longest]).is_ok());
        let refused = check_socket_prefix(&vec![b'x'; longest + 1]).expect_err("too long").to_string();
        assert!(refused.contains("can have 108 bytes, and a socket's path has at most 107"), "{refused}");
        assert!(refused.contains(&format!("set WSGISocketPrefix to a path of at most {longest} bytes")), "{refused}");
    }

    #[test]
    fn names_of_sockets_are_as_long_as_is_reckoned_with() {
        let (pid, group, seat) = (4_194_304, 999_999, wire::SEAT_LIMIT);
        assert_eq!(LONGEST_TAIL, format!(".{pid}/{}", wire::control::seat_socket(group, seat)));
        assert!(wire::control::desk_socket(group).len() <= wire::control::seat_socket(group, seat).len());
    }

    #[test]
    fn what_there_is_no_need_for_is_accepted_and_noted() {
        for line in
            ["WSGISocketRotation Off", "WSGISocketRotation on", "WSGIAcceptMutex flock", "WSGIAcceptMutex DEFAULT"]
        {
            let said = server(&[line]).remarks().to_vec();
            assert_eq!(
                (said.len(), said[0].level, said[0].code),
                (1, Level::Notice, codes::NEEDLESS_DIRECTIVE),
                "{line}"
            );
        }
    }

    #[test]
    fn a_mechanism_that_mod_wsgi_does_not_know_is_refused_with_those_that_it_knows() {
        assert_eq!(
            refusal("WSGIAcceptMutex bogus"),
            "Accept mutex lock mechanism 'bogus' is invalid. Valid accept mutex mechanisms for this platform are: default, \
             flock, fcntl, sysvsem, posixsem, pthread."
        );
    }
}

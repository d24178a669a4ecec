//! What makes a configuration impossible and cannot be seen from one line of it: said with the line, as httpd says of
//! single lines, and the end of a start, a reload or a configtest.

use crate::apache::{Answer, Pool, Server, log_line, runtime_path};
use crate::codes;
use crate::config::{Site, check_socket_prefix, contradictions, socket_prefix};

/// The configuration has been read. Parent process only; for `httpd -t` too.
pub(crate) fn check_config(pool: Pool<'_>, server: Server<'_>) -> Answer {
    let sites: Vec<Site<'_>> = server.all().map(Server::site).collect();
    let mut wrong = contradictions(&sites);
    let has_groups = sites.iter().any(|site| site.written.has_daemons());
    if has_groups
        && let Some(prefix) = prefix(pool, server)
        && let Err(refusal) = check_socket_prefix(&prefix)
    {
        wrong.push(refusal.to_string());
    }
    for text in &wrong {
        log_line!(server, Error, codes::CONTRADICTION; "{text}");
    }
    if wrong.is_empty() { Answer::Ok } else { Answer::Status(500) }
}

/// What the names of all sockets begin with; `None` if httpd has no runtime directory.
pub(crate) fn prefix(pool: Pool<'_>, server: Server<'_>) -> Option<Vec<u8>> {
    socket_prefix(server.settings()).map(<[u8]>::to_vec).or_else(|| runtime_path(pool, c"wsgi"))
}

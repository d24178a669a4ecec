//! The codes that log lines from warning up start with. Each is allotted once; where mod_wsgi has the
//! same condition, it is mod_wsgi's number. Sections: docs/error-reference.md.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = $code;)*
        #[cfg(test)]
        const ALL: &[&str] = &[$($code,)*];
    };
}

codes! {
    /// Python cannot be started as configured.
    PYTHON_UNUSABLE = "WSGI0036",
    /// Python did not start in a child.
    PYTHON_FAILED = "WSGI0001",
    /// The provider `wsgi` of basic authentication without a script.
    NO_USER_SCRIPT = "WSGI0041",
    /// The same of digest authentication.
    NO_DIGEST_SCRIPT = "WSGI0044",
    /// `allow_access` did not let a client in.
    CLIENT_DENIED = "WSGI0057",
    /// `Require wsgi-group` without a script.
    NO_GROUP_SCRIPT = "WSGI0058",
    /// A user is in no group.
    NO_GROUPS = "WSGI0059",
    /// A user is in none of the groups that are required.
    WRONG_GROUPS = "WSGI0060",
    /// A question had no answer in time.
    ANSWER_LATE = "WSGI0403",
    /// A dispatch script has no answer.
    NO_ROUTE = "WSGI0404",
    /// A request was cut off.
    INCOMPLETE = "WSGI0119",
    /// A script needs `Options ExecCGI`.
    EXEC_OFF = "WSGI0134",
    /// The script is not there.
    SCRIPT_MISSING = "WSGI0135",
    /// The script is a directory.
    SCRIPT_DIRECTORY = "WSGI0136",
    /// `AcceptPathInfo Off`.
    PATH_INFO = "WSGI0137",
    /// A transfer coding other than chunked.
    TRANSFER_CODING = "WSGI0138",
    /// A chunked body where `WSGIChunkedRequest` is off.
    CHUNKED = "WSGI0139",
    /// A Content-Length that is no number.
    CONTENT_LENGTH = "WSGI0141",
    /// `WSGIRestrictEmbedded On`.
    EMBEDDED_OFF = "WSGI0143",
    /// A response header over `header-buffer-size`.
    HEADER_TOO_LONG = "WSGI0144",
    /// Nothing came from a worker within `socket-timeout`.
    DAEMON_TIMEOUT = "WSGI0145",
    /// A worker's connection ended before the response was whole.
    DAEMON_CLOSED = "WSGI0146",
    /// A worker's connection broke before the response was whole.
    DAEMON_BROKEN = "WSGI0147",
    /// A process group of another virtual host.
    GROUP_ELSEWHERE = "WSGI0152",
    /// `WSGIRestrictProcess` forbids the request's process group.
    GROUP_FORBIDDEN = "WSGI0149",
    /// A script that breaks `script-group`.
    SCRIPT_GROUP = "WSGI0153",
    /// A script that breaks `script-user`.
    SCRIPT_USER = "WSGI0162",
    /// No worker in time.
    BACKLOG = "WSGI0116",
    /// A worker's socket cannot be reached.
    UNREACHABLE = "WSGI0117",
    /// Process after process refused a request.
    REFUSED = "WSGI0124",
    /// The supervisor has no pool for an application group.
    NO_POOL = "WSGI0370",
    /// No worker could be started.
    NOT_STARTED = "WSGI0371",
    /// A worker's frames cannot be read.
    MALFORMED = "WSGI0372",
    /// A socket or a worker that is not ours.
    IMPOSTOR = "WSGI0373",
    /// A request for a group that takes none.
    SERVICE = "WSGI0374",
    /// A child cannot relay for a reason of its own.
    DAEMON_INTERNAL = "WSGI0375",
    /// A process group that is not configured.
    NO_GROUP = "WSGI0151",
    /// An embedded request while Python does not run.
    NO_PYTHON = "WSGI0210",
    /// The request does not fit into a request head.
    HEAD_TOO_LARGE = "WSGI0305",
    /// Python's part of a child did not end in time.
    SLOW_EXIT = "WSGI0306",
    /// A quote that is not closed.
    OPEN_QUOTE = "WSGI0320",
    /// An alias whose URL path or target does not begin with a slash.
    ODD_ALIAS = "WSGI0321",
    /// An alias that joins the rest of the URL to its target's name.
    JOINED_NAMES = "WSGI0322",
    /// An entry of `WSGIPythonPath` is not there.
    NO_PATH_ENTRY = "WSGI0323",
    /// A script to be loaded at start is not there.
    NO_IMPORT = "WSGI0324",
    /// A directive that has no effect here, because there is nothing to do.
    NEEDLESS_DIRECTIVE = "WSGI0325",
    /// A line sends requests to a process group that takes none.
    SERVICE_TARGET = "WSGI0326",
    /// A line sends requests to a process group that is not there for them.
    UNDEFINED_TARGET = "WSGI0327",
    /// The configuration as a whole is impossible.
    CONTRADICTION = "WSGI0328",
    /// An own GIL for the main interpreter, or by a Python that has none.
    NO_OWN_GIL = "WSGI0198",
    /// `WSGIFreeThreading` where Python has a GIL.
    NO_FREE_THREADING = "WSGI0200",
    /// `WSGIFreeThreading` for single interpreters.
    FREE_THREADING_OF_GROUP = "WSGI0201",
    /// A name in `WSGITrustedProxyHeaders` that does nothing.
    UNKNOWN_PROXY_HEADER = "WSGI0430",
    /// A directive or option that mod_wsgi has no longer.
    REMOVED = "WSGI0432",
    /// A level of optimisation that Python does not have.
    NO_SUCH_LEVEL = "WSGI0433",
    /// A warning filter that Python ignores.
    WARNING_FILTER = "WSGI0434",
    /// A name that looks like a macro and is none.
    NO_MACRO = "WSGI0435",
    /// A Content-Length over `LimitRequestBody`.
    BODY_TOO_LONG = "WSGI0436",
    /// A handler script with the name of the module's own handler.
    OWN_HANDLER_NAME = "WSGI0437",
    /// The supervisor has ended by itself.
    SUPERVISOR_ENDED = "WSGI0390",
    /// The directory for the sockets cannot be made, or httpd's children cannot get to it.
    SOCKETS_OUT_OF_REACH = "WSGI0376",
    /// The supervisor does not take its configuration in time.
    SUPERVISOR_HANGS = "WSGI0377",
    /// A process group cannot run.
    GROUP_UNUSABLE = "WSGI0391",
    /// There is no supervisor, so no process group can run.
    NO_SUPERVISOR = "WSGI0392",
    /// Workers cannot be told what httpd's scoreboard says.
    NO_SERVER_BOARD = "WSGI0460",
    /// Slow requests are to be told, and to nobody.
    NO_COLLECTOR = "WSGI0461",
    /// A defect of this module.
    PANIC = "WSGI0300",
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn each_code_is_allotted_once() {
        let mut codes = ALL.to_vec();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ALL.len());
    }
}

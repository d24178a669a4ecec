//! From httpd's hooks into safe functions: one trampoline for each kind, none lets a panic out.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use gateway::Level;

use super::bindings as c;
use super::log::Log;
use super::pool::Pool;
use super::request::Request;
use super::server::Server;

/// What a hook tells httpd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Not ours: the next module may try.
    Declined,
    /// Done.
    Ok,
    /// An HTTP status, to be answered with httpd's own document.
    Status(u16),
    /// httpd's filters have answered already (`AP_FILTER_ERROR`).
    Answered,
}

impl Answer {
    fn number(self) -> c_int {
        match self {
            Self::Declined => c::DECLINED,
            Self::Ok => c::OK as c_int,
            Self::Status(status) => c_int::from(status),
            Self::Answered => c::AP_FILTER_ERROR,
        }
    }
}

/// Runs a request hook.
pub(crate) fn on_request(raw: *mut c::request_rec, hook: fn(Request<'_>) -> Answer) -> c_int {
    // SAFETY: httpd passes a live request_rec to a request hook, for the length of the hook.
    let request = unsafe { Request::from_raw(raw) };
    let answer = catch_unwind(AssertUnwindSafe(|| hook(request))).unwrap_or_else(|panic| {
        let text = format!("{}: internal error: {}; answering 500", crate::codes::PANIC, panic_text(&*panic));
        request.write(Level::Critical, text.as_bytes());
        Answer::Status(500)
    });
    answer.number()
}

/// Runs post_config.
pub(crate) fn on_post_config(
    pconf: *mut c::apr_pool_t,
    server: *mut c::server_rec,
    hook: fn(Pool<'_>, Server<'_>) -> Answer,
) -> c_int {
    // SAFETY: httpd passes the configuration's pool and its main server (http_config.h, post_config).
    let (pool, server) = unsafe { (Pool::from_raw(pconf), Server::from_raw(server)) };
    catch_unwind(AssertUnwindSafe(|| hook(pool, server).number())).unwrap_or_else(|panic| {
        server.write(
            Level::Critical,
            format!("{}: internal error: {}", crate::codes::PANIC, panic_text(&*panic)).as_bytes(),
        );
        c::HTTP_INTERNAL_SERVER_ERROR as c_int
    })
}

/// Runs check_config, which httpd runs when it has read its configuration, for `httpd -t` as well.
pub(crate) fn on_check_config(
    pconf: *mut c::apr_pool_t,
    server: *mut c::server_rec,
    hook: fn(Pool<'_>, Server<'_>) -> Answer,
) -> c_int {
    // check_config is to post_config what a rehearsal is: the same arguments, and anything but OK ends httpd.
    on_post_config(pconf, server, hook)
}

/// Runs test_config (`httpd -t`).
pub(crate) fn on_test_config(server: *mut c::server_rec, hook: fn(Server<'_>)) {
    // SAFETY: httpd passes the main server of the configuration that it has read (http_config.h, test_config).
    let server = unsafe { Server::from_raw(server) };
    // A panic must not cross into httpd; without this hook the test is the same but for remarks.
    let _ = catch_unwind(AssertUnwindSafe(|| hook(server)));
}

/// Runs monitor, which httpd's parent calls every ten seconds or so.
pub(crate) fn on_monitor(server: *mut c::server_rec, hook: fn(Server<'_>)) -> c_int {
    // SAFETY: httpd passes the main server of the configuration in force (mpm_common.h, monitor).
    let server = unsafe { Server::from_raw(server) };
    // What it does is tried again the next time.
    let _ = catch_unwind(AssertUnwindSafe(|| hook(server)));
    c::OK as c_int
}

/// Runs child_init, and `at_exit` when the child's pool goes.
pub(crate) fn on_child_init(
    pchild: *mut c::apr_pool_t,
    server: *mut c::server_rec,
    hook: fn(Server<'_>),
    at_exit: fn(),
) {
    // SAFETY: httpd passes a live server_rec to child_init and keeps it for the life of the child
    // (http_config.h, "child_init" hook).
    let server = unsafe { Server::from_raw(server) };
    quiet_panics();
    // SAFETY: pchild lives until the child ends; the cleanup runs once, then.
    unsafe { Pool::from_raw(pchild) }.at_end(at_exit);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| hook(server))) {
        server.write(
            Level::Critical,
            format!("{}: internal error: {}", crate::codes::PANIC, panic_text(&*panic)).as_bytes(),
        );
    }
}

/// A panic is logged by the trampoline that catches it. The default hook would print to stderr as
/// well, and with RUST_BACKTRACE set map the library's debug information for good.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("panic without a message")
}

//! The providers by which httpd's own modules ask us about users: their trampolines, and their entry in httpd's list.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use gateway::Level;

use super::bindings as c;
use super::hook::panic_text;
use super::log::Log;
use super::request::Request;

/// What is said of a user and his password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Authentication {
    Granted,
    Denied,
    /// Nobody of this name: the next provider may know.
    Unknown,
    /// The hash of user, realm and password, in hexadecimal.
    Found(Vec<u8>),
    /// httpd answers 500.
    Failed,
}

/// What is said of a user's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authorization {
    Granted,
    Denied,
    /// Nobody has logged in yet.
    NoUser,
    /// httpd answers 500.
    Failed,
}

impl Authorization {
    /// What a question without an answer comes to. A denial does not keep anybody out if the line is turned round.
    pub(crate) fn without_answer(is_inverted: bool) -> Authorization {
        if is_inverted { Authorization::Failed } else { Authorization::Denied }
    }
}

/// Asks about a password.
pub(crate) type Password = fn(Request<'_>, &[u8], &[u8]) -> Authentication;

/// Enters the providers in httpd's list, where mod_auth_basic and its like find them by name. The tables live for ever.
pub(crate) fn register(
    pool: *mut c::apr_pool_t,
    users: &'static c::authn_provider,
    groups: &'static c::authz_provider,
) {
    let kind = c::AP_AUTH_INTERNAL_PER_CONF as c_int;
    let text = |bytes: &'static [u8]| bytes.as_ptr().cast::<c_char>();
    // SAFETY: httpd calls register_hooks with the configuration's pool, on its one thread; the strings are constants with
    // their NUL, and the tables are statics of a library that is never unloaded (http_request.h).
    unsafe {
        c::ap_register_auth_provider(
            pool,
            text(c::AUTHN_PROVIDER_GROUP),
            c"wsgi".as_ptr(),
            text(c::AUTHN_PROVIDER_VERSION),
            std::ptr::from_ref(users).cast::<c_void>(),
            kind,
        );
        c::ap_register_auth_provider(
            pool,
            text(c::AUTHZ_PROVIDER_GROUP),
            c"wsgi-group".as_ptr(),
            text(c::AUTHZ_PROVIDER_VERSION),
            std::ptr::from_ref(groups).cast::<c_void>(),
            kind,
        );
    }
}

/// Asks about a password.
///
/// # Safety
/// Called by httpd as `authn_provider::check_password` (mod_auth.h).
pub(crate) unsafe fn on_password(
    raw: *mut c::request_rec,
    user: *const c_char,
    password: *const c_char,
    ask: Password,
) -> c::authn_status {
    // SAFETY: the caller promises a live request and two C strings, for the length of the call.
    let (request, user, password) = unsafe { (Request::from_raw(raw), bytes(user), bytes(password)) };
    status(guarded(request, Authentication::Failed, || ask(request, user, password)))
}

/// Asks for a hash, which goes to `found`.
///
/// # Safety
/// Called by httpd as `authn_provider::get_realm_hash` (mod_auth.h).
pub(crate) unsafe fn on_realm_hash(
    raw: *mut c::request_rec,
    user: *const c_char,
    realm: *const c_char,
    found: *mut *mut c_char,
    ask: Password,
) -> c::authn_status {
    // SAFETY: the caller promises a live request and two C strings, for the length of the call.
    let (request, user, realm) = unsafe { (Request::from_raw(raw), bytes(user), bytes(realm)) };
    let answer = guarded(request, Authentication::Failed, || ask(request, user, realm));
    if let Authentication::Found(hash) = &answer {
        // SAFETY: httpd passes a place for the result, which it only reads; the copy lives in the request's pool.
        unsafe { *found = request.pool().copy(hash).as_ptr().cast_mut() };
    }
    status(answer)
}

/// Asks about groups.
///
/// # Safety
/// Called by httpd as `authz_provider::check_authorization` (mod_auth.h).
pub(crate) unsafe fn on_groups(
    raw: *mut c::request_rec,
    wanted: *const c_char,
    parsed: *const c_void,
    ask: fn(Request<'_>, &[u8], bool) -> Authorization,
) -> c::authz_status {
    // SAFETY: the caller promises a live request and a C string, for the length of the call.
    let (request, wanted) = unsafe { (Request::from_raw(raw), bytes(wanted)) };
    let is_inverted = !parsed.is_null();
    match guarded(request, Authorization::without_answer(is_inverted), || ask(request, wanted, is_inverted)) {
        Authorization::Granted => c::authz_status_AUTHZ_GRANTED,
        Authorization::Denied => c::authz_status_AUTHZ_DENIED,
        Authorization::NoUser => c::authz_status_AUTHZ_DENIED_NO_USER,
        Authorization::Failed => c::authz_status_AUTHZ_GENERAL_ERROR,
    }
}

/// Notes of a `Require` line whether it may be turned round, which [`on_groups`] gets as `parsed`, not null then.
///
/// # Safety
/// Called by httpd as `authz_provider::parse_require_line` (mod_auth.h).
pub(crate) unsafe fn on_require(parms: *mut c::cmd_parms, parsed: *mut *const c_void) -> *const c_char {
    static INVERTED: u8 = 1;
    // SAFETY: the caller promises a live cmd_parms, whose directives live as long, and a place for the result.
    unsafe {
        if may_be_inverted((*parms).directive) {
            *parsed = (&raw const INVERTED).cast();
        }
    }
    std::ptr::null()
}

/// `Require not …`, one inside `<RequireNone>`, and an alias, of which nobody knows yet.
///
/// # Safety
/// `directive` is null or a directive of httpd's configuration tree.
unsafe fn may_be_inverted(directive: *const c::ap_directive_t) -> bool {
    // SAFETY: the caller's promise; names and arguments are C strings, and parents live with their children (http_config.h).
    unsafe {
        let Some(line) = directive.as_ref() else { return true };
        let is_quote = |byte: &u8| matches!(byte, b'"' | b'\'' | b' ' | b'\t');
        let mut words = bytes(line.args).split(is_quote).filter(|word| !word.is_empty());
        let is_negated = words.next().is_none_or(|word| word.eq_ignore_ascii_case(b"not"));
        let mut sections = std::iter::successors(line.parent.as_ref(), |section| section.parent.as_ref());
        let is_none = |name: &[u8]| name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"<RequireNone"));
        let is_line = bytes(line.directive).eq_ignore_ascii_case(b"Require");
        !is_line || is_negated || sections.any(|section| is_none(bytes(section.directive)))
    }
}

fn status(answer: Authentication) -> c::authn_status {
    match answer {
        Authentication::Granted => c::authn_status_AUTH_GRANTED,
        Authentication::Denied => c::authn_status_AUTH_DENIED,
        Authentication::Unknown => c::authn_status_AUTH_USER_NOT_FOUND,
        Authentication::Found(_) => c::authn_status_AUTH_USER_FOUND,
        Authentication::Failed => c::authn_status_AUTH_GENERAL_ERROR,
    }
}

/// No panic crosses into httpd, and none lets anybody in.
fn guarded<T>(request: Request<'_>, failed: T, ask: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|panic| {
        let text = format!("{}: internal error: {}", crate::codes::PANIC, panic_text(&*panic));
        request.write(Level::Critical, text.as_bytes());
        failed
    })
}

/// # Safety
/// `raw` is null or a C string that lives for `'a`.
unsafe fn bytes<'a>(raw: *const c_char) -> &'a [u8] {
    // SAFETY: the caller's promise.
    if raw.is_null() { b"" } else { unsafe { CStr::from_ptr(raw) }.to_bytes() }
}

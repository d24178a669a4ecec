//! Writes the request head: everything that becomes the environ, in one flat buffer.
//!
//! Later entries replace earlier ones of the same name, so the order is the precedence: what other
//! modules left in the request's environment first, what the request itself says after it, the module's
//! own keys last. httpd's CGI tables are not built, only read from.

use std::cell::RefCell;
use std::sync::OnceLock;

use gateway::environ::{Variable, collapse_slashes, header_variable, is_hidden, is_https};
use gateway::proxy::{Forwarded, Policy};
use gateway::{Key, Level};
use wire::{Facts, RequestWriter, flags};

use super::target::Target;
use crate::apache::{Log, Request, banner};
use crate::config::HeadMapping;

thread_local! {
    /// Grows to the size of the largest head that this thread has written, and is used again.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A written head; its memory goes back to the thread when it is dropped.
pub(super) struct Head(Vec<u8>);

/// Larger buffers are not kept: one odd request must not hold memory for good.
const KEPT_CAPACITY: usize = 256 << 10;

impl Head {
    /// An empty one, with the thread's memory.
    pub(super) fn take() -> Head {
        Head(BUFFER.with(RefCell::take))
    }

    /// Where it is written.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl std::ops::Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        if self.0.capacity() <= KEPT_CAPACITY {
            BUFFER.with(|buffer| buffer.replace(std::mem::take(&mut self.0)));
        }
    }
}

/// Writes the head of a request; `is_body_here` says that the whole body follows it at once.
///
/// # Errors
/// `wire::Error` if the request does not fit: its environment is over 16 MiB.
pub(super) fn write_head(request: Request<'_>, target: &Target<'_>, is_body_here: bool) -> Result<Head, wire::Error> {
    let mut head = Head::take();
    let mut writer = RequestWriter::begin(&mut head.0, facts(request, target, is_body_here));
    let forwarded = target.settings.trusted_proxies().map(|policy| believed(request, policy));
    let is_https = write_environment(&mut writer, request, forwarded.as_ref());
    write_headers(&mut writer, request, target, forwarded.as_ref());
    write_request(&mut writer, request, target);
    write_server(&mut writer, request);
    write_connection(&mut writer, request);
    write_redirect(&mut writer, request);
    write_own_keys(&mut writer, request, target);
    if let Some(forwarded) = &forwarded {
        write_forwarded(&mut writer, forwarded);
    }
    let is_https = forwarded.and_then(|forwarded| forwarded.is_https).unwrap_or_else(|| is_https || request.is_tls());
    let scheme: &[u8] = if is_https { b"https" } else { b"http" };
    writer.known(Key::WsgiUrlScheme, scheme);
    writer.finish()?;
    Ok(head)
}

/// Writes the environ that a dispatch script sees: the application's, but for what is not settled before it has spoken.
///
/// # Errors
/// As for [`write_head`].
pub(super) fn write_dispatch_head(
    request: Request<'_>,
    target: &Target<'_>,
    facts: Facts,
    application_group: &[u8],
) -> Result<Head, wire::Error> {
    let mut head = Head::take();
    let mut writer = RequestWriter::begin(&mut head.0, facts);
    let forwarded = target.settings.trusted_proxies().map(|policy| believed(request, policy));
    write_environment(&mut writer, request, forwarded.as_ref());
    if let Some(https) = request.environment().get(c"HTTPS") {
        writer.known(Key::Https, https);
    }
    write_headers(&mut writer, request, target, forwarded.as_ref());
    write_request(&mut writer, request, target);
    write_server(&mut writer, request);
    write_connection(&mut writer, request);
    write_redirect(&mut writer, request);
    writer.known(Key::ModWsgiProcessGroup, b"");
    writer.known(Key::ModWsgiApplicationGroup, application_group);
    write_circumstances(&mut writer, request, target);
    if let Some(forwarded) = &forwarded {
        write_forwarded(&mut writer, forwarded);
    }
    writer.finish()?;
    Ok(head)
}

fn facts(request: Request<'_>, target: &Target<'_>, is_body_here: bool) -> Facts {
    let mut bits = 0;
    let mut set = |on: bool, bit: u32| bits |= if on { bit } else { 0 };
    set(target.settings.script_reloading(), flags::RELOADING);
    set(request.is_head(), flags::HEAD);
    set(target.has_open_group, flags::OPEN_GROUP);
    set(target.settings.ignore_activity(), flags::IGNORE_ACTIVITY);
    set(request.may_have_body(), flags::BODY);
    set(is_body_here, flags::BODY_FOLLOWS);
    let mut facts =
        Facts { script_mtime_us: target.script_mtime_us(request), request_start_us: request.time_us(), flags: bits };
    facts.set_log_level(log_level(request));
    facts
}

/// The least severe level that the request's log takes.
pub(super) fn log_level(request: Request<'_>) -> Level {
    let levels = [Level::Debug, Level::Info, Level::Notice, Level::Warning, Level::Error];
    levels.into_iter().find(|level| request.is_logged(*level)).unwrap_or(Level::Critical)
}

/// What the headers of proxies come to. A variable of a header's name stands in for the header, as in the environ.
fn believed<'r>(request: Request<'r>, policy: Policy<'_>) -> Forwarded<'r> {
    policy.apply(request.client_address(), |header| {
        request.headers().get(header.name()).or_else(|| request.environment().get(header.variable()))
    })
}

/// `SetEnv`, `RewriteRule [E=]`, mod_ssl's variables and the like; gives whether `HTTPS` said yes.
fn write_environment(writer: &mut RequestWriter<'_>, request: Request<'_>, forwarded: Option<&Forwarded<'_>>) -> bool {
    let mut https = false;
    for (name, value) in request.environment().entries() {
        if name == b"HTTPS" {
            https = is_https(value);
        }
        let value = forwarded.map_or(Some(value), |forwarded| forwarded.variable(name, value));
        if let Some(value) = value.filter(|_| !is_hidden(name)) {
            writer.named(name, value);
        }
    }
    https
}

fn write_headers(
    writer: &mut RequestWriter<'_>,
    request: Request<'_>,
    target: &Target<'_>,
    forwarded: Option<&Forwarded<'_>>,
) {
    let passes_all = request.passes_authorization();
    let passes_authorization = passes_all || target.settings.pass_authorization();
    let mut scratch = Vec::new();
    // Repeated fields are joined already: httpd does so when it reads them.
    for (name, value) in request.headers().entries() {
        let withheld = match name.len() {
            13 if name.eq_ignore_ascii_case(b"Authorization") => !passes_authorization,
            19 if name.eq_ignore_ascii_case(b"Proxy-Authorization") => !passes_all,
            _ => false,
        };
        if withheld {
            continue;
        }
        let seen = forwarded.map_or(Some(value), |forwarded| forwarded.header(name, value));
        let Some(value) = seen else { continue };
        let Some(variable) = header_variable(name, &mut scratch) else { continue };
        match variable {
            Variable::Known(key) => writer.known(key, value),
            Variable::Named(name) => writer.named(name, value),
        }
    }
}

fn write_request(writer: &mut RequestWriter<'_>, request: Request<'_>, target: &Target<'_>) {
    let runs_as_get = request.is_head()
        && match target.settings.map_head_to_get() {
            HeadMapping::On => true,
            HeadMapping::Off => false,
            // A content filter must see the body that a GET would have, or its headers would differ.
            HeadMapping::Auto => request.has_content_filter(),
        };
    writer.known(Key::RequestMethod, if runs_as_get { b"GET" } else { request.method() });
    let (script_name, path_info) = (collapse_slashes(target.script_name), collapse_slashes(request.path_info()));
    writer.known(Key::ScriptName, &script_name);
    writer.known(Key::PathInfo, &path_info);
    writer.known(Key::ModWsgiScriptName, &script_name);
    writer.known(Key::ModWsgiPathInfo, &path_info);
    writer.known(Key::QueryString, request.query());
    let uri = if request.wants_current_uri() { request.uri() } else { original_uri(request.request_line()) };
    writer.known(Key::RequestUri, uri);
    writer.known(Key::RequestScheme, request.scheme());
    writer.known(Key::ServerProtocol, request.protocol());
    writer.known(Key::ScriptFilename, request.filename());
    optional(writer, Key::DocumentRoot, request.document_root());
    optional(writer, Key::ContextPrefix, request.context_prefix());
    optional(writer, Key::ContextDocumentRoot, request.context_document_root());
}

/// The target of the request line as the client sent it, without scheme and host.
///
/// Source: httpd computes REQUEST_URI for CGI the same way (util_script.c, `original_uri`).
pub(super) fn original_uri(request_line: &[u8]) -> &[u8] {
    let mut words = request_line.splitn(3, |&byte| byte == b' ');
    let target = words.nth(1).unwrap_or(b"");
    let Some(scheme) = target.windows(3).position(|part| part == b"://") else { return target };
    if scheme == 0 || !target[..scheme].iter().all(|byte| byte.is_ascii_alphabetic()) {
        return target;
    }
    let rest = &target[scheme + 3..];
    rest.iter().position(|&byte| byte == b'/').map_or(b"/", |slash| &rest[slash..])
}

fn write_server(writer: &mut RequestWriter<'_>, request: Request<'_>) {
    writer.known(Key::ServerSoftware, banner());
    writer.known(Key::ServerName, request.server_name());
    writer.known(Key::ServerPort, decimal(request.server_port()).as_bytes());
    optional(writer, Key::ServerAddr, request.server_address());
    optional(writer, Key::ServerAdmin, request.server().admin());
}

fn write_connection(writer: &mut RequestWriter<'_>, request: Request<'_>) {
    optional(writer, Key::RemoteAddr, request.client_address());
    writer.known(Key::RemotePort, decimal(request.client_port()).as_bytes());
    optional(writer, Key::RemoteUser, request.user());
    optional(writer, Key::AuthType, request.auth_type());
}

/// What trusted proxies have said, over what the connection says.
fn write_forwarded(writer: &mut RequestWriter<'_>, forwarded: &Forwarded<'_>) {
    optional(writer, Key::RemoteAddr, forwarded.client);
    optional(writer, Key::HttpHost, forwarded.host);
    optional(writer, Key::ServerName, forwarded.server);
    optional(writer, Key::ServerPort, forwarded.port);
    optional(writer, Key::ScriptName, forwarded.script_name);
    if let Some(mount_point) = forwarded.script_name {
        writer.named(b"mod_wsgi.mount_point", mount_point);
    }
}

fn write_redirect(writer: &mut RequestWriter<'_>, request: Request<'_>) {
    let Some(previous) = request.previous() else { return };
    optional(writer, Key::RedirectRemoteUser, previous.user());
    writer.known(Key::RedirectUrl, previous.uri());
    if !previous.query().is_empty() {
        writer.known(Key::RedirectQueryString, previous.query());
    }
}

fn write_own_keys(writer: &mut RequestWriter<'_>, request: Request<'_>, target: &Target<'_>) {
    writer.known(Key::ModWsgiProcessGroup, &target.process_group);
    writer.known(Key::ModWsgiApplicationGroup, &target.application_group);
    writer.known(Key::ModWsgiCallableObject, &target.callable);
    write_circumstances(writer, request, target);
}

/// Those that do not depend on where the application runs.
fn write_circumstances(writer: &mut RequestWriter<'_>, request: Request<'_>, target: &Target<'_>) {
    writer.known(Key::ModWsgiRequestHandler, request.handler().unwrap_or(b""));
    writer.known(Key::ModWsgiHandlerScript, target.handler.map_or(b"", |handler| &handler.script));
    writer.known(Key::ModWsgiListenerHost, request.listener_host().unwrap_or(b""));
    writer.known(Key::ModWsgiListenerPort, decimal(request.listener_port()).as_bytes());
    writer.known(Key::ModWsgiServerPid, decimal(process_id()).as_bytes());
    optional(writer, Key::ModWsgiRequestId, request.log_id());
    optional(writer, Key::ModWsgiConnectionId, request.connection_id());
}

pub(super) fn optional(writer: &mut RequestWriter<'_>, key: Key, value: Option<&[u8]>) {
    if let Some(value) = value {
        writer.known(key, value);
    }
}

/// The child's process id: only children serve requests, so it is asked for once, after the fork.
fn process_id() -> u32 {
    static ID: OnceLock<u32> = OnceLock::new();
    *ID.get_or_init(std::process::id)
}

/// A number's digits without an allocation.
pub(super) struct Decimal {
    digits: [u8; 10],
    start: usize,
}

impl Decimal {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

pub(super) fn decimal(number: impl Into<u32>) -> Decimal {
    let mut rest = number.into();
    let mut decimal = Decimal { digits: [b'0'; 10], start: 10 };
    loop {
        decimal.start -= 1;
        decimal.digits[decimal.start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return decimal;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_uri_is_the_target_as_sent() {
        assert_eq!(original_uri(b"GET //a%20b?q=1 HTTP/1.1"), b"//a%20b?q=1");
        assert_eq!(original_uri(b"GET http://host:80/x?y HTTP/1.1"), b"/x?y");
        assert_eq!(original_uri(b"GET http://host HTTP/1.1"), b"/");
        assert_eq!(original_uri(b"GET /x?u=http://a/b HTTP/1.1"), b"/x?u=http://a/b");
        assert_eq!(original_uri(b"OPTIONS * HTTP/1.1"), b"*");
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        assert_eq!(decimal(0u32).as_bytes(), b"0");
        assert_eq!(decimal(65535u16).as_bytes(), b"65535");
        assert_eq!(decimal(u32::MAX).as_bytes(), b"4294967295");
    }
}

//! The environ of a question about access: what the client and the server say of the request, and nothing of what other
//! modules or `SetEnv` left, since none of that is there yet when httpd asks.

use gateway::Key;
use gateway::environ::{Variable, collapse_slashes, header_variable, script_name};
use wire::RequestWriter;

use super::ask::Place;
use crate::apache::{Request, banner};
use crate::front::environ::{Head, decimal, optional, original_uri};

/// Writes the environ as a request head.
///
/// # Errors
/// `wire::Error` if it does not fit.
///
/// Source: the keys are those of mod_wsgi's access control scripts.
pub(super) fn write_head(request: Request<'_>, place: &Place<'_>) -> Result<Head, wire::Error> {
    let mut head = Head::take();
    let mut writer = RequestWriter::begin(head.buffer(), place.facts);
    write_headers(&mut writer, request);
    write_request(&mut writer, request);
    write_server(&mut writer, request);
    optional(&mut writer, Key::RemoteAddr, request.client_address());
    writer.known(Key::RemotePort, decimal(request.client_port()).as_bytes());
    if let Some(host) = request.remote_host() {
        writer.named(b"REMOTE_HOST", host);
    }
    writer.known(Key::ModWsgiProcessGroup, &place.script.process_group);
    writer.known(Key::ModWsgiApplicationGroup, &place.application_group);
    writer.finish()?;
    Ok(head)
}

/// Credentials are told by the arguments alone, and only where they are asked about.
fn write_headers(writer: &mut RequestWriter<'_>, request: Request<'_>) {
    const WITHHELD: [&[u8]; 2] = [b"Authorization", b"Proxy-Authorization"];
    let mut scratch = Vec::new();
    for (name, value) in request.headers().entries() {
        if WITHHELD.iter().any(|withheld| name.eq_ignore_ascii_case(withheld)) {
            continue;
        }
        match header_variable(name, &mut scratch) {
            Some(Variable::Known(key)) => writer.known(key, value),
            Some(Variable::Named(name)) => writer.named(name, value),
            None => {}
        }
    }
}

fn write_request(writer: &mut RequestWriter<'_>, request: Request<'_>) {
    writer.known(Key::RequestMethod, request.method());
    let script_name = script_name(request.uri(), request.path_info());
    writer.known(Key::ScriptName, &collapse_slashes(script_name));
    writer.known(Key::PathInfo, &collapse_slashes(request.path_info()));
    writer.known(Key::QueryString, request.query());
    writer.known(Key::RequestUri, original_uri(request.request_line()));
    writer.known(Key::ServerProtocol, request.protocol());
    optional(writer, Key::DocumentRoot, request.document_root());
}

fn write_server(writer: &mut RequestWriter<'_>, request: Request<'_>) {
    writer.named(b"SERVER_SIGNATURE", request.signature());
    writer.known(Key::ServerSoftware, banner());
    writer.known(Key::ServerName, request.server_name());
    writer.known(Key::ServerPort, decimal(request.server_port()).as_bytes());
    optional(writer, Key::ServerAddr, request.server_address());
    optional(writer, Key::ServerAdmin, request.server().admin());
}

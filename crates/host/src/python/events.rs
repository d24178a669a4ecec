//! When subscribers are told something; what, and how, is `wsgi_host.events` (crates/host/python).
//!
//! Nothing is made for an event that nobody in the interpreter has subscribed to.

use super::attach::{Attached, attach};
use super::object::{Raised, Ref};
use super::{active, registry};
use crate::measure;

/// Whether the interpreter has subscribers of events.
pub(super) fn are_wanted(py: Attached) -> bool {
    py.list_length(&py.interpreter().support.event_callbacks) > 0
}

/// The application is about to be called; gives the one to call, which a subscriber may have put in its place.
///
/// # Errors
/// `RequestTimeout`, if it comes while a subscriber runs. Whatever else subscribers raise is logged.
pub(super) fn started(py: Attached, request: &Ref, environ: &Ref, application: Ref) -> Result<Ref, Raised> {
    if !are_wanted(py) {
        return Ok(application);
    }
    // Whoever has put a subscriber into the list by hand has not asked for it.
    measure::switch_on();
    py.call(&py.interpreter().support.request_started, [request, environ, &application])
}

/// The application calls `start_response`.
///
/// # Errors
/// As for [`started`].
pub(super) fn responding(py: Attached, request: &Ref, arguments: [&Ref; 3]) -> Result<(), Raised> {
    if !are_wanted(py) {
        return Ok(());
    }
    let [status, headers, exc_info] = arguments;
    py.call(&py.interpreter().support.response_started, [request, status, headers, exc_info]).map(drop)
}

/// The application has raised this.
pub(super) fn raised(py: Attached, exception: &Ref) {
    if !are_wanted(py) {
        return;
    }
    let Some(request) = active::current(py) else { return };
    quietly(py, py.call(&py.interpreter().support.request_exception, [&request, exception]));
}

/// The application has been left for good.
pub(super) fn finished(py: Attached, request: &Ref) {
    if are_wanted(py) {
        quietly(py, py.call(&py.interpreter().support.request_finished, [request]));
    }
}

/// A signal has come that is the application's. Not attached.
pub(super) fn signal(number: i32) {
    let Some(main) = registry::main() else { return };
    attach(main, |py| {
        quietly(py, py.long(number.into()).and_then(|number| py.call(&main.support.process_signal, [&number])));
    });
}

/// The process is about to end; told once, whoever comes first.
pub(super) fn stopping(py: Attached) {
    quietly(py, py.call(&py.interpreter().support.process_stopping, []));
}

fn quietly(py: Attached, told: Result<Ref, Raised>) {
    if told.is_err() {
        // Subscribers' exceptions are logged where they are called. An interrupt that came too late finds nobody.
        py.clear_exception();
    }
}

//! Where a request's application runs, if a script of the site says so: `WSGIDispatchScript`.

use std::borrow::Cow;

use gateway::{Answer, Route, Subject};

use super::access::{Place, ask_with_head};
use super::environ;
use super::names::RequestNames;
use super::target::Target;
use crate::apache::{Request, log_line};
use crate::codes;
use crate::config::{expand_application_group, expand_callable, expand_process_group};

/// Asks the dispatch script, if there is one, and puts what it says in the place of what is configured. Whether the
/// request may go there is checked after it.
///
/// # Errors
/// The status to answer with: a script that cannot be asked lets nothing pass by it.
pub(super) fn dispatch(request: Request<'_>, target: &mut Target<'_>) -> Result<(), u16> {
    let Some(script) = target.settings.dispatch_script() else { return Ok(()) };
    let place = Place::of(request, script);
    let head = environ::write_dispatch_head(request, target, place.facts, &place.application_group).map_err(|error| {
        log_line!(request, Error, codes::HEAD_TOO_LARGE; "cannot pass the request on to the dispatch script: {error}; answering 500");
        500_u16
    })?;
    match ask_with_head(request, &place, Subject::Dispatch, [b"", b""], &head) {
        Answer::Route(route) => take(request, target, &route),
        _ => {
            log_line!(request, Error, codes::NO_ROUTE; "the dispatch script {} did not say where the request is to run; answering 500", script.file.escape_ascii());
            return Err(500);
        }
    }
    Ok(())
}

fn take(request: Request<'_>, target: &mut Target<'_>, route: &Route) {
    let names = RequestNames::of(request);
    if let Some(group) = &route.process_group {
        target.process_group = Cow::Owned(expand_process_group(Some(group), &names).into_owned());
    }
    if let Some(group) = &route.application_group {
        target.application_group = Cow::Owned(expand_application_group(Some(group), &names).into_owned());
        // A script may well make names of what clients say.
        target.has_open_group = true;
    }
    if let Some(name) = &route.callable_object {
        target.callable = Cow::Owned(expand_callable(name, &names).into_owned());
    }
}
